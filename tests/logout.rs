//! `status` shows what `get` would answer with, and `logout` drops and revokes it, whatever became of small files.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use common::{ACME_APP, ACME_ON_ACME, GLOBEX_APP, TestEnv, skip};
use github_simulator::{ACME_KEY, GLOBEX_KEY};
use serde_json::Value;

/// The tokens that `status` lists.
fn listed(env: &TestEnv) -> Vec<Value> {
    let told = env.helper(["status", "--json"], "").ok();
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told}"));
    told["tokens"].as_array().unwrap().clone()
}

/// Which of the tokens that GitHub gave are still valid.
fn valid(env: &TestEnv) -> usize {
    env.github.world().tokens.iter().filter(|token| !token.revoked).count()
}

fn password(env: &TestEnv, path: &str) -> String {
    let answer = env.get("github.com", path);
    answer.attribute("password").unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// An App by the environment alone, its tokens in the kernel's keyring, and no home that could be written to; and the owner
/// that it is installed on. `None` where the keyring cannot be used. App and owner have names that no other run has: all
/// tests of a user, and the user's own tokens, are in one keyring.
#[cfg(target_os = "linux")]
fn without_a_home() -> Option<(TestEnv, String)> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let unique = u64::from(std::process::id()) * 1_000_000_000 + u64::from(now.subsec_nanos());
    let (app, owner) = (format!("Iv23li{unique}"), format!("owner-{unique}"));
    let env = TestEnv::fresh()
        .with("GHAPP_APP_ID", &app)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("GHAPP_CACHE", "keyring")
        .with("HOME", "/dev/null");
    {
        let mut world = env.github.world();
        world.add_app(unique, &app, "acme-bot", ACME_KEY);
        world.install(unique, unique, &owner);
        world.add_repository(&owner, "widgets", &[("README", "widgets\n")]);
    }
    let works = env.helper(["doctor", &owner, "--json"], "").stdout.contains("kernel keyring works");
    if !works {
        skip("the kernel's keyring cannot be used here");
    }
    works.then_some((env, owner))
}

#[cfg(target_os = "linux")]
#[test]
fn two_stores_with_different_tokens_are_both_emptied() {
    let Some((env, owner)) = without_a_home() else { return };
    let home = env.home().display().to_string();
    let env = env.with("HOME", home);
    let first = password(&env, &format!("{owner}/widgets"));
    let env = env.with("GHAPP_CACHE", "file");
    assert_ne!(first, password(&env, &format!("{owner}/widgets")));
    let env = env.with("GHAPP_CACHE", "auto");
    assert_eq!(env.helper(["logout"], "").ok(), "removed 2 tokens, revoked 2\n");
    assert!(valid(&env) == 0 && !listed(&env).iter().any(|it| it["owner"] == owner.as_str()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_token_in_the_keyring_is_listed_and_revoked_where_no_file_can_be_written() {
    let Some((env, owner)) = without_a_home() else { return };
    let widgets = format!("{owner}/widgets");
    let token = password(&env, &widgets);
    assert_eq!(password(&env, &widgets), token, "the keyring hands it out");
    let ours = |env: &TestEnv| listed(env).into_iter().find(|it| it["owner"] == owner.as_str());
    let shown = ours(&env).expect("what get answers with is listed");
    assert_eq!(shown["kept_in"], "kernel keyring");
    assert_eq!(env.helper(["logout"], "").ok(), "removed 1 token, revoked 1\n");
    assert_eq!((valid(&env), ours(&env)), (0, None));
    assert_ne!(password(&env, &widgets), token);
    assert_eq!(env.helper(["logout", &owner], "").ok(), "removed 1 token, revoked 1\n");
    assert_eq!(valid(&env), 0);
}

#[test]
fn notes_that_were_lost_hide_no_token() {
    let env = TestEnv::new();
    let token = password(&env, "acme/widgets");
    for kind in ["grants", "routes"] {
        std::fs::remove_dir_all(env.cache().join(kind)).unwrap();
    }
    let shown = listed(&env);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!((&shown[0]["owner"], &shown[0]["host"]), (&"acme".into(), &"github.com".into()));
    assert_eq!(env.helper(["logout", "acme"], "").ok(), "removed 1 token, revoked 1\n");
    assert_eq!(valid(&env), 0);
    assert_ne!(password(&env, "acme/widgets"), token);
}

#[test]
fn logout_of_an_owner_drops_all_of_its_tokens_narrowed_ones_too() {
    let env = TestEnv::new();
    password(&env, "globex/gears");
    for arguments in [
        vec!["token", "acme/widgets"],
        vec!["token", "acme/widgets", "--scope", "repository"],
        vec!["token", "acme/machine", "--scope", "repository"],
        vec!["token", "acme", "--permissions", "contents=read"],
    ] {
        env.helper(arguments, "").ok();
    }
    assert_eq!(listed(&env).len(), 5);
    assert_eq!(env.helper(["logout", "ACME"], "").ok(), "removed 4 tokens, revoked 4\n");
    assert_eq!(valid(&env), 1);
    assert_eq!(listed(&env)[0]["owner"], "globex");
}

#[test]
fn logout_of_a_repository_drops_what_git_would_get_for_it_and_what_is_for_it_alone() {
    let env = TestEnv::new();
    for arguments in [
        vec!["token", "acme"],
        vec!["token", "acme/widgets", "--scope", "repository"],
        vec!["token", "acme/machine", "--scope", "repository"],
    ] {
        env.helper(arguments, "").ok();
    }
    assert_eq!(env.helper(["logout", "acme/widgets"], "").ok(), "removed 2 tokens, revoked 2\n");
    let left = listed(&env);
    assert_eq!((left.len(), &left[0]["repositories"][0]), (1, &"acme/machine".into()));
}

#[test]
fn logout_finds_the_token_of_an_owner_that_was_only_met_through_a_repository() {
    let env = TestEnv::new();
    password(&env, "globex/gears");
    assert_eq!(env.helper(["logout", "globex"], "").ok(), "removed 1 token, revoked 1\n");
    assert_eq!(valid(&env), 0);
}

#[test]
fn a_token_for_the_only_installation_is_its_owners() {
    let env = TestEnv::new();
    env.github.world().installations.retain(|it| it.id == ACME_ON_ACME);
    env.git_config("credential.useHttpPath", "false");
    env.helper(["get"], "protocol=https\nhost=github.com\n").ok();
    assert_eq!(env.helper(["logout", "globex"], "").ok(), "no token is cached for globex on github.com\n");
    assert_eq!(env.helper(["logout", "acme"], "").ok(), "removed 1 token, revoked 1\n");
}

#[test]
fn owners_and_hosts_can_be_said_with_flags() {
    let env = TestEnv::bare();
    let key = env.write_private("keys/acme.pem", ACME_KEY);
    let rule = |host: &str| {
        format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\nhost = '{host}'\n", key.display())
    };
    env.configure(&(rule("github.com") + &rule("ghe.example")));
    let fill = || {
        for host in ["github.com", "ghe.example"] {
            for path in ["acme/widgets", "globex/gears"] {
                env.get(host, path).attribute("password").unwrap();
            }
        }
    };
    fill();
    assert_eq!(env.helper(["logout", "--host", "ghe.example"], "").ok(), "removed 2 tokens, revoked 2\n");
    assert!(listed(&env).iter().all(|it| it["host"] == "github.com"));
    fill();
    assert_eq!(env.helper(["logout", "--owner", "acme"], "").ok(), "removed 2 tokens, revoked 2\n");
    assert!(listed(&env).iter().all(|it| it["owner"] == "globex"));
    let both = ["logout", "--owner", "globex", "--host", "github.com"];
    assert_eq!(env.helper(both, "").ok(), "removed 1 token, revoked 1\n");
    assert_eq!(
        env.helper(["logout", "--owner", "globex", "--owner", "acme"], "").ok(),
        "removed 1 token, revoked 1\n"
    );
    assert_eq!(valid(&env), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_not_configured_any_more_is_still_revoked_as_that_takes_the_token_only() {
    let Some((env, owner)) = without_a_home() else { return };
    password(&env, &format!("{owner}/widgets"));
    let env = env.without("GHAPP_APP_ID").without("GHAPP_PRIVATE_KEY");
    assert_eq!(env.helper(["logout", &owner], "").ok(), "removed 1 token, revoked 1\n");
    assert_eq!(valid(&env), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn only_the_stores_that_get_reads_are_listed_and_emptied() {
    let Some((env, owner)) = without_a_home() else { return };
    let token = password(&env, &format!("{owner}/widgets"));
    let env = env.with("GHAPP_CACHE", "file");
    assert_eq!(listed(&env), Vec::<Value>::new());
    let told = env.helper(["logout", &owner], "").ok();
    assert_eq!(told, format!("no token is cached for {owner} on github.com\n"));
    let env = env.with("GHAPP_CACHE", "keyring");
    assert_eq!(password(&env, &format!("{owner}/widgets")), token);
    env.helper(["logout", &owner], "").ok();
}

#[test]
fn a_sealed_file_that_cannot_be_opened_is_told_of_and_how_it_can_be_revoked() {
    let env = TestEnv::new();
    password(&env, "acme/widgets");
    let key = env.write_private("keys/globex.pem", GLOBEX_KEY);
    env.configure(&format!("[[app]]\nid = '{GLOBEX_APP}'\nprivate-key = '{}'\n", key.display()));
    let shown = listed(&env);
    assert_eq!((&shown[0]["app"], &shown[0]["owner"]), (&ACME_APP.into(), &"acme".into()));
    // Not one of the configured App's.
    assert_eq!(
        env.helper(["logout"], "").ok(),
        "no token of a configured App is cached; for 1 token of others: git-credential-ghapp logout --all\n"
    );
    let told = env.helper(["logout", "acme"], "");
    assert_eq!((told.code, valid(&env)), (Some(1), 1));
    let expected = format!(
        "warning: the token for acme on github.com was neither removed nor revoked: its sealed file opens only with the \
         private key of App {ACME_APP} that sealed it\n"
    );
    assert!(told.stderr.contains(&expected), "{told:#?}");
    let hint = format!("hint: git-credential-ghapp logout acme --app-id {ACME_APP} --private-key FILE");
    assert!(told.stderr.contains(&hint), "{told:#?}");
    let key = env.folder.path().join("keys/acme.pem").display().to_string();
    let as_hinted = ["logout", "acme", "--app-id", ACME_APP, "--private-key", &key];
    assert_eq!(env.helper(as_hinted, "").ok(), "removed 1 token, revoked 1\n");
    assert_eq!(valid(&env), 0);
}

#[test]
fn status_tells_what_each_token_may_do_and_for_which_repositories() {
    let env = TestEnv::new();
    let narrow = ["token", "acme/widgets", "--scope", "repository", "--permissions", "contents=read"];
    env.helper(narrow, "").ok();
    password(&env, "globex/gears");
    let shown = listed(&env);
    let of = |owner: &str| shown.iter().find(|it| it["owner"] == owner).unwrap();
    assert_eq!(of("acme")["repositories"][0], "acme/widgets");
    assert_eq!(of("acme")["permissions"]["contents"], "read");
    assert_eq!(of("globex")["repository_selection"], "all");
    let table = env.helper(["status"], "").ok();
    assert!(table.contains("acme/widgets") && table.contains("contents: read, metadata: read"), "{table}");
    assert!(table.contains("contents: write"), "{table}");
}

#[test]
fn a_cache_folder_that_is_not_there_and_cannot_be_made_is_no_failure_of_logout() {
    let env = TestEnv::fresh()
        .with("GHAPP_APP_ID", ACME_APP)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("GHAPP_CACHE", "file")
        .with("HOME", "/dev/null");
    let ran = env.helper(["logout", "--all"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "no token is cached\n"), "{ran:?}");
}
