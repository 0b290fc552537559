//! What a person means by `OWNER/REPO`, by a URL, or by nothing at all.

use ureq::http::Uri;

use super::installations::of_app;
use super::nothing_configured;
use crate::config::{Config, Selected, select};
use crate::error::{Error, Result};
use crate::git;
use crate::names::{Host, Place, Repository, host_of, is_name, redacted};
use crate::terminal::in_shell;
use crate::world::World;

/// Finds the rule that answers for what a person names; without a name, for the current repository's remote, or for the
/// only thing that can be meant. `usage` is what stands before a name on the command line.
pub(super) fn selected<'c>(
    name: Option<&str>,
    usage: &str,
    config: &'c Config,
    world: &World<'_>,
) -> Result<Selected<'c>> {
    let default = default_host(config)?;
    let remote = if name.is_none() { remote_of(config) } else { None };
    let place = match name.or(remote.as_deref()) {
        Some(name) => parse(name, &default, &|host| is_configured(host, config))?,
        None => Place::Host(default.clone()),
    };
    match (select(place.clone(), config), &place) {
        (Ok(Some(selected)), _) => Ok(selected),
        (Ok(None), _) => Err(not_configured(&place, config)),
        (Err(why), Place::Host(_)) => Err(which(usage, &default, config, world).unwrap_or(why)),
        (Err(why), _) => Err(why),
    }
}

/// That no rule answers for a place, and how one is made.
pub(super) fn not_configured(place: &Place, config: &Config) -> Error {
    let host = place.host();
    let has_host = *host == Host::github() || config.rules.iter().any(|rule| rule.host == *host);
    let host = if has_host { String::new() } else { format!(" --host {}", in_shell(&host.to_string())) };
    let owner = place.owner().map_or_else(String::new, |owner| format!(" --owner {}", in_shell(owner)));
    Error::new(format!("no App is configured for {place}")).hint(format!(
        "git-credential-ghapp setup{host}{owner}, or add an [[app]] for it to the configuration"
    ))
}

/// That a name is missing, and which there are; nothing if there are not several.
pub(super) fn which(usage: &str, default: &Host, config: &Config, world: &World<'_>) -> Option<Error> {
    const MOST_SHOWN: usize = 10;
    let names = names(default, config, world);
    let (last, others) = names.split_last().filter(|(_, others)| !others.is_empty())?;
    let listed = match names.len() {
        0..=MOST_SHOWN => format!("{} or {last}", others.join(", ")),
        all => format!("{}, or {} more", names[..MOST_SHOWN].join(", "), all - MOST_SHOWN),
    };
    let example = names.first()?;
    Some(
        Error::new(format!("it is not clear which owner is meant: {listed}"))
            .hint(format!("git-credential-ghapp {usage} {example}, or run this in a clone")),
    )
}

/// What can be named: what rules name, and where they name nothing, the owners that the App is installed on, as far as
/// GitHub tells.
fn names(default: &Host, config: &Config, world: &World<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for rule in &config.rules {
        let prefix = if rule.host == *default { String::new() } else { format!("{}/", rule.host) };
        let mut add = |name: &str| names.push(format!("{prefix}{name}"));
        rule.repositories.iter().for_each(|repository| add(&repository.to_string()));
        rule.owners.iter().for_each(|owner| add(owner));
        if !rule.names_what_it_is_for() && rule.identity.token_command().is_none() {
            let installations = of_app(rule, true, config, world).unwrap_or_default();
            let owners = installations.iter().filter(|it| it.is_usable()).filter_map(|it| it.owner());
            owners.for_each(&mut add);
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn is_configured(host: &Host, config: &Config) -> bool {
    config.rules.iter().any(|rule| rule.host == *host)
}

/// The place that a person names, whether or not something is configured for it.
pub(super) fn named(name: &str, config: &Config) -> Result<Place> {
    let default = default_host(config).unwrap_or_else(|_| Host::github());
    parse(name, &default, &|host| is_configured(host, config))
}

/// The host of names without one: the only configured one, or `github.com` among several.
fn default_host(config: &Config) -> Result<Host> {
    let mut hosts: Vec<&Host> = config.rules.iter().map(|rule| &rule.host).collect();
    let ambient = config.rules.iter().find(|rule| rule.is_for_this_call());
    if let Some(rule) = ambient {
        return Ok(rule.host.clone());
    }
    hosts.dedup();
    match hosts.as_slice() {
        [] => Err(nothing_configured()),
        [only] => Ok((*only).clone()),
        _ => Ok(Host::github()),
    }
}

/// The URL of the remote that `git fetch` would ask, after git's own rewriting.
pub(super) fn remote() -> Option<String> {
    // Where there is no remote, git gives the name that it looked for.
    git::url(None).filter(|url| url.contains([':', '/']))
}

/// The same, if something is configured for its host.
pub(super) fn remote_of(config: &Config) -> Option<String> {
    remote().filter(|url| named(url, config).is_ok_and(|place| is_configured(place.host(), config)))
}

/// Parses a URL of any scheme, git's short form for SSH, `HOST/OWNER/REPO`, `OWNER/REPO`, or `OWNER`.
pub(crate) fn parse(text: &str, default: &Host, configured: &dyn Fn(&Host) -> bool) -> Result<Place> {
    let wrong = || {
        Error::new(format!("{:?} is not a repository or an owner", redacted(text)))
            .hint("write OWNER/REPO, OWNER, or https://HOST/OWNER/REPO")
    };
    if text.contains("://") {
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let host = host_of(&uri);
        // The port of another scheme says nothing about where https is.
        let host = if uri.scheme_str() == Some("https") { Some(host) } else { host.split(':').next() };
        let path = uri.path().strip_prefix('/').unwrap_or_default();
        return on(host.and_then(Host::parse).ok_or_else(wrong)?, path).ok_or_else(wrong);
    }
    let (first, rest) = text.split_once('/').unwrap_or((text, ""));
    if let Some(host) = Host::parse(first).filter(configured) {
        return on(host, rest).ok_or_else(wrong);
    }
    if let Some((before, path)) = text.split_once(':')
        && !before.contains('/')
    {
        let host = before.rsplit_once('@').map_or(before, |(_, host)| host);
        return on(Host::parse(host).ok_or_else(wrong)?, path).ok_or_else(wrong);
    }
    match Host::parse(first) {
        Some(host) if rest.trim_matches('/').contains('/') => on(host, rest),
        _ => on(default.clone(), text),
    }
    .ok_or_else(wrong)
}

/// What a path names on a host. An owner has no slash before or after it: there, the name beside it is missing, because a variable
/// is not set for example, and the owner would be more than was meant.
fn on(host: Host, path: &str) -> Option<Place> {
    if path.is_empty() {
        return Some(Place::Host(host));
    }
    if is_name(path) {
        return Some(Place::Owner(host, path.to_ascii_lowercase()));
    }
    Repository::from_path(path).map(|repository| Place::Repository(host, repository))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_and_owners_are_named_in_every_usual_way() {
        let github = Host::github();
        let configured =
            |host: &Host| ["github.com", "ghe.example:8443"].contains(&host.to_string().as_str());
        for (text, expected) in [
            ("acme/widgets", Some("https://github.com/acme/widgets")),
            ("Acme/Widgets.git", Some("https://github.com/acme/widgets")),
            ("acme", Some("https://github.com/acme")),
            ("https://github.com/acme/widgets.git", Some("https://github.com/acme/widgets")),
            ("https://x-access-token@github.com/acme/widgets", Some("https://github.com/acme/widgets")),
            ("https://github.com/acme", Some("https://github.com/acme")),
            ("https://github.com", Some("https://github.com")),
            ("github.com", Some("https://github.com")),
            ("github.com/acme", Some("https://github.com/acme")),
            ("git@github.com:acme/widgets.git", Some("https://github.com/acme/widgets")),
            ("ssh://git@github.com:22/acme/widgets", Some("https://github.com/acme/widgets")),
            ("ghe.example:8443/acme/widgets", Some("https://ghe.example:8443/acme/widgets")),
            ("https://ghe.example:8443/acme/widgets", Some("https://ghe.example:8443/acme/widgets")),
            ("gitlab.example/acme/widgets", Some("https://gitlab.example/acme/widgets")),
            ("https://github.com/a/b/c", None),
            ("a b", None),
            ("https://", None),
            ("", Some("https://github.com")),
            ("../x", None),
            ("https://github.com/", Some("https://github.com")),
            ("acme/widgets/", Some("https://github.com/acme/widgets")),
            ("git@github.com:/acme/widgets.git", Some("https://github.com/acme/widgets")),
            // A variable that is not set.
            ("acme/", None),
            ("/widgets", None),
            ("/", None),
            ("github.com/acme/", None),
            ("github.com//widgets", None),
            ("https://github.com/acme/", None),
            ("https://github.com//widgets", None),
            ("git@github.com:acme/", None),
            ("ghe.example:8443/acme/", None),
        ] {
            let place = parse(text, &github, &configured).ok().map(|place| place.to_string());
            assert_eq!(place.as_deref(), expected, "{text}");
        }
    }
}
