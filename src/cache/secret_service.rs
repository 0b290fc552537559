//! The freedesktop Secret Service over D-Bus, for who asks for it.
//!
//! A bus can hang, and a locked collection asks for a password that nobody types. So nothing here prompts,
//! everything runs in a thread that is abandoned after a deadline, and a service that was found ill is left
//! alone for a while.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dbus_secret_service::{EncryptionType, Error, SecretService};
use zeroize::Zeroizing;

use super::folder::Folder;
use super::key::{CacheKey, Name};
use super::store::{StoreError, TokenStore};
use crate::clock::{Clock, Timestamp};

/// How long git waits for the service, at most.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long an ill service is left alone, in seconds.
const LEFT_ALONE: i64 = 180;
const MARKER: (&str, &str) = ("unhealthy", "secret-service");

/// Keeps tokens in the default collection.
pub(super) struct SecretServiceStore<'a> {
    /// Whether there is an address to connect to. Without one libdbus would start a bus of its own.
    bus: bool,
    folder: Option<&'a Folder>,
    clock: Clock,
}

impl<'a> SecretServiceStore<'a> {
    pub(super) fn new(bus: bool, folder: Option<&'a Folder>, clock: Clock) -> Self {
        Self { bus, folder, clock }
    }

    /// Connects and works in a thread of its own.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SecretService) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.bus {
            return Err("there is no D-Bus session bus".to_owned());
        }
        if self.is_left_alone() {
            return Err(format!("it did not answer lately and is left alone for {LEFT_ALONE} s"));
        }
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // Plain: a session bus is private to the user, and its messages are not encrypted by anyone else.
            let result = SecretService::connect_with_max_prompt_timeout(EncryptionType::Plain, 0)
                .and_then(|service| work(&service));
            // Nobody listens any more after the deadline.
            let _ = sender.send(result);
        });
        match receiver.recv_timeout(DEADLINE) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Error::Locked | Error::Prompt)) => Err("its collection is locked".to_owned()),
            Ok(Err(Error::Dbus(e))) if e.name() == Some("org.freedesktop.Secret.Error.IsLocked") => {
                Err("its collection is locked".to_owned())
            }
            Ok(Err(Error::NoResult)) => Err("it has no default collection".to_owned()),
            Ok(Err(_)) => {
                self.leave_alone();
                Err("it is not available on the session bus".to_owned())
            }
            Err(_) => {
                self.leave_alone();
                Err(format!("it did not answer within {} s", DEADLINE.as_secs()))
            }
        }
    }

    fn is_left_alone(&self) -> bool {
        let marker = self.folder.and_then(|folder| folder.read(MARKER.0, MARKER.1).ok().flatten());
        let until = marker.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok().map(Timestamp));
        until.is_some_and(|until| (0..=LEFT_ALONE).contains(&until.since(self.clock.now())))
    }

    fn leave_alone(&self) {
        if let Some(folder) = self.folder {
            let until = self.clock.now().plus(LEFT_ALONE);
            // Without the marker the next call waits once more; that is all.
            let _ = folder.write(MARKER.0, MARKER.1, until.0.to_string().as_bytes());
        }
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
            // A locked item cannot be read without a prompt: a miss.
            match service.search_items(attributes(&key))?.unlocked.first() {
                Some(item) => item.get_secret().map(|secret| Some(Zeroizing::new(secret))),
                None => Ok(None),
            }
        })
    }

    fn write(&self, key: &CacheKey, entry: &[u8], _: u64) -> Result<(), StoreError> {
        let (key, entry) = (key.name().to_owned(), Zeroizing::new(entry.to_vec()));
        self.call(move |service| {
            let collection = service.get_default_collection()?;
            let label = "git-credential-ghapp: installation access token";
            collection.create_item(label, attributes(&key), &entry, true, "text/plain").map(drop)
        })
    }

    fn remove(&self, key: &CacheKey) -> Result<(), StoreError> {
        let key = key.name().to_owned();
        self.call(move |service| {
            service.search_items(attributes(&key))?.unlocked.iter().try_for_each(|item| item.delete())
        })
    }
}
