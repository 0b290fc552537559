//! git-lfs asks through `git credential fill`, with paths of its own.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{TestEnv, WIDGETS, has, skip};

/// A clone in which `*.bin` goes to LFS.
fn with_lfs() -> Option<TestEnv> {
    if !has("git-lfs") {
        skip("git-lfs is not installed");
        return None;
    }
    let env = TestEnv::new();
    env.git(["lfs", "install", "--skip-repo"]).ok();
    env.git(["clone", "--quiet", WIDGETS, "one"]).ok();
    env.git_in("one", ["lfs", "track", "*.bin"]).ok();
    env.write("home/one/large.bin", "large".repeat(1000));
    env.git_in("one", ["add", "."]).ok();
    env.git_in("one", ["commit", "--quiet", "-m", "Large"]).ok();
    Some(env)
}

#[test]
fn objects_are_pushed_and_cloned_with_one_token() {
    let Some(env) = with_lfs() else { return };
    env.git_in("one", ["push", "--quiet"]).ok();
    env.git(["clone", "--quiet", WIDGETS, "two"]).ok();
    assert_eq!(std::fs::read_to_string(env.home().join("two/large.bin")).unwrap(), "large".repeat(1000));
    assert_eq!(env.github.world().lfs_objects.len(), 1);
    assert_eq!(env.lookups_and_mints(), (1, 1), "{:#?}", env.github.log());
}

#[test]
fn an_explicit_lfs_url_leads_to_the_same_repository() {
    let Some(env) = with_lfs() else { return };
    env.git_in("one", ["config", "lfs.url", "https://github.com/acme/widgets.git/info/lfs"]).ok();
    env.git_in("one", ["push", "--quiet"]).ok();
    assert_eq!(env.lookups_and_mints(), (1, 1), "{:#?}", env.github.log());
}
