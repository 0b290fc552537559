//! A user without a home, as in a container that is started under any user id: what the XDG variables name is used.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, REQUEST, TestEnv, has, run, skip};

#[test]
fn the_folders_of_the_xdg_variables_are_used_without_a_home() {
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !has("setpriv") || !is_root {
        return skip("only root can become another user, with setpriv");
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
