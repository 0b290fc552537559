//! `doctor`: goes the whole way that a token goes, and tells of each step whether it works, or how to mend it.

use std::time::Duration;

use serde::Serialize;

use super::git_config::{self, Helper};
use super::output::{Colour, Output, count, soon};
use super::{nothing_configured, place};
use crate::cache::Wanted;
use crate::config::{Config, Flags, KeySource, Rule};
use crate::connection::{Connection, Issued, Outcome};
use crate::error::{Error, Failure, Result};
use crate::files::open_to_others;
use crate::git;
use crate::github::{describe as describe_offset, matters};
use crate::names::{Found, Host};
use crate::network;
use crate::protocol::USERNAME;
use crate::route::{Place, Route, Target, route_to};
use crate::world::World;

/// What is examined, and how it is shown.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The URL that does not work, OWNER/REPO, or OWNER; default: the current repository's remote, or the only
    /// installation
    #[arg(value_name = "URL")]
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failure,
}

/// One step.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    result: Verdict,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The steps so far, told as they come.
struct Report<'o, 'p> {
    steps: Vec<Step>,
    output: &'o mut Output<'p>,
    json: bool,
}

impl Report<'_, '_> {
    fn ok(&mut self, step: &'static str, message: impl Into<String>) -> Result<()> {
        self.tell(step, Verdict::Ok, Error::new(message))
    }

    fn warning(&mut self, step: &'static str, what: Error) -> Result<()> {
        self.tell(step, Verdict::Warning, what)
    }

    fn failure(&mut self, step: &'static str, what: Error) -> Result<()> {
        self.tell(step, Verdict::Failure, what)
    }

    fn tell(&mut self, step: &'static str, result: Verdict, what: Error) -> Result<()> {
        let hint = what.next_step().map(str::to_owned);
        let message = what.message().to_owned();
        if !self.json {
            let (colour, word) = match result {
                Verdict::Ok => (Colour::Good, "ok     "),
                Verdict::Warning => (Colour::Doubtful, "warning"),
                Verdict::Failure => (Colour::Bad, "failure"),
            };
            self.output.word(colour, word)?;
            self.output.line(&format!("  {step}: {message}"))?;
            if let Some(hint) = &hint {
                self.output.line(&format!("         hint: {hint}"))?;
            }
        }
        self.steps.push(Step { step, result, message, hint });
        Ok(())
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.steps.iter().filter(|step| step.result == verdict).count()
    }

    /// The end: a summary for a person, everything for a program; gives the exit code.
    fn end(self) -> Result<u8> {
        #[derive(Serialize)]
        struct Whole<'s> {
            ok: bool,
            steps: &'s [Step],
        }
        let (failures, warnings) = (self.count(Verdict::Failure), self.count(Verdict::Warning));
        if self.json {
            self.output.json(&Whole { ok: failures == 0, steps: &self.steps })?;
        } else {
            let (failures, warnings) =
                (count(failures, "failure", "failures"), count(warnings, "warning", "warnings"));
            self.output.line(&format!("{failures}, {warnings}"))?;
        }
        Ok(u8::from(failures > 0))
    }
}

pub(super) fn doctor(
    options: &Options,
    flags: &Flags,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    let mut report = Report { steps: Vec::new(), output, json: options.json };
    examine_git(&mut report)?;
    let config = match Config::load(flags, &world.variables, world.folders) {
        Ok(config) => config,
        Err(why) => {
            report.failure("configuration", why)?;
            return report.end();
        }
    };
    if config.rules.is_empty() {
        report.failure("configuration", nothing_configured())?;
        return report.end();
    }
    examine_configuration(&config, &mut report)?;
    let (place, route) = match place::route(options.name.as_deref(), &config) {
        Ok(found) => found,
        Err(why) => {
            report.failure("rule", why)?;
            return report.end();
        }
    };
    let rule = route.rule;
    let why = why_this_rule(&route);
    report.ok("rule", format!("App {} answers for {place}: {why} ({})", rule.issuer, rule.origin))?;
    examine_url(options.name.clone().or_else(place::remote), &place, &mut report)?;
    examine_gits_side(&place, &route, &config, world, &mut report)?;
    examine_network(rule, world, &mut report)?;
    Connection::with(rule, &config, world, |connection| {
        let usable = examine_key(rule, connection, &mut report)?;
        examine_stores(connection, world, &mut report)?;
        if usable && examine_app(connection, &mut report)? {
            examine_installation(&place, &route, connection, &mut report)?;
        }
        Ok(())
    })?;
    report.end()
}

fn examine_git(report: &mut Report<'_, '_>) -> Result<()> {
    let said = match git::call(["--version"]) {
        Ok(said) => said.stdout.trim().to_owned(),
        Err(why) => return report.failure("git", why),
    };
    let numbers: Vec<u32> = said
        .trim_start_matches("git version ")
        .split('.')
        .take(2)
        .filter_map(|number| number.parse().ok())
        .collect();
    let heals = if numbers.as_slice() >= [2, 46].as_slice() {
        "a token that is refused is replaced within the same command"
    } else {
        "a token that is refused is replaced by the next command (by the same one from 2.46 on)"
    };
    report.ok("git", format!("{said}: {heals}"))
}

fn examine_configuration(config: &Config, report: &mut Report<'_, '_>) -> Result<()> {
    let mut places: Vec<String> = config
        .rules
        .iter()
        .map(|rule| rule.origin.to_string().split(", line").next().unwrap_or_default().to_owned())
        .collect();
    places.dedup();
    let rules = count(config.rules.len(), "App is", "Apps are");
    report.ok("configuration", format!("{rules} configured: {}", places.join(", ")))
}

fn why_this_rule(route: &Route<'_>) -> String {
    let rule = route.rule;
    match &route.target {
        _ if rule.is_for_this_call() => "environment or flags name it".to_owned(),
        Target::Repository(repository) if rule.repositories.contains(repository) => {
            "it names the repository".to_owned()
        }
        _ if rule.names_what_it_is_for() => "it names the owner".to_owned(),
        _ => format!("it is for every owner on {}", rule.host),
    }
}

/// Whether the URL as it was written keeps git from asking a helper: by SSH, or with a credential in it.
fn examine_url(asked: Option<String>, place: &Place, report: &mut Report<'_, '_>) -> Result<()> {
    let Some(url) = asked else { return Ok(()) };
    let by_ssh = |url: &str| url.starts_with("ssh://") || (url.contains('@') && !url.contains("://"));
    if by_ssh(&url) {
        let rewritten = git::url(Some(url.as_str()));
        if rewritten.is_some_and(|rewritten| !by_ssh(&rewritten)) {
            return Ok(());
        }
        let shown = place::redacted(&url);
        let what = Error::new(format!("git goes to {shown} by SSH, where no helper is asked"));
        let hint = format!(
            "git remote set-url origin {place}, or for all such URLs git-credential-ghapp setup --rewrite-ssh"
        );
        return report.failure("git's URL", what.hint(hint));
    }
    match place::userinfo(&url) {
        None | Some(USERNAME) => Ok(()),
        Some(user) => {
            let what = if user.contains(':') {
                "the URL has a password in it, which git takes instead of asking a helper"
            } else {
                "the URL has a user name in it, whose password this helper leaves to others"
            };
            report.failure("git's URL", Error::new(what).hint(format!("git remote set-url origin {place}")))
        }
    }
}

/// What git would do with the URL before and after it asks this program.
fn examine_gits_side(
    place: &Place,
    route: &Route<'_>,
    config: &Config,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let host = &route.rule.host;
    let url = place.to_string();
    let outside = world.folders.cache.clone().unwrap_or_default();
    examine_rewriting(&url, report)?;
    examine_helpers(&url, host, &git_config::helpers(&url, &outside)?, report)?;
    examine_path(&url, host, config, report)?;
    if let Some(user) = git_config::for_url("credential.username", &url).filter(|user| user != USERNAME) {
        let what = Error::new(format!(
            "git asks for the password of the user {user}, which this helper leaves to others"
        ));
        report.failure(
            "user name",
            what.hint("git config --show-origin --get-regexp 'credential.*username'"),
        )?;
    }
    if let Some(file) = netrc_with(&host.to_string(), world) {
        let what = format!("{file} has a credential for {host}, which git takes before it asks a helper");
        report
            .failure("netrc", Error::new(what).hint("take the entry out, unless its token is to be used"))?;
    }
    let headers = git_config::all_for_url("http", "extraheader", &url, &outside)?;
    if let Some((_, origin)) = headers.iter().rfind(|(header, _)| is_authorization(header)) {
        let what = Error::new(format!(
            "git sends an Authorization header of its own, so no helper is asked (http.extraHeader in {origin})"
        ));
        let hint = "find it: git config --show-origin --name-only --get-regexp 'extraheader'; actions/checkout sets it unless persist-credentials is false";
        report.failure("headers", what.hint(hint))?;
    }
    Ok(())
}

fn examine_rewriting(url: &str, report: &mut Report<'_, '_>) -> Result<()> {
    const SEARCH: &str = "git config --show-origin --get-regexp 'url.*insteadof'";
    let Some(rewritten) = git::url(Some(url)).filter(|rewritten| rewritten != url) else { return Ok(()) };
    let what = Error::new(format!("git rewrites {url} to {}", place::redacted(&rewritten)));
    if rewritten.starts_with("https://") && place::userinfo(&rewritten).is_none() {
        return report.warning("git's URL", what.hint(SEARCH));
    }
    report.failure("git's URL", what.hint(format!("no helper is asked for that; look for it: {SEARCH}")))
}

/// Whether git asks this helper, and whom else.
fn examine_helpers(url: &str, host: &Host, helpers: &[Helper], report: &mut Report<'_, '_>) -> Result<()> {
    let shown = helpers.iter().map(Helper::shown).collect::<Vec<_>>().join(", then ");
    let add = format!("git config --global --add credential.https://{host}.helper ghapp");
    let Some(position) = helpers.iter().position(Helper::is_ours) else {
        let what = match helpers {
            [] => format!("git asks no helper for {url}"),
            _ => format!("git does not ask this helper for {url}, but {shown}"),
        };
        return report.failure("helpers", Error::new(what).hint(add));
    };
    let mut fine = position == 0;
    if !fine {
        let what = format!("git asks another helper first, whose answer may be another identity: {shown}");
        let hint = format!(
            "put an empty one and this one last: git config --global --add credential.https://{host}.helper '' && {add}"
        );
        report.warning("helpers", Error::new(what).hint(hint))?;
    }
    let keeps = |helper: &&Helper| !helper.is_ours() && helper.keeps_what_others_answer();
    if let Some(keeper) = helpers.iter().find(keeps) {
        fine = false;
        let what = format!("the helper {} is given every token that works, and keeps it", keeper.value);
        let hint = format!("take it out of {}, or let git-credential-ghapp setup do it", helpers[0].origin);
        report.warning("helpers", Error::new(what).hint(hint))?;
    }
    let short = helpers[position].value.split_whitespace().next() == Some("ghapp");
    if short && git_config::found_by_git().is_none() {
        let what = "git asks ghapp, but finds no git-credential-ghapp: its folder is not in PATH";
        let hint =
            "add the folder to PATH, or name the whole path as the helper, as setup does where it must";
        return report.failure("helpers", Error::new(what).hint(hint));
    }
    if fine { report.ok("helpers", format!("git asks {shown}")) } else { Ok(()) }
}

/// Whether git says which repository it wants, or need not.
fn examine_path(url: &str, host: &Host, config: &Config, report: &mut Report<'_, '_>) -> Result<()> {
    if git_config::is_true_for_url("credential.useHttpPath", url) {
        return report.ok("path", "git says which repository it wants (useHttpPath)");
    }
    match route_to(&Place::Host(host.clone()), config) {
        Ok(_) => {
            let what =
                "git does not say which repository it wants, which is enough for one installation only";
            let hint = format!("git config --global credential.https://{host}.useHttpPath true");
            report.warning("path", Error::new(what).hint(hint))
        }
        Err(why) => report.failure("path", why),
    }
}

/// The file that gives curl, and so git, a credential for a host, or for all. (netrc(5))
fn netrc_with(host: &str, world: &World<'_>) -> Option<String> {
    let name = host.split(':').next().unwrap_or_default();
    let home = world.folders.home.as_ref()?;
    [".netrc", "_netrc"].into_iter().map(|file| home.join(file)).find_map(|path| {
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(&path).ok()?);
        let words: Vec<&str> = text.split_whitespace().collect();
        let names_it = words.windows(2).any(|pair| pair == ["machine", name]) || words.contains(&"default");
        names_it.then(|| path.display().to_string())
    })
}

fn is_authorization(header: &str) -> bool {
    header.split(':').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("authorization"))
}

fn examine_network(rule: &Rule, world: &World<'_>, report: &mut Report<'_, '_>) -> Result<()> {
    let home = world.folders.home.as_deref();
    match network::describe(&rule.api.endpoint("/"), &world.variables, home) {
        Ok(found) => {
            let proxy = found.proxy.map_or_else(|| "no proxy".to_owned(), |proxy| format!("proxy {proxy}"));
            if found.unverified {
                let what = Error::new(format!("{}: {proxy}, and its certificate is not checked", rule.api));
                report.warning(
                    "network",
                    what.hint("name the CA instead: git config --global http.sslCAInfo FILE"),
                )
            } else {
                report.ok("network", format!("{}: {proxy}, {}", rule.api, found.roots))
            }
        }
        Err(why) => report.failure("network", why),
    }
}

/// Whether there is a key.
fn examine_key(rule: &Rule, connection: &Connection<'_>, report: &mut Report<'_, '_>) -> Result<bool> {
    let key = match connection.app().key() {
        Ok(key) => key,
        Err(why) => {
            report.failure("private key", why)?;
            return Ok(false);
        }
    };
    let place = match &rule.key {
        KeySource::File { path, .. } => path.display().to_string(),
        KeySource::Text { origin, .. } => format!("in the {origin}"),
        KeySource::Keyring { name, .. } => format!("{name} in the keyring"),
    };
    let fingerprint = key.fingerprint()?;
    if let KeySource::File { path, .. } = &rule.key
        && let Some(mode) = open_to_others(path)
    {
        let what = Error::new(format!("{place} is readable by others (mode {mode:o}); {fingerprint}"));
        report.warning("private key", what.hint(format!("chmod 600 '{}'", path.display())))?;
    } else {
        report.ok("private key", format!("{place}, {fingerprint}"))?;
    }
    Ok(true)
}

fn examine_stores(connection: &Connection<'_>, world: &World<'_>, report: &mut Report<'_, '_>) -> Result<()> {
    let stores = connection.cache().try_stores();
    let works = stores.iter().any(|(_, result)| result.is_ok());
    if stores.is_empty() {
        let what = Error::new("no token is kept (cache = \"none\"), so every call mints one");
        report.warning("token store", what)?;
    }
    for (name, result) in &stores {
        match result {
            Ok(()) => report.ok("token store", format!("{name} works"))?,
            Err(why) if works => {
                report.warning("token store", Error::new(format!("{name} is not used: {why}")))?;
            }
            Err(why) => {
                let what = Error::new(format!("{name} does not work, so every call mints: {why}"));
                report.failure("token store", what.hint("try cache = \"file\", or GHAPP_CACHE=file"))?;
            }
        }
    }
    let now = world.clock.now();
    let grants = connection.cache().grants();
    let tokens = grants.iter().map(|(_, grant)| {
        format!("{} on {} expires {}", super::status::whom(grant), grant.host, soon(grant.expires_at, now))
    });
    let tokens: Vec<String> = tokens.collect();
    let listed = if tokens.is_empty() { "none".to_owned() } else { tokens.join(", ") };
    report.ok("cached tokens", listed)
}

/// Whether GitHub knows the App.
fn examine_app(connection: &Connection<'_>, report: &mut Report<'_, '_>) -> Result<bool> {
    let github = match connection.github() {
        Ok(github) => github,
        Err(why) => {
            report.failure("App", why.into_error())?;
            return Ok(false);
        }
    };
    let app = match github.app() {
        Ok(app) => app,
        Err(why) => {
            report.failure("App", why.into_error())?;
            return Ok(false);
        }
    };
    match github.measured_clock_offset() {
        Some(offset) if matters(offset) => {
            let what =
                format!("this clock is {} by GitHub's; that is corrected for", describe_offset(offset));
            report.warning("clock", Error::new(what).hint("set the clock"))?;
        }
        Some(_) => report.ok("clock", "right, within seconds")?,
        None => report.warning("clock", Error::new("the server does not say what time it is"))?,
    }
    let name = app.name.as_ref().unwrap_or(&app.slug);
    report.ok("App", format!("{name}{}, {}", app.of_owner(), app.html_url))?;
    Ok(true)
}

fn examine_installation(
    place: &Place,
    route: &Route<'_>,
    connection: &Connection<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let wanted = Wanted::Any;
    let found = match connection.find(route) {
        Ok(found) => found,
        Err(why) => return report.failure("installation", why.into_error()),
    };
    if let Some(Found { installation, .. }) = found {
        let details = connection.github().and_then(|github| github.installation(installation));
        match details {
            Ok(Some(details)) => {
                let owner = details.owner().unwrap_or("an enterprise").to_owned();
                let selection = super::installations::selection(&details);
                let use_for_git = super::installations::use_for_git(&details);
                let text =
                    format!("{installation} on {owner}, {selection} repositories; git can: {use_for_git}");
                if details.is_usable() {
                    report.ok("installation", text)?;
                } else {
                    let page = details.html_url.unwrap_or_default();
                    report.failure("installation", Error::new(text).hint(format!("mend it at {page}")))?;
                    return Ok(());
                }
            }
            Ok(None) => {
                let what = Error::new(format!("there is no installation {installation} of this App"));
                let hint = "install the App again, or correct installation-id in the configuration";
                report.failure("installation", what.hint(hint))?;
                if route.rule.installation.is_some() {
                    return Ok(());
                }
            }
            Err(why) => report.warning("installation", why.into_error())?,
        }
    }
    match connection.token(route, wanted) {
        Ok(Outcome::NotInstalled(why)) => report.failure("installation", why),
        Ok(Outcome::Issued(issued)) => {
            report.ok("token", format!("can be had, {}", what_it_may(&issued, connection)))?;
            examine_git_server(place, route, &issued, connection, report)
        }
        Err(why) => report.failure("token", why),
    }
}

fn what_it_may(issued: &Issued, connection: &Connection<'_>) -> String {
    let granted = connection.cache().grant(&issued.key).map(|grant| grant.granted).unwrap_or_default();
    let permissions = granted.permissions.unwrap_or_default();
    let listed: Vec<String> = permissions.iter().map(|(name, level)| format!("{name}: {level}")).collect();
    if listed.is_empty() { "its permissions are not noted".to_owned() } else { listed.join(", ") }
}

/// Whether git's servers take the token.
fn examine_git_server(
    place: &Place,
    route: &Route<'_>,
    issued: &Issued,
    connection: &Connection<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(12);
    let Place::Repository(host, repository) = place else {
        return report.ok("trial", "no repository was named to try the token with");
    };
    let tried = connection.git_agent().map_err(Failure::from).and_then(|agent| {
        let github = connection.github()?;
        let token = &issued.entry.token;
        github.try_with_git(&agent, host, repository, token, PATIENCE).map_err(Failure::Unreachable)
    });
    match tried {
        Ok(status) if status < 400 => report.ok("trial", format!("{host} takes the token for {repository}")),
        Ok(404) => {
            let what = Error::new(format!(
                "{host} answers 404: the token does not reach {repository}, or there is none"
            ));
            let app = &route.rule.issuer;
            report.failure("trial", what.hint(format!("add the repository to the installation of App {app}")))
        }
        Ok(status) => {
            let what = Error::new(format!("{host} answers {status} to the token for {repository}"));
            report.failure("trial", what.hint("check the installation's permissions and the IP allow list"))
        }
        Err(why) => report.failure("trial", why.into_error()),
    }
}
