//! Tokens that a person narrows: to some repositories, to some permissions, and never to more than the rule allows.

use std::collections::BTreeMap;

use super::place;
use crate::config::{Config, Flags, RuleScope, Selected};
use crate::error::{Error, Result};
use crate::names::{Repository, redacted};
use crate::source::Narrowing;
use crate::token::{Permissions, beyond, is_within};
use crate::world::World;

/// What a token is to be narrowed to.
#[derive(Debug, clap::Args)]
pub(super) struct Narrow {
    /// Narrow the token to this permission, like contents=read; may be repeated. --repository narrows it to repositories
    #[arg(long = "permission", value_name = "NAME=LEVEL", value_parser = permission)]
    permission: Vec<(String, String)>,
}

impl Narrow {
    pub(super) fn permissions(&self) -> &[(String, String)] {
        &self.permission
    }
}

/// A permission and its level.
pub(super) fn permission(text: &str) -> std::result::Result<(String, String), String> {
    let (name, level) = text.split_once('=').unwrap_or_default();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_name && is_within(level, Some("admin")) {
        return Ok((name.to_owned(), level.to_owned()));
    }
    Err("write it like contents=read, with read, write or admin".to_owned())
}

/// The repositories that flags name. As settings they would change a rule.
pub(super) fn repositories(flags: &mut Flags) -> Vec<String> {
    let taken = flags.take("repository");
    let names = taken.iter().flat_map(|value| value.split([',', ' '])).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The rule that answers for what a person names, and what its token is narrowed to.
///
/// # Errors
/// If that is more than the rule allows.
pub(super) fn selected<'c>(
    name: Option<&str>,
    repositories: &[String],
    narrow: &Narrow,
    usage: &str,
    config: &'c Config,
    world: &World<'_>,
) -> Result<(Selected<'c>, Narrowing)> {
    let (selected, repositories) = match repositories {
        [] => (place::selected(name, usage, config, world)?, Vec::new()),
        [first, rest @ ..] => {
            let (selected, first) = repository(name, first, usage, config, world)?;
            let mut all = vec![first];
            for other in rest {
                let (its, repository) = repository(name, other, usage, config, world)?;
                if !std::ptr::eq(its.rule, selected.rule) || repository.owner != all[0].owner {
                    let what = format!("one token cannot be for {} and for {repository}", all[0]);
                    return Err(
                        Error::new(what).hint("get a token for each: they have different owners or rules")
                    );
                }
                all.push(repository);
            }
            all.sort_unstable();
            all.dedup();
            (selected, all)
        }
    };
    let permissions: Permissions = narrow.permission.iter().cloned().collect::<BTreeMap<_, _>>();
    let narrowing = Narrowing { repositories, permissions };
    check(&selected, &narrowing)?;
    Ok((selected, narrowing))
}

/// One of the repositories, and the rule that answers for it. A name without an owner is one of the owner that is named.
fn repository<'c>(
    name: Option<&str>,
    repository: &str,
    usage: &str,
    config: &'c Config,
    world: &World<'_>,
) -> Result<(Selected<'c>, Repository)> {
    let full = match repository.contains(['/', ':']) {
        true => repository.to_owned(),
        false => {
            let place = match name {
                Some(name) => place::named(name, config)?,
                None => place::selected(None, usage, config, world)?.place,
            };
            let owner = place.owner().ok_or_else(|| {
                Error::new(format!("it is not clear whose repository {repository} is"))
                    .hint(format!("write --repository OWNER/{repository}"))
            })?;
            format!("https://{}/{owner}/{repository}", place.host())
        }
    };
    let selected = place::selected(Some(&full), usage, config, world)?;
    match selected.place.repository().cloned() {
        Some(repository) => Ok((selected, repository)),
        None => Err(Error::new(format!("{:?} is not a repository", redacted(&full)))
            .hint("write --repository OWNER/REPO")),
    }
}

/// An error if the rule does not allow as much.
pub(super) fn check(selected: &Selected<'_>, narrowing: &Narrowing) -> Result<()> {
    let Selected { rule, place } = selected;
    let Narrowing { repositories, permissions } = narrowing;
    if rule.identity.token_command().is_some() && !(repositories.is_empty() && permissions.is_empty()) {
        let what =
            format!("the tokens of {} cannot be narrowed: it decides what they are for", rule.client());
        return Err(Error::new(what).hint("leave out --repository and --permission"));
    }
    if rule.scope() == RuleScope::Repository && repositories.len() > 1 {
        let what =
            format!("the rule for {place} gives tokens for single repositories only ({})", rule.origin);
        return Err(Error::new(what).hint("name one repository"));
    }
    match beyond(permissions, &rule.permissions) {
        None => Ok(()),
        Some((name, level)) => {
            let what = format!("the rule for {place} does not allow {name} = {level} ({})", rule.origin);
            Err(Error::new(what).hint("ask for less, or change permissions in the configuration"))
        }
    }
}
