//! `store`: a credential worked.

use super::known_key;
use crate::app::App;
use crate::config::Config;
use crate::protocol::Request;
use crate::route::route;
use crate::world::World;

/// Notes that tokens are accepted again. Ours is cached already, and what others gave is none of our business.
pub fn store(request: &Request, config: &Config, world: &World<'_>) {
    let Ok(Some(route)) = route(request, config) else { return };
    let app = App::new(&route.rule.issuer, &route.rule.key);
    let cache = world.cache(config, &app);
    if let (Some(accepted), Some(key)) = (&request.password, known_key(&route, &cache)) {
        cache.accept(&key, accepted);
    }
}
