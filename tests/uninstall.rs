//! `uninstall`: what the program keeps on a machine goes, in an order in which nothing is orphaned.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::path::Path;

use common::fresh::{Fresh, refused};
use common::{ACME_APP, Ran, WIDGETS, run, skip};
use github_simulator::{ACME_KEY, Effect, ROGUE_KEY};

const PROGRAM: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");

/// A machine that is set up and used.
struct Used(Fresh);

impl Used {
    /// `None` where the machine that the tests run on is set up itself: root would take that back.
    fn new() -> Option<Self> {
        if Path::new("/etc/git-credential-ghapp").exists() {
            skip("this machine is set up itself");
            return None;
        }
        let fresh = Fresh::new();
        fresh.setup(&["--move-key", "folder"]).ok();
        fresh.env.git(["ls-remote", WIDGETS]).ok();
        Some(Self(fresh))
    }

    fn uninstall(&self, more: &[&str]) -> Ran {
        self.0.env.helper(["uninstall"].iter().chain(more).copied(), "")
    }

    fn valid_tokens(&self) -> usize {
        self.0.env.github.world().tokens.iter().filter(|token| !token.revoked).count()
    }

    #[track_caller]
    fn assert_all_is_there(&self) {
        let key = self.0.beside("keys").join("acme-ci.pem");
        assert!(self.0.env.cache().exists() && self.0.config().is_some() && key.exists());
        assert_eq!(self.valid_tokens(), 1);
        assert_eq!(self.0.git_values("credential.https://github.com.helper"), ["", PROGRAM]);
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        assert!(!self.0.env.cache().exists() && !self.0.beside("").exists());
        assert_eq!(std::fs::read_to_string(&self.0.key).unwrap(), ACME_KEY, "the key is where it was");
        assert_eq!(self.0.git_values("credential.https://github.com.helper"), [""; 0]);
    }
}

#[test]
fn everything_goes_and_the_key_is_back() {
    let Some(used) = Used::new() else { return };
    used.assert_all_is_there();
    let told = used.uninstall(&["--yes"]).ok();
    for part in [
        "this will be done:\n  1 cached token is revoked at GitHub and deleted\n",
        "acme-ci.pem is moved back to ",
        &format!("\n  {} is removed\n", used.0.env.cache().display()),
        "\nremoved 1 token, revoked 1\nundone:\n",
        &format!("\nremoved {}\n", used.0.env.cache().display()),
        &format!("\nwhat is left is the program itself; to remove it: rm {PROGRAM}\n"),
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    assert_eq!(used.valid_tokens(), 0);
    used.assert_nothing_is_left();
    let again = used.uninstall(&["--yes"]).ok();
    assert!(again.starts_with("there is nothing to remove\nwhat is left is the program"), "{again}");
}

#[test]
fn it_shows_what_it_would_do_and_does_nothing_unless_somebody_agrees() {
    let Some(used) = Used::new() else { return };
    let shown = used.uninstall(&["--dry-run"]).ok();
    for part in
        ["this would be done:\n", "1 cached token is revoked", "acme-ci.pem is moved back to ", "useHttpPath"]
    {
        assert!(shown.contains(part), "{part:?}: {shown}");
    }
    used.assert_all_is_there();
    refused(&used.uninstall(&[]), "there is nobody to confirm this", "uninstall --yes");
    used.assert_all_is_there();
    let Some(declined) = used.0.env.at_a_terminal("uninstall", "n\n") else { return };
    assert_eq!(declined.code, Some(1), "{declined:?}");
    assert!(declined.stdout.contains("continue? [Y/n]: "), "{declined:?}");
    assert!(declined.stdout.contains("error: nothing was changed"), "{declined:?}");
    used.assert_all_is_there();
    let agreed = used.0.env.at_a_terminal("uninstall", "y\n").unwrap();
    assert_eq!(agreed.code, Some(0), "{agreed:?}");
    used.assert_nothing_is_left();
}

#[test]
fn a_token_that_cannot_be_revoked_is_told_and_keeps_nothing_from_going() {
    let Some(used) = Used::new() else { return };
    used.0.env.fault("DELETE /installation/token", 100, Effect::Answer(403, Vec::new(), b"{}".to_vec()));
    let told = used.uninstall(&["--yes"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("was removed here but not revoked, and stays valid until "), "{told:?}");
    assert!(!told.stdout.contains("revoked 1"), "{told:?}");
    used.assert_nothing_is_left();
}

#[test]
fn a_token_that_nobody_can_revoke_any_more_is_not_promised_and_does_not_keep_the_program() {
    let Some(used) = Used::new() else { return };
    used.0.undo().ok();
    let shown = used.uninstall(&["--dry-run"]).ok();
    let line = format!("logout --all --app-id {ACME_APP} --private-key FILE");
    for part in ["1 cached token is deleted, but not revoked: valid until ", line.as_str()] {
        assert!(shown.contains(part), "{part:?}: {shown}");
    }
    assert!(!shown.contains("revoked at GitHub"), "{shown}");
    // What install.sh calls: a failure would keep the program, as if it were of use still.
    let told = used.uninstall(&["--yes", "--with-program"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stderr.contains("was removed here but not revoked"), "{told:?}");
    assert_eq!(used.valid_tokens(), 1);
    used.assert_nothing_is_left();
}

#[test]
fn what_cannot_be_taken_back_is_told_and_can_be_tried_again() {
    let Some(used) = Used::new() else { return };
    let lock = used.0.env.write("home/.gitconfig.lock", "");
    let told = used.uninstall(&["--yes"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("could not lock config file"), "{told:?}");
    assert!(!told.stdout.contains("undone:") && !told.stdout.contains("the program itself"), "{told:?}");
    assert!(!used.0.env.cache().exists() && used.0.config().is_some());
    std::fs::remove_file(lock).unwrap();
    used.uninstall(&["--yes"]).ok();
    used.assert_nothing_is_left();
}

#[test]
fn a_configuration_that_cannot_be_understood_keeps_nothing_else_from_going() {
    let Some(used) = Used::new() else { return };
    used.0.env.configure("this is not TOML");
    let told = used.uninstall(&["--yes"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("config.toml, line 1"), "{told:?}");
    assert!(told.stderr.contains("config.toml was edited"), "{told:?}");
    assert!(!used.0.env.cache().exists());
    assert_eq!(used.0.git_values("credential.https://github.com.helper"), [""; 0]);
    assert_eq!(used.0.config().unwrap(), "this is not TOML");
}

#[test]
fn another_key_in_the_place_of_the_old_one_is_not_written_over() {
    let Some(used) = Used::new() else { return };
    used.0.env.write_private("home/acme.pem", ROGUE_KEY);
    let told = used.uninstall(&["--yes"]).ok();
    let key = used.0.beside("keys").join("acme-ci.pem");
    assert!(told.contains(&format!("{} is kept: a private key is never deleted\n", key.display())), "{told}");
    assert_eq!(std::fs::read_to_string(key).unwrap(), ACME_KEY);
    assert_eq!(std::fs::read_to_string(&used.0.key).unwrap(), ROGUE_KEY);
}

#[test]
fn what_a_person_wrote_stays_and_is_named() {
    let Some(used) = Used::new() else { return };
    used.0.undo().ok();
    used.0.env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n", used.0.key.display()));
    used.0.env.git_config("credential.https://github.com.helper", "ghapp");
    let told = used.uninstall(&["--yes"]).ok();
    assert!(told.contains("config.toml is kept: setup did not write it, or it was edited since\n"), "{told}");
    let line =
        told.lines().find_map(|line| line.strip_prefix("git still calls this program; to stop that: "));
    run(used.0.env.command("sh").args(["-c", line.unwrap_or_else(|| panic!("{told}"))]), b"").ok();
    assert_eq!(used.0.git_values("credential.https://github.com.helper"), [""; 0]);
    assert!(used.0.config().is_some());
    // A secret in it is not shown.
    used.0.env.git_config("credential.helper", "!f() { GHAPP_X=canary git-credential-ghapp \"$@\"; }; f");
    let told = used.uninstall(&["--yes"]);
    assert!(told.stdout.contains(" --edit, at credential.helper\n"), "{told:?}");
    assert!(!format!("{told:?}").contains("canary"), "{told:?}");
}

#[test]
fn in_the_cache_folder_only_what_is_its_own_goes() {
    let Some(used) = Used::new() else { return };
    let foreign = used.0.env.cache().join("tokens/photo.jpg");
    std::fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    std::fs::write(&foreign, "not a token").unwrap();
    let shown = used.uninstall(&["--dry-run"]).ok();
    assert!(shown.contains("git-credential-ghapp is removed; other files in it stay\n"), "{shown}");
    let told = used.uninstall(&["--yes"]).ok();
    assert!(
        told.contains("git-credential-ghapp is kept: it holds files that are not this program's\n"),
        "{told}"
    );
    let left: Vec<_> =
        std::fs::read_dir(used.0.env.cache()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!((left.len(), foreign.exists()), (1, true), "{left:?}");
    // One that leads elsewhere is left alone.
    std::fs::remove_dir_all(used.0.env.cache()).unwrap();
    let elsewhere = used.0.env.write("elsewhere/tokens/x", "x");
    std::os::unix::fs::symlink(used.0.env.folder.path().join("elsewhere"), used.0.env.cache()).unwrap();
    for how in ["--dry-run", "--yes"] {
        let refused = used.uninstall(&[how]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("is not used: it is a symbolic link"), "{refused:?}");
        assert!(!refused.stdout.contains("git-credential-ghapp is removed"), "{refused:?}");
    }
    assert!(elsewhere.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn an_administrator_takes_back_what_is_for_the_machine_and_nobody_else_does() {
    let fresh = Fresh::new();
    let in_an_etc_of_its_own = |script: &str| {
        let mut unshare = fresh.env.command("unshare");
        unshare.args(["--mount", "sh", "-ec", &format!("mount -t tmpfs none /etc; {script}")]);
        unshare.env("GIT_CONFIG_NOSYSTEM", "0").env("GIT_CONFIG_SYSTEM", "/etc/gitconfig");
        run(&mut unshare, b"")
    };
    if !["unshare", "setpriv"].into_iter().all(common::has) || in_an_etc_of_its_own("true").code != Some(0) {
        return skip("this user may not have an /etc of its own");
    }
    let told = in_an_etc_of_its_own(&format!(
        "{PROGRAM} setup --system --app-id {ACME_APP} --private-key acme.pem
         mkdir /etc/bin; cp {PROGRAM} /etc/bin/; cd /
         HOME=/nowhere setpriv --clear-groups --reuid=54321 --regid=54321 /etc/bin/git-credential-ghapp uninstall --yes
         find /etc -name setup.json; echo an administrator:
         {PROGRAM} uninstall --yes; rm -r /etc/bin; find /etc -type f; echo all of it"
    ));
    let told = told.ok();
    let (somebody, administrator) =
        told.split_once("/etc/git-credential-ghapp/setup.json\nan administrator:\n").unwrap();
    let line = "what setup wrote for the whole machine is kept; an administrator can undo it: ";
    assert!(somebody.contains(line) && somebody.contains("setup --system --undo\n"), "{told}");
    assert!(administrator.contains("git config --system credential.https://github.com.helper"), "{told}");
    assert!(!administrator.contains(line) && administrator.contains("undone:"), "{told}");
    let left = administrator.rsplit_once("git-credential-ghapp\n").unwrap().1;
    assert_eq!(left, "all of it\n", "{told}");
}

#[test]
fn the_program_is_removed_by_what_installed_it() {
    let fresh = Fresh::new();
    if Path::new("/etc/git-credential-ghapp").exists() {
        return skip("this machine is set up itself");
    }
    let removal = |folder: &str, beside: &str| {
        let program = fresh.env.install(PROGRAM, &format!("{folder}/bin/git-credential-ghapp"));
        fresh.env.write(&format!("{folder}/{beside}"), "");
        let told = run(fresh.env.command(program).args(["uninstall", "--yes"]), b"").ok();
        told.rsplit_once("; to remove it: ").unwrap().1.trim().to_owned()
    };
    let home = fresh.env.folder.path().display().to_string();
    assert_eq!(removal("cargo", ".crates.toml"), "cargo uninstall git-credential-ghapp");
    assert_eq!(
        removal("a b", "share/man/man1/git-credential-ghapp.1"),
        format!("PREFIX='{home}/a b' ./install.sh --uninstall")
    );
    for (folder, manager) in [("homebrew/Cellar", "brew"), ("scoop/apps", "scoop")] {
        let folder = format!("{folder}/git-credential-ghapp/0.1.0");
        let beside = "share/man/man1/git-credential-ghapp.1";
        assert_eq!(removal(&folder, beside), format!("{manager} uninstall git-credential-ghapp"));
    }
    assert_eq!(removal("other", "x"), format!("rm {home}/other/bin/git-credential-ghapp"));
}

#[test]
fn a_configuration_that_is_named_is_all_that_is_taken_back() {
    let Some(used) = Used::new() else { return };
    let env = &used.0.env;
    let named = env.write_private("named/acme.pem", ACME_KEY);
    let file = env.folder.path().join("named/config.toml").display().to_string();
    let arguments = [
        "setup",
        "--app-id",
        ACME_APP,
        "--private-key",
        named.to_str().unwrap(),
        "--local",
        "--config",
        &file,
    ];
    env.git(["init", "--quiet", "clone"]).ok();
    let mut setup = env.command(PROGRAM);
    run(setup.args(arguments).current_dir(env.home().join("clone")), b"").ok();
    let told = env.helper(["uninstall", "--yes", "--config", &file], "").ok();
    assert!(told.contains("undone:"), "{told}");
    assert!(!Path::new(&file).exists() && used.0.config().is_some());
}
