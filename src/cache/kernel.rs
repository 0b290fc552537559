//! The Linux kernel's keyring as a store of `keyring-core`'s interface, by system calls.
//!
//! Entries are in the user's persistent keyring (persistent-keyring(7)): in memory only, one for each user,
//! the same from a login shell, cron, `sudo` and a service, forgotten when the token expires or the machine
//! restarts. It is linked into the process keyring, which ends with this process, so that it can be searched.
//! The session keyring is never used: it is inherited through `su` and `sudo`, and another user would read it.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use keyring_core::api::{Credential, CredentialApi, CredentialPersistence, CredentialStoreApi};
use keyring_core::{Entry, Error, Result};
use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};
use zeroize::Zeroizing;

use super::LIFETIME_MODIFIER;

/// More than an entry with a token of the long form takes, in bytes.
const ROOM: usize = 1024;

/// The store.
#[derive(Debug)]
pub(super) struct KernelKeyring;

/// One key: a description, and for writing the seconds after which the kernel forgets it.
#[derive(Debug)]
struct KernelKey {
    service: String,
    user: String,
    lifetime: Option<usize>,
}

impl CredentialStoreApi for KernelKeyring {
    fn vendor(&self) -> String {
        "Linux kernel key retention service".to_owned()
    }

    fn id(&self) -> String {
        "user's persistent keyring".to_owned()
    }

    fn build(&self, service: &str, user: &str, modifiers: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        let mut lifetime = None;
        for (name, value) in modifiers.into_iter().flatten() {
            let number = (*name == LIFETIME_MODIFIER).then(|| value.parse().ok()).flatten();
            lifetime =
                Some(number.ok_or_else(|| Error::Invalid((*name).to_owned(), "is not seconds".to_owned()))?);
        }
        let key = KernelKey { service: service.to_owned(), user: user.to_owned(), lifetime };
        Ok(Entry::new_with_credential(Arc::new(key)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn persistence(&self) -> CredentialPersistence {
        CredentialPersistence::UntilReboot
    }

    fn debug_fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl KernelKey {
    fn description(&self) -> String {
        format!("{}:{}", self.service, self.user)
    }

    fn find(&self) -> Result<(KeyRing, Key)> {
        let keyring = keyring().map_err(explain)?;
        let key = keyring.search(&self.description()).map_err(explain)?;
        Ok((keyring, key))
    }
}

impl CredentialApi for KernelKey {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        let key =
            keyring().and_then(|keyring| keyring.add_key(&self.description(), secret)).map_err(explain)?;
        match self.lifetime {
            Some(seconds) => key.set_timeout(seconds).map_err(explain),
            None => Ok(()),
        }
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        // linux-keyutils reads into 64 KiB, all of which would be wiped afterwards, on every call.
        let mut buffer = Zeroizing::new([0; ROOM]);
        let key = self.find()?.1;
        match key.read(&mut *buffer).map_err(explain)? {
            length if length <= ROOM => Ok(buffer[..length].to_vec()),
            _ => key.read_to_vec().map_err(explain),
        }
    }

    fn delete_credential(&self) -> Result<()> {
        let (keyring, key) = self.find()?;
        keyring.unlink_key(key).map_err(explain)
    }

    fn get_credential(&self) -> Result<Option<Arc<Credential>>> {
        self.find().map(|_| None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some((self.service.clone(), self.user.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn debug_fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The user's persistent keyring; on a kernel that was built without those, the user keyring (`@u`).
fn keyring() -> std::result::Result<KeyRing, KeyError> {
    KeyRing::get_persistent(KeyRingIdentifier::Process).or_else(|e| match e {
        KeyError::OperationNotSupported => {
            let process = KeyRing::from_special_id(KeyRingIdentifier::Process, true)?;
            process.link_keyring_id(KeyRingIdentifier::User)?;
            KeyRing::from_special_id(KeyRingIdentifier::User, false)
        }
        other => Err(other),
    })
}

fn explain(error: KeyError) -> Error {
    let why = match error {
        KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked => return Error::NoEntry,
        KeyError::PermissionDenied | KeyError::AccessDenied => {
            "the kernel does not permit it, as in many containers"
        }
        KeyError::QuotaExceeded => "this user's quota of keys is used up",
        KeyError::OperationNotSupported | KeyError::Unknown(_) => "the kernel does not offer it here",
        _ => return Error::PlatformFailure(Box::new(error)),
    };
    Error::NoStorageAccess(why.into())
}
