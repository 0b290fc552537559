//! `setup` where something else changes the same files, and where what stands in their place is none of its business.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::fresh::{Fresh, refused};
use common::{ACME_APP, Ran, skip};
use github_simulator::ACME_KEY;

/// `setup` with a command for the key that does something else once git is tried: after it was decided what will be written.
fn while_this_happens(fresh: &Fresh, script: &str) -> Ran {
    // setup alone tells git that there is no such program.
    let once = "[ -z \"${GIT_ASKPASS+set}\" ] || [ -e done ]";
    let script = format!("{once} || {{ touch done; {script}; }}\ncat {}\n", fresh.key.display());
    let script = fresh.env.write("home/key.sh", script).display().to_string();
    let command = format!("sh {script}");
    let told =
        fresh.env.helper(["setup", "--app-id", ACME_APP, "--private-key-command", command.as_str()], "");
    assert!(fresh.env.home().join("done").exists(), "{told:?}");
    told
}

#[test]
fn what_somebody_writes_while_setup_is_at_work_is_not_written_over() {
    let fresh = || {
        let Fresh { env, key } = Fresh::new();
        Fresh { env: env.with("GHAPP_CACHE", "none"), key }
    };
    let by_hand = fresh();
    by_hand.env.configure("# mine\n");
    let file = by_hand.env.home().join(common::TestEnv::CONFIG);
    let told = while_this_happens(&by_hand, &format!("echo '# and this' >> '{}'", file.display()));
    refused(&told, "config.toml was changed meanwhile, so nothing was written", "run setup again");
    assert_eq!(by_hand.config().unwrap(), "# mine\n# and this\n");
    assert_eq!(by_hand.gitconfig(), None);

    let by_git = fresh();
    let key = "credential.https://github.com.useHttpPath";
    let told = while_this_happens(&by_git, &format!("git config --global {key} false"));
    refused(&told, &format!("{key} was changed meanwhile, so nothing was written"), "run setup again");
    assert_eq!((by_git.config(), by_git.git_values(key)), (None, vec!["false".to_owned()]));
}

#[test]
fn a_device_in_the_place_of_gits_configuration_stays_one() {
    for by_link in [false, true] {
        let fresh = Fresh::new();
        // As /dev/null is, without putting that of this machine at risk.
        let device = fresh.env.folder.path().join("null");
        let made = common::run(fresh.env.command("mknod").arg(&device).args(["c", "1", "3"]), b"");
        if made.code != Some(0) {
            return skip("devices cannot be made here");
        }
        let fresh = if by_link {
            std::os::unix::fs::symlink(&device, fresh.env.home().join(".gitconfig")).unwrap();
            fresh
        } else {
            Fresh { env: fresh.env.with("GIT_CONFIG_GLOBAL", device.to_str().unwrap()), key: fresh.key }
        };
        let what = "which is not a file, and git would put one in its place";
        refused(&fresh.setup(&[]), what, "GIT_CONFIG_GLOBAL");
        let kind = std::fs::metadata(&device).unwrap().file_type();
        assert!(std::os::unix::fs::FileTypeExt::is_char_device(&kind));
        assert_eq!(fresh.config(), None);
    }
}

#[test]
fn what_stands_in_another_file_of_gits_is_not_forgotten() {
    let fresh = Fresh::new();
    fresh.setup(&[]).ok();
    let before = (fresh.config(), fresh.gitconfig());
    let other = fresh.env.folder.path().join("other.gitconfig").display().to_string();
    for arguments in [&["setup", "--undo"][..], &["setup", "--undo", "--dry-run"]] {
        let mut command = fresh.env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        let told = common::run(command.args(arguments).env("GIT_CONFIG_GLOBAL", &other), b"");
        let what = "setup did not write to the file that GIT_CONFIG_GLOBAL names now";
        refused(&told, what, "unset GIT_CONFIG_GLOBAL");
        assert_eq!((fresh.config(), fresh.gitconfig()), before);
    }
    fresh.undo().ok();
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));

    let Fresh { env, key } = fresh;
    let fresh = Fresh { env: env.with("GIT_CONFIG_GLOBAL", &other), key };
    fresh.setup(&[]).ok();
    let mut command = fresh.env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    let told = common::run(command.args(["setup", "--undo"]).env_remove("GIT_CONFIG_GLOBAL"), b"");
    refused(&told, &format!("setup wrote to {other}"), &format!("GIT_CONFIG_GLOBAL={other}"));
    fresh.undo().ok();
    assert!(!std::path::Path::new(&other).exists() && fresh.config().is_none());
}

#[test]
fn helpers_that_git_had_for_an_owner_are_where_they_were() {
    let fresh = Fresh::new();
    // git asks the second helper after the first one, and would not if the sections changed places.
    let before = "[credential \"https://github.com/acme\"]\n\thelper = \n\thelper = first\n\
                  [credential \"https://github.com\"]\n\thelper = second\n";
    fresh.env.write("home/.gitconfig", before);
    fresh.setup(&["--owner", "acme"]).ok();
    assert_ne!(fresh.gitconfig().unwrap(), before);
    fresh.undo().ok();
    assert_eq!(fresh.gitconfig().unwrap(), before);
}

#[test]
fn a_key_that_is_a_link_is_not_said_to_have_moved() {
    let fresh = Fresh::new();
    let real = fresh.env.home().join("real.pem");
    std::fs::rename(&fresh.key, &real).unwrap();
    std::os::unix::fs::symlink("real.pem", &fresh.key).unwrap();
    let told = fresh.setup(&["--move-key", "folder"]);
    refused(
        &told,
        "is a symbolic link, so moving it would leave the key where it is",
        real.to_str().unwrap(),
    );
    assert!(fresh.key.is_symlink() && !fresh.beside("keys").exists());
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    fresh.setup(&[]).ok();
}

#[test]
fn undo_removes_no_key_that_is_there_once_and_moves_none_into_the_folder_of_somebody_else() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let Fresh { env, .. } = Fresh::new();
    let folder = env.home().join("from");
    let key = env.write("home/from/acme.pem", ACME_KEY);
    let fresh = Fresh { env, key };
    fresh.setup(&["--move-key", "folder"]).ok();
    let moved = fresh.beside("keys/acme-ci.pem");
    let stays = |why: &str| {
        let told = fresh.env.helper(["setup", "--undo"], "");
        assert!(told.code == Some(1) && told.stderr.contains(why), "{told:?}");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), ACME_KEY);
    };
    // So that other programs still find it.
    std::os::unix::fs::symlink(&moved, &fresh.key).unwrap();
    stays("acme.pem, which is a link to it\ngit-credential-ghapp: hint: remove the link, and try again\n");
    std::fs::remove_file(&fresh.key).unwrap();
    if std::fs::metadata(&folder).unwrap().uid() == 0 {
        chown(&folder, Some(1234), None).unwrap();
        stays("its folder belongs to user 1234, not to 0");
        chown(&folder, Some(0), None).unwrap();
    }
    fresh.env.helper(["setup", "--undo"], "").ok();
    assert_eq!(std::fs::read_to_string(&fresh.key).unwrap(), ACME_KEY);
    assert!(!moved.exists());
}

#[test]
fn a_key_does_not_move_into_a_folder_that_others_prepared() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let fresh = Fresh::new();
    let keys = fresh.beside("keys");
    let refused_with = |why: &str| {
        let told = fresh.setup(&["--move-key", "folder"]);
        refused(&told, &format!("{}: {why}", keys.display()), "only you may write to");
        assert_eq!(std::fs::read_to_string(&fresh.key).unwrap(), ACME_KEY);
        assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    };
    std::fs::create_dir_all(&keys).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o777)).unwrap();
    refused_with("other users may write it");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o700)).unwrap();
    if std::fs::metadata(&keys).unwrap().uid() == 0 {
        chown(&keys, Some(1234), Some(1234)).unwrap();
        refused_with("it belongs to user 1234, not to 0");
    }
    std::fs::remove_dir(&keys).unwrap();
    std::os::unix::fs::symlink(fresh.env.folder.path(), &keys).unwrap();
    refused_with("it is a symbolic link");
    std::fs::remove_file(&keys).unwrap();
    fresh.setup(&["--move-key", "folder"]).ok();
}

#[test]
fn a_link_that_leads_nowhere_yet_is_not_replaced() {
    let fresh = Fresh::new();
    let link = fresh.env.home().join(common::TestEnv::CONFIG);
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(fresh.env.folder.path().join("not-mounted/ghapp.toml"), &link).unwrap();
    refused(&fresh.setup(&[]), "config.toml: it is a link that leads nowhere", "name another file");
    assert!(link.is_symlink());
    assert_eq!(fresh.gitconfig(), None);
}

#[test]
fn an_identity_that_a_person_edited_stays_and_all_else_is_taken_back() {
    let fresh = Fresh::new();
    fresh.setup(&["--owner", "acme", "--identity", "--move-key", "folder"]).ok();
    let identity = fresh.beside("identity-acme-ci.gitconfig");
    let edited = std::fs::read_to_string(&identity).unwrap() + "\tsigningKey = 1234\n";
    std::fs::write(&identity, &edited).unwrap();
    let told = fresh.undo().ok();
    assert!(!told.contains("identity-acme-ci.gitconfig"), "{told}");
    assert_eq!(std::fs::read_to_string(&identity).unwrap(), edited);
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    assert_eq!(std::fs::read_to_string(&fresh.key).unwrap(), ACME_KEY, "the key is back");
}

#[test]
fn a_hint_can_be_pasted_whatever_a_file_is_called() {
    let fresh = Fresh::new();
    let name = "it's; touch pasted #.pem";
    let key = fresh.env.write(&format!("home/{name}"), ACME_KEY).display().to_string();
    let told = fresh.env.helper(["setup", "--app-id", ACME_APP, "--private-key", key.as_str()], "");
    let hint =
        told.stderr.lines().find_map(|line| line.strip_prefix("git-credential-ghapp: hint: ")).unwrap();
    let command = hint.split(", or let setup").next().unwrap();
    common::run(fresh.env.command("sh").args(["-c", command]), b"").ok();
    assert!(!fresh.env.home().join("pasted").exists(), "{hint}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn a_configuration_that_was_linked_since_has_no_rule_left_after_undo() {
    let fresh = Fresh::new();
    fresh.setup(&[]).ok();
    let (file, moved) = (fresh.beside("config.toml"), fresh.env.home().join("dotfile.toml"));
    std::fs::rename(&file, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &file).unwrap();
    fresh.undo().ok();
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "");
}
