//! The App's JWT.
//!
//! <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::time::Timestamp;

/// How far `iat` lies in the past, in seconds: GitHub refuses one that lies in its future.
const BACKDATED: i64 = 60;
/// How far `exp` usually lies in the future, in seconds. GitHub allows 600, which fails under a small drift.
pub(crate) const LIFETIME: i64 = 540;
/// How far `exp` may lie in the future, in seconds.
pub(crate) const LONGEST: i64 = 600;

const HEADER: &str = r#"{"typ":"JWT","alg":"RS256"}"#;

/// A signed JWT that proves that its bearer is the App.
#[derive(Debug)]
pub(crate) struct AppJwt(Secret);

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

impl AppJwt {
    /// Makes a JWT for `issuer` (the App's client ID or App ID) that is valid at `now`, by GitHub's clock, and for
    /// `lifetime` seconds. `sign` makes an RS256 signature. (RFC 7515, section 3.1)
    ///
    /// # Errors
    /// If it cannot be signed.
    pub(crate) fn sign(
        issuer: &str,
        now: Timestamp,
        lifetime: i64,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let claims = Claims { iat: now.plus(-BACKDATED).0, exp: now.plus(lifetime).0, iss: issuer };
        let claims =
            serde_json::to_vec(&claims).map_err(|e| Error::new(format!("cannot write the JWT: {e}")))?;
        // Room for all of it, so that no part of a signed one stays behind in memory that is not wiped.
        let mut text = String::with_capacity(2048);
        URL_SAFE_NO_PAD.encode_string(HEADER, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = sign(text.as_bytes())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(Self(Secret::new(text)))
    }

    /// The JWT's text, for the `Authorization` header.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}
