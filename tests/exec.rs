//! `exec` gives a command the App's identity: the variables that tools take, and nothing that the command has no need of.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, TestEnv, has, note, run};
use github_simulator::ACME_KEY;

/// The App by the environment alone.
fn by_environment() -> TestEnv {
    TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", ACME_KEY)
}

/// What a command below `exec` sees in its environment.
fn environment(env: &TestEnv, arguments: &[&str]) -> Vec<(String, String)> {
    let mut all = vec!["exec"];
    all.extend(arguments);
    all.extend(["--", "env", "-0"]);
    let told = env.helper(all, "").ok();
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    told.split('\0').filter_map(pair).collect()
}

fn value<'v>(variables: &'v [(String, String)], name: &str) -> Option<&'v str> {
    variables.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_private_key_is_not_in_the_environment_of_the_command() {
    let env = by_environment();
    let seen = environment(&env, &["--for", "acme"]);
    assert_eq!(value(&seen, "GHAPP_PRIVATE_KEY"), None);
    assert_eq!(value(&seen, "GHAPP_APP_ID"), Some(ACME_APP));
    let canary = ACME_KEY.lines().nth(10).unwrap();
    assert!(seen.iter().all(|(_, value)| !value.contains(canary)), "{seen:#?}");
}

#[test]
fn git_below_exec_works_although_the_key_is_not_there() {
    let env = by_environment();
    let clone =
        ["exec", "--for", "acme/widgets", "--", "git", "clone", "-q", "https://github.com/acme/widgets"];
    let cloned = env.helper(clone, "");
    assert_eq!((cloned.code, cloned.stderr.as_str()), (Some(0), ""));
    assert!(env.home().join("widgets/README").exists());
    assert_eq!(env.lookups_and_mints().1, 1);
    // Settings that are handed down in the environment stay.
    let env = env
        .with("GIT_CONFIG_COUNT", "1")
        .with("GIT_CONFIG_KEY_0", "user.name")
        .with("GIT_CONFIG_VALUE_0", "Octo Cat");
    let asked = ["exec", "--for", "acme", "--", "git", "config", "user.name"];
    assert_eq!(env.helper(asked, "").ok(), "Octo Cat\n");
    assert!(
        !environment(&env, &["--for", "acme"])
            .iter()
            .any(|(name, value)| { name.starts_with("GIT_CONFIG") && value.contains("ghs_") })
    );
}

#[test]
fn a_token_is_in_the_variables_of_its_kind_of_host_and_in_no_other() {
    let all = ["GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"];
    for (host, owner, set, absent) in [
        ("github.com", "acme", &all[..2], &all[2..]),
        ("acme.ghe.com", "acme", &all[..2], &all[2..]),
        ("ghe.example", "acme", &all[2..], &all[..2]),
    ] {
        // What is inherited is another identity: the command acts as the App, or as nobody.
        let mut env = by_environment().with("GHAPP_HOST", host);
        for name in all {
            env = env.with(name, "ghp_somebody_elses");
        }
        let seen = environment(&env, &["--for", owner]);
        for name in set {
            assert!(value(&seen, name).is_some_and(|token| token.starts_with("ghs_")), "{host}: {name}");
        }
        for name in absent {
            assert_eq!(value(&seen, name), None, "{host}: {name}");
        }
        assert_eq!(value(&seen, "GH_HOST"), Some(host));
    }
}

#[test]
fn the_token_can_be_put_into_another_variable_too() {
    let env = TestEnv::new();
    let named =
        ["--for", "acme", "--env", "GITHUB_PERSONAL_ACCESS_TOKEN", "--env", "HOMEBREW_GITHUB_API_TOKEN"];
    let seen = environment(&env, &named);
    let token = value(&seen, "GH_TOKEN").unwrap();
    assert_eq!(value(&seen, "GITHUB_PERSONAL_ACCESS_TOKEN"), Some(token));
    assert_eq!(value(&seen, "HOMEBREW_GITHUB_API_TOKEN"), Some(token));
    for wrong in ["A=B", "1A", "A-B", ""] {
        let refused = env.helper(["exec", "--for", "acme", "--env", wrong, "--", "echo", "ran"], "");
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
        assert!(refused.stderr.contains("not the name of a variable"), "{refused:?}");
    }
}

#[test]
fn commits_below_exec_are_the_bots_where_that_is_wanted() {
    let env = TestEnv::new();
    env.git(["clone", "-q", "https://github.com/acme/widgets"]).ok();
    let commit =
        "cd widgets && git commit -q --allow-empty -m x && git log -1 --format='%an <%ae>|%cn <%ce>'";
    let told = env.helper(["exec", "--for", "acme", "--identity", "--", "sh", "-c", commit], "").ok();
    let (author, committer) = told.trim().split_once('|').unwrap();
    assert_eq!(author, committer);
    let (name, address) = author.split_once(" <").unwrap();
    assert_eq!(name, "acme-ci[bot]");
    let number = address.strip_suffix("+acme-ci[bot]@users.noreply.github.com>").unwrap();
    assert!(number.parse::<u64>().is_ok(), "{author}");
    // Without it they are the person's.
    let told = env.helper(["exec", "--for", "acme", "--", "sh", "-c", commit], "").ok();
    assert_eq!(told, "T <t@example.com>|T <t@example.com>\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_gets_the_files_that_were_open_and_none_of_this_programs() {
    let env = TestEnv::new();
    let trace = env.write("trace", "");
    let env = env.with("GHAPP_TRACE", trace.display().to_string());
    let open = env.write("open", "");
    let list = "for file in /proc/$$/fd/*; do echo $(basename $file) $(readlink $file | tr -d 0-9); done";
    let files = |start: &str| {
        let script = format!("exec 7<'{}'; exec {start} sh -c '{list}'", open.display());
        let mut shell = env.command("sh");
        run(shell.args(["-c", &script]), b"").ok()
    };
    let below = files(&format!("{} exec --for acme --", env!("CARGO_BIN_EXE_git-credential-ghapp")));
    assert_eq!(below, files(""));
    assert!(below.contains("\n7 /"), "{below}");
    assert!(!std::fs::read_to_string(trace).unwrap().is_empty());
}

#[test]
fn a_flag_that_exec_does_not_have_is_not_taken_for_the_command() {
    let env = TestEnv::new();
    let refused = env.helper(["exec", "--fro", "acme", "--", "echo", "ran"], "");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    assert!(refused.stderr.contains("--fro"), "{refused:?}");
    assert_eq!(env.helper(["exec", "--for", "acme", "echo", "--fro", "-x"], "").ok(), "--fro -x\n");
    assert_eq!(env.helper(["exec", "--for", "acme", "--", "echo", "--", "--for"], "").ok(), "-- --for\n");
}

#[test]
fn nix_gets_the_token_beside_its_other_settings() {
    let env = TestEnv::new().with("NIX_CONFIG", "access-tokens = other.example=theirs");
    let seen = environment(&env, &["--for", "acme", "--nix"]);
    let token = value(&seen, "GH_TOKEN").unwrap();
    let expected =
        format!("access-tokens = other.example=theirs\nextra-access-tokens = github.com={token}\n");
    assert_eq!(value(&seen, "NIX_CONFIG"), Some(expected.as_str()));
    let without = environment(&env, &["--for", "acme"]);
    assert_eq!(value(&without, "NIX_CONFIG"), Some("access-tokens = other.example=theirs"));
    if !has("nix") {
        return note("nix is not installed");
    }
    // The real one sends it to the API, which it asks for the last commit.
    let (proxy, ca) = (env.github.proxy().to_owned(), env.github.ca_file().display().to_string());
    let env = env.with("HTTPS_PROXY", proxy).with("NIX_SSL_CERT_FILE", ca);
    let store = env.home().join("nix").display().to_string();
    let nix = ["nix", "--extra-experimental-features", "nix-command flakes", "--store", &store];
    let exec = ["exec", "--for", "acme", "--nix", "--"];
    let ask = ["flake", "metadata", "github:acme/widgets"];
    let ran = env.helper(exec.iter().chain(&nix).chain(&ask).copied(), "");
    let world = env.github.world();
    let commit = world.requests.iter().find(|it| it.path.starts_with("/repos/acme/widgets/commits/"));
    assert_eq!(commit.map(|it| it.by.as_str()), Some("token of installation 4201"), "{ran:?}");
}

#[test]
fn git_below_gets_a_token_of_any_letters_as_it_is() {
    let env = TestEnv::bare().with("GHAPP_DEADLINE", "1").with("GHAPP_SHARED_CACHE_PASSWORD", "secret");
    let token = r"a\nquit=1\c$HOME`id`";
    let file = env.write("token", token);
    env.configure(&format!("[[app]]\ntoken-command = ['cat', '{}']\n", file.display()));
    let fill = ["exec", "--for", "acme/widgets", "--", "git", "credential", "fill"];
    let filled = env.helper(fill, "protocol=https\nhost=github.com\npath=acme/widgets\n\n");
    assert_eq!(filled.attribute("password"), Some(token), "{filled:?}");
}
