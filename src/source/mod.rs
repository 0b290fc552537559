//! From a rule and a place to an installation access token: the whole story on one page.
//!
//! A token that git's server refuses is replaced. git 2.46 and later call `get` again within the same command, with the
//! fingerprint of that token: [`Need::OtherThan`]. An older git calls `erase`, and its next command calls `get`. Both remove
//! the token from the stores and count the refusal ([`Cache::erase`]). Then one process mints, as for a token that has expired;
//! after three refusals within a minute nothing is minted ([`Cache::turn_to_mint`]).

mod public;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ureq::Agent;

use crate::app::App;
use crate::app::token_command::TokenCommand;
use crate::cache::{
    self, ApiState, ApiStateKey, AppPage, Cache, FleetRoute, FleetTurn, Grant, Learnt, LookupTurn, MintTurn,
    OwnerRoute, RouteKey, SharedSettings, TokenKey,
};
use crate::config::{Config, Rule, RuleScope};
use crate::error::{Error, Result};
use crate::git::network::{self, Way};
use crate::git::probe::{GitServer, Service};
use crate::github::{Failure, GitHub, Lookup, rate_limited};
use crate::names::{InstallationRef, Place, Repository};
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::token::{Granted, Label, Need, Permissions, RepositoryRef, Scope, Token, may_use_contents};
use crate::world::World;

/// Gives tokens for a rule: its App, what is cached, and the way to GitHub. Nothing of the network is set up where the
/// cache has the answer.
pub(crate) struct TokenSource<'a> {
    rule: &'a Rule,
    settings: cache::Settings,
    world: &'a World<'a>,
    network: Network<'a>,
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

/// To what a person narrows a token: never to more than the rule allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Narrowing {
    /// Repositories of one owner; empty: as the rule says.
    pub(crate) repositories: Vec<Repository>,
    /// Permission names and their levels; empty: as the rule says.
    pub(crate) permissions: Permissions,
}

/// How servers are reached, which is asked on the way to the network only: an API, given where git itself goes, and git's
/// server, to which a connection is opened at once.
#[derive(Clone, Copy)]
struct Network<'a> {
    api: &'a dyn Fn(&str, &str, &World<'_>) -> Result<Way>,
    git: &'a dyn Fn(&str, &World<'_>) -> Result<Agent>,
}

/// By git's network settings.
const GITS_NETWORK: Network<'static> = Network { api: &network::way, git: &network::agent_ahead };

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
    fn was_cached(&self) -> bool {
        self.granted.is_none()
    }
}

/// Where a token comes from that is not cached.
#[derive(Clone, Copy)]
enum Mint<'r> {
    /// GitHub mints it, of this installation.
    Of(&'r InstallationRef),
    /// A command gives it.
    Command(&'r TokenCommand),
}

impl Mint<'_> {
    fn installation(self) -> Option<InstallationRef> {
        match self {
            Self::Of(installation) => Some(installation.clone()),
            Self::Command(_) => None,
        }
    }
}

/// What a request for a token leads to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Issued(Issued),
    /// The App is not installed there.
    NotInstalled(Error),
}

/// Where the token for a place comes from.
enum Route {
    /// From this installation: as configured, as remembered, or as GitHub says.
    Installation(InstallationRef),
    /// From the one on the repository's owner, if git's server takes its token for this repository too.
    Owner(OwnerRoute),
    /// The App is not installed there.
    Nowhere,
}

impl From<Option<InstallationRef>> for Route {
    fn from(found: Option<InstallationRef>) -> Self {
        found.map_or(Self::Nowhere, Self::Installation)
    }
}

/// How a call comes to the installation of a place.
#[derive(Debug)]
pub(crate) enum Routing {
    Configured,
    Remembered(InstallationRef, Learnt),
    /// The token of the owner's installation is probed.
    ByOwner(InstallationRef),
    ByLookup,
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
            network: GITS_NETWORK,
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
            return Ok(Outcome::Issued(self.obtain(Mint::Command(command), place, need)?));
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
                Route::Installation(installation) => match self.token_of(&installation, place, need) {
                    // The App was installed anew: its installation has another number now.
                    Err(Failure::Gone(_)) if may_be_gone => {
                        may_be_gone = false;
                        self.forget_route(place, &installation);
                        self.look_up_in_turn(place)?
                    }
                    result => return Ok(Outcome::Issued(result?)),
                },
            };
        }
    }

    /// The route to a place: as configured, as remembered, or as GitHub says.
    fn route(&self, place: &Place) -> Result<Route, Failure> {
        if let Some(id) = &self.rule.installation {
            return Ok(Route::Installation(id.clone().into()));
        }
        let remembered = || {
            let route = self.cache.route(&self.route_key(place)).map(Route::from);
            route.or_else(|| self.owner_route(place).map(Route::Owner))
        };
        if let Some(route) = remembered() {
            return Ok(route);
        }
        // Of all repositories of an owner that nothing is known about, one is looked up, and the others wait for that.
        match self.cache.turn_to_look_up(&self.owner_key(place), remembered) {
            LookupTurn::Known(route) => Ok(route),
            LookupTurn::LookUp { _lock } => self.look_up(place, Some(&self.owner_key(place))),
        }
    }

    /// The installation on the owner of a repository, if another repository's lookup told.
    fn owner_route(&self, place: &Place) -> Option<OwnerRoute> {
        self.routed(place).repository().and_then(|_| self.cache.owner_route(&self.owner_key(place)))
    }

    /// The route as GitHub says, unless another process asks at this moment.
    fn look_up_in_turn(&self, place: &Place) -> Result<Route, Failure> {
        let key = self.route_key(place);
        match self.cache.turn_to_look_up(&key, || self.cache.route(&key)) {
            LookupTurn::Known(found) => Ok(found.into()),
            LookupTurn::LookUp { _lock } => self.look_up(place, None),
        }
    }

    /// The route as another machine of the fleet learnt it, or as GitHub says. If an owner is given, the route of that will do.
    fn look_up(&self, place: &Place, owner: Option<&RouteKey>) -> Result<Route, Failure> {
        let owner = owner.filter(|_| place.repository().is_some());
        let _lease = match self.cache.fleets_turn_to_look_up(&self.route_key(place), owner, &self.api_key()) {
            FleetTurn::Done(FleetRoute::Place(found)) => return Ok(found.into()),
            FleetTurn::Done(FleetRoute::Owner(owner)) => return Ok(Route::Owner(owner)),
            FleetTurn::Do(lease) => lease,
        };
        self.open_git_server(place);
        match (self.look_up_afresh(place), self.cache.old_route(&self.route_key(place))) {
            // An old answer is better than none.
            (Err(Failure::Unreachable(_) | Failure::Limited(..)), Some(old)) => Ok(Route::Installation(old)),
            (found, _) => Ok(found?.into()),
        }
    }

    /// Asks GitHub for the installation, whatever is remembered, and remembers the answer.
    pub(crate) fn look_up_afresh(&self, place: &Place) -> Result<Option<InstallationRef>, Failure> {
        let place = &*self.routed(place);
        let found = self.github().and_then(|github| match place {
            Place::Repository(_, repository) => github.installation_of_repository(repository),
            Place::Owner(_, owner) => github.installation_of_owner(owner),
            Place::Host(host) => github.only_installation(host),
        });
        let found = self.note_trouble(found)?;
        let installation = found.as_ref().map(|found| found.installation.clone());
        let token = installation.as_ref().map(|it| self.token_key(Mint::Of(it), place));
        let key = self.route_key(place);
        self.cache.remember_route(&key, installation.clone(), Learnt::Lookup, token.as_ref());
        // The owner is who GitHub says: a repository that moved is found under its old name too.
        if let (Some(Lookup { installation, owner: Some(owner), covers_all, page }), Some(repository)) =
            (found, place.repository())
        {
            let owner = Place::Owner(place.host().clone(), owner);
            let key = self.owner_key(&owner);
            let of_all = InstallationRef::from(installation.id);
            let token = self.token_key(Mint::Of(&of_all), &owner);
            let covers = repository.clone();
            let route = OwnerRoute { installation: of_all, covers, covers_all, page };
            self.cache.remember_owner(&key, &route, &token);
        }
        Ok(installation)
    }

    /// The token of the owner's installation, if that covers this repository too, which needs no request to the API.
    /// `None`: GitHub has to be asked. It knows of repositories that moved, and of those outside the installation.
    fn token_of_owner(&self, owner: &OwnerRoute, place: &Place, need: Need<'_>) -> Option<Issued> {
        let (installation, repository) = (&owner.installation, place.repository()?);
        self.world.terminal.trace(|| format!("route: perhaps installation {}, the owner's", installation.id));
        let names_it = !self.repositories(place).is_empty();
        let issued = if names_it {
            // The mint names the repository, and is refused outside the installation.
            self.token_of(installation, place, need)
        } else {
            // A fresh one is first accepted for a repository that is surely covered: others wait for it too.
            let covered = Place::Repository(place.host().clone(), owner.covers.clone());
            self.token_of(installation, &covered, need)
        };
        let issued = match issued {
            Ok(issued) => issued,
            Err(failure) => {
                self.world.terminal.trace(|| format!("route: it gives no token: {}", failure.into_error()));
                return None;
            }
        };
        // A token that may push is one of an installation that covers the repository. That it may fetch proves this only
        // where all repositories are covered: what is public may be fetched with any token, and a push would fail.
        let service = if owner.covers_all { Service::Fetch } else { Service::Push };
        let accepts = |server: &GitServer<'_>| server.accepts(&issued.token.secret, service, repository);
        let is_covered = names_it || self.git_server().is_ok_and(accepts);
        is_covered.then(|| {
            let token = Some(&issued.key);
            self.cache.remember_route(
                &self.route_key(place),
                Some(installation.clone()),
                Learnt::Probe,
                token,
            );
            self.cache.share_now();
            issued
        })
    }

    /// A token of an installation: a cached one, or one that is minted by one process at a time, and probed.
    pub(crate) fn token_of(
        &self,
        installation: &InstallationRef,
        place: &Place,
        need: Need<'_>,
    ) -> Result<Issued, Failure> {
        self.obtain(Mint::Of(installation), place, need)
    }

    fn obtain(&self, mint: Mint<'_>, place: &Place, need: Need<'_>) -> Result<Issued, Failure> {
        let key = self.token_key(mint, place);
        let cached = |token, key| {
            Ok(Issued { token, installation: mint.installation(), key, granted: None, command_took: None })
        };
        if let Some(token) = self.cache.fresh(&key, need) {
            return cached(token, key);
        }
        let (_lock, _lease, fallback) = match self.cache.turn_to_mint(&key, &self.api_key(), need)? {
            MintTurn::Minted(token) => return cached(token, key),
            // What is declared last ends first: the lease, with which other machines see the token.
            MintTurn::Mint { _lease, _lock, fallback } => (_lock, _lease, fallback),
        };
        let began = Instant::now();
        let minted = match mint {
            Mint::Of(installation) => self.mint(installation, place, fallback.is_some()),
            Mint::Command(command) => self.run(command, &key, place, need),
        };
        let command_took = matches!(mint, Mint::Command(_)).then(|| began.elapsed());
        match (minted, fallback) {
            (Ok((token, granted)), _) => {
                if let Some(repository) = place.repository()
                    && !self.narrowing_is_without_contents()
                    && !self.is_accepted(&token, repository)?
                    && let Mint::Of(installation) = mint
                {
                    // Perhaps the repository moved to another owner.
                    self.cache.expire_route(&self.route_key(place), installation);
                    self.cache.forget_route(&self.owner_key(place), installation);
                }
                self.cache.keep(&key, &token, &self.grant(mint, place, &granted, &token));
                let installation = mint.installation();
                Ok(Issued { token, installation, key, granted: Some(granted), command_took })
            }
            (Err(Failure::Unreachable(why) | Failure::Limited(why, _)), Some(token))
                if token.remaining(self.world.clock) > 0 =>
            {
                let remaining = token.remaining(self.world.clock);
                let what = format!(
                    "no new token could be minted, so git gets the cached one, which expires in {remaining} s: {why}"
                );
                self.world.terminal.warning(&Error::new(what));
                cached(token, key)
            }
            (Err(failure), _) => Err(failure),
        }
    }

    /// Lets a command give a token.
    fn run(
        &self,
        command: &TokenCommand,
        key: &TokenKey,
        place: &Place,
        need: Need<'_>,
    ) -> Result<(Token, Granted), Failure> {
        self.check_outage(key)?;
        // Another time it may succeed, and what is cached may help until then.
        let given = command.token(&self.told(place), self.world).map_err(|why| {
            self.cache.note_outage(key, &why);
            Failure::Unreachable(why)
        })?;
        let token = Token::minted(given.0, given.1, self.rule.vendor().longest_lifetime, self.world.clock);
        if need.excludes(&token) {
            return Err(command.gave_it_again().into());
        }
        Ok((token, Granted::default()))
    }

    /// What a command is told of a place: no more than its token may be used for.
    fn told(&self, place: &Place) -> Place {
        match place {
            Place::Repository(host, repository) if !self.rule.per_repository() => {
                Place::Owner(host.clone(), repository.owner.clone())
            }
            place => place.clone(),
        }
    }

    fn mint(
        &self,
        installation: &InstallationRef,
        place: &Place,
        has_fallback: bool,
    ) -> Result<(Token, Granted), Failure> {
        self.open_git_server(place);
        let minted = self.github().and_then(|github| {
            if has_fallback {
                github.be_brief();
            }
            let minted = github.mint(
                &installation.id,
                &self.scope(place, installation),
                self.narrowing_is_without_contents(),
            )?;
            let state = ApiState { clock_offset: github.clock_offset(), limited_until: None };
            self.cache.note_api_state(&self.api_key(), &state);
            Ok(minted)
        });
        self.note_trouble(minted)
    }

    /// Waits until git's server accepts a token, and warns if it does not in time.
    fn is_accepted(&self, token: &Token, repository: &Repository) -> Result<bool> {
        let warning = self.git_server()?.wait_until_accepted(repository, &token.secret);
        if let Some(warning) = &warning {
            self.world.terminal.warning(warning);
        }
        Ok(warning.is_none())
    }

    /// git's server. An error: git's network settings are not usable.
    fn git_server(&self) -> Result<&GitServer<'a>> {
        if let Some(server) = self.git_server.get() {
            return Ok(server);
        }
        let address = format!("https://{}/", self.rule.host);
        let agent = (self.network.git)(&address, self.world)?;
        let username = &self.rule.vendor().username;
        let server = GitServer::reached(agent, &self.rule.host, username, self.world, self.settings.deadline);
        Ok(self.git_server.get_or_init(|| server))
    }

    /// Begins to connect to git's server where a probe comes next, so that this takes no time then.
    fn open_git_server(&self, place: &Place) {
        if place.repository().is_some() && self.github().is_ok() {
            // An error comes again when the server is needed.
            let _ = self.git_server();
        }
    }

    /// The first repository that a token is for. A token that was minted just now, without a repository to probe it with,
    /// is probed with that one.
    pub(crate) fn probe_any_repository(&self, token: &Token) -> Result<Option<Repository>, Failure> {
        let first = self.github()?.any_repository(&token.secret)?;
        let first = first.and_then(|it| Repository::parse(&it.full_name));
        let is_to_be_probed = token.is_new(self.world.clock) && !self.narrowing_is_without_contents();
        if let Some(repository) = first.as_ref().filter(|_| is_to_be_probed) {
            self.is_accepted(token, repository)?;
        }
        Ok(first)
    }

    /// GitHub, asked as the App. An error: its rate limit is used up, it did not answer the process that this one waited for,
    /// or git's network settings are not usable.
    pub(crate) fn github(&self) -> Result<&GitHub<'a>, Failure> {
        if let Some(github) = self.github.get() {
            return Ok(github);
        }
        let Rule { api, app_id, .. } = self.rule;
        let state = self.cache.api_state(&self.api_key());
        let now = self.world.clock.now();
        if let Some(until) = state.limited_until.filter(|_| self.heeds_trouble) {
            return Err(rate_limited(api, app_id, until, now));
        }
        self.check_outage(&self.api_key())?;
        let gits_address = format!("https://{}/", self.rule.host);
        let way = (self.network.api)(&api.endpoint("/"), &gits_address, self.world)?;
        let app = Rc::clone(&self.app);
        let github = GitHub::new(
            way,
            api,
            self.rule.vendor(),
            app,
            self.world,
            self.settings.deadline,
            state.clock_offset,
        );
        Ok(self.github.get_or_init(|| github))
    }

    /// Fails if the process that this one waited for got no answer.
    fn check_outage(&self, key: &impl cache::Name) -> Result<(), Failure> {
        let outage = self.cache.outage(key).filter(|_| self.heeds_trouble);
        outage.map_or(Ok(()), |why| Err(Failure::Unreachable(why)))
    }

    /// Until when GitHub is not asked for git, if it is remembered that its rate limit is used up.
    pub(crate) fn limited_until(&self) -> Option<Timestamp> {
        self.cache.api_state(&self.api_key()).limited_until
    }

    /// Spares the next process a request that would be refused for the rate limit, and those who wait for this one requests
    /// that would not be answered.
    fn note_trouble<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(Failure::Limited(_, until)) = &result {
            let key = self.api_key();
            let state = ApiState { limited_until: Some(*until), ..self.cache.api_state(&key) };
            self.cache.note_api_state(&key, &state);
        }
        if let (Err(Failure::Unreachable(why)), Some(_)) = (&result, self.github.get()) {
            self.cache.note_outage(&self.api_key(), why);
        }
        result
    }

    pub(crate) fn cache(&self) -> &Cache<'a> {
        &self.cache
    }

    pub(crate) fn app(&self) -> &App<'a> {
        &self.app
    }

    /// By how many seconds GitHub's clock is ahead, as it was last seen.
    pub(crate) fn clock_offset(&self) -> i64 {
        let noted = || self.cache.api_state(&self.api_key()).clock_offset;
        self.github.get().map_or_else(noted, GitHub::clock_offset)
    }

    /// What a token was granted, as far as that is known.
    pub(crate) fn granted(&self, issued: &Issued) -> Granted {
        let noted = || self.cache.grant(&issued.key).map(|grant| grant.granted);
        issued.granted.clone().or_else(noted).unwrap_or_default()
    }

    /// The name under which the token for a place is cached, if the installation is known without asking GitHub.
    pub(crate) fn cached_key(&self, place: &Place) -> Option<TokenKey> {
        if let Some(command) = self.rule.identity.token_command() {
            return Some(self.token_key(Mint::Command(command), place));
        }
        let remembered = || self.cache.old_route(&self.route_key(place));
        let configured = self.rule.installation.clone().map(InstallationRef::from);
        Some(self.token_key(Mint::Of(&configured.or_else(remembered)?), place))
    }

    /// How a call would come to the installation of a place.
    pub(crate) fn routing(&self, place: &Place) -> Routing {
        if self.rule.installation.is_some() {
            return Routing::Configured;
        }
        match self.cache.how_route_was_learnt(&self.route_key(place)) {
            Some((installation, learnt)) => Routing::Remembered(installation, learnt),
            None => self
                .owner_route(place)
                .map_or(Routing::ByLookup, |owner| Routing::ByOwner(owner.installation)),
        }
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

    /// Whether a token is of an installation and narrowed as this source narrows what it gives for a place.
    pub(crate) fn is_narrowed(&self, issued: &Issued, place: &Place) -> bool {
        let installation = issued.installation.as_ref();
        installation.is_some_and(|it| self.token_key(Mint::Of(it), place) == issued.key)
    }

    fn token_key(&self, mint: Mint<'_>, place: &Place) -> TokenKey {
        match mint {
            Mint::Of(installation) => {
                let scope = self.scope(place, installation);
                TokenKey::new(&self.rule.api, &self.rule.app_id, &installation.id, &scope)
            }
            Mint::Command(command) => TokenKey::of_command(&command.command.words(), &self.told(place)),
        }
    }

    /// What is looked up for a place: the owner of a repository where the API has no installation of a repository.
    fn routed<'p>(&self, place: &'p Place) -> Cow<'p, Place> {
        match place {
            Place::Repository(host, repository)
                if self.rule.vendor().installation_of_repository.is_empty() =>
            {
                Cow::Owned(Place::Owner(host.clone(), repository.owner.clone()))
            }
            place => Cow::Borrowed(place),
        }
    }

    fn route_key(&self, place: &Place) -> RouteKey {
        let (kind, name) = self.routed(place).kind_and_name();
        RouteKey::new(&self.rule.api, &self.rule.app_id, kind, &name)
    }

    /// The name of what is remembered about the owner of a place, as [`Self::route_key`] has it for the owner alone.
    fn owner_key(&self, place: &Place) -> RouteKey {
        match place {
            Place::Repository(host, repository) => {
                self.route_key(&Place::Owner(host.clone(), repository.owner.clone()))
            }
            Place::Owner(..) | Place::Host(_) => self.route_key(place),
        }
    }

    /// Forgets the route to a place, and the one to its owner, because there is no such installation.
    fn forget_route(&self, place: &Place, gone: &InstallationRef) {
        self.cache.forget_route(&self.route_key(place), gone);
        self.cache.forget_route(&self.owner_key(place), gone);
    }

    fn api_key(&self) -> ApiStateKey {
        ApiStateKey::new(&self.rule.api, &self.rule.app_id)
    }

    /// The repositories that a token for a place is narrowed to; none: it is for all that the installation covers.
    fn repositories<'p>(&'p self, place: &'p Place) -> Vec<&'p Repository> {
        if !self.narrowing.repositories.is_empty() {
            return self.narrowing.repositories.iter().collect();
        }
        match self.rule.scope() {
            RuleScope::Installation => Vec::new(),
            RuleScope::Repository => place.repository().into_iter().collect(),
            // An installation is on one owner.
            RuleScope::Listed => {
                let listed = self.rule.repositories.iter();
                listed.filter(|it| place.owner().is_none_or(|owner| it.owner == owner)).collect()
            }
        }
    }

    /// What the token is narrowed to.
    fn scope(&self, place: &Place, installation: &InstallationRef) -> Scope {
        let by = |repository: &Repository| match installation.repository_id {
            Some(id) if place.repository() == Some(repository) => RepositoryRef::Id(id),
            _ => RepositoryRef::Name(repository.name.clone()),
        };
        let permissions = match self.narrowing.permissions.is_empty() {
            true => &self.rule.permissions,
            false => &self.narrowing.permissions,
        };
        let repositories = self.repositories(place).into_iter().map(by).collect();
        Scope { repositories, permissions: permissions.clone() }
    }

    /// Whether a person wants a token for something else than git.
    fn narrowing_is_without_contents(&self) -> bool {
        let permissions = &self.narrowing.permissions;
        !permissions.is_empty() && !may_use_contents(Some(permissions))
    }

    fn grant(&self, mint: Mint<'_>, place: &Place, granted: &Granted, token: &Token) -> Grant {
        /// With more the label would be larger than the token, and some stores have little room.
        const MOST_LABELLED: usize = 8;
        let repositories = self.repositories(place);
        let is_few = repositories.len() <= MOST_LABELLED;
        let label = Label {
            host: self.rule.host.to_string(),
            api: self.rule.api.to_string(),
            app: self.rule.app_id.clone(),
            installation: mint.installation().map(|it| it.id),
            owner: place.owner().map(str::to_owned),
            repositories: repositories.into_iter().filter(|_| is_few).map(ToString::to_string).collect(),
            minted_elsewhere: false,
        };
        Grant { label, granted: granted.clone(), expires_at: token.expires_at() }
    }

    /// Which App is missing where, and where to install it.
    fn not_installed(&self, place: &Place) -> Error {
        // Where the App's page is, only GitHub knows. Without it the message is less of a help, but still true.
        let page = self.cache.app_page(&self.api_key()).or_else(|| {
            let info = self.github().ok()?.app().ok()??;
            let page = AppPage { install: info.install_page(), slug: info.slug };
            self.cache.remember_app_page(&self.api_key(), &page);
            Some(page)
        });
        let app = page.as_ref().map_or(&self.rule.app_id, |page| &page.slug);
        let host = &self.rule.host;
        // The owner's installation does not cover it, as far as another repository's lookup told lately.
        if let Place::Repository(_, repository) = place
            && let Some(Some(_)) = self.cache.route(&self.owner_key(place))
        {
            let owner = &repository.owner;
            let error = Error::new(format!(
                "App {app} is installed on {host}/{owner}, but not for {host}/{repository}, or there is no such repository"
            ));
            let of_installation = self.owner_route(place).and_then(|route| route.page);
            let page = of_installation.or_else(|| page.map(|page| page.install));
            return match page {
                Some(page) => error.hint(format!("let it have the repository at {page}")),
                None => error.hint("let it have the repository on the installation's page"),
            };
        }
        let error = Error::new(match place {
            Place::Repository(_, repository) => {
                format!("App {app} is not installed on {host}/{repository}, or there is no such repository")
            }
            Place::Owner(_, owner) => format!("App {app} is not installed on {host}/{owner}"),
            Place::Host(_) => format!("App {app} has no installation on {host} that git can use"),
        });
        match page {
            Some(page) => error.hint(format!("install it at {}", page.install)),
            None => error.hint("install it from the App's page, for all repositories or for this one"),
        }
    }
}

#[cfg(test)]
mod tests;
