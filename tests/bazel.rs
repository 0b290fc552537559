//! Bazel's credential helper protocol, by its published description.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{ACME_APP, Ran, TestEnv};
use github_simulator::ACME_KEY;
use serde_json::{Value, json};

fn bazel(env: &TestEnv, uri: &str) -> Ran {
    env.helper(["bazel", "get"], json!({"uri": uri, "later": 1}).to_string())
}

/// The token in an answer.
fn token(ran: Ran) -> Option<String> {
    let answer: Value = serde_json::from_str(&ran.ok()).unwrap();
    if answer == json!({}) {
        return None;
    }
    let expires: jiff::Timestamp = answer["expires"].as_str().unwrap().parse().unwrap();
    assert!(expires > jiff::Timestamp::now());
    assert_eq!(answer.as_object().unwrap().len(), 2);
    let headers = answer["headers"].as_object().unwrap();
    assert_eq!(headers.len(), 1);
    let header = headers["Authorization"][0].as_str().unwrap();
    match header.strip_prefix("Basic ") {
        Some(pair) => {
            let pair = String::from_utf8(STANDARD.decode(pair).unwrap()).unwrap();
            Some(pair.strip_suffix(':').unwrap().to_owned())
        }
        None => Some(header.strip_prefix("Bearer ").unwrap().to_owned()),
    }
}

#[test]
fn a_token_is_given_for_everything_of_a_configured_server_that_names_a_repository() {
    let env = TestEnv::new();
    let expected = env.helper(["token", "acme/widgets"], "").ok();
    for uri in [
        "https://github.com/acme/widgets/archive/refs/heads/main.tar.gz",
        "https://github.com/Acme/Widgets.git",
        "https://api.github.com/repos/acme/widgets/tarball/main",
        "https://codeload.github.com/acme/widgets/tar.gz/main",
        "https://raw.githubusercontent.com/acme/widgets/main/README",
        "https://github.com:443/acme/widgets/releases/download/v1/x",
    ] {
        assert_eq!(token(bazel(&env, uri)).as_deref(), Some(expected.trim_end()), "{uri}");
    }
}

#[test]
fn the_header_is_of_the_kind_that_the_server_takes() {
    let env = TestEnv::new();
    for (uri, kind) in [
        ("https://api.github.com/repos/acme/widgets/tarball/main", "Bearer "),
        ("https://github.com/acme/widgets/archive/main.zip", "Bearer "),
        ("https://raw.githubusercontent.com/acme/widgets/main/README", "Basic "),
    ] {
        assert!(bazel(&env, uri).ok().contains(&format!("\"Authorization\": [\"{kind}")), "{uri}");
    }
}

#[test]
fn other_servers_get_nothing() {
    let env = TestEnv::new();
    for uri in [
        "https://evil.example/acme/widgets/archive/main.tar.gz",
        "https://github.com.evil.example/acme/widgets",
        "https://codeload.evil.example/acme/widgets",
        "https://raw.github.com.evil.example/acme/widgets",
        "https://github.com@evil.example/acme/widgets",
        "https://api.github.com/app/installations",
        "https://github.com/acme",
        "https://github.com:8443/acme/widgets",
        "http://github.com/acme/widgets/archive/main.tar.gz",
        "grpcs://github.com/acme/widgets",
        "https://gist.github.com/acme/widgets",
    ] {
        let ran = bazel(&env, uri);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "{}\n", ""), "{uri}");
    }
    assert!(env.github.log().is_empty());
}

#[test]
fn a_server_of_ones_own_has_its_own_hosts() {
    let env = TestEnv::bare()
        .with("GHAPP_APP_ID", ACME_APP)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("GHAPP_HOST", "ghe.example");
    for uri in [
        "https://ghe.example/acme/widgets/archive/main.tar.gz",
        "https://ghe.example/api/v3/repos/acme/widgets/tarball",
        "https://codeload.ghe.example/acme/widgets/tar.gz/main",
        "https://raw.ghe.example/acme/widgets/main/README",
    ] {
        assert!(token(bazel(&env, uri)).is_some(), "{uri}");
    }
    for uri in [
        "https://github.com/acme/widgets",
        "https://ghe.example/api/v3/app",
        "https://raw.githubusercontent.com/acme/widgets/x",
    ] {
        assert_eq!(token(bazel(&env, uri)), None, "{uri}");
    }
}

#[test]
fn what_the_app_is_not_installed_on_is_fetched_without_a_token_unless_the_rule_names_it() {
    let env = TestEnv::new();
    let uri = "https://github.com/bazelbuild/rules_go/releases/download/v1/rules_go.zip";
    assert_eq!(token(bazel(&env, uri)), None);
    let named = env.with("GHAPP_OWNERS", "bazelbuild");
    let failed = bazel(&named, uri);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    assert!(failed.stderr.contains("error: App acme-ci is not installed on "), "{failed:?}");
}

#[test]
fn a_request_that_is_none_is_one_line_and_a_hint() {
    let env = TestEnv::new();
    for (request, says) in [
        ("", "the request is not JSON with a uri"),
        ("{}", "the request is not JSON with a uri"),
        ("{\"uri\": 7}", "the request is not JSON with a uri"),
        ("protocol=https\nhost=github.com\n", "the request is not JSON with a uri"),
        ("{\"uri\": \"a b\"}", "the request is not one for an address"),
    ] {
        let failed = env.helper(["bazel", "get"], request);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{request}");
        let expected = format!("git-credential-ghapp: error: {says}\ngit-credential-ghapp: hint: write ");
        assert!(failed.stderr.starts_with(&expected), "{failed:?}");
    }
    assert_eq!(env.helper(["bazel", "store"], "{}").code, Some(2));
    let large =
        format!("{{\"uri\": \"https://github.com/acme/widgets\", \"x\": \"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(env.helper(["bazel", "get"], large).code, Some(1));
}
