//! The operating system's keyring where it outlives a restart: a place for private keys. On Linux the freedesktop
//! Secret Service, on macOS the login keychain. Windows' Credential Manager has no room for a private key.
//!
//! A bus can hang, and a locked collection asks for a password that nobody types. So nothing here prompts, and
//! everything has a deadline.

#[cfg(target_os = "linux")]
use std::collections::HashMap;
use std::time::Duration;

#[cfg(target_os = "linux")]
use dbus_secret_service::SecretService;

use crate::clock::within;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// How long is waited for the keyring.
const DEADLINE: Duration = Duration::from_secs(5);

/// The secret that is kept under a name. `bus`: whether there is a D-Bus session bus to connect to.
///
/// # Errors
/// If there is none, or if the keyring does not give it.
pub fn read(name: &str, bus: bool) -> Result<Secret> {
    let owned = name.to_owned();
    let bytes = in_time(bus, move || platform::read(&owned))?;
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Secret::new)
        .ok_or_else(|| Error::new(format!("there is no {name:?} in it")))
}

/// Keeps a secret under a name.
///
/// # Errors
/// If the keyring does not take it.
pub fn write(name: &str, secret: &Secret, bus: bool) -> Result<()> {
    let (name, secret) = (name.to_owned(), Secret::new(secret.expose().to_owned()));
    in_time(bus, move || platform::write(&name, secret.expose().as_bytes()))
}

/// Forgets what is kept under a name.
///
/// # Errors
/// If the keyring does not let go of it.
pub fn remove(name: &str, bus: bool) -> Result<()> {
    let name = name.to_owned();
    in_time(bus, move || platform::remove(&name))
}

/// Works until the deadline.
fn in_time<T: Send + 'static>(
    bus: bool,
    work: impl FnOnce() -> std::result::Result<T, String> + Send + 'static,
) -> Result<T> {
    if cfg!(target_os = "linux") && !bus {
        return Err(Error::new("there is no D-Bus session bus"));
    }
    let late = || Err(format!("it did not answer within {} s", DEADLINE.as_secs()));
    within(DEADLINE, work).unwrap_or_else(late).map_err(Error::new)
}

/// Connects to the Secret Service and works, without ever prompting. `Err(None)`: it is not well.
///
/// # Errors
/// Why nothing came of it, in words that follow a colon.
#[cfg(target_os = "linux")]
pub(crate) fn with_secret_service<T>(
    work: impl FnOnce(&SecretService) -> std::result::Result<T, dbus_secret_service::Error>,
) -> std::result::Result<T, Option<String>> {
    use dbus_secret_service::{EncryptionType, Error};
    // Plain: a session bus is private to the user, who could read the secret anyway.
    SecretService::connect_with_max_prompt_timeout(EncryptionType::Plain, 0)
        .and_then(|service| work(&service))
        .map_err(|e| match e {
            Error::Locked | Error::Prompt => Some("its collection is locked".to_owned()),
            Error::Dbus(e) if e.name() == Some("org.freedesktop.Secret.Error.IsLocked") => {
                Some("its collection is locked".to_owned())
            }
            Error::NoResult => Some("it has no default collection".to_owned()),
            _ => None,
        })
}

/// The secret of the item with these attributes. One that is locked cannot be read without a prompt, and is none.
#[cfg(target_os = "linux")]
pub(crate) fn read_item(
    service: &SecretService,
    attributes: HashMap<&str, &str>,
) -> std::result::Result<Option<Vec<u8>>, dbus_secret_service::Error> {
    let found = service.search_items(attributes)?;
    found.unlocked.first().map(|item| item.get_secret()).transpose()
}

/// Keeps a secret in the default collection, in place of the one with the same attributes.
#[cfg(target_os = "linux")]
pub(crate) fn write_item(
    service: &SecretService,
    label: &str,
    attributes: HashMap<&str, &str>,
    secret: &[u8],
) -> std::result::Result<(), dbus_secret_service::Error> {
    service.get_default_collection()?.create_item(label, attributes, secret, true, "text/plain").map(drop)
}

/// Drops the items with these attributes.
#[cfg(target_os = "linux")]
pub(crate) fn remove_items(
    service: &SecretService,
    attributes: HashMap<&str, &str>,
) -> std::result::Result<(), dbus_secret_service::Error> {
    service.search_items(attributes)?.unlocked.iter().try_for_each(|item| item.delete())
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::HashMap;

    use super::{read_item, remove_items, with_secret_service, write_item};

    fn attributes(name: &str) -> HashMap<&str, &str> {
        HashMap::from([("application", "git-credential-ghapp"), ("private-key", name)])
    }

    fn explained<T>(result: Result<T, Option<String>>) -> Result<T, String> {
        result.map_err(|why| why.unwrap_or_else(|| "it is not available".to_owned()))
    }

    pub(super) fn read(name: &str) -> Result<Option<Vec<u8>>, String> {
        explained(with_secret_service(|service| read_item(service, attributes(name))))
    }

    pub(super) fn write(name: &str, secret: &[u8]) -> Result<(), String> {
        let label = format!("git-credential-ghapp: private key {name}");
        explained(with_secret_service(|service| write_item(service, &label, attributes(name), secret)))
    }

    pub(super) fn remove(name: &str) -> Result<(), String> {
        explained(with_secret_service(|service| remove_items(service, attributes(name))))
    }
}

#[cfg(target_os = "macos")]
mod platform {
    use keyring_core::api::CredentialStoreApi as _;
    use keyring_core::{Entry, Error};

    fn entry(name: &str) -> Result<Entry, String> {
        let store = apple_native_keyring_store::keychain::Store::new().map_err(|e| e.to_string())?;
        store.build("git-credential-ghapp private key", name, None).map_err(|e| e.to_string())
    }

    pub(super) fn read(name: &str) -> Result<Option<Vec<u8>>, String> {
        match entry(name)?.get_secret() {
            Ok(secret) => Ok(Some(secret)),
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
    const NONE: &str = "there is none on this platform that has room for a private key";

    pub(super) fn read(_: &str) -> Result<Option<Vec<u8>>, String> {
        Err(NONE.to_owned())
    }

    pub(super) fn write(_: &str, _: &[u8]) -> Result<(), String> {
        Err(NONE.to_owned())
    }

    pub(super) fn remove(_: &str) -> Result<(), String> {
        Err(NONE.to_owned())
    }
}
