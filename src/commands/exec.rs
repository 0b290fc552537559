//! `exec`: a command with the App's identity, for everything that takes a token from its environment.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::process::{Child, Command};

use zeroize::Zeroizing;

use super::{by_socket, identity, narrow, token};
use crate::config::{Config, Flags, Selected};
use crate::error::{Error, Result, cause};
use crate::names::{Host, Place};
use crate::secret::Secret;
use crate::socket;
use crate::source::{TokenSource, with_token};
use crate::time::LIMITS_HINT;
use crate::token::Need;
use crate::world::{SECRET_VARIABLES, World, remove_secrets};

/// What is to be run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// OWNER/REPO, OWNER, or a URL; default: the current repository's remote, or the only installation
    #[arg(long = "for", value_name = "NAME")]
    name: Option<String>,
    /// Put the token into this variable, too; may be repeated
    #[arg(long = "env", value_name = "VARIABLE", value_parser = variable)]
    variables: Vec<String>,
    /// Give nix the token, too: as access-tokens in NIX_CONFIG, beside what is there
    #[arg(long)]
    nix: bool,
    /// Commit as the App: make its bot git's author and committer
    #[arg(long)]
    identity: bool,
    #[command(flatten)]
    narrow: narrow::Narrow,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// The name of a variable, as shells allow it.
fn variable(name: &str) -> std::result::Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.as_bytes()[0].is_ascii_digit() || !name.bytes().all(fits) {
        return Err("it is not the name of a variable".to_owned());
    }
    Ok(name.to_owned())
}

/// As env(1): the command was found but cannot be run, or was not found.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) fn exec(
    options: &Options,
    repositories: &[String],
    flags: &Flags,
    world: &World<'_>,
) -> Result<u8> {
    let Some((program, arguments)) = options.command.split_first() else { return Ok(0) };
    let mut command = Command::new(program);
    command.args(arguments);
    let identity = match socket::of(world) {
        Some(socket) => {
            let (name, narrow) = (options.name.as_deref(), Some(&options.narrow));
            let request = by_socket::TokenRequest {
                name,
                repositories,
                narrow,
                min_fresh: 0,
                identity: options.identity,
            };
            let by_socket::Answer { given, identity } = by_socket::require(&socket, &request, world)?;
            give_token(&mut command, &given.token.secret, &given.host, &options.variables);
            if options.nix {
                give_nix(&mut command, &given.token.secret, &given.host, world);
            }
            identity
        }
        None => give_as_app(&mut command, options, repositories, &Config::load(flags, world)?, world)?,
    };
    if let Some((name, address)) = identity {
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), &name).env(format!("GIT_{who}_EMAIL"), &address);
        }
    }
    world.terminal.trace(|| format!("running {}", program.to_string_lossy()));
    Ok(become_it(&mut command, world))
}

/// Gives a command the token; gives the name and the address of the App's bot, if they are wanted.
fn give_as_app(
    command: &mut Command,
    options: &Options,
    repositories: &[String],
    config: &Config,
    world: &World<'_>,
) -> Result<Option<(String, String)>> {
    const USAGE: &str = "exec --for";
    let name = options.name.as_deref();
    let (selected, narrowing) = narrow::selected(name, repositories, &options.narrow, USAGE, config, world)?;
    let (issued, _) = token::issue(&selected, &narrowing, Need::Fresh, USAGE, config, world)?;
    give(command, &issued.token.secret, &selected, &options.variables, world);
    if options.nix {
        give_nix(command, &issued.token.secret, &selected.rule.host, world);
    }
    if !options.identity {
        return Ok(None);
    }
    let source = TokenSource::new(selected.rule, config, world);
    with_token(
        |need| Ok::<_, Error>(token::issue(&selected, &narrowing, need, USAGE, config, world)?.0),
        |issued| identity::of_bot(selected.rule, &source, &issued.token.secret),
    )
    .map(Some)
}

/// Gives a command the token, in the variables that tools and git below it take it from.
pub(super) fn give(
    command: &mut Command,
    token: &Secret,
    selected: &Selected<'_>,
    more: &[String],
    world: &World<'_>,
) {
    give_token(command, token, &selected.rule.host, more);
    give_git_the_token(command, &selected.place, &selected.rule.vendor().username, world);
}

/// Runs a command in the place of this process, without this program's secrets; gives its exit code.
pub(super) fn become_it(command: &mut Command, world: &World<'_>) -> u8 {
    remove_secrets(command);
    (world.before_exec)();
    match run(command) {
        Ok(code) => code,
        Err(failed) => cannot_run(command.get_program(), &failed, world),
    }
}

/// Starts a command beside this process, without this program's secrets. `None`: no command is named.
///
/// # Errors
/// The exit code where it cannot be run, which is told.
pub(super) fn start_beside(
    words: &[OsString],
    variables: &[(&str, &OsStr)],
    world: &World<'_>,
) -> std::result::Result<Option<Child>, u8> {
    let Some((program, arguments)) = words.split_first() else { return Ok(None) };
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied());
    remove_secrets(&mut command);
    (world.before_exec)();
    command.spawn().map(Some).map_err(|failed| cannot_run(program, &failed, world))
}

/// Tells that a command cannot be run; gives the exit code for that.
fn cannot_run(program: &OsStr, failed: &io::Error, world: &World<'_>) -> u8 {
    let error = Error::new(format!("cannot run {}: {}", program.to_string_lossy(), cause(failed)));
    world.terminal.error(&match failed.kind() {
        // What fork(2) says where there is no room for another process.
        ErrorKind::WouldBlock | ErrorKind::OutOfMemory => error.hint(LIMITS_HINT),
        ErrorKind::NotFound => error.hint("write a command that is in PATH, or its whole path"),
        _ => error,
    });
    if failed.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// What tools take a token from, for github.com and ghe.com, and for GitHub Enterprise Server.
/// <https://cli.github.com/manual/gh_help_environment>
const VARIABLES: [&str; 2] = ["GH_TOKEN", "GITHUB_TOKEN"];
const ENTERPRISE_VARIABLES: [&str; 2] = ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"];

/// The variables for the host's kind.
pub(super) fn token_variables(host: &Host) -> [&'static str; 2] {
    if host.is_on_github_com() { VARIABLES } else { ENTERPRISE_VARIABLES }
}

/// The token in the variables of the host's kind. Those of the other kind are removed: tools would send what is in them to
/// another host, and it is another identity.
pub(super) fn give_token(command: &mut Command, token: &Secret, host: &Host, more: &[String]) {
    for name in VARIABLES.into_iter().chain(ENTERPRISE_VARIABLES) {
        command.env_remove(name);
    }
    for name in token_variables(host).into_iter().chain(more.iter().map(String::as_str)) {
        command.env(name, token.expose());
    }
    command.env("GH_HOST", host.to_string());
}

/// The token among nix's settings. <https://nix.dev/manual/nix/latest/command-ref/conf-file#conf-access-tokens>
fn give_nix(command: &mut Command, token: &Secret, host: &Host, world: &World<'_>) {
    let mut settings = world.variables.path("NIX_CONFIG").unwrap_or_default();
    let token = Zeroizing::new(format!("\nextra-access-tokens = {host}={}\n", token.expose()));
    settings.push(token.as_str());
    command.env("NIX_CONFIG", settings);
}

/// Where the private key is in the environment, git below the command finds no key any more. It takes the token instead, from
/// the variable in which it is anyway, and only for what the token is for.
fn give_git_the_token(command: &mut Command, place: &Place, username: &str, world: &World<'_>) {
    if !SECRET_VARIABLES.iter().any(|name| world.variables.path(name).is_some()) {
        return;
    }
    let [variable, _] = token_variables(place.host());
    let url = match place.owner() {
        Some(owner) => format!("https://{}/{owner}", place.host()),
        None => format!("https://{}", place.host()),
    };
    let answer = format!(
        "!f() {{ test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' {username} \"${variable}\"; }}; f"
    );
    // <https://git-scm.com/docs/git-config#ENVIRONMENT>
    let handed_down = world.variables.path("GIT_CONFIG_COUNT");
    let count: usize = handed_down.and_then(|count| count.to_str()?.trim().parse().ok()).unwrap_or(0);
    let key = format!("credential.{url}.helper");
    for (index, value) in [(count, ""), (count + 1, &answer)] {
        command.env(format!("GIT_CONFIG_KEY_{index}"), &key);
        command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    command.env("GIT_CONFIG_COUNT", (count + 2).to_string());
}

/// The command takes the place of this process: signals and the exit code need no passing on.
#[cfg(unix)]
fn run(command: &mut Command) -> std::io::Result<u8> {
    Err(std::os::unix::process::CommandExt::exec(command))
}

/// The command runs below this process, on the same console, whose signals reach both.
#[cfg(not(unix))]
fn run(command: &mut Command) -> std::io::Result<u8> {
    let code = command.status()?.code().unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}
