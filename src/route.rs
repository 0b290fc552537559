//! Request and configuration → which App answers, and where its installation is to be looked for.

use crate::config::{Config, Rule};
use crate::error::{Error, Result};
use crate::names::{Host, Repository};
use crate::protocol::{Request, USERNAME};

/// Who answers a request.
#[derive(Debug)]
pub struct Route<'c> {
    /// The rule that matched.
    pub rule: &'c Rule,
    /// The repository that git asks for, if it said so.
    pub repository: Option<Repository>,
    /// How the installation is found, unless the rule names it.
    pub target: Target,
}

/// How an installation is found, unless the rule names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one that covers this repository.
    Repository(Repository),
    /// The one of this owner.
    Owner(String),
    /// The only one that the App has.
    Only,
}

/// Finds out who answers. `None`: not ours, let git ask somebody else.
///
/// # Errors
/// If the request is for a configured host but does not say enough to choose an App.
pub fn route<'c>(request: &Request, config: &'c Config) -> Result<Option<Route<'c>>> {
    if request.protocol.as_deref() != Some("https") {
        return Ok(None);
    }
    if !matches!(request.username.as_deref(), None | Some("" | USERNAME)) {
        return Ok(None);
    }
    let Some(host) = request.host.as_deref().and_then(Host::parse) else { return Ok(None) };
    let rules: Vec<&Rule> = config.rules.iter().filter(|rule| rule.host == host).collect();
    if rules.is_empty() {
        return Ok(None);
    }
    match request.path.as_deref().filter(|path| !path.is_empty()) {
        Some(path) => {
            let Some(repository) = Repository::from_path(path) else { return Ok(None) };
            // Of equally specific rules the last one wins: it comes from the stronger source.
            let best = rules.into_iter().filter_map(|rule| Some((rule.specificity(&repository)?, rule)));
            let Some((_, rule)) = best.max_by_key(|(specificity, _)| *specificity) else { return Ok(None) };
            let target = Target::Repository(repository.clone());
            Ok(Some(Route { rule, repository: Some(repository), target }))
        }
        None => without_path(&host, &rules).map(Some),
    }
}

/// git sends no path unless `credential.useHttpPath` is set. That is enough where only one installation can
/// be meant.
fn without_path<'c>(host: &Host, rules: &[&'c Rule]) -> Result<Route<'c>> {
    let ambiguous = |why: &str| {
        Error::new(format!("git did not say which repository on {host} it wants, and {why}"))
            .hint(format!("git config --global credential.https://{host}.useHttpPath true"))
    };
    let ambient: Vec<_> = rules.iter().copied().filter(|rule| rule.is_for_this_call()).collect();
    let rule = match (ambient.as_slice(), rules) {
        ([rule], _) | ([], [rule]) => rule,
        _ => return Err(ambiguous(&format!("{} Apps are configured for it", rules.len()))),
    };
    if rule.per_repository {
        return Err(ambiguous("tokens are to be for one repository"));
    }
    let mut owners: Vec<&String> =
        rule.owners.iter().chain(rule.repositories.iter().map(|repository| &repository.owner)).collect();
    owners.sort_unstable();
    owners.dedup();
    let target = match (rule.installation, owners.as_slice()) {
        (Some(_), _) | (None, []) => Target::Only,
        (None, [owner]) => Target::Owner((*owner).clone()),
        (None, owners) => {
            return Err(ambiguous(&format!("the App is configured for {} owners", owners.len())));
        }
    };
    Ok(Route { rule, repository: None, target })
}
