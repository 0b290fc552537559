//! What is kept between calls: tokens in a store that protects them, routes in small files.
//!
//! Trouble in here never fails a request: it is told as a warning, and the request goes on without a cache.

mod folder;
mod grants;
mod health;
#[cfg(target_os = "linux")]
mod kernel;
mod key;
mod keyring;
mod known;
mod lock;
mod routes;
mod sealed;
#[cfg(target_os = "linux")]
mod secret_service;
mod store;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::app::App;
use crate::clock::{Clock, Timestamp};
use crate::config::StoreKind;
use crate::error::{Error, Failure};
use crate::protocol::can_carry;
use crate::secret::Secret;
use crate::terminal::Terminal;

pub(crate) use folder::Folder;
pub use grants::Grant;
use health::Health;
pub use key::{ApiKey, CacheKey, RouteKey};
pub use known::Known;
use lock::{Lock, Waited};
use sealed::SealedFiles;
use store::TokenStore;

/// How the lifetime of an entry, in seconds, reaches a store of `keyring-core`'s interface that can use it.
const LIFETIME_MODIFIER: &str = "lifetime";

/// A token as it is kept.
#[derive(Debug)]
pub struct Entry {
    /// The installation access token.
    pub token: Secret,
    /// When it expires, by GitHub's clock.
    pub expires_at: Timestamp,
    /// When it came, by the local clock, since the Unix epoch.
    pub minted_at: Duration,
    /// How many seconds GitHub's clock was ahead of the local one when the token was minted.
    pub clock_offset: i64,
}

/// The entry's bytes, apart from the entry so that a [`Secret`] needs no way to be serialised.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    token: T,
    expires_at: Timestamp,
    minted_at: Duration,
    clock_offset: i64,
}

impl Entry {
    /// How many seconds the token stays valid.
    #[must_use]
    pub fn remaining(&self, local: Timestamp) -> i64 {
        self.expires_at.since(local.plus(self.clock_offset))
    }

    /// The entry as a store keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let kept = Kept {
            token: self.token.expose(),
            expires_at: self.expires_at,
            minted_at: self.minted_at,
            clock_offset: self.clock_offset,
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
        // Text and numbers can always be written to memory.
        let _ = serde_json::to_writer(&mut *bytes, &kept);
        bytes
    }

    /// Reads what a store kept; `None` if that is damaged, or of another version.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kept: Kept<Secret> = serde_json::from_slice(bytes).ok()?;
        can_carry(kept.token.expose()).then_some(())?;
        Some(Self {
            token: kept.token,
            expires_at: kept.expires_at,
            minted_at: kept.minted_at,
            clock_offset: kept.clock_offset,
        })
    }
}

/// What kind of a token will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'w> {
    /// Any that is fresh.
    Any,
    /// Any but the one with this fingerprint, which was refused just now and is dropped.
    NotThis(&'w str),
    /// One that was not there before.
    New,
}

impl Wanted<'_> {
    /// Whether this is the token that was refused.
    fn refuses(self, entry: &Entry) -> bool {
        matches!(self, Self::NotThis(refused) if entry.token.fingerprint() == refused)
    }
}

/// What a [`Cache`] is opened with.
pub struct Settings<'a> {
    /// Where tokens are kept.
    pub store: StoreKind,
    /// A cached token is used while it is valid for at least this many seconds.
    pub min_fresh: i64,
    /// How long is waited for another process that looks up or mints the same.
    pub deadline: Duration,
    /// Where files are kept.
    pub folder: Option<&'a Path>,
    /// Whether a D-Bus session bus has an address, for the store that is behind one.
    pub session_bus: bool,
}

/// Tokens and routes of one App, as far as they are remembered.
pub struct Cache<'a> {
    pub(self) clock: Clock,
    terminal: &'a Terminal,
    settings: Settings<'a>,
    app: &'a App<'a>,
    folder: Result<Folder, Error>,
}

impl<'a> Cache<'a> {
    /// Opens the cache. What cannot be opened is told when it is missed.
    pub fn open(settings: Settings<'a>, app: &'a App<'a>, clock: Clock, terminal: &'a Terminal) -> Self {
        let folder = match settings.folder {
            Some(path) => Folder::open(path),
            None => Err(Error::new("there is no cache folder: this user has no home")
                .hint("set HOME or XDG_CACHE_HOME")),
        };
        Self { clock, terminal, settings, app, folder }
    }

    pub(self) fn folder(&self) -> Option<&Folder> {
        self.folder.as_ref().ok()
    }

    pub(self) fn warn(&self, what: &str) {
        self.terminal.warning(&Error::new(what));
    }

    /// The stores that may hold an entry, in the order in which they are asked.
    fn stores(&self) -> impl Iterator<Item = Result<Box<dyn TokenStore + '_>, String>> {
        let kind = self.settings.store;
        let keyring = matches!(kind, StoreKind::Auto | StoreKind::Keyring).then(|| {
            keyring::platform(self.health("keyring")).map(|keyring| Box::new(keyring) as Box<dyn TokenStore>)
        });
        let service = (kind == StoreKind::SecretService).then(|| self.secret_service());
        let sealed = matches!(kind, StoreKind::Auto | StoreKind::File).then(|| match self.folder() {
            Some(folder) => Ok(Box::new(SealedFiles::new(folder, self.app)) as Box<dyn TokenStore>),
            None => Err("there is no cache folder".to_owned()),
        });
        [keyring, service, sealed].into_iter().flatten()
    }

    fn health(&self, store: &'static str) -> Health<'_> {
        Health::new(store, self.folder(), self.clock)
    }

    #[cfg(target_os = "linux")]
    fn secret_service(&self) -> Result<Box<dyn TokenStore + '_>, String> {
        let bus = self.settings.session_bus;
        Ok(Box::new(secret_service::SecretServiceStore::new(bus, self.health("secret-service"))))
    }

    #[cfg(not(target_os = "linux"))]
    fn secret_service(&self) -> Result<Box<dyn TokenStore + '_>, String> {
        Err("there is no Secret Service on this platform".to_owned())
    }

    /// A token for `key`: a cached one that is `wanted` and fresh, or one that `mint` gets, which runs in one
    /// process at a time. `mint` is told whether there is a token to fall back on, in which case it need not try
    /// for long.
    ///
    /// # Errors
    /// Those of `mint`, unless a cached token is still valid, though not fresh, and GitHub cannot be asked. And
    /// if too many tokens were refused lately.
    pub fn get_or_mint(
        &self,
        key: &CacheKey,
        wanted: Wanted<'_>,
        mint: impl FnOnce(bool) -> Result<Entry, Failure>,
    ) -> Result<Entry, Failure> {
        if self.settings.store == StoreKind::None {
            return mint(false);
        }
        if wanted != Wanted::New
            && let Some(entry) = self.read(key).filter(|entry| self.is_fresh(entry) && !wanted.refuses(entry))
        {
            return Ok(entry);
        }
        self.mint_once(key, wanted, mint)
    }

    /// The same, when there is no fresh one.
    #[cold]
    fn mint_once(
        &self,
        key: &CacheKey,
        wanted: Wanted<'_>,
        mint: impl FnOnce(bool) -> Result<Entry, Failure>,
    ) -> Result<Entry, Failure> {
        self.terminal.trace(|| "cache: no fresh token".to_owned());
        if let Err(why) = &self.folder {
            self.terminal.warning(why);
        }
        let is_usable = |entry: &Entry| match wanted {
            Wanted::New => self.is_news(entry),
            _ => !wanted.refuses(entry) && (self.is_fresh(entry) || self.is_news(entry)),
        };
        let _lock = match self.lock("token", key, "minting", || self.read(key).filter(is_usable)) {
            Some(Waited::Done(entry)) => return Ok(entry),
            Some(Waited::Locked(lock)) => Some(lock),
            None => None,
        };
        let cached = match self.read(key) {
            Some(entry) if is_usable(&entry) => return Ok(entry),
            Some(entry) if wanted.refuses(&entry) => {
                self.erase(key, &entry.token);
                None
            }
            stale => stale.filter(|entry| entry.remaining(self.clock.now()) > 0),
        };
        self.brake(key)?;
        match (mint(cached.is_some()), cached) {
            (Ok(entry), _) => {
                self.keep(key, &entry);
                Ok(entry)
            }
            (Err(Failure::Unreachable(why) | Failure::Limited(why, _)), Some(entry))
                if entry.remaining(self.clock.now()) > 0 =>
            {
                let remaining = entry.remaining(self.clock.now());
                self.warn(&format!(
                    "no new token can be had, so one that expires in {remaining} s is used: {why}"
                ));
                Ok(entry)
            }
            (Err(why), _) => Err(why),
        }
    }

    /// Takes the lock of a name unless another process has `done` the work meanwhile, or says why `doing` goes
    /// on without.
    fn lock<T>(
        &self,
        kind: &str,
        name: &impl key::Name,
        doing: &str,
        done: impl Fn() -> Option<T>,
    ) -> Option<Waited<T>> {
        match Lock::take(self.folder()?, kind, name, self.settings.deadline, done) {
            Ok(waited) => Some(waited),
            Err(why) => {
                self.warn(&format!("{doing} without a lock: {why}"));
                None
            }
        }
    }

    fn is_fresh(&self, entry: &Entry) -> bool {
        entry.remaining(self.clock.now()) >= self.settings.min_fresh.max(1)
    }

    /// Whether another process minted it while this one waited for the lock: it cannot be had fresher.
    fn is_news(&self, entry: &Entry) -> bool {
        entry.minted_at > self.clock.began() && entry.remaining(self.clock.now()) > 0
    }

    /// The entry of the first store that has one; of two, the one that lives longer.
    fn read(&self, key: &CacheKey) -> Option<Entry> {
        let mut best: Option<Entry> = None;
        for store in self.stores().flatten() {
            // A store that cannot be read is told when it cannot be written.
            let entry = store.read(key).ok().flatten().and_then(|bytes| Entry::from_bytes(&bytes));
            best = match (best, entry) {
                (Some(best), Some(entry)) if entry.expires_at <= best.expires_at => Some(best),
                (best, None) => best,
                (_, entry) => entry,
            };
            if best.as_ref().is_some_and(|entry| self.is_fresh(entry)) {
                break;
            }
        }
        best
    }

    /// Writes to the first store that takes the entry. That it is not the first of all is told once a day.
    fn keep(&self, key: &CacheKey, entry: &Entry) {
        let lifetime = u64::try_from(entry.remaining(self.clock.now())).unwrap_or(0);
        if lifetime == 0 {
            return;
        }
        self.sweep();
        let bytes = entry.to_bytes();
        let mut refusals = Vec::new();
        for store in self.stores() {
            let kept = store.and_then(|store| {
                let written = store.write(key, &bytes, lifetime).map(|()| store.name());
                written.map_err(|why| format!("{}: {why}", store.name()))
            });
            match kept {
                Ok(_) if refusals.is_empty() => return,
                Ok(name) => {
                    if self.is_first_time_today("fallback") {
                        self.warn(&format!("tokens are kept in a {name}: {}", refusals.join("; ")));
                    }
                    return;
                }
                Err(why) => refusals.push(why),
            }
        }
        self.warn(&format!("the token is not cached, so the next call mints again: {}", refusals.join("; ")));
    }

    /// Once a day removes what cannot be of use any more, so that the folder does not grow for ever.
    fn sweep(&self) {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        if let Some(folder) = self.folder()
            && self.is_first_time_today("swept")
        {
            for (kind, age) in
                [(sealed::KIND, DAY), (grants::KIND, DAY), (known::REFUSALS, DAY), (routes::KIND, 30 * DAY)]
            {
                folder.sweep(kind, age);
            }
        }
    }

    /// The entry, wherever it is, however fresh it is.
    #[must_use]
    pub fn peek(&self, key: &CacheKey) -> Option<Entry> {
        self.read(key)
    }

    /// Where the entry is kept, if it is.
    #[must_use]
    pub fn place_of(&self, key: &CacheKey) -> Option<&'static str> {
        self.stores().flatten().find(|store| store.holds(key)).map(|store| store.name())
    }

    /// Tries each store with an entry that is dropped again. Gives the name of each, and why it is not of use.
    #[must_use]
    pub fn try_stores(&self) -> Vec<(String, Result<(), String>)> {
        let key = CacheKey::for_trial(self.clock.began());
        let trial = |store: &dyn TokenStore| {
            store.write(&key, b"trial", 60)?;
            let read = store.read(&key);
            store.remove(&key)?;
            match read? {
                Some(entry) if *entry == b"trial" => Ok(()),
                _ => Err("what is written cannot be read".to_owned()),
            }
        };
        let mut stores: Vec<(String, Result<(), String>)> = self
            .stores()
            .map(|store| match store {
                Ok(store) => (store.name().to_owned(), trial(store.as_ref())),
                Err(why) => ("store".to_owned(), Err(why)),
            })
            .collect();
        if let Err(why) = &self.folder {
            stores.push(("cache folder".to_owned(), Err(why.to_string())));
        }
        stores
    }

    /// Forgets everything but tokens: routes, what is known about APIs, what was told.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn forget_everything(&self) -> Result<(), Error> {
        self.folder().map_or(Ok(()), Folder::clear)
    }

    /// Drops the entry from every store.
    ///
    /// # Errors
    /// If a store that holds it cannot let go of it.
    pub fn forget(&self, key: &CacheKey) -> Result<(), Error> {
        for store in self.stores().flatten() {
            if store.holds(key) {
                store
                    .remove(key)
                    .map_err(|why| Error::new(format!("cannot drop a token: {}: {why}", store.name())))?;
            }
        }
        self.forget_grant(key);
        Ok(())
    }

    /// A token was refused: drops the entry from every store that holds exactly this token, and counts that.
    pub fn erase(&self, key: &CacheKey, token: &Secret) {
        let mut dropped = false;
        for store in self.stores().flatten() {
            let entry = store.read(key).ok().flatten().and_then(|bytes| Entry::from_bytes(&bytes));
            if entry.is_some_and(|entry| entry.token.matches(token)) {
                dropped = true;
                if let Err(why) = store.remove(key) {
                    self.warn(&format!("cannot drop a refused token: {}: {why}", store.name()));
                }
            }
        }
        if dropped {
            self.count_refusal(key);
        }
    }
}

#[cfg(test)]
mod tests;
