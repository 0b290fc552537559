//! The sealed file: a token encrypted under a key that is derived from a secret of the App's.
//!
//! Whoever can open such a file has the App's private key, and so could mint the token anyway; whoever finds the
//! file alone, in a backup for example, has nothing.

use std::rc::Rc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{Opening, Store, StoreError};
use crate::cache::folder::{Folder, Kind};
use crate::cache::key::{Name as _, TokenKey};
use crate::error::{Result as AppResult, cause};

pub(super) const KIND: Kind = Kind::of_digests("tokens");
/// The first byte of a file; another one is another format, and its file a miss.
const FORMAT: u8 = 2;
const PURPOSE: &[u8] = b"git-credential-ghapp sealed file, format 2";

/// Has a secret that files can be sealed under.
pub(crate) trait Sealer {
    /// The secret: the same in every process, and known to nobody who could not mint tokens anyway.
    fn secret(&self) -> AppResult<&[u8]>;
}

/// Keeps each token in a file of its own in the cache folder.
struct SealedFiles<'a> {
    folder: &'a Folder,
    sealer: Option<Rc<dyn Sealer + 'a>>,
}

pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Store + '_>, StoreError> {
    let folder = opening.folder.ok_or("there is no cache folder")?;
    Ok(Box::new(SealedFiles { folder, sealer: opening.sealer }))
}

impl SealedFiles<'_> {
    fn sealing_key(&self, key: &TokenKey) -> Result<LessSafeKey, StoreError> {
        let sealer = self.sealer.as_ref().ok_or("its App is not configured")?;
        let secret = Salt::new(HKDF_SHA256, PURPOSE).extract(sealer.secret().map_err(|e| e.to_string())?);
        secret
            .expand(&[key.name().as_bytes()], &CHACHA20_POLY1305)
            .map(|bytes| LessSafeKey::new(UnboundKey::from(bytes)))
            .map_err(|_| "its key cannot be derived".to_owned())
    }
}

impl Store for SealedFiles<'_> {
    fn name(&self) -> &'static str {
        "sealed file"
    }

    fn read(&self, key: &TokenKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
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

    fn keys(&self) -> Result<Option<Vec<TokenKey>>, StoreError> {
        let names = self.folder.names(KIND);
        Ok(Some(names.iter().filter_map(|name| TokenKey::from_name(name)).collect()))
    }

    /// Whoever has not got the private key any more can still remove the file.
    fn holds(&self, key: &TokenKey) -> bool {
        matches!(self.folder.read(KIND, key.name()), Ok(Some(_)))
    }

    fn write(&self, key: &TokenKey, entry: &[u8], _: u64) -> Result<(), StoreError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| "there are no random numbers".to_owned())?;
        let mut sealed = Zeroizing::new(entry.to_vec());
        self.sealing_key(key)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut *sealed)
            .map_err(|_| "it cannot be encrypted".to_owned())?;
        let content = [&[FORMAT], nonce.as_slice(), &sealed].concat();
        self.folder.write(KIND, key.name(), &content).map_err(|e| cause(&e))
    }

    fn remove(&self, key: &TokenKey) -> Result<(), StoreError> {
        self.folder.remove(KIND, key.name()).map_err(|e| cause(&e))
    }
}
