//! The Linux kernel's keyring, by system calls.
//!
//! Entries are in the user's persistent keyring (persistent-keyring(7)): in memory only, one for each user,
//! the same from a login shell, cron, `sudo` and a service, forgotten when the token expires or the machine
//! restarts. It is linked into the process keyring, which ends with this process, so that it can be searched.
//! The session keyring is never used: it is inherited through `su` and `sudo`, and another user would read it.

use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier, LinkNode};
use zeroize::Zeroizing;

use super::{Opening, Store, StoreError};
use crate::cache::key::{Name as _, TokenKey};

/// More than an entry with a token of the long form takes, in bytes.
const ROOM: usize = 1024;

/// What the descriptions of our entries begin with.
const PREFIX: &str = "git-credential-ghapp:";
/// As many keys as the kernel lets even root have, times the four bytes of a key's number. No fewer: of a keyring that has
/// more the crate would read memory that is not its own. Memory is taken for those that there are.
const MOST_KEYS: usize = 4_000_000;

struct KernelKeyring;

pub(super) fn open(_: Opening<'_>) -> Result<Box<dyn Store + '_>, StoreError> {
    Ok(Box::new(KernelKeyring))
}

impl Store for KernelKeyring {
    fn name(&self) -> &'static str {
        "kernel keyring"
    }

    fn read(&self, key: &TokenKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        or_none(keyring().and_then(|keyring| {
            let key = keyring.search(&description(key))?;
            // The crate's own way reads into 64 KiB, which it does not wipe.
            let mut buffer = Zeroizing::new(vec![0; ROOM]);
            let length = key.read(&mut *buffer)?;
            if length > buffer.len() {
                buffer = Zeroizing::new(vec![0; length]);
                key.read(&mut *buffer)?;
            }
            buffer.truncate(length);
            Ok(buffer)
        }))
    }

    fn keys(&self) -> Result<Option<Vec<TokenKey>>, StoreError> {
        let links = keyring().and_then(|keyring| keyring.get_links(MOST_KEYS)).map_err(explain)?;
        let descriptions = links.iter().filter_map(LinkNode::as_key).filter_map(|key| key.metadata().ok());
        let ours = |description: &str| TokenKey::from_name(description.strip_prefix(PREFIX)?);
        Ok(Some(descriptions.filter_map(|key| ours(key.get_description())).collect()))
    }

    fn write(&self, key: &TokenKey, entry: &[u8], lifetime: u64) -> Result<(), StoreError> {
        let seconds = usize::try_from(lifetime).unwrap_or(usize::MAX);
        let added = keyring().and_then(|keyring| keyring.add_key(&description(key), entry));
        added.and_then(|key| key.set_timeout(seconds)).map_err(explain)
    }

    fn remove(&self, key: &TokenKey) -> Result<(), StoreError> {
        let removed = keyring().and_then(|keyring| keyring.unlink_key(keyring.search(&description(key))?));
        or_none(removed).map(drop)
    }
}

fn description(key: &TokenKey) -> String {
    format!("{PREFIX}{}", key.name())
}

/// The user's persistent keyring; on a kernel that was built without those, the user keyring (`@u`).
fn keyring() -> Result<KeyRing, KeyError> {
    KeyRing::get_persistent(KeyRingIdentifier::Process).or_else(|e| match e {
        KeyError::OperationNotSupported => {
            let process = KeyRing::from_special_id(KeyRingIdentifier::Process, true)?;
            process.link_keyring_id(KeyRingIdentifier::User)?;
            KeyRing::from_special_id(KeyRingIdentifier::User, false)
        }
        other => Err(other),
    })
}

/// `None` where there is no such key.
fn or_none<T>(result: Result<T, KeyError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked) => Ok(None),
        Err(e) => Err(explain(e)),
    }
}

fn explain(error: KeyError) -> StoreError {
    match error {
        KeyError::PermissionDenied | KeyError::AccessDenied => {
            "the kernel does not permit it, as in many containers".to_owned()
        }
        KeyError::QuotaExceeded => "this user's quota of keys is used up".to_owned(),
        KeyError::OperationNotSupported | KeyError::Unknown(_) => {
            "the kernel does not offer it here".to_owned()
        }
        other => other.to_string(),
    }
}
