//! The platform's keyring, behind the interface of `keyring-core`.

use std::collections::HashMap;
use std::sync::Arc;

use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error};
use zeroize::Zeroizing;

use super::health::Health;
use super::key::{CacheKey, Name};
use super::store::{StoreError, TokenStore};

const SERVICE: &str = "git-credential-ghapp";

/// Keeps tokens in a store of `keyring-core`'s interface.
pub(super) struct Keyring<'a> {
    name: &'static str,
    store: Arc<CredentialStore>,
    /// For a keyring that may ask a person before it answers.
    health: Option<Health<'a>>,
}

/// The keyring of this platform: the kernel's on Linux.
#[cfg(target_os = "linux")]
pub(super) fn platform(_: Health<'_>) -> Result<Keyring<'_>, StoreError> {
    Ok(Keyring { name: "kernel keyring", store: Arc::new(super::kernel::KernelKeyring), health: None })
}

/// The keyring of this platform: the user's login keychain on macOS, which asks for a password while it is locked.
#[cfg(target_os = "macos")]
pub(super) fn platform(health: Health<'_>) -> Result<Keyring<'_>, StoreError> {
    let store = apple_native_keyring_store::keychain::Store::new().map_err(explain)?;
    Ok(Keyring { name: "Keychain", store, health: Some(health) })
}

/// The keyring of this platform: the Credential Manager on Windows.
#[cfg(windows)]
pub(super) fn platform(_: Health<'_>) -> Result<Keyring<'_>, StoreError> {
    let store = windows_native_keyring_store::Store::new().map_err(explain)?;
    Ok(Keyring { name: "Credential Manager", store, health: None })
}

/// There is none that this program knows.
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub(super) fn platform(_: Health<'_>) -> Result<Keyring<'_>, StoreError> {
    Err("there is no keyring for this platform".to_owned())
}

impl Keyring<'_> {
    /// Works on an entry. `lifetime` is for writing: how many seconds the entry is of use.
    fn call<T: Send + 'static>(
        &self,
        key: &CacheKey,
        lifetime: Option<u64>,
        work: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let modifiers = if cfg!(windows) {
            // Without it a token would roam to every machine of a domain.
            Some(("persistence", "Local".to_owned()))
        } else if cfg!(target_os = "linux") {
            lifetime.map(|seconds| (super::LIFETIME_MODIFIER, seconds.to_string()))
        } else {
            None
        };
        let modifiers = modifiers.as_ref().map(|(name, value)| HashMap::from([(*name, value.as_str())]));
        let entry = self.store.build(SERVICE, key.name(), modifiers.as_ref()).map_err(explain)?;
        let work = move || match work(&entry) {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoEntry) => Ok(None),
            Err(e) => Err(explain(e)),
        };
        match &self.health {
            Some(health) => health.call(move || work().map_err(Some)),
            None => work(),
        }
    }
}

impl TokenStore for Keyring<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&self, key: &CacheKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.call(key, None, |entry| entry.get_secret().map(Zeroizing::new))
    }

    fn write(&self, key: &CacheKey, entry: &[u8], lifetime: u64) -> Result<(), StoreError> {
        let secret = Zeroizing::new(entry.to_vec());
        self.call(key, Some(lifetime), move |entry| entry.set_secret(&secret)).map(drop)
    }

    fn remove(&self, key: &CacheKey) -> Result<(), StoreError> {
        self.call(key, None, Entry::delete_credential).map(drop)
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
