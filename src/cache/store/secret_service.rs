//! The freedesktop Secret Service: GNOME Keyring, `KWallet`.

use zeroize::Zeroizing;

use super::circuit_breaker::CircuitBreaker;
use super::{Opening, Store, StoreError};
use crate::cache::key::{Name as _, TokenKey};
use crate::secret_service::{self, Attributes, Trouble};

/// Keeps tokens in the default collection.
struct SecretServiceStore<'a> {
    has_bus: bool,
    breaker: CircuitBreaker<'a>,
}

pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Store + '_>, StoreError> {
    let has_bus = opening.world.has_session_bus();
    Ok(Box::new(SecretServiceStore { has_bus, breaker: CircuitBreaker::new("secret-service", &opening) }))
}

impl SecretServiceStore<'_> {
    fn call<T: Send + 'static>(
        &self,
        key: &TokenKey,
        work: impl FnOnce(Attributes<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.has_bus {
            return Err("there is no D-Bus session bus".to_owned());
        }
        let key = key.name().to_owned();
        self.breaker.call(move || {
            let attributes = Attributes::from([("application", "git-credential-ghapp"), ("key", &key)]);
            work(attributes).map_err(|trouble| match trouble {
                Trouble::Refused(why) => Some(why),
                Trouble::Unavailable => None,
            })
        })
    }
}

impl Store for SecretServiceStore<'_> {
    fn name(&self) -> &'static str {
        "Secret Service"
    }

    fn read(&self, key: &TokenKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.call(key, secret_service::read)
    }

    fn write(&self, key: &TokenKey, entry: &[u8], _: u64) -> Result<(), StoreError> {
        let entry = Zeroizing::new(entry.to_vec());
        self.call(key, move |attributes| {
            secret_service::write("git-credential-ghapp: installation access token", attributes, &entry)
        })
    }

    fn remove(&self, key: &TokenKey) -> Result<(), StoreError> {
        self.call(key, secret_service::remove)
    }
}
