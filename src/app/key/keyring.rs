//! A private key in the operating system's keyring: on Linux the freedesktop Secret Service, on macOS the login
//! keychain. Windows' Credential Manager has no room for a private key.
//!
//! A session bus can hang, so every call has a deadline; nothing prompts.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{KeySource, KeyText};
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::secret::Secret;
use crate::time::{Unfinished, no_thread, within};
use crate::world::World;

/// What stands before a key's name where it is in the keyring.
const PREFIX: &str = "keyring:";

/// How long is waited for the keyring.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct KeyInKeyring {
    name: String,
    origin: Origin,
}

/// `keyring:NAME`
pub(super) fn named(text: &str, _: &dyn Fn(&str) -> PathBuf, origin: &Origin) -> Option<Rc<dyn KeySource>> {
    let name = name(text)?.to_owned();
    Some(Rc::new(KeyInKeyring { name, origin: origin.clone() }))
}

/// What names a key of the keyring in a configuration file.
pub(crate) fn setting(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The name of a key of the keyring in what a configuration file says, if that is where the key is.
pub(crate) fn name(setting: &str) -> Option<&str> {
    setting.strip_prefix(PREFIX)
}

/// Whether there is a keyring that answers.
pub(crate) fn is_there(world: &World<'_>) -> bool {
    in_time(world, || platform::read("")).is_ok()
}

impl KeySource for KeyInKeyring {
    fn read(&self, world: &World<'_>) -> Result<KeyText> {
        match read(&self.name, world) {
            Ok(pem) => Ok(KeyText::new(Zeroizing::new(pem.expose().as_bytes().to_vec()))),
            Err(why) => Err(Error::new(format!("cannot read the private key {}: {why}", self.describe()))
                .hint("unlock the keyring, or name the key's file in private-key")),
        }
    }

    fn describe(&self) -> String {
        format!("{} ({})", self.short(), self.origin)
    }

    fn short(&self) -> String {
        format!("{} in the keyring", self.name)
    }

    fn setting(&self) -> Option<String> {
        Some(setting(&self.name))
    }
}

/// The key that is kept under a name.
pub(crate) fn read(name: &str, world: &World<'_>) -> Result<Secret> {
    find(name, world)?
        .and_then(|bytes| std::str::from_utf8(&bytes).ok().map(|text| Secret::new(text.to_owned())))
        .ok_or_else(|| Error::new(format!("there is no {name:?} in it")))
}

/// The first of these names under which nothing is kept.
///
/// # Errors
/// If the keyring does not say, or has something under each of them.
pub(crate) fn free_name(names: impl Iterator<Item = String>, world: &World<'_>) -> Result<String> {
    for name in names {
        if find(&name, world)?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::new("it says that it has a key under every name"))
}

fn find(name: &str, world: &World<'_>) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let name = name.to_owned();
    in_time(world, move || platform::read(&name))
}

/// Keeps a key under a name, and reads it again: its file may be about to go.
///
/// # Errors
/// If the keyring does not keep it, or gives something else back.
pub(crate) fn write(name: &str, key: &Secret, world: &World<'_>) -> Result<()> {
    let (owned, copy) = (name.to_owned(), Secret::new(key.expose().to_owned()));
    in_time(world, move || platform::write(&owned, copy.expose().as_bytes()))?;
    match read(name, world) {
        Ok(kept) if kept.matches(key) => Ok(()),
        _ => Err(Error::new("what was written cannot be read again")),
    }
}

/// Forgets the key that is kept under a name.
pub(crate) fn remove(name: &str, world: &World<'_>) -> Result<()> {
    let name = name.to_owned();
    in_time(world, move || platform::remove(&name))
}

fn in_time<T: Send + 'static>(
    world: &World<'_>,
    work: impl FnOnce() -> std::result::Result<T, String> + Send + 'static,
) -> Result<T> {
    if cfg!(target_os = "linux") && !world.has_session_bus() {
        return Err(Error::new("there is no D-Bus session bus"));
    }
    match within(DEADLINE, work) {
        Ok(done) => done.map_err(Error::new),
        Err(Unfinished::Late) => {
            Err(Error::new(format!("it did not answer within {} s", DEADLINE.as_secs())))
        }
        Err(Unfinished::NotStarted(e)) => Err(no_thread("ask it", &e)),
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use zeroize::Zeroizing;

    use crate::secret_service::{self, Attributes};

    fn attributes(name: &str) -> Attributes<'_> {
        Attributes::from([("application", "git-credential-ghapp"), ("private-key", name)])
    }

    pub(super) fn read(name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        Ok(secret_service::read(attributes(name))?)
    }

    pub(super) fn write(name: &str, secret: &[u8]) -> Result<(), String> {
        let label = format!("git-credential-ghapp: private key {name}");
        Ok(secret_service::write(&label, attributes(name), secret)?)
    }

    pub(super) fn remove(name: &str) -> Result<(), String> {
        Ok(secret_service::remove(attributes(name))?)
    }
}

#[cfg(target_os = "macos")]
mod platform {
    use keyring_core::api::CredentialStoreApi as _;
    use keyring_core::{Entry, Error};
    use zeroize::Zeroizing;

    fn entry(name: &str) -> Result<Entry, String> {
        let store = apple_native_keyring_store::keychain::Store::new().map_err(|e| e.to_string())?;
        store.build("git-credential-ghapp private key", name, None).map_err(|e| e.to_string())
    }

    pub(super) fn read(name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        match entry(name)?.get_secret() {
            Ok(secret) => Ok(Some(Zeroizing::new(secret))),
            Err(Error::NoEntry) => Ok(None),
            Err(_) => Err("the keychain refused".to_owned()),
        }
    }

    pub(super) fn write(name: &str, secret: &[u8]) -> Result<(), String> {
        entry(name)?.set_secret(secret).map_err(|_| "the keychain refused".to_owned())
    }

    pub(super) fn remove(name: &str) -> Result<(), String> {
        match entry(name)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(_) => Err("the keychain refused".to_owned()),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod platform {
    use zeroize::Zeroizing;

    const NONE: &str = "there is none on this platform that has room for a private key";

    pub(super) fn read(_: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        Err(NONE.to_owned())
    }

    pub(super) fn write(_: &str, _: &[u8]) -> Result<(), String> {
        Err(NONE.to_owned())
    }

    pub(super) fn remove(_: &str) -> Result<(), String> {
        Err(NONE.to_owned())
    }
}
