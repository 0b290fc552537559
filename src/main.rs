//! Collects what surrounds the process, and runs.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use directories::{BaseDirs, ProjectDirs};
use git_credential_ghapp::clock::Clock;
use git_credential_ghapp::config::{Folders, Variables};
use git_credential_ghapp::{Ambient, run};

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads environment and clock")]
fn main() -> ExitCode {
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
    };
    run(ambient, io::stdin().lock(), io::stdout().lock(), io::stderr()).into()
}
