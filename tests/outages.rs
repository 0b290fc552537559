//! While GitHub is down: those who wait for one that tries learn of it with that one, and not one after the other.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::process::Child;

use common::{LOOKUP, MINT, Ran, TestEnv, ran};
use github_simulator::Effect;

/// So many gets, of which all but the first begin while the first one waits for GitHub.
fn gets(env: &TestEnv, endpoint: &str, count: usize) -> Vec<Ran> {
    let before = env.github.world().count(endpoint);
    let mut children = vec![env.start_get()];
    while env.github.world().count(endpoint) == before {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    children.extend((1..count).map(|_| env.start_get()));
    children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect()
}

#[test]
fn who_waits_for_one_that_gets_no_answer_asks_no_more_and_says_the_same() {
    for endpoint in [LOOKUP, MINT] {
        let env = TestEnv::new().with("GHAPP_DEADLINE", "6");
        env.fault(endpoint, 1_000_000, Effect::Answer(503, Vec::new(), b"down".to_vec()));
        let all = gets(&env, endpoint, 12);
        for failed in &all {
            assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
            assert_eq!(failed.stderr, all[0].stderr);
        }
        assert!(
            all[0].stderr.starts_with("git-credential-ghapp: error: https://api.github.com returned 503\n")
        );
        // With pauses that grow one process has time for no more within its deadline; one after the other had time for many.
        let asked = env.github.world().count(endpoint);
        assert!(asked <= 10, "{endpoint}: {asked} requests");
        // It is no more than a note for those who waited.
        env.github.world().faults.clear();
        let answer = env.get("github.com", "acme/widgets");
        assert!(answer.attribute("password").is_some(), "{answer:?}");
        assert_eq!(answer.stderr, "");
    }
}

/// Whether a process has a file of this folder open.
fn has_open(process: u32, folder: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .any(|path| path.to_string_lossy().contains(folder))
}

#[test]
fn who_waits_for_a_command_that_fails_does_not_run_it_again() {
    let env = TestEnv::bare();
    let script = "echo called >>\"$HOME/calls\"; until [ -e \"$HOME/go\" ]; do sleep 0.05; done; echo 'pass: hunter2' >&2; exit 3";
    env.configure(&format!("[[app]]\ntoken-command = ['sh', '-c', '''{script}''']\n"));
    let calls = || std::fs::read_to_string(env.home().join("calls")).unwrap_or_default().lines().count();
    let children: Vec<Child> = (0..6).map(|_| env.start_get()).collect();
    while calls() == 0 || !children.iter().all(|it| has_open(it.id(), "/git-credential-ghapp/locks/")) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    env.write("home/go", "");
    for child in children {
        let failed = ran(child.wait_with_output().unwrap());
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
        assert!(failed.stderr.contains("sh ended with exit code 3"), "{failed:?}");
    }
    assert_eq!(calls(), 1);
    // What the command itself says may be anything, and is not left on the disk.
    let notes: Vec<String> = std::fs::read_dir(env.cache().join("outages"))
        .unwrap()
        .map(|note| std::fs::read_to_string(note.unwrap().path()).unwrap())
        .collect();
    assert!(!notes.is_empty() && notes.iter().all(|note| !note.contains("hunter2")), "{notes:?}");
    env.get("github.com", "acme/widgets");
    assert_eq!(calls(), 2, "it is no more than a note for those who waited");
}
