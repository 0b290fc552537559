//! `exec`: a command with the App's identity, for everything that takes a token from its environment.

use std::ffi::OsString;
use std::process::Command;

use super::{place, token};
use crate::config::Config;
use crate::error::{Error, Result, cause};
use crate::token::Need;
use crate::world::World;

/// What is to be run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// OWNER/REPO, OWNER, or a URL; default: the current repository's remote, or the only installation
    #[arg(long = "for", value_name = "NAME")]
    name: Option<String>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// As env(1): the command was found but cannot be run, or was not found.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) fn exec(options: &Options, config: &Config, world: &World<'_>) -> Result<u8> {
    let selected = place::selected(options.name.as_deref(), config)?;
    let (issued, _) = token::issue(&selected, Need::Fresh, config, world)?;
    let Some((program, arguments)) = options.command.split_first() else { return Ok(0) };
    let token = issued.token.secret.expose();
    let mut command = Command::new(program);
    command.args(arguments).env("GH_HOST", selected.rule.host.to_string());
    command.env("GH_TOKEN", token).env("GITHUB_TOKEN", token);
    if !selected.rule.host.is_on_github_com() {
        // What gh and others take for hosts that are not github.com's.
        command.env("GH_ENTERPRISE_TOKEN", token).env("GITHUB_ENTERPRISE_TOKEN", token);
    }
    world.terminal.trace(|| format!("running {} for {}", program.to_string_lossy(), selected.place));
    (world.before_exec)();
    let failed = match run(&mut command) {
        Ok(code) => return Ok(code),
        Err(failed) => failed,
    };
    let shown = program.to_string_lossy();
    world.terminal.error(&Error::new(format!("cannot run {shown}: {}", cause(&failed))));
    Ok(if failed.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE })
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
