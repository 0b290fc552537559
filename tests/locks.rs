//! Who waits for another process: one mints for all, also where that takes long, and also where it was stopped.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{MINT, REQUEST, Ran, TestEnv, ran};
use github_simulator::Effect;

/// So many gets at once.
fn gets(env: &TestEnv, count: usize) -> Vec<Ran> {
    let children: Vec<Child> = (0..count).map(|_| env.start_get()).collect();
    children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect()
}

fn signal(child: &Child, name: &str) {
    let kill = std::process::Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

#[test]
fn a_mint_and_a_probe_that_take_the_whole_deadline_are_waited_for() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "2");
    env.fault(MINT, 1, Effect::Delay(900));
    env.github.world().propagation = Some((1_000_000, 404));
    let all = gets(&env, 12);
    assert_eq!(env.lookups_and_mints(), (1, 1), "{all:#?}");
    let token = all[0].attribute("password").unwrap();
    for answer in &all {
        assert_eq!(answer.attribute("password"), Some(token), "{answer:?}");
    }
    assert_eq!(all.iter().filter(|answer| !answer.stderr.is_empty()).count(), 1, "one probed: {all:#?}");
}

#[test]
fn a_holder_of_the_lock_that_is_stopped_costs_one_more_mint() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.fault(MINT, 1, Effect::Hang);
    let mut stopped = env.start_get();
    let locks = env.cache().join("locks");
    let is_minting = || {
        let mut names =
            std::fs::read_dir(&locks).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.any(|name| name.to_string_lossy().starts_with("token-"))
    };
    let began = Instant::now();
    while !is_minting() && began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&stopped, "-STOP");
    let all = gets(&env, 20);
    let minted = env.github.world().tokens.len();
    signal(&stopped, "-CONT");
    stopped.wait().unwrap();
    let token = all[0].attribute("password").unwrap_or_else(|| panic!("{all:#?}"));
    for answer in &all {
        assert_eq!((answer.attribute("password"), answer.stderr.as_str()), (Some(token), ""), "{answer:?}");
    }
    assert_eq!(minted, 1);
    // Neither the one that was stopped nor the others left a lock behind.
    assert!(!is_minting());
}

#[test]
fn a_token_that_many_refuse_at_once_is_one_refused_token() {
    let env = TestEnv::new();
    for _ in 0..2 {
        let token = gets(&env, 1)[0].attribute("password").unwrap().to_owned();
        let refuse = || {
            let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
            command.arg("erase").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let input = format!("{REQUEST}username=x-access-token\npassword={token}\n");
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child
        };
        let children: Vec<Child> = (0..24).map(|_| refuse()).collect();
        for child in children {
            let refused = ran(child.wait_with_output().unwrap());
            assert_eq!((refused.code, refused.stderr.as_str()), (Some(0), ""), "{refused:?}");
        }
    }
    let answer = &gets(&env, 1)[0];
    assert!(answer.attribute("password").is_some(), "two tokens were refused, not three: {answer:?}");
}

#[test]
fn a_token_that_the_probe_did_not_accept_is_dropped_when_git_refuses_it() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.github.world().propagation = Some((1_000_000, 404));
    let first = &gets(&env, 1)[0];
    let token = first.attribute("password").unwrap();
    env.helper(["erase"], format!("{REQUEST}username=x-access-token\npassword={token}\n")).ok();
    let second = &gets(&env, 1)[0];
    assert_ne!(second.attribute("password").unwrap(), token);
}
