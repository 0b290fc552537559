//! The sealed file: a token encrypted under a key that is derived from a secret of the App's.
//!
//! Whoever can open such a file has the App's private key, or can let it sign, and so could mint the token anyway; whoever
//! finds the file alone, in a backup for example, has nothing.

use std::cell::OnceCell;
use std::time::Duration;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{Opening, PLATFORM, Store, StoreError};
use crate::cache::folder::{Folder, Kind};
use crate::cache::key::{Name as _, TokenKey};
use crate::cache::lock::{Lock, LockOutcome};
use crate::error::{Result as AppResult, cause};
use crate::secret::hex;

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

/// Seals entries under the secret of an App, each under its own name.
pub(in crate::cache) struct Sealing<'a> {
    opening: Opening<'a>,
    secret: OnceCell<Prk>,
}

impl<'a> Sealing<'a> {
    pub(in crate::cache) fn new(opening: Opening<'a>) -> Self {
        Self { opening, secret: OnceCell::new() }
    }

    /// The entry as whoever has not got the secret may see it.
    pub(in crate::cache) fn seal(&self, name: &str, entry: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| "there are no random numbers".to_owned())?;
        let mut sealed = Zeroizing::new(entry.to_vec());
        self.key(name)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut *sealed)
            .map_err(|_| "it cannot be encrypted".to_owned())?;
        Ok([&[FORMAT], nonce.as_slice(), &sealed].concat())
    }

    /// The entry again. `None`: it is of another format.
    pub(in crate::cache) fn open(
        &self,
        name: &str,
        content: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let damaged = || "it is damaged, or was sealed with another private key".to_owned();
        let (format, sealed) = content.split_first().ok_or_else(damaged)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        if *format != FORMAT {
            return Ok(None);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut entry = Zeroizing::new(sealed.to_vec());
        let length =
            self.key(name)?.open_in_place(nonce, Aad::empty(), &mut entry).map_err(|_| damaged())?.len();
        entry.truncate(length);
        Ok(Some(entry))
    }

    /// What a name is called where its own digest could be guessed: 64 hex digits that take the secret to compute.
    pub(in crate::cache) fn hidden(&self, name: &str) -> Result<String, StoreError> {
        let mut digest = [0; 32];
        let info = [b"name".as_slice(), name.as_bytes()];
        let filled = self.secret()?.expand(&info, HKDF_SHA256).and_then(|bytes| bytes.fill(&mut digest));
        filled.map(|()| hex(&digest)).map_err(|_| "its name cannot be derived".to_owned())
    }

    fn key(&self, name: &str) -> Result<LessSafeKey, StoreError> {
        let info = [name.as_bytes()];
        let bytes = self.secret()?.expand(&info, &CHACHA20_POLY1305);
        bytes
            .map(|bytes| LessSafeKey::new(UnboundKey::from(bytes)))
            .map_err(|_| "its key cannot be derived".to_owned())
    }

    fn secret(&self) -> Result<&Prk, StoreError> {
        if let Some(secret) = self.secret.get() {
            return Ok(secret);
        }
        let secret = Salt::new(HKDF_SHA256, PURPOSE).extract(&self.read_secret()?);
        Ok(self.secret.get_or_init(|| secret))
    }

    fn read_secret(&self) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let sealer = self.opening.sealer.as_ref().ok_or("its App is not configured")?;
        let make = || sealer.secret().map_err(|e| e.to_string());
        let effort = sealer.effort();
        if effort == Effort::Little {
            return make();
        }
        let nowhere = |why: String| format!("no keyring keeps the secret that it is sealed under: {why}");
        let name = TokenKey::for_sealing(&sealer.name());
        let keyring = PLATFORM(self.opening.clone());
        let stored = keyring.as_ref().map_err(Clone::clone).and_then(|keyring| keyring.read(&name));
        match (stored, keyring) {
            (Ok(Some(secret)), _) => Ok(secret),
            (Ok(None), Ok(keyring)) => {
                // One that is made by two at once would be another for each of them.
                let made = || keyring.read(&name).ok().flatten();
                let take = |folder| Lock::take(folder, "seal", &name, PATIENCE, made);
                let _lock = match self.opening.folder.map(take) {
                    Some(Ok(LockOutcome::Done(secret))) => return Ok(secret),
                    Some(Ok(LockOutcome::Locked(lock))) => {
                        if let Some(secret) = made() {
                            return Ok(secret);
                        }
                        Some(lock)
                    }
                    Some(Ok(LockOutcome::Unlocked) | Err(_)) | None => None,
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

/// Keeps each token in a file of its own in the cache folder.
struct SealedFiles<'a> {
    folder: &'a Folder<'a>,
    sealing: Sealing<'a>,
}

pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Store + '_>, StoreError> {
    let folder = opening.folder.ok_or("there is no cache folder")?;
    Ok(Box::new(SealedFiles { folder, sealing: Sealing::new(opening) }))
}

impl Store for SealedFiles<'_> {
    fn name(&self) -> &'static str {
        "sealed file"
    }

    fn read(&self, key: &TokenKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        match self.folder.read(KIND, key.name()).map_err(|e| cause(&e))? {
            Some(content) => self.sealing.open(key.name(), &content),
            None => Ok(None),
        }
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
        let content = self.sealing.seal(key.name(), entry)?;
        self.folder.write(KIND, key.name(), &content).map_err(|e| cause(&e))
    }

    fn remove(&self, key: &TokenKey) -> Result<(), StoreError> {
        self.folder.remove(KIND, key.name()).map_err(|e| cause(&e))
    }
}
