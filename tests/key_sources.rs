//! Where a private key can be: a command's output, a service's credentials, a link of a mounted volume.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, REQUEST, TestEnv, run};
use github_simulator::ACME_KEY;

/// A home where the key is in a place that the rule does not name, and a rule with these lines.
fn with_rule(lines: &str) -> TestEnv {
    let env = TestEnv::bare();
    env.write_private("home/acme.pem", ACME_KEY);
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\n{lines}\n"));
    env
}

/// The one line and the hint of a failure that git is told of.
#[track_caller]
fn failure(env: &TestEnv) -> (String, String) {
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:#?}");
    let told =
        failed.stderr.replace(&env.home().display().to_string(), "~").replace(TestEnv::CONFIG, "CONFIG");
    let told = told.replace("git-credential-ghapp: ", "");
    let (error, hint) = told.trim_end().split_once('\n').unwrap_or_else(|| panic!("{told}"));
    assert!(error.starts_with("error: ") && hint.starts_with("hint: ") && !hint.contains('\n'), "{told}");
    (error["error: ".len()..].to_owned(), hint["hint: ".len()..].to_owned())
}

#[test]
fn the_output_of_a_command_is_the_key() {
    for line in [
        "private-key-command = ['cat', 'acme.pem']",
        "private-key-command = 'cat acme.pem'",
        "private-key-command = ['sh', '-c', 'printf \"%s\" \"$(base64 < acme.pem)\"']",
    ] {
        let env = with_rule(line);
        assert!(env.get("github.com", "acme/widgets").attribute("password").is_some(), "{line}");
    }
    let env =
        TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY_COMMAND", "cat 'a key.pem'");
    env.write_private("home/a key.pem", ACME_KEY);
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}

#[test]
fn a_program_beside_the_configuration_is_found_and_one_in_the_repository_never_runs() {
    let env = with_rule("private-key-command = 'bin/show-key ~/acme.pem'");
    let script = env.write("script", "#!/bin/sh\nexec cat \"$HOME/acme.pem\"\n");
    let beside = std::path::Path::new("home").join(TestEnv::CONFIG).parent().unwrap().join("bin/show-key");
    env.install(&script, beside.to_str().unwrap());
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    let env = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY_COMMAND", "./show-key");
    env.install(env.write("script", "#!/bin/sh\ntouch ran\n"), "home/show-key");
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.contains("\"./show-key\" is relative to whatever folder git runs in"),
        "{failed:?}"
    );
    assert!(!env.home().join("ran").exists());
}

#[test]
fn a_command_gets_neither_the_key_nor_a_terminal_nor_open_files_of_the_helper() {
    let script = "env >seen; ls -l /proc/self/fd >open; cat >input; cat acme.pem";
    let env = with_rule(&format!("private-key-command = ['sh', '-c', '{script}']"));
    // Both are set, and the flag is closer.
    let env = env.with("GHAPP_PRIVATE_KEY", ACME_KEY).with("AWS_PROFILE", "ci");
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.args(["--private-key-command", &format!("sh -c '{script}'"), "get"]);
    assert!(run(&mut command, REQUEST.as_bytes()).attribute("password").is_some());
    let read = |name: &str| std::fs::read_to_string(env.home().join(name)).unwrap();
    assert!(
        read("seen").contains("AWS_PROFILE=ci") && !read("seen").contains("PRIVATE KEY"),
        "{}",
        read("seen")
    );
    assert_eq!(read("input"), "");
    if cfg!(target_os = "linux") {
        let count = |open: &str| open.lines().filter(|line| line.contains(" -> ")).count();
        // What this test itself was started with is there for every program.
        let without = run(env.command("ls").args(["-l", "/proc/self/fd"]), b"").ok();
        assert_eq!(count(&read("open")), count(&without), "{}", read("open"));
    }
}

#[test]
fn a_command_that_gives_no_key_fails_in_one_line_and_nothing_is_asked_or_cached() {
    let cases = [
        ("['no-such-tool', 'read']", "cannot run no-such-tool: no such file or directory"),
        (
            "['sh', '-c', 'echo starting >&2; echo not signed in >&2; exit 3']",
            "sh ended with exit code 3: starting, not signed in",
        ),
        ("['sh', '-c', 'kill -9 $$']", "sh was ended by signal 9"),
        ("['true']", "true printed nothing"),
        ("['sh', '-c', 'head -c 10000000 /dev/zero']", "sh printed more than 64 KiB"),
        ("['sh', '-c', 'head -c 10000000 /dev/zero >&2; exit 1']", "sh ended with exit code 1"),
        (
            "['echo', 'hello']",
            "the private key that private-key-command (~/CONFIG, line 3) prints is not a private key in PEM format",
        ),
    ];
    for (command, expected) in cases {
        let env = with_rule(&format!("private-key-command = {command}"));
        let (error, _) = failure(&env);
        let expected = match expected {
            whole if whole.starts_with("the private") => whole.to_owned(),
            part => format!("private-key-command (~/CONFIG, line 3): {part}"),
        };
        assert!(error.starts_with(&expected), "{error}\n{expected}");
        assert!(error.len() < 400, "{error}");
        assert_eq!(env.github.log(), [""; 0]);
        assert!(!env.cache().join("tokens").exists());
    }
}

#[test]
fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let env = with_rule("private-key-command = ['sh', '-c', 'sleep 300 & echo $! >child; sleep 300']");
    let (error, hint) = failure(&env);
    assert_eq!(error, "private-key-command (~/CONFIG, line 3): sh did not end within 10 s");
    assert!(hint.contains("try it by hand"), "{hint}");
    let child = std::fs::read_to_string(env.home().join("child")).unwrap();
    let lives = || run(env.command("kill").args(["-0", child.trim()]), b"").code == Some(0);
    // A process that was killed is gone when the kernel finds time for it.
    let gone = (0..200).any(|_| {
        let gone = !lives();
        std::thread::sleep(std::time::Duration::from_millis(if gone { 0 } else { 50 }));
        gone
    });
    assert!(gone, "{child} still runs");
}

#[test]
fn a_command_that_leaves_something_running_is_not_waited_for() {
    let env = with_rule("private-key-command = ['sh', '-c', 'sleep 60 & echo $! >child; cat acme.pem']");
    let began = std::time::Instant::now();
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    // Well below the deadline of 10 s.
    assert!(began.elapsed().as_secs() < 9);
    let child = std::fs::read_to_string(env.home().join("child")).unwrap();
    run(env.command("kill").arg(child.trim()), b"");
}

#[test]
fn a_secret_in_the_messages_of_a_command_is_not_shown() {
    let script = "cat acme.pem >&2; echo ghs_1234567890 eyJhbGciOi.x.y >&2; exit 1";
    let env = with_rule(&format!("private-key-command = ['sh', '-c', '{script}']")).with("GHAPP_TRACE", "1");
    let failed = env.get("github.com", "acme/widgets");
    assert!(failed.stderr.contains("ended with exit code 1"), "{failed:?}");
    for secret in ACME_KEY.lines().filter(|line| !line.starts_with('-')).chain(["ghs_1234567890", "eyJ"]) {
        assert!(!failed.stderr.contains(secret), "{}", failed.stderr);
    }
}

#[test]
fn a_service_finds_its_credential() {
    let env = with_rule("private-key = 'credential:github-app'");
    let (error, hint) = failure(&env);
    assert!(error.contains("CREDENTIALS_DIRECTORY is not set"), "{error}");
    assert!(hint.contains("LoadCredential=github-app:"), "{hint}");
    env.write_private("run/credentials/git.service/github-app", ACME_KEY);
    let folder = env.folder.path().join("run/credentials/git.service").display().to_string();
    let env = env.with("CREDENTIALS_DIRECTORY", folder);
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    // git runs in a repository, which could have such a folder.
    env.write_private("home/clone/credentials/github-app", ACME_KEY);
    let env = env.with("CREDENTIALS_DIRECTORY", "credentials");
    let mut get = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    let failed = run(get.arg("get").current_dir(env.home().join("clone")), REQUEST.as_bytes());
    assert!(failed.stderr.contains("CREDENTIALS_DIRECTORY is relative to whatever folder"), "{failed:?}");
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = 'credential:../x'\n"));
    let failed = env.get("github.com", "acme/widgets");
    assert!(failed.stderr.contains("\"../x\" is not the name of a credential"), "{failed:?}");
}

#[test]
fn a_key_in_a_kubernetes_volume_is_found_before_and_after_the_volume_changes() {
    use std::os::unix::fs::symlink;
    let env = with_rule("private-key = '~/volume/key.pem'").with("GHAPP_CACHE", "none");
    let volume = env.home().join("volume");
    let publish = |version: &str, key: &str| {
        env.write_private(&format!("home/volume/{version}/key.pem"), key);
        let _ = std::fs::remove_file(volume.join("..data"));
        symlink(version, volume.join("..data")).unwrap();
    };
    publish("..2026_1", ACME_KEY);
    symlink("..data/key.pem", volume.join("key.pem")).unwrap();
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    publish("..2026_2", github_simulator::ACME_KEY_PKCS8);
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}

#[test]
fn two_sources_in_one_rule_are_an_error() {
    let env = with_rule("private-key = '~/acme.pem'\nprivate-key-command = 'cat acme.pem'");
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    assert!(
        failed.stderr.contains("private-key (") && failed.stderr.contains("and private-key-command ("),
        "{failed:?}"
    );
    assert!(failed.stderr.contains("hint: keep one of them"), "{failed:?}");
}

#[test]
fn a_command_that_runs_this_helper_again_ends() {
    let env = with_rule("private-key-command = ['git-credential-ghapp', 'token', '--app']");
    let (error, _) = failure(&env);
    assert!(error.contains("git-credential-ghapp ended with exit code 1"), "{error}");
    assert!(error.contains("not run, because a command of this program called this program"), "{error}");
}

#[test]
fn setup_writes_a_command_doctor_tests_it_and_undo_takes_it_back() {
    let env = TestEnv::fresh();
    env.write_private("home/my key.pem", ACME_KEY);
    let command = "cat 'my key.pem'";
    env.helper(["setup", "--app-id", ACME_APP, "--private-key-command", command], "").ok();
    let config = || std::fs::read_to_string(env.home().join(TestEnv::CONFIG)).unwrap_or_default();
    assert!(config().contains("private-key-command = [\"cat\", \"my key.pem\"]"), "{}", config());
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    let told = env.helper(["doctor", "acme/widgets"], "").stdout;
    assert!(told.contains("ok       private key: printed by cat in "), "{told}");
    // Once more without saying where the key is: it is known.
    let again = env.helper(["setup", "--app-id", ACME_APP], "").ok();
    assert!(again.contains("everything is set up already"), "{again}");
    let other = env.helper(["setup", "--app-id", ACME_APP, "--private-key", "my key.pem"], "").ok();
    assert!(other.contains("- private-key-command"), "{other}");
    assert!(!config().contains("private-key-command") && config().contains("private-key = "), "{}", config());
    env.helper(["setup", "--undo"], "").ok();
    assert_eq!(config(), "");
}
