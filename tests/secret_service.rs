//! The Secret Service, for who asks for it: a live one, a locked one, one that hangs, and none.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;
#[path = "common/lying.rs"]
mod lying;

use std::os::unix::net::UnixListener;

use common::{REQUEST, Ran, TestEnv, has, run, skip};
use lying::{Lie, LyingService};

/// Runs a shell script on a session bus with a keyring daemon; `$HELPER` is the helper, `$REQUEST` a request.
fn on_a_bus(env: &TestEnv, script: &str) -> Option<Ran> {
    for program in ["dbus-run-session", "gnome-keyring-daemon"] {
        if !has(program) {
            skip(&format!("{program} is not installed"));
            return None;
        }
    }
    let runtime = env.folder.path().join("runtime");
    std::fs::create_dir_all(&runtime).unwrap();
    let mut command = env.command("dbus-run-session");
    command
        .args(["--", "sh", "-c", script])
        .env("HELPER", env!("CARGO_BIN_EXE_git-credential-ghapp"))
        .env("REQUEST", env.write("request", REQUEST))
        .env("XDG_RUNTIME_DIR", runtime);
    Some(run(&mut command, b""))
}

const UNLOCK: &str = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; ";

fn with_secret_service() -> TestEnv {
    TestEnv::new().with("GHAPP_CACHE", "secret-service")
}

#[test]
fn a_token_is_kept_found_and_erased() {
    let env = with_secret_service();
    let script = format!(
        "{UNLOCK} \"$HELPER\" get < \"$REQUEST\" | tee answer; \"$HELPER\" get < \"$REQUEST\"; \
         cat \"$REQUEST\" answer | \"$HELPER\" erase; \"$HELPER\" get < \"$REQUEST\""
    );
    let Some(ran) = on_a_bus(&env, &script) else { return };
    let passwords: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("password=")).collect();
    assert_eq!(passwords.len(), 3, "{ran:?}");
    assert_eq!(passwords[0], passwords[1], "{ran:?}");
    assert_ne!(passwords[1], passwords[2], "{ran:?}");
    assert_eq!(env.lookups_and_mints(), (1, 2));
    assert!(!env.cache().join("tokens").exists());
}

#[test]
fn a_locked_collection_is_a_miss_and_nobody_is_asked() {
    let env = with_secret_service();
    let script = format!(
        "{UNLOCK} \"$HELPER\" get < \"$REQUEST\" >/dev/null; \
         secret-tool lock --collection=login 2>/dev/null || dbus-send --session --print-reply \
         --dest=org.freedesktop.secrets /org/freedesktop/secrets org.freedesktop.Secret.Service.Lock \
         array:objpath:/org/freedesktop/secrets/collection/login >/dev/null; \
         \"$HELPER\" get < \"$REQUEST\""
    );
    let Some(ran) = on_a_bus(&env, &script) else { return };
    assert!(ran.stdout.contains("password=ghs_"), "{ran:?}");
    assert!(ran.stderr.contains("Secret Service: its collection is locked"), "{ran:?}");
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn a_bus_that_never_answers_costs_one_deadline_and_is_then_not_asked() {
    let env = with_secret_service();
    let socket = env.folder.path().join("bus");
    // Connections are taken by the kernel, and nobody ever reads from them.
    let _bus = UnixListener::bind(&socket).unwrap();
    let env = env.with("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", socket.display()));
    let first = env.get("github.com", "acme/widgets");
    assert!(first.attribute("password").is_some(), "{first:?}");
    let second = env.get("github.com", "acme/widgets");
    assert!(second.attribute("password").is_some(), "{second:?}");
    assert!(
        second.stderr.contains("Secret Service: it did not answer a moment ago, so it is skipped for 180 s"),
        "{second:?}"
    );
}

#[test]
fn without_a_bus_none_is_started() {
    let env = with_secret_service().with("DISPLAY", ":99");
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.attribute("password").is_some());
    assert_eq!(
        answer.stderr,
        "git-credential-ghapp: warning: the token is not cached, so the next call mints again: \
         Secret Service: there is no D-Bus session bus\n"
    );
}

#[test]
fn a_bus_that_is_a_program_is_not_started_with_the_key_in_its_environment() {
    let env = TestEnv::bare().with("GHAPP_CACHE", "secret-service");
    let seen = env.folder.path().join("seen");
    let spy = env.write("script", format!("#!/bin/sh\nenv > '{}'\n", seen.display()));
    let spy = env.install(spy, "spy");
    let env = env
        .with("DBUS_SESSION_BUS_ADDRESS", format!("unix:path=/nowhere;unixexec:path={}", spy.display()))
        .with("GHAPP_APP_ID", common::ACME_APP)
        .with("GHAPP_PRIVATE_KEY", github_simulator::ACME_KEY);
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert!(answer.stderr.contains("Secret Service: there is no D-Bus session bus\n"), "{answer:?}");
    assert!(!seen.exists(), "it was started");
}

#[test]
fn the_private_key_can_be_kept_there_too_and_come_back() {
    let env = TestEnv::bare();
    let key = env.write("home/acme.pem", github_simulator::ACME_KEY);
    let setup = format!(
        "\"$HELPER\" setup --app-id {} --private-key '{}' --move-key keyring",
        common::ACME_APP,
        key.display()
    );
    let script = format!(
        "{UNLOCK} set -e; {setup}; [ ! -e acme.pem ]; {setup}; cat {}; \"$HELPER\" get < \"$REQUEST\"; \
         \"$HELPER\" doctor acme/widgets; \"$HELPER\" setup --undo; [ -e acme.pem ]",
        TestEnv::CONFIG
    );
    let Some(ran) = on_a_bus(&env, &script) else { return };
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in [
        "acme.pem is moved to the keyring, as acme-ci\n",
        "\neverything is set up already\n",
        "\nprivate-key = \"keyring:acme-ci\"\n",
        "\npassword=ghs_",
        "private key: acme-ci in the keyring, SHA256:",
        "acme-ci is out of the keyring, and back at ",
    ] {
        assert!(ran.stdout.contains(part), "{part:?}: {}", ran.stdout);
    }
    assert_eq!(std::fs::read_to_string(key).unwrap(), github_simulator::ACME_KEY);
}

#[test]
fn a_private_key_that_cannot_be_moved_or_read_stays_where_it_is_and_that_is_told() {
    let env = TestEnv::bare();
    let key = env.write("home/acme.pem", github_simulator::ACME_KEY);
    let key = key.to_str().unwrap();
    let app = common::ACME_APP;
    let refused = env.helper(["setup", "--app-id", app, "--private-key", key, "--move-key", "keyring"], "");
    assert!(
        refused.stderr.ends_with(
            "git-credential-ghapp: error: cannot write the private key to the keyring: there is no D-Bus session bus\n\
             git-credential-ghapp: hint: --move-key folder puts it into a file that only you can read\n"
        ),
        "{refused:?}"
    );
    assert!(std::path::Path::new(key).exists() && !env.home().join(TestEnv::CONFIG).exists());
    env.configure(&format!("[[app]]\nid = '{app}'\nprivate-key = 'keyring:acme-ci'\n"));
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!(failed.stdout, "quit=1\n");
    assert!(
        failed.stderr.contains("error: cannot read the private key acme-ci in the keyring (")
            && failed.stderr.contains("there is no D-Bus session bus\n")
            && failed.stderr.contains("hint: unlock the keyring, or name the key's file in private-key\n"),
        "{failed:?}"
    );
}

#[test]
fn a_service_that_lies_about_a_private_key_does_not_make_its_file_go() {
    if !has("dbus-daemon") {
        return skip("dbus-daemon is not installed");
    }
    let setup = ["setup", "--app-id", common::ACME_APP, "--private-key", "acme.pem", "--move-key", "keyring"];
    for (lie, told) in [
        (Lie::KeepsNothing, "what was written cannot be read again"),
        (Lie::HasEverything, "it says that it has a key under every name"),
    ] {
        let service = LyingService::start(lie);
        let env = TestEnv::bare().with("DBUS_SESSION_BUS_ADDRESS", &service.address);
        let key = env.write_private("home/acme.pem", github_simulator::ACME_KEY);
        let before = env.git(["config", "--global", "--list"]).ok();
        let failed = env.helper(setup, "");
        let line = format!("error: cannot write the private key to the keyring: {told}\n");
        assert!(failed.code == Some(1) && failed.stderr.contains(&line), "{failed:?}");
        assert!(failed.stderr.contains("hint: --move-key folder puts it into a file"), "{failed:?}");
        assert_eq!(std::fs::read_to_string(key).unwrap(), github_simulator::ACME_KEY);
        assert!(!env.home().join(TestEnv::CONFIG).exists());
        assert_eq!(env.git(["config", "--global", "--list"]).ok(), before);
    }
}
