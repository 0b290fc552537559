//! Who we are: the App, its private key, and the JWTs that prove it.

pub mod jwt;
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
    /// Whether there is a D-Bus session bus, where the key may be behind it.
    bus: bool,
    key: OnceCell<PrivateKey>,
}

impl<'c> App<'c> {
    /// An App by its client ID or App ID, where its key is, and whether there is a D-Bus session bus.
    #[must_use]
    pub fn new(issuer: &'c str, source: &'c KeySource, bus: bool) -> Self {
        Self { issuer, source, bus, key: OnceCell::new() }
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
        let key = PrivateKey::load(self.source, self.bus)?;
        Ok(self.key.get_or_init(|| key))
    }

    /// A JWT that is valid at `now`, by GitHub's clock, and for `lifetime` seconds.
    ///
    /// # Errors
    /// If the key cannot be read or cannot sign.
    pub fn jwt(&self, now: Timestamp, lifetime: i64) -> Result<AppJwt> {
        AppJwt::sign(self.issuer, self.key()?, now, lifetime)
    }
}
