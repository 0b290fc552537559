//! The stores that tokens are kept in.
//!
//! A new store is a file of its own here, and its function `open` in [`CHOICES`]. A new choice has its name in the help of the
//! setting `cache`, too, and a kind of file that it keeps in the cache folder is one of [`KINDS`].

mod circuit_breaker;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(any(target_os = "macos", windows))]
mod keyring_core;
mod sealed;
#[cfg(target_os = "linux")]
mod secret_service;

use std::fmt;
use std::rc::Rc;

use zeroize::Zeroizing;

use super::folder::{Folder, Kind};
use super::key::TokenKey;
use crate::world::World;

pub(super) use circuit_breaker::CircuitBreaker;
pub(crate) use sealed::{Effort, Sealer};
pub(super) use sealed::{Sealing, forget_secret};

/// The kinds of files that stores keep in the cache folder, for sweeping.
pub(super) const KINDS: [Kind; 2] = [sealed::KIND, circuit_breaker::KIND];

/// Why a store did not do what it was asked, in words that follow a colon.
pub(super) type StoreError = String;

/// A place that keeps tokens. Entries are opaque bytes here.
pub(super) trait Store {
    /// What a person calls it.
    fn name(&self) -> &'static str;

    /// The entry, if there is one.
    fn read(&self, key: &TokenKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

    /// The names of all entries that can be found without their names; `None` where this store cannot list them.
    fn keys(&self) -> Result<Option<Vec<TokenKey>>, StoreError> {
        Ok(None)
    }

    /// Whether there is an entry, readable or not.
    fn holds(&self, key: &TokenKey) -> bool {
        matches!(self.read(key), Ok(Some(_)))
    }

    /// Keeps an entry. It is of no use after `lifetime` seconds, and a store that can forgets it then.
    fn write(&self, key: &TokenKey, entry: &[u8], lifetime: u64) -> Result<(), StoreError>;

    /// Drops the entry, if there is one.
    fn remove(&self, key: &TokenKey) -> Result<(), StoreError>;
}

/// What a store is opened with.
#[derive(Clone)]
pub(super) struct Opening<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) folder: Option<&'a Folder<'a>>,
    /// What files are sealed under; `None` where no App is known.
    pub(super) sealer: Option<Rc<dyn Sealer + 'a>>,
}

type Open = for<'a> fn(Opening<'a>) -> Result<Box<dyn Store + 'a>, StoreError>;

/// What the setting `cache` may say: the stores that may hold a token, in the order in which they are asked.
static CHOICES: &[(&str, &[Open])] = &[
    ("auto", &[PLATFORM, sealed::open]),
    ("keyring", &[PLATFORM]),
    ("secret-service", &[SECRET_SERVICE]),
    ("file", &[sealed::open]),
    ("none", &[]),
];

/// The keyring of this platform.
#[cfg(target_os = "linux")]
const PLATFORM: Open = kernel::open;
#[cfg(any(target_os = "macos", windows))]
const PLATFORM: Open = keyring_core::open;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
const PLATFORM: Open = |_| Err("there is no keyring for this platform".to_owned());

#[cfg(target_os = "linux")]
const SECRET_SERVICE: Open = secret_service::open;
#[cfg(not(target_os = "linux"))]
const SECRET_SERVICE: Open = |_| Err("there is no Secret Service on this platform".to_owned());

/// Where tokens are kept: one of [`CHOICES`].
#[derive(Clone, Copy)]
pub(crate) struct StoreKind(&'static (&'static str, &'static [Open]));

impl StoreKind {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        CHOICES.iter().find(|(choice, _)| *choice == name).map(Self)
    }

    /// What may be parsed.
    pub(crate) fn names() -> Vec<&'static str> {
        CHOICES.iter().map(|(name, _)| *name).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        self.0.0
    }

    /// Whether tokens are kept nowhere, so that every request mints.
    pub(super) fn is_none(self) -> bool {
        self.0.1.is_empty()
    }

    /// The stores that may hold a token, in the order in which they are asked.
    pub(super) fn open<'a>(
        self,
        opening: Opening<'a>,
    ) -> impl Iterator<Item = Result<Box<dyn Store + 'a>, StoreError>> {
        self.0.1.iter().map(move |open| open(opening.clone()))
    }
}

impl Default for StoreKind {
    fn default() -> Self {
        Self(&CHOICES[0])
    }
}

impl PartialEq for StoreKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl fmt::Debug for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
