//! The sealed file: a token encrypted under a key that is derived from the App's private key.
//!
//! Derived from the key as it is written, because to parse it would cost more than everything else here: a key that
//! is written in another way opens nothing, which is a miss.
//!
//! Whoever can open such a file has the private key, and so could mint the token anyway; whoever finds the
//! file alone, in a backup for example, has nothing.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::folder::Folder;
use super::key::{CacheKey, Name};
use super::store::{StoreError, TokenStore};
use crate::app::App;
use crate::error::cause;

pub(super) const KIND: &str = "tokens";
/// The first byte of a file; another one is another format, and its file a miss.
const FORMAT: u8 = 2;
const PURPOSE: &[u8] = b"git-credential-ghapp sealed file, format 2";

/// Keeps each token in a file of its own in the cache folder.
pub(super) struct SealedFiles<'a> {
    folder: &'a Folder,
    app: &'a App<'a>,
}

impl<'a> SealedFiles<'a> {
    pub(super) fn new(folder: &'a Folder, app: &'a App<'a>) -> Self {
        Self { folder, app }
    }

    fn sealing_key(&self, key: &CacheKey) -> Result<LessSafeKey, StoreError> {
        let secret = self.app.written_key().map_err(|e| e.to_string())?;
        let bytes = Salt::new(HKDF_SHA256, PURPOSE);
        let bytes = bytes.extract(secret.bytes());
        let info = [key.name().as_bytes()];
        bytes
            .expand(&info, &CHACHA20_POLY1305)
            .map(|bytes| LessSafeKey::new(UnboundKey::from(bytes)))
            .map_err(|_| "its key cannot be derived".to_owned())
    }
}

impl TokenStore for SealedFiles<'_> {
    fn name(&self) -> &'static str {
        "sealed file"
    }

    fn read(&self, key: &CacheKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(content) = self.folder.read(KIND, key.name()).map_err(|e| cause(&e))? else {
            return Ok(None);
        };
        let damaged = || "it is damaged, or was sealed with another private key".to_owned();
        let (format, sealed) = content.split_first().ok_or_else(damaged)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        if *format != FORMAT {
            return Ok(None);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut entry = Zeroizing::new(sealed.to_vec());
        let length = self
            .sealing_key(key)?
            .open_in_place(nonce, Aad::empty(), &mut entry)
            .map_err(|_| damaged())?
            .len();
        entry.truncate(length);
        Ok(Some(entry))
    }

    /// Whoever has not got the private key any more can still remove the file.
    fn holds(&self, key: &CacheKey) -> bool {
        matches!(self.folder.read(KIND, key.name()), Ok(Some(_)))
    }

    fn write(&self, key: &CacheKey, entry: &[u8], _: u64) -> Result<(), StoreError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| "there are no random numbers".to_owned())?;
        let mut sealed = Zeroizing::new(entry.to_vec());
        self.sealing_key(key)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut *sealed)
            .map_err(|_| "it cannot be encrypted".to_owned())?;
        let content = [&[FORMAT], nonce.as_slice(), &sealed].concat();
        self.folder.write(KIND, key.name(), &content).map_err(|e| cause(&e))
    }

    fn remove(&self, key: &CacheKey) -> Result<(), StoreError> {
        self.folder.remove(KIND, key.name()).map_err(|e| cause(&e))
    }
}
