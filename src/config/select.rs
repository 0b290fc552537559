//! A place → the rule that answers for it.

use super::{Config, Rule};
use crate::error::{Error, Result};
use crate::names::{Host, Place, Repository};

/// Who answers for a place.
#[derive(Debug)]
pub(crate) struct Selected<'c> {
    pub(crate) rule: &'c Rule,
    /// The place. A host as a whole has become an owner where the rule names only one.
    pub(crate) place: Place,
}

/// Finds the rule that answers for a place: the most specific one. `None`: nothing is configured for it.
///
/// # Errors
/// If the place does not say enough to choose a rule, or an installation.
pub(crate) fn select(place: Place, config: &Config) -> Result<Option<Selected<'_>>> {
    let rules: Vec<&Rule> = config.rules.iter().filter(|rule| rule.host == *place.host()).collect();
    if rules.is_empty() {
        return Ok(None);
    }
    match &place {
        Place::Repository(_, repository) => {
            let rule = strongest(&rules, |rule| rule.specificity(repository));
            Ok(rule.map(|rule| Selected { rule, place }))
        }
        Place::Owner(_, owner) => {
            let Some(rule) = strongest(&rules, |rule| rule.specificity_for_owner(owner)) else {
                return Ok(None);
            };
            if rule.per_repository() {
                let what = format!(
                    "the rule for {place} gives tokens for single repositories only ({})",
                    rule.origin
                );
                return Err(Error::new(what).hint("name the repository: OWNER/REPO"));
            }
            Ok(Some(Selected { rule, place }))
        }
        Place::Host(host) => for_host(host, &rules).map(Some),
    }
}

/// The rule whose tokens are for public repositories where no rule is for a place: the last one, which comes from the
/// stronger source.
pub(crate) fn for_public<'c>(place: &Place, config: &'c Config) -> Option<&'c Rule> {
    let gives = |rule: &&Rule| rule.host == *place.host() && rule.public_repositories.is_some();
    place.repository().and_then(|_| config.rules.iter().rfind(gives))
}

impl Rule {
    /// How specifically the rule names the repository: 2 by its full name, 1 by its owner, 0 by its host.
    /// `None` if the rule is not for it. Rules of environment and flags are for this very call, so they
    /// come before those of files.
    fn specificity(&self, repository: &Repository) -> Option<u8> {
        if self.repositories.contains(repository) {
            return Some(self.strength(2));
        }
        self.specificity_for_owner(&repository.owner)
    }

    /// The same for an owner as a whole.
    fn specificity_for_owner(&self, owner: &str) -> Option<u8> {
        if self.owners.iter().any(|named| named == owner) {
            return Some(self.strength(1));
        }
        (!self.names_what_it_is_for()).then(|| self.strength(0))
    }

    fn strength(&self, specificity: u8) -> u8 {
        if self.is_for_this_call() { 3 } else { specificity }
    }
}

/// The most specific rule. Of equally specific ones the last wins: it comes from the stronger source.
fn strongest<'c>(rules: &[&'c Rule], specificity: impl Fn(&Rule) -> Option<u8>) -> Option<&'c Rule> {
    let fitting = rules.iter().filter_map(|rule| Some((specificity(rule)?, *rule)));
    fitting.max_by_key(|(specificity, _)| *specificity).map(|(_, rule)| rule)
}

/// git sends no path unless `credential.useHttpPath` is set. That is enough where only one installation can
/// be meant.
fn for_host<'c>(host: &Host, rules: &[&'c Rule]) -> Result<Selected<'c>> {
    let ambiguous = |why: &str| {
        Error::new(format!("git did not say which repository on {host} it wants, and {why}"))
            .hint(format!("git config --global credential.https://{host}.useHttpPath true"))
    };
    let of_this_call: Vec<_> = rules.iter().copied().filter(|rule| rule.is_for_this_call()).collect();
    let rule = match (of_this_call.as_slice(), rules) {
        ([rule], _) | ([], [rule]) => *rule,
        _ => return Err(ambiguous(&format!("{} Apps are configured for it", rules.len()))),
    };
    if rule.per_repository() {
        return Err(ambiguous("the rule gives tokens for single repositories only"));
    }
    let mut owners: Vec<&String> = rule.named_owners().collect();
    owners.sort_unstable();
    owners.dedup();
    let place = match (&rule.installation, owners.as_slice()) {
        (Some(_), _) | (None, []) => Place::Host(host.clone()),
        (None, [owner]) => Place::Owner(host.clone(), (*owner).clone()),
        (None, owners) => {
            return Err(ambiguous(&format!("the App is configured for {} owners", owners.len())));
        }
    };
    Ok(Selected { rule, place })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::of_apps;
    use super::*;

    /// Which App answers for a path, or for the host without one.
    fn answers(config: &Config, host: &str, path: Option<&str>) -> Option<String> {
        let host = Host::parse(host)?;
        let place = match path {
            Some(path) => Place::Repository(host, Repository::from_path(path)?),
            None => Place::Host(host),
        };
        select(place, config).unwrap().map(|selected| selected.rule.app_id.clone())
    }

    #[test]
    fn the_most_specific_rule_answers() {
        let config = of_apps(&[
            "",
            "owners = ['acme', 'Labs']",
            "repositories = ['acme/infra']",
            "host = 'ghe.example:8443'",
            "host = 'ghe.example:8443'\nowners = ['acme']",
        ]);
        for (host, path, app) in [
            ("github.com", "initech/tps", Some("app0")),
            ("github.com", "acme/widgets.git", Some("app1")),
            ("github.com", "ACME/widgets", Some("app1")),
            ("github.com", "labs/x", Some("app1")),
            ("github.com", "acme/infra.wiki.git", Some("app2")),
            ("github.com", "acme-evil/infra", Some("app0")),
            ("ghe.example:8443", "x/y", Some("app3")),
            ("ghe.example:8443", "acme/y", Some("app4")),
            ("ghe.example", "acme/y", None),
            ("github.com.", "acme/y", None),
            ("github.com", "acme", None),
        ] {
            let answering = answers(&config, host, Some(path));
            assert_eq!(answering.as_deref(), app, "{host} {path}");
        }
    }

    #[test]
    fn an_app_for_one_owner_does_not_answer_for_another() {
        let config = of_apps(&["owners = ['org']"]);
        assert!(answers(&config, "github.com", Some("org/x")).is_some());
        for other in ["org-evil/x", "orgx/x", "or/x", "x/org"] {
            assert!(answers(&config, "github.com", Some(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn without_a_path_only_what_is_clear_is_answered() {
        let why = |apps: &[&str]| {
            let config = of_apps(apps);
            match select(Place::Host(Host::github()), &config) {
                Ok(selected) => Ok(selected.map(|selected| selected.place)),
                Err(error) => Err(error.message().to_owned()),
            }
        };
        let host = Place::Host(Host::github());
        let acme = Place::Owner(Host::github(), "acme".to_owned());
        assert_eq!(why(&[""]), Ok(Some(host.clone())));
        assert_eq!(why(&["owners = ['Acme']"]), Ok(Some(acme.clone())));
        assert_eq!(why(&["repositories = ['acme/a', 'acme/b']"]), Ok(Some(acme.clone())));
        assert_eq!(why(&["owners = ['a', 'b']\ninstallation-id = 7"]), Ok(Some(host.clone())));
        assert_eq!(why(&["host = 'ghe.example'"]), Ok(None));
        let unclear = "git did not say which repository on github.com it wants, and";
        assert_eq!(why(&["", "owners = ['a']"]), Err(format!("{unclear} 2 Apps are configured for it")));
        assert_eq!(
            why(&["owners = ['a', 'b']"]),
            Err(format!("{unclear} the App is configured for 2 owners"))
        );
        assert_eq!(
            why(&["scope = 'repository'"]),
            Err(format!("{unclear} the rule gives tokens for single repositories only"))
        );
    }

    proptest! {
        #[test]
        fn the_order_of_rules_never_matters(order in Just([0usize, 1, 2, 3]).prop_shuffle(), asked in 0usize..4) {
            let apps = ["", "owners = ['acme']", "repositories = ['acme/infra']", "host = 'ghe.example'"];
            let shuffled: Vec<&str> = order.iter().map(|index| apps[*index]).collect();
            let (host, path, expected) = [
                ("github.com", "x/y", 0),
                ("github.com", "acme/y", 1),
                ("github.com", "acme/infra", 2),
                ("ghe.example", "acme/infra", 3),
            ][asked];
            let position = order.iter().position(|index| *index == expected).unwrap();
            let answering = answers(&of_apps(&shuffled), host, Some(path)).unwrap();
            prop_assert_eq!(answering, format!("app{position}"));
        }
    }
}
