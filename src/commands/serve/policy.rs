//! What is served: nothing but what is allowed, and no token that reaches further.

use super::asked::Allowed;
use crate::commands::{narrow, place};
use crate::config::{Config, Selected, select};
use crate::error::{Error, Result};
use crate::names::{Host, Place, Repository, redacted};
use crate::socket::{ANSWERED, Message, VERSION};
use crate::source::{Issued, Narrowing, TokenSource};
use crate::token::{Need, Permissions, beyond};

/// What tokens are for at most.
#[derive(Debug)]
pub(super) struct Policy {
    /// Repositories and owners.
    allowed: Vec<Place>,
    /// Permission names and their levels; empty: as the rule says.
    permissions: Permissions,
}

impl Policy {
    /// What is allowed by name, or else what the rules name.
    ///
    /// # Errors
    /// If that is nothing, or more than a rule allows.
    pub(super) fn new(allow: &[String], permissions: &[String], config: &Config) -> Result<Self> {
        let parts = permissions.iter().flat_map(|value| value.split([',', ' '])).filter(|it| !it.is_empty());
        let permissions = parts
            .map(|part| {
                narrow::permission(part).map_err(|why| {
                    Error::new(format!("{part:?} is not a permission (--permissions)")).hint(why)
                })
            })
            .collect::<Result<Permissions>>()?;
        let allowed = match allow {
            [] => config
                .rules
                .iter()
                .flat_map(|rule| {
                    let repositories = rule.repositories.iter().cloned();
                    let owners = rule.owners.iter().cloned();
                    let repository = |it| Place::Repository(rule.host.clone(), it);
                    repositories.map(repository).chain(owners.map(|it| Place::Owner(rule.host.clone(), it)))
                })
                .collect(),
            names => names.iter().map(|name| named(name, config)).collect::<Result<Vec<_>>>()?,
        };
        if allowed.is_empty() {
            return Err(Error::new("no owner or repository is named for which tokens may be given out")
                .hint("--allow OWNER/REPO"));
        }
        let policy = Self { allowed, permissions };
        for place in &policy.allowed {
            policy.check(place, config)?;
        }
        Ok(policy)
    }

    /// An error if no rule gives tokens for an allowed place that can be narrowed to what is allowed.
    fn check(&self, place: &Place, config: &Config) -> Result<()> {
        let selected = match select(place.clone(), config) {
            Ok(Some(selected)) => selected,
            Ok(None) => return Err(place::not_configured(place, config)),
            // An owner whose rule gives tokens for single repositories only.
            Err(_) => return Ok(()),
        };
        let repositories = place.repository().cloned().into_iter().collect();
        narrow::check(&selected, &Narrowing { repositories, permissions: self.permissions.clone() })?;
        can_be_narrowed(&selected)
    }

    /// What is served, as an answer over the socket, which has room for no more than the first ones of very many.
    pub(super) fn to_message(&self) -> Message {
        const MOST_LISTED: usize = 500;
        let answer = Message::new(ANSWERED).with("version", VERSION);
        let listed = self.allowed.iter().take(MOST_LISTED);
        let answer = listed.fold(answer, |answer, place| answer.with("allowed[]", &place.to_string()));
        let answer = self
            .permissions
            .iter()
            .fold(answer, |answer, (name, level)| answer.with("permission[]", &format!("{name}={level}")));
        let rest = self.allowed.len().saturating_sub(MOST_LISTED);
        answer.with_some("not_listed", (rest > 0).then(|| rest.to_string()).as_deref())
    }

    fn allows(&self, host: &Host, repository: &Repository) -> bool {
        self.allowed.iter().any(|place| match place {
            Place::Repository(on, it) => on == host && it == repository,
            Place::Owner(on, owner) => on == host && *owner == repository.owner,
            Place::Host(_) => false,
        })
    }

    /// Whether anything on this host is allowed.
    pub(super) fn serves(&self, host: &Host) -> bool {
        self.allowed.iter().any(|place| place.host() == host)
    }

    /// Whether anything of its owner's is allowed.
    pub(super) fn names_owner_of(&self, place: &Place) -> bool {
        self.allowed.iter().any(|it| it.host() == place.host() && it.owner() == place.owner())
    }

    /// The rule that answers for a place, and what the token for it is narrowed to. `asked_for` says for fewer
    /// repositories, fewer permissions.
    ///
    /// # Errors
    /// If it is not allowed.
    pub(super) fn select<'c>(
        &self,
        place: &Place,
        asked_for: &Narrowing,
        config: &'c Config,
    ) -> Result<Allowed<'c>> {
        let host = place.host().clone();
        let reach = match (asked_for.repositories.as_slice(), place) {
            (repositories @ [_, ..], _) => Reach::Repositories(repositories.to_vec()),
            ([], Place::Repository(_, repository)) => Reach::Repositories(vec![repository.clone()]),
            ([], Place::Owner(_, owner)) => self.reach_of(&host, owner)?,
            ([], Place::Host(_)) => self.reach_of(&host, self.only_owner(&host)?)?,
        };
        let (selected, repositories) = match reach {
            Reach::Owner(owner) => {
                let selected = rule(Place::Owner(host, owner), config)?;
                if let Some(id) = &selected.rule.installation {
                    let what = format!("the rule names installation {id}, which may be another owner's");
                    return Err(Error::new(what).hint("name a repository: OWNER/REPO"));
                }
                (selected, Vec::new())
            }
            Reach::Repositories(mut repositories) => {
                repositories.sort_unstable();
                repositories.dedup();
                (self.rule_of_all(&host, &repositories, config)?, repositories)
            }
        };
        can_be_narrowed(&selected)?;
        if let Some((name, level)) = beyond(&asked_for.permissions, &self.permissions) {
            let what = format!("{name} = {level} is not allowed");
            return Err(
                Error::new(what).hint(format!("add it where serve runs: --permissions {name}={level}"))
            );
        }
        let permissions =
            if asked_for.permissions.is_empty() { &self.permissions } else { &asked_for.permissions };
        let narrowing = Narrowing { repositories, permissions: permissions.clone() };
        narrow::check(&selected, &narrowing)?;
        Ok(Allowed { selected, narrowing })
    }

    /// What a token for an owner reaches.
    fn reach_of(&self, host: &Host, owner: &str) -> Result<Reach> {
        let place = Place::Owner(host.clone(), owner.to_owned());
        if self.allowed.contains(&place) {
            return Ok(Reach::Owner(owner.to_owned()));
        }
        let on_host = self.allowed.iter().filter(|it| it.host() == host);
        let repositories: Vec<Repository> =
            on_host.filter_map(Place::repository).filter(|it| it.owner == owner).cloned().collect();
        if repositories.is_empty() { Err(not_allowed(&place)) } else { Ok(Reach::Repositories(repositories)) }
    }

    /// The only host of which something is allowed.
    pub(super) fn only_host(&self) -> Result<&Host> {
        let mut hosts: Vec<&Host> = self.allowed.iter().map(Place::host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        match hosts.as_slice() {
            [host] => Ok(host),
            _ => Err(Error::new("it is not clear which host is meant").hint("name one: HOST/OWNER/REPO")),
        }
    }

    /// The only owner on a host of whom something is allowed.
    pub(super) fn only_owner(&self, host: &Host) -> Result<&str> {
        let on_host = self.allowed.iter().filter(|it| it.host() == host);
        let mut owners: Vec<&str> = on_host.filter_map(Place::owner).collect();
        owners.sort_unstable();
        owners.dedup();
        match owners.as_slice() {
            [] => Err(not_allowed(&Place::Host(host.clone()))),
            [owner] => Ok(owner),
            _ => Err(Error::new(format!("it is not clear which repository on {host} is meant"))
                .hint(format!("git config --global credential.https://{host}.useHttpPath true"))),
        }
    }

    /// The one rule for these repositories, which are all allowed.
    fn rule_of_all<'c>(
        &self,
        host: &Host,
        repositories: &[Repository],
        config: &'c Config,
    ) -> Result<Selected<'c>> {
        let mut first: Option<Selected<'c>> = None;
        for repository in repositories {
            let place = Place::Repository(host.clone(), repository.clone());
            if !self.allows(host, repository) {
                return Err(not_allowed(&place));
            }
            let selected = rule(place, config)?;
            if let Some(first) = &first
                && !(std::ptr::eq(first.rule, selected.rule) && first.place.owner() == selected.place.owner())
            {
                let what = format!("one token cannot be for {} and for {}", first.place, selected.place);
                return Err(Error::new(what).hint("name one of them"));
            }
            first.get_or_insert(selected);
        }
        first.ok_or_else(|| Error::new("no repository is named"))
    }

    /// The token, if it is narrowed to what is allowed, and if GitHub said that it is for nothing else: a repository may have
    /// another name by now, and an installation that a rule names may be another owner's. Where it is not known any more what
    /// GitHub said of a cached token, another one is minted.
    ///
    /// # Errors
    /// If it is for anything else, or if that cannot be known.
    pub(super) fn checked(
        &self,
        source: &TokenSource<'_>,
        allowed: &Allowed<'_>,
        issued: Issued,
    ) -> Result<Issued> {
        let Allowed { selected, narrowing } = allowed;
        let place = &selected.place;
        let reach = |issued: &Issued| source.granted(issued).repositories;
        let issued = if narrowing.repositories.is_empty() || reach(&issued).is_some() {
            issued
        } else {
            source.token(place, Need::New)?.issued()?
        };
        if !source.is_narrowed(&issued, place) {
            return Err(Error::new(format!("the token for {place} is not narrowed to it")));
        }
        if narrowing.repositories.is_empty() {
            return Ok(issued);
        }
        let names = reach(&issued)
            .ok_or_else(|| Error::new(format!("it is not known what the token for {place} reaches")))?;
        let is_allowed = |name: &&String| {
            Repository::parse(name).is_some_and(|repository| self.allows(place.host(), &repository))
        };
        match names.iter().find(|name| !is_allowed(name)) {
            None => Ok(issued),
            Some(name) => {
                let what = format!("{place} is {name} now, which is not allowed");
                Err(Error::new(what).hint(format!("add it where serve runs: --allow {name}")))
            }
        }
    }
}

/// What a token reaches.
enum Reach {
    /// All that the App may reach of an owner.
    Owner(String),
    /// Some repositories.
    Repositories(Vec<Repository>),
}

/// The place that a person allows.
fn named(name: &str, config: &Config) -> Result<Place> {
    match place::named(name, config)? {
        Place::Host(_) => {
            Err(Error::new(format!("{:?} is neither a repository nor an owner (--allow)", redacted(name)))
                .hint("--allow OWNER/REPO"))
        }
        place => Ok(place),
    }
}

fn rule(place: Place, config: &Config) -> Result<Selected<'_>> {
    let none = Error::new(format!("no App is configured for {place}"));
    select(place, config)?.ok_or(none)
}

fn not_allowed(place: &Place) -> Error {
    let error = Error::new(format!("{place} is not allowed"));
    match place {
        Place::Host(_) => error,
        Place::Repository(_, repository) => {
            error.hint(format!("add it where serve runs: --allow {repository}"))
        }
        Place::Owner(_, owner) => error.hint(format!("add it where serve runs: --allow {owner}")),
    }
}

/// An error if nobody can say what the rule's tokens are for.
fn can_be_narrowed(selected: &Selected<'_>) -> Result<()> {
    match selected.rule.identity.token_command() {
        None => Ok(()),
        Some(_) => {
            let what = format!(
                "the tokens of {} cannot be narrowed, so they are not served: it decides what they are for",
                selected.rule.client()
            );
            Err(Error::new(what).hint("serve an App's tokens"))
        }
    }
}
