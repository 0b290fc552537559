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
pub(crate) use key::WrittenKey;

/// An App as it is configured. Its key is read when it is first needed, and once.
#[derive(Debug)]
pub struct App<'c> {
    issuer: &'c str,
    source: &'c KeySource,
    /// Whether there is a D-Bus session bus, where the key may be behind it.
    bus: bool,
    written: OnceCell<WrittenKey>,
    key: OnceCell<PrivateKey>,
}

impl<'c> App<'c> {
    /// An App by its client ID or App ID, where its key is, and whether there is a D-Bus session bus.
    #[must_use]
    pub fn new(issuer: &'c str, source: &'c KeySource, bus: bool) -> Self {
        Self { issuer, source, bus, written: OnceCell::new(), key: OnceCell::new() }
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
        let key = PrivateKey::parse(self.written_key()?, self.source)?;
        Ok(self.key.get_or_init(|| key))
    }

    /// The private key as it is written. To parse it costs half of a warm `get`.
    pub(crate) fn written_key(&self) -> Result<&WrittenKey> {
        if let Some(written) = self.written.get() {
            return Ok(written);
        }
        let written = WrittenKey::read(self.source, self.bus)?;
        Ok(self.written.get_or_init(|| written))
    }

    /// A JWT that is valid at `now`, by GitHub's clock, and for `lifetime` seconds.
    ///
    /// # Errors
    /// If the key cannot be read or cannot sign.
    pub fn jwt(&self, now: Timestamp, lifetime: i64) -> Result<AppJwt> {
        AppJwt::sign(self.issuer, self.key()?, now, lifetime)
    }
}
