//! Several private keys: one was deleted at GitHub, and the next one works.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, TestEnv};
use github_simulator::{ACME_KEY, ROGUE_KEY};

fn with_keys(line: &str) -> TestEnv {
    let env = TestEnv::bare();
    env.write_private("home/old.pem", ROGUE_KEY);
    env.write_private("home/new.pem", ACME_KEY);
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = {line}\n"));
    env
}

fn told(env: &TestEnv, stderr: &str) -> String {
    stderr.replace(&env.home().display().to_string(), "~").replace(TestEnv::CONFIG, "CONFIG")
}

#[test]
fn when_github_refuses_the_first_key_the_next_one_is_tried_with_one_warning() {
    let env = with_keys("['~/old.pem', '~/new.pem']");
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert_eq!(
        told(&env, &answer.stderr),
        format!(
            "git-credential-ghapp: warning: the private key ~/old.pem (~/CONFIG, line 3) does not belong to App {ACME_APP} any \
             more; the next one is tried\n\
             git-credential-ghapp: hint: take it out of private-key, or put it after the one that works\n"
        )
    );
    // One request more than usual.
    assert_eq!(env.lookups_and_mints(), (2, 1));
    assert_eq!(env.get("github.com", "acme/widgets").stderr, "");
}

#[test]
fn the_first_key_that_works_is_used_and_the_others_are_not_even_read() {
    let env = with_keys("['~/new.pem', '~/missing.pem']");
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.attribute("password").is_some() && answer.stderr.is_empty(), "{answer:?}");
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn a_key_that_cannot_be_read_is_passed_over_with_a_warning() {
    let env = with_keys("['~/missing.pem', '~/new.pem']");
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    let told = told(&env, &answer.stderr);
    assert!(
        told.contains("warning: the private key file ~/missing.pem (~/CONFIG, line 3) does not exist"),
        "{told}"
    );
    // What is cached is found without it, and without a word.
    let again = env.get("github.com", "acme/widgets");
    assert_eq!((again.attribute("password"), again.stderr.as_str()), (answer.attribute("password"), ""));
}

#[test]
fn if_no_key_is_the_apps_that_is_the_error() {
    let env = with_keys("['~/old.pem', '~/old.pem']");
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
    assert_eq!(failed.stderr.matches("any more; the next one is tried").count(), 1, "{failed:?}");
    assert!(failed.stderr.contains("error: https://api.github.com refused the App's JWT"), "{failed:?}");
    let env = with_keys("['~/missing.pem', '~/gone.pem']");
    let failed = env.get("github.com", "acme/widgets");
    assert!(failed.stderr.contains("error: the private key file ~/gone.pem") || failed.code == Some(1));
    let env = with_keys("[]");
    let failed = env.get("github.com", "acme/widgets");
    assert!(failed.stderr.contains("private-key names no private key ("), "{failed:?}");
}

#[test]
fn doctor_tells_of_each_key_and_setup_writes_them_all() {
    let env = with_keys("['~/missing.pem', '~/new.pem']");
    let told = env.helper(["doctor", "acme/widgets"], "").stdout;
    assert!(told.contains("warning  private key: the private key file "), "{told}");
    assert!(told.contains("ok       private key: ") && told.contains("new.pem, SHA256:"), "{told}");
    let env = TestEnv::fresh();
    env.write_private("home/old.pem", ROGUE_KEY);
    env.write_private("home/new.pem", ACME_KEY);
    let keys = ["--private-key", "new.pem", "--private-key", "old.pem"];
    env.helper(["setup", "--app-id", ACME_APP].into_iter().chain(keys), "").ok();
    let config = std::fs::read_to_string(env.home().join(TestEnv::CONFIG)).unwrap();
    let home = env.home().display().to_string();
    assert!(config.contains(&format!("private-key = [\"{home}/new.pem\", \"{home}/old.pem\"]")), "{config}");
    env.git(["ls-remote", common::WIDGETS]).ok();
}
