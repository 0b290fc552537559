//! Without a name `doctor` and `status` check everything, and what needs a name says which there are.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, ACME_ON_GLOBEX, GLOBEX_APP, TestEnv, WIDGETS, run};
use github_simulator::{ACME_KEY, Effect, GLOBEX_KEY, ROGUE_KEY};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Two Apps: acme's own, and one for globex.
fn two_apps() -> TestEnv {
    let env = TestEnv::bare();
    let mut rules = String::new();
    for (app, owner, key) in [(ACME_APP, "acme", ACME_KEY), (GLOBEX_APP, "globex", GLOBEX_KEY)] {
        let file = env.write_private(&format!("keys/{owner}.pem"), key);
        rules +=
            &format!("[[app]]\nid = '{app}'\nprivate-key = '{}'\nowners = ['{owner}']\n", file.display());
    }
    env.configure(&rules);
    env
}

#[test]
fn doctor_without_a_name_finds_a_perfect_setup_perfect() {
    for env in [TestEnv::new(), two_apps()] {
        let told = env.helper(["doctor"], "");
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:#?}");
        assert!(told.stdout.ends_with("\n0 failures, 0 warnings\n"), "{}", told.stdout);
        for part in ["on acme", "on globex", "git fetches"] {
            assert!(told.stdout.contains(part), "{part:?}: {}", told.stdout);
        }
    }
}

#[test]
fn doctor_without_a_name_tells_of_a_setting_for_the_whole_host_once() {
    let env = TestEnv::new();
    env.git_config("http.https://github.com.proactiveAuth", "basic");
    let told = env.helper(["doctor"], "").ok();
    assert_eq!(told.matches("http.https://github.com.proactiveAuth in ").count(), 1, "{told}");
    assert_eq!(told.matches("git fetches").count(), 2, "{told}");
}

#[test]
fn doctor_without_a_name_finds_what_is_wrong_with_any_app_and_installation() {
    let env = two_apps();
    env.github.world().installation(common::GLOBEX_ON_GLOBEX).suspended = true;
    env.write_private("keys/acme.pem", ROGUE_KEY);
    let told = env.helper(["doctor"], "");
    assert_eq!(told.code, Some(1));
    assert!(
        told.stdout.contains(&format!("the private key does not belong to App {ACME_APP}")),
        "{}",
        told.stdout
    );
    assert!(
        told.stdout.contains("4301 on globex") && told.stdout.contains("the installation is suspended"),
        "{}",
        told.stdout
    );
    assert!(told.stdout.ends_with("\n2 failures, 0 warnings\n"), "{}", told.stdout);
    let steps = json(&env.helper(["doctor", "--json"], "").stdout);
    let failed: Vec<&Value> =
        steps["steps"].as_array().unwrap().iter().filter(|step| step["result"] == "failure").collect();
    let about: Vec<&Value> = failed.iter().map(|step| &step["about"]).collect();
    assert_eq!(
        about,
        [
            format!("App {ACME_APP} on github.com").as_str(),
            format!("App {GLOBEX_APP} on github.com").as_str()
        ]
    );
}

#[test]
fn doctor_without_a_name_finds_an_owner_that_the_app_is_not_installed_on() {
    let env = two_apps();
    env.github.world().installations.retain(|it| it.id != common::GLOBEX_ON_GLOBEX);
    let told = env.helper(["doctor"], "");
    assert_eq!(told.code, Some(1));
    assert!(
        told.stdout.contains("App globex-deploy is not installed on github.com/globex"),
        "{}",
        told.stdout
    );
}

#[test]
fn doctor_in_a_clone_is_about_its_remote() {
    let env = TestEnv::new();
    env.git(["clone", "--quiet", WIDGETS]).ok();
    let mut here = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    let told = run(here.arg("doctor").current_dir(env.home().join("widgets")), b"").ok();
    assert!(
        told.contains("answers for https://github.com/acme/widgets") && !told.contains("globex"),
        "{told}"
    );
}

#[test]
fn status_tells_of_each_app_whether_it_works_and_where_it_is_installed() {
    let env = two_apps();
    let told = env.helper(["status"], "").ok();
    assert!(
        told.contains(&format!("ok       acme-ci ({ACME_APP}) on github.com: installed on acme, globex")),
        "{told}"
    );
    assert!(told.contains("globex-deploy") && told.ends_with("\nno token is cached\n"), "{told}");
    env.write_private("keys/acme.pem", "not a key");
    let told = env.helper(["status"], "");
    assert_eq!(told.code, Some(1));
    let line = told.stdout.lines().next().unwrap();
    assert!(line.starts_with(&format!("failure  {ACME_APP} on github.com: the private key ")), "{told:#?}");
    assert!(told.stdout.contains("ok       globex-deploy"), "{told:#?}");
    let told = json(&env.helper(["status", "--json"], "").stdout);
    let apps = told["apps"].as_array().unwrap();
    assert_eq!((&apps[0]["ok"], &apps[1]["ok"]), (&false.into(), &true.into()));
    assert_eq!((&apps[1]["slug"], &apps[1]["host"]), (&"globex-deploy".into(), &"github.com".into()));
    assert!(apps[0]["error"].as_str().unwrap().contains("private key"));
}

#[test]
fn status_of_a_network_that_is_down_is_soon_told() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets");
    env.fault("GET /app", 100, Effect::Answer(503, Vec::new(), Vec::new()));
    let began = std::time::Instant::now();
    let told = env.helper(["status"], "");
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("503") && told.stdout.contains("sealed file"), "{told:#?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn lists_go_on_after_an_app_whose_key_is_bad() {
    let env = two_apps();
    env.write_private("keys/acme.pem", "not a key");
    for command in ["installations", "repositories"] {
        let told = env.helper([command], "");
        assert_eq!(told.code, Some(1), "{command}");
        assert!(told.stdout.contains("globex"), "{command}: {told:#?}");
        assert!(
            told.stderr.contains("the private key ") && told.stderr.contains(ACME_APP),
            "{command}: {told:#?}"
        );
        let told = env.helper([command, "--json"], "");
        assert_eq!((told.code, json(&told.stdout).as_array().unwrap().len()), (Some(1), 1), "{command}");
    }
}

#[test]
fn what_needs_a_name_says_which_there_are() {
    let env = TestEnv::new();
    for (arguments, hint) in [
        (vec!["token"], "git-credential-ghapp token acme"),
        (vec!["exec", "--", "echo", "ran"], "git-credential-ghapp exec --for acme"),
    ] {
        let told = env.helper(arguments, "");
        assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""));
        assert_eq!(
            told.stderr,
            format!(
                "git-credential-ghapp: error: it is not clear which owner is meant: acme or globex\n\
                 git-credential-ghapp: hint: {hint}, or run this in a clone\n"
            )
        );
    }
    let told = two_apps().helper(["token"], "");
    assert!(told.stderr.contains("it is not clear which owner is meant: acme or globex\n"), "{told:#?}");
    // One that can be meant is meant.
    env.github.world().installations.retain(|it| it.id == ACME_ON_GLOBEX);
    assert!(env.helper(["token"], "").ok().starts_with("ghs_"));
}

#[cfg(unix)]
#[test]
#[allow(clippy::disallowed_methods, reason = "the test is the process that is stuck")]
fn doctor_tells_of_a_process_that_holds_a_lock_and_does_not_go_on() {
    let env = TestEnv::new();
    assert!(env.helper(["doctor", "acme/widgets"], "").ok().ends_with("\n0 failures, 0 warnings\n"));
    let token = std::fs::read_dir(env.cache().join("tokens")).unwrap().next().unwrap().unwrap();
    let name = format!("token-{}", token.file_name().to_str().unwrap());
    let path = env.cache().join("locks").join(name);
    let file = std::fs::File::create(&path).unwrap();
    file.lock().unwrap();
    let told = env.helper(["doctor", "acme/widgets"], "").ok();
    assert!(told.contains("warning  locks: another process has held a lock for 3 s"), "{told}");
    assert!(told.contains(&format!("hint: it may hang; find it: fuser -v {}\n", path.display())), "{told}");
    assert!(told.ends_with("\n0 failures, 1 warning\n"), "{told}");
}
