//! `logout` and `status` where something hangs, and where git works on meanwhile.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{ACME_APP, REQUEST, TestEnv, ran, run};
use github_simulator::Effect;

const REVOCATION: &str = "DELETE /installation/token";

/// One App, with a sealed token for each of so many repositories.
fn with_tokens(count: usize) -> TestEnv {
    let env = TestEnv::new();
    let key = env.folder.path().join("keys/acme.pem");
    configure(&env, &format!("private-key = '{}'", key.display()));
    for number in 0..count {
        let name = format!("r{number}");
        env.github.world().add_repository("acme", &name, &[("a", "b\n")]);
        let answer = env.get("github.com", &format!("acme/{name}"));
        assert!(answer.attribute("password").is_some(), "{answer:?}");
    }
    env
}

fn configure(env: &TestEnv, source: &str) {
    env.configure(&format!("deadline = 2\n[[app]]\nid = '{ACME_APP}'\nscope = 'repository'\n{source}\n"));
}

/// How many more requests the fault will meet that was switched on.
fn left(env: &TestEnv) -> u32 {
    env.github.world().faults.iter().map(|fault| fault.times).sum()
}

#[test]
fn a_github_that_does_not_answer_or_wants_to_be_left_alone_is_waited_for_once_and_not_for_each_token() {
    const LIMITED: &[u8] = br#"{"message": "You have exceeded a secondary rate limit"}"#;
    let later = || Effect::Answer(429, vec![("Retry-After".to_owned(), "1".to_owned())], LIMITED.to_vec());
    for (trouble, least) in [(Effect::Hang, 96), (later(), 98)] {
        let env = with_tokens(4);
        env.fault(REVOCATION, 100, trouble);
        let told = env.helper(["logout"], "");
        assert_eq!((told.code, told.stdout.as_str()), (Some(1), "removed 4 tokens\n"), "{told:?}");
        assert_eq!(told.stderr.matches("was removed here but not revoked").count(), 4, "{told:?}");
        // Within one deadline it is tried again.
        assert!(left(&env) >= least, "{} of 100 are left: {told:?}", left(&env));
    }
}

#[test]
fn a_command_for_the_key_that_fails_is_not_run_for_each_sealed_token() {
    let env = with_tokens(4);
    let script = env.write("home/key.sh", "echo called >> \"$HOME/calls\"\nexit 1\n");
    configure(&env, &format!("private-key-command = ['sh', '{}']", script.display()));
    for arguments in [&["status"][..], &["logout", "--keep-remote"]] {
        let told = env.helper(arguments.iter().copied(), "");
        let calls = std::fs::read_to_string(env.home().join("calls")).unwrap();
        // Once to open what is sealed, and once to ask GitHub, or to make sure of what is removed.
        assert!(calls.lines().count() <= 2, "{}: {told:?}", calls.lines().count());
        std::fs::remove_file(env.home().join("calls")).unwrap();
    }
}

#[test]
fn a_token_that_git_gets_while_another_one_is_revoked_does_not_escape() {
    let env = TestEnv::new();
    let first = env.get("github.com", "acme/widgets");
    // The answers come when another logout, with another cache, waits for one too.
    let elsewhere = env.folder.path().join("elsewhere").display().to_string();
    let there = |arguments: &[&str]| {
        let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.args(arguments).env("GHAPP_CACHE_FOLDER", &elsewhere);
        run(&mut command, REQUEST.as_bytes())
    };
    assert!(there(&["get"]).attribute("password").is_some());
    env.fault(REVOCATION, 2, Effect::together(2));
    let mut logout = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    let logout = logout.arg("logout").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let logout: Child = logout.spawn().unwrap();
    let began = Instant::now();
    while left(&env) == 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing was revoked");
        std::thread::sleep(Duration::from_millis(5));
    }
    env.helper(["erase"], format!("{REQUEST}{}", first.stdout)).ok();
    let second = env.get("github.com", "acme/widgets");
    assert_ne!(first.attribute("password").unwrap(), second.attribute("password").unwrap());
    there(&["logout"]).ok();
    assert_eq!(ran(logout.wait_with_output().unwrap()).ok(), "removed 2 tokens, revoked 2\n");
    let world = env.github.world();
    assert!(world.tokens.iter().all(|token| token.revoked), "a token is valid that nobody can revoke");
}
