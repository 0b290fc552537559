//! `store`: a credential worked.

use crate::config::Config;
use crate::connection::known_key;
use crate::protocol::Request;
use crate::route::route;
use crate::world::World;

/// Notes that tokens are accepted again. Ours is cached already, and what others gave is none of our business.
pub fn store(request: &Request, config: &Config, world: &World<'_>) {
    let Ok(Some(route)) = route(request, config) else { return };
    let app = world.app(route.rule);
    let cache = world.cache(config, &app);
    if let (Some(accepted), Some(key)) = (&request.password, known_key(&route, &cache)) {
        cache.accept(&key, accepted);
    }
}
