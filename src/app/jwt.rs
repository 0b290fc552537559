//! The App's JWT.
//!
//! <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use super::key::PrivateKey;
use super::signer;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::time::Timestamp;

/// How far `iat` lies in the past, in seconds: GitHub refuses one that lies in its future.
const BACKDATED: i64 = 60;
/// How far `exp` usually lies in the future, in seconds. GitHub allows 600, which fails under a small drift.
pub(crate) const LIFETIME: i64 = 540;
/// How far `exp` may lie in the future, in seconds.
pub(crate) const LONGEST: i64 = 600;

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
    /// Signs a JWT for `issuer` (the App's client ID or App ID) that is valid at `now`, by GitHub's clock, and for
    /// `lifetime` seconds.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub(crate) fn sign(issuer: &str, key: &PrivateKey, now: Timestamp, lifetime: i64) -> Result<Self> {
        // The second and later calls of a process find it installed.
        let _ = signer::PROVIDER.install_default();
        let claims = Claims { iat: now.plus(-BACKDATED).0, exp: now.plus(lifetime).0, iss: issuer };
        encode(&Header::new(Algorithm::RS256), &claims, &EncodingKey::from_rsa_der(key.der()))
            .map(|jwt| Self(Secret::new(jwt)))
            .map_err(|e| Error::new(format!("cannot sign with the App's private key: {e}")))
    }

    /// The JWT's text, for the `Authorization` header.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}
