//! From a rule to a token: what is cached first, GitHub where that is not enough.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use ureq::Agent;

use crate::app::App;
use crate::cache::{ApiKey, Cache, CacheKey, Entry, Grant, Known, RouteKey, Wanted};
use crate::config::{Config, Rule};
use crate::error::{Error, Failure, Result};
use crate::github::{GitHub, limited_failure};
use crate::names::{Found, Repository, RepositoryRef, Scope};
use crate::route::{Route, Target};
use crate::world::World;

/// An App as a rule names it, its cache, and the way to GitHub. Nothing of the network is set up where the cache
/// has the answer.
pub struct Connection<'a> {
    rule: &'a Rule,
    app: &'a App<'a>,
    cache: &'a Cache<'a>,
    config: &'a Config,
    world: &'a World<'a>,
    github: OnceCell<GitHub<'a>>,
}

/// A token, and what it is for.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub entry: Entry,
    /// The installation that it is of.
    pub found: Found,
    /// The name under which it is cached.
    pub key: CacheKey,
}

/// What came of the wish for a token.
#[derive(Debug)]
pub enum Outcome {
    /// Here it is.
    Issued(Issued),
    /// The App is not installed there.
    NotInstalled(Error),
}

impl<'a> Connection<'a> {
    /// Connects to what a rule names, for as long as `work` takes.
    pub fn with<T>(
        rule: &Rule,
        config: &Config,
        world: &World<'_>,
        work: impl FnOnce(&Connection<'_>) -> T,
    ) -> T {
        let app = world.app(rule);
        let cache = world.cache(config, &app);
        work(&Connection { rule, app: &app, cache: &cache, config, world, github: OnceCell::new() })
    }

    /// The App's cache.
    #[must_use]
    pub fn cache(&self) -> &Cache<'a> {
        self.cache
    }

    /// The App.
    #[must_use]
    pub fn app(&self) -> &App<'a> {
        self.app
    }

    /// A token for where the route leads: a cached one, or a fresh one that git's servers know already.
    ///
    /// # Errors
    /// If none can be had.
    pub fn token(&self, route: &Route<'_>, wanted: Wanted<'_>) -> Result<Outcome> {
        let mut looked_up_again = false;
        loop {
            let found = self.find(route).map_err(|failure| self.learn(failure).into_error())?;
            let Some(found) = found else { return Ok(Outcome::NotInstalled(self.not_installed(route))) };
            match self.token_of(route, &found, wanted) {
                Ok(issued) => return Ok(Outcome::Issued(issued)),
                // The App was installed anew: its installation has another number now.
                Err(Failure::Gone(_)) if self.rule.installation.is_none() && !looked_up_again => {
                    self.cache.forget_route(&route_key(route));
                    looked_up_again = true;
                }
                Err(failure) => return Err(failure.into_error()),
            }
        }
    }

    /// The same, of an installation that is known.
    ///
    /// # Errors
    /// If none can be had.
    pub fn token_of(&self, route: &Route<'_>, found: &Found, wanted: Wanted<'_>) -> Result<Issued, Failure> {
        let key = cache_key(route, found);
        let entry = self.cache.get_or_mint(&key, wanted, |fallback| {
            self.mint(route, found, &key, fallback).map_err(|failure| self.learn(failure))
        })?;
        Ok(Issued { entry, found: *found, key })
    }

    /// GitHub, asked as the App.
    ///
    /// # Errors
    /// If it wants to be left alone, or if git's network settings are not usable.
    pub fn github(&self) -> Result<&GitHub<'a>, Failure> {
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

    /// What git's own requests to the host go through.
    ///
    /// # Errors
    /// If git's network settings are not usable.
    pub fn git_agent(&self) -> Result<Agent> {
        self.world.agent(&format!("https://{}/", self.rule.host))
    }

    fn key(&self) -> ApiKey {
        ApiKey::new(&self.rule.api, &self.rule.issuer)
    }

    /// By how many seconds GitHub's clock is ahead, as it was last seen.
    #[must_use]
    pub fn clock_offset(&self) -> i64 {
        self.github.get().map_or_else(|| self.cache.known(&self.key()).clock_offset, GitHub::clock_offset)
    }

    /// Notes what spares the next process the same trouble.
    fn learn(&self, failure: Failure) -> Failure {
        if let Failure::Limited(_, until) = &failure {
            let known = Known { limited_until: Some(*until), ..self.cache.known(&self.key()) };
            self.cache.note(&self.key(), &known);
        }
        failure
    }

    fn mint(
        &self,
        route: &Route<'_>,
        found: &Found,
        key: &CacheKey,
        fallback: bool,
    ) -> Result<Entry, Failure> {
        let github = self.github()?;
        if fallback {
            github.be_brief();
        }
        let (entry, granted) = github.mint(found.installation, &scope(route, found))?;
        let known = Known { clock_offset: github.clock_offset(), limited_until: None };
        if self.cache.known(&self.key()) != known {
            self.cache.note(&self.key(), &known);
        }
        let Rule { host, api, issuer, .. } = self.rule;
        self.cache.note_grant(
            key,
            &Grant {
                host: host.to_string(),
                api: api.to_string(),
                app: issuer.clone(),
                installation: found.installation,
                owner: route.owner().map(str::to_owned),
                repository: route
                    .repository
                    .as_ref()
                    .filter(|_| self.rule.per_repository)
                    .map(ToString::to_string),
                granted,
                expires_at: entry.expires_at.plus(-entry.clock_offset),
            },
        );
        if let Some(repository) = &route.repository
            && !self.is_accepted(&entry, repository)?
        {
            // Perhaps the repository moved to another owner.
            self.cache.forget_route(&route_key(route));
        }
        Ok(entry)
    }

    /// Waits until git's servers take a token, and warns if they do not in time.
    fn is_accepted(&self, entry: &Entry, repository: &Repository) -> Result<bool, Failure> {
        let git = self.git_agent()?;
        let warning = self.github()?.wait_until_accepted(&git, &self.rule.host, repository, &entry.token);
        if let Some(warning) = &warning {
            self.world.terminal.warning(warning);
        }
        Ok(warning.is_none())
    }

    /// Whether a token was minted since this process began, and so may be too new for git's servers.
    #[must_use]
    pub fn minted_now(&self, entry: &Entry) -> bool {
        entry.minted_at > self.world.clock.began()
    }

    /// The first repository that a token is for. If the token was minted in this process, without a repository to
    /// try it with, git's servers take it afterwards.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn try_with_any_repository(&self, entry: &Entry) -> Result<Option<Repository>, Failure> {
        let mut first = None;
        self.github()?.repositories(&entry.token, |page| {
            first = page.repositories.first().and_then(|it| Repository::parse(&it.full_name));
            ControlFlow::Break(())
        })?;
        if let Some(repository) = first.as_ref().filter(|_| self.minted_now(entry)) {
            self.is_accepted(entry, repository)?;
        }
        Ok(first)
    }

    /// The installation: as configured, as remembered, or as GitHub says. `None`: the App is not installed there.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn find(&self, route: &Route<'_>) -> Result<Option<Found>, Failure> {
        if let Some(installation) = self.rule.installation {
            return Ok(Some(Found { installation, repository_id: None }));
        }
        self.cache.find_or_look_up(&route_key(route), || match &route.target {
            Target::Repository(repository) => self.github()?.installation_of_repository(repository),
            Target::Owner(owner) => self.github()?.installation_of_owner(owner),
            Target::Only => self.github()?.only_installation(&self.rule.host),
        })
    }

    /// Which App is missing where, and where to install it.
    fn not_installed(&self, route: &Route<'_>) -> Error {
        // Where the App's page is, only GitHub knows. Without it the message is less of a help, but still true.
        let info = self.github().ok().and_then(|github| github.app().ok());
        let app = info.as_ref().map_or(&self.rule.issuer, |info| &info.slug);
        let host = &self.rule.host;
        let error = match &route.target {
            Target::Repository(repository) => Error::new(format!(
                "App {app} is not installed on {host}/{repository}, or there is no such repository"
            )),
            Target::Owner(owner) => Error::new(format!("App {app} is not installed on {host}/{owner}")),
            Target::Only => Error::new(format!("App {app} has no installation on {host} that git can use")),
        };
        match info {
            Some(info) => error.hint(info.install_it()),
            None => error.hint("install it from the App's page, for all repositories or for this one"),
        }
    }
}

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

/// The name under which a route's token is kept, if it is known without asking GitHub which installation it is.
pub(crate) fn known_key(route: &Route<'_>, cache: &Cache<'_>) -> Option<CacheKey> {
    let found = match route.rule.installation {
        Some(installation) => Found { installation, repository_id: None },
        None => cache.remembered(&route_key(route))?,
    };
    Some(cache_key(route, &found))
}
