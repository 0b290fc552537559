//! The freedesktop Secret Service over D-Bus, for who asks for it.

use std::collections::HashMap;

use dbus_secret_service::{Error, SecretService};
use zeroize::Zeroizing;

use super::health::Health;
use super::key::{CacheKey, Name};
use super::store::{StoreError, TokenStore};
use crate::keychain::{read_item, remove_items, with_secret_service, write_item};

/// Keeps tokens in the default collection.
pub(super) struct SecretServiceStore<'a> {
    /// Whether there is an address to connect to. Without one libdbus would start a bus of its own.
    bus: bool,
    health: Health<'a>,
}

impl<'a> SecretServiceStore<'a> {
    pub(super) fn new(bus: bool, health: Health<'a>) -> Self {
        Self { bus, health }
    }

    /// Connects and works, without ever prompting.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SecretService) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.bus {
            return Err("there is no D-Bus session bus".to_owned());
        }
        self.health.call(|| with_secret_service(work))
    }
}

fn attributes(key: &str) -> HashMap<&str, &str> {
    HashMap::from([("application", "git-credential-ghapp"), ("key", key)])
}

impl TokenStore for SecretServiceStore<'_> {
    fn name(&self) -> &'static str {
        "Secret Service"
    }

    fn read(&self, key: &CacheKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let key = key.name().to_owned();
        self.call(move |service| {
            read_item(service, attributes(&key)).map(|secret| secret.map(Zeroizing::new))
        })
    }

    fn write(&self, key: &CacheKey, entry: &[u8], _: u64) -> Result<(), StoreError> {
        let (key, entry) = (key.name().to_owned(), Zeroizing::new(entry.to_vec()));
        self.call(move |service| {
            let label = "git-credential-ghapp: installation access token";
            write_item(service, label, attributes(&key), &entry)
        })
    }

    fn remove(&self, key: &CacheKey) -> Result<(), StoreError> {
        let key = key.name().to_owned();
        self.call(move |service| remove_items(service, attributes(&key)))
    }
}
