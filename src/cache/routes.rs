//! Route files: where an installation was found, one small file each, with nothing secret in it.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::folder::Kind;
use super::key::{Name as _, RouteKey};
use super::lock::{Lock, LockOutcome};
use crate::error::cause;
use crate::names::InstallationRef;
use crate::time::Timestamp;

pub(super) const KIND: Kind = Kind::of_digests("routes");

/// How long it is remembered that there is no installation, in seconds: a person who just installed the App
/// does not want to wait.
const REMEMBER_MISSING: i64 = 30;
/// How long it is remembered where an installation is, in seconds: repositories move to other owners.
const REMEMBER_FOUND: i64 = 24 * 3600;

/// What a lookup found, and when, by the local clock.
#[derive(Serialize, Deserialize)]
struct Route {
    found: Option<InstallationRef>,
    at: Timestamp,
}

/// What is to be done to know where a route leads.
pub(crate) enum LookupTurn {
    /// Nothing: another process looked it up meanwhile. `None`: there is no installation.
    Known(Option<InstallationRef>),
    /// Look it up, while the others wait for the lock.
    LookUp {
        /// Held until it is dropped.
        _lock: Option<Lock>,
        /// What was remembered too long ago.
        old: Option<InstallationRef>,
    },
}

impl Cache<'_> {
    /// Where a route leads, if that was looked up lately. `Some(None)`: there was no installation.
    pub(crate) fn route(&self, key: &RouteKey) -> Option<Option<InstallationRef>> {
        Some(self.read_route(key).filter(|route| self.is_current(route))?.found)
    }

    /// Where a route leads, however long ago it was looked up.
    pub(crate) fn old_route(&self, key: &RouteKey) -> Option<InstallationRef> {
        self.read_route(key)?.found
    }

    /// Waits until this process may look a route up, or another one did.
    pub(crate) fn turn_to_look_up(&self, key: &RouteKey) -> LookupTurn {
        let lock = match self.lock("route", key, "looking up the installation", || self.route(key)) {
            LockOutcome::Done(found) => return LookupTurn::Known(found),
            LockOutcome::Locked(lock) => Some(lock),
            LockOutcome::Unlocked => None,
        };
        match self.route(key) {
            Some(found) => LookupTurn::Known(found),
            None => LookupTurn::LookUp { _lock: lock, old: self.old_route(key) },
        }
    }

    /// Remembers where a route leads.
    pub(crate) fn remember_route(&self, key: &RouteKey, found: Option<InstallationRef>) {
        let route = Route { found, at: self.world.clock.now() };
        if let Some(folder) = self.folder()
            && let Err(e) = folder.write_json(KIND, key.name(), &route)
        {
            self.warn(&format!("cannot remember the installation: {}", cause(&e)));
        }
    }

    /// Forgets where a route leads.
    pub(crate) fn forget_route(&self, key: &RouteKey) {
        if let Some(folder) = self.folder() {
            // A file that stays leads to the same stale installation, and to one more lookup.
            let _ = folder.remove(KIND, key.name());
        }
    }

    fn read_route(&self, key: &RouteKey) -> Option<Route> {
        self.folder()?.read_json(KIND, key.name())
    }

    fn is_current(&self, route: &Route) -> bool {
        let limit = if route.found.is_some() { REMEMBER_FOUND } else { REMEMBER_MISSING };
        (0..limit).contains(&self.world.clock.now().since(route.at))
    }
}
