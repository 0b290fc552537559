//! `get`: from git's question to a token, on one page.

use std::cell::OnceCell;

use super::{cache_key, route_key, scope};
use crate::app::App;
use crate::cache::{ApiKey, Cache, Entry, Known};
use crate::config::{Config, Rule};
use crate::error::{Error, Failure, Result};
use crate::github::{GitHub, limited_failure};
use crate::names::Found;
use crate::protocol::{Answer, Request};
use crate::route::{Route, Target, route};
use crate::world::World;

/// What came of a request.
#[derive(Debug)]
pub enum Ending {
    /// Not ours: nothing is said, somebody else may answer.
    Declined,
    /// The rule is for every owner, and the App is not installed on this one: somebody else's credential may
    /// reach it. Told as a warning.
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
        Ok(Some(route)) => credential(request, &route, config, world)
            .unwrap_or_else(|error| Ending::Failed { error, quit: route.rule.quit_on_failure }),
        Err(error) => Ending::Failed { error, quit: true },
    }
}

fn credential(request: &Request, route: &Route<'_>, config: &Config, world: &World<'_>) -> Result<Ending> {
    let rule = route.rule;
    let app = App::new(&rule.issuer, &rule.key);
    let cache = world.cache(config, &app);
    let connection = Connection { rule, app: &app, cache: &cache, config, world, github: OnceCell::new() };
    let refused = request.refused.as_deref();
    let mut looked_up_again = false;
    loop {
        let found =
            find(route, &cache, &connection).map_err(|failure| connection.learn(failure).into_error())?;
        let Some(found) = found else {
            let error = not_installed(route, &connection);
            // A rule for every owner is also asked for what others reach; one that names the owner is not.
            return if rule.names_what_it_is_for() { Err(error) } else { Ok(Ending::NotInstalled(error)) };
        };
        let minted = cache.get_or_mint(&cache_key(route, &found), refused, |fallback| {
            mint(route, &found, fallback, &connection).map_err(|failure| connection.learn(failure))
        });
        match minted {
            Ok(entry) => return Ok(Ending::Answered(answer(entry, request))),
            // The App was installed anew: its installation has another number now.
            Err(Failure::Gone(_)) if rule.installation.is_none() && !looked_up_again => {
                cache.forget_route(&route_key(route));
                looked_up_again = true;
            }
            Err(failure) => return Err(failure.into_error()),
        }
    }
}

/// A token for git. If git understands that, it comes back once should this token be refused.
fn answer(entry: Entry, request: &Request) -> Answer {
    let may_come_back = request.understands_state && request.refused.is_none();
    Answer::Credential {
        expires_at: entry.expires_at.plus(-entry.clock_offset),
        come_back: may_come_back.then(|| entry.token.fingerprint()),
        password: entry.token,
    }
}

/// The way to GitHub. Nothing of the network is set up where the cache has the answer.
struct Connection<'a> {
    rule: &'a Rule,
    app: &'a App<'a>,
    cache: &'a Cache<'a>,
    config: &'a Config,
    world: &'a World<'a>,
    github: OnceCell<GitHub<'a>>,
}

impl<'a> Connection<'a> {
    fn github(&self) -> Result<&GitHub<'a>, Failure> {
        if let Some(github) = self.github.get() {
            return Ok(github);
        }
        let Rule { api, issuer, .. } = self.rule;
        let known = self.cache.known(&self.key());
        let now = self.world.clock.now();
        if let Some(until) = known.limited_until.filter(|until| *until > now) {
            return Err(limited_failure(api, issuer, until, now));
        }
        let agent = self.world.agent(&api.endpoint("/"))?;
        let (clock, terminal, deadline) = (self.world.clock, self.world.terminal, self.config.deadline);
        let github = GitHub::new(agent, api, self.app, clock, terminal, deadline, known.clock_offset);
        Ok(self.github.get_or_init(|| github))
    }

    fn key(&self) -> ApiKey {
        ApiKey::new(&self.rule.api, &self.rule.issuer)
    }

    /// Notes what spares the next process the same trouble.
    fn learn(&self, failure: Failure) -> Failure {
        if let Failure::Limited(_, until) = &failure {
            let known = Known { limited_until: Some(*until), ..self.cache.known(&self.key()) };
            self.cache.note(&self.key(), &known);
        }
        failure
    }
}

fn mint(
    route: &Route<'_>,
    found: &Found,
    fallback: bool,
    connection: &Connection<'_>,
) -> Result<Entry, Failure> {
    let github = connection.github()?;
    if fallback {
        github.be_brief();
    }
    let entry = github.mint(found.installation, &scope(route, found))?;
    let known = Known { clock_offset: github.clock_offset(), limited_until: None };
    if connection.cache.known(&connection.key()) != known {
        connection.cache.note(&connection.key(), &known);
    }
    if let Some(repository) = &route.repository {
        let host = &route.rule.host;
        let git = connection.world.agent(&format!("https://{host}/"))?;
        if let Some(warning) = github.wait_until_accepted(&git, host, repository, &entry.token) {
            connection.world.terminal.warning(&warning);
            // Perhaps the repository moved to another owner.
            connection.cache.forget_route(&route_key(route));
        }
    }
    Ok(entry)
}

/// The installation: as configured, as remembered, or as GitHub says.
fn find(route: &Route<'_>, cache: &Cache<'_>, connection: &Connection<'_>) -> Result<Option<Found>, Failure> {
    if let Some(installation) = route.rule.installation {
        return Ok(Some(Found { installation, repository_id: None }));
    }
    cache.find_or_look_up(&route_key(route), || match &route.target {
        Target::Repository(repository) => connection.github()?.installation_of_repository(repository),
        Target::Owner(owner) => connection.github()?.installation_of_owner(owner),
        Target::Only => connection.github()?.only_installation(&route.rule.host),
    })
}

/// Which App is missing where, and where to install it.
fn not_installed(route: &Route<'_>, connection: &Connection<'_>) -> Error {
    // Where the App's page is, only GitHub knows. Without it the message is less of a help, but still true.
    let info = connection.github().ok().and_then(|github| github.app().ok());
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
