//! `status`: which tokens are cached, for whom, and until when.

use serde_json::{Value, json};

use super::output::{Output, soon, time};
use crate::cache::{Cache, Grant, TokenKey};
use crate::config::{Config, Rule};
use crate::error::Result;
use crate::world::World;

/// How it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(
    options: &Options,
    config: &Config,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    let cached = cached(config, world);
    if options.json {
        let all: Vec<Value> = cached
            .iter()
            .map(|(_, grant, place)| {
                json!({
                    "host": grant.host,
                    "app": grant.app,
                    "installation": grant.installation,
                    "owner": grant.owner,
                    "repository": grant.repository,
                    "permissions": grant.granted.permissions,
                    "repository_selection": grant.granted.repository_selection,
                    "expires_at": time(grant.expires_at),
                    "kept_in": place,
                })
            })
            .collect();
        return output.json(&all);
    }
    if cached.is_empty() {
        return output.line("no token is cached");
    }
    let now = world.clock.now();
    let rows: Vec<[String; 6]> = cached
        .into_iter()
        .map(|(_, grant, place)| {
            let expires = soon(grant.expires_at, now);
            [whom(&grant), grant.host, grant.app, grant.installation.to_string(), expires, place.to_owned()]
        })
        .collect();
    output.table(["FOR", "HOST", "APP", "INSTALLATION", "EXPIRES", "KEPT IN"], &rows)
}

/// Whom a token is for.
pub(super) fn whom(grant: &Grant) -> String {
    match (&grant.repository, &grant.owner) {
        (Some(repository), _) => repository.clone(),
        (None, Some(owner)) => owner.clone(),
        (None, None) => "everything".to_owned(),
    }
}

/// The rule that a token was minted by, if it is still there.
pub(super) fn rule_of<'c>(grant: &Grant, config: &'c Config) -> Option<&'c Rule> {
    config.rules.iter().rfind(|rule| rule.app_id == grant.app && rule.api.to_string() == grant.api)
}

/// The tokens that are cached, of all Apps, with the stores that they are in.
pub(super) fn cached(config: &Config, world: &World<'_>) -> Vec<(TokenKey, Grant, &'static str)> {
    let cache = Cache::open(world, config.cache, None);
    let with_store = |(key, grant)| cache.store_of(&key).map(|store| (key, grant, store));
    cache.grants().into_iter().filter_map(with_store).collect()
}
