//! `store` and `erase`: git tells whether a token was accepted. Neither asks GitHub: a token that is not cached is none of
//! ours.

use super::protocol::Request;
use crate::config::{Config, for_public, select};
use crate::names::Place;
use crate::secret::Secret;
use crate::source::TokenSource;
use crate::token::is_token;
use crate::world::World;

/// A token was accepted: the count of refusals begins anew.
pub(super) fn store(request: &Request, config: &Config, world: &World<'_>) {
    with_source(request, config, world, accept);
}

/// The same, of a token of this source.
pub(crate) fn accept(source: &TokenSource<'_>, place: &Place, token: &Secret) {
    if let Some(key) = source.cached_key(place) {
        source.cache().accept(&key, token);
    }
}

/// A token was refused: it is dropped if it is a cached one, so that git does not get it again.
pub(super) fn erase(request: &Request, config: &Config, world: &World<'_>) {
    with_source(request, config, world, |source, place, token| source.erase(place, token));
}

fn with_source(
    request: &Request,
    config: &Config,
    world: &World<'_>,
    work: impl FnOnce(&TokenSource<'_>, &Place, &Secret),
) {
    // A request that no rule can be chosen for was never answered with a token.
    if let (Some(password), Some(place)) =
        (&request.password, request.place(&|host, name| config.is_username(host, name)))
        && is_token(password.expose())
        && let Ok(selected) = select(place.clone(), config)
    {
        let rule = selected.as_ref().map(|selected| selected.rule).or_else(|| for_public(&place, config));
        let Some(rule) = rule else { return };
        let place = selected.map_or(place, |selected| selected.place);
        work(&TokenSource::new(rule, config, world), &place, password);
    }
}
