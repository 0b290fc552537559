//! Tokens in files: written as a whole, for this user alone, in the format that a tool reads, and kept fresh for as long as
//! somebody works with them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{ACME_APP, MINT, TestEnv, has, run, skip};
use github_simulator::{ACME_KEY, Effect};

const HELPER: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Waits until something is the case.
#[track_caller]
fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_token_can_be_put_into_a_file_that_nobody_else_may_read() {
    let env = TestEnv::new();
    env.write("home/tokens/readme", "");
    let mut command = env.command("sh");
    command.args(["-c", "umask 000; exec \"$1\" token acme --output tokens/acme", "sh", HELPER]);
    let ran = run(&mut command, b"");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let file = env.home().join("tokens/acme");
    assert_eq!(read(&file), env.helper(["token", "acme"], "").ok());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(file.parent().unwrap()), ["acme", "readme"]);
    // One that others could read is replaced by one that they cannot.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    env.helper(["token", "acme", "--fresh", "--output", "tokens/acme"], "").ok();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn each_format_is_what_its_tool_reads() {
    let env = TestEnv::new();
    let written = |format: &str| env.helper(["token", "acme", "--format", format], "").ok();
    let token = written("plain").trim_end().to_owned();
    assert_eq!(written("nix"), format!("access-tokens = github.com={token}\n"));
    assert_eq!(written("json"), env.helper(["token", "acme", "--json"], "").ok());
    env.write("home/env", written("env"));
    let shown = "set -e; . ./env; echo \"$GH_TOKEN $GITHUB_TOKEN $GH_HOST\"";
    assert_eq!(run(env.command("sh").args(["-c", shown]), b"").ok(), format!("{token} {token} github.com\n"));
    env.helper(["token", "acme", "--format", "netrc", "--output", "netrc"], "").ok();
    let one = |host| format!("machine {host} login x-access-token password {token}\n");
    assert_eq!(read(&env.home().join("netrc")), one("github.com") + &one("api.github.com"));
    if !has("curl") {
        return skip("curl is not installed");
    }
    let mut curl = env.command("curl");
    curl.args(["--silent", "--fail", "--netrc-file", "netrc", "--proxy", env.github.proxy()]);
    curl.arg("--cacert").arg(env.github.ca_file());
    let refs = "https://github.com/acme/widgets.git/info/refs?service=git-upload-pack";
    assert!(run(curl.arg(refs), b"").ok().contains("git-upload-pack"));
}

#[test]
fn the_formats_name_a_server_as_its_tools_do() {
    let env = TestEnv::bare()
        .with("GHAPP_APP_ID", ACME_APP)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("GHAPP_HOST", "ghe.example:8443");
    let written = |format: &str| env.helper(["token", "acme", "--format", format], "").ok();
    let token = written("plain").trim_end().to_owned();
    assert_eq!(written("netrc"), format!("machine ghe.example login x-access-token password {token}\n"));
    let expected =
        format!("GH_ENTERPRISE_TOKEN={token}\nGITHUB_ENTERPRISE_TOKEN={token}\nGH_HOST=ghe.example:8443\n");
    assert_eq!(written("env"), expected);
}

#[test]
fn what_else_stands_in_the_place_of_the_file_stays() {
    let env = TestEnv::new();
    let home = env.home();
    let netrc =
        "machine github.com login x-access-token password ghs_1\nmachine other.example login me password x\n";
    env.write("home/netrc", netrc);
    env.write("home/notes", "not a token\n");
    env.write("home/word", "1.2.3\n");
    env.write("home/nix.conf", "access-tokens = github.com=ghp_personal\n");
    std::fs::create_dir(home.join("folder")).unwrap();
    std::os::unix::fs::symlink("/dev/null", home.join("link")).unwrap();
    assert!(Command::new("mkfifo").arg(home.join("pipe")).status().unwrap().success());
    env.helper(["token", "acme"], "").ok();
    for (file, format, says) in [
        ("netrc", "netrc", "netrc holds something else than a token in this format\n"),
        ("notes", "plain", "notes holds something else than a token in this format\n"),
        ("word", "plain", "word holds something else than a token in this format\n"),
        ("nix.conf", "nix", "nix.conf holds something else than a token in this format\n"),
        ("notes", "json", "notes holds something else than a token in this format\n"),
        ("notes", "env", "notes holds something else than a token in this format\n"),
        ("folder", "plain", "cannot write folder: is a directory\n"),
        ("link", "plain", "cannot write link: it is a symbolic link\n"),
        ("pipe", "plain", "cannot write pipe: it is not a file\n"),
        ("no/such", "plain", "cannot write no/such: no such file or directory\n"),
        ("/dev/null", "plain", "cannot write /dev/null: it is not a file\n"),
    ] {
        let before = names(&home);
        for more in [&[][..], &["--keep-fresh"], &["--keep-fresh", "--", "touch", "ran"]] {
            let arguments = ["token", "acme", "--format", format, "--output", file];
            let refused = env.helper(arguments.iter().chain(more).copied(), "");
            assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
            assert!(
                refused.stderr.starts_with(&format!("git-credential-ghapp: error: {says}")),
                "{refused:?}"
            );
        }
        assert_eq!(names(&home), before, "{file}");
    }
    assert_eq!(
        (read(&home.join("netrc")), read(&home.join("notes"))),
        (netrc.to_owned(), "not a token\n".to_owned())
    );
    // What is of the format is replaced, and so is an empty file.
    for format in ["plain", "json", "env", "netrc", "nix"] {
        let file = format!("own-{format}");
        env.write(&format!("home/{file}"), "");
        for _ in 0..2 {
            env.helper(["token", "acme", "--fresh", "--format", format, "--output", &file], "").ok();
        }
    }
}

#[test]
fn flags_that_make_no_sense_together_are_a_mistake_of_the_command_line() {
    let env = TestEnv::new();
    for wrong in [
        &["--keep-fresh"][..],
        &["--output", "f", "--", "touch", "ran"],
        &["--app", "--output", "f"],
        &["--app", "--format", "json"],
        &["--json", "--format", "env"],
        &["--format", "xml"],
    ] {
        let refused = env.helper(["token", "acme"].iter().chain(wrong).copied(), "");
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{wrong:?}: {refused:?}");
        assert!(refused.stderr.lines().count() <= 2, "{refused:?}");
    }
    assert_eq!((env.home().join("f").exists(), env.home().join("ran").exists()), (false, false));
    assert!(env.github.log().is_empty());
}

/// `token acme --output FILE --keep-fresh`, on a machine whose clock can be moved while it runs.
struct Kept<'e> {
    env: &'e TestEnv,
    child: Child,
    clock: PathBuf,
    file: PathBuf,
}

impl<'e> Kept<'e> {
    /// Starts it and waits for the file. `None` where there is no faketime.
    fn start(env: &'e TestEnv, more: &[&str]) -> Option<Self> {
        if !has("faketime") {
            skip("faketime is not installed");
            return None;
        }
        let (clock, file) = (env.write("clock", "+0"), env.home().join("token"));
        // The wrapper itself would stand between this process and the helper, and be met by signals.
        let library = run(env.command("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]), b"").ok();
        let mut command = env.command(HELPER);
        command
            .env("LD_PRELOAD", library.trim_end())
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .args(["token", "acme", "--output", "token", "--keep-fresh"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(env.folder.path().join("told")).unwrap());
        let kept = Self { env, child: command.spawn().unwrap(), clock, file };
        eventually("there is a token", || !kept.token().is_empty());
        Some(kept)
    }

    fn token(&self) -> String {
        read(&self.file)
    }

    fn told(&self) -> String {
        read(&self.env.folder.path().join("told"))
    }

    /// Moves the clock of the helper, and GitHub's.
    fn at(&self, seconds: i64) {
        // As a whole, or the helper would read half of it.
        let new = self.env.write("clock.new", format!("+{seconds}"));
        let mut world = self.env.github.world();
        world.clock_offset = seconds;
        std::fs::rename(new, &self.clock).unwrap();
    }

    /// Whether git's server takes the token that is in the file.
    fn works(&self) -> bool {
        let url = format!("https://x-access-token:{}@github.com/acme/widgets", self.token().trim_end());
        self.env.git(["-c", "credential.helper=", "ls-remote", &url]).code == Some(0)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end; gives the exit code and what was told.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let mut code = None;
        eventually("it ends", || self.child.try_wait().unwrap().inspect(|it| code = it.code()).is_some());
        (code, self.told())
    }
}

#[test]
fn a_token_is_renewed_long_before_it_expires_for_as_long_as_a_command_runs() {
    let env = TestEnv::new();
    // It runs until its input ends.
    let Some(kept) = Kept::start(&env, &["--", "sh", "-c", "cat; exit 7"]) else { return };
    let mut seen = vec![kept.token()];
    for minutes in [46, 92, 1000] {
        kept.at(minutes * 60);
        let last = seen.last().unwrap().clone();
        eventually("there is another token", || kept.token() != last);
        assert!(kept.works(), "after {minutes} minutes");
        seen.push(kept.token());
    }
    assert_eq!(env.lookups_and_mints().1, 4);
    let file = kept.file.clone();
    assert_eq!(kept.end(), (Some(7), String::new()));
    assert!(!file.exists());
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[test]
fn an_outage_leaves_the_token_in_the_file_and_is_told() {
    let env = TestEnv::new().with("GHAPP_CACHE", "none").with("GHAPP_DEADLINE", "1");
    let Some(kept) = Kept::start(&env, &["--", "cat"]) else { return };
    let first = kept.token();
    env.fault(MINT, 1_000, Effect::Answer(503, Vec::new(), b"no".to_vec()));
    for (minutes, tells) in [
        (50, "git-credential-ghapp: warning: token keeps a token that expires in "),
        (70, "git-credential-ghapp: warning: token holds a token that has expired: "),
    ] {
        kept.at(minutes * 60);
        eventually(tells, || kept.told().contains(tells));
        assert_eq!(kept.token(), first);
    }
    env.github.world().faults.clear();
    kept.at(2 * 3600);
    eventually("there is another token", || kept.token() != first);
    assert!(kept.works());
    assert_eq!(kept.end().0, Some(0));
}

#[test]
fn sigterm_ends_it_cleanly_with_a_command_and_without() {
    let env = TestEnv::new();
    let Some(kept) = Kept::start(&env, &[]) else { return };
    kept.signal("-TERM");
    assert_eq!(kept.end(), (Some(0), String::new()));
    assert_eq!(names(&env.home()).iter().filter(|name| name.contains("token")).count(), 0);
    let script = "trap 'exit 9' TERM; touch ready; while :; do sleep 0.1; done";
    let Some(kept) = Kept::start(&env, &["--", "sh", "-c", script]) else { return };
    eventually("the command runs", || env.home().join("ready").exists());
    kept.signal("-TERM");
    assert_eq!(kept.end(), (Some(9), String::new()));
    let Some(kept) = Kept::start(&env, &["--", "sleep", "600"]) else { return };
    kept.signal("-HUP");
    assert_eq!(kept.end(), (Some(128 + 1), String::new()));
    assert!(!env.home().join("token").exists());
}

#[test]
fn a_file_that_somebody_removes_comes_back() {
    let env = TestEnv::new();
    let Some(kept) = Kept::start(&env, &["--", "cat"]) else { return };
    let token = kept.token();
    std::fs::remove_file(&kept.file).unwrap();
    eventually("the file is back", || kept.token() == token);
    assert_eq!((env.lookups_and_mints().1, kept.end()), (1, (Some(0), String::new())));
}

#[test]
fn a_command_that_cannot_be_run_leaves_no_file_and_none_is_run_without_a_token() {
    let env = TestEnv::new();
    let keep = ["token", "acme", "--output", "token", "--keep-fresh", "--"];
    let failed = env.helper(keep.iter().chain(&["no-such-command"]).copied(), "");
    assert_eq!(failed.code, Some(127));
    assert_eq!(
        failed.stderr,
        "git-credential-ghapp: error: cannot run no-such-command: no such file or directory\n\
         git-credential-ghapp: hint: write a command that is in PATH, or its whole path\n"
    );
    env.github.world().installations.clear();
    env.helper(["logout"], "");
    let failed = env.helper(keep.iter().chain(&["touch", "ran"]).copied(), "");
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert_eq!((env.home().join("token").exists(), env.home().join("ran").exists()), (false, false));
}

#[test]
fn a_token_that_may_be_any_word_replaces_no_word() {
    let env = TestEnv::bare();
    env.configure("[[app]]\ntoken-command = ['cat', 'given']\nscope = 'installation'\n");
    let knows = |text: &str| {
        let mut world = env.github.world();
        let token = world.issue(common::ACME_ON_ACME);
        world.tokens.iter_mut().find(|it| it.text == token).unwrap().text = text.to_owned();
    };
    knows("first-token");
    knows("second-token");
    env.write("home/given", "first-token\n");
    env.write("home/word", "1.2.3\n");
    env.write("home/empty", "");
    let write = |file: &str, format: &str| {
        env.helper(["token", "acme", "--fresh", "--output", file, "--format", format], "")
    };
    for more in [&[][..], &["--keep-fresh", "--", "true"]] {
        let arguments = ["token", "acme", "--output", "word"];
        let refused = env.helper(arguments.iter().chain(more).copied(), "");
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("word holds something, and any word may be a token"), "{refused:?}");
        assert_eq!(read(&env.home().join("word")), "1.2.3\n");
    }
    write("empty", "plain").ok();
    assert_eq!(read(&env.home().join("empty")), "first-token\n");
    env.write("home/given", "second-token\n");
    assert_eq!(write("empty", "plain").code, Some(1));
    // Other formats can be told apart.
    write("json", "json").ok();
    write("json", "json").ok();
}

#[test]
fn a_file_that_somebody_else_wrote_to_stays() {
    let env = TestEnv::new();
    let script = "echo 1.2.3 > token";
    let ran =
        env.helper(["token", "acme", "--output", "token", "--keep-fresh", "--", "sh", "-c", script], "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("warning: token stays: somebody else wrote to it\n"), "{ran:?}");
    assert_eq!(read(&env.home().join("token")), "1.2.3\n");
}
