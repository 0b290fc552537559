//! `shim gh`: a `gh` before the real one in PATH that has a fresh token for what each call is about.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{ACME_APP, GLOBEX_APP, Ran, TestEnv, has, run, skip};
use github_simulator::{ACME_KEY, GLOBEX_KEY};

/// Stands for the real gh: tells what it was given.
const FAKE: &str =
    "#!/bin/sh\nprintf '%s|%s|' \"${GH_TOKEN-none}\" \"${GHAPP_PRIVATE_KEY-no key}\"; printf '<%s>' \"$@\"\n";

/// Two Apps, each for an owner, a `gh` in a folder of its own, and a shim before it.
fn with_shim() -> TestEnv {
    let env = TestEnv::bare();
    let acme = env.write_private("keys/acme.pem", ACME_KEY);
    let globex = env.write_private("keys/globex.pem", GLOBEX_KEY);
    env.configure(&format!(
        "[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\nowners = ['acme']\n\
         [[app]]\nid = '{GLOBEX_APP}'\nprivate-key = '{}'\nowners = ['globex']\n",
        acme.display(),
        globex.display()
    ));
    env.install(env.write("fake", FAKE), "real/gh");
    let told = shim(&env, &["--dir", "shims"]).ok();
    let (shims, real) = (env.home().join("shims/gh"), env.folder.path().join("real/gh"));
    assert_eq!(told, format!("{} runs {} as the App\n", shims.display(), real.display()));
    env
}

/// The folders of PATH: the shim's, the real one's, and all others.
fn path(env: &TestEnv) -> String {
    let helper = Path::new(env!("CARGO_BIN_EXE_git-credential-ghapp")).parent().unwrap();
    let folders = [env.home().join("shims"), env.folder.path().join("real"), helper.to_owned()];
    let folders: Vec<_> = folders.iter().map(|it| it.display().to_string()).collect();
    format!("{}:{}", folders.join(":"), common::variable("PATH").unwrap())
}

fn shim(env: &TestEnv, more: &[&str]) -> Ran {
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    run(command.env("PATH", path(env)).args(["shim", "gh"]).args(more), b"")
}

/// Runs gh as a shell finds it.
fn gh_command(env: &TestEnv, arguments: &[&str]) -> Command {
    let mut command = env.command("sh");
    command.env("PATH", path(env)).args(["-c", "gh \"$@\"", "sh"]).args(arguments);
    command
}

fn gh(env: &TestEnv, arguments: &[&str]) -> Ran {
    run(&mut gh_command(env, arguments), b"")
}

/// Whose token the fake gh got.
fn installation(env: &TestEnv, told: &str) -> Option<u64> {
    let token = told.split('|').next().unwrap();
    env.github.world().tokens.iter().find(|it| it.text == token).map(|it| it.installation)
}

#[test]
fn each_call_has_a_token_for_what_it_is_about() {
    let env = with_shim();
    let (acme, globex) = (Some(common::ACME_ON_ACME), Some(common::GLOBEX_ON_GLOBEX));
    for (arguments, expected) in [
        (&["pr", "list", "-R", "acme/widgets"][..], acme),
        (&["pr", "list", "--repo=globex/gears"], globex),
        (&["api", "repos/globex/gears/pulls"], globex),
        (&["api", "repos/acme/widgets"], acme),
        (&["repo", "clone", "globex/gears"], globex),
    ] {
        let told = gh(&env, arguments).ok();
        assert_eq!(installation(&env, &told), expected, "{arguments:?}: {told}");
        assert!(told.ends_with(&format!("|no key|<{}>", arguments.join("><"))), "{told}");
    }
    // The flag comes before the variable, and that before the folder's remote.
    env.git(["clone", "-q", "https://github.com/acme/widgets"]).ok();
    let inside = |variable: Option<&str>, arguments: &[&str]| {
        let mut command = gh_command(&env, arguments);
        let ran = run(
            command.current_dir(env.home().join("widgets")).envs(variable.map(|it| ("GH_REPO", it))),
            b"",
        );
        installation(&env, &ran.ok())
    };
    assert_eq!(inside(None, &["pr", "list"]), acme);
    assert_eq!(inside(Some("globex/gears"), &["pr", "list"]), globex);
    assert_eq!(inside(Some("globex/gears"), &["pr", "list", "-R", "acme/widgets"]), acme);
}

#[test]
fn gh_is_run_as_it_is_where_no_app_is_configured_and_where_it_needs_no_token() {
    let env = with_shim().with("GH_TOKEN", "mine");
    for arguments in
        [&["pr", "list", "-R", "initech/tps"][..], &["--version"], &["pr", "--help"], &["completion"], &[]]
    {
        assert!(gh(&env, arguments).ok().starts_with("mine|"), "{arguments:?}");
    }
    assert!(env.github.log().is_empty());
}

#[test]
fn it_is_told_when_it_is_not_clear_which_token_is_meant_and_when_there_is_none() {
    let env = with_shim();
    let unclear = gh(&env, &["pr", "list"]);
    assert_eq!((unclear.code, unclear.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        unclear.stderr,
        "git-credential-ghapp: error: it is not clear which owner is meant: acme or globex\n\
         git-credential-ghapp: hint: git-credential-ghapp exec --for acme, or run this in a clone\n"
    );
    env.github.world().installations.clear();
    let failed = gh(&env, &["pr", "list", "-R", "acme/widgets"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    assert!(
        failed.stderr.starts_with("git-credential-ghapp: error: App acme-ci is not installed on "),
        "{failed:?}"
    );
}

#[test]
fn the_key_in_a_variable_does_not_reach_gh() {
    let env = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", ACME_KEY);
    env.install(env.write("fake", FAKE), "real/gh");
    shim(&env, &["--dir", "shims"]).ok();
    for arguments in [&["pr", "list", "-R", "acme/widgets"][..], &["--version"]] {
        assert!(gh(&env, arguments).ok().contains("|no key|"), "{arguments:?}");
    }
}

#[test]
fn the_real_one_is_never_a_shim_and_a_wrapper_that_calls_it_ends() {
    let env = with_shim();
    // Another one, and a link to one, stand in PATH too.
    shim(&env, &["--dir", "more"]).ok();
    std::fs::remove_file(env.folder.path().join("real/gh")).unwrap();
    std::os::unix::fs::symlink(env.home().join("more/gh"), env.folder.path().join("real/gh")).unwrap();
    let folders = format!(
        "{}/shims:{}/more:{}/real",
        env.home().display(),
        env.home().display(),
        env.folder.path().display()
    );
    let only = |folders: &str| {
        let mut command = env.command("/bin/sh");
        command.env("PATH", folders).args(["-c", "gh --version"]);
        run(&mut command, b"")
    };
    let failed = only(&folders);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(
        failed.stderr.starts_with("git-credential-ghapp: error: gh is not found in PATH\n"),
        "{failed:?}"
    );
    env.install(env.write("calls-gh", "#!/bin/sh\nexec gh \"$@\"\n"), "wrapper/gh");
    let failed = only(&format!("{folders}:{}/wrapper", env.folder.path().display()));
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.starts_with("git-credential-ghapp: error: gh calls itself again and again\n"),
        "{failed:?}"
    );
}

#[test]
fn what_is_no_shim_stays_and_a_shim_can_be_written_and_removed_again_and_again() {
    let env = with_shim();
    let real = env.folder.path().join("real");
    let refused = shim(&env, &["--dir", real.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("/real/gh is there and is another program\n"), "{refused:?}");
    let refused = shim(&env, &["--remove", "--dir", real.to_str().unwrap()]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert_eq!(std::fs::read_to_string(real.join("gh")).unwrap(), FAKE);
    shim(&env, &["--dir", "shims"]).ok();
    let file = env.home().join("shims/gh");
    assert_eq!(shim(&env, &["--remove"]).ok(), format!("{} is removed\n", file.display()));
    assert!(!file.exists());
    assert_eq!(
        shim(&env, &["--remove"]).stderr.lines().next(),
        Some("git-credential-ghapp: error: no shim for gh is there")
    );
    // Where nobody would find it, it is told.
    let told = env.helper(["shim", "gh"], "");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stderr.contains("/.local/bin does not stand before the real gh in PATH\n"), "{told:?}");
    assert!(told.stderr.contains("hint: export PATH="), "{told:?}");
}

#[test]
fn uninstall_removes_it_too() {
    let env = with_shim();
    let uninstall = |how: &str| {
        let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        run(command.env("PATH", path(&env)).args(["uninstall", how]), b"").ok()
    };
    let file = env.home().join("shims/gh");
    assert!(uninstall("--dry-run").contains(&format!("{} is removed\n", file.display())));
    assert!(file.exists());
    assert!(uninstall("--yes").contains(&format!("removed {}\n", file.display())));
    assert!(!file.exists() && env.folder.path().join("real/gh").exists());
}

#[test]
fn a_call_that_names_another_host_has_no_token() {
    let env = TestEnv::new();
    env.install(env.write("fake", FAKE), "real/gh");
    shim(&env, &["--dir", "shims"]).ok();
    for line in [
        "api https://evil.example/repos/acme/widgets",
        "api http://github.com/repos/acme/widgets",
        "api https://github.com@evil.example/repos/acme/widgets",
        "api https://api.github.com.evil.example/repos/acme/widgets",
        "api -X POST repos/acme/widgets --hostname evil.example",
        "api repos/acme/widgets --hostname=evil.example",
        "repo view evil.example/acme/widgets",
        "repo clone git@evil.example:acme/widgets",
        "repo clone intranet/acme/widgets",
        "repo fork http://evil.example/acme/widgets",
        "repo sync --source=evil.example/acme/widgets acme/widgets",
        "pr list -R acme/widgets -R ssh://git@evil.example/acme/widgets",
        "pr view -c https://evil.example/acme/widgets/pull/1",
        "pr view -chttps://evil.example/acme/widgets/pull/1 -R acme/widgets",
        "pr view -R acme/widgets -- https://evil.example/acme/widgets/pull/1",
        "pr view https://github.com/acme/widgets/pull/1 https://evil.example/acme/widgets/pull/1",
        "issue list -Rintranet/acme/widgets",
        "myalias -R acme/widgets https://github.com/acme/widgets",
        "extension exec mine acme https://github.com/acme/widgets",
        "extension install intranet/acme/gh-mine",
        "myalias intranet/acme/widgets",
        "auth git-credential get",
        "auth git-credential get --hostname github.com",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        assert!(gh(&env, &arguments).ok().starts_with("none|"), "{line}");
    }
    for (variable, value) in [("GH_HOST", "evil.example"), ("GH_REPO", "evil.example/acme/widgets")] {
        let mut command = gh_command(&env, &["pr", "list", "-R", "github.com/acme/widgets"]);
        assert!(run(command.env(variable, value), b"").ok().starts_with("none|"), "{variable}");
    }
    assert!(env.github.log().is_empty());
    for line in [
        "api https://api.github.com/repos/acme/widgets",
        "api repos/acme/widgets --hostname github.com",
        "repo view GitHub.com/acme/widgets",
        "repo clone git@github.com:acme/widgets",
        "pr view https://github.com/acme/widgets/pull/1 -R=github.com/acme/widgets",
        "pr create -R acme/widgets -H fix/of/it -b text",
        "myalias -R acme/widgets",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let told = gh(&env, &arguments).ok();
        assert_eq!(installation(&env, &told), Some(common::ACME_ON_ACME), "{line}: {told}");
    }
}

#[test]
fn only_the_file_that_is_written_becomes_executable_and_only_a_whole_mark_is_one() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let env = with_shim();
    let file = env.home().join("shims/gh");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    let traced = env.folder.path().join("trace");
    if has("strace") {
        let mut command = env.command("strace");
        let program = env!("CARGO_BIN_EXE_git-credential-ghapp");
        command
            .env("PATH", path(&env))
            .args(["-qq", "-f", "-e", "trace=?chmod,?fchmodat", "-o"])
            .arg(&traced);
        run(command.args([program, "shim", "gh", "--dir", "shims"]), b"").ok();
        assert_eq!(std::fs::read_to_string(&traced).unwrap(), "", "a mode is set by a path");
    }
    let mine = "#!/bin/sh\n# Not Written by git-credential-ghapp shim.\n";
    std::fs::write(&file, mine).unwrap();
    let before = file.metadata().unwrap().ino();
    assert_eq!(shim(&env, &["--remove", "--dir", "shims"]).code, Some(1));
    assert_eq!(shim(&env, &["--dir", "shims"]).code, Some(1));
    assert_eq!(
        (std::fs::read_to_string(&file).unwrap().as_str(), file.metadata().unwrap().ino()),
        (mine, before)
    );
}

#[test]
fn the_real_gh_works_an_hour_later_and_after_that() {
    if !has("gh") || !has("faketime") {
        return skip("gh or faketime is not installed");
    }
    let env = with_shim();
    std::fs::remove_dir_all(env.folder.path().join("real")).unwrap();
    let (proxy, ca) = (env.github.proxy().to_owned(), env.github.ca_file().display().to_string());
    let env = env.with("HTTPS_PROXY", proxy).with("SSL_CERT_FILE", ca).with("GH_NO_UPDATE_NOTIFIER", "1");
    let library = run(env.command("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]), b"").ok();
    for minutes in [0, 61, 122] {
        env.github.world().clock_offset = minutes * 60;
        let mut command = gh_command(&env, &["api", "repos/acme/widgets", "--jq", ".full_name"]);
        command.env("LD_PRELOAD", library.trim_end()).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let ran = run(command.env("FAKETIME", format!("+{minutes}m")), b"");
        assert_eq!(ran.ok(), "acme/widgets\n", "after {minutes} minutes");
    }
    assert_eq!(env.lookups_and_mints().1, 3);
}
