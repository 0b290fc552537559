//! `public-repositories`: git gets a token for public repositories where the App is not installed, and none that reaches
//! anything else.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::fresh::Fresh;
use common::{ACME_APP, MINT, PROBE, TestEnv};
use github_simulator::{ACME_KEY, Anonymous, Effect};

/// A GitHub that limits anonymous clients, with a public and a private repository of somebody else's.
fn env(more: &str) -> TestEnv {
    let env = TestEnv::bare();
    prepare(&env);
    let key = env.write_private("keys/acme.pem", ACME_KEY);
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n{more}\n", key.display()));
    env
}

fn prepare(env: &TestEnv) {
    let mut world = env.github.world();
    world.anonymous = Anonymous::Unauthorized;
    world.add_repository("initech", "tps", &[("report", "cover\n")]);
    world.add_repository("initech", "secret", &[]);
    let public = world.repositories.iter_mut().find(|it| it.name == "tps").unwrap();
    public.private = false;
}

const FOR_ACME: &str = "owners = ['acme']\npublic-repositories = 'Acme'";
const FOR_ALL: &str = "public-repositories = 'acme'";

/// What the tokens may do that were minted.
fn minted(env: &TestEnv) -> Vec<String> {
    let world = env.github.world();
    world.tokens.iter().map(|it| format!("{} {:?}", it.installation, it.permissions)).collect()
}

const METADATA: &str = "4201 {\"metadata\": \"read\"}";
const CONTENTS: &str = "4201 {\"contents\": \"read\", \"metadata\": \"read\"}";

#[test]
fn a_public_repository_of_somebody_else_is_cloned_with_a_token_that_reads_metadata_only() {
    for rule in [FOR_ACME, FOR_ALL] {
        let env = env(rule);
        let cloned = env.git(["clone", "-q", "https://github.com/initech/tps.git"]);
        assert_eq!((cloned.code, cloned.stderr.as_str()), (Some(0), ""), "{rule}");
        assert!(env.home().join("tps/report").exists());
        assert_eq!(minted(&env), [METADATA], "{rule}");
        env.git_in("tps", ["fetch", "-q"]).ok();
        assert_eq!(minted(&env), [METADATA], "{rule}");
        // Its own repositories are answered as ever.
        assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
        assert_eq!(minted(&env).len(), 2);
    }
}

#[test]
fn a_repository_that_is_private_or_missing_is_what_it_is_without_the_setting() {
    for (with, without) in [(FOR_ACME, "owners = ['acme']"), (FOR_ALL, "")] {
        let (with, without) = (env(with), env(without));
        for _ in 0..2 {
            for path in ["initech/secret", "initech/missing", "nobody/nothing"] {
                let (one, other) = (with.get("github.com", path), without.get("github.com", path));
                assert_eq!(
                    (one.code, one.stdout, one.stderr),
                    (other.code, other.stdout, other.stderr),
                    "{path}"
                );
            }
        }
    }
}

#[test]
fn without_the_setting_nothing_is_asked_for_others() {
    let env = env("owners = ['acme']");
    let declined = env.get("github.com", "initech/tps");
    assert_eq!((declined.code, declined.stdout.as_str(), declined.stderr.as_str()), (Some(0), "", ""));
    assert!(env.github.log().is_empty());
}

#[test]
fn where_metadata_is_not_enough_contents_are_read_and_that_is_remembered() {
    let env = env(FOR_ACME).with("GHAPP_DEADLINE", "1");
    env.github.world().public_needs_contents = true;
    assert!(env.get("github.com", "initech/tps").attribute("password").is_some());
    assert_eq!(minted(&env), [METADATA, CONTENTS]);
    let probes = env.github.world().count(PROBE);
    assert!(env.get("github.com", "initech/tps").attribute("password").is_some());
    assert_eq!((minted(&env).len(), env.github.world().count(PROBE)), (2, probes + 1));
}

#[test]
fn a_rule_for_less_never_gives_a_token_that_reads_the_owners_contents() {
    for more in ["scope = 'repository'", "permissions = { issues = 'read' }"] {
        let env = env(&format!("{FOR_ACME}\n{more}")).with("GHAPP_DEADLINE", "1");
        env.github.world().public_needs_contents = true;
        let declined = env.get("github.com", "initech/tps");
        assert_eq!((declined.code, declined.stdout.as_str()), (Some(0), ""), "{declined:?}");
        assert!(
            declined.stderr.starts_with(
                "git-credential-ghapp: warning: github.com accepts no token of https://github.com/acme for initech/tps\n"
            ),
            "{declined:?}"
        );
        assert_eq!(minted(&env), [METADATA]);
    }
}

#[test]
fn a_token_that_was_revoked_or_refused_is_replaced() {
    let env = env(FOR_ACME);
    let token =
        |env: &TestEnv| env.get("github.com", "initech/tps").attribute("password").unwrap().to_owned();
    let first = token(&env);
    env.github.world().tokens[0].revoked = true;
    let second = token(&env);
    assert_ne!(first, second);
    let refused = format!("protocol=https\nhost=github.com\npath=initech/tps\npassword={second}\n");
    env.helper(["erase"], refused).ok();
    assert_ne!(token(&env), second);
    assert_eq!(env.github.world().count(MINT), 3);
}

#[test]
fn a_connection_that_waited_too_long_for_the_probe_does_not_make_a_public_repository_private() {
    let env = env(FOR_ACME);
    let first = env.get("github.com", "initech/tps");
    let first = first.attribute("password").unwrap();
    let headers = vec![("Connection".to_owned(), "close".to_owned())];
    env.fault(PROBE, 1, Effect::Answer(408, headers, Vec::new()));
    assert_eq!(env.get("github.com", "initech/tps").attribute("password"), Some(first));
}

#[test]
fn a_name_that_is_no_owner_is_a_mistake_with_its_place() {
    let wrong = env("public-repositories = 'acme/widgets'").get("github.com", "acme/widgets");
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("error: \"acme/widgets\" is not the name of an owner ("), "{wrong:?}");
}

#[test]
fn setup_lets_git_ask_about_the_whole_host_and_proactively_where_that_is_wanted() {
    let fresh = Fresh::new();
    prepare(&fresh.env);
    let told = fresh.setup(&["--owner", "acme", "--public-repositories", "acme", "--proactive"]).ok();
    assert!(told.contains("git will ask ghapp for all of github.com\n"), "{told}");
    assert!(fresh.config().unwrap().contains("public-repositories = \"acme\"\n"));
    assert_eq!(fresh.git_values("credential.https://github.com.helper").len(), 2);
    assert_eq!(fresh.git_values("http.https://github.com.proactiveAuth"), ["basic"]);
    fresh.env.git(["clone", "-q", "https://github.com/initech/tps"]).ok();
    assert!(fresh.undo().code == Some(0));
    assert_eq!(fresh.gitconfig(), None);
}
