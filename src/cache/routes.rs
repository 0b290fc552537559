//! Route files: where an installation was found, one small file each, with nothing secret in it.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::folder::Kind;
use super::key::{ApiStateKey, Name as _, RouteKey, TokenKey};
use super::lock::{Lock, LockOutcome};
use super::shared::{FleetTurn, Opened};
use crate::error::cause;
use crate::names::{InstallationRef, Repository};
use crate::time::Timestamp;

pub(super) const KIND: Kind = Kind::of_digests("routes");

/// How long it is remembered that there is no installation, in seconds: a person who just installed the App
/// does not want to wait.
const REMEMBER_MISSING: i64 = 30;
/// How long it is remembered where an installation is, in seconds: repositories move to other owners.
const REMEMBER_FOUND: i64 = 24 * 3600;
/// How long it is believed that an installation covers all repositories of its owner, in seconds.
const BELIEVE_ALL: i64 = 3600;

/// Where a place leads, how that was learnt, and when, by the local clock.
#[derive(Serialize, Deserialize)]
struct Route {
    found: Option<InstallationRef>,
    at: Timestamp,
    #[serde(default)]
    learnt: Learnt,
    /// Of an owner's route: the full name of a repository that the installation covers, and whether it covers all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    covers: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    covers_all: bool,
    /// Of an owner's route: the page on which the owner manages the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

/// How it was learnt where a place leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Learnt {
    /// GitHub's API said so.
    #[default]
    Lookup,
    /// git's server accepted the token of the owner's installation.
    Probe,
}

/// The installation on an owner, as a lookup found it.
#[derive(Clone, Debug)]
pub(crate) struct OwnerRoute {
    pub(crate) installation: InstallationRef,
    /// A repository that it covers.
    pub(crate) covers: Repository,
    /// Whether it covers all repositories of the owner, as of not long ago.
    pub(crate) covers_all: bool,
    /// The page on which the owner manages it.
    pub(crate) page: Option<String>,
}

/// What is to be done to know where a place leads.
pub(crate) enum LookupTurn<T> {
    /// Nothing: this is known meanwhile.
    Known(T),
    /// Look it up, while the others wait for the lock.
    LookUp {
        /// Held until it is dropped.
        _lock: Option<Lock>,
    },
}

/// Where a place leads, as another machine learnt it.
pub(crate) enum FleetRoute {
    /// To this installation; `None`: to none.
    Place(Option<InstallationRef>),
    /// To its owner's, perhaps.
    Owner(OwnerRoute),
}

impl Route {
    /// The same by a clock that is so many seconds ahead of the one that its time is by.
    fn by_clock_ahead(self, seconds: i64) -> Self {
        Self { at: self.at.plus(seconds), ..self }
    }
}

impl Cache<'_> {
    /// Waits until another machine knows where a place leads, or it is this one's turn to look that up. If an owner is given,
    /// what leads to the owner's installation will do too. What is known is remembered here.
    pub(crate) fn fleets_turn_to_look_up(
        &self,
        key: &RouteKey,
        owner: Option<&RouteKey>,
        api: &ApiStateKey,
    ) -> FleetTurn<'_, FleetRoute> {
        // A route that is not there is the same as none for the owner.
        let names = [key.name(), owner.unwrap_or(key).name(), api.name()];
        let turn = self.fleets_turn(owner.unwrap_or(key).name(), &names, 2, |entries| {
            let [route, of_owner, api] = entries else { return None };
            self.note_fleets_api_state(api);
            let ahead = self.shared.ahead();
            let read = |entry: &Opened| -> Option<Route> {
                serde_json::from_slice::<Route>(entry.as_ref()?)
                    .ok()
                    .map(|route| route.by_clock_ahead(-ahead))
            };
            if let Some(route) = read(route).filter(|route| self.is_current(route)) {
                return Some((FleetRoute::Place(route.found.clone()), key, route));
            }
            let (owner, route) = (owner?, read(of_owner)?);
            Some((FleetRoute::Owner(self.as_owners(&route)?), owner, route))
        });
        match turn {
            FleetTurn::Done((learnt, key, route)) => {
                self.write_route(key, &route);
                FleetTurn::Done(learnt)
            }
            FleetTurn::Do(lease) => FleetTurn::Do(lease),
        }
    }

    /// Where a place leads, if that was learnt lately. `Some(None)`: there was no installation.
    pub(crate) fn route(&self, key: &RouteKey) -> Option<Option<InstallationRef>> {
        Some(self.read_route(key).filter(|route| self.is_current(route))?.found)
    }

    /// Where a place leads, however long ago that was learnt.
    pub(crate) fn old_route(&self, key: &RouteKey) -> Option<InstallationRef> {
        self.read_route(key)?.found
    }

    /// How it was learnt where a place leads, if there is an installation.
    pub(crate) fn how_route_was_learnt(&self, key: &RouteKey) -> Option<(InstallationRef, Learnt)> {
        let route = self.read_route(key).filter(|route| self.is_current(route))?;
        Some((route.found?, route.learnt))
    }

    /// The installation on an owner, however long ago it was looked up: whoever uses it finds out whether it is still true.
    pub(crate) fn owner_route(&self, owner: &RouteKey) -> Option<OwnerRoute> {
        self.as_owners(&self.read_route(owner)?)
    }

    fn as_owners(&self, route: &Route) -> Option<OwnerRoute> {
        let Route { found, at, covers, covers_all, page, .. } = route;
        let covers_all = *covers_all && (0..BELIEVE_ALL).contains(&self.world.clock.now().since(*at));
        let covers = Repository::parse(covers.as_ref()?)?;
        Some(OwnerRoute { installation: found.clone()?, covers, covers_all, page: page.clone() })
    }

    /// Waits until this process may look something up, or what it wants is `remembered` by now. One at a time looks up under a name.
    pub(crate) fn turn_to_look_up<T>(
        &self,
        name: &RouteKey,
        remembered: impl Fn() -> Option<T>,
    ) -> LookupTurn<T> {
        let lock = match self.lock("route", name, "looking up the installation", &remembered) {
            LockOutcome::Done(route) => return LookupTurn::Known(route),
            LockOutcome::Locked(lock) => Some(lock),
            LockOutcome::Unlocked => None,
        };
        remembered().map_or(LookupTurn::LookUp { _lock: lock }, LookupTurn::Known)
    }

    /// Remembers where a place leads, and with that which token is given for it.
    pub(crate) fn remember_route(
        &self,
        key: &RouteKey,
        found: Option<InstallationRef>,
        learnt: Learnt,
        token: Option<&TokenKey>,
    ) {
        let at = self.world.clock.now();
        let route = Route { found, at, learnt, covers: None, covers_all: false, page: None };
        self.write_route(key, &route);
        self.share_route(key, route, token);
    }

    /// Remembers the installation on an owner, and which token is given for that.
    pub(crate) fn remember_owner(&self, key: &RouteKey, owner: &OwnerRoute, token: &TokenKey) {
        let OwnerRoute { installation, covers, covers_all, page } = owner;
        let (found, covers) = (Some(installation.clone()), Some(covers.to_string()));
        let (at, learnt, covers_all) = (self.world.clock.now(), Learnt::Lookup, *covers_all);
        let route = Route { found, at, learnt, covers, covers_all, page: page.clone() };
        self.write_route(key, &route);
        self.share_route(key, route, Some(token));
    }

    fn share_route(&self, key: &RouteKey, route: Route, token: Option<&TokenKey>) {
        if self.is_shared() {
            let lasts = if route.found.is_some() { REMEMBER_FOUND } else { REMEMBER_MISSING };
            let route = serde_json::to_vec(&route.by_clock_ahead(self.shared.ahead())).unwrap_or_default();
            self.share(key.name(), &route, lasts, token);
        }
    }

    fn write_route(&self, key: &RouteKey, route: &Route) {
        if let Some(folder) = self.folder()
            && let Err(e) = folder.write_json(KIND, key.name(), route)
        {
            self.warn(&format!("cannot remember the installation: {}", cause(&e)));
        }
    }

    /// Lets a place be looked up again. Until that has worked its route still tells which token was given for it.
    pub(crate) fn expire_route(&self, key: &RouteKey, not_to: &InstallationRef) {
        self.forget_shared_route(key, not_to);
        if let Some(route) = self.read_route(key) {
            self.write_route(key, &Route { at: Timestamp(0), ..route });
        }
    }

    /// Forgets where a place leads, here and on other machines, if it is to an installation that it does not lead to.
    pub(crate) fn forget_route(&self, key: &RouteKey, not_to: &InstallationRef) {
        self.forget_shared_route(key, not_to);
        if let Some(folder) = self.folder() {
            // A file that stays leads to the same stale installation, and to one more lookup.
            let _ = folder.remove(KIND, key.name());
        }
    }

    fn forget_shared_route(&self, key: &RouteKey, not_to: &InstallationRef) {
        self.drop_shared(key.name(), |entry| {
            let found = serde_json::from_slice::<Route>(entry).ok().and_then(|route| route.found);
            found.is_some_and(|found| found.id == not_to.id)
        });
    }

    fn read_route(&self, key: &RouteKey) -> Option<Route> {
        self.folder()?.read_json(KIND, key.name())
    }

    fn is_current(&self, route: &Route) -> bool {
        let limit = if route.found.is_some() { REMEMBER_FOUND } else { REMEMBER_MISSING };
        (0..limit).contains(&self.world.clock.now().since(route.at))
    }
}
