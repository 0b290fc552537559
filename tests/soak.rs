//! Two thousand requests from 64 callers, with faults, revocations, and tokens that expire after seconds.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{MINT, PROBE, REQUEST, TestEnv};
use github_simulator::Effect;

const GETS: usize = 2000;
const CALLERS: usize = 64;
/// How long a token lives, in seconds: longer than one that was revoked at once is tried at git's server.
const LIFETIME: i64 = 14;

/// A number that looks random and is the same in every run.
fn scatter(number: usize) -> usize {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 17) % 1000
}

/// What goes wrong next, now and then.
fn mishap(number: usize) -> Option<Effect> {
    let headers = || vec![("Retry-After".to_owned(), "1".to_owned())];
    let body = || b"{\"message\": \"You have exceeded a secondary rate limit\"}".to_vec();
    match scatter(number) {
        0..20 => Some(Effect::Answer(502, Vec::new(), b"<html>".to_vec())),
        20..35 => Some(Effect::Drop),
        35..40 => Some(Effect::Answer(429, headers(), body())),
        40..60 => Some(Effect::Delay(50)),
        _ => None,
    }
}

#[test]
fn under_faults_every_caller_gets_a_token_that_works() {
    let env = TestEnv::new().with("GHAPP_MIN_FRESH", "1");
    env.github.world().token_lifetime = LIFETIME;
    let (next, refused, revocations) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= GETS {
                        return;
                    }
                    if let Some(effect) = mishap(number) {
                        let endpoint = if number.is_multiple_of(2) { MINT } else { PROBE };
                        env.fault(endpoint, 1, effect);
                    }
                    if number % 250 == 249 {
                        env.github.world().revoke_all();
                        revocations.fetch_add(1, Ordering::Relaxed);
                    }
                    // As git: use what was given, and say how it went.
                    let answer = env.helper(["get"], REQUEST);
                    let token =
                        answer.attribute("password").unwrap_or_else(|| panic!("{number}: {answer:?}"));
                    let works = {
                        let world = env.github.world();
                        let now = world.now();
                        world.tokens.iter().any(|it| it.text == token && !it.revoked && it.expires_at >= now)
                    };
                    let operation = if works { "store" } else { "erase" };
                    refused.fetch_add(usize::from(!works), Ordering::Relaxed);
                    env.helper([operation], format!("{REQUEST}password={token}\n")).ok();
                }
            });
        }
    });
    let (tokens, span) = {
        let world = env.github.world();
        let expiries: BTreeSet<i64> = world.tokens.iter().map(|token| token.expires_at).collect();
        let span = expiries.last().unwrap() - expiries.first().unwrap();
        (world.tokens.len(), usize::try_from(span).unwrap())
    };
    let (refused, revocations) = (refused.into_inner(), revocations.into_inner());
    println!(
        "{GETS} gets by {CALLERS} callers: {tokens} tokens minted in {span} s, {revocations} revocations, {refused} refused"
    );
    // A token is fresh until its last second; a revocation costs one more, and so does one that falls between a mint and its
    // probe.
    let fresh = usize::try_from(LIFETIME).unwrap() - 1;
    assert!(tokens <= span / fresh + 1 + 2 * revocations + 1, "{tokens} tokens in {span} s");
    // Refused can only be who held a token when it was revoked.
    assert!(refused <= revocations * CALLERS, "{refused}");
    assert!(env.lookups_and_mints().0 <= 1 + GETS / 20);
    // Whoever comes last may have had the last token erased. The repository and its owner have a route each.
    for (folder, at_most) in [("unfinished", 0), ("tokens", 1), ("routes", 2)] {
        let files = std::fs::read_dir(env.cache().join(folder)).unwrap().count();
        assert!(files <= at_most, "{files} files in {folder}");
    }
}
