//! The cached tokens, as a person sees them: what is in the stores, and what is noted about it.

use crate::cache::{Cache, TokenKey};
use crate::config::{Config, Rule};
use crate::error::Error;
use crate::source::TokenSource;
use crate::time::Timestamp;
use crate::token::{Granted, Label, Token};
use crate::world::World;

/// A token that is cached.
pub(super) struct Cached {
    pub(super) key: TokenKey,
    /// Whose it is.
    pub(super) label: Label,
    /// What it may do, as far as that was noted.
    pub(super) granted: Granted,
    pub(super) expires_at: Timestamp,
    /// The store that it is in.
    pub(super) store: &'static str,
    /// The token itself. `None`: it is sealed under the key of an App that is not configured. What is known of it was
    /// noted beside it then, which is good for showing, and for nothing else.
    pub(super) token: Option<Token>,
}

impl Cached {
    /// Whether it has expired by this machine's clock.
    pub(super) fn has_expired(&self, world: &World<'_>) -> bool {
        self.expires_at <= world.clock.now()
    }

    /// Whom the token is for.
    pub(super) fn whom(&self) -> String {
        match (self.label.repositories.as_slice(), &self.label.owner) {
            ([], Some(owner)) => owner.clone(),
            ([], None) => "the only installation".to_owned(),
            ([one], _) => one.clone(),
            ([first, rest @ ..], _) => format!("{first} and {} more", rest.len()),
        }
    }

    /// The rule of the App that it is a token of, if that is configured.
    pub(super) fn rule<'c>(&self, config: &'c Config) -> Option<&'c Rule> {
        config.rules.iter().rfind(|rule| is_of(&self.label, rule))
    }
}

/// Whether a token was given to a rule's App.
fn is_of(label: &Label, rule: &Rule) -> bool {
    rule.app_id == label.app && rule.api.to_string() == label.api
}

/// All tokens that are cached and have not expired, of all Apps, and why a store cannot tell. Those that expire last come
/// last.
pub(super) fn cached(config: &Config, world: &World<'_>) -> (Vec<Cached>, Vec<Error>) {
    let (mut all, failures) = cached_at_any_time(&sources(config, world), config, world);
    all.retain(|cached| !cached.has_expired(world));
    (all, failures)
}

/// Each rule, and who opens what is sealed for its App.
pub(super) type Sources<'c> = Vec<(&'c Rule, TokenSource<'c>)>;

pub(super) fn sources<'c>(config: &'c Config, world: &'c World<'c>) -> Sources<'c> {
    config.rules.iter().map(|rule| (rule, TokenSource::new(rule, config, world))).collect()
}

/// The same with those that can be read and have expired by this clock, which may be wrong.
pub(super) fn cached_at_any_time(
    sources: &Sources<'_>,
    config: &Config,
    world: &World<'_>,
) -> (Vec<Cached>, Vec<Error>) {
    let cache = Cache::open(world, &config.cache, None);
    let (entries, failures) = cache.entries();
    let mut all: Vec<Cached> = Vec::new();
    for entry in entries {
        let grant = cache.grant(&entry.key);
        let may_open = |rule: &Rule| grant.as_ref().is_none_or(|grant| is_of(&grant.label, rule));
        let content = entry.content.or_else(|| {
            let openers = sources.iter().filter(|(rule, _)| may_open(rule));
            openers.into_iter().find_map(|(_, source)| source.cache().entry(entry.store, &entry.key))
        });
        let granted = grant.as_ref().map(|grant| grant.granted.clone()).unwrap_or_default();
        let (token, label, expires_at) = match (content, grant) {
            (Some((token, Some(label))), _) => {
                let expires_at = token.expires_at();
                (Some(token), label, expires_at)
            }
            (_, Some(grant)) => (None, grant.label, grant.expires_at),
            (_, None) => continue,
        };
        all.push(Cached { key: entry.key, label, granted, expires_at, store: entry.store, token });
    }
    all.retain(|cached| cached.token.is_some() || !cached.has_expired(world));
    all.sort_by_cached_key(|cached| (cached.expires_at, cached.whom()));
    (all, failures)
}
