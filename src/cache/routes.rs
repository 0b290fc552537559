//! Route files: where an installation was found, one small file each, with nothing secret in it.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::key::{Name, RouteKey};
use super::lock::Waited;
use crate::clock::Timestamp;
use crate::error::{Failure, cause};
use crate::names::Found;

pub(super) const KIND: &str = "routes";

/// How long it is remembered that there is no installation, in seconds: a person who just installed the App
/// does not want to wait.
const REMEMBER_MISSING: i64 = 30;
/// How long it is remembered where an installation is, in seconds: repositories move to other owners.
const REMEMBER_FOUND: i64 = 24 * 3600;

/// What a lookup found, and when, by the local clock.
#[derive(Serialize, Deserialize)]
struct RouteFile {
    found: Option<Found>,
    at: Timestamp,
}

impl Cache<'_> {
    /// Where the route leads: as remembered, or as `look_up` finds out, which runs in one process at a time.
    /// `None`: there is no installation.
    ///
    /// # Errors
    /// Those of `look_up`, unless GitHub cannot be asked and an old answer is remembered.
    pub fn find_or_look_up(
        &self,
        key: &RouteKey,
        look_up: impl FnOnce() -> Result<Option<Found>, Failure>,
    ) -> Result<Option<Found>, Failure> {
        match self.current_route(key) {
            Some(known) => Ok(known.found),
            None => self.look_up_once(key, look_up),
        }
    }

    /// The same, when nothing current is remembered.
    #[cold]
    fn look_up_once(
        &self,
        key: &RouteKey,
        look_up: impl FnOnce() -> Result<Option<Found>, Failure>,
    ) -> Result<Option<Found>, Failure> {
        let current = || self.current_route(key);
        let _lock = match self.lock("route", key, "looking up the installation", current) {
            Some(Waited::Done(known)) => return Ok(known.found),
            Some(Waited::Locked(lock)) => Some(lock),
            None => None,
        };
        let old = match self.read_route(key) {
            Some(known) if self.is_current(&known) => return Ok(known.found),
            old => old.and_then(|route| route.found),
        };
        let found = match (look_up(), old) {
            (Err(Failure::Unreachable(_) | Failure::Limited(..)), Some(old)) => return Ok(Some(old)),
            (found, _) => found?,
        };
        let route = RouteFile { found, at: self.clock.now() };
        if let Some(folder) = self.folder()
            && let Err(e) = folder.note(KIND, key.name(), &route)
        {
            self.warn(&format!("cannot remember the installation: {}", cause(&e)));
        }
        Ok(found)
    }

    /// The installation that is remembered, however long ago it was found.
    pub fn remembered(&self, key: &RouteKey) -> Option<Found> {
        self.read_route(key)?.found
    }

    /// Forgets where the route leads.
    pub fn forget_route(&self, key: &RouteKey) {
        if let Some(folder) = self.folder() {
            // A file that stays leads to the same stale installation, and to one more lookup.
            let _ = folder.remove(KIND, key.name());
        }
    }

    fn read_route(&self, key: &RouteKey) -> Option<RouteFile> {
        self.folder()?.recall(KIND, key.name())
    }

    fn current_route(&self, key: &RouteKey) -> Option<RouteFile> {
        self.read_route(key).filter(|route| self.is_current(route))
    }

    fn is_current(&self, route: &RouteFile) -> bool {
        let limit = if route.found.is_some() { REMEMBER_FOUND } else { REMEMBER_MISSING };
        (0..limit).contains(&self.clock.now().since(route.at))
    }
}
