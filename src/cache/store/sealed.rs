//! The sealed file: a token encrypted under a key that is derived from a secret of the App's.
//!
//! Whoever can open such a file has the App's private key, or can let it sign, and so could mint the token anyway; whoever
//! finds the file alone, in a backup for example, has nothing.

use std::time::Duration;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{Opening, PLATFORM, Store, StoreError};
use crate::cache::folder::{Folder, Kind};
use crate::cache::key::{Name as _, TokenKey};
use crate::cache::lock::{Lock, LockOutcome};
use crate::error::{Result as AppResult, cause};

pub(super) const KIND: Kind = Kind::of_digests("tokens");
/// The first byte of a file; another one is another format, and its file a miss.
const FORMAT: u8 = 3;
const PURPOSE: &[u8] = b"git-credential-ghapp sealed file, format 3";

/// How long the keyring keeps a secret, in seconds. It is made anew where it is gone.
const KEPT: u64 = 30 * 24 * 3600;
/// How long another process may take to make it: a command's time, and a little more.
const PATIENCE: Duration = Duration::from_secs(12);

/// Has a secret that files can be sealed under.
pub(crate) trait Sealer {
    /// What it takes to have the secret.
    fn effort(&self) -> Effort;

    /// The secret: known to nobody who could not mint tokens anyway.
    fn secret(&self) -> AppResult<Zeroizing<Vec<u8>>>;

    /// Names it among those of other Apps.
    fn name(&self) -> String;
}

/// What it takes to have a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It is read from where it is each time.
    Little,
    /// A command gives it, so the platform's keyring keeps it. Where there is no keyring it is asked for each time.
    Command,
    /// It is made once, and the platform's keyring keeps it. Where there is no keyring there are no sealed files.
    Once,
}

/// Keeps each token in a file of its own in the cache folder.
struct SealedFiles<'a> {
    folder: &'a Folder<'a>,
    opening: Opening<'a>,
}

pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Store + '_>, StoreError> {
    let folder = opening.folder.ok_or("there is no cache folder")?;
    Ok(Box::new(SealedFiles { folder, opening }))
}

/// Drops the secret that the platform's keyring keeps, if it keeps one for this App.
pub(in crate::cache) fn forget_secret(opening: Opening<'_>) -> Result<(), StoreError> {
    let Some(sealer) = opening.sealer.as_ref().filter(|sealer| sealer.effort() != Effort::Little) else {
        return Ok(());
    };
    let name = TokenKey::for_sealing(&sealer.name());
    match PLATFORM(opening) {
        Ok(keyring) if keyring.holds(&name) => keyring.remove(&name),
        _ => Ok(()),
    }
}

impl SealedFiles<'_> {
    fn sealing_key(&self, key: &TokenKey) -> Result<LessSafeKey, StoreError> {
        let secret = Salt::new(HKDF_SHA256, PURPOSE).extract(&self.secret()?);
        secret
            .expand(&[key.name().as_bytes()], &CHACHA20_POLY1305)
            .map(|bytes| LessSafeKey::new(UnboundKey::from(bytes)))
            .map_err(|_| "its key cannot be derived".to_owned())
    }

    fn secret(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let sealer = self.opening.sealer.as_ref().ok_or("its App is not configured")?;
        let make = || sealer.secret().map_err(|e| e.to_string());
        let effort = sealer.effort();
        if effort == Effort::Little {
            return make();
        }
        let nowhere = |why: String| format!("nothing keeps the secret that it is sealed under: {why}");
        let name = TokenKey::for_sealing(&sealer.name());
        let keyring = PLATFORM(self.opening.clone());
        let kept = keyring.as_ref().map_err(Clone::clone).and_then(|keyring| keyring.read(&name));
        match (kept, keyring) {
            (Ok(Some(secret)), _) => Ok(secret),
            (Ok(None), Ok(keyring)) => {
                // One that is made by two at once would be another for each of them.
                let made = || keyring.read(&name).ok().flatten();
                let _lock = match Lock::take(self.folder, "seal", &name, PATIENCE, made) {
                    Ok(LockOutcome::Done(secret)) => return Ok(secret),
                    Ok(LockOutcome::Locked(lock)) => {
                        if let Some(secret) = made() {
                            return Ok(secret);
                        }
                        Some(lock)
                    }
                    Ok(LockOutcome::Unlocked) | Err(_) => None,
                };
                let secret = make()?;
                match keyring.write(&name, &secret, KEPT) {
                    Err(why) if effort == Effort::Once => Err(nowhere(format!("{}: {why}", keyring.name()))),
                    _ => Ok(secret),
                }
            }
            _ if effort == Effort::Command => make(),
            (Err(why), _) | (_, Err(why)) => Err(nowhere(why)),
        }
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
