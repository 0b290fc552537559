//! Who we are: the App, its private key, and the JWTs that prove it.

mod jwt;
mod key;
mod signer;

use std::cell::OnceCell;

use crate::clock::Timestamp;
use crate::config::KeySource;
use crate::error::Result;

pub use jwt::AppJwt;
pub use key::PrivateKey;

/// An App as it is configured. Its key is read when it is first needed, and once.
#[derive(Debug)]
pub struct App<'c> {
    issuer: &'c str,
    source: &'c KeySource,
    key: OnceCell<PrivateKey>,
}

impl<'c> App<'c> {
    /// An App by its client ID or App ID, and where its key is.
    #[must_use]
    pub fn new(issuer: &'c str, source: &'c KeySource) -> Self {
        Self { issuer, source, key: OnceCell::new() }
    }

    /// The client ID or App ID.
    #[must_use]
    pub fn issuer(&self) -> &'c str {
        self.issuer
    }

    /// The private key.
    ///
    /// # Errors
    /// Those of [`PrivateKey::load`].
    pub fn key(&self) -> Result<&PrivateKey> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = PrivateKey::load(self.source)?;
        Ok(self.key.get_or_init(|| key))
    }

    /// A JWT that is valid at `now`, by GitHub's clock.
    ///
    /// # Errors
    /// If the key cannot be read or cannot sign.
    pub fn jwt(&self, now: Timestamp) -> Result<AppJwt> {
        AppJwt::sign(self.issuer, self.key()?, now)
    }
}
