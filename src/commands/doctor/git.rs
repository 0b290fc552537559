//! git's side: what git does with a URL before and after it asks this program.

use super::report::Report;
use crate::config::{Config, Rule, select};
use crate::error::{Error, Result};
use crate::git;
use crate::git::config::{self, Helper};
use crate::names::{Host, Place, redacted, userinfo, without_user};
use crate::terminal::in_shell;
use crate::world::World;

pub(super) fn examine_git(report: &mut Report<'_, '_>) -> Result<()> {
    let version = match git::call(["--version"]) {
        Ok(output) => output.stdout.trim().to_owned(),
        Err(why) => return report.failure("git", why),
    };
    let numbers: Vec<u32> = version
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
    report.ok("git", format!("{version}: {heals}"))
}

/// The URL that a person means, as git would get it: what is written out stays as it is, in its own spelling.
pub(super) fn url_as_written(name: &str, place: &Place) -> String {
    let host = place.host().to_string();
    if name.contains("://") || name.split('/').next().is_some_and(|first| first.contains('@')) {
        name.to_owned()
    } else if name.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case(&host)) {
        format!("https://{name}")
    } else {
        format!("https://{host}/{name}")
    }
}

/// Whether the URL as it was written keeps git from asking a helper: by SSH, unencrypted, or with a credential in it.
pub(super) fn examine_url(
    url: &str,
    place: &Place,
    username: &str,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let by_ssh = |url: &str| url.starts_with("ssh://") || (url.contains('@') && !url.contains("://"));
    let is_plain = |url: &str| url.starts_with("http://");
    if by_ssh(url) || is_plain(url) {
        let bare = if by_ssh(url) { url.to_owned() } else { without_user(url) };
        let rewritten = git::url(Some(&bare));
        if rewritten.is_some_and(|rewritten| !by_ssh(&rewritten) && !is_plain(&rewritten)) {
            return Ok(());
        }
        let shown = redacted(url);
        if is_plain(url) {
            let what = format!("git would use {shown}, unencrypted, and this helper answers only for https");
            let hint = format!("git remote set-url origin {place}");
            return report.failure("git's URL", Error::new(what).hint(hint));
        }
        let what =
            Error::new(format!("git would use {shown} over SSH, for which it asks no credential helper"));
        let hint = format!(
            "git remote set-url origin {place}, or for all such URLs git-credential-ghapp setup --rewrite-ssh"
        );
        return report.failure("git's URL", what.hint(hint));
    }
    match userinfo(url) {
        None => Ok(()),
        Some(user) if user == username => Ok(()),
        Some(user) => {
            let what = if user.contains(':') {
                "the URL has a password in it, so git asks no helper"
            } else {
                "the URL has a user name in it, and this helper answers only for x-access-token"
            };
            report.failure("git's URL", Error::new(what).hint(format!("git remote set-url origin {place}")))
        }
    }
}

/// What git would do with the URL before and after it asks this program.
pub(super) fn examine_gits_side(
    url: &str,
    place: &Place,
    username: &str,
    configuration: &Config,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let host = place.host();
    // By SSH or without encryption nothing of this is asked for, unless git rewrites the URL.
    let url = if url.starts_with("https://") { url.to_owned() } else { place.to_string() };
    examine_rewriting(&url, report)?;
    examine_helpers(&url, place, &config::helpers(&url)?, report)?;
    examine_path(&url, host, configuration, report)?;
    if let Some(user) = config::for_url("credential.username", &url).filter(|user| *user != username) {
        let what = Error::new(format!(
            "git asks for the password of the user {user}, and this helper answers only for x-access-token"
        ));
        report.failure(
            "user name",
            what.hint("git config --show-origin --get-regexp 'credential.*username'"),
        )?;
    }
    if let Some(file) = netrc_with(&host.to_string(), world) {
        let what = format!("{file} has a credential for {host}, which git uses without asking a helper");
        report.failure("netrc", Error::new(what).hint("remove that entry, unless git should use it"))?;
    }
    let headers = config::extra_headers(&url)?;
    if let Some((_, origin)) = headers.iter().rfind(|(header, _)| is_authorization(header)) {
        let what = Error::new(format!(
            "git sends an Authorization header of its own, so it asks no helper (http.extraHeader in {origin})"
        ));
        let hint = "find it: git config --show-origin --name-only --get-regexp 'extraheader'; actions/checkout sets it unless persist-credentials is false";
        report.failure("headers", what.hint(hint))?;
    }
    Ok(())
}

fn examine_rewriting(url: &str, report: &mut Report<'_, '_>) -> Result<()> {
    const SEARCH: &str = "git config --show-origin --get-regexp 'url.*insteadof'";
    let Some(rewritten) = git::url(Some(url)).filter(|rewritten| rewritten != url) else { return Ok(()) };
    let what = Error::new(format!("git rewrites {url} to {}", redacted(&rewritten)));
    if rewritten.starts_with("https://") && userinfo(&rewritten).is_none() {
        return report.warning("git's URL", what.hint(SEARCH));
    }
    report.failure(
        "git's URL",
        what.hint(format!("git asks no helper for that URL; find the setting: {SEARCH}")),
    )
}

/// Settings for the whole host, as setup once wrote them for every App: with them git fails where no App answers, or goes
/// there without a credential.
pub(super) fn examine_whole_host(rule: &Rule, report: &mut Report<'_, '_>) -> Result<()> {
    let host = &rule.host;
    let proactive = (
        format!("http.https://{host}.proactiveAuth"),
        "git fails at once where no App answers",
        "--proactive",
    );
    let rewriting = (
        format!("url.https://{host}/.insteadOf"),
        "git uses https for what no App answers for, too",
        "--rewrite-ssh",
    );
    for (key, what, flag) in [proactive, rewriting] {
        if let Some(file) = config::files_with(&key)?.first() {
            let what = Error::new(format!("{what}: {key} in {file} is for the whole of {host}"));
            let again = match rule.identity.token_command() {
                None => format!(" && git-credential-ghapp setup --app-id {} {flag}", in_shell(&rule.app_id)),
                Some(_) => String::new(),
            };
            let (file, key) = (in_shell(file), in_shell(&key));
            let hint = format!(
                "limit it to the owners of a rule: git config --file {file} --unset-all {key}{again}"
            );
            report.warning("whole host", what.hint(hint))?;
        }
    }
    Ok(())
}

/// Whether git asks this helper, and whom else.
fn examine_helpers(url: &str, place: &Place, helpers: &[Helper], report: &mut Report<'_, '_>) -> Result<()> {
    let host = place.host();
    let shown = helpers.iter().map(Helper::shown).collect::<Vec<_>>().join(", then ");
    let add = format!("git config --global --add credential.https://{host}.helper ghapp");
    let Some(position) = helpers.iter().position(Helper::is_ours) else {
        let what = match helpers {
            [] => format!("git asks no helper for {url}"),
            _ => format!("git does not ask this helper for {url}, but {shown}"),
        };
        // git compares paths letter by letter, GitHub does not.
        let other = place.to_string();
        let hint = match config::helpers(&other)?.iter().any(Helper::is_ours) {
            true => format!("git's settings are for another spelling: git remote set-url origin {other}"),
            false => add,
        };
        return report.failure("helpers", Error::new(what).hint(hint));
    };
    let mut fine = position == 0;
    if !fine {
        let what = format!("git asks another helper first, which may answer with another identity: {shown}");
        let hint = format!(
            "clear the list, and add this helper: git config --global --add credential.https://{host}.helper '' && {add}"
        );
        report.warning("helpers", Error::new(what).hint(hint))?;
    }
    let keeps = |helper: &&Helper| !helper.is_ours() && helper.keeps_what_others_answer();
    if let Some(keeper) = helpers.iter().find(keeps) {
        fine = false;
        let what =
            format!("git passes every token that works to the helper {}, which keeps it", keeper.value);
        let hint = format!("remove it from {}, or run git-credential-ghapp setup", helpers[0].origin);
        report.warning("helpers", Error::new(what).hint(hint))?;
    }
    let short = helpers[position].value.split_whitespace().next() == Some("ghapp");
    if short && config::path_of_short_name().is_none() {
        let what = "git asks ghapp, but finds no git-credential-ghapp: its folder is not in PATH";
        let hint =
            "add the folder to PATH, or name the whole path as the helper, as setup does where it must";
        return report.failure("helpers", Error::new(what).hint(hint));
    }
    if fine { report.ok("helpers", format!("git asks {shown}")) } else { Ok(()) }
}

/// Whether git says which repository it wants, or need not.
fn examine_path(url: &str, host: &Host, configuration: &Config, report: &mut Report<'_, '_>) -> Result<()> {
    if config::is_true_for_url("credential.useHttpPath", url) {
        return report.ok("path", "git sends the path of the repository (useHttpPath)");
    }
    match select(Place::Host(host.clone()), configuration) {
        Ok(_) => {
            let what = "git does not send the path of the repository, which works only for an App with one installation";
            let hint = format!("git config --global credential.https://{host}.useHttpPath true");
            report.warning("path", Error::new(what).hint(hint))
        }
        Err(why) => report.failure("path", why),
    }
}

/// Whether git itself gets there, with all that it is told but what a repository says: that may be anybody's, and could
/// lead the token elsewhere.
pub(super) fn examine_fetch(url: &str, report: &mut Report<'_, '_>) -> Result<()> {
    if !config::is_helper_outside_repositories()? {
        return report.ok("fetch", "not tried: git asks this helper only in this repository");
    }
    let output = git::call_as_user(&[], &[], false, &["ls-remote", "--quiet", "--", url, "HEAD"])?;
    if output.code == Some(0) {
        return report.ok("fetch", format!("git ls-remote {url} works"));
    }
    let why = output.stderr.lines().last().unwrap_or("git gave no reason");
    let what = format!("git ls-remote {url} fails: {}", why.trim_start_matches("fatal: "));
    report
        .failure("fetch", Error::new(what).hint(format!("see each step: GHAPP_TRACE=1 git ls-remote {url}")))
}

/// The file that gives curl, and so git, a credential for a host, or for all. (netrc(5))
fn netrc_with(host: &str, world: &World<'_>) -> Option<String> {
    let name = host.split(':').next().unwrap_or_default();
    let home = world.folders.home.as_ref()?;
    [".netrc", "_netrc"].into_iter().map(|file| home.join(file)).find_map(|path| {
        let text = zeroize::Zeroizing::new(crate::files::read_text(&path).ok()?);
        let words: Vec<&str> = text.split_whitespace().collect();
        let names_it = words.windows(2).any(|pair| pair == ["machine", name]) || words.contains(&"default");
        names_it.then(|| path.display().to_string())
    })
}

fn is_authorization(header: &str) -> bool {
    header.split(':').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("authorization"))
}
