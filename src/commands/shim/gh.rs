//! What a call of gh is about, by its arguments: which repository or owner, and to which hosts it sends its token.

use crate::names::{Host, Repository, is_name};

/// Whether the call is about this machine only, and works offline and without a configuration.
pub(super) fn needs_no_token(words: &[String]) -> bool {
    let about_this_machine = ["help", "version", "completion", "config", "alias", "--version"];
    match words.first() {
        None => true,
        Some(first) => {
            about_this_machine.contains(&first.as_str())
                || words.iter().any(|word| word == "--help" || word == "-h")
        }
    }
}

/// The commands of gh itself. What stands behind other ones, aliases and extensions, cannot be seen.
/// <https://cli.github.com/manual/gh>
const COMMANDS: &[&str] = &[
    "api",
    "attestation",
    "auth",
    "browse",
    "cache",
    "codespace",
    "gist",
    "gpg-key",
    "issue",
    "label",
    "org",
    "pr",
    "project",
    "release",
    "repo",
    "ruleset",
    "run",
    "search",
    "secret",
    "ssh-key",
    "status",
    "variable",
    "workflow",
];

/// Whether it is a command of gh itself that is called.
pub(super) fn is_own_command(words: &[String]) -> bool {
    command_of(words).is_some_and(|name| COMMANDS.contains(&name))
}

/// The command among the arguments of gh.
fn command_of(words: &[String]) -> Option<&str> {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-R" | "--repo" => drop(rest.next()),
            flag if flag.starts_with('-') => {}
            command => return Some(command),
        }
    }
    None
}

/// The configured host that all of these are; `None` if there are none.
///
/// # Errors
/// If gh would go to several, or to one that nothing is configured for: no token may be sent there.
pub(super) fn only_host(
    hosts: &[Option<Host>],
    configured: impl Fn(&Host) -> Option<Host>,
) -> std::result::Result<Option<Host>, ()> {
    let mut only = None;
    for host in hosts {
        let host = host.as_ref().and_then(&configured).ok_or(())?;
        if *only.get_or_insert_with(|| host.clone()) != host {
            return Err(());
        }
    }
    Ok(only)
}

/// The hosts that any argument of gh could name, which is where gh sends its token; `None` for what cannot be told. Rather
/// one too many: a flag's value may be an address that is only a text.
pub(super) fn hosts(words: &[String]) -> Vec<Option<Host>> {
    // Those that take a repository as an argument.
    let any_is = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    let takes_names = match command_of(words) {
        Some("repo") => true,
        Some("issue" | "label") => any_is(&["transfer", "develop", "clone"]),
        _ => false,
    };
    let may_take_names = !is_own_command(words);
    let is_auth = command_of(words) == Some("auth");
    // It goes to all hosts that somebody has logged in to.
    let goes_everywhere = is_auth && any_is(&["status"]);
    let mut hosts = Vec::new();
    // git names the host on the standard input, and gh gives it the token of an Enterprise Server whichever that is.
    if is_auth && any_is(&["git-credential"]) {
        hosts.push(None);
    }
    let mut before = "";
    for word in words {
        let (flag, value) = match word.strip_prefix("--") {
            Some(_) => word.split_once('=').unwrap_or((word, "")),
            None if word.starts_with('-') => ("-R", word.trim_start_matches('-')),
            None => (before, word.as_str()),
        };
        if flag == "--hostname" && !value.is_empty() {
            hosts.push(Host::parse(value));
        }
        let is_short = flag.starts_with('-') && !flag.starts_with("--");
        let is_name = takes_names
            || (may_take_names && word.matches('/').count() == 2)
            || (is_short && flag.contains('R'))
            || flag.ends_with("repo");
        // The letter of a flag stands right before its value.
        let value = if word.starts_with('-') && is_short {
            let mut letters = value.chars();
            letters.next();
            letters.as_str().trim_start_matches('=')
        } else {
            value
        };
        hosts.extend(hosts_in(value, is_name));
        if let Some((_, value)) = value.split_once('=') {
            hosts.extend(hosts_in(value, false));
        }
        before = word;
    }
    if goes_everywhere && hosts.is_empty() {
        hosts.push(None);
    }
    hosts.dedup();
    hosts
}

/// The hosts in one argument: of addresses, of git's short form for SSH, and of `HOST/OWNER/REPO`, whose host has a dot or a
/// port unless only a repository's name can stand there.
pub(super) fn hosts_in(argument: &str, is_name: bool) -> Vec<Option<Host>> {
    // A text goes on after its first word, and is no address.
    let text = argument.split_whitespace().next().unwrap_or("");
    let mut parts = text.split("://");
    let mut before = parts.next().unwrap_or("");
    let mut hosts = Vec::new();
    for part in parts {
        let scheme = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '+').next().unwrap_or("");
        let authority = part.split(['/', '?', '#']).next().unwrap_or("");
        let host = authority.rsplit('@').next().unwrap_or("");
        hosts.push(match scheme.to_ascii_lowercase().as_str() {
            "https" => Host::parse(host),
            "ssh" => Host::parse(host.split(':').next().unwrap_or("")),
            _ => None,
        });
        before = part;
    }
    if !hosts.is_empty() {
        return hosts;
    }
    let could_be_host = |text: &str| {
        let fits = |c: char| c.is_alphanumeric() || !c.is_ascii() || ".-_:[]%".contains(c);
        !text.is_empty() && !text.starts_with('.') && text.chars().all(fits)
    };
    let (first, rest) = text.split_once('/').unwrap_or((text, ""));
    let has_port =
        first.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if rest.contains('/') && could_be_host(first) && (is_name || first.contains('.') || has_port) {
        return vec![Host::parse(first)];
    }
    if let Some((address, _)) = first.split_once(':') {
        let host = address.rsplit('@').next().unwrap_or("");
        let is_address = address.contains('@') || (text.contains('/') && (is_name || host.contains('.')));
        if is_address && could_be_host(host) {
            return vec![Host::parse(host)];
        }
    }
    hosts
}

/// What the arguments of gh name: a repository by a flag, the endpoint of a request, or what the command is for.
/// <https://cli.github.com/manual/>
pub(super) fn named(words: &[String]) -> Option<String> {
    let mut rest = words.iter().take_while(|word| *word != "--");
    while let Some(word) = rest.next() {
        let value = match word.as_str() {
            "-R" | "--repo" => rest.next().map(String::as_str),
            word => word.strip_prefix("--repo=").or_else(|| word.strip_prefix("-R")),
        };
        if let Some(value) = value {
            return Some(value.trim_start_matches('=').to_owned());
        }
    }
    let subject = words.get(2).map(String::as_str);
    match (words.first()?.as_str(), words.get(1)?.as_str(), subject) {
        ("api", ..) => words[1..].iter().find_map(|word| of_endpoint(word)),
        ("repo", "create", Some(name)) => Some(Repository::parse(name)?.owner),
        ("repo", _, Some(name))
            if Repository::parse(name).is_some()
                || (!name.contains("://") && !hosts_in(name, true).is_empty()) =>
        {
            Some(name.to_owned())
        }
        (_, _, Some(url)) => of_url(url),
        _ => None,
    }
}

/// The repository or the owner that an endpoint of the REST API is about: `repos/O/R/…`, `orgs/O/…`, or the whole address,
/// whose host is another matter.
fn of_endpoint(word: &str) -> Option<String> {
    let path = match word.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1.trim_start_matches("api/v3/"),
        None => word.trim_start_matches('/'),
    };
    let mut parts = path.split(['/', '?']);
    let (kind, owner) = (parts.next()?, parts.next().filter(|owner| is_name(owner))?);
    match kind {
        "orgs" => Some(owner.to_owned()),
        "repos" => parts.next().filter(|name| is_name(name)).map(|name| format!("{owner}/{name}")),
        _ => None,
    }
}

/// The repository whose page an address is, or a page below it; or the owner, if it ends there.
fn of_url(word: &str) -> Option<String> {
    let mut parts = word.strip_prefix("https://")?.split('/');
    let (host, owner, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("https://{host}/{owner}/{name}").trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_gh_name_a_repository_in_every_usual_way() {
        for (line, expected) in [
            ("pr list -R acme/widgets", Some("acme/widgets")),
            ("-R acme/widgets pr list", Some("acme/widgets")),
            ("pr list -Racme/widgets", Some("acme/widgets")),
            ("pr list -R=acme/widgets", Some("acme/widgets")),
            ("pr list --repo ghe.example/acme/widgets", Some("ghe.example/acme/widgets")),
            ("pr list --repo=https://github.com/acme/widgets", Some("https://github.com/acme/widgets")),
            ("api repos/acme/widgets/pulls", Some("acme/widgets")),
            ("api -X POST /repos/acme/widgets?x=y", Some("acme/widgets")),
            ("api https://api.github.com/repos/acme/widgets", Some("acme/widgets")),
            ("api orgs/acme/repos --jq .[].name", Some("acme")),
            ("api repos/{owner}/{repo}/pulls", None),
            ("api graphql -f query=repos/acme/widgets", None),
            ("api user", None),
            ("repo clone acme/widgets -- --depth 1", Some("acme/widgets")),
            ("repo create acme/new --private", Some("acme")),
            ("repo clone https://github.com/acme/widgets.git", Some("https://github.com/acme/widgets.git")),
            ("repo view github.com/acme/widgets", Some("github.com/acme/widgets")),
            ("repo clone git@github.com:acme/widgets", Some("git@github.com:acme/widgets")),
            ("pr view https://github.com/acme/widgets/pull/7", Some("https://github.com/acme/widgets")),
            ("repo list https://github.com/acme/", Some("https://github.com/acme")),
            ("pr comment 7 --body https://github.com/globex/gears", None),
            ("ext exec -- -R acme/widgets", None),
            ("pr list", None),
            ("api", None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(named(&words).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn the_arguments_of_gh_name_hosts_in_every_usual_way() {
        for (line, expected) in [
            ("api https://ghe.example/api/v3/repos/acme/widgets", "ghe.example"),
            (
                "api HTTPS://GHE.example:8443/x?u=ssh://git@other.example:22/a",
                "ghe.example:8443 other.example",
            ),
            ("api http://ghe.example/x", "?"),
            ("api https://github.com\\@evil.example/x", "evil.example"),
            ("api https://evil.example?@github.com/x", "evil.example"),
            ("api https://evil%2eexample/x", "?"),
            ("api user --hostname ghe.example", "ghe.example"),
            ("api user --hostname=intranet", "intranet"),
            ("pr list -R ghe.example:8443/acme/widgets", "ghe.example:8443"),
            ("pr list -R evil.example./acme/widgets", "?"),
            ("pr list -Rintranet/acme/widgets", "intranet"),
            ("pr list --repo=intranet/acme/widgets", "intranet"),
            ("pr view -wR intranet/acme/widgets", "intranet"),
            ("pr view -cgit@ghe.example:acme/widgets", "ghe.example"),
            ("repo clone intranet/acme/widgets", "intranet"),
            ("repo clone intranet:acme/widgets", "intranet"),
            ("issue transfer 1 intranet/acme/widgets", "intranet"),
            ("auth status", "?"),
            ("auth status --hostname ghe.example", "ghe.example"),
            ("auth token", ""),
            ("auth git-credential get", "?"),
            ("extension install intranet/acme/gh-mine", "intranet"),
            ("mine src/commands/a/b", ""),
            ("pr list -R acme/widgets --head octocat:fix/of/it", ""),
            ("api repos/acme/widgets -f path=.github/workflows/ci.yml -H Accept:application/json", ""),
            ("api repos/acme/widgets --jq .[]|{a:.b}/c/d", ""),
            ("release upload v1.0 dist/linux/a.tar.gz ./a.b/c/d", ""),
            ("browse main.go:312", ""),
            ("pr create --base develop --head fix/of/it", ""),
            ("search prs author:@me created:>2020", ""),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let shown = |host: Option<Host>| host.map_or("?".to_owned(), |host| host.to_string());
            assert_eq!(
                hosts(&words).into_iter().map(shown).collect::<Vec<_>>().join(" "),
                expected,
                "{line}"
            );
        }
        assert!(hosts(&["--body".to_owned(), "see https://docs.example".to_owned()]).is_empty());
    }
}
