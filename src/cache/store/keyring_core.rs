//! Keychain on macOS and Credential Manager on Windows, through the interface of the crate `keyring-core`.

use std::collections::HashMap;
use std::sync::Arc;

use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error};
use zeroize::Zeroizing;

use super::circuit_breaker::CircuitBreaker;
use super::{Opening, Store, StoreError};
use crate::cache::key::{Name as _, TokenKey};

const SERVICE: &str = "git-credential-ghapp";

struct Keyring<'a> {
    name: &'static str,
    store: Arc<CredentialStore>,
    breaker: CircuitBreaker<'a>,
}

#[cfg(target_os = "macos")]
pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Store + '_>, StoreError> {
    let store = apple_native_keyring_store::keychain::Store::new().map_err(explain)?;
    Ok(Box::new(Keyring { name: "Keychain", store, breaker: CircuitBreaker::new("keyring", &opening) }))
}

#[cfg(windows)]
pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Store + '_>, StoreError> {
    let store = windows_native_keyring_store::Store::new().map_err(explain)?;
    Ok(Box::new(Keyring {
        name: "Credential Manager",
        store,
        breaker: CircuitBreaker::new("keyring", &opening),
    }))
}

impl Keyring<'_> {
    /// Works on an entry. `None`: there is no such entry. A keychain that is locked asks for a password, hence the
    /// circuit breaker.
    fn call<T: Send + 'static>(
        &self,
        key: &TokenKey,
        work: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        // Without it a token would roam to every machine of a Windows domain.
        let modifiers = cfg!(windows).then(|| HashMap::from([("persistence", "Local")]));
        let entry = self.store.build(SERVICE, key.name(), modifiers.as_ref()).map_err(explain)?;
        self.breaker.call(move || match work(&entry) {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoEntry) => Ok(None),
            Err(e) => Err(Some(explain(e))),
        })
    }
}

impl Store for Keyring<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&self, key: &TokenKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.call(key, |entry| entry.get_secret().map(Zeroizing::new))
    }

    fn write(&self, key: &TokenKey, entry: &[u8], _: u64) -> Result<(), StoreError> {
        let secret = Zeroizing::new(entry.to_vec());
        self.call(key, move |entry| entry.set_secret(&secret)).map(drop)
    }

    fn remove(&self, key: &TokenKey) -> Result<(), StoreError> {
        self.call(key, Entry::delete_credential).map(drop)
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
