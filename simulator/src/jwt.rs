//! Verification of an App's JWT, with GitHub's words for what is wrong with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::world::{App, World};

const NOT_DECODED: (u16, &str) = (401, "A JSON web token could not be decoded");
const EXPIRED: (u16, &str) = (
    401,
    "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
);
const TOO_FAR: (u16, &str) = (401, "'Expiration time' claim ('exp') is too far in the future");
const ISSUED: (u16, &str) =
    (401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued");
const NO_ISSUER: (u16, &str) = (401, "Missing 'issuer' claim ('iss') in assertion");
const NO_KEY: (u16, &str) = (401, "Integration must generate a public key");
const UNKNOWN_APP: (u16, &str) = (404, "Integration not found");

/// The App that signed the JWT, or status and message of the refusal.
pub(crate) fn verify(world: &mut World, jwt: &str) -> Result<App, (u16, &'static str)> {
    let mut parts = jwt.rsplitn(2, '.');
    let (Some(signature), Some(signed)) = (parts.next(), parts.next()) else { return Err(NOT_DECODED) };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| NOT_DECODED);
    let json = |text: Option<&str>| -> Result<Value, (u16, &'static str)> {
        serde_json::from_slice(&decode(text.unwrap_or_default())?).map_err(|_| NOT_DECODED)
    };
    let mut texts = signed.split('.');
    let (header, claims) = (json(texts.next())?, json(texts.next())?);
    if header["alg"] != "RS256" || texts.next().is_some() {
        return Err(NOT_DECODED);
    }
    let issuer = match &claims["iss"] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(NO_ISSUER),
    };
    let now = world.now();
    let app = world.apps.iter_mut().find(|app| app.client_id == issuer || app.id.to_string() == issuer);
    let app = app.ok_or(UNKNOWN_APP)?;
    if app.public_keys.is_empty() || app.unready > 0 {
        app.unready = app.unready.saturating_sub(1);
        return Err(NO_KEY);
    }
    let signature = decode(signature)?;
    let signed_by = |key: &Vec<u8>| {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(signed.as_bytes(), &signature).is_ok()
    };
    if !app.public_keys.iter().any(signed_by) {
        return Err(NOT_DECODED);
    }
    let expires = claims["exp"].as_i64().filter(|exp| *exp > now).ok_or(EXPIRED)?;
    if expires > now + 600 {
        return Err(TOO_FAR);
    }
    claims["iat"].as_i64().filter(|iat| *iat <= now).ok_or(ISSUED)?;
    Ok(app.clone())
}

/// The issuer that a JWT claims, for the log.
pub(crate) fn claimed_issuer(jwt: &str) -> Option<String> {
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?).ok()?;
    claims["iss"].as_str().map(str::to_owned)
}

/// The public half of a private key in PEM, as PKCS#1 DER, or why it has none.
pub(crate) fn public_key(pem: &str) -> Result<Vec<u8>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "not a private key in PEM")?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(key) => ring::rsa::KeyPair::from_pkcs8(key.secret_pkcs8_der()),
        other => ring::rsa::KeyPair::from_der(other.secret_der()),
    };
    Ok(pair.map_err(|why| format!("not an RSA key ({why})"))?.public().as_ref().to_vec())
}
