//! One lookup for each owner: what is known about one repository of an owner serves the others.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::process::Stdio;

use common::{ACME_APP, ACME_ON_ACME, ACME_ON_GLOBEX, LOOKUP, MINT, PROBE, Ran, TestEnv};
use github_simulator::{Effect, Selection};

const APP: &str = "GET /app";

fn get(env: &TestEnv, repository: &str) -> Ran {
    env.get("github.com", repository)
}

fn token(env: &TestEnv, repository: &str) -> String {
    let answer = get(env, repository);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{repository}: {answer:?}");
    answer.attribute("password").unwrap_or_else(|| panic!("{repository}: {answer:?}")).to_owned()
}

/// An answer of an API that has had enough for the next ten minutes.
fn limited() -> Effect {
    let headers = vec![("Retry-After".to_owned(), "600".to_owned())];
    Effect::Answer(403, headers, br#"{"message": "You have exceeded a secondary rate limit"}"#.to_vec())
}

fn answer(status: u16) -> Effect {
    Effect::Answer(status, Vec::new(), br#"{"message": "no"}"#.to_vec())
}

fn id_of(env: &TestEnv, name: &str) -> u64 {
    env.github.world().repositories.iter().find(|it| it.name == name).unwrap().id
}

fn make_public(env: &TestEnv, name: &str) {
    env.github.world().repositories.iter_mut().find(|it| it.name == name).unwrap().private = false;
}

/// An App that may do this with contents.
fn permit(env: &TestEnv, contents: &str) {
    let mut world = env.github.world();
    world.installation(ACME_ON_ACME).permissions.insert("contents".to_owned(), contents.to_owned());
}

fn per_repository(env: &TestEnv) {
    let key = env.folder.path().join("keys/acme.pem");
    env.configure(&format!(
        "[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\nscope = 'repository'\n",
        key.display()
    ));
}

#[test]
fn the_second_repository_of_an_owner_takes_no_request_to_the_api() {
    let env = TestEnv::new();
    let first = token(&env, "acme/widgets");
    assert_eq!(token(&env, "acme/machine"), first);
    assert_eq!(env.lookups_and_mints(), (1, 1));
    // From here on nothing is asked at all.
    let requests = env.github.log().len();
    assert_eq!(token(&env, "acme/machine"), first);
    assert_eq!(env.github.log().len(), requests);
}

#[test]
fn many_repositories_at_once_on_a_cold_machine_take_one_lookup_and_one_mint() {
    let env = TestEnv::new();
    let names: Vec<String> = (0..30).map(|n| format!("part-{n}")).collect();
    for name in &names {
        env.github.world().add_repository("acme", name, &[("README", "a part\n")]);
    }
    let children: Vec<_> = names
        .iter()
        .map(|name| {
            let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
            command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let request = format!("protocol=https\nhost=github.com\npath=acme/{name}\n");
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), request.as_bytes()).unwrap();
            child
        })
        .collect();
    for child in children {
        let ran = common::ran(child.wait_with_output().unwrap());
        assert!(ran.attribute("password").is_some(), "{ran:?}");
        assert_eq!(ran.stderr, "");
    }
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn a_rate_limit_that_is_used_up_does_not_keep_a_known_owners_token_from_another_repository() {
    let env = TestEnv::new();
    let first = token(&env, "acme/widgets");
    env.fault(LOOKUP, 1_000_000, limited());
    env.fault(MINT, 1_000_000, limited());
    // An owner who is not known cannot be answered for.
    assert!(get(&env, "globex/gears").stderr.contains("is used up\n"));
    assert_eq!(token(&env, "acme/machine"), first);
}

#[test]
fn an_api_that_is_down_does_not_keep_it_from_another_repository() {
    let env = TestEnv::new();
    let first = token(&env, "acme/widgets");
    env.fault(LOOKUP, 1_000_000, answer(503));
    env.fault(MINT, 1_000_000, answer(503));
    assert_eq!(token(&env, "acme/machine"), first);
}

#[test]
fn a_token_that_is_about_to_expire_is_better_than_none_while_the_api_cannot_be_asked() {
    let env = TestEnv::new();
    env.github.world().token_lifetime = 200;
    let first = token(&env, "acme/widgets");
    env.fault(LOOKUP, 1_000_000, limited());
    env.fault(MINT, 1_000_000, limited());
    let second = get(&env, "acme/machine");
    assert_eq!(second.attribute("password"), Some(first.as_str()), "{second:?}");
    assert!(second.stderr.contains("no new token could be minted, so git gets the cached one"), "{second:?}");
}

#[test]
fn when_the_token_has_expired_the_owners_other_repositories_take_one_mint_and_no_lookup() {
    let env = TestEnv::new();
    let first = token(&env, "acme/widgets");
    env.helper(["erase"], format!("{}password={first}\n", common::REQUEST)).ok();
    assert_ne!(token(&env, "acme/machine"), first);
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn a_token_that_was_minted_for_another_repository_is_accepted_before_anybody_gets_it() {
    let env = TestEnv::new();
    let first = token(&env, "acme/widgets");
    env.helper(["erase"], format!("{}password={first}\n", common::REQUEST)).ok();
    env.github.world().propagation = Some((3, 404));
    let cloned = env.git(["clone", "--quiet", "https://github.com/acme/machine.git", "one"]);
    assert_eq!((cloned.code, cloned.stderr.as_str()), (Some(0), ""));
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn a_repository_outside_the_selection_does_not_get_the_owners_token() {
    let env = TestEnv::new();
    let selected = vec![id_of(&env, "widgets")];
    env.github.world().installation(ACME_ON_ACME).selection = Selection::Selected(selected);
    token(&env, "acme/widgets");
    for public in [false, true] {
        if public {
            // Everybody's token reads a public repository, but a push with it would fail.
            make_public(&env, "machine");
            std::fs::remove_dir_all(env.cache().join("routes")).unwrap();
            token(&env, "acme/widgets");
        }
        let declined = get(&env, "acme/machine");
        assert_eq!((declined.code, declined.stdout.as_str()), (Some(0), ""), "{declined:?}");
        assert!(
            declined.stderr.contains("is installed on github.com/acme, but not for github.com/acme/machine"),
            "{declined:?}"
        );
    }
}

#[test]
fn an_app_that_may_only_read_all_repositories_of_an_owner_takes_one_lookup_for_them() {
    let env = TestEnv::new();
    permit(&env, "read");
    let first = token(&env, "acme/widgets");
    assert_eq!(token(&env, "acme/machine"), first);
    env.github.world().add_repository("acme", "open", &[("README", "open\n")]);
    make_public(&env, "open");
    assert_eq!(token(&env, "acme/open"), first);
    assert_eq!(env.lookups_and_mints(), (1, 1));
    // Of selected repositories it shows only in what may be pushed to which ones they are.
    let selected = ["widgets", "machine"].map(|name| id_of(&env, name)).to_vec();
    env.github.world().installation(ACME_ON_ACME).selection = Selection::Selected(selected);
    std::fs::remove_dir_all(env.cache().join("routes")).unwrap();
    token(&env, "acme/widgets");
    assert_eq!(token(&env, "acme/machine"), first);
    assert_eq!(env.lookups_and_mints(), (3, 1));
    assert!(
        get(&env, "acme/open")
            .stderr
            .contains("is installed on github.com/acme, but not for github.com/acme/open")
    );
}

#[test]
fn of_a_selection_what_may_be_pushed_to_takes_no_lookup() {
    let env = TestEnv::new();
    let selected = ["widgets", "machine"].map(|name| id_of(&env, name)).to_vec();
    env.github.world().installation(ACME_ON_ACME).selection = Selection::Selected(selected);
    make_public(&env, "machine");
    let first = token(&env, "acme/widgets");
    assert_eq!(token(&env, "acme/machine"), first);
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn a_repository_that_moved_to_another_owner_gets_that_owners_token() {
    let env = TestEnv::new();
    env.github.world().rename(("acme", "machine"), ("globex", "machine"));
    // The old name is looked up, and the installation is globex's: nothing is learnt about acme.
    token(&env, "acme/machine");
    token(&env, "globex/gears");
    assert_eq!(env.lookups_and_mints().1, 1);
    token(&env, "acme/widgets");
    let installations: Vec<u64> = env.github.world().tokens.iter().map(|token| token.installation).collect();
    assert_eq!(installations, [ACME_ON_GLOBEX, ACME_ON_ACME]);
}

#[test]
fn a_repository_of_a_known_owner_that_moved_away_is_looked_up() {
    let env = TestEnv::new();
    let first = token(&env, "acme/widgets");
    env.github.world().rename(("acme", "machine"), ("globex", "machine"));
    assert_ne!(token(&env, "acme/machine"), first);
    assert_eq!(env.github.world().tokens.last().unwrap().installation, ACME_ON_GLOBEX);
}

#[test]
fn a_token_for_one_repository_is_minted_without_a_lookup_where_its_owner_is_known() {
    let env = TestEnv::new();
    per_repository(&env);
    let first = token(&env, "acme/widgets");
    assert_ne!(token(&env, "acme/machine"), first);
    assert_eq!(env.lookups_and_mints(), (1, 2));
    // Outside the selection, and gone to another owner: the mint is refused, and GitHub is asked where they belong.
    let selected = vec![id_of(&env, "widgets"), id_of(&env, "machine")];
    env.github.world().add_repository("acme", "outside", &[]);
    env.github.world().add_repository("acme", "away", &[]);
    env.github.world().installation(ACME_ON_ACME).selection = Selection::Selected(selected);
    env.github.world().rename(("acme", "away"), ("globex", "away"));
    let outside = get(&env, "acme/outside").stderr;
    assert!(
        outside.contains("is installed on github.com/acme, but not for github.com/acme/outside"),
        "{outside}"
    );
    let page = "hint: add the repository to the installation: https://github.com/organizations/acme/settings/installations/";
    assert!(outside.contains(page), "{outside}");
    token(&env, "acme/away");
    assert_eq!(env.github.world().tokens.last().unwrap().installation, ACME_ON_GLOBEX);
}

#[test]
fn an_app_that_was_installed_anew_is_looked_up_once() {
    for scope in ["owner", "repository"] {
        let env = TestEnv::new();
        if scope == "repository" {
            per_repository(&env);
        }
        let first = token(&env, "acme/widgets");
        {
            let mut world = env.github.world();
            world.installation(ACME_ON_ACME).id = 4299;
            world.revoke_all();
        }
        env.helper(["erase"], format!("{}password={first}\n", common::REQUEST)).ok();
        token(&env, "acme/machine");
        token(&env, "acme/widgets");
        let (lookups, _) = env.lookups_and_mints();
        assert!(lookups <= 3, "{scope}: {lookups}");
        assert_eq!(env.github.world().tokens.last().unwrap().installation, 4299);
    }
}

#[test]
fn the_apps_page_is_asked_for_once_and_not_by_every_call_that_finds_no_installation() {
    let env = TestEnv::new();
    env.github.world().add_repository("initech", "stapler", &[]);
    env.github.world().add_repository("initech", "printer", &[]);
    let message = get(&env, "initech/stapler").stderr;
    assert!(message.contains("App acme-ci is not installed on github.com/initech/stapler"), "{message}");
    assert!(
        message.contains("hint: install it at https://github.com/apps/acme-ci/installations/new"),
        "{message}"
    );
    assert_eq!(get(&env, "initech/stapler").stderr, message);
    assert_eq!(env.github.world().count(LOOKUP), 1);
    assert!(get(&env, "initech/printer").stderr.contains("/apps/acme-ci/installations/new"));
    let world = env.github.world();
    assert_eq!((world.count(LOOKUP), world.count(APP)), (2, 1));
}

#[test]
fn doctor_says_how_a_repository_came_to_its_installation_and_asks_github_afresh() {
    let env = TestEnv::new();
    let examine = |name: &str| {
        let before = env.github.world().count(LOOKUP);
        let told = env.helper(["doctor", name], "").stdout;
        assert!(env.github.world().count(LOOKUP) > before, "{told}");
        told
    };
    let told = examine("acme/widgets");
    assert!(told.contains("ok       route: looked up at https://api.github.com\n"), "{told}");
    let told = examine("acme/machine");
    let by_owner = "ok       route: none is remembered for acme/machine; a call would probe it with the token of acme's \
                    installation 4201\n";
    assert!(told.contains(by_owner), "{told}");
    let told = examine("acme/widgets");
    assert!(told.contains("ok       route: remembered from a lookup\n"), "{told}");
    env.github.world().add_repository("acme", "part", &[("README", "part\n")]);
    token(&env, "acme/part");
    let told = examine("acme/part");
    let probed = "ok       route: remembered: git's server accepted the token of acme's installation\n";
    assert!(told.contains(probed), "{told}");
    // What is remembered is wrong: GitHub has the last word.
    env.github.world().installation(ACME_ON_ACME).id = 4299;
    let told = examine("acme/part");
    let moved =
        "warning  route: installation 4201 was remembered, but GitHub says 4299, which is used from now on\n";
    assert!(told.contains(moved), "{told}");
}

#[test]
fn where_gits_server_cannot_be_probed_github_is_asked() {
    let env = TestEnv::new();
    let first = token(&env, "acme/widgets");
    env.fault(PROBE, 2, Effect::Drop);
    assert_eq!(token(&env, "acme/machine"), first);
    assert_eq!(env.lookups_and_mints(), (2, 1));
}
