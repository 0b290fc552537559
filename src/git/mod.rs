//! git itself, where it knows better: its configuration, its remotes, its network settings, its server.

pub(crate) mod config;
pub(crate) mod network;
pub(crate) mod probe;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result, cause};
use crate::world::SECRET_VARIABLES;

/// What a call of git gave.
#[derive(Debug)]
pub(crate) struct GitOutput {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The standard output.
    pub(crate) stdout: String,
    /// The standard error stream, without the prefix of git's own errors and without the last line's end.
    pub(crate) stderr: String,
}

impl GitOutput {
    /// The standard output without the last line's end, if git succeeded.
    pub(crate) fn line(self) -> Option<String> {
        (self.code == Some(0)).then(|| self.stdout.trim_end_matches('\n').to_owned())
    }
}

/// A call of git that is told how to speak and that cannot ask back.
fn command<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new("git");
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
    // Neither git nor what git starts needs the key.
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Calls git.
///
/// # Errors
/// If git cannot be started.
pub(crate) fn call<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<GitOutput> {
    wait(&mut command(arguments))
}

/// Where git would go for a URL after its `insteadOf` settings, or for the current repository's remote. (git-ls-remote(1),
/// `--get-url`)
pub(crate) fn url(written: Option<&str>) -> Option<String> {
    call(["ls-remote", "--get-url"].into_iter().chain(written)).ok()?.line()
}

/// Calls git with its configuration taken from these entries only, and from outside of any repository.
///
/// # Errors
/// If git cannot be started.
pub(crate) fn call_with<S: AsRef<OsStr>>(
    entries: &[(&str, &str)],
    outside: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Result<GitOutput> {
    let mut command = command(arguments);
    command.env("GIT_CONFIG_COUNT", entries.len().to_string()).env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", outside.join("no-such-file")).env_remove("GIT_CONFIG_PARAMETERS");
    command.env("GIT_DIR", outside.join("no-such-folder"));
    for (index, (key, value)) in entries.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    wait(&mut command)
}

/// Calls git as a user would who nobody answers a prompt for.
///
/// # Errors
/// If git cannot be started.
pub(crate) fn call_unattended<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<GitOutput> {
    // An askpass program would ask a person in a window.
    wait(command(arguments).env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "true"))
}

fn wait(command: &mut Command) -> Result<GitOutput> {
    let output = command.output().map_err(|e| {
        Error::new(format!("cannot start git: {}", cause(&e)))
            .hint("install git (https://git-scm.com/downloads), or put it into PATH")
    })?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stderr = stderr.trim_end().trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned();
    Ok(GitOutput {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr,
    })
}
