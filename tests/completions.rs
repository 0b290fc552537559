//! Completions as the shells themselves make them: bash, zsh and fish run the scripts that are printed for them.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, GLOBEX_APP, TestEnv, has, run, skip};
use github_simulator::{ACME_KEY, GLOBEX_KEY};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Two Apps, of which one is for an owner and a repository, on two hosts.
fn configured() -> TestEnv {
    let env = TestEnv::bare();
    let acme = env.write_private("keys/acme.pem", ACME_KEY);
    let globex = env.write_private("keys/globex.pem", GLOBEX_KEY);
    env.configure(&format!(
        "[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\nowners = ['acme']\nrepositories = ['umbrella/secrets']\n\
         [[app]]\nid = '{GLOBEX_APP}'\nprivate-key = '{}'\nhost = 'ghe.example'\n",
        acme.display(),
        globex.display()
    ));
    env
}

/// What a shell offers for the last of these words. `None` where the shell is not installed.
fn offered(env: &TestEnv, shell: &str, words: &[&str]) -> Option<Vec<String>> {
    if !has(shell) {
        skip(&format!("{shell} is not installed"));
        return None;
    }
    let script = env.write(&format!("completions.{shell}"), env.helper(["completions", shell], "").ok());
    let script = script.display();
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (line, last) = (words.join(" "), words.last().unwrap());
    // As each shell calls it when a person presses the tabulator key.
    let asked = match shell {
        "bash" => format!(
            "source '{script}'; COMP_WORDS=(git-credential-ghapp {}); COMP_CWORD={}; COMP_TYPE=9; \
             function=$(complete -p git-credential-ghapp | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $function git-credential-ghapp '{last}' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words.len()
        ),
        "zsh" => format!(
            "compdef() {{ completer=$1; }}; _describe() {{ print -rl -- ${{(P)3}}; }}; source '{script}'; \
             words=(git-credential-ghapp {}); CURRENT={}; $completer",
            quoted.join(" "),
            words.len() + 1
        ),
        _ => format!("source '{script}'; complete -C 'git-credential-ghapp {line}'"),
    };
    let mut command = env.command(shell);
    if shell == "zsh" {
        command.arg("-f");
    }
    let told = run(command.args(["-c", &asked]), b"");
    assert_eq!(told.stderr, "", "{shell}: {words:?}");
    let word = |line: &str| line.split(['\t', ':']).next().unwrap_or_default().to_owned();
    Some(told.stdout.lines().map(word).filter(|word| !word.is_empty()).collect())
}

#[track_caller]
fn offers(words: &[&str], expected: &[&str]) {
    let env = configured();
    for shell in SHELLS {
        let Some(offered) = offered(&env, shell, words) else { continue };
        assert_eq!(offered, expected, "{shell}: {words:?}");
    }
}

#[test]
fn commands_and_their_flags_are_offered_after_other_flags_too() {
    offers(&["logo"], &["logout"]);
    offers(&["--cache", "none", "logo"], &["logout"]);
    offers(&["logout", "--keep"], &["--keep-remote"]);
    offers(&["token", "--fre"], &["--fresh"]);
    offers(&["setup", "--app-id", "7", "--move"], &["--move-key"]);
    offers(&["token", "--json", "--installation"], &["--installation-id"]);
}

#[test]
fn settings_are_completed_to_their_values() {
    offers(&["token", "--cache", ""], &["auto", "keyring", "secret-service", "file", "none"]);
    offers(&["get", "--on-failure", "c"], &["continue"]);
    offers(&["token", "--scope", "rep"], &["repository"]);
    offers(&["setup", "--move-key", "k"], &["keyring"]);
    offers(&["completions", "f"], &["fish"]);
    offers(&["token", "--permissions", "contents"], &["contents=read", "contents=write"]);
    // What is offered is what is accepted.
    let env = TestEnv::new();
    for (flag, values) in [("--scope", "token"), ("--cache", "token"), ("--on-failure", "token")] {
        let Some(all) = offered(&env, "bash", &[values, flag, ""]) else { return };
        for value in all {
            env.helper(["token", "acme/widgets", flag, &value], "").ok();
        }
    }
}

#[test]
fn owners_repositories_hosts_and_apps_are_those_of_the_configuration() {
    offers(&["token", "a"], &["acme"]);
    offers(&["token", "u"], &["umbrella/secrets"]);
    offers(&["exec", "--for", ""], &["acme", "umbrella/secrets"]);
    offers(&["doctor", "ac"], &["acme"]);
    offers(&["logout", "--owner", ""], &["acme"]);
    offers(&["logout", "--host", "g"], &["ghe.example", "github.com"]);
    offers(&["status", "--app-id", "Iv23liA"], &[ACME_APP]);
    offers(&["token", "--repository", "umb"], &["umbrella/secrets"]);
}

#[test]
fn files_are_offered_where_a_file_belongs_and_nowhere_else() {
    let env = configured();
    env.write("home/acme.pem", "");
    env.write("home/acme.toml", "");
    for shell in SHELLS {
        let words = |words: &[&str]| offered(&env, shell, words);
        let Some(keys) = words(&["setup", "--private-key", "acme"]) else { continue };
        assert_eq!(keys, ["acme.pem", "acme.toml"], "{shell}");
        assert_eq!(words(&["status", "--config", "acme.t"]).unwrap(), ["acme.toml"], "{shell}");
        assert_eq!(words(&["token", "--deadline", "acme"]).unwrap(), [""; 0], "{shell}");
    }
}

#[test]
fn a_value_after_an_equals_sign_is_completed_as_bash_splits_it() {
    let env = configured();
    let Some(offered) = offered(&env, "bash", &["token", "--cache", "=", "k"]) else { return };
    assert_eq!(offered, ["keyring"]);
}

#[test]
fn a_configuration_that_cannot_be_read_disturbs_no_completion() {
    let env = TestEnv::bare();
    env.configure("this is not TOML");
    for shell in SHELLS {
        let Some(offered) = offered(&env, shell, &["token", "--sco"]) else { continue };
        assert_eq!(offered, ["--scope"], "{shell}");
    }
}

#[test]
fn zsh_completes_from_the_first_time_on_with_a_script_in_its_fpath() {
    if !has("zsh") {
        return skip("zsh is not installed");
    }
    let env = configured();
    env.write("functions/_git-credential-ghapp", env.helper(["completions", "zsh"], "").ok());
    let folder = env.folder.path().join("functions");
    let asked = format!(
        "compdef() {{ :; }}; _describe() {{ print -rl -- ${{(P)3}}; }}; fpath=('{}' $fpath); autoload -Uz _git-credential-ghapp; \
         words=(git-credential-ghapp logo); CURRENT=2; _git-credential-ghapp",
        folder.display()
    );
    let told = run(env.command("zsh").args(["-f", "-c", &asked]), b"");
    assert!(told.stdout.starts_with("logout:") && told.stderr.is_empty(), "{told:?}");
}
