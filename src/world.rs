//! What surrounds one run of the program. `main` collects it; nothing else reads environment, clock or terminal.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::terminal::Terminal;
use crate::time::Clock;

/// The variable that holds an App's private key. There is no flag for it: command lines are public.
pub(crate) const PRIVATE_KEY: &str = "GHAPP_PRIVATE_KEY";

/// The variable that holds the password of the shared cache. There is no flag for it either.
pub(crate) const SHARED_CACHE_PASSWORD: &str = "GHAPP_SHARED_CACHE_PASSWORD";

/// Variables that hold a secret of this program's, which no other program is given.
pub(crate) const SECRET_VARIABLES: &[&str] = &[PRIVATE_KEY, SHARED_CACHE_PASSWORD];

/// Keeps those from a command that is about to run.
pub(crate) fn remove_secrets(command: &mut Command) {
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
}

/// What surrounds one run of the program.
pub struct World<'a> {
    /// The environment.
    pub variables: Variables<'a>,
    /// Tells the names of all variables that are set.
    pub variable_names: &'a dyn Fn() -> Vec<OsString>,
    /// Where files are on this machine.
    pub folders: Folders,
    /// What time it is.
    pub clock: Clock,
    /// Reads the wall clock anew, for what runs for longer than a moment, in any thread.
    pub start_clock: Arc<dyn Fn() -> Clock + Send + Sync>,
    /// Where messages for a person go.
    pub terminal: Terminal,
    /// Tells which of the standard streams are a terminal.
    pub streams: &'a dyn Fn() -> Streams,
    /// To be called before another program takes the place of this process.
    pub before_exec: &'a dyn Fn(),
}

/// Which of the standard streams are a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    /// Standard input: a person may type.
    pub input: bool,
    /// Standard output: a person reads results as they come.
    pub output: bool,
    /// Standard error: a person reads messages as they come.
    pub errors: bool,
}

/// How long a person waits before it is told for what.
pub(crate) const UNTIL_TOLD: Duration = Duration::from_secs(2);
/// How long after that it is told again.
const UNTIL_TOLD_AGAIN: Duration = Duration::from_secs(10);

impl World<'_> {
    /// Whether a person reads messages as they come.
    pub(crate) fn is_watched(&self) -> bool {
        (self.streams)().errors
    }

    /// Tells a person who has waited for some time, or will have before there is news, what is waited for.
    pub(crate) fn tell_waiting(&self, waited: Duration, what: impl FnOnce() -> String) {
        if waited >= UNTIL_TOLD && self.is_watched() {
            self.terminal.waiting(UNTIL_TOLD_AGAIN, what);
        }
    }

    /// Whether there is a D-Bus session bus to connect to. Without one libdbus would start a bus of its own. Nor is it let
    /// start a program that an address names: that would have this program's secrets in its environment.
    /// <https://dbus.freedesktop.org/doc/dbus-specification.html#addresses>
    pub(crate) fn has_session_bus(&self) -> bool {
        const PROGRAMS: [&str; 3] = ["unixexec:", "autolaunch:", "launchd:"];
        if let Some(addresses) = self.variables.path("DBUS_SESSION_BUS_ADDRESS") {
            let addresses = addresses.to_string_lossy();
            return !addresses
                .split(';')
                .any(|it| PROGRAMS.iter().any(|program| it.trim().starts_with(program)));
        }
        let runtime = self.variables.path("XDG_RUNTIME_DIR").map(PathBuf::from);
        runtime.is_some_and(|folder| folder.join("bus").exists())
    }
}

/// The environment, behind a function so that tests bring their own.
#[derive(Clone, Copy)]
pub struct Variables<'a>(pub &'a dyn Fn(&str) -> Option<OsString>);

impl Variables<'_> {
    /// A variable's value; an empty one counts as not set, as in git and curl.
    pub(crate) fn path(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// A variable's value, which must be UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        let text = self.path(name).map(OsString::into_string).transpose();
        text.map_err(|_| Error::new(format!("the variable {name} is not valid UTF-8")))
    }

    /// The folders of `PATH`. One that is relative is another one in each folder, which somebody else may have filled.
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        let path = self.path("PATH").unwrap_or_default();
        std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect()
    }
}

/// Where files are on this machine.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    /// The configuration file of the whole machine.
    pub system_config: PathBuf,
    /// The user's configuration file.
    pub user_config: Option<PathBuf>,
    /// The user's home, for `~/`.
    pub home: Option<PathBuf>,
    /// The cache folder: everything in it can be lost.
    pub cache: Option<PathBuf>,
}

impl Folders {
    /// The usual places, given the folder for the configurations of the whole machine, the user's home, and the user's folders
    /// for configuration and cache.
    #[must_use]
    pub fn new(system: &Path, home: Option<PathBuf>, config: Option<&Path>, cache: Option<&Path>) -> Self {
        Self {
            system_config: system.join("git-credential-ghapp").join("config.toml"),
            user_config: config.map(|folder| folder.join("config.toml")),
            home,
            cache: cache.map(Path::to_owned),
        }
    }

    /// A path as a person writes it: a leading `~/` is the user's home, and what is relative is relative to `base`.
    pub(crate) fn resolve(&self, path: &str, base: Option<&Path>) -> PathBuf {
        let in_home = path.strip_prefix('~').and_then(|rest| rest.strip_prefix(std::path::is_separator));
        match (in_home, &self.home, base) {
            (Some(rest), Some(home), _) => home.join(rest),
            (_, _, Some(base)) => base.join(path),
            _ => PathBuf::from(path),
        }
    }
}
