//! Whom git is to ask this program for: everybody on the host, or some owners; and how their names are written.

use super::Options;
use crate::commands::output::each_once;
use crate::commands::person::Person;
use crate::config::{Flags, Rule};
use crate::error::{Error, Result};
use crate::git::config::Helper;
use crate::github::answers::{AppInfo, Installation};
use crate::names::is_name;

/// The most owners that are taken from the list of installations: git gets settings for each.
const MANY: usize = 20;

/// What decides for which owners a rule is.
pub(super) struct Situation<'s> {
    pub(super) options: &'s Options,
    /// The App, unless a command gives the tokens.
    pub(super) app: Option<&'s AppInfo>,
    pub(super) installations: &'s [Installation],
    /// The rules of other Apps on this host that are configured already.
    pub(super) other_apps: Vec<&'s Rule>,
    /// Whether this App has a rule already.
    pub(super) is_configured: bool,
    /// The helpers of other programs that git asks for this host.
    pub(super) other_helpers: &'s [Helper],
}

impl Situation<'_> {
    /// Makes the rule one for the owners where the App is installed, where neither a person nor a rule that is there says
    /// whom it is for and where it would be in the way of others.
    pub(super) fn decide(&self, rule: &mut Rule, person: &mut Person<'_>) -> Result<()> {
        if self.options.all_owners && rule.names_what_it_is_for() {
            return Err(Error::new("--all-owners and --owner contradict each other").hint("give one of them"));
        }
        if rule.names_what_it_is_for() {
            return self.refuse_what_others_answer(rule);
        }
        let for_all = self.other_apps.iter().find(|other| !other.names_what_it_is_for());
        if self.is_configured && for_all.is_none() {
            return Ok(());
        }
        let others_serve = !self.other_helpers.is_empty() && !self.options.keep_other_helpers;
        let owners = self.free_owners();
        if let Some(other) = for_all {
            if self.is_configured && !self.options.all_owners {
                return Ok(());
            }
            let taken = format!("App {} answers for every owner on {} already", other.app_id, other.host);
            if owners.is_empty() {
                return Err(match self.app {
                    Some(app) => Error::new(format!("{taken}, and this one is installed nowhere else"))
                        .hint(app.install_hint()),
                    None => Error::new(taken).hint("name the owners that this one is for: --owner OWNER"),
                });
            }
            if owners.len() > MANY {
                return Err(Error::new(taken).hint("name the owners that this one is for: --owner OWNER"));
            }
            let flags: Vec<String> = owners.iter().map(|owner| format!("--owner {owner}")).collect();
            let question = format!("{taken}; let this one answer for {}?", and(&owners));
            let agreed = self.options.yes || (person.present && person.agrees(&question)?);
            if !agreed || self.options.all_owners {
                return Err(Error::new(taken).hint(format!(
                    "let this one answer for the owners where it is installed: {}",
                    flags.join(" ")
                )));
            }
            rule.owners = owners;
            return Ok(());
        }
        if self.options.all_owners {
            return Ok(());
        }
        if others_serve && owners.is_empty() {
            let installed: Vec<String> = self.installed_owners();
            if let Some(taken) = self.other_apps.iter().find_map(|other| {
                installed
                    .iter()
                    .find(|it| other.owners.contains(it))
                    .map(|owner| answers_already(other, owner))
            }) {
                return Err(taken);
            }
            let which = "name who it is for: --owner OWNER, or --all-owners";
            return Err(match self.app {
                Some(app) => {
                    Error::new("the App is not installed anywhere, and git asks other helpers for this host")
                        .hint(format!("{}, or {which}", app.install_hint()))
                }
                None => Error::new("git asks other helpers for this host").hint(which),
            });
        }
        if others_serve && owners.len() > MANY {
            let what = format!(
                "the App is installed on {} owners, and git asks other helpers for this host",
                owners.len()
            );
            return Err(Error::new(what).hint("say who it is for: --owner OWNER, or --all-owners"));
        }
        if person.present && (others_serve || owners.len() > 1) {
            let default = if others_serve { owners.join(", ") } else { "all".to_owned() };
            let question = format!(
                "for which owners should git ask ghapp? all, or some of {} [{default}]",
                and(&owners)
            );
            rule.owners = person.answer(&question, &default, |answer| owners_of_answer(answer, &owners))?;
        } else if others_serve {
            rule.owners = owners;
        }
        Ok(())
    }

    /// The owners with a usable installation, in lower case.
    fn installed_owners(&self) -> Vec<String> {
        let usable = self.installations.iter().filter(|it| it.is_usable()).filter_map(Installation::owner);
        usable.map(str::to_ascii_lowercase).collect()
    }

    /// Those of them for whom no other App's rule is.
    fn free_owners(&self) -> Vec<String> {
        let mut owners = self.installed_owners();
        owners.retain(|owner| !self.other_apps.iter().any(|other| other.owners.contains(owner)));
        owners
    }

    fn refuse_what_others_answer(&self, rule: &Rule) -> Result<()> {
        for other in &self.other_apps {
            let owner = rule.owners.iter().find(|owner| other.owners.contains(owner)).cloned();
            let repository = || rule.repositories.iter().find(|it| other.repositories.contains(it));
            if let Some(taken) = owner.or_else(|| repository().map(ToString::to_string)) {
                return Err(answers_already(other, &taken));
            }
        }
        Ok(())
    }
}

/// That another App's rule is for this owner or repository.
fn answers_already(other: &Rule, taken: &str) -> Error {
    let what = format!("App {} answers for {taken} already ({})", other.app_id, other.origin);
    Error::new(what).hint(format!(
        "leave {taken} to it, or take that rule back: git-credential-ghapp setup --undo --app-id {}",
        other.app_id
    ))
}

/// The owners in an answer, each one of those that are offered; none: all.
fn owners_of_answer(answer: &str, offered: &[String]) -> Result<Vec<String>> {
    if answer.eq_ignore_ascii_case("all") {
        return Ok(Vec::new());
    }
    let owners = answer.split([',', ' ']).filter(|owner| !owner.is_empty());
    owners
        .map(|owner| match owner.to_ascii_lowercase() {
            owner if offered.contains(&owner) => Ok(owner),
            _ if is_name(owner) => Err(Error::new(format!("the App is not installed on {owner}"))),
            _ => Err(Error::new(format!("{owner:?} is not the name of an owner"))),
        })
        .collect()
}

/// The paths in URLs that a rule is for; none: all. git compares them as they are written, and the rule does not: so each
/// is there as GitHub writes it, as a person did, and in lower case.
pub(super) fn paths(rule: &Rule, installations: &[Installation], flags: &Flags) -> Vec<String> {
    if rule.public_repositories.is_some() {
        return Vec::new();
    }
    let reported: Vec<&str> = installations.iter().filter_map(Installation::owner).collect();
    let (owners, repositories) = (flags.all("owner"), flags.all("repository"));
    let spelled = |lower: &str, typed: &[&str]| {
        let same = |name: &&&str| name.eq_ignore_ascii_case(lower);
        let mut spelled = vec![lower.to_owned()];
        for name in reported.iter().chain(typed).filter(same) {
            if !spelled.iter().any(|it| it == name) {
                spelled.push((*name).to_owned());
            }
        }
        spelled
    };
    let mut paths: Vec<String> = rule.owners.iter().flat_map(|owner| spelled(owner, &owners)).collect();
    for repository in &rule.repositories {
        let full = repository.to_string();
        let typed = repositories.iter().find(|typed| typed.eq_ignore_ascii_case(&full));
        let (owner, name) = typed.and_then(|typed| typed.split_once('/')).unwrap_or_default();
        let mut names = vec![repository.name.as_str()];
        names.extend(Some(name).filter(|typed| !typed.is_empty() && *typed != repository.name));
        for owner in spelled(&repository.owner, &[owner]) {
            // git compares whole names between slashes, and URLs are written with the suffix and without.
            paths.extend(
                names.iter().flat_map(|name| [format!("{owner}/{name}"), format!("{owner}/{name}.git")]),
            );
        }
    }
    paths
}

/// The paths of the owners where git can use the App, as GitHub writes them and in lower case.
pub(super) fn paths_of_installations(installations: &[Installation]) -> Vec<String> {
    let usable = installations.iter().filter(|it| it.is_usable()).filter_map(Installation::owner);
    let mut paths: Vec<String> =
        usable.flat_map(|owner| [owner.to_ascii_lowercase(), owner.to_owned()]).collect();
    paths.dedup();
    paths
}

/// What git will do, for a person. `present` are the rules for the host that are there already, and `has_rest`: git asks
/// this program for the whole host already, and one of them answers for that.
pub(super) fn in_words(
    rules: &[Rule],
    present: &[&Rule],
    has_rest: bool,
    options: &Options,
    helpers: &[Helper],
) -> String {
    let others: Vec<String> = helpers.iter().map(Helper::name).collect();
    let others = and(&others);
    let host = rules.first().map(|rule| rule.host.to_string()).unwrap_or_default();
    if rules.iter().any(|rule| !rule.names_what_it_is_for() || rule.public_repositories.is_some()) {
        return match (helpers, options.keep_other_helpers) {
            ([], _) => format!("git will ask ghapp for all of {host}"),
            (_, true) => format!("git will ask {others}, then ghapp, for all of {host}"),
            (_, false) => format!("git will ask ghapp instead of {others} for all of {host}"),
        };
    }
    if has_rest && helpers.is_empty() {
        let names = and(&names(rules.iter()));
        return format!("git will ask ghapp for all of {host}, and this App will answer for {names}");
    }
    let names = names(present.iter().copied().chain(rules));
    let names = and(&names);
    match (helpers, options.keep_other_helpers) {
        ([], _) => format!("git will ask ghapp for {names}, and no helper for anything else"),
        (_, true) => {
            format!("git will ask {others}, then ghapp, for {names}, and {others} for everything else")
        }
        (_, false) => format!("git will ask ghapp for {names}, and {others} for everything else"),
    }
}

/// The owners and repositories that rules name, each once.
fn names<'r>(rules: impl Iterator<Item = &'r Rule>) -> Vec<String> {
    each_once(rules.flat_map(|rule| {
        rule.owners.iter().cloned().chain(rule.repositories.iter().map(ToString::to_string))
    }))
}

/// `a`, `a and b`, `a, b and c`
pub(super) fn and(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
