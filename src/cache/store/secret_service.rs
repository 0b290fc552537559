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

/// The attribute that holds an entry's name.
const KEY: &str = "key";

impl SecretServiceStore<'_> {
    /// Works on an entry, or on all that are ours.
    fn call<T: Send + 'static>(
        &self,
        key: Option<&TokenKey>,
        work: impl FnOnce(Attributes<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.has_bus {
            return Err("there is no D-Bus session bus".to_owned());
        }
        let key = key.map(|key| key.name().to_owned());
        self.breaker.call(move || {
            let mut attributes = Attributes::from([("application", "git-credential-ghapp")]);
            attributes.extend(key.as_deref().map(|key| (KEY, key)));
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
        self.call(Some(key), secret_service::read)
    }

    fn keys(&self) -> Result<Option<Vec<TokenKey>>, StoreError> {
        let names = self.call(None, |attributes| secret_service::values(attributes, KEY))?;
        Ok(Some(names.iter().filter_map(|name| TokenKey::from_name(name)).collect()))
    }

    fn write(&self, key: &TokenKey, entry: &[u8], _: u64) -> Result<(), StoreError> {
        let entry = Zeroizing::new(entry.to_vec());
        self.call(Some(key), move |attributes| {
            secret_service::write("git-credential-ghapp: installation access token", attributes, &entry)
        })
    }

    fn remove(&self, key: &TokenKey) -> Result<(), StoreError> {
        self.call(Some(key), secret_service::remove)
    }
}
