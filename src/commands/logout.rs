//! `logout`: at the end of a job no token stays behind, here or at GitHub.

use super::cached::{Cached, Sources, cached_at_any_time, sources};
use super::output::{Output, count, time};
use super::place;
use crate::cache::{Cache, TokenKey};
use crate::config::{Config, Flags, Rule, select};
use crate::error::{Error, Result};
use crate::git::network::{self, HttpSettings};
use crate::github::{self, Failure};
use crate::names::{ApiUrl, Host, Place, Repository};
use crate::source::TokenSource;
use crate::vendor::GITHUB;
use crate::world::World;

/// Which tokens.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --owner OWNER or --host HOST only those of an owner or a host; both may be repeated."
)]
pub(crate) struct Options {
    /// Only the tokens for OWNER/REPO, OWNER, or a URL; default: those of all configured Apps
    name: Option<String>,
    /// Also tokens of Apps that are no longer configured, and everything else in the cache folder
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Also revoke tokens that other machines minted, and that this one has from the shared cache
    #[arg(long, conflicts_with = "keep_remote")]
    shared: bool,
    /// Remove the tokens here only, and do not revoke them at GitHub
    #[arg(long)]
    keep_remote: bool,
}

pub(super) fn logout(
    options: &Options,
    flags: &mut Flags,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    // Here these choose tokens. As settings they would change a rule.
    let (owners, hosts) = (flags.take("owner"), flags.take("host"));
    let config = Config::load(flags, world)?;
    let filter = Filter::new(options.name.as_deref(), owners, &hosts, &config, world)?;
    let mut others = 0;
    let choose = |tokens: Vec<Cached>, troubles: &mut Vec<Error>| {
        others = 0;
        let mut chosen = Vec::new();
        for token in tokens {
            match filter.chooses(&token, &config, world) {
                Ok(Choice::Yes) => chosen.push(token),
                // Without a name these are the tokens of who is configured; of everybody where nobody is.
                Ok(Choice::NothingNamed)
                    if options.all || config.rules.is_empty() || token.rule(&config).is_some() =>
                {
                    chosen.push(token);
                }
                _ if token.has_expired(world) => {}
                Ok(_) => others += 1,
                Err(why) => troubles.push(why),
            }
        }
        chosen
    };
    let way = Way {
        keeps_remote: options.keep_remote,
        removes_sealed: options.all,
        revokes_others: options.shared,
    };
    let (done, mut troubles) = remove_tokens(choose, way, &config, world);
    if options.all {
        troubles.extend(Cache::open(world, &config.cache, None).forget_everything().err());
        // Nothing is sealed under them any more.
        for rule in &config.rules {
            let source = TokenSource::new(rule, &config, world);
            troubles.extend(source.cache().forget_sealing_secret().err());
        }
    }
    for why in &troubles {
        world.terminal.warning(why);
    }
    output.line(&match done.in_words() {
        Some(done) => done,
        None if !troubles.is_empty() => "no token was removed".to_owned(),
        None if filter.names_something() => format!("no token is cached for {filter}"),
        None if others > 0 => format!(
            "no token of a configured App is cached; for {} of others: git-credential-ghapp logout --all",
            count(others, "token", "tokens")
        ),
        None => "no token is cached".to_owned(),
    })?;
    if done.left > 0 {
        let (one, more) = (
            "was minted by another machine and stays valid; where it is still cached, git-credential-ghapp logout --shared revokes it",
            "were minted by others and stay valid; where they are still cached, git-credential-ghapp logout --shared revokes them",
        );
        output.line(&count(done.left, one, more))?;
    }
    Ok(u8::from(!troubles.is_empty()))
}

/// Revokes and removes the tokens that are meant, also those of Apps that are no longer configured. Gives what was done, if
/// anything, and why not all of it was.
pub(super) fn these(
    is_meant: impl Fn(&Cached) -> bool,
    config: &Config,
    world: &World<'_>,
) -> (Option<String>, Vec<Error>) {
    let choose = |mut tokens: Vec<Cached>, _: &mut Vec<Error>| {
        tokens.retain(&is_meant);
        tokens
    };
    let way = Way { keeps_remote: false, removes_sealed: true, revokes_others: false };
    let (done, troubles) = remove_tokens(choose, way, config, world);
    (done.in_words(), troubles)
}

/// How tokens are removed.
#[derive(Clone, Copy)]
struct Way {
    /// Whether they stay valid at GitHub.
    keeps_remote: bool,
    /// Whether those are removed, too, that cannot be revoked because they cannot be opened.
    removes_sealed: bool,
    /// Whether those are revoked, too, that another machine minted.
    revokes_others: bool,
}

/// How many tokens were removed here, and how many revoked at GitHub.
#[derive(Default)]
struct Done {
    removed: usize,
    revoked: usize,
    /// How many are valid still, because another machine minted them.
    left: usize,
    /// How many were replaced by new ones meanwhile.
    replaced: usize,
}

impl Done {
    /// For a person; `None` if nothing was done.
    fn in_words(&self) -> Option<String> {
        let removed = count(self.removed, "token", "tokens");
        match (self.removed, self.revoked) {
            (0, _) => None,
            (_, 0) => Some(format!("removed {removed}")),
            (_, revoked) => Some(format!("removed {removed}, revoked {revoked}")),
        }
    }
}

/// How often tokens are looked for that took the place of removed ones: git may get new ones meanwhile.
const PASSES: usize = 3;

/// Removes the tokens that are chosen of those that are cached. Gives what was done, and why not all of it was.
fn remove_tokens(
    mut choose: impl FnMut(Vec<Cached>, &mut Vec<Error>) -> Vec<Cached>,
    way: Way,
    config: &Config,
    world: &World<'_>,
) -> (Done, Vec<Error>) {
    let sources = sources(config, world);
    let mut removing = Removing { way, config, world, sources, unreachable: Vec::new() };
    let (mut done, mut troubles) = (Done::default(), Vec::new());
    for _ in 0..PASSES {
        let (tokens, failures) = cached_at_any_time(&removing.sources, config, world);
        troubles.extend(failures);
        done.replaced = 0;
        for token in choose(tokens, &mut troubles) {
            troubles.extend(removing.remove(&token, &mut done).err());
        }
        if done.replaced == 0 {
            break;
        }
    }
    (done, troubles)
}

/// Tokens that are being removed.
struct Removing<'c> {
    way: Way,
    config: &'c Config,
    world: &'c World<'c>,
    sources: Sources<'c>,
    /// The APIs that did not answer in all the time that they had, or want to be left alone, and what came of that: none is waited
    /// for twice.
    unreachable: Vec<(String, Error)>,
}

impl Removing<'_> {
    fn remove(&mut self, token: &Cached, done: &mut Done) -> Result<()> {
        let Way { keeps_remote, removes_sealed, revokes_others } = self.way;
        if token.has_expired(self.world) {
            return self.remove_expired(token, done);
        }
        if token.token.is_none() && !keeps_remote && !removes_sealed {
            return Err(cannot_be_opened(token));
        }
        let is_others = token.label.minted_elsewhere && !revokes_others;
        let revokes = !keeps_remote && !is_others;
        let revocation = if revokes { self.withdraw_and_revoke(token).map(drop) } else { Ok(()) };
        let removal = self.forget(token);
        done.removed += usize::from(removal.is_ok());
        done.replaced += usize::from(matches!(removal, Ok(false)));
        done.revoked += usize::from(revocation.is_ok() && revokes);
        done.left += usize::from(is_others && !keeps_remote);
        removal.and(revocation.map_err(|why| still_valid(token, &why)))
    }

    /// Removes a token that has expired by this clock. That may be ahead, so GitHub decides; what it does not know any more goes
    /// without a word.
    fn remove_expired(&mut self, token: &Cached, done: &mut Done) -> Result<()> {
        let Way { keeps_remote, revokes_others, .. } = self.way;
        let revokes = !keeps_remote && (revokes_others || !token.label.minted_elsewhere);
        let was_valid = revokes && self.withdraw_and_revoke(token).unwrap_or(false);
        done.replaced += usize::from(!self.forget(token)?);
        done.removed += usize::from(was_valid);
        done.revoked += usize::from(was_valid);
        Ok(())
    }

    /// The cache of the App that the token is of, if that App is configured.
    fn cache(&self, token: &Cached) -> Option<&Cache<'_>> {
        let rule = token.rule(self.config)?;
        let source = self.sources.iter().find(|(it, _)| std::ptr::eq(*it, rule));
        source.map(|(_, source)| source.cache())
    }

    /// Removes a token here. Whether none is there now: another one may have taken its place.
    fn forget(&self, cached: &Cached) -> Result<bool> {
        match (self.cache(cached), &cached.token) {
            (Some(cache), Some(token)) => cache.forget_token(&cached.key, &token.secret),
            _ => Cache::open(self.world, &self.config.cache, None).forget(&cached.key).map(|()| true),
        }
    }

    /// Revokes a token, after other machines can no longer have it from the shared cache. Whether it was valid until now.
    fn withdraw_and_revoke(&mut self, cached: &Cached) -> Result<bool> {
        if let (Some(cache), Some(token)) = (self.cache(cached), &cached.token) {
            cache.withdraw(&cached.key, &token.secret);
        }
        let api = &cached.label.api;
        if let Some((_, why)) = self.unreachable.iter().find(|(it, _)| it == api) {
            return Err(why.clone());
        }
        revoke(cached, self.config, self.world).map_err(|failure| {
            let is_unreachable = matches!(failure, Failure::Unreachable(_) | Failure::Limited(..));
            let why = Error::from(failure);
            if is_unreachable {
                self.unreachable.push((api.clone(), why.clone()));
            }
            why
        })
    }
}

/// Which tokens a person names.
#[derive(Default)]
struct Filter {
    hosts: Vec<String>,
    owners: Vec<String>,
    repository: Option<Repository>,
    /// What `get` would answer with for the place that is named, if that is remembered: a repository may have moved.
    key: Option<TokenKey>,
}

/// Whether a token is meant.
enum Choice {
    Yes,
    No,
    /// There is nothing that it could be compared with.
    NothingNamed,
}

impl Filter {
    fn new(
        name: Option<&str>,
        owners: Vec<String>,
        hosts: &[String],
        config: &Config,
        world: &World<'_>,
    ) -> Result<Self> {
        let parsed = hosts.iter().map(|host| {
            let wrong = || Error::new(format!("{host:?} is not a host"));
            Host::parse(host).map(|host| host.to_string()).ok_or_else(wrong)
        });
        let mut filter = Self { hosts: parsed.collect::<Result<_>>()?, owners, ..Self::default() };
        let Some(name) = name else { return Ok(filter) };
        let place = place::named(name, config)?;
        filter.hosts.push(place.host().to_string());
        filter.owners.extend(place.owner().map(str::to_owned));
        filter.repository = place.repository().cloned();
        if !matches!(place, Place::Host(_))
            && let Ok(Some(selected)) = select(place, config)
        {
            filter.key = TokenSource::new(selected.rule, config, world).cached_key(&selected.place);
        }
        Ok(filter)
    }

    fn names_something(&self) -> bool {
        !self.hosts.is_empty() || !self.owners.is_empty()
    }

    fn chooses(&self, token: &Cached, config: &Config, world: &World<'_>) -> Result<Choice> {
        if !self.names_something() {
            return Ok(Choice::NothingNamed);
        }
        if self.key.as_ref() == Some(&token.key) {
            return Ok(Choice::Yes);
        }
        let label = &token.label;
        let is_repository = |repository: &Repository| {
            label.repositories.is_empty() || label.repositories.contains(&repository.to_string())
        };
        if !(self.hosts.is_empty() || self.hosts.contains(&label.host))
            || !self.repository.as_ref().is_none_or(is_repository)
        {
            return Ok(Choice::No);
        }
        let is_owner = |owner: &str| self.owners.iter().any(|named| named.eq_ignore_ascii_case(owner));
        Ok(match &label.owner {
            _ if self.owners.is_empty() => Choice::Yes,
            Some(owner) if is_owner(owner) => Choice::Yes,
            Some(_) => Choice::No,
            None if is_owner(&owner_of(token, config, world)?) => Choice::Yes,
            None => Choice::No,
        })
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match &self.repository {
            Some(repository) => repository.to_string(),
            None => self.owners.join(", "),
        };
        let hosts = self.hosts.join(", ");
        match (what.as_str(), hosts.as_str()) {
            ("", hosts) => f.write_str(hosts),
            (what, "") => f.write_str(what),
            (what, hosts) => write!(f, "{what} on {hosts}"),
        }
    }
}

/// Whose installation a token is of that was had without naming an owner: GitHub knows.
fn owner_of(token: &Cached, config: &Config, world: &World<'_>) -> Result<String> {
    let label = &token.label;
    // A command is told of the host alone where the tokens are for all of it.
    let Some(installation) = &label.installation else { return Ok(String::new()) };
    let unclear = |why: &str| {
        Error::new(format!(
            "it is not clear whose token that of installation {installation} on {} is, so it is kept: {why}",
            label.host
        ))
        .hint("git-credential-ghapp logout --all")
    };
    let rule = token.rule(config).ok_or_else(|| unclear("its App is not configured"))?;
    let source = TokenSource::new(rule, config, world);
    let installation = source.github().and_then(|github| github.installation(installation));
    match installation.map_err(|why| unclear(why.into_error().message()))? {
        Some(installation) => Ok(installation.owner().unwrap_or_default().to_owned()),
        None => Err(unclear("there is no such installation any more")),
    }
}

/// Revokes a token at the API that gave it, as the token's own label says. What is configured says only what that API is like,
/// where it is not GitHub's. Whether it was valid until now.
fn revoke(cached: &Cached, config: &Config, world: &World<'_>) -> Result<bool, Failure> {
    let label = &cached.label;
    let token = cached.token.as_ref().ok_or_else(|| why_unreadable(cached))?;
    let api = ApiUrl::parse(&label.api)?;
    let gits_address = format!("https://{}/", label.host);
    let way = network::way(&api.endpoint("/"), &gits_address, &HttpSettings::default(), world)?;
    let vendor = cached.rule(config).map_or(&GITHUB, Rule::vendor);
    github::revoke(way, &api, vendor, &label.app, &token.secret, world, config.cache.deadline)
}

/// Why a token cannot be read.
fn why_unreadable(cached: &Cached) -> Error {
    let (store, app) = (cached.store, &cached.label.app);
    Error::new(format!("its {store} opens only with the private key of App {app} that sealed it"))
}

/// That a token is kept, because only its own App's key leads to what must be revoked.
fn cannot_be_opened(cached: &Cached) -> Error {
    let (whom, app) = (cached.whom(), &cached.label.app);
    Error::new(format!(
        "the token for {whom} on {} was neither removed nor revoked: {}",
        cached.label.host,
        why_unreadable(cached)
    ))
    .hint(format!(
        "git-credential-ghapp logout {whom} --app-id {app} --private-key FILE, or remove it without revoking it: --keep-remote"
    ))
}

fn still_valid(token: &Cached, why: &Error) -> Error {
    Error::new(format!(
        "the token for {} on {} was removed here but not revoked, and stays valid until {}: {why}",
        token.whom(),
        token.label.host,
        time(token.expires_at)
    ))
    .hint_of(why)
}
