//! Bad input: one clear line, the right exit code, no part of an answer, and what is cached stays.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::process::Stdio;

use common::{ACME_APP, LOOKUP, MINT, REQUEST, TestEnv, ran, run};
use github_simulator::{ACME_KEY, Effect};

/// What the helper says on stderr, without the file names of this run.
fn told(env: &TestEnv, stderr: &str) -> String {
    stderr
        .replace(&env.home().display().to_string(), "~")
        .replace(&env.folder.path().display().to_string(), "…")
}

#[test]
fn requests_that_cannot_be_read_fail_in_one_line() {
    let env = TestEnv::new();
    let large = [b"path=".as_slice(), &vec![b'x'; 10 * 1024 * 1024], b"\n"].concat();
    for (input, message) in [
        (b"nonsense\n".to_vec(), "line 1 of git's request is not key=value"),
        (b"protocol=https\nhost=\xff\n".to_vec(), "the host in git's request is not valid UTF-8"),
        (large, "git's request is larger than 1048576 bytes"),
    ] {
        let failed = env.helper(["get"], input);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
        assert_eq!(failed.stderr, format!("git-credential-ghapp: error: {message}\n"));
    }
    let smuggled =
        env.helper(["get"], "protocol=https\nhost=github.com\rhost=evil.example\npath=acme/widgets\n");
    assert_eq!((smuggled.code, smuggled.stdout.as_str()), (Some(1), ""));
    assert!(
        smuggled.stderr.starts_with("git-credential-ghapp: error: the host in git's request holds a control")
    );
    assert_eq!(env.github.log(), [""; 0]);
}

#[test]
fn sixty_four_kilobytes_on_one_line_are_no_problem() {
    let env = TestEnv::new();
    let input = format!("{REQUEST}wwwauth[]={}\n", "x".repeat(65_000));
    assert!(env.helper(["get"], input).attribute("password").is_some());
}

#[test]
fn closed_standard_streams_are_survived() {
    let env = TestEnv::new();
    let helper = env!("CARGO_BIN_EXE_git-credential-ghapp");
    let shell = |script: &str| {
        let mut command = env.command("sh");
        command.args(["-c", script, "sh", helper]);
        run(&mut command, REQUEST.as_bytes())
    };
    let no_stdin = shell("\"$1\" get <&-");
    assert_eq!((no_stdin.code, no_stdin.stdout.as_str()), (Some(0), ""), "{no_stdin:?}");
    let no_stdout = shell("\"$1\" get >&-");
    assert!(!no_stdout.stderr.contains("panicked"), "{no_stdout:?}");
    let no_stderr = shell("\"$1\" get 2>&-");
    assert_eq!(no_stderr.code, Some(0), "{no_stderr:?}");
    if cfg!(target_os = "linux") {
        let full = shell("\"$1\" get >/dev/full");
        assert_eq!(full.code, Some(1));
        assert_eq!(
            full.stderr,
            "git-credential-ghapp: error: cannot write the answer: no space left on device\n"
        );
    }
    let mut command = env.command(helper);
    let mut gone = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(gone.stdout.take());
    std::io::Write::write_all(&mut gone.stdin.take().unwrap(), REQUEST.as_bytes()).unwrap();
    let gone = ran(gone.wait_with_output().unwrap());
    assert_eq!(gone.code, Some(1));
    assert_eq!(gone.stderr, "git-credential-ghapp: error: cannot write the answer: broken pipe\n");
    // Nothing of this harmed the cache.
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn unusable_keys_fail_in_one_line_and_stop_git_from_prompting() {
    let env = TestEnv::new();
    std::fs::create_dir(env.home().join("folder.pem")).unwrap();
    env.write("home/public.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    env.write("home/large.pem", "x".repeat(100_000));
    for (file, what) in [
        ("missing.pem", "the private key file ~/missing.pem (~/CONFIG, line 3) does not exist"),
        ("folder.pem", "the private key ~/folder.pem (~/CONFIG, line 3) is a directory"),
        (
            "public.pem",
            "the private key ~/public.pem (~/CONFIG, line 3) holds a public key, not a private key",
        ),
        ("large.pem", "the private key ~/large.pem (~/CONFIG, line 3) is too large for a private key"),
    ] {
        env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '~/{file}'\n"));
        let failed = env.get("github.com", "acme/widgets");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
        let told = told(&env, &failed.stderr).replace(TestEnv::CONFIG, "CONFIG");
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        assert_eq!(lines[0], format!("git-credential-ghapp: error: {what}"));
        assert!(lines[1].starts_with("git-credential-ghapp: hint: "));
    }
    assert_eq!(env.github.log(), [""; 0]);
}

#[test]
fn a_file_name_where_the_key_belongs_is_named() {
    let env =
        TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", "/run/secrets/key.pem");
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
    assert_eq!(
        failed.stderr,
        "git-credential-ghapp: error: the private key in the environment variable GHAPP_PRIVATE_KEY is not a private \
         key in PEM format\n\
         git-credential-ghapp: hint: it must hold the key itself; for the name of a file there is GHAPP_PRIVATE_KEY_FILE\n"
    );
}

#[test]
fn a_broken_configuration_fails_without_an_answer() {
    let env = TestEnv::new();
    env.configure("[[app]]\nid = '1'\nprivate-key = 'k'\ncolour = 'red'\n");
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    assert!(
        told(&env, &failed.stderr).replace(TestEnv::CONFIG, "CONFIG").starts_with(
            "git-credential-ghapp: error: ~/CONFIG, line 4, column 1: unknown setting `colour`, expected `id`"
        ),
        "{}",
        failed.stderr
    );
}

#[test]
fn answers_that_are_not_githubs_fail_in_one_line_and_are_not_remembered() {
    let env = TestEnv::new();
    let html = || vec![("Content-Type".to_owned(), "text/html".to_owned())];
    let json = || vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let large = [b"{\"id\": 1, \"x\": \"".as_slice(), &vec![b'x'; 10 * 1024 * 1024], b"\"}"].concat();
    let api = "https://api.github.com";
    let cases = [
        (
            LOOKUP,
            Effect::Answer(200, html(), b"<html>\x1b[31mHello</html>".to_vec()),
            format!("{api} sent an answer that does not come from GitHub's API (text/html, line 1 column 1)"),
        ),
        (
            LOOKUP,
            Effect::Answer(403, html(), b"<html>".to_vec()),
            format!("{api} returned 403 with an answer that does not come from GitHub's API (text/html)"),
        ),
        (
            LOOKUP,
            Effect::Answer(200, json(), large.clone()),
            "api.github.com sent an answer of more than 1048576 bytes".to_owned(),
        ),
        (
            MINT,
            Effect::Answer(201, json(), large),
            "api.github.com sent an answer of more than 1048576 bytes".to_owned(),
        ),
        (
            MINT,
            Effect::Answer(
                201,
                json(),
                br#"{"token": "a\nhost=evil", "expires_at": "2100-01-01T00:00:00Z"}"#.to_vec(),
            ),
            format!("{api} sent a token with characters that git's protocol does not allow"),
        ),
        (
            MINT,
            Effect::Answer(201, json(), br#"{"token": "ghs_x", "expires_at": "tomorrow"}"#.to_vec()),
            format!("{api} sent a token with an expiry that is not a time: \"tomorrow\""),
        ),
        (
            MINT,
            Effect::Answer(418, json(), b"{\"message\": \"a\\nb\\u001b[2J\"}".to_vec()),
            format!("{api} returned 418: a\\nb\\u{{1b}}[2J"),
        ),
    ];
    for (endpoint, effect, message) in cases {
        env.fault(endpoint, 1, effect);
        let failed = env.get("github.com", "acme/widgets");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
        assert_eq!(failed.stderr.lines().next().unwrap(), format!("git-credential-ghapp: error: {message}"));
    }
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}

#[test]
fn a_redirect_to_another_origin_is_refused_and_nothing_is_sent_there() {
    let env = TestEnv::new();
    let location = vec![("Location".to_owned(), "https://evil.example/repositories/1001".to_owned())];
    let effect = Effect::Answer(301, location, b"{}".to_vec());
    env.fault(LOOKUP, 1, effect);
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!(
        failed.stderr,
        "git-credential-ghapp: error: https://api.github.com redirects to another origin, which must not see the App's JWT\n\
         git-credential-ghapp: hint: check host and api-url in the configuration\n"
    );
    assert!(env.github.log().iter().all(|line| !line.starts_with("evil.example")));
}

#[test]
fn what_github_refuses_is_told_with_the_next_step() {
    let refused = |prepare: &dyn Fn(&TestEnv)| {
        let env = TestEnv::new();
        prepare(&env);
        let failed = env.get("github.com", "acme/widgets");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
        failed.stderr.replace("git-credential-ghapp: ", "")
    };
    assert_eq!(
        refused(&|env| {
            env.write("keys/acme.pem", github_simulator::ROGUE_KEY);
        }),
        "error: https://api.github.com refused the App's JWT: the private key does not belong to App Iv23liAcmeCi\n\
         hint: compare id and key with the App's settings page; keys that were deleted there no longer work\n"
    );
    assert_eq!(
        refused(&|env| env.github.world().apps.clear()),
        "error: there is no App Iv23liAcmeCi on https://api.github.com\n\
         hint: compare the App ID with the App's settings page, and check that the App belongs to this host\n"
    );
    assert_eq!(
        refused(&|env| env.github.world().installation(4201).suspended = true),
        "error: installation 4201 of App Iv23liAcmeCi is suspended\n\
         hint: whoever suspended it, an owner of the account or the App's owner, has to unsuspend it: \
         https://github.com/organizations/acme/settings/installations/4201\n"
    );
    assert_eq!(
        refused(&|env| {
            env.github.world().installation(4201).permissions.remove("contents");
        }),
        "error: installation 4201 of App Iv23liAcmeCi lacks the permission Contents, so git cannot use its token\n\
         hint: give the App the repository permission Contents, and accept the change: \
         https://github.com/organizations/acme/settings/installations/4201\n"
    );
    assert_eq!(
        refused(&|env| {
            env.configure(&format!(
            "[[app]]\nid = '{ACME_APP}'\nprivate-key = '~/../keys/acme.pem'\npermissions = {{ issues = 'write' }}\n"
        ))
        }),
        "error: installation 4201 of App Iv23liAcmeCi was not granted issues = write\n\
         hint: give the App this permission and accept the change, or ask for less: \
         https://github.com/organizations/acme/settings/installations/4201\n"
    );
}

#[test]
fn without_any_app_the_other_half_of_the_setup_is_named() {
    let env = TestEnv::bare();
    let declined = env.get("github.com", "acme/widgets");
    assert_eq!((declined.code, declined.stdout.as_str()), (Some(0), ""));
    let expected = format!(
        "git-credential-ghapp: warning: no App is configured, so git gets no credential\n\
         git-credential-ghapp: hint: git-credential-ghapp setup, or describe the App in ~/{}, or set GHAPP_APP_ID and GHAPP_PRIVATE_KEY_FILE\n",
        TestEnv::CONFIG
    );
    assert_eq!(told(&env, &declined.stderr), expected);
}

#[test]
fn on_failure_continue_lets_git_ask_others() {
    let env = TestEnv::new().with("GHAPP_ON_FAILURE", "continue");
    env.github.world().installation(4201).suspended = true;
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
}

#[test]
fn a_clock_that_is_wrong_is_corrected_by_githubs() {
    for offset in [3600, -3600] {
        let env = TestEnv::new();
        env.github.world().clock_offset = offset;
        let answer = env.get("github.com", "acme/widgets");
        assert!(answer.attribute("password").is_some(), "{answer:?}");
        let side = if offset > 0 { "behind" } else { "ahead" };
        assert!(answer.stderr.contains(side) && answer.stderr.contains("set the clock"), "{answer:?}");
        // The token lives as long as GitHub says, whatever this clock shows.
        assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
        assert_eq!(env.github.world().tokens.len(), 1);
    }
}

#[test]
fn store_and_erase_of_other_credentials_do_nothing() {
    let env = TestEnv::new();
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    for operation in ["store", "erase"] {
        for more in ["", "password=other\n", "username=octocat\npassword=hunter2\n"] {
            let done = env.helper([operation], format!("{REQUEST}{more}"));
            assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "", ""));
        }
    }
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn erase_of_the_very_token_makes_the_next_get_mint() {
    let env = TestEnv::new();
    let answer = env.get("github.com", "acme/widgets");
    let token = answer.attribute("password").unwrap();
    env.helper(["erase"], format!("{REQUEST}username=x-access-token\npassword={token}\n")).ok();
    let again = env.get("github.com", "acme/widgets");
    assert_ne!(again.attribute("password").unwrap(), token);
}

#[test]
fn operations_and_command_lines() {
    let env = TestEnv::new();
    assert_eq!(env.helper(["capability"], "").ok(), "version 0\ncapability authtype\ncapability state\n");
    for unknown in ["approve", "list", "GET"] {
        let ignored = env.helper([unknown], REQUEST);
        assert_eq!((ignored.code, ignored.stdout.as_str(), ignored.stderr.as_str()), (Some(0), "", ""));
    }
    assert!(env.helper(["--help"], "").ok().contains("Usage: git-credential-ghapp"));
    assert!(env.helper(["--version"], "").ok().starts_with("git-credential-ghapp 0."));
    let see = "git-credential-ghapp --help";
    let see_exec = "git-credential-ghapp exec --help";
    let see_token = "git-credential-ghapp token --help";
    for (arguments, message, hint) in [
        (vec![], "no command was given", see.to_owned()),
        (vec!["--colour", "red", "get"], "unexpected argument '--colour'", see.to_owned()),
        (
            vec!["--app-idd", "1", "get"],
            "unexpected argument '--app-idd'",
            format!("did you mean --app-id? see {see}"),
        ),
        (vec!["--host"], "a value is required for '--host <HOST>' but none was supplied", see.to_owned()),
        (vec!["-x", "get"], "unexpected argument '-x'", see.to_owned()),
        (vec!["get", "ghs_secret"], "unexpected argument", see.to_owned()),
        (vec!["get", ACME_KEY], "unexpected argument", see.to_owned()),
        (
            vec!["token", "--expires-in", "601", "--app"],
            "invalid value '601' for '--expires-in <SECONDS>': write a number from 1 to 600",
            see_token.to_owned(),
        ),
        (vec!["exec"], "the following required arguments were not provided: <CMD>...", see_exec.to_owned()),
    ] {
        let wrong = env.helper(arguments, REQUEST);
        assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
        assert_eq!(
            wrong.stderr,
            format!("git-credential-ghapp: error: {message}\ngit-credential-ghapp: hint: {hint}\n")
        );
    }
}
