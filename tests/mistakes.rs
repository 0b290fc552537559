//! What is misspelt is not silently ignored, and what git may say one day is.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, REQUEST, TestEnv};
use github_simulator::ACME_KEY;

#[test]
fn a_variable_that_is_nearly_one_of_ours_is_an_error_that_names_it() {
    for (set, meant) in [
        ("GHAPP_SCOPES", "GHAPP_SCOPE"),
        ("GHAPP_OWNER", "GHAPP_OWNERS"),
        ("GHAPP_REPOSITORY", "GHAPP_REPOSITORIES"),
        ("GHAPP_APPID", "GHAPP_APP_ID"),
        ("GHAPP_PERMISSION", "GHAPP_PERMISSIONS"),
        ("GHAPP_PRIVATE_KEY_PATH", "GHAPP_PRIVATE_KEY_FILE"),
        ("ghapp_scope", "GHAPP_SCOPE"),
        ("GHAPP_CONFG", "GHAPP_CONFIG"),
    ] {
        let env = TestEnv::new().with(set, "repository");
        let refused = env.helper(["get"], REQUEST);
        assert_eq!((refused.code, refused.attribute("password")), (Some(1), None), "{set}");
        assert_eq!(
            refused.stderr,
            format!(
                "git-credential-ghapp: error: unknown environment variable {set}\n\
                 git-credential-ghapp: hint: did you mean {meant}? otherwise unset it\n"
            )
        );
        let told = env.helper(["doctor"], "").stdout;
        assert!(
            told.contains(&format!("failure  configuration: unknown environment variable {set}")),
            "{told}"
        );
        assert_eq!(env.helper(["status"], "").code, Some(1));
    }
}

#[cfg(unix)]
#[test]
fn a_secret_that_a_job_did_not_get_is_not_asked_for_as_if_nobody_had_thought_of_it() {
    let hint = "hint: define the secret or variable that it comes from; a pull request from a fork gets no secrets\n";
    for (app, key, arguments, message) in [
        (ACME_APP, "", ["get"], "App Iv23liAcmeCi has no private key (environment variable GHAPP_APP_ID)"),
        (ACME_APP, "", ["setup"], "no private key file is named"),
        (ACME_APP, "", ["status"], "App Iv23liAcmeCi has no private key (environment variable GHAPP_APP_ID)"),
        ("", ACME_KEY, ["token"], "the environment variable GHAPP_PRIVATE_KEY is set, but no App ID"),
        ("", "", ["get"], "no App is configured, so git gets no credential"),
        ("", "", ["setup"], "no App is named"),
    ] {
        let env = TestEnv::bare().with("GHAPP_APP_ID", app).with("GHAPP_PRIVATE_KEY", key);
        let told = env.helper(arguments, REQUEST).stderr;
        let empty = if app.is_empty() { "GHAPP_APP_ID" } else { "GHAPP_PRIVATE_KEY" };
        let message = format!(": {message}: the environment variable {empty} is empty\n");
        assert!(told.contains(&message) && told.ends_with(hint), "{message}{hint}{told}");
    }
}

#[test]
fn a_variable_of_somebody_elses_is_listed_by_doctor_and_disturbs_nobody() {
    let env = TestEnv::new().with("GHAPP_WEBHOOK_SECRET", "s3cret").with("GHAPP_SCOPES", "");
    let answer = env.helper(["get"], REQUEST);
    assert!(answer.attribute("password").is_some() && answer.stderr.is_empty(), "{answer:?}");
    let told = env.helper(["doctor", "acme/widgets"], "").ok();
    assert!(
        told.contains(
            "ok       environment: GHAPP_CACHE is set; GHAPP_WEBHOOK_SECRET is not this program's\n"
        ),
        "{told}"
    );
    assert!(!told.contains("s3cret"));
}

#[test]
fn an_operation_that_git_may_have_one_day_is_silently_ignored() {
    let env = TestEnv::new();
    for arguments in [vec!["rotate"], vec!["--app-id", "7", "--cache", "none", "rotate"]] {
        let ignored = env.helper(arguments, REQUEST);
        assert_eq!((ignored.code, ignored.stdout.as_str(), ignored.stderr.as_str()), (Some(0), "", ""));
    }
}

#[test]
fn an_unknown_command_with_arguments_is_a_mistake_even_without_a_terminal() {
    let env = TestEnv::new();
    for arguments in
        [vec!["logot", "--all"], vec!["logot", "acme"], vec!["--cache", "none", "logot", "--all"]]
    {
        let refused = env.helper(arguments, "");
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
        assert_eq!(
            refused.stderr,
            "git-credential-ghapp: error: unknown command \"logot\"\n\
             git-credential-ghapp: hint: did you mean logout? see git-credential-ghapp --help\n"
        );
    }
    let refused = env.helper(["xyzzy", "acme"], "");
    assert!(refused.stderr.ends_with("hint: git-credential-ghapp --help\n"), "{refused:?}");
}

#[test]
fn an_unknown_command_alone_is_a_mistake_where_a_person_types() {
    let Some(refused) = TestEnv::new().at_a_terminal("logot", "") else { return };
    assert_eq!(refused.code, Some(2));
    assert!(refused.stdout.contains("unknown command \"logot\""), "{refused:?}");
}

#[cfg(unix)]
#[test]
fn a_pipe_that_is_closed_ends_every_command_quietly() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets");
    for arguments in [
        "doctor acme/widgets",
        "doctor --json acme/widgets",
        "status",
        "status --json",
        "installations",
        "repositories",
        "token acme",
        "token acme --json",
        "completions bash",
        "man",
        "--help",
        "logout",
    ] {
        let mut shell = env.command("bash");
        // The reader is gone before anything is written.
        let script = format!(
            "exec 3> >(exec true); wait $!; {} {arguments} >&3",
            env!("CARGO_BIN_EXE_git-credential-ghapp")
        );
        let ended = common::run(shell.args(["-c", &script]), b"");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(141), ""), "{arguments}");
    }
}

#[test]
fn an_address_in_the_place_of_a_name_is_told_without_its_password() {
    let env = TestEnv::new();
    for setting in ["repository", "owner", "public-repositories", "installation-id", "host", "api-url"] {
        let address = "https://x:s3cret@github.com/acme/widgets";
        let ran = env.helper(["status", &format!("--{setting}"), address], "");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stderr.contains("…@github.com/acme/widgets") && !ran.stderr.contains("s3cret"),
            "{ran:?}"
        );
    }
}
