//! A file system that fails: each call in turn that opens, writes, renames, synchronises, makes or removes something of ours.
//!
//! Of each kind of call the first, the middle one and the last fail; all of them with `GHAPP_TESTS_EVERY_FAILURE=1`.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::fresh::Fresh;
use common::{ACME_APP, REQUEST, Ran, TestEnv, has, run, skip, variable};

const HELPER: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");
const CALLS: &str = "openat,write,rename,renameat,renameat2,fsync,fdatasync,mkdir,mkdirat,unlink,unlinkat,rmdir,chmod,fchmod,\
                     fchown,flock,ftruncate";

/// A call of the helper's own, not of what it starts: its name, which one of that name it is, and what it is about.
#[derive(Debug)]
struct Call {
    name: String,
    number: usize,
    about: String,
}

impl Call {
    fn is_about(&self, path: &Path) -> bool {
        self.about.contains(path.to_str().unwrap())
    }
}

/// The helper below strace, with these of strace's own arguments.
fn traced(env: &TestEnv, strace: &[&str], arguments: &[&str], input: &str) -> Ran {
    let mut command = env.command("strace");
    command.args(["-qq", "-y", "-s", "0", "-e"]).arg(format!("trace={CALLS}")).args(strace);
    command.arg(HELPER).args(arguments);
    run(&mut command, input.as_bytes())
}

/// The calls that a command makes about files below the environment's folder.
fn calls(env: &TestEnv, arguments: &[&str], input: &str) -> Vec<Call> {
    let trace = env.folder.path().join("trace");
    traced(env, &["-o", trace.to_str().unwrap()], arguments, input).ok();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        let Some((name, about)) = line.split_once('(') else { continue };
        let number = numbers.entry(name.to_owned()).or_default();
        *number += 1;
        // What is named from the root on has nothing to do with the folder in which the helper runs.
        let about = about
            .split_once("AT_FDCWD<")
            .and_then(|(_, rest)| rest.split_once('>'))
            .map_or(about, |(_, rest)| rest);
        calls.push(Call { name: name.to_owned(), number: *number, about: about.to_owned() });
    }
    calls.retain(|call| call.is_about(env.folder.path()));
    common::note(&format!("{arguments:?}: {} calls", calls.len()));
    assert!(calls.len() > 2, "{calls:?}");
    if variable("GHAPP_TESTS_EVERY_FAILURE").is_some() {
        return calls;
    }
    let mut some = Vec::new();
    for name in numbers.keys() {
        let mut of_name: Vec<Call> = Vec::new();
        while let Some(position) = calls.iter().position(|call| call.name == *name) {
            of_name.push(calls.remove(position));
        }
        let last = of_name.len().saturating_sub(1);
        let chosen = [0, last / 2, last];
        some.extend(
            of_name.into_iter().enumerate().filter(|(at, _)| chosen.contains(at)).map(|(_, call)| call),
        );
    }
    some
}

fn failing(env: &TestEnv, call: &Call, error: &str, arguments: &[&str], input: &str) -> Ran {
    let inject = format!("inject={}:error={error}:when={}", call.name, call.number);
    traced(env, &["-o", "/dev/null", "-e", &inject], arguments, input)
}

/// However it ended, it did not die, and what it said are lines of its own without a secret.
#[track_caller]
fn is_tidy(ran: &Ran, call: &Call) {
    assert!(matches!(ran.code, Some(0 | 1)), "{call:?}: {ran:#?}");
    assert!(ran.stderr.lines().all(|line| line.starts_with("git-credential-ghapp: ")), "{call:?}: {ran:#?}");
    assert!(!ran.stderr.contains("ghs_") && !ran.stderr.contains("-----BEGIN"), "{call:?}: {ran:#?}");
    assert!(!ran.stderr.contains("fault of the program"), "{call:?}: {ran:#?}");
}

/// Files that are not whole, anywhere below a folder.
fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(unfinished(&entry.path()));
        } else if entry.file_name().to_string_lossy().starts_with(".new-") {
            found.push(entry.path());
        }
    }
    found
}

fn may_trace() -> bool {
    if !has("strace") {
        skip("strace is not installed");
        return false;
    }
    true
}

#[test]
fn a_get_answers_whatever_fails_in_its_cache_and_quits_in_one_line_where_the_rest_fails() {
    if !may_trace() {
        return;
    }
    for warmth in ["cold", "warm"] {
        let env = TestEnv::new();
        let warm_up = || match warmth {
            "warm" => drop(env.get("github.com", "acme/widgets").ok()),
            _ => drop(std::fs::remove_dir_all(env.cache())),
        };
        warm_up();
        for (at, call) in calls(&env, &["get"], REQUEST).iter().enumerate() {
            let error = ["ENOSPC", "EIO", "EACCES"][at % 3];
            warm_up();
            let ran = failing(&env, call, error, &["get"], REQUEST);
            is_tidy(&ran, call);
            if call.is_about(&env.cache()) {
                assert!(ran.attribute("password").is_some(), "{warmth}, {error}: {call:?}: {ran:#?}");
            }
            if ran.attribute("password").is_none() {
                let errors = ran.stderr.lines().filter(|line| line.contains(": error: ")).count();
                assert_eq!((ran.code, errors), (Some(1), 1), "{warmth}, {error}: {call:?}: {ran:#?}");
                // Without its configuration it does not know for which hosts it is.
                let config = env.home().join(TestEnv::CONFIG);
                let told = if call.is_about(&config) { "" } else { "quit=1\n" };
                assert_eq!(ran.stdout, told, "{warmth}, {error}: {call:?}: {ran:#?}");
            }
            let next = env.get("github.com", "acme/widgets");
            assert!(next.attribute("password").is_some(), "after {call:?}: {next:#?}");
            assert_eq!(next.stderr, "", "after {call:?}");
        }
        // What could not be removed is swept once a day.
        let _ = std::fs::remove_dir_all(env.cache().join("told"));
        let left = unfinished(&env.home());
        assert!(left.len() <= 1, "{left:?}");
    }
}

#[test]
fn setup_that_fails_has_changed_nothing_or_can_be_taken_back() {
    if !may_trace() {
        return;
    }
    let arguments = |fresh: &Fresh| {
        let key = fresh.key.display().to_string();
        ["setup", "--app-id", ACME_APP, "--private-key", &key, "--all-owners", "--move-key", "folder"]
            .map(str::to_owned)
    };
    let first = Fresh::new();
    let words = arguments(&first);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let calls = calls(&first.env, &words, "");
    // All homes are alike, but for where they are.
    for (at, call) in calls.iter().enumerate() {
        let error = ["ENOSPC", "EIO", "EACCES"][at % 3];
        let fresh = Fresh::new();
        fresh.env.write("home/.gitconfig", "[user]\n\tname = T\n");
        let before = fresh.gitconfig();
        let words = arguments(&fresh);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = failing(&fresh.env, call, error, &words, "");
        is_tidy(&ran, call);
        if ran.code == Some(1) {
            assert!(ran.stderr.contains(": error: "), "{error}: {call:?}: {ran:#?}");
        }
        let has_key = || fresh.key.exists() || fresh.beside("keys/acme-ci.pem").exists();
        assert!(has_key(), "{error}: {call:?}: the key is lost: {ran:#?}");
        let undone = fresh.undo();
        assert_eq!(undone.code, Some(0), "{error}: {call:?}: {ran:#?} {undone:#?}");
        assert_eq!(
            (fresh.config(), fresh.gitconfig()),
            (None, before),
            "{error}: {call:?}: {ran:#?} {undone:#?}"
        );
        assert!(fresh.key.exists(), "{error}: {call:?}: {ran:#?} {undone:#?}");
        assert!(!fresh.beside("keys/acme-ci.pem").exists(), "{error}: {call:?}: {ran:#?} {undone:#?}");
        assert_eq!(fresh.setup(&["--all-owners"]).code, Some(0), "{error}: {call:?}");
    }
}

#[test]
fn logout_never_says_that_something_is_gone_which_is_there() {
    if !may_trace() {
        return;
    }
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets").ok();
    let arguments = ["logout", "--all"];
    for (at, call) in calls(&env, &arguments, "").iter().enumerate() {
        let error = ["EIO", "EACCES", "EROFS"][at % 3];
        env.get("github.com", "acme/widgets").ok();
        let ran = failing(&env, call, error, &arguments, "");
        is_tidy(&ran, call);
        let tokens = std::fs::read_dir(env.cache().join("tokens")).into_iter().flatten().count();
        if tokens > 0 {
            assert_eq!(ran.code, Some(1), "{error}: {call:?}: a token is left: {ran:#?}");
        }
        let valid = env.github.world().tokens.iter().filter(|token| !token.revoked).count();
        if valid > 0 {
            assert_eq!(ran.code, Some(1), "{error}: {call:?}: a token is valid: {ran:#?}");
        }
        env.helper(arguments, "").ok();
        env.github.world().revoke_all();
    }
}
