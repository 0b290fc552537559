//! The program as a person runs it. What it prints is in `golden`; `SNAPSHOTS=overwrite cargo test` writes it anew.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use snapbox::{assert_data_eq, file};

const SIMULATOR: &str = env!("CARGO_BIN_EXE_github-simulator");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/example.toml");

/// Standard output of a command that must have worked.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_demo_shows_what_a_newcomer_should_see_and_leaves_nothing_behind() {
    let (home, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut demo = Command::new(SIMULATOR);
    demo.arg("demo").env("TMPDIR", temporary.path());
    // With the whole workspace's tests, the helper is built already.
    if Path::new(SIMULATOR).with_file_name("git-credential-ghapp").exists() {
        demo.env("CARGO", "true").env("HOME", home.path());
    }
    let shown = output(&mut demo);
    assert_data_eq!(shown, file!["golden/demo.txt"].raw());
    for folder in [&home, &temporary] {
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn help_and_mistakes_show_how_it_is_called() {
    let help = output(Command::new(SIMULATOR).arg("--help"));
    assert_data_eq!(&help, file!["golden/help.txt"].raw());
    let mistake = Command::new(SIMULATOR).arg("serve").output().unwrap();
    assert_eq!((mistake.status.code(), mistake.stderr.as_slice()), (Some(2), help.as_bytes()));
    let missing = Command::new(SIMULATOR).args(["--world", "no-such-file"]).output().unwrap();
    let told = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(told.starts_with("github-simulator: error: no-such-file: "), "{told}");
}

/// A simulator that is ended when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a simulator with a folder, and waits until it is ready.
fn start(folder: &Path) -> Running {
    let mut command = Command::new(SIMULATOR);
    command.args(["--world", EXAMPLE, "--folder"]).arg(folder).stdout(Stdio::null());
    let running = Running(command.spawn().unwrap());
    wait(|| folder.join("environment").exists());
    running
}

fn wait(mut until: impl FnMut() -> bool) {
    let start = Instant::now();
    while !until() {
        assert!(start.elapsed() < Duration::from_secs(60), "it takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_example_is_a_github_to_who_uses_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("a run");
    let _running = start(&run);
    let shell = |line: &str| {
        let output = Command::new("sh")
            .args(["-c", &format!(". '{}/environment'; {line}", run.display())])
            .env("HOME", folder.path())
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")])
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let limited = shell("git ls-remote https://github.com/acme/library");
    assert!(limited.starts_with("fatal: remote error: GitHub is temporarily limiting"), "{limited}");
    let private = shell("git ls-remote https://git.ghe.example/acme/machine");
    assert!(private.starts_with("fatal: could not read Username"), "{private}");
    let elsewhere = shell("git ls-remote https://evil.example/acme/library");
    assert!(elsewhere.contains("502"), "{elsewhere}");
}

#[test]
#[cfg(unix)]
fn interrupted_it_leaves_no_temporary_folder() {
    for signal in ["INT", "TERM"] {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = Command::new(SIMULATOR);
        command.args(["--world", EXAMPLE]).env("TMPDIR", temporary.path()).stdout(Stdio::null());
        let mut running = Running(command.spawn().unwrap());
        let ready = || {
            let mut folders = std::fs::read_dir(temporary.path()).unwrap();
            folders.any(|folder| folder.unwrap().path().join("environment").exists())
        };
        wait(ready);
        let kill = format!("kill -s {signal} {}", running.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(running.0.wait().unwrap().code(), Some(0), "{signal}");
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "{signal}");
    }
}
