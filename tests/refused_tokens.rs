//! A cached token that was revoked heals in what a person calls as it does in git, and what was sent is never shown.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{LOOKUP, MINT, REQUEST, TestEnv};
use github_simulator::Effect;

const REPOSITORIES: &str = "GET /installation/repositories";

#[test]
fn a_revoked_token_heals_in_every_command() {
    let key = "keys/acme.pem";
    for arguments in [
        &["repositories"][..],
        &["repositories", "acme"],
        &["repositories", "acme/widgets"],
        &["doctor", "acme/widgets"],
        &["doctor"],
        &["exec", "--for", "acme", "--identity", "--", "true"],
        &["setup", "--yes", "--identity", "--app-id", "Iv23liAcmeCi", "--private-key", "KEY"],
    ] {
        let env = TestEnv::new();
        for name in ["acme", "globex", "acme/widgets"] {
            env.helper(["token", name], "").ok();
        }
        env.github.world().revoke_all();
        let key = env.folder.path().join(key).display().to_string();
        let arguments = arguments.iter().map(|it| if *it == "KEY" { key.as_str() } else { it });
        let arguments: Vec<&str> = arguments.collect();
        let ran = env.helper(arguments.iter().copied(), "");
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr.matches("refused").count(), 0, "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_token_that_is_refused_again_is_told_as_what_it_is() {
    let env = TestEnv::new();
    env.helper(["token", "acme"], "").ok();
    let refusal = Effect::Answer(401, Vec::new(), b"{\"message\": \"Bad credentials\"}".to_vec());
    env.fault(REPOSITORIES, 1_000, refusal);
    let failed = env.helper(["repositories", "acme"], "");
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.contains(
            "error: https://api.github.com refused the installation access token: Bad credentials\n"
        ),
        "{failed:?}"
    );
    assert!(!failed.stderr.contains("JWT"));
    let (_, mints) = env.lookups_and_mints();
    assert!(mints <= 3, "{mints}");
}

#[test]
fn what_a_server_sends_back_of_what_was_sent_is_not_shown() {
    for (endpoint, arguments) in [
        (LOOKUP, &["get"][..]),
        (MINT, &["get"]),
        (REPOSITORIES, &["repositories", "acme"]),
        ("GET /app", &["doctor", "acme/widgets"]),
    ] {
        for body in [
            "{\"message\": \"no: {authorization}\"}",
            "{\"message\": \"{authorization}\", \"documentation_url\": \"{authorization}\"}",
            "{\"slug\": \"{authorization}\", \"html_url\": \"https://x/{authorization}\", \"id\": 1, \"expires_at\": \"{authorization}\", \"token\": \"x\"}",
        ] {
            for status in [200, 201, 401, 403, 404, 422] {
                let env = TestEnv::new().with("GHAPP_TRACE", "1").with("GHAPP_DEADLINE", "1");
                env.fault(endpoint, 1_000, Effect::Echo(status, body.to_owned()));
                let ran = env.helper(arguments.iter().copied(), REQUEST);
                let shown = format!("{}{}", ran.stdout, ran.stderr);
                assert!(
                    !shown.contains("Bearer eyJ") && !shown.contains("Bearer ghs_"),
                    "{endpoint} {status} {body}: {shown}"
                );
                for token in env.github.world().tokens.iter().filter(|_| arguments[0] != "get") {
                    assert!(!shown.contains(&token.text), "{endpoint} {status} {body}: {shown}");
                    let encoded = STANDARD.encode(format!("Bearer {}", token.text));
                    assert!(!shown.contains(&encoded[..encoded.len() - 4]));
                }
            }
        }
    }
}

#[test]
fn a_route_that_is_not_clear_lets_others_answer_where_the_rule_says_so() {
    let env = TestEnv::new();
    let key = env.folder.path().join("keys/acme.pem");
    let rule = |owner: &str, on_failure: &str| {
        format!(
            "[[app]]\nid = 'Iv23liAcmeCi'\nprivate-key = '{}'\nowners = ['{owner}']\non-failure = '{on_failure}'\n",
            key.display()
        )
    };
    for (first, second, expected) in
        [("continue", "continue", ""), ("continue", "quit", "quit=1\n"), ("quit", "quit", "quit=1\n")]
    {
        env.configure(&format!("{}{}", rule("acme", first), rule("globex", second)));
        let answer = env.helper(["get"], "protocol=https\nhost=github.com\n");
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (Some(1), expected),
            "{first} {second}: {answer:?}"
        );
        assert!(answer.stderr.contains("git did not say which repository"), "{answer:?}");
    }
}

#[test]
fn a_person_at_a_terminal_is_told_what_is_waited_for() {
    let unavailable = Effect::Answer(503, Vec::new(), b"{\"message\": \"down\"}".to_vec());
    for (effect, expected) in [
        (
            unavailable,
            "git-credential-ghapp: waiting: https://api.github.com returned 503, trying again for ",
        ),
        (Effect::Hang, "git-credential-ghapp: waiting: api.github.com has not answered yet, waiting for "),
    ] {
        // Long enough for the longest pauses that chance makes of the first five.
        let env = TestEnv::new().with("GHAPP_DEADLINE", "8");
        env.fault(LOOKUP, 1_000, effect.clone());
        let Some(watched) = env.at_a_terminal("token acme/widgets", "") else { return };
        assert_eq!(watched.stdout.matches(expected).count(), 1, "{watched:?}");
        let unwatched = env.helper(["token", "acme/widgets"], "");
        assert!(!unwatched.stderr.contains("waiting"), "{unwatched:?}");
    }
}
