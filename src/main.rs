//! Collects what surrounds the process, and runs.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use directories::{BaseDirs, ProjectDirs};
use git_credential_ghapp::clock::Clock;
use git_credential_ghapp::config::{Folders, Variables};
use git_credential_ghapp::world::Screen;
use git_credential_ghapp::{Ambient, run};
#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads environment and clock")]
fn main() -> ExitCode {
    let core_limit = keep_memory_private();
    let project = ProjectDirs::from("", "", "git-credential-ghapp");
    let folders = Folders {
        system_config: PathBuf::from("/etc/git-credential-ghapp/config.toml"),
        user_config: project.as_ref().map(|dirs| dirs.config_dir().join("config.toml")),
        home: BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
        cache: project.as_ref().map(|dirs| dirs.cache_dir().to_owned()),
    };
    let ambient = Ambient {
        arguments: std::env::args_os().skip(1).collect(),
        variables: Variables(&|name| std::env::var_os(name)),
        folders,
        clock: Clock::starting_at(SystemTime::now()),
        screen: &|| Screen {
            input: io::stdin().is_terminal(),
            output: io::stdout().is_terminal(),
            errors: io::stderr().is_terminal(),
        },
        hand_over: &|| allow_core_dumps(core_limit),
    };
    run(ambient, io::stdin().lock(), io::stdout().lock(), io::stderr()).into()
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

/// Another program that takes this process over dumps its core as its user likes.
#[cfg(unix)]
fn allow_core_dumps(limit: Rlimit) {
    let _ = setrlimit(Resource::Core, limit);
}

#[cfg(not(unix))]
fn allow_core_dumps((): ()) {}
