//! What programs read stays: each field of the JSON outputs is described in docs/json.md, and each that is described is there.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::collections::BTreeSet;

use common::{ACME_APP, GLOBEX_APP, TestEnv};
use github_simulator::{ACME_KEY, Effect};
use serde_json::Value;

/// The fields of an object.
fn fields(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().cloned().collect()
}

fn of(text: &str) -> BTreeSet<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// The words in code quotes in the first column of the tables of a section of docs/json.md.
fn described(section: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string("docs/json.md").unwrap();
    let text = page.split("\n## ").find(|it| it.starts_with(&format!("{section}\n"))).unwrap();
    let cells = text.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// An App that works, and one whose key is none.
fn env() -> TestEnv {
    let env = TestEnv::bare();
    let acme = env.write_private("keys/acme.pem", ACME_KEY);
    let other = env.write_private("keys/other.pem", "not a key");
    env.configure(&format!(
        "[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n[[app]]\nid = '{GLOBEX_APP}'\nprivate-key = '{}'\nowners = ['x']\n",
        acme.display(),
        other.display()
    ));
    env
}

fn told(env: &TestEnv, arguments: &[&str]) -> Value {
    let told = env.helper(arguments.iter().copied().chain(["--json"]), "");
    serde_json::from_str(&told.stdout).unwrap_or_else(|e| panic!("{e}: {told:?}"))
}

#[test]
fn token() {
    let expected =
        of("token expires_at host api app installation permissions repository_selection repositories");
    assert_eq!(fields(&told(&env(), &["token", "acme"])), expected);
    assert_eq!(described("token"), expected);
    assert_eq!(fields(&told(&TestEnv::new(), &["token", "--app"])), of("token expires_at app"));
}

#[test]
fn status() {
    let env = env();
    env.get("github.com", "acme/widgets");
    let told = told(&env, &["status"]);
    assert_eq!(fields(&told), of("apps tokens"));
    let works = of("host api app ok slug installed_on");
    let fails = of("host api app ok error hint");
    let token = of(
        "host api app installation owner repositories repository_selection permissions expires_at kept_in minted_here",
    );
    assert_eq!(fields(&told["apps"][0]), works);
    assert_eq!(fields(&told["apps"][1]), fails);
    assert_eq!(fields(&told["tokens"][0]), token);
    assert_eq!(described("status"), works.into_iter().chain(fails).chain(token).collect());
}

#[cfg(unix)]
#[test]
fn status_by_a_socket() {
    let env = TestEnv::new();
    let served = common::served::Served::start(&env, &["--allow", "acme"]);
    let told = common::run(served.inside(common::served::HELPER).args(["status", "--json"]), b"").ok();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(fields(&told), of("apps tokens served"));
    assert_eq!(fields(&told["served"]), of("socket version allowed not_listed permissions"));
    assert_eq!(described("status with GHAPP_SOCKET"), fields(&told["served"]));
}

#[test]
fn doctor() {
    let env = env();
    let everything = told(&env, &["doctor"]);
    assert_eq!(fields(&everything), of("ok steps"));
    let steps = everything["steps"].as_array().unwrap();
    let all: BTreeSet<String> = steps.iter().flat_map(fields).collect();
    assert_eq!(all, of("about step result message hint"));
    assert_eq!(described("doctor"), all);
    for step in steps {
        assert!(["ok", "warning", "failure"].contains(&step["result"].as_str().unwrap()), "{step}");
    }
}

#[test]
fn installations_and_repositories() {
    let env = env();
    let installation = of("host app id owner repository_selection permissions suspended html_url");
    assert_eq!(fields(&told(&env, &["installations"])[0]), installation);
    assert_eq!(described("installations"), installation);
    let repository = of("host app full_name visibility archived");
    assert_eq!(fields(&told(&env, &["repositories"])[0]), repository);
    assert_eq!(described("repositories"), repository);
}

#[test]
fn a_failure_is_json_too_where_the_result_is_a_report() {
    let env = TestEnv::new();
    env.fault("GET /app", 100, Effect::Answer(403, Vec::new(), b"{\"message\": \"no\"}".to_vec()));
    assert_eq!(told(&env, &["doctor", "acme/widgets"])["ok"], false);
    assert_eq!(told(&env, &["status"])["apps"][0]["ok"], false);
}
