//! Faults that heal, each with the real git where git is part of it, or end in one line.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::process::Stdio;

use common::{ACME_ON_ACME, LOOKUP, MINT, REQUEST, Ran, TestEnv, WIDGETS, run, skip};
use github_simulator::Effect;

fn get(env: &TestEnv) -> Ran {
    env.get("github.com", "acme/widgets")
}

fn answer(status: u16, headers: &[(&str, &str)], message: &str) -> Effect {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Effect::Answer(status, headers, format!("{{\"message\": \"{message}\"}}").into_bytes())
}

/// Whether this git comes back within the same command when a token is refused.
fn git_comes_back(env: &TestEnv) -> bool {
    let version = env.git(["version"]).ok();
    let mut numbers =
        version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    let comes_back = (numbers.next(), numbers.next()) >= (Some(2), Some(46));
    if !comes_back {
        // Not a lack of the machine's: the other scenarios show what such a git does instead.
        common::note(&format!("not played: git comes back after a refusal since 2.46, this is {version}"));
    }
    comes_back
}

#[test]
fn a_revoked_token_heals_within_the_same_git_command() {
    let env = TestEnv::new();
    if !git_comes_back(&env) {
        return;
    }
    env.git(["clone", "--quiet", WIDGETS, "one"]).ok();
    env.github.world().revoke_all();
    let fetched = env.git_in("one", ["fetch", "--quiet"]);
    assert_eq!((fetched.code, fetched.stderr.as_str()), (Some(0), ""));
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn many_that_meet_the_same_revoked_token_mint_one_new_one() {
    let env = TestEnv::new();
    if !git_comes_back(&env) {
        return;
    }
    get(&env).ok();
    env.github.world().revoke_all();
    for ran in env.git_at_once(24, &["ls-remote", WIDGETS]) {
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    }
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn a_second_refusal_within_one_command_is_final() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.github.world().propagation = Some((1_000_000, 401));
    let failed = env.git(["ls-remote", WIDGETS]);
    assert!(failed.stderr.contains("Authentication failed"), "{failed:?}");
    let (_, mints) = env.lookups_and_mints();
    assert!(mints <= 2, "{mints}");
}

#[test]
fn clients_that_do_not_come_back_get_a_new_token_next_time() {
    let env = TestEnv::new();
    let credential = |operation: &str, input: &str| {
        let mut command = env.command("git");
        command.args(["credential", operation]);
        run(&mut command, input.as_bytes())
    };
    let first = credential("fill", REQUEST);
    let refuse = |password: &str| {
        credential("reject", &format!("{REQUEST}username=x-access-token\npassword={password}\n")).ok();
    };
    refuse("another");
    let second = credential("fill", REQUEST);
    assert_eq!(first.attribute("password"), second.attribute("password"));
    refuse(first.attribute("password").unwrap());
    let third = credential("fill", REQUEST);
    assert_ne!(first.attribute("password"), third.attribute("password"));
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn a_fresh_token_that_git_servers_do_not_know_yet_is_handed_out_when_they_do() {
    for status in [401, 403, 404] {
        let env = TestEnv::new();
        env.github.world().propagation = Some((3, status));
        let cloned = env.git(["clone", "--quiet", WIDGETS, "one"]);
        assert_eq!((cloned.code, cloned.stderr.as_str()), (Some(0), ""), "{status}");
        assert_eq!(env.lookups_and_mints(), (1, 1), "{status}");
    }
}

#[test]
fn a_fresh_token_that_they_never_accept_is_handed_out_with_a_warning() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.github.world().propagation = Some((1_000_000, 404));
    let answer = get(&env);
    assert!(answer.attribute("password").is_some());
    assert_eq!(
        answer.stderr,
        "git-credential-ghapp: warning: github.com still returns 404 to the fresh token for acme/widgets; git gets it \
         all the same\n\
         git-credential-ghapp: hint: if git fails, check the installation's permissions and the IP allow list\n"
    );
}

#[test]
fn an_api_that_returns_503_now_and_then_is_asked_again() {
    for endpoint in [LOOKUP, MINT] {
        let effects = [500, 502, 503, 504].map(|status| answer(status, &[], "not well"));
        for effect in effects.into_iter().chain([Effect::Drop]) {
            let env = TestEnv::new();
            env.fault(endpoint, 2, effect);
            let answer = get(&env);
            assert!(answer.attribute("password").is_some(), "{endpoint}: {answer:?}");
            assert_eq!(answer.stderr, "");
        }
    }
}

#[test]
fn an_api_that_hangs_once_is_asked_again() {
    for endpoint in [LOOKUP, MINT] {
        let env = TestEnv::new().with("GHAPP_DEADLINE", "4");
        env.fault(endpoint, 1, Effect::Hang);
        assert!(get(&env).attribute("password").is_some(), "{endpoint}");
    }
}

#[test]
fn a_connection_that_waited_too_long_for_its_first_request_costs_only_another_one() {
    // It is opened ahead, while the JWT is signed or the API is asked. A load balancer ends one on which nothing comes for some
    // seconds, and may say so first: that stands where the answer to the first request is read.
    for (endpoint, then) in [(LOOKUP, 2), (MINT, 2), (common::PROBE, 2)] {
        let env = TestEnv::new();
        let headers = [("Connection", "close"), ("Content-Type", "text/html")];
        env.fault(endpoint, 1, answer(408, &headers, "Request Time-out"));
        let answered = get(&env);
        assert!(answered.attribute("password").is_some(), "{endpoint}: {answered:?}");
        assert_eq!((answered.stderr.as_str(), env.github.world().count(endpoint)), ("", then), "{endpoint}");
    }
}

#[test]
fn an_api_that_keeps_returning_503_ends_in_one_line() {
    let cases = [
        (answer(503, &[], "down"), "https://api.github.com returned 503"),
        (Effect::Hang, "api.github.com did not answer in time"),
    ];
    for (effect, message) in cases {
        let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
        env.fault(LOOKUP, 1_000_000, effect);
        let failed = get(&env);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
        assert_eq!(failed.stderr.lines().next().unwrap(), format!("git-credential-ghapp: error: {message}"));
    }
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.git_config("http.proxy", "http://127.0.0.1:1");
    assert!(get(&env).stderr.starts_with(
        "git-credential-ghapp: error: cannot talk to the proxy 127.0.0.1:1: connection refused\n"
    ));
}

#[test]
fn a_rate_limit_is_waited_for_if_that_fits() {
    let env = TestEnv::new();
    env.fault(MINT, 1, answer(429, &[("Retry-After", "1")], "You have exceeded a secondary rate limit"));
    let reset = (env.github.world().now() + 1).to_string();
    let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset.as_str())];
    env.fault(LOOKUP, 1, answer(403, &headers, "API rate limit exceeded"));
    let answer = get(&env);
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert_eq!(env.lookups_and_mints(), (2, 2));
}

#[test]
fn a_rate_limit_that_lasts_ends_in_one_line_and_nobody_asks_again_before_its_end() {
    let env = TestEnv::new();
    env.fault(MINT, 1, answer(403, &[("Retry-After", "600")], "You have exceeded a secondary rate limit"));
    let failed = get(&env);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
    assert_eq!(
        failed.stderr,
        "git-credential-ghapp: error: the rate limit of App Iv23liAcmeCi on https://api.github.com is used up\n\
         git-credential-ghapp: hint: try again in 10 min\n"
    );
    let asked = env.github.log().len();
    let again = get(&env);
    assert!(
        again.stderr.contains("is used up\n") && again.stderr.contains("hint: try again in "),
        "{again:?}"
    );
    assert_eq!(env.github.log().len(), asked);
}

#[test]
fn a_wrong_clock_is_corrected_once_and_remembered() {
    for offset in [3600, -3600] {
        let env = TestEnv::new();
        env.github.world().clock_offset = offset;
        let first = get(&env);
        let side = if offset > 0 { "60 min behind" } else { "60 min ahead" };
        assert!(first.stderr.contains(side), "{first:?}");
        let token = first.attribute("password").unwrap().to_owned();
        env.helper(["erase"], format!("{REQUEST}password={token}\n")).ok();
        let second = get(&env);
        assert_ne!(second.attribute("password"), Some(token.as_str()));
        assert_eq!(second.stderr, "", "the offset is known");
        let refused = env.github.world().requests.iter().filter(|request| request.status == 401).count();
        assert_eq!(refused, 1);
        // The clock was set meanwhile.
        env.github.world().clock_offset = 0;
        let token = second.attribute("password").unwrap().to_owned();
        env.helper(["erase"], format!("{REQUEST}password={token}\n")).ok();
        let third = get(&env);
        assert!(third.attribute("password").is_some());
        assert_eq!(third.stderr, "");
    }
}

#[test]
fn a_token_that_is_not_fresh_is_used_while_the_api_is_down() {
    let env = TestEnv::new();
    env.github.world().token_lifetime = 200;
    let first = get(&env);
    env.fault(MINT, 1_000_000, answer(503, &[], "down"));
    let second = get(&env);
    assert_eq!(second.attribute("password"), first.attribute("password"));
    assert!(
        second
            .stderr
            .starts_with("git-credential-ghapp: warning: no new token could be minted, so git gets the cached one, which expires in ")
    );
    assert_eq!(second.stderr.lines().count(), 1);
}

#[test]
fn a_damaged_entry_is_a_miss() {
    let env = TestEnv::new();
    get(&env).ok();
    for folder in ["tokens", "routes", "apis", "refusals"] {
        for entry in std::fs::read_dir(env.cache().join(folder)).into_iter().flatten() {
            std::fs::write(entry.unwrap().path(), b"\x07 from another version").unwrap();
        }
    }
    let answer = get(&env);
    assert!(answer.attribute("password").is_some());
    assert_eq!(answer.stderr, "");
}

#[test]
fn a_cache_folder_that_cannot_be_one_costs_only_the_cache() {
    let env = TestEnv::new();
    env.write("home/.cache/git-credential-ghapp", "a file");
    env.write("home/Library/Caches/git-credential-ghapp", "a file");
    let answer = get(&env);
    assert!(answer.attribute("password").is_some());
    assert!(answer.stderr.contains("is not used: it is not a directory\n"), "{answer:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_or_read_only_disk_costs_only_the_cache() {
    let env = TestEnv::new();
    get(&env).ok();
    let cache = env.cache();
    let on_mount = |options: &str, fill: &str| {
        let script = format!(
            "mount -t tmpfs -o size=64k,mode=700,{options} none \"$CACHE\" && {fill} \"$HELPER\" get; code=$?; \
             umount \"$CACHE\"; exit $code"
        );
        let mut command = env.command("unshare");
        command
            .args(["--mount", "sh", "-c", &script])
            .env("CACHE", &cache)
            .env("HELPER", env!("CARGO_BIN_EXE_git-credential-ghapp"));
        run(&mut command, REQUEST.as_bytes())
    };
    let probe = on_mount("rw", "true ||");
    if probe.code != Some(0) {
        return skip(&format!("nothing can be mounted here: {}", probe.stderr));
    }
    for (options, fill) in [("ro", ""), ("rw", "head -c 1000000 /dev/zero > \"$CACHE/full\" 2>/dev/null;")] {
        let answer = on_mount(options, fill);
        assert!(answer.attribute("password").is_some(), "{options}: {answer:?}");
        assert!(answer.stderr.contains("git-credential-ghapp: warning: "), "{options}: {answer:?}");
        assert!(answer.stderr.lines().all(|line| line.starts_with("git-credential-ghapp: ")), "{answer:?}");
    }
}

#[test]
fn a_token_that_is_refused_again_and_again_is_not_minted_forever() {
    let env = TestEnv::new();
    let erase = |answer: &Ran| {
        let token = answer.attribute("password").unwrap();
        env.helper(["erase"], format!("{REQUEST}username=x-access-token\npassword={token}\n")).ok();
    };
    for _ in 0..3 {
        erase(&get(&env));
    }
    for _ in 0..5 {
        let failed = get(&env);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
        assert_eq!(
            failed.stderr,
            "git-credential-ghapp: error: GitHub refused 3 fresh tokens within a minute, so no other is minted\n\
             git-credential-ghapp: hint: check the installation's permissions and the IP allow list, and try again in a minute\n"
        );
    }
    assert_eq!(env.lookups_and_mints(), (1, 3));
}

#[test]
fn a_token_that_is_accepted_resets_the_refusal_limit() {
    let env = TestEnv::new();
    for round in 0..8 {
        let answer = get(&env);
        let token =
            answer.attribute("password").unwrap_or_else(|| panic!("round {round}: {answer:?}")).to_owned();
        let with_token = format!("{REQUEST}username=x-access-token\npassword={token}\n");
        env.helper(["store"], &with_token).ok();
        env.helper(["erase"], &with_token).ok();
    }
}

#[test]
fn git_lfs_does_not_mint_forever_when_it_is_refused() {
    if !common::has("git-lfs") {
        return skip("git-lfs is not installed");
    }
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.git(["lfs", "install", "--skip-repo"]).ok();
    env.git(["clone", "--quiet", WIDGETS, "one"]).ok();
    env.git_in("one", ["lfs", "track", "*.bin"]).ok();
    env.write("home/one/large.bin", "large");
    env.git_in("one", ["add", "."]).ok();
    env.git_in("one", ["commit", "--quiet", "-m", "Large"]).ok();
    for endpoint in ["objects/batch", "locks/verify"] {
        let refusal = answer(401, &[("LFS-Authenticate", "Basic realm=\"GitHub\"")], "no");
        env.fault(&format!("POST /{{owner}}/{{repo}}.git/info/lfs/{endpoint}"), 1_000_000, refusal);
    }
    let failed = env.git_in("one", ["push", "--quiet"]);
    assert_ne!(failed.code, Some(0));
    let (_, mints) = env.lookups_and_mints();
    assert!(mints <= 4, "the first one and three within the minute: {mints}");
}

#[test]
fn whenever_it_is_killed_the_next_call_works() {
    let env = TestEnv::new();
    let expected: usize = 500;
    for round in 0..expected {
        if round % 3 == 0 {
            // A cold start: lookup, mint and both writes.
            let _ = std::fs::remove_dir_all(env.cache());
        }
        let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        let mut child = command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), REQUEST.as_bytes()).unwrap();
        // Somewhere in its life, which has about so many steps on this machine: a warm one ends early.
        std::thread::sleep(std::time::Duration::from_micros((round as u64 * 7919) % 24_000));
        let _ = child.kill();
        child.wait().unwrap();
        if round % 10 == 9 {
            let answer = get(&env);
            assert!(answer.attribute("password").is_some(), "round {round}: {answer:?}");
            assert_eq!(answer.stderr, "", "round {round}");
        }
    }
    assert_eq!(get(&env).stderr, "");
}

#[test]
fn an_ip_allow_list_is_named_with_the_place_to_fix_it() {
    let env = TestEnv::new();
    let said = "Although you appear to have the correct authorization credentials, the `acme` organization has an IP \
                allow list enabled, and your IP address is not permitted to access this resource.";
    env.fault(MINT, 1, answer(403, &[], said));
    let failed = get(&env);
    assert!(
        failed.stderr.starts_with(&format!(
            "git-credential-ghapp: error: installation {ACME_ON_ACME} of App Iv23liAcmeCi may not be used from here: "
        )),
        "{failed:?}"
    );
    assert!(failed.stderr.ends_with(
        "hint: add this machine's address to the IP allow list of the organisation: \
         https://github.com/organizations/acme/settings/installations/4201\n"
    ));
}
