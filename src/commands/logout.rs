//! `logout`: at the end of a job no token stays behind, here or at GitHub.

use super::output::{Output, count, time};
use super::place;
use super::status::{cached, rule_of, whom};
use crate::cache::{Cache, Grant, TokenKey};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::source::TokenSource;
use crate::world::World;

/// Which tokens.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the token for OWNER/REPO, OWNER, or a URL; default: those of all configured Apps
    name: Option<String>,
    /// Also tokens of Apps that are not configured any more, and everything else that is remembered
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Do not revoke them at GitHub
    #[arg(long)]
    keep_remote: bool,
}

pub(super) fn logout(
    options: &Options,
    config: &Config,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    let mut tokens = cached(config, world);
    if let Some(name) = &options.name {
        let selected = place::selected(Some(name), config)?;
        let key = TokenSource::new(selected.rule, config, world).cached_key(&selected.place);
        tokens.retain(|(cached, ..)| Some(cached) == key.as_ref());
    } else if !options.all {
        tokens.retain(|(_, grant, _)| rule_of(grant, config).is_some());
    }
    let cache = Cache::open(world, config.cache, None);
    let (mut dropped, mut revoked, mut failed) = (0, 0, false);
    for (key, grant, _) in &tokens {
        let revocation = if options.keep_remote { Ok(false) } else { revoke(key, grant, config, world) };
        let result = cache.forget(key).and(revocation.map_err(|why| still_valid(grant, &why)));
        match result {
            Ok(was_revoked) => {
                dropped += 1;
                revoked += usize::from(was_revoked);
            }
            Err(why) => {
                failed = true;
                world.terminal.warning(&why);
            }
        }
    }
    if options.all {
        cache.forget_everything()?;
    }
    output.line(&match (dropped, revoked) {
        (0, _) if failed => "no token was dropped and revoked".to_owned(),
        (0, _) => "no token is cached".to_owned(),
        (_, 0) => format!("dropped {}", count(dropped, "token", "tokens")),
        _ => format!("dropped {}, revoked {revoked}", count(dropped, "token", "tokens")),
    })?;
    Ok(u8::from(failed))
}

/// Revokes a token at the API that gave it, if that is one of a configured App. Gives whether there was a token.
fn revoke(key: &TokenKey, grant: &Grant, config: &Config, world: &World<'_>) -> Result<bool> {
    let Some(rule) = rule_of(grant, config) else {
        return match Cache::open(world, config.cache, None).cached(key) {
            Some(_) => Err(Error::new("its App is not configured any more")),
            None => Ok(false),
        };
    };
    let source = TokenSource::new(rule, config, world);
    let Some(token) = source.cache().cached(key) else { return Ok(false) };
    source.github()?.revoke(&token.secret)?;
    Ok(true)
}

fn still_valid(grant: &Grant, why: &Error) -> Error {
    let error = Error::new(format!(
        "the token for {} on {} is dropped here but not revoked, and stays valid until {}: {why}",
        whom(grant),
        grant.host,
        time(grant.expires_at)
    ));
    match why.next_step() {
        Some(step) => error.hint(step),
        None => error,
    }
}
