//! `store` and `erase`: git tells whether a token was accepted. Neither asks GitHub: a token that is not cached is none of
//! ours.

use super::protocol::Request;
use crate::cache::{Cache, TokenKey};
use crate::config::{Config, select};
use crate::secret::Secret;
use crate::source::TokenSource;
use crate::world::World;

/// A token was accepted: the count of refusals begins anew.
pub(super) fn store(request: &Request, config: &Config, world: &World<'_>) {
    with_cached(request, config, world, |cache, key, token| cache.accept(key, token));
}

/// A token was refused: it is dropped if it is the cached one, so that git does not get it again.
pub(super) fn erase(request: &Request, config: &Config, world: &World<'_>) {
    with_cached(request, config, world, |cache, key, token| cache.erase(key, token));
}

fn with_cached(
    request: &Request,
    config: &Config,
    world: &World<'_>,
    work: impl FnOnce(&Cache<'_>, &TokenKey, &Secret),
) {
    // A request that no rule can be chosen for was never answered with a token.
    if let (Some(password), Some(place)) = (&request.password, request.place())
        && let Ok(Some(selected)) = select(place, config)
    {
        let source = TokenSource::new(selected.rule, config, world);
        if let Some(key) = source.cached_key(&selected.place) {
            work(source.cache(), &key, password);
        }
    }
}
