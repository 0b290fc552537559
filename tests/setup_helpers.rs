//! What `setup` tells git: which helpers are asked, for whom, and that it works before it is written.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::fresh::{Fresh, refused};
use common::{ACME_APP, GLOBEX_APP, TestEnv, WIDGETS, run};
use github_simulator::GLOBEX_KEY;

/// The program as git is to call it: where it is, as services have no PATH like a person's.
const PROGRAM: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");
/// A helper of another program.
const OTHER: &str = "!echo >&2 asked the other helper; :";

#[test]
fn a_service_without_the_users_path_can_use_what_setup_wrote() {
    let fresh = Fresh::new();
    fresh.setup(&[]).ok();
    // As cron has it.
    let mut cron = fresh.env.command("git");
    run(cron.args(["ls-remote", WIDGETS]).env("PATH", "/usr/bin:/bin"), b"").ok();
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), ["", PROGRAM]);
}

#[cfg(unix)]
#[test]
fn in_gits_own_folder_the_short_name_is_enough() {
    let fresh = Fresh::new();
    let gits = fresh.env.git(["--exec-path"]).ok();
    let own = fresh.env.folder.path().join("git-core");
    std::fs::create_dir_all(&own).unwrap();
    for entry in std::fs::read_dir(gits.trim()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), own.join(entry.file_name())).unwrap();
    }
    let program = fresh.env.install(PROGRAM, "git-core/git-credential-ghapp");
    let path = common::variable("PATH").unwrap();
    let mut setup = fresh.env.command(&program);
    setup.args(["setup", "--app-id", ACME_APP, "--private-key", "acme.pem"]);
    run(setup.env("PATH", path).env("GIT_EXEC_PATH", &own), b"").ok();
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), ["", "ghapp"]);
}

#[test]
fn other_helpers_keep_the_owners_that_the_app_is_not_for() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.https://github.com.helper", OTHER);
    fresh.env.github.world().add_repository("umbrella", "secrets", &[("x", "x\n")]);
    let told = fresh.setup(&[]).ok();
    assert!(
        told.contains("git will ask ghapp for acme and globex, and a shell command for everything else"),
        "{told}"
    );
    fresh.env.git(["ls-remote", WIDGETS]).ok();
    fresh.env.git(["ls-remote", "https://github.com/globex/gears"]).ok();
    let others = fresh.env.git(["ls-remote", "https://github.com/umbrella/secrets"]);
    assert!(others.stderr.contains("asked the other helper"), "{others:?}");
    assert!(fresh.config().unwrap().contains("owners = [\"acme\", \"globex\"]"));
    let again = fresh.setup(&[]).ok();
    assert!(again.contains("everything is set up already"), "{again}");
    fresh.undo().ok();
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), [OTHER]);
}

#[test]
fn helpers_are_named_as_people_know_them() {
    for (value, name) in [
        ("!gh auth git-credential", "gh"),
        ("!/usr/bin/gh auth git-credential", "gh"),
        ("store --file /x/y", "store"),
        ("/usr/lib/git-core/git-credential-libsecret", "libsecret"),
    ] {
        let fresh = Fresh::new();
        fresh.env.git_config("credential.helper", value);
        let told = fresh.setup(&["--owner", "acme", "--dry-run"]).ok();
        assert!(
            told.contains(&format!("git will ask ghapp for acme, and {name} for everything else\n")),
            "{told}"
        );
        let told = fresh.setup(&["--all-owners", "--dry-run"]).ok();
        assert!(
            told.contains(&format!("git will ask ghapp instead of {name} for all of github.com\n")),
            "{told}"
        );
        let told = fresh.setup(&["--keep-other-helpers", "--dry-run"]).ok();
        assert!(
            told.contains(&format!("git will ask {name}, then ghapp, for all of github.com\n")),
            "{told}"
        );
    }
    let told = Fresh::new().setup(&["--dry-run"]).ok();
    assert!(told.contains("git will ask ghapp for all of github.com\n"), "{told}");
    let told = Fresh::new().setup(&["--owner", "acme", "--dry-run"]).ok();
    assert!(told.contains("git will ask ghapp for acme, and no helper for anything else\n"), "{told}");
}

#[test]
fn who_says_all_owners_gets_all_owners() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.helper", OTHER);
    fresh.setup(&["--all-owners"]).ok();
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), ["", PROGRAM]);
    let both = fresh.setup(&["--all-owners", "--owner", "acme"]);
    refused(&both, "--all-owners and --owner contradict each other", "one of them");
}

#[test]
fn an_owner_is_found_as_github_writes_it_and_in_lower_case() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.helper", OTHER);
    fresh.env.github.world().installation(common::ACME_ON_ACME).account = Some("AcmE".to_owned());
    fresh.setup(&[]).ok();
    for url in [WIDGETS, "https://github.com/AcmE/widgets"] {
        fresh.env.git(["ls-remote", url]).ok();
    }
    assert!(fresh.setup(&[]).ok().contains("everything is set up already"));
    // A repository is found as it was typed, too.
    let fresh = Fresh::new();
    fresh.setup(&["--repository", "acme/Widgets"]).ok();
    for url in [WIDGETS, "https://github.com/acme/Widgets"] {
        fresh.env.git(["ls-remote", url]).ok();
    }
}

#[test]
fn where_an_app_is_nowhere_the_other_helper_is_not_cut_off() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.helper", OTHER);
    fresh.env.github.world().installations.retain(|it| it.app != 101);
    let before = fresh.gitconfig();
    let refusal = fresh.setup(&[]);
    refused(
        &refusal,
        "the App is not installed anywhere",
        "https://github.com/apps/acme-ci/installations/new",
    );
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, before));
}

#[test]
fn the_same_app_is_known_by_either_id() {
    let fresh = Fresh::new();
    fresh.setup(&[]).ok();
    let key = fresh.key.to_str().unwrap();
    let told = fresh.env.helper(["setup", "--app-id", "101", "--private-key", key], "").ok();
    assert!(told.contains("everything is set up already"), "{told}");
    let told = fresh.env.helper(["setup", "--undo", "--app-id", "101"], "").ok();
    assert!(told.starts_with("undone:"), "{told}");
    assert!(fresh.config().is_none());
}

#[test]
fn a_second_app_answers_for_the_owners_where_it_is_installed() {
    let fresh = Fresh::new();
    fresh.setup(&[]).ok();
    fresh.env.write_private("home/globex.pem", GLOBEX_KEY);
    let setup = |more: &[&str]| {
        let arguments = ["setup", "--app-id", GLOBEX_APP, "--private-key", "globex.pem"];
        fresh.env.helper(arguments.iter().chain(more).copied(), "")
    };
    let before = (fresh.config(), fresh.gitconfig());
    let asked = setup(&[]);
    refused(&asked, "App Iv23liAcmeCi answers for every owner on github.com already", "--owner globex");
    assert!(!asked.stderr.contains("line"), "{asked:?}");
    assert_eq!((fresh.config(), fresh.gitconfig()), before);
    let told = setup(&["--yes"]).ok();
    assert!(told.ends_with("git ls-remote https://github.com/globex/gears.git works\n"), "{told}");
    assert!(fresh.config().unwrap().contains("owners = [\"globex\"]"));
    fresh.env.git(["ls-remote", WIDGETS]).ok();
    let mints = |installation: u64| {
        fresh.env.github.world().tokens.iter().filter(|token| token.installation == installation).count()
    };
    fresh.env.git(["ls-remote", "https://github.com/globex/gears"]).ok();
    assert_eq!((mints(common::GLOBEX_ON_GLOBEX), mints(common::ACME_ON_GLOBEX)), (1, 0));
    // For an owner that has its rule already.
    let twice = setup(&["--all-owners"]);
    refused(&twice, "App Iv23liAcmeCi answers for every owner on github.com already", "--owner globex");
}

#[test]
fn an_app_whose_owners_another_one_answers_for_is_told_which() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.helper", OTHER);
    fresh.setup(&[]).ok();
    fresh.env.write_private("home/globex.pem", GLOBEX_KEY);
    let before = (fresh.config(), fresh.gitconfig());
    let arguments = ["setup", "--app-id", GLOBEX_APP, "--private-key", "globex.pem", "--yes"];
    refused(
        &fresh.env.helper(arguments, ""),
        "App Iv23liAcmeCi answers for globex already",
        "setup --undo --app-id Iv23liAcmeCi",
    );
    assert_eq!((fresh.config(), fresh.gitconfig()), before);
}

#[test]
fn the_preview_tells_of_all_that_the_program_answers_for() {
    let fresh = Fresh::new();
    let globex = fresh.env.write_private("home/globex.pem", GLOBEX_KEY);
    let globex =
        ["setup", "--app-id", GLOBEX_APP, "--private-key", globex.to_str().unwrap(), "--owner", "globex"];
    fresh.setup(&["--owner", "acme"]).ok();
    let told = fresh.env.helper(globex, "").ok();
    assert!(
        told.contains("git will ask ghapp for acme and globex, and no helper for anything else\n"),
        "{told}"
    );
    assert!(
        told.contains("for this App: ") && told.contains("setup --undo --app-id Iv23liGlobexDeploy\n"),
        "{told}"
    );
    fresh.undo().ok();
    fresh.setup(&[]).ok();
    let told = fresh.env.helper(globex, "").ok();
    assert!(
        told.contains("git will ask ghapp for all of github.com, and this App will answer for globex\n"),
        "{told}"
    );
}

#[test]
fn an_owner_that_was_left_out_is_added_as_the_hint_says() {
    let fresh = Fresh::new();
    fresh.setup(&["--owner", "acme"]).ok();
    let gears = "https://github.com/globex/gears";
    let told = fresh.env.helper(["token", gears], "");
    let hint = told.stderr.split("hint: git-credential-ghapp ").nth(1).unwrap_or_else(|| panic!("{told:?}"));
    let hinted = hint.split(',').next().unwrap().split(' ');
    fresh.env.helper(hinted, "").ok();
    fresh.env.git(["ls-remote", gears]).ok();
}

#[test]
fn what_was_minted_for_a_try_does_not_stay() {
    let fresh = Fresh::new();
    let valid = || fresh.env.github.world().tokens.iter().filter(|token| !token.revoked).count();
    fresh.setup(&["--dry-run"]).ok();
    assert_eq!(valid(), 0);
    fresh.env.git_config("credential.https://github.com.username", "octocat");
    assert_eq!(fresh.setup(&[]).code, Some(1));
    assert_eq!(valid(), 0);
    fresh.env.git(["config", "--global", "--unset", "credential.https://github.com.username"]).ok();
    fresh.setup(&[]).ok();
    assert_eq!(valid(), 1);
    // Now git may be using it.
    fresh.setup(&["--dry-run"]).ok();
    assert_eq!(valid(), 1);
    let told = fresh.undo().ok();
    assert!(told.contains("\n1 cached token stays valid until 20"), "{told}");
    let command = told.trim_end().rsplit("to revoke: ").next().unwrap().replace("FILE", "acme.pem");
    run(fresh.env.command("sh").args(["-c", &command]), b"").ok();
    assert_eq!(valid(), 0);
}

#[test]
fn the_only_app_need_not_be_named() {
    let fresh = Fresh::new();
    fresh.setup(&["--owner", "acme"]).ok();
    let told = fresh.env.helper(["setup", "--owner", "globex", "--yes"], "").ok();
    let added = "    + [[app]]\n    + id = \"Iv23liAcmeCi\"\n    + private-key";
    assert!(told.contains(added) && told.contains("to undo everything that setup wrote: "), "{told}");
    fresh.env.helper(["setup", "--proactive"], "").ok();
    assert_eq!(fresh.git_values("http.https://github.com/globex.proactiveAuth"), ["basic"]);
}

#[test]
fn what_github_refuses_is_refused_before_anything_is_written() {
    let fresh = Fresh::new();
    fresh.setup(&[]).ok();
    let before = (fresh.config(), fresh.gitconfig());
    let refusal = fresh.setup(&["--permissions", "contents=admin"]);
    assert_eq!(refusal.code, Some(1));
    assert!(refusal.stderr.contains("contents = admin"), "{refusal:?}");
    assert!(!refusal.stdout.contains("done"), "{refusal:?}");
    assert_eq!((fresh.config(), fresh.gitconfig()), before);
    fresh.env.git(["ls-remote", WIDGETS]).ok();
}

#[test]
fn what_git_could_not_use_is_not_written_and_the_cause_is_shown() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.https://github.com.username", "octocat");
    let before = fresh.gitconfig();
    let refusal = fresh.setup(&[]);
    refused(
        &refusal,
        "git ls-remote https://github.com/acme/widgets.git would fail: could not read Password for 'https://octocat@github.com",
        "git config --show-origin --get-regexp",
    );
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, before));
    assert!(!fresh.beside("setup.json").exists());
}

#[test]
fn what_fails_only_once_it_is_written_is_taken_back() {
    let fresh = Fresh::new();
    // What is written to the machine's configuration, the user's makes git forget.
    let system = fresh.env.home().join("etc-gitconfig");
    let file = fresh.env.home().join("etc/config.toml");
    fresh.env.git_config("credential.https://github.com.helper", "");
    let env = fresh.env.with("GIT_CONFIG_SYSTEM", system.to_str().unwrap()).with("GIT_CONFIG_NOSYSTEM", "0");
    let arguments = ["setup", "--app-id", ACME_APP, "--private-key", "acme.pem", "--system", "--config"];
    let refusal = env.helper(arguments.into_iter().chain([file.to_str().unwrap()]), "");
    refused(&refusal, "so they were undone", "git config --show-origin --get-regexp");
    assert!(!file.exists());
    assert_eq!(std::fs::read_to_string(&system).unwrap_or_default(), "");
}

#[test]
fn the_undo_that_is_printed_works_as_it_is_printed() {
    let fresh = Fresh::new();
    let (system, file) =
        (fresh.env.home().join("etc-gitconfig"), fresh.env.home().join("etc/my config.toml"));
    let env = fresh.env.with("GIT_CONFIG_SYSTEM", system.to_str().unwrap()).with("GIT_CONFIG_NOSYSTEM", "0");
    let arguments = ["setup", "--app-id", ACME_APP, "--private-key", "acme.pem", "--system", "--config"];
    let told = env.helper(arguments.into_iter().chain([file.to_str().unwrap()]), "").ok();
    let line = told.lines().find(|line| line.starts_with("done; ")).unwrap();
    assert!(line.starts_with("done; to undo it: "), "{line}");
    let command = line.trim_start_matches("done; to undo it: ");
    run(env.command("sh").args(["-c", command]), b"").ok();
    assert!(!file.exists());
    assert_eq!(std::fs::read_to_string(&system).unwrap_or_default(), "");
}

#[test]
fn every_command_of_the_plan_can_be_typed() {
    let fresh = Fresh::new();
    fresh.env.git_config("user.name", "Me and 'you'");
    let told = fresh.setup(&["--dry-run", "--identity", "--rewrite-ssh"]).ok();
    let commands: Vec<&str> =
        told.lines().map(str::trim).filter(|line| line.starts_with("git config ")).collect();
    assert!(commands.len() > 5, "{told}");
    let before = fresh.gitconfig();
    run(fresh.env.command("sh").args(["-ec", &commands.join("\n")]), b"").ok();
    let typed = fresh.gitconfig();
    fresh.env.write("home/.gitconfig", before.unwrap());
    fresh.setup(&["--identity", "--rewrite-ssh"]).ok();
    assert_eq!(typed, fresh.gitconfig());
}

#[test]
fn in_ci_gits_settings_are_all_that_is_written() {
    let fresh = Fresh::new();
    let key = std::fs::read_to_string(&fresh.key).unwrap();
    std::fs::remove_file(&fresh.key).unwrap();
    let env = fresh.env.with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", key);
    let fresh = Fresh { env, key: fresh.key };
    let told = fresh.env.helper(["setup"], "").ok();
    assert!(told.ends_with("git ls-remote https://github.com/acme/widgets.git works\n"), "{told}");
    assert!(fresh.config().is_none(), "App and key stay in the environment");
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), ["", PROGRAM]);
    fresh.env.git(["clone", "--quiet", WIDGETS]).ok();
    let only_key = TestEnv::fresh().with("GHAPP_PRIVATE_KEY", "x");
    let refusal = only_key.helper(["setup"], "");
    refused(&refusal, "no App is named", "GHAPP_APP_ID");
    fresh.undo().ok();
    assert!(fresh.git_values("credential.https://github.com.helper").is_empty());
}

#[test]
fn several_configurations_in_one_folder_are_set_up_and_taken_back_apart() {
    let fresh = Fresh::new();
    let [one, two] = ["one.toml", "two.toml"].map(|name| fresh.env.home().join(name));
    let named = |file: &std::path::Path| file.to_str().unwrap().to_owned();
    fresh.setup(&["--owner", "acme", "--config", &named(&one)]).ok();
    let before = std::fs::read_to_string(&one).unwrap();
    fresh.setup(&["--owner", "acme", "--config", &named(&two)]).ok();
    let helpers = || fresh.git_values("credential.https://github.com/acme.helper");
    let of = |file| format!("{PROGRAM} --config {}", named(file));
    assert_eq!(helpers(), ["", &of(&one), "", &of(&two)], "git asks for what was set up last");
    for how in ["setup --undo", "uninstall --yes"] {
        let file = named(&two);
        let arguments: Vec<&str> = how.split(' ').chain(["--config", &file]).collect();
        fresh.env.helper(arguments, "").ok();
        assert_eq!(helpers(), ["", &of(&one)], "{how}");
        assert_eq!(std::fs::read_to_string(&one).unwrap(), before, "{how}");
        assert!(!two.exists(), "{how}");
        fresh.setup(&["--owner", "acme", "--config", &named(&two)]).ok();
    }
    fresh.env.helper(["setup", "--undo", "--config", &named(&one)], "").ok();
    assert!(!one.exists() && two.exists());
    fresh.env.git(["ls-remote", WIDGETS]).ok();
    // Without a name all goes that stands in the user's folder.
    for how in [&["setup", "--undo"][..], &["uninstall", "--yes"]] {
        let beside = named(&fresh.beside("other.toml"));
        fresh.setup(&["--owner", "globex", "--config", &beside]).ok();
        // That its tokens cannot be revoked without its key is told, and is no hindrance.
        fresh.env.helper(how.iter().copied(), "");
        assert!(!fresh.beside("other.toml").exists(), "{how:?}");
        assert_eq!(fresh.git_values("credential.https://github.com/globex.helper"), [""; 0], "{how:?}");
    }
}
