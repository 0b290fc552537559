//! Collects what surrounds the process, and runs.

#![forbid(unsafe_code)]

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use directories::{BaseDirs, ProjectDirs};
use git_credential_ghapp::run;
use git_credential_ghapp::terminal::Terminal;
use git_credential_ghapp::time::Clock;
use git_credential_ghapp::world::{Folders, Streams, Variables, World};
#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads environment and clock")]
fn main() -> ExitCode {
    let core_limit = keep_memory_private();
    let start_clock = || Clock::starting_at(SystemTime::now());
    let project = ProjectDirs::from("", "", "git-credential-ghapp");
    // The crate does without these for a user without a home, as in a container that is started under any user id.
    // <https://specifications.freedesktop.org/basedir-spec/latest/>
    let named = |variable| {
        let folder = std::env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())?;
        Some(folder.join("git-credential-ghapp"))
    };
    let world = World {
        variables: Variables(&|name| std::env::var_os(name)),
        variable_names: &|| std::env::vars_os().map(|(name, _)| name).collect(),
        folders: Folders::new(
            BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
            project.as_ref().map(ProjectDirs::config_dir).or(named("XDG_CONFIG_HOME").as_deref()),
            project.as_ref().map(ProjectDirs::cache_dir).or(named("XDG_CACHE_HOME").as_deref()),
        ),
        clock: start_clock(),
        start_clock: &start_clock,
        terminal: Terminal::new(io::stderr()),
        streams: &|| Streams {
            input: io::stdin().is_terminal(),
            output: io::stdout().is_terminal(),
            errors: io::stderr().is_terminal(),
        },
        before_exec: &|| allow_core_dumps(core_limit),
    };
    run(std::env::args_os().skip(1).collect(), world, io::stdin().lock(), io::stdout().lock()).into()
}

/// Neither a core dump nor another process of the same user shows what this one holds. A debugger or a system
/// that does not allow this is no reason to fail. Gives the limit on core dumps as it was.
#[cfg(unix)]
fn keep_memory_private() -> Rlimit {
    let before = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: before.maximum });
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    before
}

#[cfg(not(unix))]
fn keep_memory_private() {}

/// Another program that takes the place of this process dumps its core as its user likes.
#[cfg(unix)]
fn allow_core_dumps(limit: Rlimit) {
    let _ = setrlimit(Resource::Core, limit);
}

#[cfg(not(unix))]
fn allow_core_dumps((): ()) {}
