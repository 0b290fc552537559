//! Who we are: the App, its private key, and the JWTs that prove it.

pub(crate) mod jwt;
pub(crate) mod key;
mod signer;

use std::cell::OnceCell;
use std::rc::Rc;

use crate::cache::Sealer;
use crate::error::Result;
use crate::time::Timestamp;
use crate::world::World;

use jwt::AppJwt;
use key::{KeySource, KeyText, PrivateKey};

/// An App as it is configured. Its key is read when it is first needed, and once.
pub(crate) struct App<'a> {
    id: &'a str,
    source: Rc<dyn KeySource>,
    world: &'a World<'a>,
    text: OnceCell<KeyText>,
    key: OnceCell<PrivateKey>,
}

impl<'a> App<'a> {
    /// An App by its client ID or App ID, and where its key is.
    pub(crate) fn new(id: &'a str, source: Rc<dyn KeySource>, world: &'a World<'a>) -> Self {
        Self { id, source, world, text: OnceCell::new(), key: OnceCell::new() }
    }

    /// The client ID or App ID.
    pub(crate) fn id(&self) -> &'a str {
        self.id
    }

    /// The private key.
    pub(crate) fn key(&self) -> Result<&PrivateKey> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = PrivateKey::parse(self.key_text()?, &*self.source)?;
        Ok(self.key.get_or_init(|| key))
    }

    fn key_text(&self) -> Result<&KeyText> {
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let text = self.source.read(self.world)?;
        Ok(self.text.get_or_init(|| text))
    }

    /// A JWT that is valid at `now`, by GitHub's clock, and for `lifetime` seconds.
    pub(crate) fn jwt(&self, now: Timestamp, lifetime: i64) -> Result<AppJwt> {
        AppJwt::sign(self.id, self.key()?, now, lifetime)
    }
}

/// Files are sealed under the key as it is written: to parse it first would take half the time of a warm `get`. A key that
/// is written in another way opens nothing, which is a miss.
impl Sealer for App<'_> {
    fn secret(&self) -> Result<&[u8]> {
        self.key_text().map(KeyText::bytes)
    }
}
