//! `setup`, `setup --undo` and `uninstall` at the same time: each finds what the one before left.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::process::Stdio;

use common::fresh::Fresh;
use common::{ACME_APP, Ran, ran};

/// What setup must leave as it is.
const GITCONFIG: &str =
    "[user]\n\tname = Somebody\n[credential \"https://github.com\"]\n\thelper = somebody-elses\n";

fn fresh() -> Fresh {
    let fresh = Fresh::new();
    std::fs::write(fresh.env.home().join(".gitconfig"), GITCONFIG).unwrap();
    fresh
}

/// Lets all of these begin at once, and waits for their ends.
fn at_once(fresh: &Fresh, calls: &[&[&str]]) -> Vec<Ran> {
    let start = |arguments: &&[&str]| {
        let mut command = fresh.env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.args(*arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = calls.iter().map(start).collect();
    children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect()
}

fn all_ok(all: Vec<Ran>) {
    all.into_iter().for_each(|one| drop(one.ok()));
}

#[test]
fn several_that_set_up_the_same_write_it_once_and_one_undo_takes_it_back() {
    let fresh = fresh();
    let key = fresh.key.to_str().unwrap();
    let setup: &[&str] = &["setup", "--yes", "--app-id", ACME_APP, "--private-key", key];
    all_ok(at_once(&fresh, &[setup; 5]));
    assert_eq!(fresh.config().unwrap().matches("[[app]]").count(), 1);
    assert_eq!(fresh.gitconfig().unwrap().matches("useHttpPath").count(), 2, "{:?}", fresh.gitconfig());
    let undo: &[&str] = &["setup", "--undo", "--yes"];
    all_ok(at_once(&fresh, &[undo; 3]));
    assert_eq!((fresh.gitconfig().as_deref(), fresh.config()), (Some(GITCONFIG), None));
}

#[test]
fn several_that_set_up_different_things_lose_nothing_of_each_other() {
    let fresh = fresh();
    let key = fresh.key.to_str().unwrap();
    let of = |owner: &'static str| {
        ["setup", "--yes", "--app-id", ACME_APP, "--private-key", key, "--owner", owner]
    };
    let (acme, globex) = (of("acme"), of("globex"));
    all_ok(at_once(&fresh, &[&acme, &globex]));
    let config = fresh.config().unwrap();
    assert!(config.contains("\"acme\"") && config.contains("\"globex\""), "{config}");
    all_ok(at_once(&fresh, &[&["setup", "--undo", "--yes"], &["uninstall", "--yes"]]));
    assert_eq!((fresh.gitconfig().as_deref(), fresh.config()), (Some(GITCONFIG), None));
}
