//! A clock that was wrong and is set right: what was cached under it misleads nobody.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{REQUEST, Ran, TestEnv, run, skip};

/// Runs the helper on a machine whose clock is ahead by so many minutes of what GitHub's is ahead by.
fn with_clock(env: &TestEnv, minutes: i64, arguments: &[&str]) -> Ran {
    let mut command = env.command("faketime");
    command
        .args(["-f", &format!("{minutes:+}m"), env!("CARGO_BIN_EXE_git-credential-ghapp")])
        .args(arguments);
    run(&mut command, REQUEST.as_bytes())
}

/// So many minutes pass at GitHub.
fn pass(env: &TestEnv, minutes: i64) {
    env.github.world().clock_offset = minutes * 60;
}

#[test]
fn a_token_that_was_minted_while_the_clock_was_ahead_is_not_taken_for_fresh_later() {
    if !common::has("faketime") {
        return skip("faketime is not installed");
    }
    for ahead in [90, 24 * 60] {
        let env = TestEnv::new();
        let first = with_clock(&env, ahead, &["get"]);
        assert!(first.attribute("password").is_some(), "{first:?}");
        // The clock is set right.
        let second = with_clock(&env, 0, &["get"]);
        assert_ne!(second.attribute("password").unwrap(), first.attribute("password").unwrap());
        let third = with_clock(&env, 1, &["get"]);
        assert_eq!(third.attribute("password"), second.attribute("password"), "it is cached");
        // The time that the clock showed wrongly has come.
        pass(&env, ahead + 5);
        let later = with_clock(&env, ahead + 5, &["get"]);
        for expired in [&first, &second] {
            assert_ne!(later.attribute("password").unwrap(), expired.attribute("password").unwrap());
        }
    }
}
