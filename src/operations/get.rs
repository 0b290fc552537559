//! `get`: from git's question to a token, on one page.

use std::cell::OnceCell;

use super::{cache_key, route_key, scope};
use crate::app::App;
use crate::cache::{Cache, Entry};
use crate::config::Config;
use crate::error::{Error, Failure, Result};
use crate::github::GitHub;
use crate::names::Found;
use crate::protocol::{Answer, Request};
use crate::route::{Route, Target, route};
use crate::world::World;

/// What came of a request.
#[derive(Debug)]
pub enum Ending {
    /// Not ours: nothing is said, somebody else may answer.
    Declined,
    /// The App is not installed there; somebody else's credential may still reach it. Told as a warning.
    NotInstalled(Error),
    /// The answer.
    Answered(Answer),
    /// A rule matched, but no token could be had.
    Failed {
        /// Why.
        error: Error,
        /// Whether git is told to ask nobody else.
        quit: bool,
    },
}

/// Answers a request.
pub fn get(request: &Request, config: &Config, world: &World<'_>) -> Ending {
    match route(request, config) {
        Ok(None) => Ending::Declined,
        Ok(Some(route)) => credential(&route, config, world)
            .unwrap_or_else(|error| Ending::Failed { error, quit: route.rule.quit_on_failure }),
        Err(error) => Ending::Failed { error, quit: true },
    }
}

fn credential(route: &Route<'_>, config: &Config, world: &World<'_>) -> Result<Ending> {
    let rule = route.rule;
    let app = App::new(&rule.issuer, &rule.key);
    let cache = world.cache(config, &app);
    let connected = OnceCell::new();
    // Nothing of the network is set up where the cache has the answer.
    let github = || -> Result<&GitHub<'_>> {
        if let Some(github) = connected.get() {
            return Ok(github);
        }
        let github = GitHub::new(world.agent(&rule.api)?, &rule.api, &app, world.clock, world.terminal);
        Ok(connected.get_or_init(|| github))
    };
    let mut looked_up_again = false;
    loop {
        let Some(found) = find(route, &cache, github).map_err(Failure::into_error)? else {
            return Ok(Ending::NotInstalled(not_installed(route, github)));
        };
        let minted = cache.get_or_mint(&cache_key(route, &found), || {
            let minted = github()?.mint(found.installation, &scope(route, &found))?;
            Ok(Entry {
                token: minted.token,
                expires_at: minted.expires_at,
                minted_at: minted.minted_at,
                clock_offset: minted.clock_offset,
            })
        });
        match minted {
            Ok(entry) => {
                let expires_at = entry.expires_at.plus(-entry.clock_offset);
                return Ok(Ending::Answered(Answer::Credential { password: entry.token, expires_at }));
            }
            // The App was installed anew: its installation has another number now.
            Err(Failure::Gone(_)) if rule.installation.is_none() && !looked_up_again => {
                cache.forget_route(&route_key(route));
                looked_up_again = true;
            }
            Err(failure) => return Err(failure.into_error()),
        }
    }
}

/// The installation: as configured, as remembered, or as GitHub says.
fn find<'g>(
    route: &Route<'_>,
    cache: &Cache<'_>,
    github: impl Fn() -> Result<&'g GitHub<'g>>,
) -> Result<Option<Found>, Failure> {
    if let Some(installation) = route.rule.installation {
        return Ok(Some(Found { installation, repository_id: None }));
    }
    cache.find_or_look_up(&route_key(route), || match &route.target {
        Target::Repository(repository) => github()?.installation_of_repository(repository),
        Target::Owner(owner) => github()?.installation_of_owner(owner),
        Target::Only => github()?.only_installation(),
    })
}

/// Which App is missing where, and where to install it.
fn not_installed<'g>(route: &Route<'_>, github: impl Fn() -> Result<&'g GitHub<'g>>) -> Error {
    // Where the App's page is, only GitHub knows. Without it the message is less of a help, but still true.
    let info = github().ok().and_then(|github| github.app().ok());
    let app = info.as_ref().map_or(&route.rule.issuer, |info| &info.slug);
    let host = &route.rule.host;
    let error = match &route.target {
        Target::Repository(repository) => Error::new(format!(
            "App {app} is not installed on {host}/{repository}, or there is no such repository"
        )),
        Target::Owner(owner) => Error::new(format!("App {app} is not installed on {host}/{owner}")),
        Target::Only => Error::new(format!("App {app} has no installation on {host} that git can use")),
    };
    match info {
        Some(info) => error.hint(format!("install it at {}/installations/new", info.html_url)),
        None => error.hint("install it from the App's page, for all repositories or for this one"),
    }
}
