//! Wrong clocks, here and at the server: what one of them says is never believed for long, and never against what is proven.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::process::Command;

use common::{LOOKUP, MINT, REQUEST, Ran, TestEnv, has, run, skip};
use github_simulator::Effect;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn get(env: &TestEnv) -> Ran {
    env.get("github.com", "acme/widgets")
}

fn token(ran: &Ran) -> String {
    ran.attribute("password").unwrap_or_else(|| panic!("{ran:?}")).to_owned()
}

/// The helper on a machine whose clock is so many seconds ahead. `None` where there is no faketime.
fn with_clock(env: &TestEnv, ahead: i64) -> Option<Command> {
    if !has("faketime") {
        skip("faketime is not installed");
        return None;
    }
    let mut command = env.command("faketime");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").args(["-f", &format!("{ahead:+}s")]);
    command.arg(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    Some(command)
}

fn get_with_clock(env: &TestEnv, ahead: i64) -> Option<Ran> {
    Some(run(with_clock(env, ahead)?.arg("get"), REQUEST.as_bytes()))
}

/// The `Date` of an answer that is so many seconds ahead of what the server's clock shows.
fn date(env: &TestEnv, ahead: i64) -> Effect {
    let date = jiff::Timestamp::from_second(env.github.world().now() + ahead).unwrap();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
    Effect::With(vec![("Date".to_owned(), date)])
}

/// How GitHub refuses a JWT for its times.
fn expired(date: &str) -> Effect {
    let message = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the \
                   assertion expires";
    let body = format!("{{\"message\": \"{message}\"}}");
    Effect::Answer(401, vec![("Date".to_owned(), date.to_owned())], body.into_bytes())
}

fn remaining(env: &TestEnv, answer: &Ran) -> i64 {
    answer.attribute("password_expiry_utc").unwrap().parse::<i64>().unwrap() - env.github.world().now()
}

#[test]
fn a_server_cannot_have_jwts_signed_for_times_to_come() {
    let env = TestEnv::new();
    env.fault(LOOKUP, 1_000, expired("Fri, 25 Nov 2033 10:00:00 GMT"));
    let failed = get(&env);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
    assert_eq!(env.github.log().len(), 1, "no JWT is signed for a time that far away");
    assert!(
        failed.stderr.starts_with(
            "git-credential-ghapp: error: https://api.github.com refused the App's JWT: this clock is "
        ),
        "{failed:?}"
    );
    assert!(
        failed.stderr.ends_with(" days behind GitHub's\ngit-credential-ghapp: hint: set the clock\n"),
        "{failed:?}"
    );
}

#[test]
fn the_clock_is_corrected_once_in_a_process() {
    let env = TestEnv::new();
    for hours in 1..9 {
        let at = jiff::Timestamp::from_second(env.github.world().now() + hours * HOUR).unwrap();
        let at = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
        env.fault(LOOKUP, 1, expired(&at));
    }
    let failed = get(&env);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
    assert_eq!(env.github.log().len(), 2, "{:?}", env.github.log());
}

#[test]
fn a_time_that_an_accepted_jwt_contradicts_is_not_believed() {
    let env = TestEnv::new();
    let at = jiff::Timestamp::from_second(env.github.world().now() + 5 * HOUR).unwrap();
    let at = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
    // The lookup is answered, so the JWT was right; the mint says otherwise.
    env.fault(MINT, 1, expired(&at));
    let failed = get(&env);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
    assert_eq!(env.lookups_and_mints(), (1, 1));
    assert!(!failed.stderr.contains("whose time is used"), "{failed:?}");
}

#[test]
fn without_certificate_checks_nobody_tells_the_time() {
    let env = TestEnv::new();
    env.git_config("http.sslVerify", "false");
    env.github.world().clock_offset = 2 * HOUR;
    let failed = get(&env);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
    assert_eq!(env.github.log().len(), 1);
    assert!(failed.stderr.ends_with("hint: set the clock, if it is not right\n"), "{failed:?}");
}

#[test]
fn a_clock_that_is_wrong_by_less_than_a_day_is_corrected_for() {
    for ahead in [-23 * HOUR, -8 * 60, 8 * 60, 90 * 60, 23 * HOUR] {
        let env = TestEnv::new();
        let Some(answer) = get_with_clock(&env, ahead) else { return };
        token(&answer);
        // git compares the expiry with the machine's clock.
        let until = remaining(&env, &answer) - ahead;
        assert!((3590..=3600).contains(&until), "{ahead}: {until}");
    }
}

#[test]
fn a_date_that_the_accepted_jwt_contradicts_does_not_change_how_long_a_token_lives() {
    let years = env_years();
    for ahead in [-years, -2 * HOUR, -11 * 60, 11 * 60, 61 * 60, 2 * HOUR, years] {
        let env = TestEnv::new();
        let wrong = date(&env, ahead);
        env.fault(MINT, 1_000, wrong);
        let answer = get(&env);
        token(&answer);
        let until = remaining(&env, &answer);
        assert!((3590..=3600).contains(&until), "{ahead}: {until}");
        assert_eq!(token(&get(&env)), token(&answer), "{ahead}: it is fresh");
        assert_eq!(answer.stderr, "", "{ahead}");
    }
}

/// From now back to about 1970.
fn env_years() -> i64 {
    56 * 365 * DAY
}

#[test]
fn a_token_that_has_expired_already_is_never_given_to_git() {
    for lifetime in [-1, -DAY, 0] {
        let env = TestEnv::new();
        env.github.world().token_lifetime = lifetime;
        let failed = get(&env);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
        assert!(
            failed.stderr.starts_with(
                "git-credential-ghapp: error: https://api.github.com sent a token that has expired already"
            ),
            "{failed:?}"
        );
        assert_eq!(failed.stderr.lines().count(), 2);
    }
}

#[test]
fn a_token_that_expires_while_it_is_probed_is_never_given_to_git() {
    let env = TestEnv::new();
    {
        let mut world = env.github.world();
        world.token_lifetime = 2;
        world.propagation = Some((1_000_000, 404));
    }
    let failed = get(&env);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
    assert!(
        failed.stderr.contains(
            "error: the token for https://github.com/acme/widgets expired before git could get it\n"
        ),
        "{failed:?}"
    );
}

#[test]
fn a_token_that_was_minted_while_the_clock_was_ahead_is_not_taken_for_fresh_later() {
    for ahead in [90 * 60, DAY] {
        let env = TestEnv::new();
        let Some(first) = get_with_clock(&env, ahead) else { return };
        assert!(first.attribute("password").is_some(), "{first:?}");
        // The clock is set right.
        let second = get(&env);
        assert_ne!(second.attribute("password").unwrap(), first.attribute("password").unwrap());
        let Some(third) = get_with_clock(&env, 60) else { return };
        assert_eq!(third.attribute("password"), second.attribute("password"), "it is cached");
        // The time that the clock showed wrongly has come.
        env.github.world().clock_offset = ahead + 300;
        let Some(later) = get_with_clock(&env, ahead + 300) else { return };
        for expired in [&first, &second] {
            assert_ne!(later.attribute("password").unwrap(), expired.attribute("password").unwrap());
        }
    }
}

#[test]
fn fresh_mints_whatever_a_wrong_clock_left_behind() {
    let env = TestEnv::new();
    let Some(under_wrong_clock) = get_with_clock(&env, 90 * 60) else { return };
    let fresh = env.helper(["token", "acme/widgets", "--fresh"], "").ok();
    assert_ne!(fresh.trim(), token(&under_wrong_clock));
    assert_eq!(fresh.trim(), token(&get(&env)));
}

#[test]
fn fresh_mints_although_a_date_was_wrong() {
    let env = TestEnv::new();
    let wrong = date(&env, -env_years());
    env.fault(MINT, 1, wrong);
    let first = env.helper(["token", "acme/widgets"], "").ok();
    let second = env.helper(["token", "acme/widgets", "--fresh"], "").ok();
    assert_ne!(first, second);
    assert_eq!(env.lookups_and_mints().1, 2);
}

fn limited(headers: &[(&str, &str)], body: &str) -> Effect {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Effect::Answer(403, headers, body.as_bytes().to_vec())
}

const SAYS_SO: &str = "{\"message\": \"You have exceeded a secondary rate limit\"}";

#[test]
fn no_server_silences_an_app_for_more_than_an_hour() {
    for headers in [
        &[("Retry-After", "86400")][..],
        &[("Retry-After", "99999999999")],
        &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "32503680000")],
    ] {
        let env = TestEnv::new();
        env.fault(MINT, 1, limited(headers, SAYS_SO));
        let failed = get(&env);
        assert!(failed.stderr.ends_with("hint: try again in 60 min\n"), "{headers:?}: {failed:?}");
        let asked = env.github.log().len();
        assert!(get(&env).stderr.contains("hint: try again in "), "{headers:?}");
        assert_eq!(env.github.log().len(), asked, "{headers:?}");
        // After that hour, and where the clock was set back, nobody is silenced any more.
        for ahead in [3601, -10] {
            let Some(answer) = get_with_clock(&env, ahead) else { return };
            token(&answer);
            env.fault(MINT, 1, limited(headers, SAYS_SO));
            env.helper(["logout", "--keep-remote"], "").ok();
            get(&env);
        }
    }
}

#[test]
fn what_a_proxy_says_is_no_rate_limit_for_the_next_call() {
    for status in [403, 429] {
        let env = TestEnv::new();
        let headers = vec![
            ("Retry-After".to_owned(), "86400".to_owned()),
            ("Content-Type".to_owned(), "text/html".to_owned()),
        ];
        env.fault(MINT, 1, Effect::Answer(status, headers, b"<html>blocked</html>".to_vec()));
        let failed = get(&env);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
        assert!(
            failed.stderr.starts_with(&format!(
                "git-credential-ghapp: error: https://api.github.com returned {status} with an answer that \
                 does not come from GitHub's API (text/html)\n"
            )),
            "{failed:?}"
        );
        token(&get(&env));
    }
}

#[test]
fn what_a_person_calls_asks_github_whatever_limit_is_remembered() {
    for arguments in [
        &["token", "acme/widgets"][..],
        &["token", "acme/widgets", "--fresh"],
        &["exec", "--for", "acme/widgets", "--", "true"],
        &["installations"],
        &["repositories"],
        &["doctor", "acme/widgets"],
    ] {
        let env = TestEnv::new();
        env.fault(MINT, 1, limited(&[("Retry-After", "600")], SAYS_SO));
        get(&env);
        let ran = env.helper(arguments.iter().copied(), "");
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        if arguments[0] == "doctor" {
            assert!(
                ran.stdout.contains("warning  rate limit: the rate limit of App Iv23liAcmeCi is used up, so git gets no new token for "),
                "{ran:?}"
            );
        }
        if arguments[0] != "installations" {
            // It was not refused, so the limit is over.
            token(&get(&env));
        }
    }
}

#[test]
fn a_clock_that_is_absurd_is_named_where_a_certificate_fails_for_it() {
    let env = TestEnv::new();
    for (ahead, says) in [
        (-env_years() + DAY, "is not valid yet by this clock, which shows 19"),
        (3000 * 365 * DAY, "has expired by this clock, which shows "),
    ] {
        let Some(failed) = get_with_clock(&env, ahead) else { return };
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
        assert!(
            failed.stderr.contains(&format!("error: the certificate of api.github.com {says}")),
            "{failed:?}"
        );
        assert!(failed.stderr.contains("hint: set the clock"), "{failed:?}");
    }
}

#[test]
fn a_token_from_the_future_is_shown_as_one_that_git_does_not_get() {
    let env = TestEnv::new();
    let Some(answer) = get_with_clock(&env, HOUR / 3) else { return };
    token(&answer);
    let shown = env.helper(["status"], "").ok();
    assert!(shown.contains("not used: the clock was set back") && !shown.contains(" min"), "{shown}");
    let shown = env.helper(["status", "--json"], "").ok();
    assert!(shown.contains("\"expires_at\": null"), "{shown}");
    assert_eq!(env.helper(["logout"], "").ok(), "removed 1 token, revoked 1\n");
}

#[test]
fn logout_revokes_what_is_valid_although_the_clock_says_that_it_expired() {
    const TWO_HOURS: i64 = 2 * 60 * 60;
    let valid = |env: &TestEnv| env.github.world().tokens.iter().filter(|token| !token.revoked).count();
    for arguments in [&["logout"][..], &["logout", "--all"], &["uninstall", "--yes"]] {
        let env = TestEnv::new();
        token(&env.get("github.com", "acme/widgets"));
        // The clock is set wrong, by a time zone for example.
        let Some(mut logout) = with_clock(&env, TWO_HOURS) else { return };
        let told = run(logout.args(arguments), b"").ok();
        assert!(told.contains("removed 1 token, revoked 1\n"), "{arguments:?}: {told}");
        assert_eq!(valid(&env), 0, "{arguments:?}");
    }
    // If time has passed, GitHub says so, and there is nothing to tell; nor if it cannot be asked.
    for is_reachable in [true, false] {
        let env = TestEnv::new();
        token(&env.get("github.com", "acme/widgets"));
        env.github.world().clock_offset = TWO_HOURS;
        if !is_reachable {
            env.fault("DELETE /installation/token", 100, Effect::Drop);
        }
        let Some(mut logout) = with_clock(&env, TWO_HOURS) else { return };
        let ran = run(logout.arg("logout"), b"");
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (Some(0), "no token is cached\n", "")
        );
        assert_eq!(std::fs::read_dir(env.cache().join("tokens")).unwrap().count(), 0);
    }
}
