//! `doctor`: whatever is wrong is found, named, and comes with its remedy.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, ACME_ON_ACME, GLOBEX_APP, Ran, TestEnv, WIDGETS, run};
use github_simulator::{ACME_KEY, Effect, GLOBEX_KEY, ROGUE_KEY, Selection};
use serde_json::Value;

fn examined(env: &TestEnv) -> Ran {
    env.helper(["doctor", WIDGETS], "")
}

/// Asserts that a step ended like this, with a message and a hint that hold these texts, and what the exit code is.
#[track_caller]
fn finds(env: &TestEnv, result: &str, step: &str, message: &str, hint: &str) {
    let told = examined(env);
    let head = format!("{result:7}  {step}: ");
    let mut lines = told.stdout.lines().skip_while(|line| !line.starts_with(&head));
    let found = lines.next().unwrap_or_else(|| panic!("no {head:?} in {told:#?}"));
    assert!(found.contains(message), "{message:?} is not in {found:?}");
    if !hint.is_empty() {
        let next = lines.next().unwrap_or_default();
        assert!(next.starts_with("         hint: ") && next.contains(hint), "{hint:?} is not in {next:?}");
    }
    assert_eq!(
        told.code,
        Some(i32::from(told.stdout.contains("\nfailure") || told.stdout.starts_with("failure")))
    );
}

#[test]
fn a_healthy_setup_has_no_failures_and_no_warnings() {
    let env = TestEnv::new();
    let told = examined(&env);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:#?}");
    let steps: Vec<&str> =
        told.stdout.lines().filter_map(|line| line.strip_prefix("ok       ")?.split(": ").next()).collect();
    let expected = [
        "git",
        "configuration",
        "environment",
        "rule",
        "helpers",
        "path",
        "network",
        "private key",
        "token store",
        "cached tokens",
        "clock",
        "App",
        "route",
        "installation",
        "token",
        "probe",
        "fetch",
    ];
    assert_eq!(steps, expected, "{}", told.stdout);
    assert!(told.stdout.ends_with("\n0 failures, 0 warnings\n"));
    // Colours are for terminals.
    assert!(!told.stdout.contains('\x1b'));
}

#[test]
fn tokens_of_several_apps_are_told_apart() {
    let env = TestEnv::new();
    env.git(["ls-remote", WIDGETS]).ok();
    finds(&env, "ok", "cached tokens", "acme on github.com expires in ", "");
    let globex = env.write_private("keys/globex.pem", GLOBEX_KEY);
    let one = std::fs::read_to_string(env.home().join(TestEnv::CONFIG)).unwrap();
    env.configure(&format!(
        "{one}[[app]]\nid = '{GLOBEX_APP}'\nprivate-key = '{}'\nowners = ['globex']\n",
        globex.display()
    ));
    env.git(["ls-remote", "https://github.com/globex/gears"]).ok();
    finds(&env, "ok", "cached tokens", "acme on github.com (Iv23liAcmeCi) expires in ", "");
    finds(&env, "ok", "cached tokens", "globex on github.com (Iv23liGlobexDeploy) expires in ", "");
}

#[test]
fn json_says_the_same_to_a_program() {
    let env = TestEnv::new();
    let told = env.helper(["doctor", WIDGETS, "--json"], "").ok();
    let value: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(value["ok"], true);
    assert_eq!(value["steps"][0]["step"], "git");
    env.github.world().installation(ACME_ON_ACME).suspended = true;
    let told = env.helper(["doctor", WIDGETS, "--json"], "");
    assert_eq!(told.code, Some(1));
    let value: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(value["ok"], false);
    let failed: Vec<&Value> =
        value["steps"].as_array().unwrap().iter().filter(|step| step["result"] == "failure").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["step"], "installation");
    assert!(failed[0]["hint"].as_str().unwrap().contains("/settings/installations/4201"));
}

#[test]
fn the_fingerprint_of_the_key_is_githubs() {
    if !common::has("openssl") {
        return common::skip("openssl is not installed");
    }
    let env = TestEnv::new();
    let mut shell = env.command("sh");
    shell.args([
        "-c",
        "openssl rsa -in \"$1\" -pubout -outform DER 2>/dev/null | openssl sha256 -binary | openssl base64",
        "sh",
    ]);
    let expected = run(shell.arg(env.folder.path().join("keys/acme.pem")), b"").ok();
    finds(&env, "ok", "private key", &format!("SHA256:{}", expected.trim()), "");
}

#[test]
fn what_is_wrong_with_the_configuration_is_found() {
    let env = TestEnv::bare();
    finds(&env, "failure", "configuration", "no App is configured", "git-credential-ghapp setup");
    env.configure("[[app]]\nid = '1'\n");
    finds(
        &env,
        "failure",
        "configuration",
        "line 1, column 1: the setting `private-key`, `private-key-command`, `sign-command` or `token-command` is missing",
        "git help credential-ghapp",
    );
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = 'k'\nowners = ['globex']\n"));
    finds(
        &env,
        "failure",
        "rule",
        "no App is configured for https://github.com/acme/widgets",
        "git-credential-ghapp setup --owner acme, or add an [[app]]",
    );
}

#[test]
fn what_keeps_git_from_asking_is_found() {
    let env = TestEnv::new();
    let clear = |key: &str| drop(env.git(["config", "--global", "--unset-all", key]));
    env.git_config("url.git@github.com:.insteadOf", "https://github.com/");
    finds(&env, "failure", "git's URL", "to git@github.com:acme/widgets", "insteadof");
    clear("url.git@github.com:.insteadOf");
    env.git_config("http.https://github.com/.extraHeader", "AUTHORIZATION: basic c2VjcmV0");
    env.git(["config", "--global", "--add", "http.https://github.com/.extraHeader", "X-Other: 1"]).ok();
    finds(&env, "failure", "headers", "an Authorization header of its own", "persist-credentials");
    assert!(!examined(&env).stdout.contains("c2VjcmV0"));
    env.git_config("http.https://github.com/acme.extraHeader", "");
    assert!(
        !examined(&env).stdout.contains("headers"),
        "git forgets that of the host, wherever this one stands"
    );
    clear("http.https://github.com/acme.extraHeader");
    clear("http.https://github.com/.extraHeader");
    env.git_config("credential.https://github.com.username", "octocat");
    finds(&env, "failure", "user name", "the user octocat", "credential.*username");
    clear("credential.https://github.com.username");
    env.git_config("credential.useHttpPath", "false");
    finds(
        &env,
        "warning",
        "path",
        "only for an App with one installation",
        "credential.https://github.com.useHttpPath true",
    );
    env.configure(&format!(
        "[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\nscope = 'repository'\n",
        env.folder.path().join("keys/acme.pem").display()
    ));
    finds(
        &env,
        "failure",
        "path",
        "git did not say which repository",
        "credential.https://github.com.useHttpPath true",
    );
    env.git_config("credential.useHttpPath", "true");
    clear("credential.helper");
    finds(
        &env,
        "failure",
        "helpers",
        "git asks no helper",
        "--add credential.https://github.com.helper ghapp",
    );
    env.git_config("credential.helper", "!gh auth git-credential");
    finds(
        &env,
        "failure",
        "helpers",
        "git does not ask this helper",
        "--add credential.https://github.com.helper ghapp",
    );
}

#[test]
fn a_netrc_that_comes_before_every_helper_is_found() {
    let env = TestEnv::new();
    env.write("home/.netrc", "machine other.example login x password ghp_canary\n");
    assert_eq!(examined(&env).code, Some(0));
    env.write("home/.netrc", "machine github.com\n  login x\n  password ghp_canary\n");
    finds(
        &env,
        "failure",
        "netrc",
        ".netrc has a credential for github.com, which git uses",
        "remove that entry",
    );
    assert!(!examined(&env).stdout.contains("ghp_canary"));
    // And so it is.
    env.git(["ls-remote", WIDGETS]).ok();
    let log = env.github.log();
    assert!(
        log.iter().any(|line| line.contains("info/refs") && line.contains("[not a token] 401")),
        "{log:#?}"
    );
}

#[test]
fn helpers_beside_this_one_are_judged_by_their_order_and_by_what_they_keep() {
    let env = TestEnv::new();
    let add = |key: &str, value: &str| drop(env.git(["config", "--global", "--add", key, value]));
    add("credential.helper", "!other");
    finds(&env, "ok", "helpers", "git asks ghapp (", "");
    add("credential.helper", "store");
    finds(&env, "warning", "helpers", "git passes every token that works to the helper store", "setup");
    // An empty one makes git forget those before it, for the URLs that it is for.
    add("credential.https://github.com.helper", "");
    add("credential.https://github.com.helper", "!first");
    add("credential.https://github.com.helper", "ghapp");
    finds(
        &env,
        "warning",
        "helpers",
        "git asks another helper first, which may answer with another identity: !first",
        "clear the list",
    );
    add("credential.https://github.com.helper", "");
    add("credential.https://github.com.helper", "ghapp");
    add("credential.https://github.com/other-owner.helper", "store");
    add("credential.https://ghe.example.helper", "store");
    finds(&env, "ok", "helpers", "git asks ghapp (", "");
    assert_eq!(examined(&env).code, Some(0));
}

#[test]
fn what_is_wrong_with_the_key_is_found() {
    let env = TestEnv::new();
    let key = env.folder.path().join("keys/acme.pem");
    env.write("keys/acme.pem", ROGUE_KEY);
    finds(
        &env,
        "failure",
        "App",
        "the private key does not belong to App Iv23liAcmeCi",
        "compare id and key",
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        env.write("keys/acme.pem", ACME_KEY);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        finds(&env, "warning", "private key", "is readable by others (mode 644)", "chmod 600 /");
        assert_eq!(examined(&env).code, Some(0));
    }
    std::fs::remove_file(&key).unwrap();
    finds(&env, "failure", "private key", "does not exist", "download a private key");
}

#[test]
fn what_is_wrong_at_github_is_found() {
    let env = TestEnv::new();
    env.github.world().clock_offset = 600;
    assert_eq!(examined(&env).stderr, "", "the clock is told twice");
    finds(&env, "warning", "clock", "this clock is 10 min behind", "set the clock");
    env.github.world().clock_offset = 0;
    env.helper(["logout", "--all"], "").ok();
    env.github.world().installation(ACME_ON_ACME).permissions.remove("contents");
    finds(
        &env,
        "failure",
        "installation",
        "the App lacks the permission Contents",
        "/settings/installations/4201",
    );
    env.github
        .world()
        .installation(ACME_ON_ACME)
        .permissions
        .insert("contents".to_owned(), "read".to_owned());
    finds(&env, "ok", "installation", "4201 on acme, all repositories; git can read", "");
    env.helper(["logout", "--all"], "").ok();
    env.github.world().installation(ACME_ON_ACME).selection = Selection::Selected(vec![1]);
    finds(
        &env,
        "failure",
        "installation",
        "is not installed on github.com/acme/widgets",
        "/installations/new",
    );
    env.github.world().apps.clear();
    finds(
        &env,
        "failure",
        "App",
        "there is no App Iv23liAcmeCi on https://api.github.com",
        "compare the App ID",
    );
}

#[test]
fn a_token_that_gits_server_does_not_take_is_found() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets");
    env.fault("GET /acme/widgets.git/info/refs", 1, Effect::Answer(404, Vec::new(), Vec::new()));
    finds(&env, "failure", "probe", "github.com returned 404", "add the repository");
    env.fault("GET /acme/widgets.git/info/refs", 1, Effect::Answer(403, Vec::new(), Vec::new()));
    finds(&env, "failure", "probe", "github.com returned 403", "IP allow list");
}

#[test]
fn what_is_wrong_with_the_network_is_found() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.git_config("http.sslCAInfo", "/nonexistent/ca.pem");
    finds(
        &env,
        "failure",
        "network",
        "cannot use the CA certificates in /nonexistent/ca.pem",
        "http.sslCAInfo",
    );
    env.git_config("http.sslCAInfo", env.github.ca_file().to_str().unwrap());
    env.git_config("http.proxy", "http://user:s3cret@127.0.0.1:1");
    finds(&env, "failure", "App", "cannot talk to the proxy 127.0.0.1:1", "http.proxy");
    finds(&env, "ok", "network", "proxy 127.0.0.1:1", "");
    assert!(!examined(&env).stdout.contains("s3cret"));
    env.git_config("http.proxy", env.github.proxy());
    env.git_config("http.sslVerify", "false");
    let told = examined(&env);
    assert!(told.stdout.contains("\nwarning  network: "), "{told:#?}");
}

#[cfg(unix)]
#[test]
fn a_store_that_does_not_work_is_found() {
    use std::os::unix::fs::PermissionsExt as _;
    let env = TestEnv::new();
    std::fs::create_dir_all(env.cache()).unwrap();
    std::fs::set_permissions(env.cache(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let told = examined(&env);
    assert!(
        told.stdout
            .contains("token store: cache folder does not work, so every call mints: the cache folder"),
        "{told:#?}"
    );
    let env = TestEnv::new().with("GHAPP_CACHE", "none");
    finds(&env, "warning", "token store", "tokens are not cached", "");
}

#[test]
fn a_remote_by_ssh_is_found() {
    let env = TestEnv::new();
    env.git(["init", "--quiet", "here"]).ok();
    env.git_in("here", ["remote", "add", "origin", "git@github.com:acme/widgets.git"]).ok();
    let doctor = || {
        let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        run(command.arg("doctor").current_dir(env.home().join("here")), b"")
    };
    let told = doctor();
    assert_eq!(told.code, Some(1));
    let expected = "failure  git's URL: git would use git@github.com:acme/widgets.git over SSH, for which it asks no credential helper\n         \
                    hint: git remote set-url origin https://github.com/acme/widgets, or for all";
    assert!(told.stdout.contains(expected), "{told:#?}");
    env.git_config("url.https://github.com/.insteadOf", "git@github.com:");
    assert_eq!(doctor().code, Some(0), "{:#?}", doctor());
}

#[test]
fn a_credential_in_a_url_or_in_a_helper_is_found_and_not_shown() {
    let env = TestEnv::new();
    let doctor = |url: &str| {
        let told = env.helper(["doctor", url], "");
        assert!(!format!("{told:?}").contains("ghp_canary"), "{told:#?}");
        told
    };
    let told = doctor("https://octocat:ghp_canary@github.com/acme/widgets");
    assert!(told.stdout.contains("failure  git's URL: the URL has a password in it"), "{told:#?}");
    let told = doctor("https://ghp_canary@github.com/acme/widgets");
    assert!(told.stdout.contains("failure  git's URL: the URL has a user name in it"), "{told:#?}");
    assert!(
        doctor("https://x:ghp_canary@github.com/a/b/c")
            .stdout
            .contains("\"https://…@github.com/a/b/c\" is not")
    );
    env.git_config("credential.helper", "!f() { echo username=x; echo password=ghp_canary; }; f");
    let told = doctor(WIDGETS);
    assert!(told.stdout.contains(
        "git does not ask this helper for https://github.com/acme/widgets.git, but a shell command ("
    ));
    env.git_config("credential.helper", "ghapp");
    env.git_config("url.https://x:ghp_canary@github.com/.insteadOf", "https://github.com/");
    let told = doctor(WIDGETS);
    let expected = "failure  git's URL: git rewrites https://github.com/acme/widgets.git to https://…@github.com/acme/widgets.git";
    assert!(told.stdout.contains(expected), "{told:#?}");
}

#[test]
fn settings_for_the_whole_host_as_setup_once_wrote_them_are_found() {
    let env = TestEnv::new();
    let doctor = || env.helper(["doctor", WIDGETS], "").ok();
    assert!(!doctor().contains("whole host"));
    for (key, value, flag, what) in [
        (
            "http.https://github.com.proactiveAuth",
            "basic",
            "--proactive",
            "git fails at once where no App answers: ",
        ),
        (
            "url.https://github.com/.insteadOf",
            "git@github.com:",
            "--rewrite-ssh",
            "git uses https for what no App answers for, too: ",
        ),
    ] {
        env.git_config(key, value);
        let file = env.home().join(".gitconfig").display().to_string();
        let told = doctor();
        let warning = format!("warning  whole host: {what}{key} in {file} is for the whole of github.com\n");
        assert!(told.contains(&warning), "{told}");
        // As it is printed.
        let command = format!(
            "git config --file {file} --unset-all {key} && git-credential-ghapp setup --app-id {ACME_APP} {flag}"
        );
        assert!(told.contains(&format!("hint: limit it to the owners of a rule: {command}\n")), "{told}");
        run(env.command("sh").args(["-c", &command]), b"").ok();
        assert!(!doctor().contains("whole host"), "{}", doctor());
        let owners =
            key.replace("github.com/", "github.com/acme/").replace("github.com.", "github.com/acme.");
        assert_ne!(env.git(["config", "--global", "--get-all", &owners]).stdout, "");
    }
}

#[cfg(unix)]
#[test]
fn a_helper_that_git_does_not_find_is_found() {
    let env = TestEnv::new();
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    // Without this program's folder.
    let told = run(command.args(["doctor", WIDGETS]).env("PATH", common::variable("PATH").unwrap()), b"");
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("helpers: git asks ghapp, but finds no git-credential-ghapp"), "{told:#?}");
}
