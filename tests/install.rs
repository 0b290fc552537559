//! `install.sh`: it builds what stands beside it, where nobody else has a say, and writes over nothing that it did not put
//! there. cargo is played: it copies the program that the tests are run against.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use common::{Ran, TestEnv, run, skip};

/// The program below a prefix, and what comes beside it.
const PROGRAM: &str = "bin/git-credential-ghapp";
const BESIDE: [&str; 4] = [
    "share/man/man1/git-credential-ghapp.1",
    "share/bash-completion/completions/git-credential-ghapp",
    "share/zsh/site-functions/_git-credential-ghapp",
    "share/fish/vendor_completions.d/git-credential-ghapp.fish",
];

/// A source folder, and tools that note where they are called.
struct Source {
    env: TestEnv,
    /// Where it is installed.
    prefix: PathBuf,
}

impl Source {
    fn new() -> Self {
        let env = TestEnv::fresh();
        for file in ["install.sh", "Cargo.toml"] {
            env.write(&format!("source/{file}"), std::fs::read(file).unwrap());
        }
        let note = "#!/bin/sh\npwd >>\"$HOME/called-in\"\n";
        let build = "made=$(dirname \"$0\")/../source/target/release\n\
                     while [ $# -gt 0 ]; do [ \"$1\" != --target-dir ] || made=$2/release; shift; done\n\
                     mkdir -p \"$made\" && cp \"$BUILT\" \"$made/\"\n";
        for (tool, text) in [("cargo", build), ("rustc", ""), ("cc", "")] {
            let tool = env.write(&format!("tools/{tool}"), format!("{note}{text}"));
            std::fs::set_permissions(tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let env = env.with("BUILT", env!("CARGO_BIN_EXE_git-credential-ghapp"));
        let prefix = env.folder.path().join("a prefix");
        Self { env, prefix }
    }

    /// Calls `install.sh` from a folder.
    fn call(&self, here: &str, prefix: &Path, arguments: &[&str]) -> Ran {
        let folder = self.env.folder.path();
        let path = common::variable("PATH").unwrap();
        let path =
            std::env::join_paths([folder.join("tools")].into_iter().chain(std::env::split_paths(&path)));
        let mut shell = self.env.command("sh");
        shell.env("PATH", path.unwrap()).env("PREFIX", prefix);
        shell.arg(folder.join("source/install.sh")).args(arguments);
        run(shell.current_dir(folder.join(here)), b"")
    }

    fn install(&self) -> Ran {
        self.call("home", &self.prefix, &[])
    }

    /// Where cargo and rustc were called.
    fn called_in(&self) -> Option<String> {
        std::fs::read_to_string(self.env.home().join("called-in")).ok()
    }

    fn installed(&self) -> Vec<PathBuf> {
        files(&self.prefix)
    }
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() && !path.is_symlink() { files(&path) } else { vec![path] })
        .collect();
    files.sort();
    files
}

#[test]
fn it_builds_in_its_own_folder_wherever_it_is_called() {
    let source = Source::new();
    source.env.write("elsewhere/.cargo/config.toml", "[build]\nrustc-wrapper = '/evil'\n");
    // A relative place is one where it is called.
    source.call("elsewhere", Path::new("prefix"), &[]).ok();
    let called = source.called_in().unwrap();
    let own = std::fs::canonicalize(source.env.folder.path().join("source")).unwrap();
    assert!(called.lines().all(|folder| Path::new(folder) == own), "{called}");
    assert!(source.env.folder.path().join("elsewhere/prefix").join(PROGRAM).exists());
}

#[test]
fn a_source_that_another_user_put_beside_it_is_not_built() {
    // As in /tmp, where it may have been downloaded to.
    for planted in ["Cargo.toml", ".cargo/config.toml"] {
        let source = Source::new();
        let file = source.env.folder.path().join("source").join(planted);
        if planted != "Cargo.toml" {
            source.env.write(&format!("source/{planted}"), "");
        }
        if chown(&file, Some(65534), None).is_err() {
            return skip("only root gives files to others");
        }
        let refused = source.install();
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let message = format!("{planted} belongs to another user, and cargo would obey it");
        assert!(refused.stderr.contains(&message), "{refused:?}");
        assert_eq!(source.called_in(), None);
    }
}

#[test]
fn what_another_user_put_above_its_folder_is_not_obeyed() {
    let source = Source::new();
    let config = source.env.write(".cargo/config.toml", "[build]\nrustc-wrapper = '/evil'\n");
    if chown(&config, Some(65534), None).is_err() {
        return skip("only root gives files to others");
    }
    let refused = source.install();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains(".cargo/config.toml belongs to another user, and cargo would obey it"),
        "{refused:?}"
    );
    assert_eq!(source.called_in(), None);
    // Whoever owns the source decides what is built anyway.
    chown(source.env.folder.path().join("source"), Some(65534), None).unwrap();
    source.install().ok();
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_the_build() {
    let source = Source::new();
    source.env.write("a prefix", "not a folder");
    let refused = source.install();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("install.sh: error: cannot write to "), "{refused:?}");
    assert!(
        refused.stderr.contains("install.sh: hint: choose another place: PREFIX=... ./install.sh"),
        "{refused:?}"
    );
    assert_eq!(source.called_in(), None);
}

#[test]
fn a_build_that_fails_leaves_no_file_behind() {
    let source = Source::new();
    source.env.write("tools/cargo", "#!/bin/sh\nexit 101\n");
    let failed = source.install();
    assert!(failed.code == Some(1) && failed.stderr.contains("the build failed"), "{failed:?}");
    assert_eq!(source.installed(), Vec::<PathBuf>::new());
}

#[test]
fn links_that_somebody_planted_are_replaced_and_not_followed() {
    let source = Source::new();
    let victim = source.env.write("victim", "precious");
    let planted = ["bin/.git-credential-ghapp.new", PROGRAM];
    for link in planted.iter().chain(&BESIDE) {
        let link = source.prefix.join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&victim, link).unwrap();
    }
    source.install().ok();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    for (file, mode) in BESIDE.iter().map(|file| (*file, 0o644)).chain([(PROGRAM, 0o755)]) {
        let file = source.prefix.join(file);
        let metadata = std::fs::symlink_metadata(&file).unwrap();
        assert!(metadata.is_file(), "{}", file.display());
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{}", file.display());
    }
}

#[test]
fn a_link_to_a_folder_in_the_place_of_a_file_is_replaced_too() {
    let source = Source::new();
    let victim = source.env.folder.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    for link in [PROGRAM, BESIDE[0]] {
        let link = source.prefix.join(link);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&victim, link).unwrap();
    }
    source.install().ok();
    assert_eq!(files(&victim), Vec::<PathBuf>::new());
    assert!(std::fs::symlink_metadata(source.prefix.join(PROGRAM)).unwrap().is_file());
}

#[test]
fn it_installs_twice_and_removes_what_it_installed_and_what_the_program_wrote() {
    if Path::new("/etc/git-credential-ghapp").exists() {
        return skip("this machine is set up itself");
    }
    let source = Source::new();
    for _ in 0..2 {
        source.install().ok();
        let mut expected: Vec<PathBuf> =
            BESIDE.iter().chain(&[PROGRAM]).map(|file| source.prefix.join(file)).collect();
        expected.sort();
        assert_eq!(source.installed(), expected);
    }
    let env = &source.env;
    env.write_private("home/acme.pem", github_simulator::ACME_KEY);
    let mut setup = env.command(source.prefix.join(PROGRAM));
    run(setup.args(["setup", "--app-id", common::ACME_APP, "--private-key", "acme.pem"]), b"").ok();
    let is_set_up = || {
        let helpers =
            env.git(["config", "--global", "--get-all", "credential.https://github.com.helper"]).stdout;
        (env.home().join(TestEnv::CONFIG).exists(), !helpers.is_empty())
    };
    // Nobody is there who could be asked: all of it stays.
    let before = source.installed();
    let refused = source.call("home", &source.prefix, &["--uninstall"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("error: there is nobody to confirm this, so nothing was changed\n")
            && refused.stderr.ends_with("hint: ./install.sh --uninstall --yes\n"),
        "{refused:?}"
    );
    assert_eq!((source.installed(), is_set_up()), (before, (true, true)));
    let told = source.call("home", &source.prefix, &["--uninstall", "--yes"]).ok();
    assert!(told.contains("removed 1 token, revoked 1\n"), "{told}");
    assert!(!told.contains("to remove it"), "it is being removed: {told}");
    assert_eq!((source.installed(), is_set_up()), (Vec::new(), (false, false)));
    let again = source.call("home", &source.prefix, &["--uninstall"]).ok();
    assert!(again.starts_with("there is no "), "{again}");
}

#[test]
fn it_is_a_posix_shell_script_without_mistakes() {
    for (checker, arguments) in [("dash", ["-n", "install.sh"]), ("shellcheck", ["--norc", "install.sh"])] {
        if !common::has(checker) {
            skip(&format!("{checker} is not installed"));
            continue;
        }
        let ran = run(std::process::Command::new(checker).args(arguments), b"");
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    }
}
