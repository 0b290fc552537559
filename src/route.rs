//! Request and configuration → which App answers, and where its installation is to be looked for.

use std::fmt;

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

impl Route<'_> {
    /// The account whose installation it is, as far as the request and the rule tell.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        match &self.target {
            Target::Repository(repository) => Some(&repository.owner),
            Target::Owner(owner) => Some(owner),
            Target::Only => None,
        }
    }
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
            Ok(to_repository(&rules, repository))
        }
        None => without_path(&host, &rules).map(Some),
    }
}

/// Something on a host that a person names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A repository.
    Repository(Host, Repository),
    /// A user or an organisation.
    Owner(Host, String),
    /// The host as a whole, which is enough where only one installation can be meant.
    Host(Host),
}

impl Place {
    /// Its host.
    #[must_use]
    pub fn host(&self) -> &Host {
        match self {
            Self::Repository(host, _) | Self::Owner(host, _) | Self::Host(host) => host,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(host, repository) => write!(f, "https://{host}/{repository}"),
            Self::Owner(host, owner) => write!(f, "https://{host}/{owner}"),
            Self::Host(host) => write!(f, "https://{host}"),
        }
    }
}

/// Finds out who answers for a place. `None`: nothing is configured for it.
///
/// # Errors
/// If the place does not say enough to choose an App, or an installation.
pub fn route_to<'c>(place: &Place, config: &'c Config) -> Result<Option<Route<'c>>> {
    let rules: Vec<&Rule> = config.rules.iter().filter(|rule| rule.host == *place.host()).collect();
    if rules.is_empty() {
        return Ok(None);
    }
    match place {
        Place::Repository(_, repository) => Ok(to_repository(&rules, repository.clone())),
        Place::Owner(_, owner) => {
            let Some(rule) = strongest(&rules, |rule| rule.specificity_for_owner(owner)) else {
                return Ok(None);
            };
            if rule.per_repository {
                return Err(Error::new(format!(
                    "tokens for {place} are to be for one repository ({})",
                    rule.origin
                ))
                .hint("name the repository: OWNER/REPO"));
            }
            Ok(Some(Route { rule, repository: None, target: Target::Owner(owner.clone()) }))
        }
        Place::Host(host) => without_path(host, &rules).map(Some),
    }
}

/// The most specific rule. Of equally specific ones the last wins: it comes from the stronger source.
fn strongest<'c>(rules: &[&'c Rule], specificity: impl Fn(&Rule) -> Option<u8>) -> Option<&'c Rule> {
    let fitting = rules.iter().filter_map(|rule| Some((specificity(rule)?, *rule)));
    fitting.max_by_key(|(specificity, _)| *specificity).map(|(_, rule)| rule)
}

fn to_repository<'c>(rules: &[&'c Rule], repository: Repository) -> Option<Route<'c>> {
    let rule = strongest(rules, |rule| rule.specificity(&repository))?;
    let target = Target::Repository(repository.clone());
    Some(Route { rule, repository: Some(repository), target })
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Flags, Folders, Variables};

    fn config(apps: &[&str]) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let text: String = apps
            .iter()
            .enumerate()
            .map(|(id, more)| format!("[[app]]\nid = \"app{id}\"\nprivate-key = \"k.pem\"\n{more}\n"))
            .collect();
        std::fs::write(&file, text).unwrap();
        let nothing = |_: &str| None::<OsString>;
        let folders = Folders {
            system_config: PathBuf::from("/nonexistent/config.toml"),
            user_config: Some(file),
            ..Folders::default()
        };
        Config::load(&Flags::default(), &Variables(&nothing), &folders).unwrap()
    }

    fn ask(host: &str, path: Option<&str>) -> Request {
        Request {
            protocol: Some("https".to_owned()),
            host: Some(host.to_owned()),
            path: path.map(str::to_owned),
            ..Request::default()
        }
    }

    /// Which App answers, and how its installation is found.
    fn answers(config: &Config, host: &str, path: Option<&str>) -> Option<(String, Target)> {
        route(&ask(host, path), config).unwrap().map(|route| (route.rule.issuer.clone(), route.target))
    }

    #[test]
    fn the_most_specific_rule_answers() {
        let config = config(&[
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
            let answering = answers(&config, host, Some(path)).map(|(app, _)| app);
            assert_eq!(answering.as_deref(), app, "{host} {path}");
        }
    }

    #[test]
    fn an_app_for_one_owner_does_not_answer_for_another() {
        let config = config(&["owners = ['org']"]);
        assert!(answers(&config, "github.com", Some("org/x")).is_some());
        for other in ["org-evil/x", "orgx/x", "or/x", "x/org"] {
            assert!(answers(&config, "github.com", Some(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn only_https_and_only_our_user_name() {
        let config = config(&[""]);
        let with = |change: fn(&mut Request)| {
            let mut request = ask("github.com", Some("a/b"));
            change(&mut request);
            route(&request, &config).unwrap().is_some()
        };
        assert!(with(|_| {}));
        assert!(with(|r| r.username = Some(USERNAME.to_owned())));
        assert!(with(|r| r.username = Some(String::new())));
        assert!(!with(|r| r.username = Some("octocat".to_owned())));
        assert!(!with(|r| r.protocol = Some("http".to_owned())));
        assert!(!with(|r| r.protocol = None));
        assert!(!with(|r| r.host = None));
    }

    #[test]
    fn without_a_path_only_what_is_clear_is_answered() {
        let why = |apps: &[&str]| {
            let config = config(apps);
            match route(&ask("github.com", None), &config) {
                Ok(route) => Ok(route.map(|route| route.target)),
                Err(error) => Err(error.message().to_owned()),
            }
        };
        assert_eq!(why(&[""]), Ok(Some(Target::Only)));
        assert_eq!(why(&["owners = ['Acme']"]), Ok(Some(Target::Owner("acme".to_owned()))));
        assert_eq!(why(&["repositories = ['acme/a', 'acme/b']"]), Ok(Some(Target::Owner("acme".to_owned()))));
        assert_eq!(why(&["owners = ['a', 'b']\ninstallation-id = 7"]), Ok(Some(Target::Only)));
        assert_eq!(why(&["host = 'ghe.example'"]), Ok(None));
        let unclear = "git did not say which repository on github.com it wants, and";
        assert_eq!(why(&["", "owners = ['a']"]), Err(format!("{unclear} 2 Apps are configured for it")));
        assert_eq!(
            why(&["owners = ['a', 'b']"]),
            Err(format!("{unclear} the App is configured for 2 owners"))
        );
        assert_eq!(
            why(&["scope = 'repository'"]),
            Err(format!("{unclear} tokens are to be for one repository"))
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
            let answering = answers(&config(&shuffled), host, Some(path)).unwrap().0;
            prop_assert_eq!(answering, format!("app{position}"));
        }
    }
}
