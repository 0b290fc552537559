//! From a rule and a place to an installation access token: the whole story on one page.
//!
//! [`TokenSource::token`] tells it. First the installation at the place is found (`route`). Then [`TokenSource::token_of`] takes
//! a cached token of that installation; if none will do, one process mints (`mint`), lets git's server probe the token
//! (`servers`), and keeps it for the others, who wait meanwhile. Besides:
//!
//! - `narrowing`: what a token may do
//! - `keys`: the names under which tokens and routes are cached
//! - `not_installed`: what a person reads where the App is not installed
//! - `public`: tokens for public repositories outside of all installations
//!
//! A token that git's server refuses is replaced. git 2.46 and later call `get` again within the same command, with the
//! fingerprint of that token: [`Need::OtherThan`]. It does not count as fresh then, and [`Cache::turn_to_mint`] removes it before
//! this process mints. An older git calls `erase` ([`TokenSource::erase`]), and its next command calls `get`. Both ways lead to
//! [`Cache::erase`], which removes the token from the stores and counts the refusal: after three within a minute nothing is
//! minted. What a person calls, and the API refuses, goes the first way: [`with_token`].

mod keys;
mod mint;
mod narrowing;
mod not_installed;
mod public;
mod route;
mod servers;

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::cache::{self, Cache, MintTurn, SharedSettings, TokenKey};
use crate::config::{Config, Rule};
use crate::error::{Error, Result};
use crate::git::network::{self, HttpSettings};
use crate::git::probe::GitServer;
use crate::github::{Failure, GitHub};
use crate::names::{InstallationRef, Place};
use crate::secret::Secret;
use crate::token::{Granted, Need, Token};
use crate::world::World;

pub(crate) use mint::MintedBy;
pub(crate) use narrowing::Narrowing;
use route::Route;
pub(crate) use route::Routing;
use servers::Network;

/// Gives tokens for a rule: its App, what is cached, and the way to GitHub. Nothing of the network is set up where the
/// cache has the answer.
pub(crate) struct TokenSource<'a> {
    rule: &'a Rule,
    settings: cache::Settings,
    world: &'a World<'a>,
    network: &'a Network,
    http: HttpSettings,
    app: Rc<App<'a>>,
    cache: Cache<'a>,
    github: OnceCell<GitHub<'a>>,
    git_server: OnceCell<GitServer<'a>>,
    /// To what a person narrows the tokens, beyond what the rule does.
    narrowing: Narrowing,
    /// Whether GitHub is not asked while it is remembered that its rate limit is used up, or that it did not answer another
    /// process since this one began. A person may ask.
    heeds_trouble: bool,
}

/// A token, and what it is for.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: Token,
    /// The installation, unless a command gave it.
    pub(crate) installation: Option<InstallationRef>,
    /// The name under which it is cached.
    pub(crate) key: TokenKey,
    /// What it was granted, if it was minted just now.
    granted: Option<Granted>,
    /// How long the command took that gave it just now.
    pub(crate) command_took: Option<Duration>,
}

impl Issued {
    fn cached(token: Token, key: TokenKey, minted_by: MintedBy<'_>) -> Self {
        Self { token, installation: minted_by.installation(), key, granted: None, command_took: None }
    }

    fn was_cached(&self) -> bool {
        self.granted.is_none()
    }
}

/// What a request for a token leads to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Issued(Issued),
    /// The App is not installed there.
    NotInstalled(Error),
}

impl Outcome {
    /// The token.
    ///
    /// # Errors
    /// If the App is not installed there.
    pub(crate) fn issued(self) -> Result<Issued> {
        match self {
            Self::Issued(issued) => Ok(issued),
            Self::NotInstalled(why) => Err(why),
        }
    }
}

/// Does something with a token. If GitHub refuses it, because it was revoked since it was cached, a new one is obtained, once.
///
/// # Errors
/// If no token can be obtained, or if the work fails for another reason.
pub(crate) fn with_token<T, E: From<Failure>>(
    token: impl Fn(Need<'_>) -> Result<Issued, E>,
    mut work: impl FnMut(&Issued) -> Result<T, Failure>,
) -> Result<T, E> {
    let issued = token(Need::Fresh)?;
    match work(&issued) {
        Err(Failure::TokenRefused(_)) if issued.was_cached() => {
            let refused = issued.token.secret.fingerprint();
            Ok(work(&token(Need::OtherThan(&refused))?)?)
        }
        result => Ok(result?),
    }
}

impl<'a> TokenSource<'a> {
    pub(crate) fn new(rule: &'a Rule, config: &Config, world: &'a World<'a>) -> Self {
        let app = Rc::new(App::new(&rule.app_id, &rule.identity, world));
        let mut settings = config.cache.clone();
        if rule.identity.token_command().is_some() {
            // Machines have no secret in common that its tokens could be sealed under.
            settings.shared = SharedSettings::default();
        }
        Self::of(app, rule, settings, world)
    }

    fn of(app: Rc<App<'a>>, rule: &'a Rule, settings: cache::Settings, world: &'a World<'a>) -> Self {
        let sealer = Rc::clone(&app) as Rc<dyn cache::Sealer + 'a>;
        Self {
            rule,
            cache: Cache::open(world, &settings, Some(sealer)),
            settings,
            world,
            network: &network::way,
            http: HttpSettings::default(),
            app,
            github: OnceCell::new(),
            git_server: OnceCell::new(),
            narrowing: Narrowing::default(),
            heeds_trouble: false,
        }
    }

    /// The same for tokens that a person narrows.
    pub(crate) fn narrowed(self, narrowing: Narrowing) -> Self {
        Self { narrowing, ..self }
    }

    /// The same for git, which asks again and again: while a rate limit is used up it costs no request, and who
    /// waited for a process that got no answer does not wait for one of its own.
    pub(crate) fn for_git(rule: &'a Rule, config: &Config, world: &'a World<'a>) -> Self {
        Self { heeds_trouble: true, ..Self::new(rule, config, world) }
    }

    /// A token for a place: a cached one, or a fresh one that git's server accepts already.
    pub(crate) fn token(&self, place: &Place, need: Need<'_>) -> Result<Outcome> {
        if let Some(command) = self.rule.identity.token_command() {
            return Ok(Outcome::Issued(self.token_of(MintedBy::Command(command), place, need)?));
        }
        let mut may_be_gone = self.rule.installation.is_none();
        let mut route = self.route(place)?;
        loop {
            route = match route {
                Route::Nowhere => {
                    let public = self.for_public(place, need).map(Outcome::Issued);
                    return Ok(public.unwrap_or_else(|| Outcome::NotInstalled(self.not_installed(place))));
                }
                Route::Owner(owner) => match self.token_of_owner(&owner, place, need) {
                    Some(issued) => return Ok(Outcome::Issued(issued)),
                    None => self.look_up_in_turn(place)?,
                },
                Route::Installation(installation) => {
                    match self.token_of(MintedBy::GitHub(&installation), place, need) {
                        // The App was installed anew: its installation has another number now.
                        Err(Failure::Gone(_)) if may_be_gone => {
                            may_be_gone = false;
                            self.forget_route(place, &installation);
                            self.look_up_in_turn(place)?
                        }
                        result => return Ok(Outcome::Issued(result?)),
                    }
                }
            };
        }
    }

    /// A token of an installation, or of a command: a cached one, or one that one process gets while the others wait, and
    /// that git's server accepts.
    pub(crate) fn token_of(
        &self,
        minted_by: MintedBy<'_>,
        place: &Place,
        need: Need<'_>,
    ) -> Result<Issued, Failure> {
        let key = self.token_key(minted_by, place);
        if let Some(token) = self.cache.fresh(&key, need) {
            return Ok(Issued::cached(token, key, minted_by));
        }
        let (_lock, _lease, fallback) = match self.cache.turn_to_mint(&key, &self.api_key(), need)? {
            MintTurn::Minted(token) => return Ok(Issued::cached(token, key, minted_by)),
            // What is declared last ends first: the lease, with which other machines see the token.
            MintTurn::Mint { _lease, _lock, fallback } => (_lock, _lease, fallback),
        };
        let began = Instant::now();
        let minted = match minted_by {
            MintedBy::GitHub(installation) => self.mint(installation, place, fallback.is_some()),
            MintedBy::Command(command) => self.run(command, &key, place, need),
        };
        let command_took = matches!(minted_by, MintedBy::Command(_)).then(|| began.elapsed());
        let (token, granted) = match (minted, fallback) {
            (Ok(minted), _) => minted,
            (Err(Failure::Unreachable(why) | Failure::Limited(why, _)), Some(token))
                if token.remaining(self.world.clock) > 0 =>
            {
                let remaining = token.remaining(self.world.clock);
                let what = format!(
                    "no new token could be minted, so git gets the cached one, which expires in {remaining} s: {why}"
                );
                self.world.terminal.warning(&Error::new(what));
                return Ok(Issued::cached(token, key, minted_by));
            }
            (Err(failure), _) => return Err(failure),
        };
        self.probe_fresh(&token, minted_by, place)?;
        self.cache.keep(&key, &token, &self.grant(minted_by, place, &granted, &token));
        let installation = minted_by.installation();
        Ok(Issued { token, installation, key, granted: Some(granted), command_took })
    }

    /// git's server refused a token for a place: it is dropped wherever it is cached, so that git does not get it again.
    pub(crate) fn erase(&self, place: &Place, token: &Secret) {
        if self.cached_key(place).is_some_and(|key| self.cache.erase(&key, token)) {
            return;
        }
        // The place leads elsewhere by now, or nowhere. Whose a token is, is kept with it.
        let (api, app) = (self.rule.api.to_string(), &self.rule.app_id);
        for entry in self.cache.entries().0 {
            if let Some((cached, Some(label))) = &entry.content
                && label.api == api
                && label.app == *app
                && cached.secret.matches(token)
            {
                self.cache.erase(&entry.key, token);
            }
        }
    }

    pub(crate) fn cache(&self) -> &Cache<'a> {
        &self.cache
    }

    pub(crate) fn app(&self) -> &App<'a> {
        &self.app
    }

    /// What a token was granted, as far as that is known.
    pub(crate) fn granted(&self, issued: &Issued) -> Granted {
        let noted = || self.cache.grant(&issued.key).map(|grant| grant.granted);
        issued.granted.clone().or_else(noted).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
