//! The platform's keyring, behind the interface of `keyring-core`.

use std::collections::HashMap;
use std::sync::Arc;

use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error};
use zeroize::Zeroizing;

use super::key::{CacheKey, Name};
use super::store::{StoreError, TokenStore};

const SERVICE: &str = "git-credential-ghapp";

/// Keeps tokens in a store of `keyring-core`'s interface.
pub(super) struct Keyring {
    name: &'static str,
    store: Arc<CredentialStore>,
}

/// The keyring of this platform: the kernel's on Linux.
#[cfg(target_os = "linux")]
pub(super) fn platform() -> Result<Keyring, StoreError> {
    Ok(Keyring { name: "kernel keyring", store: Arc::new(super::kernel::KernelKeyring) })
}

/// The keyring of this platform: the user's login keychain on macOS.
#[cfg(target_os = "macos")]
pub(super) fn platform() -> Result<Keyring, StoreError> {
    let store = apple_native_keyring_store::keychain::Store::new().map_err(explain)?;
    Ok(Keyring { name: "Keychain", store })
}

/// The keyring of this platform: the Credential Manager on Windows.
#[cfg(windows)]
pub(super) fn platform() -> Result<Keyring, StoreError> {
    let store = windows_native_keyring_store::Store::new().map_err(explain)?;
    Ok(Keyring { name: "Credential Manager", store })
}

/// There is none that this program knows.
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub(super) fn platform() -> Result<Keyring, StoreError> {
    Err("there is no keyring for this platform".to_owned())
}

impl Keyring {
    /// `lifetime` is for writing: how many seconds the entry is of use.
    fn entry(&self, key: &CacheKey, lifetime: Option<u64>) -> Result<Entry, StoreError> {
        let modifiers = if cfg!(windows) {
            // Without it a token would roam to every machine of a domain.
            Some(("persistence", "Local".to_owned()))
        } else if cfg!(target_os = "linux") {
            lifetime.map(|seconds| (super::LIFETIME_MODIFIER, seconds.to_string()))
        } else {
            None
        };
        let modifiers = modifiers.as_ref().map(|(name, value)| HashMap::from([(*name, value.as_str())]));
        self.store.build(SERVICE, key.name(), modifiers.as_ref()).map_err(explain)
    }
}

impl TokenStore for Keyring {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&self, key: &CacheKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        match self.entry(key, None)?.get_secret() {
            Ok(entry) => Ok(Some(Zeroizing::new(entry))),
            Err(Error::NoEntry) => Ok(None),
            Err(e) => Err(explain(e)),
        }
    }

    fn write(&self, key: &CacheKey, entry: &[u8], lifetime: u64) -> Result<(), StoreError> {
        self.entry(key, Some(lifetime))?.set_secret(entry).map_err(explain)
    }

    fn remove(&self, key: &CacheKey) -> Result<(), StoreError> {
        match self.entry(key, None)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(e) => Err(explain(e)),
        }
    }
}

/// The kind of the error only: some of `keyring-core`'s errors carry the entry itself.
fn explain(error: Error) -> StoreError {
    match error {
        Error::PlatformFailure(e) | Error::NoStorageAccess(e) => e.to_string(),
        Error::TooLong(what, limit) => format!("{what} may have {limit} characters at most"),
        Error::NotSupportedByStore(what) => what,
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) => {
            "the entry is damaged".to_owned()
        }
        _ => "the keyring refused".to_owned(),
    }
}
