//! What git calls.

pub mod capability;
pub mod erase;
pub mod get;
pub mod store;

use crate::cache::{Cache, CacheKey, RouteKey};
use crate::names::{Found, RepositoryRef, Scope};
use crate::route::{Route, Target};

/// The name under which it is remembered where a route leads.
fn route_key(route: &Route<'_>) -> RouteKey {
    let (kind, name) = match &route.target {
        Target::Repository(repository) => ("repository", repository.to_string()),
        Target::Owner(owner) => ("owner", owner.clone()),
        Target::Only => ("only", String::new()),
    };
    RouteKey::new(&route.rule.api, &route.rule.issuer, kind, &name)
}

/// What the token is narrowed to.
fn scope(route: &Route<'_>, found: &Found) -> Scope {
    let repository = route.repository.as_ref().filter(|_| route.rule.per_repository);
    let repository = repository.map(|repository| match found.repository_id {
        Some(id) => RepositoryRef::Id(id),
        None => RepositoryRef::Name(repository.name.clone()),
    });
    Scope { repository, permissions: route.rule.permissions.clone() }
}

/// The name under which the token is kept.
fn cache_key(route: &Route<'_>, found: &Found) -> CacheKey {
    CacheKey::new(&route.rule.api, &route.rule.issuer, found.installation, &scope(route, found))
}

/// The same, if it is known without asking GitHub which installation it is.
fn known_key(route: &Route<'_>, cache: &Cache<'_>) -> Option<CacheKey> {
    let found = match route.rule.installation {
        Some(installation) => Found { installation, repository_id: None },
        None => cache.remembered(&route_key(route))?,
    };
    Some(cache_key(route, &found))
}
