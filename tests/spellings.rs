//! `doctor` judges a URL in the spelling in which git gets it.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{TestEnv, run};
use github_simulator::{Effect, Selection};

const HELPER: &str = "credential.https://github.com/acme.helper";

/// git set up for one owner, as `setup --owner acme` does.
fn for_acme() -> TestEnv {
    let env = TestEnv::new();
    env.git(["config", "--global", "--unset-all", "credential.helper"]).ok();
    env.git_config(HELPER, "ghapp");
    env
}

#[test]
fn another_case_of_the_owner_is_another_url_to_git() {
    let env = for_acme();
    assert_eq!(env.helper(["doctor", "https://github.com/acme/widgets"], "").code, Some(0));
    for name in ["https://github.com/Acme/widgets", "Acme/widgets", "GitHub.com/ACME/widgets"] {
        let told = env.helper(["doctor", name], "");
        assert_eq!(told.code, Some(1), "{name}: {}", told.stdout);
        assert!(
            told.stdout.contains("failure  helpers: git asks no helper for https://"),
            "{name}: {}",
            told.stdout
        );
        let hint = "hint: git's settings are for another spelling: git remote set-url origin https://github.com/acme/widgets\n";
        assert!(told.stdout.contains(hint), "{name}: {}", told.stdout);
    }
    // And so it is.
    assert_ne!(env.git(["ls-remote", "https://github.com/Acme/widgets"]).code, Some(0));
    // The remote of a clone is judged as it stands there.
    env.git(["init", "--quiet", "here"]).ok();
    env.git_in("here", ["remote", "add", "origin", "https://github.com/Acme/widgets"]).ok();
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    let told = run(command.arg("doctor").current_dir(env.home().join("here")), b"");
    assert!(told.code == Some(1) && told.stdout.contains("Acme/widgets"), "{told:#?}");
}

#[test]
fn a_wiki_that_is_not_there_is_found_although_its_repository_is() {
    let env = TestEnv::new();
    assert_eq!(env.helper(["doctor", "https://github.com/acme/widgets.wiki.git"], "").code, Some(0));
    let gone = Effect::Answer(404, Vec::new(), b"Repository not found.".to_vec());
    env.fault("GET /acme/widgets.wiki.git/info/refs", 100, gone);
    let told = env.helper(["doctor", "https://github.com/acme/widgets.wiki.git"], "");
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    let expected = "failure  fetch: git ls-remote https://github.com/acme/widgets.wiki.git fails: ";
    assert!(told.stdout.contains(expected), "{}", told.stdout);
}

#[test]
fn http_without_encryption_is_not_approved() {
    let env = TestEnv::new();
    let told = env.helper(["doctor", "http://github.com/acme/widgets"], "");
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    let expected = "failure  git's URL: git would use http://github.com/acme/widgets, unencrypted, and this helper answers only for https\n         \
                    hint: git remote set-url origin https://github.com/acme/widgets\n";
    assert!(told.stdout.contains(expected), "{}", told.stdout);
    env.git_config("url.https://github.com/.insteadOf", "http://github.com/");
    assert_eq!(env.helper(["doctor", "http://github.com/acme/widgets"], "").code, Some(0));
}

#[test]
fn what_git_itself_says_is_the_last_word() {
    let env = TestEnv::new();
    // The App may, by its own account; git is told another way.
    env.git_config("http.https://github.com/acme/.extraHeader", "Git-Protocol: version=2");
    env.git_config("protocol.https.allow", "never");
    let told = env.helper(["doctor", "acme/widgets"], "");
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(
        told.stdout.contains("failure  fetch: ") && told.stdout.contains("'https' not allowed"),
        "{}",
        told.stdout
    );
}

#[test]
fn a_key_in_the_environment_serves_git_too() {
    let env = TestEnv::bare()
        .with("GHAPP_APP_ID", common::ACME_APP)
        .with("GHAPP_PRIVATE_KEY", github_simulator::ACME_KEY);
    let told = env.helper(["doctor", "acme/widgets"], "").ok();
    assert!(told.contains("ok       fetch: git ls-remote https://github.com/acme/widgets works"), "{told}");
    // A repository that the installation does not cover is one thing more.
    env.github.world().installation(common::ACME_ON_ACME).selection = Selection::Selected(vec![]);
    assert_eq!(env.helper(["doctor", "acme/widgets"], "").code, Some(1));
}

#[cfg(unix)]
#[test]
fn a_password_in_a_url_is_in_no_arguments() {
    let env = TestEnv::new();
    let path = common::variable("PATH").unwrap();
    let seen = env.folder.path().join("seen");
    let script = format!("#!/bin/sh\necho \"$@\" >> '{}'\nPATH='{path}' exec git \"$@\"\n", seen.display());
    let git = env.install(env.write("script", script), "bin/git");
    let env = env.with("PATH", format!("{}:{path}", git.parent().unwrap().display()));
    for url in [
        "https://octocat:ghp_canary@github.com/acme/widgets",
        "https://ghp_canary@github.com/acme/widgets",
        "http://octocat:ghp_canary@github.com/acme/widgets",
    ] {
        assert_eq!(env.helper(["doctor", url], "").code, Some(1));
    }
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("credential.useHttpPath") && !seen.contains("ghp_canary"), "{seen}");
}

#[test]
fn a_repository_that_configures_git_for_itself_is_not_fetched_from_as_it_could_lead_the_token_elsewhere() {
    let env = TestEnv::new();
    env.git(["clone", "--quiet", "https://github.com/acme/widgets"]).ok();
    env.git(["config", "--global", "--unset-all", "credential.helper"]).ok();
    for (key, value) in [("credential.helper", "ghapp"), ("http.proxy", "http://127.0.0.1:1")] {
        env.git_in("widgets", ["config", key, value]).ok();
    }
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    let told = run(command.arg("doctor").current_dir(env.home().join("widgets")), b"");
    assert!(
        told.stdout.contains("ok       fetch: not tried: git asks this helper only in this repository"),
        "{told:#?}"
    );
}
