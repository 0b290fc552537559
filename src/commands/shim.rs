//! `shim`: a `gh` that stands before the real one in PATH and runs it as the App, each time with a token that is fresh and
//! for what the call is about.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::output::Output;
use super::setup::{Here, in_shell};
use super::{by_socket, exec, place, token};
use crate::config::{Config, Flags, Rule, select};
use crate::error::{Error, Result, cause};
use crate::files;
use crate::names::{Host, Repository, is_name};
use crate::socket;
use crate::source::Narrowing;
use crate::token::Need;
use crate::world::World;

/// What is to be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "A call for a repository that no App is configured for runs gh as it is.")]
pub(crate) struct Options {
    /// The tool
    tool: Tool,
    /// The folder for it, which has to stand before the real one's in PATH [default: ~/.local/bin]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Remove it again: from DIR, or from wherever it is in PATH
    #[arg(long)]
    remove: bool,
    /// Run the real one: this is what the shim itself calls
    #[arg(long, hide = true, conflicts_with_all = ["dir", "remove"])]
    run: bool,
    /// Its arguments
    #[arg(last = true, hide = true, requires = "run")]
    arguments: Vec<OsString>,
}

/// A tool that takes a token from its environment.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Tool {
    /// GitHub's command line, <https://cli.github.com>
    Gh,
}

/// The tool's name.
const GH: &str = "gh";
/// What the file of the shim is called.
const FILE: &str = if cfg!(windows) { "gh.cmd" } else { "gh" };
/// What the real one can be called.
const REAL: &[&str] = if cfg!(windows) { &["gh.exe", "gh.cmd", "gh.bat"] } else { &["gh"] };
/// What marks a file as a shim, in its second line.
const MARK: &str = "Written by git-credential-ghapp shim.";
/// How many shims have called each other.
const DEPTH: &str = "GHAPP_SHIM_DEPTH";
/// More than extensions of gh that call gh need.
const DEEPEST: u32 = 16;

pub(super) fn shim(
    options: &Options,
    flags: &Flags,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    let Tool::Gh = options.tool;
    if options.run {
        return run(&options.arguments, flags, world);
    }
    if options.remove {
        return remove(options, world, output).map(|()| 0);
    }
    write(options, world, output).map(|()| 0)
}

fn write(options: &Options, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
    let folder = options.dir.clone().or_else(|| default_folder(world)).ok_or_else(|| {
        Error::new("it is not clear where the shim belongs").hint("name a folder of PATH with --dir")
    })?;
    let failed = |path: &Path, why: &std::io::Error| {
        Error::new(format!("cannot write {}: {}", path.display(), cause(why)))
    };
    fs::create_dir_all(&folder).map_err(|e| failed(&folder, &e))?;
    let folder = folder.canonicalize().map_err(|e| failed(&folder, &e))?;
    let path = folder.join(FILE);
    if fs::symlink_metadata(&path).is_ok() && !is_shim(&path) {
        return Err(Error::new(format!("{} is there and is another program", path.display()))
            .hint("name another folder with --dir, one that stands before it in PATH"));
    }
    let how =
        files::Writing { unfinished: &folder, access: files::Access::Program, replaces: true, lasts: false };
    files::write_whole(&path, script(world)?.as_bytes(), how).map_err(|e| failed(&path, &e))?;
    match real(world) {
        Some(real) => output.line(&format!("{} runs {} as the App", path.display(), real.display()))?,
        None => {
            output.line(&format!("{} is written", path.display()))?;
            world.terminal.warning(&no_real_one());
        }
    }
    let first = in_path(world).find(|file| is_executable(file));
    if first.is_none_or(|first| !is_shim(&first)) {
        let what = format!("{} does not stand before the real {GH} in PATH", folder.display());
        let hint = format!("export PATH={}:\"$PATH\"", in_shell(&folder.to_string_lossy()));
        world.terminal.warning(&Error::new(what).hint(hint));
    }
    Ok(())
}

fn remove(options: &Options, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
    let shims = match &options.dir {
        Some(folder) => Vec::from_iter(Some(folder.join(FILE)).filter(|path| is_shim(path))),
        None => found(world),
    };
    if shims.is_empty() {
        return Err(Error::new(format!("no shim for {GH} is there"))
            .hint(format!("git-credential-ghapp shim {GH} --remove --dir DIR, if it is not in PATH")));
    }
    for path in shims {
        fs::remove_file(&path)
            .map_err(|e| Error::new(format!("cannot remove {}: {}", path.display(), cause(&e))))?;
        output.line(&format!("{} is removed", path.display()))?;
    }
    Ok(())
}

/// The shims in PATH, and where they are by default.
pub(super) fn found(world: &World<'_>) -> Vec<PathBuf> {
    let folders = world.variables.search_path().into_iter().chain(default_folder(world));
    let files = folders.map(|folder| folder.join(FILE));
    let mut shims: Vec<PathBuf> = files.filter(|path| is_shim(path)).collect();
    shims.sort_unstable();
    shims.dedup();
    shims
}

/// Runs the real one, as the App where one is configured for what the call is about.
fn run(arguments: &[OsString], flags: &Flags, world: &World<'_>) -> Result<u8> {
    let depth = world.variables.text(DEPTH)?.and_then(|depth| depth.parse().ok()).unwrap_or(0);
    if depth >= DEEPEST {
        return Err(Error::new(format!("{GH} calls itself again and again"))
            .hint(format!("which -a {GH} shows what stands in PATH under this name")));
    }
    let program = real(world).ok_or_else(no_real_one)?;
    let mut command = Command::new(&program);
    command.args(arguments).env(DEPTH, (depth + 1).to_string());
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if needs_no_token(&words) {
        return Ok(exec::become_it(&mut command, world));
    }
    let variable = |name| Ok::<_, Error>(world.variables.text(name)?.filter(|value| !value.is_empty()));
    let (repository, host) = (variable("GH_REPO")?, variable("GH_HOST")?);
    let mut hosts = hosts(&words);
    let is_opaque = !command_of(&words).is_some_and(|name| COMMANDS.contains(&name)) && !hosts.is_empty();
    repository.iter().for_each(|name| hosts.extend(hosts_in(name, true)));
    hosts.extend(host.map(|host| Host::parse(&host)));
    let socket = socket::of(world);
    let config = if socket.is_some() { Config::default() } else { Config::load(flags, world)? };
    let configured = |host: &Host| match &socket {
        // What is served is known on the other side.
        Some(_) => Some(host.clone()),
        None => {
            let is_at = |rule: &&Rule| rule.host == *host || rule.api.host() == host.to_string();
            config.rules.iter().find(is_at).map(|rule| rule.host.clone())
        }
    };
    let host = match only_host(&hosts, configured) {
        Ok(host) if !is_opaque => host,
        _ => return Ok(exec::become_it(&mut command, world)),
    };
    let name = match (named(&words).or(repository), &host) {
        // A name alone is one on that host.
        (Some(name), Some(host)) if !name.contains(':') && name.matches('/').count() < 2 => {
            Some(format!("{host}/{name}"))
        }
        (name, _) => name,
    };
    match socket {
        Some(socket) => {
            let name = name.as_deref();
            let wish =
                by_socket::Wish { name, repositories: &[], narrow: None, min_fresh: 0, identity: false };
            let answer = by_socket::ask(&socket, &wish, world)?;
            if let Some(by_socket::Answer { given, .. }) = answer
                && host.is_none_or(|host| host == given.host)
            {
                exec::give_token(&mut command, &given.token.secret, &given.host, &[]);
            }
        }
        None => give_as_app(&mut command, name, host, &config, world)?,
    }
    Ok(exec::become_it(&mut command, world))
}

/// Gives a call the token for what it is about, if an App is configured for that. A call that goes to a host gets one of that
/// host's only.
fn give_as_app(
    command: &mut Command,
    name: Option<String>,
    host: Option<Host>,
    config: &Config,
    world: &World<'_>,
) -> Result<()> {
    const USAGE: &str = "exec --for";
    let selected = match name.or_else(|| place::remote_of(config)) {
        Some(name) => select(place::named(&name, config)?, config)?,
        None => {
            let host = host.as_ref().map(Host::to_string);
            Some(place::selected(host.as_deref(), USAGE, config, world)?)
        }
    };
    if let Some(selected) = selected.filter(|it| host.is_none_or(|host| host == it.rule.host)) {
        let (issued, _) = token::issue(&selected, &Narrowing::default(), Need::Fresh, USAGE, config, world)?;
        exec::give(command, &issued.token.secret, &selected, &[], world);
    }
    Ok(())
}

/// Whether the call is about this machine only, and works offline and without a configuration.
fn needs_no_token(words: &[String]) -> bool {
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
fn only_host(
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
fn hosts(words: &[String]) -> Vec<Option<Host>> {
    // Those that take a repository as an argument.
    let any_is = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    let takes_names = match command_of(words) {
        Some("repo") => true,
        Some("issue" | "label") => any_is(&["transfer", "develop", "clone"]),
        _ => false,
    };
    // It goes to all hosts that somebody has logged in to.
    let goes_everywhere = command_of(words) == Some("auth") && any_is(&["status"]);
    let mut hosts = Vec::new();
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
        let is_name = takes_names || (is_short && flag.contains('R')) || flag.ends_with("repo");
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
fn hosts_in(argument: &str, is_name: bool) -> Vec<Option<Host>> {
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
fn named(words: &[String]) -> Option<String> {
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

/// The repository whose page an address is, or a page below it.
fn of_url(word: &str) -> Option<String> {
    let mut parts = word.strip_prefix("https://")?.split('/');
    let (host, owner, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("https://{host}/{owner}/{name}"))
}

/// The text of the shim.
fn script(world: &World<'_>) -> Result<String> {
    let program = Here::find(world)?.path;
    let program = program.to_string_lossy();
    Ok(if cfg!(windows) {
        format!("@echo off\r\nrem {MARK}\r\n\"{program}\" shim {GH} --run -- %*\r\n")
    } else {
        format!("#!/bin/sh\n# {MARK}\nexec {} shim {GH} --run -- \"$@\"\n", in_shell(&program))
    })
}

/// Whether a file is a shim, or a link to one.
fn is_shim(path: &Path) -> bool {
    /// All of a shim, and the start of what is none, in bytes.
    const START: u64 = 512;
    use std::io::Read as _;
    let Ok(file) = files::open_regular(fs::OpenOptions::new().read(true), path) else { return false };
    let mut start = Vec::new();
    let read = file.take(START).read_to_end(&mut start);
    let marks = [format!("# {MARK}"), format!("rem {MARK}")];
    read.is_ok()
        && String::from_utf8_lossy(&start)
            .lines()
            .nth(1)
            .is_some_and(|line| marks.iter().any(|it| it == line))
}

/// The real one: the first in PATH that is no shim.
fn real(world: &World<'_>) -> Option<PathBuf> {
    in_path(world).find(|path| is_executable(path) && !is_shim(path))
}

fn no_real_one() -> Error {
    Error::new(format!("{GH} is not found in PATH")).hint("install it: https://cli.github.com")
}

fn in_path(world: &World<'_>) -> impl Iterator<Item = PathBuf> {
    let folders = world.variables.search_path().into_iter();
    folders.flat_map(|folder| REAL.iter().map(move |name| folder.join(name)))
}

fn is_executable(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 == 0 {
        return false;
    }
    metadata.is_file()
}

fn default_folder(world: &World<'_>) -> Option<PathBuf> {
    let home = world.folders.home.as_ref().filter(|_| cfg!(unix))?;
    Some(home.join(".local/bin"))
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
            ("pr list -R acme/widgets --head octocat:fix/of/it", ""),
            ("api repos/acme/widgets -f path=.github/workflows/ci.yml -H Accept:application/json", ""),
            ("api repos/acme/widgets --jq .[]|{a:.b}/c/d", ""),
            ("release upload v1.0 dist/linux/a.tar.gz ./a.b/c/d", ""),
            ("browse main.go:312", ""),
            ("pr create --base develop --head fix/of/it", ""),
            ("search prs author:@me created:>2020", ""),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let told = |host: Option<Host>| host.map_or("?".to_owned(), |host| host.to_string());
            assert_eq!(hosts(&words).into_iter().map(told).collect::<Vec<_>>().join(" "), expected, "{line}");
        }
        assert!(hosts(&["--body".to_owned(), "see https://docs.example".to_owned()]).is_empty());
    }
}
