//! What `register` leaves on a machine: when it was ended half-way, and when what it set up is taken back.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::fresh::{Fresh, refused};
use common::registering::{
    CONVERSION, Registering, finish, fresh, install, is_set_up, nothing_is_set_up, record,
};
use common::{Ran, WIDGETS};
use github_simulator::{Effect, REGISTERED_KEY};

const SETTINGS: &str = "https://github.com/organizations/acme/settings/apps";

/// An App of acme's that was made, and is not installed yet.
fn killed_before_it_was_installed(fresh: &Fresh) {
    let register = Registering::start(&fresh.env, &["--organization", "acme"]);
    let location = register.agreed(&fresh.env, "tools");
    register.bring(&location);
    register.kill();
}

/// The same, killed before the key was in its place: it is in the record still.
fn killed_before_its_key_was_in_its_place(fresh: &Fresh) {
    killed_before_it_was_installed(fresh);
    std::fs::remove_file(fresh.beside("keys/tools.pem")).unwrap();
    let text = record(fresh).unwrap();
    let noted = text.trim_end().strip_suffix('}').unwrap();
    let text = format!("{noted}, \"pem\": {REGISTERED_KEY:?}}}");
    std::fs::write(fresh.beside("register.json"), text).unwrap();
}

/// What `doctor`, `status` and `setup` say of a registration, which is the same: the line and its hint.
#[track_caller]
fn told(fresh: &Fresh) -> (String, String) {
    let doctor = fresh.env.helper(["doctor"], "");
    let mut lines = doctor.stdout.lines().skip_while(|line| !line.starts_with("warning  registration: "));
    let line = lines.next().unwrap_or_else(|| panic!("{doctor:#?}"));
    let line = line.strip_prefix("warning  registration: ").unwrap().to_owned();
    let hint = lines.next().unwrap().strip_prefix("         hint: ").unwrap().to_owned();
    let same = format!("git-credential-ghapp: warning: {line}\ngit-credential-ghapp: hint: {hint}\n");
    for arguments in [&["status"][..], &["status", "--json"], &["setup"], &["setup", "--undo"]] {
        let ran = fresh.env.helper(arguments.iter().copied(), "");
        assert!(ran.stderr.starts_with(&same), "{arguments:?}: {ran:#?}\n{same}");
    }
    (line, hint)
}

#[test]
fn an_app_that_was_made_and_not_set_up_is_told_until_it_is() {
    let Some(fresh) = fresh() else { return };
    killed_before_it_was_installed(&fresh);
    let (line, hint) = told(&fresh);
    assert_eq!(line, "register did not finish: App tools was made on github.com, and is not set up");
    let (record, key) = (fresh.beside("register.json"), fresh.beside("keys/tools.pem"));
    assert_eq!(
        hint,
        format!(
            "to go on: git-credential-ghapp register --organization acme; to give it up: delete the App at {SETTINGS}, and rm {} {}",
            record.display(),
            key.display()
        )
    );
    // As the hint says.
    install(&fresh.env, "tools");
    is_set_up(&fresh, fresh.env.helper(["register", "--organization", "acme"], ""), WIDGETS);
    let doctor = fresh.env.helper(["doctor", "acme/widgets"], "").ok();
    assert!(!doctor.contains("registration"), "{doctor}");
    assert_eq!(fresh.env.helper(["status"], "").stderr, "");
}

#[test]
fn a_key_that_is_not_in_its_place_yet_and_one_that_was_not_fetched_are_told_too() {
    let Some(fresh) = fresh() else { return };
    fresh.env.fault(CONVERSION, 1, Effect::Answer(403, Vec::new(), br#"{"message": "Blocked"}"#.to_vec()));
    let register = Registering::start(&fresh.env, &["--host", "ghe.example"]);
    let location = register.agreed(&fresh.env, "other tools");
    register.bring(&location);
    assert_eq!(register.ended().code, Some(1));
    let (line, hint) = told(&fresh);
    assert!(line.ends_with("an App was made on ghe.example, and its key not yet fetched"), "{line}");
    assert!(hint.contains(" register --host ghe.example; to give it up: "), "{hint}");
    assert!(hint.contains("https://ghe.example/settings/apps, and rm "), "{hint}");
    std::fs::remove_file(fresh.beside("register.json")).unwrap();

    killed_before_its_key_was_in_its_place(&fresh);
    let left = fresh.beside("register.json");
    let (line, hint) = told(&fresh);
    assert!(line.ends_with("App tools was made on github.com, and is not set up"), "{line}");
    assert!(hint.ends_with(&format!(", and rm {}", left.display())), "{hint}");

    std::fs::write(&left, "not JSON").unwrap();
    let (line, hint) = told(&fresh);
    assert!(line.ends_with("register.json is damaged") && hint.ends_with("register --new"), "{line} {hint}");
}

#[test]
fn another_app_is_made_only_after_the_key_of_the_one_before_has_its_place_and_is_named() {
    let Some(fresh) = fresh() else { return };
    killed_before_its_key_was_in_its_place(&fresh);
    let key = fresh.beside("keys/tools.pem");
    assert!(!key.exists());
    let register = Registering::start(&fresh.env, &["--new"]);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), REGISTERED_KEY);
    let ran = finish(&fresh, register, "other tools", "other-tools");
    let told = format!(
        "App tools of an earlier run is given up; {} is kept: a private key is never deleted\n",
        key.display()
    );
    assert!(ran.stdout.starts_with(&told), "{ran:?}");
    is_set_up(&fresh, ran, "https://github.com/octocat/hello.git");
}

#[test]
fn a_register_that_ends_early_leaves_no_folder() {
    let Some(fresh) = fresh() else { return };
    let above = fresh.beside("").parent().unwrap().to_owned();
    let is_there = above.exists();
    // Ctrl-C while it waits for a browser.
    let register = Registering::start(&fresh.env, &[]);
    register.page();
    register.kill();
    assert_eq!((fresh.beside("").exists(), above.exists()), (false, is_there));
    // GitHub does not know the code any more, at once or when a second run goes on.
    for first in [None, Some(Effect::Answer(403, Vec::new(), b"{}".to_vec()))] {
        let fails = first.is_some();
        first.into_iter().for_each(|effect| fresh.env.fault(CONVERSION, 1, effect));
        let register = Registering::start(&fresh.env, &[]);
        let location = register.agreed(&fresh.env, &format!("tools {fails}"));
        fresh.env.github.world().registrations.iter_mut().for_each(|it| it.converted = true);
        register.bring(&location);
        let mut ran = register.ended();
        if fails {
            assert!(record(&fresh).is_some());
            ran = fresh.env.helper(["register"], "");
        }
        refused(&ran, "GitHub does not know the code for the App's key", "https://github.com/settings/apps");
        assert!(!fresh.beside("").exists());
    }
    // A folder that somebody made for a configuration that is named stays.
    std::fs::create_dir(fresh.env.home().join("made")).unwrap();
    for (folder, stays) in [("made", true), ("not/yet", false)] {
        let file = fresh.env.home().join(folder).join("app.toml");
        let register = Registering::start(&fresh.env, &["--config", file.to_str().unwrap()]);
        register.kill();
        assert_eq!(file.parent().unwrap().exists(), stays);
    }
    assert!(!fresh.env.home().join("not").exists());
}

#[test]
fn undo_and_uninstall_say_that_the_key_stays_and_where() {
    let Some(fresh) = fresh() else { return };
    let register = Registering::start(&fresh.env, &["--organization", "acme"]);
    is_set_up(&fresh, finish(&fresh, register, "tools", "tools"), WIDGETS);
    let key = fresh.beside("keys/tools.pem");
    let kept = format!("{} is kept: a private key is never deleted\n", key.display());
    let times = |ran: Ran| ran.stdout.matches(&kept).count();
    assert_eq!(times(fresh.env.helper(["setup", "--undo", "--dry-run"], "")), 1);
    assert_eq!(times(fresh.env.helper(["uninstall", "--dry-run"], "")), 1);
    assert_eq!(times(fresh.undo()), 1);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), REGISTERED_KEY);
    // A key that is moved back is no key that stays.
    fresh.setup(&["--move-key", "folder"]).ok();
    let told = fresh.env.helper(["setup", "--undo", "--dry-run"], "").ok();
    assert!(told.contains(" is moved back to ") && !told.contains(" is kept"), "{told}");
    let plan = fresh.env.helper(["uninstall", "--dry-run"], "");
    assert_eq!(plan.stdout.matches(" is kept: ").count(), 1, "{plan:?}");
    assert_eq!(times(plan), 1);
    assert_eq!(times(fresh.env.helper(["uninstall", "--yes"], "")), 1);
    assert!(key.exists());
}

#[test]
fn uninstall_lists_what_is_left_half_way() {
    let Some(fresh) = fresh() else { return };
    killed_before_it_was_installed(&fresh);
    let (record, key) = (fresh.beside("register.json"), fresh.beside("keys/tools.pem"));
    let kept = format!("{} is kept: a private key is never deleted\n", key.display());
    let plan = fresh.env.helper(["uninstall", "--dry-run"], "").ok();
    assert!(plan.contains(&format!("  {} is removed\n", record.display())), "{plan}");
    assert!(plan.ends_with(&format!("  {kept}")), "{plan}");
    let done = fresh.env.helper(["uninstall", "--yes"], "").ok();
    assert!(done.contains(&format!("\nremoved {}\n", record.display())), "{done}");
    assert_eq!(done.matches(&kept).count(), 1, "{done}");
    assert!(!record.exists() && key.exists());
    std::fs::remove_dir_all(key.parent().unwrap()).unwrap();
    nothing_is_set_up(&fresh);
}

#[test]
fn two_at_once_do_not_forget_each_others_apps() {
    let Some(fresh) = fresh() else { return };
    let first = Registering::start(&fresh.env, &["--organization", "acme"]);
    // On the port of the first one it could not wait for a browser.
    let port = first.port().to_string();
    for arguments in [&["register", "--port", &port][..], &["register", "--new", "--port", &port]] {
        let second = fresh.env.helper(arguments.iter().copied(), "");
        refused(&second, "another register of this user is running", "end it, and try again");
    }
    // Neither a register that waits nor its lock is trouble.
    let doctor = fresh.env.helper(["doctor"], "");
    assert!(!doctor.stdout.contains("locks: ") && !doctor.stdout.contains("registration: "), "{doctor:?}");
    is_set_up(&fresh, finish(&fresh, first, "tools", "tools"), WIDGETS);
    // One that was killed is in nobody's way.
    Registering::start(&fresh.env, &["--organization", "acme"]).kill();
    Registering::start(&fresh.env, &["--organization", "acme"]).kill();
}
