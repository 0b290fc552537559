//! Which repository the path of a request belongs to: the one that a server would take it for, or none.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{Ran, TestEnv, run};

/// What git says when it is asked for a credential for a URL, as git-lfs and other programs do.
fn fill(env: &TestEnv, url: &str) -> Ran {
    let mut command = env.command("git");
    command.args(["credential", "fill"]);
    run(&mut command, format!("url={url}\n").as_bytes())
}

#[test]
fn an_address_of_lfs_is_answered_for_its_repository() {
    let env = TestEnv::new();
    for path in ["acme/widgets.git/info/lfs", "acme/widgets.git/", "acme/widgets/info/lfs/objects/batch"] {
        let answer = fill(&env, &format!("https://github.com/{path}"));
        assert!(answer.attribute("password").is_some(), "{path}: {answer:?}");
    }
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn an_address_that_only_begins_like_that_of_a_repository_is_not_answered() {
    let env = TestEnv::new();
    for path in [
        "acme/widgets/info/lfs/../../../evilapp/x",
        "acme/widgets/info/lfs/%2e%2e/%2E%2E/%2e%2E/evilapp/x",
        "acme/widgets/info/lfs/%252e%252e/%252e%252e/%252e%252e/evilapp/x",
        "acme/widgets/info/lfs/..%5c..%5c..%5cevilapp%5cx",
        "acme/widgets/info/lfsANYTHING",
        "acme/widgets/info/lfs.evil/x",
    ] {
        let declined = fill(&env, &format!("https://github.com/{path}"));
        assert_eq!(declined.attribute("password"), None, "{path}: {declined:?}");
    }
    assert_eq!(env.github.log().len(), 0, "GitHub is not even asked");
}
