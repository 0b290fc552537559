//! `setup` and the private key: where it is, how it moves, how another one takes its place.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::fresh::{Fresh, refused};
use common::{ACME_APP, GLOBEX_APP, TestEnv, WIDGETS, run};
use github_simulator::{ACME_KEY, GLOBEX_KEY, ROGUE_KEY};

/// The App ID of acme's App.
const ACME_ID: u64 = 101;

/// A machine that is set up, and a second key of the same App.
fn with_a_second_key(setup: &[&str]) -> (Fresh, String) {
    let fresh = Fresh::new();
    fresh.setup(setup).ok();
    fresh.env.github.world().add_key(ACME_ID, ROGUE_KEY);
    let new = fresh.env.write_private("home/new.pem", ROGUE_KEY);
    (fresh, new.to_str().unwrap().to_owned())
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one_and_a_tilde_is_the_home() {
    let (fresh, new) = with_a_second_key(&[]);
    let told = fresh.env.helper(["setup", "--app-id", ACME_APP, "--private-key=~/new.pem"], "").ok();
    assert!(fresh.config().unwrap().contains(&format!("private-key = \"{new}\"")), "{told}");
    // The old one is of no use any more.
    fresh.env.github.world().delete_key(ACME_ID, ACME_KEY);
    std::fs::remove_file(&fresh.key).unwrap();
    fresh.env.helper(["logout", "--all"], "").ok();
    fresh.env.git(["ls-remote", WIDGETS]).ok();
}

#[test]
fn a_key_that_is_not_there_is_an_error_unless_setup_moved_it() {
    let (fresh, _) = with_a_second_key(&["--move-key", "folder"]);
    let before = fresh.config();
    let typo = fresh.env.helper(["setup", "--app-id", ACME_APP, "--private-key=~/nwe.pem"], "");
    refused(&typo, "/home/nwe.pem (flag --private-key) does not exist", "download a private key");
    let folder = fresh.env.helper(["setup", "--app-id", ACME_APP, "--private-key", "."], "");
    refused(&folder, "is a directory", "name the .pem file itself");
    // Moved by setup itself: the same command again.
    assert!(fresh.setup(&["--move-key", "folder"]).ok().contains("everything is set up already"));
    assert_eq!(fresh.config(), before);
}

#[test]
fn a_key_of_another_app_replaces_nothing() {
    let (fresh, _) = with_a_second_key(&[]);
    let before = fresh.config();
    fresh.env.write_private("home/globex.pem", GLOBEX_KEY);
    for arguments in [
        ["setup", "--app-id", ACME_APP, "--private-key", "globex.pem"].as_slice(),
        &["setup", "--rotate-key", "globex.pem"],
    ] {
        let refusal = fresh.env.helper(arguments.iter().copied(), "");
        refused(&refusal, "the private key does not belong to App Iv23liAcmeCi", "compare id and key");
    }
    assert_eq!(fresh.config(), before);
}

#[test]
fn a_key_is_rotated_with_one_command_and_the_old_one_goes_once_github_has_forgotten_it() {
    let (fresh, new) = with_a_second_key(&["--move-key", "folder"]);
    let old = fresh.beside("keys").join("acme-ci.pem");
    let told = fresh.env.helper(["setup", "--rotate-key", &new], "").ok();
    let page = "https://github.com/organizations/acme/settings/apps/acme-ci";
    assert!(told.contains("GitHub still accepts the old key SHA256:"), "{told}");
    assert!(told.contains(&format!("delete it at {page}")), "{told}");
    // The new one is kept as the old one was.
    let kept = fresh.beside("keys").join("acme-ci-2.pem");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), ROGUE_KEY);
    assert!(!std::path::Path::new(&new).exists());
    assert!(fresh.config().unwrap().contains("acme-ci-2.pem"));
    assert!(old.exists(), "GitHub still accepts it");
    fresh.env.helper(["logout", "--all"], "").ok();
    fresh.env.git(["ls-remote", WIDGETS]).ok();
    // After it is deleted there.
    fresh.env.github.world().delete_key(ACME_ID, ACME_KEY);
    let command =
        told.lines().find_map(|line| line.split("then: ").nth(1)).unwrap_or_else(|| panic!("{told}"));
    let mut shell = fresh.env.command("sh");
    let told = run(shell.args(["-c", command]), b"").ok();
    assert!(told.contains("acme-ci.pem is removed: GitHub does not accept that key any more"), "{told}");
    assert!(!old.exists() && kept.exists());
    fresh.env.helper(["logout", "--all"], "").ok();
    fresh.env.git(["ls-remote", WIDGETS]).ok();
    // And back: the new key is where it came from.
    fresh.undo().ok();
    assert_eq!(std::fs::read_to_string(&new).unwrap(), ROGUE_KEY);
    assert!(fresh.config().is_none());
}

#[test]
fn a_rotation_that_is_taken_back_gives_the_old_key_back() {
    let (fresh, new) = with_a_second_key(&["--move-key", "folder"]);
    fresh.env.helper(["setup", "--rotate-key", &new], "").ok();
    fresh.undo().ok();
    assert_eq!(std::fs::read_to_string(&new).unwrap(), ROGUE_KEY);
    assert_eq!(std::fs::read_to_string(&fresh.key).unwrap(), ACME_KEY);
    assert!(!fresh.beside("keys").exists());
}

#[test]
fn rotation_needs_an_app_and_of_several_one_that_is_named() {
    let fresh = Fresh::new();
    refused(
        &fresh.env.helper(["setup", "--rotate-key", "acme.pem"], ""),
        "no App is configured",
        "git-credential-ghapp register, to make one",
    );
    fresh.setup(&["--owner", "acme"]).ok();
    let globex = fresh.env.write_private("home/globex.pem", GLOBEX_KEY);
    let globex =
        ["setup", "--app-id", GLOBEX_APP, "--private-key", globex.to_str().unwrap(), "--owner", "globex"];
    fresh.env.helper(globex, "").ok();
    refused(
        &fresh.env.helper(["setup", "--rotate-key", "acme.pem"], ""),
        "several Apps are configured",
        "say which: --app-id Iv23liAcmeCi or --app-id Iv23liGlobexDeploy",
    );
}

#[test]
fn all_rules_of_an_app_get_its_new_key() {
    let (fresh, new) = with_a_second_key(&["--owner", "acme"]);
    fresh.setup(&["--owner", "globex"]).ok();
    fresh.env.helper(["setup", "--rotate-key", &new], "").ok();
    let config = fresh.config().unwrap();
    assert_eq!(config.matches(&format!("private-key = \"{new}\"")).count(), 2, "{config}");
}

#[test]
fn a_relative_key_is_written_as_an_absolute_path() {
    let fresh = Fresh::new();
    std::fs::create_dir_all(fresh.env.home().join("project")).unwrap();
    let mut setup = fresh.env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    setup.args(["setup", "--app-id", ACME_APP, "--private-key", "../acme.pem"]);
    run(setup.current_dir(fresh.env.home().join("project")), b"").ok();
    let config = fresh.config().unwrap();
    assert!(config.contains(&format!("private-key = \"{}\"", fresh.key.display())), "{config}");
}

#[test]
fn a_key_whose_newlines_became_blanks_is_understood() {
    let env = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP);
    let env = env.with("GHAPP_PRIVATE_KEY", ACME_KEY.trim_end().replace('\n', " "));
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}
