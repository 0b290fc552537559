//! `setup`: from a key to a first clone with one command, and back with another.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::fresh::{Fresh, refused};
use common::{ACME_APP, ACME_ON_ACME, GLOBEX_APP, TestEnv, WIDGETS, run};
use github_simulator::{ACME_KEY, GLOBEX_KEY, ROGUE_KEY};

/// The program as git is to call it.
const PROGRAM: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");

#[test]
fn one_command_leads_to_the_first_clone_and_another_one_back() {
    let fresh = Fresh::new();
    fresh.env.github.world().propagation = Some((2, 404));
    let told = fresh.setup(&[]);
    let text = told.ok();
    assert!(text.starts_with("App acme-ci of acme on github.com, 2 installations\nOWNER "), "{text}");
    assert!(text.contains("+ id = \"Iv23liAcmeCi\""), "{text}");
    assert!(
        text.contains(&format!(
            "  git config --global --add credential.https://github.com.helper \"\"\n  \
             git config --global --add credential.https://github.com.helper {PROGRAM}\n"
        )),
        "{text}"
    );
    assert!(text.ends_with("\ngit ls-remote https://github.com/acme/widgets.git works\n"), "{text}");
    assert_eq!(
        fresh.gitconfig().unwrap(),
        format!(
            "[credential \"https://github.com\"]\n\thelper = \n\thelper = {PROGRAM}\n\tuseHttpPath = true\n"
        )
    );
    fresh.env.git(["clone", "--quiet", "--recurse-submodules", "https://github.com/acme/machine"]).ok();
    let again = fresh.setup(&[]).ok();
    assert!(again.contains("\neverything is set up already\n"), "{again}");
    let told = fresh.undo().ok();
    assert!(told.starts_with("undone:\n"), "{told}");
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    assert!(!fresh.beside("setup.json").exists());
    assert_eq!(fresh.undo().ok(), "there is nothing to undo: setup has written nothing\n");
    assert!(fresh.key.exists());
}

#[test]
fn what_is_there_stays_as_it_is_and_comes_back_as_it_was() {
    let fresh = Fresh::new();
    let globex = fresh.env.write("home/globex.pem", GLOBEX_KEY);
    let config = format!(
        "# my Apps\ncache = \"file\"   # no keyring here\n\n[[app]]\nid = '{GLOBEX_APP}' # deploys\nprivate-key = '{}'\nowners = [ \"globex\" ]\n",
        globex.display()
    );
    fresh.env.configure(&config);
    let git = "# mine\n[user]\n\tname = Me ; not a bot\n[credential]\n\thelper = store\n[credential \"https://github.com\"]\n\thelper = \n\thelper = !gh auth git-credential\n";
    fresh.env.write("home/.gitconfig", git);
    fresh.setup(&["--all-owners"]).ok();
    let written = fresh.config().unwrap();
    assert!(written.starts_with(&config), "{written}");
    assert!(written[config.len()..].contains(&format!("[[app]]\nid = \"{ACME_APP}\"\n")), "{written}");
    // Nobody is asked before, and nobody keeps the token.
    assert_eq!(
        fresh.git_values("credential.https://github.com.helper"),
        ["", "!gh auth git-credential", "", PROGRAM]
    );
    let doctor = fresh.env.helper(["doctor", WIDGETS], "").ok();
    assert!(doctor.contains(&format!("helpers: git asks {PROGRAM} (")), "{doctor}");
    fresh.undo().ok();
    assert_eq!(fresh.config().unwrap(), config);
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), ["", "!gh auth git-credential"]);
    let left = fresh.gitconfig().unwrap();
    assert!(
        left.starts_with("# mine\n[user]\n\tname = Me ; not a bot\n[credential]\n\thelper = store\n"),
        "{left}"
    );
}

#[test]
fn a_secret_in_another_helper_is_neither_shown_nor_copied() {
    let fresh = Fresh::new();
    let script = "!f() { echo username=x; echo password=ghp_canary; }; f";
    fresh.env.git_config("credential.https://github.com.helper", script);
    let told = fresh.setup(&["--all-owners"]);
    assert!(told.stdout.contains("ghapp instead of a shell command for all of github.com\n"), "{told:?}");
    assert!(!format!("{told:?}").contains("ghp_canary"));
    assert!(!std::fs::read_to_string(fresh.beside("setup.json")).unwrap().contains("ghp_canary"));
    fresh.undo().ok();
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), [script]);
}

#[test]
fn other_helpers_may_stay_first() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.helper", "cache");
    fresh.setup(&["--keep-other-helpers"]).ok();
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), [PROGRAM]);
    assert!(fresh.setup(&["--keep-other-helpers"]).ok().contains("everything is set up already"));
    fresh.undo().ok();
    assert_eq!(fresh.gitconfig().unwrap(), "[credential]\n\thelper = cache\n");
}

#[test]
fn a_dry_run_shows_everything_and_changes_nothing() {
    let fresh = Fresh::new();
    let told = fresh
        .setup(&["--dry-run", "--identity", "--rewrite-ssh", "--proactive", "--move-key", "folder"])
        .ok();
    for change in [
        "this would change:",
        "acme.pem is moved to ",
        "config.toml (new)",
        "credential.https://github.com.useHttpPath true",
        "url.https://github.com/acme/.insteadOf git@github.com:acme/",
        "http.https://github.com/globex.proactiveAuth basic",
        "user.name 'acme-ci[bot]'",
        "user.email '41000101+acme-ci[bot]@users.noreply.github.com'",
    ] {
        assert!(told.contains(change), "{change:?} is not in {told}");
    }
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    assert!(fresh.key.exists());
}

#[test]
fn ssh_urls_commits_and_the_first_request_can_be_the_apps_too() {
    let fresh = Fresh::new();
    fresh.env.git_config("user.name", "Me");
    fresh.setup(&["--identity", "--rewrite-ssh", "--proactive"]).ok();
    fresh.env.git(["clone", "--quiet", "git@github.com:acme/widgets.git"]).ok();
    fresh.env.git_in("widgets", ["commit", "--quiet", "--allow-empty", "-m", "x"]).ok();
    fresh.env.git_in("widgets", ["push", "--quiet"]).ok();
    let author = fresh.env.git_in("widgets", ["log", "-1", "--format=%an <%ae>"]).ok();
    assert_eq!(author, "acme-ci[bot] <41000101+acme-ci[bot]@users.noreply.github.com>\n");
    fresh.undo().ok();
    assert_eq!(fresh.gitconfig().unwrap(), "[user]\n\tname = Me\n");
}

#[test]
fn for_some_owners_others_keep_their_helpers() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.helper", "!echo >&2 asked the other helper; :");
    let text = fresh.setup(&["--owner", "acme"]).ok();
    assert!(text.contains("git config --global --add credential.https://github.com/acme.helper"), "{text}");
    assert!(fresh.config().unwrap().contains("owners = [\"acme\"]"));
    fresh.env.git(["ls-remote", WIDGETS]).ok();
    let other = fresh.env.git(["ls-remote", "https://github.com/globex/gears"]);
    assert!(other.code != Some(0) && other.stderr.contains("asked the other helper"), "{other:?}");
    // One that the App is not installed on is said, and written all the same.
    let missing = fresh.setup(&["--owner", "umbrella"]);
    assert!(missing.stderr.contains("warning: the App is not installed on umbrella\n"), "{missing:?}");
}

#[test]
fn an_enterprise_server_is_set_up_under_its_name() {
    let fresh = Fresh::new();
    let told = fresh.setup(&["--host", "ghe.example", "--scope", "repository"]).ok();
    assert!(told.ends_with("git ls-remote https://ghe.example/acme/widgets.git works\n"), "{told}");
    let config = fresh.config().unwrap();
    assert!(config.contains("host = \"ghe.example\"\nscope = \"repository\"\n"), "{config}");
    assert_eq!(fresh.git_values("credential.https://ghe.example.helper"), ["", PROGRAM]);
}

#[test]
fn two_apps_are_two_rules_and_one_can_be_taken_back_alone() {
    let fresh = Fresh::new();
    fresh.setup(&["--owner", "acme"]).ok();
    let globex = fresh.env.write("home/globex.pem", GLOBEX_KEY);
    let globex = globex.to_str().unwrap();
    fresh
        .env
        .helper(["setup", "--app-id", GLOBEX_APP, "--private-key", globex, "--owner", "globex"], "")
        .ok();
    fresh.env.git(["clone", "--quiet", "--recurse-submodules", "https://github.com/acme/machine"]).ok();
    // An App that would answer for the same is refused before anything is written.
    let before = (fresh.config(), fresh.gitconfig());
    let twice =
        fresh.env.helper(["setup", "--app-id", GLOBEX_APP, "--private-key", globex, "--owner", "acme"], "");
    refused(&twice, "App Iv23liAcmeCi answers for acme already", "setup --undo --app-id Iv23liAcmeCi");
    assert_eq!((fresh.config(), fresh.gitconfig()), before);
    let told = fresh.env.helper(["setup", "--undo", "--app-id", ACME_APP], "").ok();
    // Only setup wrote it.
    assert!(!told.contains("edited"), "{told}");
    assert_eq!(fresh.text(&format!("{}.before-undo", TestEnv::CONFIG)), None);
    let left = fresh.config().unwrap();
    assert!(left.contains(GLOBEX_APP) && !left.contains(ACME_APP), "{left}");
    assert_eq!(fresh.git_values("credential.https://github.com/acme.helper"), [""; 0]);
    assert_eq!(fresh.git_values("credential.https://github.com/globex.helper"), ["", PROGRAM]);
    fresh.undo().ok();
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
}

#[test]
fn the_key_moves_to_a_safe_place_and_back() {
    let fresh = Fresh::new();
    fresh.setup(&["--move-key", "folder"]).ok();
    let safe = fresh.beside("keys").join("acme-ci.pem");
    assert!(!fresh.key.exists());
    assert_eq!(std::fs::read_to_string(&safe).unwrap(), ACME_KEY);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&safe).unwrap().permissions().mode() & 0o777, 0o600);
        let folder = safe.parent().unwrap();
        assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    fresh.env.git(["ls-remote", WIDGETS]).ok();
    // The same command again, although the key is not there any more; and one without it.
    assert!(fresh.setup(&["--move-key", "folder"]).ok().contains("everything is set up already"));
    assert!(
        fresh.env.helper(["setup", "--app-id", ACME_APP], "").ok().contains("everything is set up already")
    );
    fresh.undo().ok();
    assert_eq!(std::fs::read_to_string(&fresh.key).unwrap(), ACME_KEY);
    assert!(!safe.exists() && !safe.parent().unwrap().exists());
    // The journal never held it.
    let key_lines = ACME_KEY.lines().nth(10).unwrap();
    assert!(fresh.config().is_none_or(|text| !text.contains(key_lines)));
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let fresh = Fresh::new();
    std::fs::set_permissions(&fresh.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = fresh.setup(&[]);
    assert_eq!(told.code, Some(0));
    let key = fresh.key.display();
    assert_eq!(
        told.stderr,
        format!(
            "git-credential-ghapp: warning: the private key {key} is readable by others\n\
             git-credential-ghapp: hint: chmod 600 {key}, or let setup move it: --move-key folder\n"
        )
    );
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let fresh = Fresh::new();
    let env = &fresh.env;
    let key = fresh.key.to_str().unwrap();
    refused(&env.helper(["setup"], ""), "no App is named", "setup --app-id ID --private-key FILE");
    refused(&env.helper(["setup", "--app-id", "1"], ""), "no private key file is named", "setup --app-id");
    let unknown = env.helper(["setup", "--app-id", "4711", "--private-key", key], "");
    refused(&unknown, "there is no App 4711 on https://api.github.com", "compare the App ID");
    let rogue = env.write("home/rogue.pem", ROGUE_KEY);
    let wrong = env.helper(["setup", "--app-id", ACME_APP, "--private-key", rogue.to_str().unwrap()], "");
    refused(&wrong, "the private key does not belong to App Iv23liAcmeCi", "compare id and key");
    let missing = env.helper(["setup", "--app-id", ACME_APP, "--private-key", "no.pem"], "");
    refused(&missing, "/home/no.pem (flag --private-key) does not exist", "download a private key");
    refused(&fresh.setup(&["--host", "https://x/"]), "is not a host", "without https://");
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    env.configure("[[app]]\nid = 1\ncolour = 'red'\n");
    refused(
        &fresh.setup(&[]),
        "config.toml, line 3, column 1: unknown setting `colour`",
        "git help credential-ghapp",
    );
    assert_eq!(fresh.config().unwrap(), "[[app]]\nid = 1\ncolour = 'red'\n");
    assert_eq!(fresh.gitconfig(), None);
}

#[test]
fn without_a_network_nothing_is_written() {
    let fresh = Fresh::new();
    let fresh = Fresh {
        env: fresh.env.with("HTTPS_PROXY", "http://127.0.0.1:1").with("GHAPP_DEADLINE", "1"),
        key: fresh.key,
    };
    refused(&fresh.setup(&[]), "cannot talk to the proxy 127.0.0.1:1", "check the network");
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
}

#[test]
fn what_cannot_be_written_leaves_nothing_half_done() {
    let fresh = Fresh::new();
    // A file where a folder would be.
    let folder = fresh.beside("");
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::write(&folder, "not a folder").unwrap();
    refused(&fresh.setup(&[]), "setup.json: ", "look at the permissions");
    assert_eq!(fresh.gitconfig(), None);
    std::fs::remove_file(&folder).unwrap();
    // git's own lock: another git is at it, or was killed.
    fresh.env.write("home/.gitconfig.lock", "");
    refused(&fresh.setup(&["--move-key", "folder"]), "could not lock config file", "permissions");
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    assert_eq!(std::fs::read_to_string(&fresh.key).unwrap(), ACME_KEY, "the key is back");
    std::fs::remove_file(fresh.env.home().join(".gitconfig.lock")).unwrap();
    fresh.setup(&["--move-key", "folder"]).ok();
}

#[test]
fn undo_takes_only_its_own_out_of_files_that_were_edited_since() {
    let fresh = Fresh::new();
    fresh.setup(&[]).ok();
    let edited = format!(
        "# mine\n{}\n[[app]]\nid = 5\nprivate-key = 'other.pem'\nowners = ['x']\n",
        fresh.config().unwrap()
    );
    fresh.env.configure(&edited);
    fresh.env.git_config("credential.https://github.com.useHttpPath", "false");
    fresh.env.git(["config", "--global", "--add", "credential.https://github.com.helper", "!mine"]).ok();
    let told = fresh.undo().ok();
    assert!(told.contains("which was edited since; a copy is in "), "{told}");
    let left = fresh.config().unwrap();
    assert!(!left.contains(ACME_APP) && left.contains("id = 5"), "{left}");
    assert_eq!(fresh.text(&format!("{}.before-undo", TestEnv::CONFIG)).unwrap(), edited);
    assert_eq!(fresh.git_values("credential.https://github.com.helper"), ["!mine"]);
    assert_eq!(fresh.git_values("credential.https://github.com.useHttpPath"), ["false"]);
}

#[cfg(unix)]
#[test]
fn a_configuration_that_is_a_link_stays_one() {
    let fresh = Fresh::new();
    let real = fresh.env.write("dotfiles/ghapp.toml", "# kept elsewhere\n");
    let link = fresh.env.home().join(TestEnv::CONFIG);
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    fresh.setup(&[]).ok();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::read_to_string(&real).unwrap().starts_with("# kept elsewhere\n"));
    fresh.undo().ok();
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "# kept elsewhere\n");
}

#[test]
fn one_repository_alone_can_be_set_up() {
    let fresh = Fresh::new();
    fresh.env.git(["init", "--quiet", "here"]).ok();
    let key = fresh.key.to_str().unwrap();
    let setup = |more: &[&str], folder: &str| {
        let mut command = fresh.env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.args(["setup", "--app-id", ACME_APP, "--private-key", key, "--local"]).args(more);
        run(command.current_dir(fresh.env.home().join(folder)), b"")
    };
    refused(&setup(&[], "."), "this is not in a git repository", "use --global");
    setup(&[], "here").ok();
    assert_eq!(fresh.gitconfig(), None);
    let local = std::fs::read_to_string(fresh.env.home().join("here/.git/config")).unwrap();
    let helper = format!("[credential \"https://github.com\"]\n\thelper = \n\thelper = {PROGRAM}\n");
    assert!(local.contains(&helper), "{local}");
    // From anywhere.
    fresh.undo().ok();
    let local = std::fs::read_to_string(fresh.env.home().join("here/.git/config")).unwrap();
    assert!(!local.contains("credential"), "{local}");
}

#[test]
fn a_machine_can_be_set_up_for_all_its_users() {
    let fresh = Fresh::new();
    let (system, file) = (fresh.env.home().join("etc-gitconfig"), fresh.env.home().join("etc/config.toml"));
    let env = fresh.env.with("GIT_CONFIG_SYSTEM", system.to_str().unwrap()).with("GIT_CONFIG_NOSYSTEM", "0");
    let key = fresh.key.to_str().unwrap();
    let file = file.to_str().unwrap();
    let arguments =
        ["setup", "--app-id", ACME_APP, "--private-key", key, "--system", "--config", file, "--dry-run"];
    assert!(
        env.helper(arguments, "")
            .ok()
            .contains("git config --system --add credential.https://github.com.helper")
    );
    let told = env.helper(arguments[..8].iter().copied(), "");
    assert!(
        !cfg!(unix) || told.stderr.contains("warning: only its owner can read the private key"),
        "{told:?}"
    );
    // The file is not where the program looks by itself.
    let helper = format!("helper = {PROGRAM} --config {file}\n");
    assert!(std::fs::read_to_string(&system).unwrap().contains(&helper));
    assert!(std::fs::read_to_string(file).unwrap().contains(ACME_APP));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o600, 0o600);
        // As the umask of the test's user has it.
        let other = std::fs::metadata(&system).unwrap().permissions().mode();
        assert_eq!(mode & 0o044, other & 0o044, "all users can read it");
    }
    env.helper(["setup", "--undo", "--config", file], "").ok();
    assert!(!system.exists());
}

#[cfg(unix)]
#[test]
fn where_git_does_not_find_the_program_it_is_given_the_whole_path() {
    let fresh = Fresh::new();
    let name = "a b/it's/git-credential-ghapp";
    let program = fresh.env.install(env!("CARGO_BIN_EXE_git-credential-ghapp"), name);
    let path = common::variable("PATH").unwrap();
    let mut setup = fresh.env.command(&program);
    setup.args(["setup", "--app-id", ACME_APP, "--private-key"]).arg(&fresh.key).env("PATH", &path);
    let told = run(&mut setup, b"").ok();
    assert!(told.ends_with("git ls-remote https://github.com/acme/widgets.git works\n"), "{told}");
    let mut again = fresh.env.command(&program);
    again.args(["setup", "--app-id", ACME_APP]).env("PATH", &path);
    assert!(run(&mut again, b"").ok().contains("everything is set up already"));
}

#[test]
fn an_app_that_is_not_installed_yet_is_set_up_and_told_where_to_install() {
    let fresh = Fresh::new();
    fresh.env.github.world().installations.retain(|it| it.app != 101);
    let told = fresh.setup(&[]);
    assert!(
        told.stderr.contains("hint: install it at https://github.com/apps/acme-ci/installations/new"),
        "{told:?}"
    );
    assert!(told.stdout.ends_with("not tried: the App can reach no repository yet\n"), "{told:?}");
    refused(&fresh.setup(&["--identity"]), "only once it is installed somewhere", "/installations/new");
    fresh.env.github.world().install(ACME_ON_ACME, 101, "acme");
    fresh.setup(&["--identity"]).ok();
}

#[cfg(target_os = "linux")]
#[test]
fn a_person_is_asked_for_what_is_missing() {
    let fresh = Fresh::new();
    let typed = |answers: &str, flags: &str| fresh.env.at_a_terminal(&format!("setup {flags}"), answers);
    let answers = format!("{ACME_APP}\n{}\nall\nfolder\nn\n", fresh.key.display());
    let Some(declined) = typed(&answers, "") else { return };
    assert_eq!(declined.code, Some(1), "{declined:?}");
    for asked in [
        "client ID or App ID: ",
        "file with the App's private key: ",
        "for which owners should git ask ghapp? all, or some of acme and globex [all]: ",
        // There is no keyring here.
        "? keep, folder [keep]: ",
        "acme.pem is moved to ",
        "continue? [Y/n]: ",
        "error: nothing was changed",
    ] {
        assert!(declined.stdout.contains(asked), "{asked:?}: {declined:?}");
    }
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    assert!(fresh.key.exists());
    let agreed = typed(&format!("{ACME_APP}\n{}\n\n\n\n", fresh.key.display()), "").unwrap();
    assert_eq!(agreed.code, Some(0), "{agreed:?}");
    assert!(agreed.stdout.contains("git ls-remote https://github.com/acme/widgets.git works"), "{agreed:?}");
    // With --yes nobody is asked.
    fresh.undo().ok();
    let missing = typed("", "--yes").unwrap();
    assert!(missing.stdout.contains("error: no App is named"), "{missing:?}");
}
