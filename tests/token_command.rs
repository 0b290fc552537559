//! `token-command`: there is no key here, but a command that has tokens.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::{ACME_ON_ACME, REQUEST, Ran, TestEnv, ran, run, skip};

/// A broker: for each call a new token, in a file for the command to print, and the world knows it.
struct Broker {
    env: TestEnv,
}

/// A home with a rule whose command is a shell script that first notes what it was told. `$TOKEN` is a token of acme's
/// installation that the simulator knows.
fn with_script(script: &str, lines: &str) -> Broker {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let env = TestEnv::bare();
    let unique = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    // The command's words are unique, since keyrings outlive a test.
    let command = format!(
        "['sh', '-c', '''echo \"$GHAPP_FOR_HOST $GHAPP_FOR_OWNER $GHAPP_FOR_REPOSITORY\" >>\"$HOME/calls\"\nTOKEN=$(cat \"$HOME/token\")\n{script}''', 'broker-{unique}']"
    );
    env.configure(&format!("[[app]]\ntoken-command = {command}\n{lines}\n"));
    let broker = Broker { env };
    broker.has_a_new_token();
    broker.expires(3600);
    broker
}

const PLAIN: &str = "echo \"$TOKEN\"";
const JSON: &str =
    "echo \"{\\\"token\\\": \\\"$TOKEN\\\", \\\"expires_at\\\": \\\"$(cat \"$HOME/expires\")\\\"}\"";

impl Broker {
    /// Lets the command print another token from now on.
    fn has_a_new_token(&self) -> String {
        let token = self.env.github.world().issue(ACME_ON_ACME);
        self.env.write("home/token", &token);
        token
    }

    fn server_refuses(&self, token: &str) {
        let mut world = self.env.github.world();
        world.tokens.iter_mut().filter(|it| it.text == token).for_each(|it| it.revoked = true);
    }

    fn expires(&self, seconds: i64) {
        let at = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        self.env.write("home/expires", at.to_string());
    }

    fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.env.home().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// A token in the keyring, which is where these are kept; `None` where there is no keyring.
    fn with_keyring(self) -> Option<Self> {
        let Self { env } = self;
        let broker = Self { env: env.with("GHAPP_CACHE", "auto") };
        let first = broker.get();
        broker.env.write("home/calls", "");
        if first.stderr.contains("not cached") {
            skip("the kernel's keyring cannot be used here");
            return None;
        }
        broker.erase(token(&first));
        Some(broker)
    }

    fn get(&self) -> Ran {
        self.env.get("github.com", "acme/widgets")
    }

    fn erase(&self, token: &str) {
        self.env.helper(["erase"], format!("{REQUEST}password={token}\n")).ok();
    }
}

fn token(ran: &Ran) -> &str {
    ran.attribute("password").unwrap_or_else(|| panic!("{ran:#?}"))
}

#[test]
fn git_gets_what_the_command_prints_and_nobody_asks_the_api() {
    for script in [PLAIN, JSON, "printf '%s' \"$TOKEN\""] {
        let broker = with_script(script, "");
        broker.expires(3600);
        broker.env.git(["clone", "--quiet", common::WIDGETS]).ok();
        assert!(broker.calls().iter().all(|call| call == "github.com acme acme/widgets"));
        assert_eq!(broker.env.lookups_and_mints(), (0, 0));
    }
}

#[test]
fn a_json_answer_says_until_when_and_a_plain_token_is_kept_for_ten_minutes_at_most() {
    let env = with_script(JSON, "").env.with("GHAPP_CACHE", "none");
    let broker = Broker { env };
    let clock = || jiff::Timestamp::now().as_second();
    let left = |ran: &Ran| ran.attribute("password_expiry_utc").unwrap().parse::<i64>().unwrap() - clock();
    broker.expires(1800);
    assert!((1700..=1800).contains(&left(&broker.get())));
    for seconds_and_milliseconds in ["", "000"] {
        broker.env.write("home/expires", format!("{}{seconds_and_milliseconds}", clock() + 900));
        assert!((800..=900).contains(&left(&broker.get())));
    }
    // A broker whose clock is wrong, or that has tokens of another kind, is believed for an hour.
    broker.expires(86_400);
    assert!((3500..=3600).contains(&left(&broker.get())));
    let plain = with_script(PLAIN, "");
    assert!((500..=600).contains(&left(&plain.get())));
}

#[test]
fn one_call_serves_all_that_ask_at_once_and_later() {
    let Some(broker) = with_script(&format!("sleep 0.3; {JSON}"), "").with_keyring() else { return };
    broker.expires(3600);
    let mut command = broker.env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.arg("get").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let children: Vec<_> = (0..8)
        .map(|_| {
            use std::io::Write as _;
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(REQUEST.as_bytes()).unwrap();
            child
        })
        .collect();
    let all: Vec<Ran> = children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect();
    assert!(all.iter().all(|it| token(it) == token(&all[0])), "{all:#?}");
    assert_eq!(broker.calls().len(), 1);
    let again = broker.get();
    assert_eq!((token(&again), broker.calls().len()), (token(&all[0]), 1));
    // Of another repository nobody knows whether the token reaches it.
    broker.env.get("github.com", "acme/machine").ok();
    assert_eq!(broker.calls()[1..], ["github.com acme acme/machine"]);
    broker.erase(token(&all[0]));
}

#[test]
fn a_rule_may_say_that_a_token_is_for_all_of_an_owner() {
    let broker = with_script(JSON, "scope = 'installation'").with_keyring();
    let Some(broker) = broker else { return };
    broker.expires(3600);
    let first = broker.get();
    let second = broker.env.get("github.com", "acme/machine");
    assert_eq!((token(&first), broker.calls()), (token(&second), vec!["github.com acme ".to_owned()]));
    broker.env.helper(["erase"], format!("{REQUEST}password={}\n", token(&first))).ok();
}

#[test]
fn a_token_that_is_refused_heals_and_one_that_comes_again_is_told() {
    let Some(broker) = with_script(JSON, "").with_keyring() else { return };
    broker.expires(3600);
    let first = token(&broker.get()).to_owned();
    broker.server_refuses(&first);
    let second = broker.has_a_new_token();
    broker.env.git(["clone", "--quiet", common::WIDGETS]).ok();
    assert_eq!((token(&broker.get()), broker.calls().len()), (second.as_str(), 2));
    // The broker has a cache of its own and does not know that its token is refused.
    broker.server_refuses(&second);
    let failed = broker.env.git(["clone", common::WIDGETS, "again"]);
    assert!(failed.stderr.contains("sh printed the token that was just refused"), "{failed:?}");
    assert!(broker.calls().len() < 8, "{:?}", broker.calls());
}

#[test]
fn what_is_no_token_is_told_in_one_line_and_nothing_is_cached() {
    let hint = "it must print a token alone, or JSON with token and expires_at";
    let by_hand = "try it by hand, as this user: it is what token-command says";
    for (script, expires, message, hint) in [
        (":", "", "sh printed nothing", by_hand),
        ("echo not signed in >&2; exit 4", "", "sh ended with exit code 4: not signed in", by_hand),
        ("head -c 10000000 /dev/zero", "", "sh printed more than 64 KiB", by_hand),
        ("echo \"$TOKEN\"; echo \"$TOKEN\"", "", "sh printed something that is not one token", hint),
        ("echo \"Error: no such role\"", "", "sh printed something that is not one token", hint),
        ("echo '{\"message\": \"denied\"}'", "", "sh printed JSON without a token", hint),
        ("echo \"{\\\"token\\\": \\\"$TOKEN\"", "", "sh printed JSON without a token", hint),
        ("printf '\\377\\376'", "", "sh printed bytes that are no text", hint),
        (JSON, "tomorrow", "sh printed a token with an expires_at that is not a time", hint),
        (JSON, "2020-01-01T00:00:00Z", "sh printed a token that has expired already, ", "set the clock"),
    ] {
        let broker = with_script(script, "");
        broker.env.write("home/expires", expires);
        let broker = Broker { env: broker.env.with("GHAPP_TRACE", "1") };
        let failed = broker.get();
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
        assert!(
            failed.stderr.contains("error: token-command (") && failed.stderr.contains(message),
            "{failed:?}"
        );
        assert!(failed.stderr.contains(&format!("hint: {hint}")), "{failed:?}");
        assert!(!failed.stderr.contains("ghs_"), "{failed:?}");
        assert!(!broker.env.cache().join("tokens").exists() && !broker.env.cache().join("grants").exists());
        assert_eq!(broker.env.github.log(), [""; 0]);
    }
}

#[test]
fn a_command_that_hangs_is_ended() {
    let broker = with_script("sleep 300", "");
    let failed = broker.get();
    assert!(failed.stderr.contains("sh did not end within 10 s"), "{failed:?}");
}

#[test]
fn a_command_that_fails_does_not_take_away_a_token_that_still_works() {
    let Some(broker) = with_script(&format!("[ ! -e broken ] && {JSON}"), "").with_keyring() else { return };
    broker.expires(200);
    let first = token(&broker.get()).to_owned();
    broker.env.write("home/broken", "");
    let again = broker.get();
    assert_eq!(token(&again), first);
    assert!(again.stderr.contains("sh ended with exit code 1"), "{again:?}");
    broker.erase(&first);
}

#[test]
fn a_rule_says_nothing_that_only_an_apps_tokens_can_be() {
    for (lines, message) in [
        ("private-key = 'k.pem'", "a rule has one source of tokens, not two: private-key ("),
        ("sign-command = 'x'", "a rule has one source of tokens, not two: sign-command ("),
        ("public-key = 'x'", "public-key is of use only beside sign-command"),
        ("id = 7", "gives tokens without an App, but App 7 is named too"),
        ("permissions = { contents = 'read' }", "permissions is of no use beside token-command"),
        ("installation-id = 7", "installation-id is of no use beside token-command"),
    ] {
        let broker = with_script(PLAIN, lines);
        let failed = broker.get();
        assert_eq!(failed.code, Some(1));
        assert!(failed.stderr.contains(message) && failed.stderr.contains("hint: "), "{lines}: {failed:?}");
        assert!(broker.calls().is_empty());
    }
}

#[test]
fn an_environment_alone_is_enough_and_a_file_keeps_its_rule() {
    let env = TestEnv::new();
    let token = env.github.world().issue(ACME_ON_ACME);
    let env = env.with("GHAPP_TOKEN_COMMAND", format!("echo {token}"));
    assert_eq!(env.get("github.com", "acme/widgets").attribute("password"), Some(token.as_str()));
    let env = env.without("GHAPP_TOKEN_COMMAND");
    assert_ne!(env.get("github.com", "acme/widgets").attribute("password"), Some(token.as_str()));
}

#[test]
fn a_command_that_runs_git_is_not_told_that_its_variables_are_misspelt() {
    let broker = with_script(&format!("git-credential-ghapp capability >&2 && {PLAIN}"), "");
    token(&broker.get());
}

#[test]
fn people_get_the_token_too_and_what_needs_an_app_says_so() {
    let broker = with_script(PLAIN, "");
    let env = &broker.env;
    let expected = std::fs::read_to_string(env.home().join("token")).unwrap();
    assert_eq!(env.helper(["token", "acme/widgets"], "").ok().trim(), expected);
    let json: serde_json::Value =
        serde_json::from_str(&env.helper(["token", "acme/widgets", "--json"], "").ok()).unwrap();
    assert_eq!((&json["app"], &json["installation"]), (&"sh".into(), &serde_json::Value::Null));
    let told = env.helper(["exec", "--for", "acme/widgets", "--", "sh", "-c", "echo $GH_TOKEN"], "").ok();
    assert_eq!(told.trim(), expected);
    assert!(env.helper(["repositories", "acme/widgets"], "").ok().contains("acme/widgets"));
    assert!(env.helper(["status"], "").ok().contains("token-command sh on github.com"));
    for (arguments, message) in [
        (&["token", "--app", "acme/widgets"][..], "only token-command sh is configured, which is no App"),
        (&["exec", "--identity", "--for", "acme/widgets", "true"], "it gives tokens, and is no App"),
        (&["installations"], "only token-command sh is configured, which is no App"),
        (&["token", "acme"], "gives tokens for single repositories only"),
    ] {
        let failed = env.helper(arguments.iter().copied(), "");
        assert!(failed.code == Some(1) && failed.stderr.contains(message), "{arguments:?}: {failed:?}");
    }
}

#[test]
fn setup_writes_it_doctor_calls_it_once_and_undo_takes_it_back() {
    let env = TestEnv::fresh();
    let token = env.github.world().issue(ACME_ON_ACME);
    env.write("home/token", &token);
    let script = "#!/bin/sh\necho \"$GHAPP_FOR_REPOSITORY\" >>\"$HOME/calls\"\ncat \"$HOME/token\"\n";
    env.install(env.write("script", script), "home/bin/broker");
    let calls = || std::fs::read_to_string(env.home().join("calls")).unwrap_or_default();
    let file = env.home().join(TestEnv::CONFIG);
    let config = || std::fs::read_to_string(&file).unwrap_or_default();
    let command = env.home().join("bin/broker").display().to_string();
    let arguments = ["setup", "--token-command", &command, "--repository", "acme/widgets"];
    let told = env.helper(arguments, "").ok();
    assert!(told.contains("git ls-remote https://github.com/acme/widgets.git works"), "{told}");
    assert!(config().contains(&format!("[[app]]\ntoken-command = [\"{command}\"]")), "{}", config());
    env.git(["ls-remote", common::WIDGETS]).ok();
    let told = env.helper(arguments, "").ok();
    assert!(told.contains("everything is set up already"), "{told}");
    let before = calls().lines().count();
    let told = env.helper(["doctor", "acme/widgets"], "").stdout;
    assert!(told.contains("ok       token command: broker gave a token in "), "{told}");
    // git, which the doctor lets fetch, asks again where nothing can be cached.
    assert!((1..=2).contains(&(calls().lines().count() - before)), "{}", calls());
    let everything = env.helper(["doctor"], "").stdout;
    assert!(everything.contains("token-command broker on github.com"), "{everything}");
    env.helper(["setup", "--undo"], "").ok();
    assert_eq!(config(), "");
    std::fs::write(env.home().join("token"), "no token").unwrap();
    let env = env.with("GHAPP_CACHE", "none");
    let failed = env.helper(arguments, "");
    assert!(failed.code == Some(1) && failed.stderr.contains("is not one token"), "{failed:?}");
    assert_eq!(config(), "");
}

#[test]
fn a_sealed_file_is_sealed_under_a_random_secret_in_the_keyring() {
    let broker = with_script(JSON, "");
    broker.expires(3600);
    let first = broker.get();
    if first.stderr.contains("not cached") {
        return skip("the kernel's keyring cannot be used here");
    }
    assert_eq!(std::fs::read_dir(broker.env.cache().join("tokens")).unwrap().count(), 1);
    let again = broker.get();
    assert_eq!((token(&again), broker.calls().len()), (token(&first), 1));
    // The machine restarts: the secret is gone, and with it what was sealed under it.
    let script = "for key in $(keyctl rlist \"$(keyctl get_persistent @s)\"); do
        keyctl rdescribe $key | grep -q git-credential-ghapp:seal- && keyctl invalidate $key; done; true";
    run(broker.env.command("keyctl").args(["session", "-", "sh", "-c", script]), b"").ok();
    token(&broker.get());
    assert_eq!(broker.calls().len(), 2);
}

#[test]
fn logout_of_everything_forgets_what_files_were_sealed_under() {
    let broker = with_script(JSON, "");
    let first = broker.get();
    if first.stderr.contains("not cached") {
        return skip("the kernel's keyring cannot be used here");
    }
    // A copy of the sealed file, as a backup has it.
    let folder = broker.env.cache().join("tokens");
    let sealed = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let (name, content) = (sealed.file_name().unwrap().to_owned(), std::fs::read(&sealed).unwrap());
    broker.env.helper(["logout", "--all", "--keep-remote"], "").ok();
    run(broker.env.command("mkdir").args(["-m", "700", "-p"]).arg(&folder), b"").ok();
    std::fs::write(folder.join(name), content).unwrap();
    token(&broker.get());
    assert_eq!(broker.calls().len(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_inherits_neither_locks_nor_connections() {
    let list = "ls -l /proc/self/fd >>\"$HOME/open\"";
    let count = |text: &str| text.lines().filter(|line| line.contains(" -> ")).count();
    let read = |env: &TestEnv| std::fs::read_to_string(env.home().join("open")).unwrap();
    let broker = with_script(&format!("{list}; {JSON}"), "");
    // What this test itself was started with is there for every program.
    let usual = count(&run(broker.env.command("ls").args(["-l", "/proc/self/fd"]), b"").ok());
    token(&broker.get());
    assert_eq!(count(&read(&broker.env)), usual, "{}", read(&broker.env));
    // The second signature is made while the lock is held and GitHub's connections are open.
    if common::has("openssl") {
        let env = TestEnv::bare();
        env.write_private("home/acme.pem", github_simulator::ACME_KEY);
        let sign = format!("{list}; openssl dgst -sha256 -sign acme.pem");
        env.configure(&format!(
            "[[app]]\nid = '{}'\nsign-command = ['sh', '-c', '''{sign}''']\n",
            common::ACME_APP
        ));
        token(&env.get("github.com", "acme/widgets"));
        let open = read(&env);
        let calls = open.matches("total 0").count();
        assert_eq!(count(&open), usual * calls, "{open}");
    }
    let env = TestEnv::new();
    let told = env.helper(["exec", "--for", "acme/widgets", "--", "ls", "-l", "/proc/self/fd"], "").ok();
    assert_eq!(count(&told), usual, "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn no_secret_is_in_the_arguments_or_the_environment_of_what_is_run() {
    if !common::has("strace") {
        return skip("strace is not installed");
    }
    let traced = |env: &TestEnv, arguments: &[&str], input: &str| {
        let file = env.folder.path().join("trace");
        let mut command = env.command("strace");
        command.args(["-f", "-qq", "-v", "-s", "65536", "-e", "trace=execve", "-o"]).arg(&file);
        command.arg(env!("CARGO_BIN_EXE_git-credential-ghapp")).args(arguments);
        let ran = run(&mut command, input.as_bytes());
        (ran, std::fs::read_to_string(&file).unwrap_or_default())
    };
    let broker = with_script(JSON, "");
    let (answer, trace) = traced(&broker.env, &["get"], REQUEST);
    let Some(given) = answer.attribute("password") else { return skip("strace may not trace here") };
    assert!(trace.contains("GHAPP_FOR_REPOSITORY=acme/widgets") && !trace.contains(given), "{trace}");
    for arguments in [
        &["token", "acme/widgets", "--fresh"][..],
        &["doctor", "acme/widgets"],
        &["setup", "--dry-run", "--token-command", "sh -c 'cat ~/token'", "--repository", "acme/widgets"],
    ] {
        let (ran, trace) = traced(&broker.env, arguments, "");
        assert!(trace.contains("execve(") && !trace.contains(given), "{ran:?}");
    }
    let env = TestEnv::new();
    for arguments in [
        &["token", "--repository", "acme/widgets", "--permission", "contents=read"][..],
        &["exec", "--for", "acme", "--permission", "contents=read", "--env", "T", "--", "sh", "-c", "echo"],
    ] {
        let (ran, trace) = traced(&env, arguments, "");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let secret = env.github.world().tokens.last().unwrap().text.clone();
        let argv = |line: &str| line.split("], [").next().unwrap_or_default().to_owned();
        assert!(
            !trace.lines().any(|line| argv(line).contains(&secret) || line.contains("eyJ0eXAi")),
            "{trace}"
        );
    }
}

#[test]
fn there_is_no_jwt_where_there_is_no_app() {
    let broker = with_script(PLAIN, "scope = 'repository'");
    let refused = broker.env.helper(["token", "--app"], "");
    assert!(
        refused.code == Some(1) && refused.stderr.contains(" is configured, which is no App"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("hint: configure one with id and private-key"), "{refused:?}");
}
