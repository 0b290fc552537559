//! git itself, where it knows better: its configuration, its remotes, its network settings, its server.

mod ahead;
pub(crate) mod config;
mod connector;
pub(crate) mod network;
pub(crate) mod probe;
mod resolver;

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::error::{Error, Result, cause};
use crate::time::{LIMITS_HINT, Unfinished, no_thread, start, within};
use crate::world::{Variables, remove_secrets};

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

/// Where git reads a repository's configuration from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repository {
    /// From the repository that this process is in, if it is in one.
    Here,
    /// From nowhere: git takes itself to be outside of any repository.
    None,
}

/// How long git may take to read its configuration. It takes milliseconds, unless a file is a pipe.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of what git prints, in bytes. A repository may have any configuration.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;

/// A call of git that is told how to speak and that cannot ask back. It asks no helper.
fn command<S: AsRef<OsStr>>(repository: Repository, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = command_with_secrets(repository, arguments);
    // Neither git nor what git starts needs the key.
    remove_secrets(&mut command);
    command
}

/// The same for a git whose helper may have the App's key from the environment.
fn command_with_secrets<S: AsRef<OsStr>>(
    repository: Repository,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new("git");
    // GIT_CONFIG means something to `git config` alone.
    command.args(arguments).env("LC_ALL", "C").env_remove("GIT_CONFIG").stdin(Stdio::null());
    if repository == Repository::None {
        command.env("GIT_DIR", NOWHERE);
    }
    // git does nothing where the folder that it is in was removed, as that of whoever serves or renews for long may be.
    if cfg!(unix) && std::env::current_dir().is_err() {
        command.current_dir("/");
    }
    command
}

/// A path that is neither a repository nor a configuration with anything in it.
const NOWHERE: &str = "/dev/null";

/// Calls git outside of any repository: whatever a repository configures, git neither follows nor runs it.
///
/// # Errors
/// If git cannot be started, or does not end.
pub(crate) fn call<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<GitOutput> {
    wait(&mut command(Repository::None, arguments), PATIENCE)
}

/// Calls git in the repository that this process is in, whose configuration may be anybody's. For what is about this
/// repository, and runs nothing that a configuration names.
///
/// # Errors
/// If git cannot be started, or does not end.
pub(crate) fn call_here<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<GitOutput> {
    wait(&mut command(Repository::Here, arguments), PATIENCE)
}

/// Whether there is a git, even if it cannot be started, now or at all.
pub(crate) fn is_there(variables: &Variables<'_>) -> bool {
    match command(Repository::None, ["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(mut child) => child.kill().and_then(|()| child.wait()).is_ok(),
        Err(e) => {
            let name = format!("git{}", std::env::consts::EXE_SUFFIX);
            !is_missing(&e) || variables.search_path().iter().any(|folder| folder.join(&name).is_file())
        }
    }
}

/// Whether a program cannot be started because none is found. Where a folder of PATH cannot be read, execvp(3) says that
/// instead.
fn is_missing(failed: &io::Error) -> bool {
    matches!(failed.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
}

/// Whether git has at least this version.
pub(crate) fn is_at_least(major: u32, minor: u32) -> bool {
    let output = call(["--version"]).ok().and_then(GitOutput::line).unwrap_or_default();
    let numbers = output.trim_start_matches("git version ").split('.').take(2).map(str::parse);
    let numbers: Vec<u32> = numbers.filter_map(std::result::Result::ok).collect();
    numbers.as_slice() >= [major, minor].as_slice()
}

/// Where git would go for a URL after its `insteadOf` settings, or for the current repository's remote. (git-ls-remote(1),
/// `--get-url`)
pub(crate) fn url(written: Option<&str>) -> Option<String> {
    call_here(["ls-remote", "--get-url"].into_iter().chain(written)).ok()?.line()
}

/// Calls git outside of any repository, with its configuration taken from these entries only.
///
/// # Errors
/// If git cannot be started, or does not end.
pub(crate) fn call_with<S: AsRef<OsStr>>(
    entries: &[(&str, &str)],
    arguments: impl IntoIterator<Item = S>,
) -> Result<GitOutput> {
    let mut command = command(Repository::None, arguments);
    command.env("GIT_CONFIG_COUNT", entries.len().to_string()).env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", NOWHERE).env_remove("GIT_CONFIG_PARAMETERS");
    for (index, (key, value)) in entries.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    wait(&mut command, PATIENCE)
}

/// Lets git talk to its server as a user would who nobody answers a prompt for, with more in its configuration and without
/// the variables that are named: outside of any repository, or in this one where that is what was set up. Nothing else is
/// hidden: what git starts is this program.
///
/// # Errors
/// If git cannot be started, or does not end.
pub(crate) fn call_as_user(
    settings: &[(String, String)],
    hidden: &[&str],
    in_this_repository: bool,
    arguments: &[&str],
) -> Result<GitOutput> {
    const PATIENCE: Duration = Duration::from_secs(180);
    let repository = if in_this_repository { Repository::Here } else { Repository::None };
    // A server that says nothing for so many seconds says nothing any more.
    let patience = ["http.lowSpeedLimit=1", "http.lowSpeedTime=30"].map(str::to_owned);
    let settings = settings.iter().map(|(key, value)| format!("{key}={value}")).chain(patience);
    let settings = settings.flat_map(|setting| ["-c".to_owned(), setting]);
    let all = settings.chain(arguments.iter().map(|argument| (*argument).to_owned()));
    let mut command = command_with_secrets(repository, all);
    hidden.iter().for_each(|name| {
        command.env_remove(name);
    });
    // A program for passwords would ask a person in a window; an empty name is none.
    wait(command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", ""), PATIENCE)
}

fn wait(command: &mut Command, patience: Duration) -> Result<GitOutput> {
    let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|e| {
        Error::new(format!("cannot start git: {}", cause(&e))).hint(if is_missing(&e) {
            "install git (https://git-scm.com/downloads), or put it into PATH"
        } else {
            LIMITS_HINT
        })
    })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = within(patience, move || {
        // Both at once: git waits until what it writes is read.
        let (sender, errors) = mpsc::channel();
        start(move || {
            // Who receives is there until git has ended.
            let _ = sender.send(everything(stderr));
        })?;
        Ok((everything(stdout), errors.recv().unwrap_or_else(|_| Some(String::new()))))
    });
    let (stdout, stderr) = match read {
        Ok(Ok((Some(stdout), Some(stderr)))) => (stdout, stderr),
        unread => {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(match unread {
                Ok(Err(e)) | Err(Unfinished::NotStarted(e)) => no_thread("read what git says", &e),
                Ok(Ok(_)) => {
                    let what = subcommand(command);
                    Error::new(format!("git {what} printed more than {} MiB", MAX_OUTPUT >> 20))
                        .hint("look at it: git config --list --show-origin")
                }
                Err(Unfinished::Late) => {
                    let what = subcommand(command);
                    Error::new(format!("git {what} did not end within {} s", patience.as_secs()))
                        .hint("see where it stops: GIT_TRACE=1 git config --list --show-origin")
                }
            });
        }
    };
    let code = child.wait().map_err(|e| Error::new(format!("cannot wait for git: {}", cause(&e))))?.code();
    let stderr = stderr.trim_end().trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned();
    Ok(GitOutput { code, stdout, stderr })
}

/// What git is to do: the first word that is not `-c` and its setting.
fn subcommand(command: &Command) -> String {
    let mut words = command.get_args();
    loop {
        match words.next() {
            Some(word) if word == "-c" => {
                words.next();
            }
            word => return word.unwrap_or_default().display().to_string(),
        }
    }
}

/// What comes from a stream until it ends. `None`: it is too much.
fn everything(stream: Option<impl Read>) -> Option<String> {
    let mut bytes = Vec::new();
    // What cannot be read is treated as not written.
    let _ = stream.map(|stream| stream.take(MAX_OUTPUT + 1).read_to_end(&mut bytes));
    (bytes.len() as u64 <= MAX_OUTPUT).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
