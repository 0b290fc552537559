//! What `setup` noted is obeyed by `setup --undo` only where nobody else can have noted it, and only as far as setup writes.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use common::fresh::{Fresh, refused};
use common::{ACME_APP, Ran, TestEnv, has, note, run, skip};

/// A machine where somebody's `setup.json` names these changes, and a file that is none of setup's.
fn with_journal(changes: &str) -> (Fresh, std::path::PathBuf) {
    let fresh = Fresh::new();
    let victim = fresh.env.write("home/victim", "precious");
    let changes = changes.replace("HOME", fresh.env.home().to_str().unwrap());
    let path = fresh.beside("setup.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("[{{\"app\": \"{ACME_APP}\", \"changes\": [{changes}]}}]")).unwrap();
    chmod(&path, 0o600);
    (fresh, victim)
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The file is as it was, and so is the journal: a person may want to see what it names.
#[track_caller]
fn nothing_was_done(fresh: &Fresh, victim: &Path, ran: &Ran) {
    assert_eq!(fs::read_to_string(victim).ok().as_deref(), Some("precious"), "{ran:?}");
    assert!(fresh.beside("setup.json").exists(), "{ran:?}");
}

/// A change that setup makes, and that would be taken back.
const REWRITTEN: &str = r#"{"git": {"scope": "global", "key": "credential.https://github.com.helper", "replaced": [],
    "added": ["store"], "kept": 0}}"#;

#[test]
fn the_journal_of_another_user_is_not_obeyed() {
    let (fresh, victim) = with_journal(REWRITTEN);
    fresh.env.git_config("credential.https://github.com.helper", "store");
    let before = fresh.gitconfig();
    let journal = fresh.beside("setup.json");
    if chown(&journal, Some(65_534), None).is_err() {
        return note("not played: only root can give files away");
    }
    for command in [&["setup", "--undo"][..], &["setup", "--undo", "--dry-run"]] {
        let ran = fresh.env.helper(command.iter().copied(), "");
        refused(&ran, "setup.json is not used: it belongs to user 65534, not to 0", "by hand");
        nothing_was_done(&fresh, &victim, &ran);
        assert_eq!(fresh.gitconfig(), before);
    }
    // Nor does setup write into it.
    let ran = fresh.setup(&[]);
    refused(&ran, "setup.json is not used", "by hand");
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, before));
}

#[test]
fn a_journal_that_others_may_write_or_that_is_a_link_is_not_obeyed() {
    for mode in [0o606, 0o666, 0o622, 0o660] {
        let (fresh, victim) = with_journal(REWRITTEN);
        chmod(&fresh.beside("setup.json"), mode);
        let ran = fresh.undo();
        refused(&ran, "setup.json is not used: other users may write it", "by hand");
        nothing_was_done(&fresh, &victim, &ran);
    }
    let (fresh, victim) = with_journal(REWRITTEN);
    let journal = fresh.beside("setup.json");
    let elsewhere = fresh.env.home().join("elsewhere");
    fs::rename(&journal, &elsewhere).unwrap();
    symlink(&elsewhere, &journal).unwrap();
    let ran = fresh.undo();
    refused(&ran, "setup.json is not used: it is a symbolic link", "by hand");
    nothing_was_done(&fresh, &victim, &ran);
}

#[test]
fn a_journal_in_a_folder_where_others_may_put_files_is_not_obeyed() {
    for (mode, group) in [(0o777, None), (0o757, None), (0o775, Some(65_534))] {
        let (fresh, victim) = with_journal(REWRITTEN);
        let folder = fresh.beside("");
        chmod(&folder, mode);
        if group.is_some() && chown(&folder, None, group).is_err() {
            note("not played: only root can give files away");
            continue;
        }
        let ran = fresh.undo();
        refused(&ran, "setup.json is not used: other users may write its folder", "by hand");
        nothing_was_done(&fresh, &victim, &ran);
    }
    let (fresh, victim) = with_journal(REWRITTEN);
    if chown(fresh.beside(""), Some(65_534), None).is_err() {
        return note("not played: only root can give files away");
    }
    let ran = fresh.undo();
    refused(&ran, "setup.json is not used: its folder belongs to user 65534", "by hand");
    nothing_was_done(&fresh, &victim, &ran);
}

#[test]
fn where_new_files_are_for_the_users_own_group_too_setup_is_taken_back_as_everywhere() {
    let fresh = Fresh::new();
    let script = format!(
        "umask 002 && \"$HELPER\" setup --app-id {ACME_APP} --private-key \"$KEY\" --move-key folder --all-owners && \
         \"$HELPER\" setup --undo"
    );
    let mut command = fresh.env.command("sh");
    command.args(["-c", &script]).env("KEY", &fresh.key);
    command.env("HELPER", env!("CARGO_BIN_EXE_git-credential-ghapp"));
    let ran = run(&mut command, b"");
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(!fresh.beside("setup.json").exists());
    assert_eq!(fresh.config(), None);
    assert!(fresh.key.exists());
}

#[test]
fn a_journal_is_for_its_user_alone() {
    let fresh = Fresh::new();
    fresh.setup(&["--all-owners"]).ok();
    let mode = fs::metadata(fresh.beside("setup.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_setup_never_writes_is_not_taken_back() {
    let rewritten = REWRITTEN;
    let git = |key: &str, replaced: &str| {
        rewritten
            .replace("credential.https://github.com.helper", key)
            .replace("\"replaced\": []", &format!("\"replaced\": [{replaced}]"))
    };
    for change in [
        // Another file, removed or written.
        r#"{"file": {"path": "HOME/victim", "before": null, "after": "precious"}}"#.to_owned(),
        r#"{"file": {"path": "HOME/victim", "before": "evil", "after": "precious"}}"#.to_owned(),
        r#"{"file": {"path": "HOME/.config/git-credential-ghapp/../../victim", "before": null, "after": "precious"}}"#
            .to_owned(),
        r#"{"file": {"path": "HOME/.config/git-credential-ghapp/more.sh", "before": null, "after": "rm -rf"}}"#.to_owned(),
        // A file that is moved to where it is run.
        r#"{"key-file": {"from": "HOME/.profile", "to": "HOME/victim"}}"#.to_owned(),
        r#"{"key-file": {"from": "HOME/.profile", "to": "HOME/.config/git-credential-ghapp/keys/../../../victim"}}"#.to_owned(),
        r#"{"key-to-keyring": {"from": "HOME/.profile", "name": "../x"}}"#.to_owned(),
        // Settings of git's that setup does not know, and values of those that it only adds to.
        git("core.sshCommand", ""),
        git("core.pager", "\"evil\""),
        git("credential.https://github.com.helper", "\"!evil\""),
        git("url.https://github.com/.insteadOf", "\"https://evil.example/\""),
        git("includeIf.hasconfig:remote.*.url:https://github.com/acme/**.path", "\"/tmp/evil\""),
        git("include.path", ""),
        git("http.https://github.com.proxy", "\"http://evil.example\""),
        git("credential.https://github.com.helper\\nx", ""),
        git("alias.useHttpPath", "\"!evil\""),
        rewritten.replace("\"global\"", r#"{"file": "HOME/victim"}"#),
        rewritten.replace("\"global\"", r#"{"file": "../config"}"#),
    ] {
        // After one that is right: nothing is done by halves.
        let (fresh, victim) = with_journal(&format!("{change}, {rewritten}"));
        fresh.env.git_config("credential.https://github.com.helper", "store");
        let before = fresh.gitconfig();
        let ran = fresh.undo();
        refused(&ran, "setup.json is not used: it names ", "by hand");
        nothing_was_done(&fresh, &victim, &ran);
        assert_eq!(fresh.gitconfig(), before, "{change}");
        assert!(!fresh.env.home().join(".profile").exists(), "{change}");
    }
}

#[test]
fn root_does_not_obey_what_a_user_left_in_a_home_that_both_use() {
    // `sudo git-credential-ghapp setup --undo` with a HOME that stays the user's.
    if !has("setpriv") {
        return skip("setpriv is not installed");
    }
    let Some(env) = TestEnv::for_several_users() else { return skip("no folder that others may enter") };
    let folder = env.home().join(TestEnv::CONFIG).parent().unwrap().to_owned();
    let victim = env.write("victim", "precious");
    if chown(&folder, Some(54_321), None).is_err() {
        return note("not played: only root can give files away");
    }
    let change =
        format!(r#"{{"file": {{"path": "{}", "before": null, "after": "precious"}}}}"#, victim.display());
    let journal = folder.join("setup.json");
    fs::write(&journal, format!("[{{\"app\": \"{ACME_APP}\", \"changes\": [{change}]}}]")).unwrap();
    chown(&journal, Some(54_321), None).unwrap();
    chmod(&journal, 0o600);
    let ran = env.helper(["setup", "--undo"], "");
    refused(&ran, "is not used: ", "by hand");
    assert!(victim.exists());
}
