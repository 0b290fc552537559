//! `setup` and a person at a terminal: what is typed in vain is asked for again, and nothing is taken for an agreement.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::time::Duration;

use common::fresh::Fresh;
use common::{ACME_APP, ACME_ON_ACME, Ran, TestEnv};
use github_simulator::ACME_KEY;

fn typed(fresh: &Fresh, arguments: &str, answers: &str) -> Option<Ran> {
    fresh.env.at_a_terminal(&format!("setup {arguments}"), answers)
}

/// `setup` for acme's App.
fn with_acme(fresh: &Fresh, more: &str) -> String {
    format!("--app-id {ACME_APP} --private-key {} {more}", fresh.key.display())
}

#[test]
fn what_is_not_understood_is_never_taken_for_an_agreement() {
    let fresh = Fresh::new();
    let answers = format!("\n\n{}", "maybe\n".repeat(20));
    let Some(told) = typed(&fresh, &with_acme(&fresh, ""), &answers) else { return };
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.stdout.matches("error: answer y or n").count(), 5, "{told:?}");
    assert!(told.stdout.contains("error: no answer was understood, and nothing was changed"), "{told:?}");
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
}

#[test]
fn an_id_and_a_file_that_are_wrong_are_asked_for_again() {
    let fresh = Fresh::new();
    let key = fresh.key.display();
    let answers = format!("4711\n{key}\n{ACME_APP}\nnope.pem\n{ACME_APP}\n{key}\n\n\ny\n");
    let Some(told) = typed(&fresh, "", &answers) else { return };
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("error: there is no App 4711 on "), "{told:?}");
    assert!(told.stdout.contains("nope.pem"), "{told:?}");
    assert!(told.stdout.contains("git ls-remote https://github.com/acme/widgets.git works"), "{told:?}");
}

#[test]
fn an_owner_who_is_not_in_the_list_is_asked_for_again() {
    let fresh = Fresh::new();
    let Some(told) = typed(&fresh, &with_acme(&fresh, ""), "acmee\nnot a/name\nACME\n\ny\n") else { return };
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("error: the App is not installed on acmee"), "{told:?}");
    assert!(fresh.config().unwrap().contains("owners = [\"acme\"]"), "{told:?}");
}

#[test]
fn the_key_that_github_downloaded_last_is_offered() {
    for folder in ["Downloads", "."] {
        let fresh = Fresh::new();
        fresh.env.write(&format!("home/{folder}/acme-ci.2026-11-01.private-key.pem"), "an older one");
        let path = fresh.env.home().join(folder).join("acme-ci.2026-11-01.private-key.pem");
        let before = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
        fresh.env.write_private(&format!("home/{folder}/acme-ci.2026-11-25.private-key.pem"), ACME_KEY);
        let Some(told) = typed(&fresh, "", &format!("{ACME_APP}\n\n\n\ny\n")) else { return };
        assert_eq!(told.code, Some(0), "{told:?}");
        let offered = "file with the App's private key [";
        assert!(told.stdout.contains(offered), "{told:?}");
        assert!(fresh.config().unwrap().contains("acme-ci.2026-11-25.private-key.pem"), "{told:?}");
    }
}

#[test]
fn who_has_not_installed_the_app_yet_does_that_while_setup_waits() {
    let fresh = Fresh::new();
    fresh.env.github.world().installations.retain(|it| it.app != 101);
    let arguments = with_acme(&fresh, "");
    let told = std::thread::scope(|scope| {
        let setup = scope.spawn(|| typed(&fresh, &arguments, "\ny\n"));
        while fresh.env.github.world().count("GET /app/installations") < 2 && !setup.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        fresh.env.github.world().install(ACME_ON_ACME, 101, "acme");
        setup.join().unwrap()
    });
    let Some(told) = told else { return };
    assert_eq!(told.code, Some(0), "{told:?}");
    let page = "install it at https://github.com/apps/acme-ci/installations/new";
    assert!(told.stdout.contains(page) && told.stdout.contains("10 minutes"), "{told:?}");
    assert!(told.stdout.contains("git ls-remote https://github.com/acme/widgets.git works"), "{told:?}");
}

#[test]
fn undo_is_shown_and_asked_for_and_a_dry_run_changes_nothing() {
    let fresh = Fresh::new();
    fresh.env.git_config("user.name", "Me");
    fresh.setup(&["--move-key", "folder", "--identity", "--rewrite-ssh"]).ok();
    let kept = fresh.beside("keys").join("acme-ci.pem");
    let before =
        (fresh.config(), fresh.gitconfig(), std::fs::read_to_string(fresh.beside("setup.json")).unwrap());
    let shown = fresh.env.helper(["setup", "--undo", "--dry-run"], "").ok();
    for line in [
        "this would be undone:\n".to_owned(),
        format!("  {} is moved back to {}\n", kept.display(), fresh.key.display()),
        format!("  {} is removed\n", fresh.env.home().join(TestEnv::CONFIG).display()),
        "  git config --global credential.https://github.com.useHttpPath: true is removed\n".to_owned(),
        "  git config --global url.https://github.com/acme/.insteadOf: git@github.com:acme/, ssh://git@github.com/acme/ is removed\n".to_owned(),
        "  git config --global user.name: it is Me again\n".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line:?} is not in {shown}");
    }
    let Some(declined) = fresh.env.at_a_terminal("setup --undo", "what?\nno\n") else { return };
    assert_eq!(declined.code, Some(1), "{declined:?}");
    assert!(declined.stdout.contains("this will be undone:"), "{declined:?}");
    assert!(declined.stdout.contains("error: answer y or n"), "{declined:?}");
    let after =
        (fresh.config(), fresh.gitconfig(), std::fs::read_to_string(fresh.beside("setup.json")).unwrap());
    assert_eq!(before, after);
    assert!(kept.exists());
    // Edited since: the plan says what will be taken out.
    fresh.env.configure(&format!("# mine\n{}", before.0.unwrap()));
    let shown = fresh.env.helper(["setup", "--undo", "--dry-run"], "").ok();
    assert!(
        shown.contains(
            "config.toml: what setup wrote is removed, and the file too if nothing else is left in it\n"
        ),
        "{shown}"
    );
    let agreed = fresh.env.at_a_terminal("setup --undo", "yes\n").unwrap();
    assert_eq!(agreed.code, Some(0), "{agreed:?}");
    assert_eq!(fresh.gitconfig().unwrap(), "[user]\n\tname = Me\n");
    assert_eq!(std::fs::read_to_string(&fresh.key).unwrap(), ACME_KEY);
}

#[test]
fn undo_that_stops_half_way_tells_what_it_did_and_goes_on_from_there() {
    let fresh = Fresh::new();
    fresh.setup(&["--move-key", "folder"]).ok();
    fresh.env.configure("this is not TOML");
    let told = fresh.undo();
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stdout.starts_with("undone:\n  git config --global credential."), "{told:?}");
    assert!(told.stderr.contains("config.toml was edited, and"), "{told:?}");
    std::fs::remove_file(fresh.env.home().join(TestEnv::CONFIG)).unwrap();
    fresh.undo().ok();
    assert!(fresh.key.exists() && !fresh.beside("setup.json").exists());
}

#[test]
fn what_setup_made_undo_removes_and_an_empty_file_of_the_persons_stays() {
    let fresh = Fresh::new();
    fresh.setup(&[]).ok();
    fresh.undo().ok();
    assert_eq!(fresh.gitconfig(), None);
    fresh.env.write("home/.gitconfig", "");
    fresh.setup(&[]).ok();
    fresh.undo().ok();
    assert_eq!(fresh.gitconfig().as_deref(), Some(""));
}

#[test]
fn the_bots_identity_can_be_for_the_owners_of_the_app_only() {
    let fresh = Fresh::new();
    fresh.env.git_config("user.name", "Me");
    fresh.env.git_config("user.email", "me@example.com");
    let before = fresh.gitconfig();
    fresh.setup(&["--owner", "acme", "--identity"]).ok();
    let author = |folder: &str| fresh.env.git_in(folder, ["var", "GIT_AUTHOR_IDENT"]).ok();
    fresh.env.git(["clone", "--quiet", common::WIDGETS]).ok();
    assert!(author("widgets").starts_with("acme-ci[bot] <41000101+acme-ci[bot]@users.noreply.github.com> "));
    fresh.env.git(["init", "--quiet", "mine"]).ok();
    assert!(author("mine").starts_with("Me <me@example.com> "));
    let again = fresh.setup(&["--owner", "acme", "--identity"]).ok();
    assert!(again.contains("everything is set up already"), "{again}");
    fresh.undo().ok();
    assert_eq!(fresh.gitconfig(), before);
    assert!(!fresh.beside("identity-acme-ci.gitconfig").exists());
}
