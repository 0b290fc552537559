//! `erase`: GitHub refused a token; it is not handed out again.

use crate::config::Config;
use crate::connection::known_key;
use crate::protocol::Request;
use crate::route::route;
use crate::world::World;

/// Drops the cached token if it is exactly the refused one. Asks nobody: what is not remembered is not cached.
pub fn erase(request: &Request, config: &Config, world: &World<'_>) {
    // A request that no rule can be chosen for was never answered with a token.
    let (Some(refused), Ok(Some(route))) = (&request.password, route(request, config)) else { return };
    let app = world.app(route.rule);
    let cache = world.cache(config, &app);
    if let Some(key) = known_key(&route, &cache) {
        cache.erase(&key, refused);
    }
}
