//! Which installation a place leads to: as the rule says, as it is remembered, as its owner's leads there, or as GitHub says.

use super::mint::MintedBy;
use super::{Issued, TokenSource};
use crate::cache::{FleetRoute, FleetTurn, Learnt, LookupTurn, OwnerRoute, RouteKey};
use crate::error::Result;
use crate::git::probe::{GitServer, Service};
use crate::github::{Failure, Lookup};
use crate::names::{InstallationRef, Place};
use crate::token::Need;

/// Where the token for a place comes from.
pub(super) enum Route {
    /// From this installation: as configured, as remembered, or as GitHub says.
    Installation(InstallationRef),
    /// From the one on the repository's owner, if git's server takes its token for this repository too.
    Owner(OwnerRoute),
    /// The App is not installed there.
    Nowhere,
}

impl From<Option<InstallationRef>> for Route {
    fn from(found: Option<InstallationRef>) -> Self {
        found.map_or(Self::Nowhere, Self::Installation)
    }
}

/// How a call comes to the installation of a place.
#[derive(Debug)]
pub(crate) enum Routing {
    Configured,
    Remembered(InstallationRef, Learnt),
    /// The token of the owner's installation is probed.
    ByOwner(InstallationRef),
    ByLookup,
}

impl TokenSource<'_> {
    /// The route to a place: as configured, as remembered, or as GitHub says.
    pub(super) fn route(&self, place: &Place) -> Result<Route, Failure> {
        if let Some(id) = &self.rule.installation {
            return Ok(Route::Installation(id.clone().into()));
        }
        let remembered = || {
            let route = self.cache.route(&self.route_key(place)).map(Route::from);
            route.or_else(|| self.owner_route(place).map(Route::Owner))
        };
        if let Some(route) = remembered() {
            return Ok(route);
        }
        // Of all repositories of an owner that nothing is known about, one is looked up, and the others wait for that.
        match self.cache.turn_to_look_up(&self.owner_key(place), remembered) {
            LookupTurn::Known(route) => Ok(route),
            LookupTurn::LookUp { _lock } => self.look_up(place, Some(&self.owner_key(place))),
        }
    }

    /// The installation on the owner of a repository, if another repository's lookup told.
    pub(super) fn owner_route(&self, place: &Place) -> Option<OwnerRoute> {
        self.routed(place).repository().and_then(|_| self.cache.owner_route(&self.owner_key(place)))
    }

    /// The route as GitHub says, unless another process asks at this moment.
    pub(super) fn look_up_in_turn(&self, place: &Place) -> Result<Route, Failure> {
        let key = self.route_key(place);
        match self.cache.turn_to_look_up(&key, || self.cache.route(&key)) {
            LookupTurn::Known(found) => Ok(found.into()),
            LookupTurn::LookUp { _lock } => self.look_up(place, None),
        }
    }

    /// The route as another machine of the fleet learnt it, or as GitHub says. If an owner is given, the route of that will do.
    fn look_up(&self, place: &Place, owner: Option<&RouteKey>) -> Result<Route, Failure> {
        let owner = owner.filter(|_| place.repository().is_some());
        let _lease = match self.cache.fleets_turn_to_look_up(&self.route_key(place), owner, &self.api_key()) {
            FleetTurn::Done(FleetRoute::Place(found)) => return Ok(found.into()),
            FleetTurn::Done(FleetRoute::Owner(owner)) => return Ok(Route::Owner(owner)),
            FleetTurn::Do(lease) => lease,
        };
        self.open_git_server(place);
        match (self.look_up_afresh(place), self.cache.old_route(&self.route_key(place))) {
            // An old answer is better than none.
            (Err(Failure::Unreachable(_) | Failure::Limited(..)), Some(old)) => Ok(Route::Installation(old)),
            (found, _) => Ok(found?.into()),
        }
    }

    /// Asks GitHub for the installation, whatever is remembered, and remembers the answer.
    pub(crate) fn look_up_afresh(&self, place: &Place) -> Result<Option<InstallationRef>, Failure> {
        let place = &*self.routed(place);
        let found = self.github().and_then(|github| match place {
            Place::Repository(_, repository) => github.installation_of_repository(repository),
            Place::Owner(_, owner) => github.installation_of_owner(owner),
            Place::Host(host) => github.only_installation(host),
        });
        let found = self.note_trouble(found)?;
        let installation = found.as_ref().map(|found| found.installation.clone());
        let token = installation.as_ref().map(|it| self.token_key(MintedBy::GitHub(it), place));
        let key = self.route_key(place);
        self.cache.remember_route(&key, installation.clone(), Learnt::Lookup, token.as_ref());
        // The owner is who GitHub says: a repository that moved is found under its old name too.
        if let (Some(Lookup { installation, owner: Some(owner), covers_all, page }), Some(repository)) =
            (found, place.repository())
        {
            let owner = Place::Owner(place.host().clone(), owner);
            let key = self.owner_key(&owner);
            let of_all = InstallationRef::from(installation.id);
            let token = self.token_key(MintedBy::GitHub(&of_all), &owner);
            let covers = repository.clone();
            let route = OwnerRoute { installation: of_all, covers, covers_all, page };
            self.cache.remember_owner(&key, &route, &token);
        }
        Ok(installation)
    }

    /// The token of the owner's installation, if that covers this repository too, which needs no request to the API.
    /// `None`: GitHub has to be asked. It knows of repositories that moved, and of those outside the installation.
    pub(super) fn token_of_owner(&self, owner: &OwnerRoute, place: &Place, need: Need<'_>) -> Option<Issued> {
        let (installation, repository) = (&owner.installation, place.repository()?);
        self.world.terminal.trace(|| format!("route: perhaps installation {}, the owner's", installation.id));
        let names_it = !self.repositories(place).is_empty();
        let issued = if names_it {
            // The mint names the repository, and is refused outside the installation.
            self.token_of(MintedBy::GitHub(installation), place, need)
        } else {
            // A fresh one is first accepted for a repository that is surely covered: others wait for it too.
            let covered = Place::Repository(place.host().clone(), owner.covers.clone());
            self.token_of(MintedBy::GitHub(installation), &covered, need)
        };
        let issued = match issued {
            Ok(issued) => issued,
            Err(failure) => {
                self.world.terminal.trace(|| format!("route: it gives no token: {}", failure.into_error()));
                return None;
            }
        };
        // A token that may push is one of an installation that covers the repository. That it may fetch proves this only
        // where all repositories are covered: what is public may be fetched with any token, and a push would fail.
        let service = if owner.covers_all { Service::Fetch } else { Service::Push };
        let accepts = |server: &GitServer<'_>| server.accepts(&issued.token.secret, service, repository);
        let is_covered = names_it || self.git_server().is_ok_and(accepts);
        is_covered.then(|| {
            let token = Some(&issued.key);
            self.cache.remember_route(
                &self.route_key(place),
                Some(installation.clone()),
                Learnt::Probe,
                token,
            );
            self.cache.share_now();
            issued
        })
    }

    /// How a call would come to the installation of a place.
    pub(crate) fn routing(&self, place: &Place) -> Routing {
        if self.rule.installation.is_some() {
            return Routing::Configured;
        }
        match self.cache.how_route_was_learnt(&self.route_key(place)) {
            Some((installation, learnt)) => Routing::Remembered(installation, learnt),
            None => self
                .owner_route(place)
                .map_or(Routing::ByLookup, |owner| Routing::ByOwner(owner.installation)),
        }
    }

    /// Forgets the route to a place, and the one to its owner, because there is no such installation.
    pub(super) fn forget_route(&self, place: &Place, gone: &InstallationRef) {
        self.cache.forget_route(&self.route_key(place), gone);
        self.cache.forget_route(&self.owner_key(place), gone);
    }
}
