//! Other users than the one who set everything up: one without a home, as in a container that is started under any user id,
//! and one who may not read the key.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, REQUEST, TestEnv, has, run, skip};

/// The helper as another user calls it, whom this machine does not know.
fn as_somebody_else(env: &TestEnv) -> std::process::Command {
    let mut command = env.command("setpriv");
    command.args(["--clear-groups", "--reuid=54321", "--regid=54321"]).current_dir("/");
    command.arg(env.install(env!("CARGO_BIN_EXE_git-credential-ghapp"), "helper"));
    command
}

fn may_become_another_user() -> bool {
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !has("setpriv") || !is_root {
        skip("only root can become another user, with setpriv");
        return false;
    }
    true
}

#[test]
fn a_key_that_another_user_may_not_read_is_told_with_whom_its_mode_allows() {
    if !may_become_another_user() {
        return;
    }
    let env = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP);
    let folder = env.folder.path().join("keys");
    let key = env.write_private("keys/acme.pem", github_simulator::ACME_KEY);
    let env = env.with("GHAPP_PRIVATE_KEY_FILE", key.display().to_string());
    let chmod = |mode: &str, path: &std::path::Path| {
        run(env.command("chmod").arg(mode).arg(path), b"").ok();
    };
    let hint = || {
        let mut command = as_somebody_else(&env);
        chmod("go+rx", env.folder.path());
        let told = run(command.args(["token", "--app"]), b"");
        assert!(told.stderr.contains("cannot read the private key "), "{told:?}");
        told.stderr.lines().last().unwrap().to_owned()
    };
    let key = key.display();
    chmod("755", &folder);
    assert!(
        hint().ends_with(&format!(
            "its mode is 600; let a group read it: chgrp GROUP {key} && chmod 640 {key}"
        )),
        "{}",
        hint()
    );
    chmod("640", std::path::Path::new(&key.to_string()));
    assert!(
        hint().ends_with("its mode is 640; be a member of its group, root: usermod -aG root USER"),
        "{}",
        hint()
    );
    chmod("700", &folder);
    assert!(hint().contains("this user may not enter its folder; let it: chmod o+x /"), "{}", hint());
    // Its owner may open it.
    chmod("755", &folder);
    run(env.command("chown").arg("54321").arg(key.to_string()), b"").ok();
    chmod("000", std::path::Path::new(&key.to_string()));
    assert!(
        hint().ends_with(&format!("its mode is 000; let its owner read it: chmod 600 {key}")),
        "{}",
        hint()
    );
}

#[test]
fn the_folders_of_the_xdg_variables_are_used_without_a_home() {
    if !may_become_another_user() {
        return;
    }
    let env = TestEnv::bare();
    let folder = env.folder.path();
    let key = env.write("keys/acme.pem", github_simulator::ACME_KEY);
    let rule = format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n", key.display());
    env.write("xdg/config/git-credential-ghapp/config.toml", rule);
    let helper = env.install(env!("CARGO_BIN_EXE_git-credential-ghapp"), "helper");
    let cache = folder.join("xdg/cache");
    std::fs::create_dir(&cache).unwrap();
    run(env.command("chmod").args(["-R", "go+rX"]).arg(folder), b"").ok();
    // Nobody that this machine knows, and so somebody without a home.
    let user = 54_321;
    std::os::unix::fs::chown(&cache, Some(user), Some(user)).unwrap();
    let get = || {
        let mut command = env.command("setpriv");
        command.args(["--clear-groups", &format!("--reuid={user}"), &format!("--regid={user}")]);
        command.args(["env", "-u", "HOME", "GIT_CONFIG_GLOBAL=/dev/null"]);
        command.arg(format!("XDG_CONFIG_HOME={}", folder.join("xdg/config").display()));
        command.arg(format!("XDG_CACHE_HOME={}", cache.display()));
        command.arg(format!("HTTPS_PROXY={}", env.github.proxy()));
        command.arg(format!("GIT_SSL_CAINFO={}", env.github.ca_file().display()));
        command.arg(&helper).arg("get").current_dir("/");
        run(&mut command, REQUEST.as_bytes())
    };
    let first = get();
    assert_eq!(first.stderr, "");
    assert!(first.attribute("password").is_some(), "{first:?}");
    assert_eq!(get().attribute("password"), first.attribute("password"));
    assert!(cache.join("git-credential-ghapp").exists());
    assert_eq!(env.lookups_and_mints().1, 1);
}
