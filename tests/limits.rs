//! Where a process may do less than it needs: `get` answers, or tells git to ask nobody else, and a person why.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::fresh::Fresh;
use common::{LOOKUP, REQUEST, Ran, TestEnv, has, run, skip};
use github_simulator::Effect;

const HELPER: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");

/// What a `get` must not end without: an answer, or an end of git's questions and one line why.
#[track_caller]
fn answers_or_quits(ran: &Ran, what: &str) {
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("git-credential-ghapp: ")), "{what}: {ran:#?}");
    let errors = lines.iter().filter(|line| line.contains(": error: ")).count();
    if ran.attribute("password").is_some() {
        assert_eq!((ran.code, errors), (Some(0), 0), "{what}: {ran:#?}");
    } else {
        assert_eq!((ran.code, ran.stdout.as_str(), errors), (Some(1), "quit=1\n", 1), "{what}: {ran:#?}");
    }
}

/// The helper below a shell that sets a limit first.
fn limited(env: &TestEnv, limit: &str, arguments: &[&str]) -> Command {
    let mut command = env.command("sh");
    command.args(["-c", &format!("{limit} && exec \"$0\" \"$@\""), HELPER]).args(arguments);
    command
}

/// The helper where pauses are not possible. Rust's library panics then, and so does no more of this program than it must.
fn panicking(env: &TestEnv, arguments: &[&str]) -> Option<Command> {
    if !has("strace") {
        skip("strace is not installed");
        return None;
    }
    // After this the helper pauses, and tries again.
    env.fault(LOOKUP, 1, Effect::Answer(502, Vec::new(), b"not well".to_vec()));
    let mut command = env.command("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=nanosleep,clock_nanosleep"]);
    command.args(["-e", "inject=nanosleep,clock_nanosleep:error=EPERM", HELPER]).args(arguments);
    Some(command)
}

#[test]
fn a_fault_of_this_program_is_one_line_and_no_password_prompt() {
    let env = TestEnv::new();
    let Some(mut get) = panicking(&env, &["get"]) else { return };
    let ran = run(&mut get, REQUEST.as_bytes());
    answers_or_quits(&ran, "a panic");
    assert_eq!(ran.attribute("password"), None);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:#?}");
    // The place, and nothing of what it was about.
    assert!(
        lines[0].starts_with("git-credential-ghapp: error: this is a fault of the program, at "),
        "{ran:#?}"
    );
    assert!(!ran.stderr.contains("left") && !ran.stderr.contains("panicked"), "{ran:#?}");
    assert!(lines[1].starts_with("git-credential-ghapp: hint: report "), "{ran:#?}");

    // git itself, which would ask a person otherwise.
    let Some(mut git) = panicking(&env, &[]) else { return };
    let arguments: Vec<_> = git.get_args().map(ToOwned::to_owned).collect();
    git = env.command("strace");
    git.args(&arguments[..arguments.len() - 1]).args(["git", "ls-remote", common::WIDGETS]);
    let ran = run(&mut git, b"");
    assert!(ran.stderr.contains("told us to quit"), "{ran:#?}");
    assert!(!ran.stderr.contains("could not read Username"), "{ran:#?}");

    // A person's command has nothing to do with git.
    let Some(mut token) = panicking(&env, &["token", "acme/widgets"]) else { return };
    let ran = run(&mut token, b"");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.lines().count()), (Some(1), "", 2), "{ran:#?}");
}

#[test]
fn where_no_file_may_grow_the_cache_is_all_that_is_lost() {
    let env = TestEnv::new();
    for round in 0..2 {
        let answer = run(&mut limited(&env, "ulimit -f 0", &["get"]), REQUEST.as_bytes());
        assert!(answer.attribute("password").is_some(), "{round}: {answer:#?}");
        answers_or_quits(&answer, "ulimit -f 0");
        assert!(answer.stderr.contains("file too large"), "{answer:#?}");
    }
    // Nothing unfinished is left, and with room the cache works again.
    let answer = env.get("github.com", "acme/widgets");
    assert_eq!(answer.stderr, "");
    assert_eq!(std::fs::read_dir(env.cache().join("unfinished")).unwrap().count(), 0);
}

#[test]
fn where_no_file_may_grow_a_trace_is_not_written_and_setup_changes_nothing() {
    let env = TestEnv::new();
    let trace = env.folder.path().join("trace");
    let env = env.with("GHAPP_TRACE", trace.display().to_string());
    let answer = run(&mut limited(&env, "ulimit -f 0", &["get"]), REQUEST.as_bytes());
    assert!(answer.attribute("password").is_some(), "{answer:#?}");

    let fresh = Fresh::new();
    let key = fresh.key.display().to_string();
    let arguments = [
        "setup",
        "--app-id",
        common::ACME_APP,
        "--private-key",
        &key,
        "--all-owners",
        "--move-key",
        "folder",
    ];
    let ran = run(&mut limited(&fresh.env, "ulimit -f 0", &arguments), b"");
    common::fresh::refused(&ran, "file too large", "look at");
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None), "{ran:#?}");
    assert!(fresh.key.exists());
    fresh.setup(&["--all-owners"]).ok();
}

#[test]
fn what_exec_runs_and_git_meet_that_limit_as_they_would_without() {
    let env = TestEnv::new();
    let ran = env.helper(["exec", "--for", "acme/widgets", "--", "cat", "/proc/self/status"], "").ok();
    let ignored = ran.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned();
    let ignored = u64::from_str_radix(&ignored, 16).unwrap();
    // SIGXFSZ is number 25.
    assert_eq!(ignored & (1 << 24), 0, "{ran}");
}

#[test]
fn with_few_open_files() {
    // With fewer the program's libraries cannot be loaded.
    for files in [4, 5, 6, 7, 8, 10, 12] {
        let env = TestEnv::new().with("GHAPP_DEADLINE", "2");
        let limit = format!("ulimit -n {files}");
        for temperature in ["cold", "warm"] {
            let ran = run(&mut limited(&env, &limit, &["get"]), REQUEST.as_bytes());
            answers_or_quits(&ran, &format!("{limit}, {temperature}"));
            if temperature == "cold" {
                env.get("github.com", "acme/widgets").ok();
            }
        }
    }
}

/// Users whom this machine does not know, for nobody else's processes count as theirs.
const USER: u32 = 54_329;

/// A home that this user owns, and a program that he may run.
fn of_user() -> Result<(TestEnv, PathBuf), &'static str> {
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    if !has("setpriv") || !is_root {
        return Err("only root can become another user, with setpriv");
    }
    let env =
        TestEnv::for_several_users().ok_or("no folder that others may enter")?.with("GHAPP_DEADLINE", "2");
    let helper = env.install(HELPER, "bin/helper");
    let owned = format!("{USER}:{USER}");
    for folder in [env.home(), env.folder.path().join("keys")] {
        run(env.command("chown").args(["-R", &owned]).arg(folder), b"").ok();
    }
    Ok((env, helper))
}

fn as_user(env: &TestEnv, limit: &str, helper: &Path, arguments: &[&str]) -> Command {
    let mut command = env.command("setpriv");
    command.args(["--clear-groups", &format!("--reuid={USER}"), &format!("--regid={USER}")]);
    command.args(["prlimit", limit]).arg(helper).args(arguments);
    command.current_dir("/");
    command
}

#[test]
fn with_few_processes() {
    let (env, helper) = match of_user() {
        Ok(made) => made,
        Err(why) => return skip(why),
    };
    let mut answered = 0;
    for limit in 1..=7 {
        let limit = format!("--nproc={limit}");
        for (warmth, cache) in [("cold", "file"), ("warm", "file"), ("warm", "keyring"), ("cold", "keyring")]
        {
            if warmth == "cold" {
                let _ = std::fs::remove_dir_all(env.cache());
            }
            let mut command = as_user(&env, &limit, &helper, &["get"]);
            command.env("GHAPP_CACHE", cache).env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
            let ran = run(&mut command, REQUEST.as_bytes());
            answers_or_quits(&ran, &format!("{limit}, {warmth}, {cache}"));
            answered += usize::from(ran.attribute("password").is_some());
            if warmth == "cold" {
                let mut command = as_user(&env, "--nproc=1000", &helper, &["get"]);
                let ran = run(command.env("GHAPP_CACHE", cache), REQUEST.as_bytes());
                assert!(ran.attribute("password").is_some(), "{ran:#?}");
            }
        }
    }
    assert!(answered > 7, "{answered}");
}

#[test]
fn where_git_cannot_be_started_its_settings_are_not_taken_for_unset() {
    let (env, helper) = match of_user() {
        Ok(made) => made,
        Err(why) => return skip(why),
    };
    let ran = run(&mut as_user(&env, "--nproc=1", &helper, &["get"]), REQUEST.as_bytes());
    assert!(ran.stderr.contains("error: cannot start git: "), "{ran:#?}");
    assert!(ran.stderr.contains("hint: look at the limits of processes"), "{ran:#?}");
}

#[test]
fn a_git_that_does_not_say_its_settings_is_not_taken_for_one_without_any() {
    let env = TestEnv::new();
    let path = env.folder.path().join("bin");
    let env = env.with("PATH", path.to_str().unwrap());
    for (git, error) in [
        ("#!/bin/sh\necho 'no git today' >&2\nexit 1\n", "git cannot read its configuration: no git today\n"),
        ("#!/bin/sh\n", "git cannot read its configuration: it does not say why\n"),
        (
            "#!/bin/sh\nprintf 'global\\0http.pro'\n",
            "git cannot read its configuration: it does not say why\n",
        ),
        ("#!/not/there\n", "cannot start git: no such file or directory\n"),
    ] {
        let script = env.write("script", git);
        env.install(script, "bin/git");
        let ran = env.get("github.com", "acme/widgets");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "quit=1\n"), "{git}: {ran:#?}");
        assert!(ran.stderr.contains(&format!("error: {error}")), "{git}: {ran:#?}");
        assert_eq!(env.github.log(), Vec::<String>::new(), "{git}");
    }
}

#[test]
fn with_few_processes_a_command_is_run_beside_or_not_at_all() {
    let (env, helper) = match of_user() {
        Ok(made) => made,
        Err(why) => return skip(why),
    };
    let file = |name: &str| env.home().join(name).to_str().unwrap().to_owned();
    let (output, socket, touched) = (file("token"), file("socket"), file("touched"));
    let keep = ["token", "acme/widgets", "--output", &output, "--keep-fresh", "--", "touch", &touched];
    let serve = ["serve", "--allow", "acme/widgets", "--socket", &socket, "--", "touch", &touched];
    let mut done = 0;
    for limit in 1..=7 {
        for arguments in [&keep[..], &serve[..]] {
            let mut command = as_user(&env, &format!("--nproc={limit}"), &helper, arguments);
            let ran = run(command.env("GHAPP_CACHE", "file"), b"");
            assert_eq!(ran.code == Some(0), Path::new(&touched).exists(), "{limit}: {ran:#?}");
            done += usize::from(ran.code == Some(0));
            if ran.code != Some(0) {
                assert!(ran.code.is_some_and(|code| code < 128), "{limit}: {ran:#?}");
                assert_eq!(ran.stderr.matches("error: ").count(), 1, "{limit}: {ran:#?}");
                assert!(ran.stderr.contains("hint: look at the limits of processes"), "{limit}: {ran:#?}");
            }
            for left in [&output, &socket] {
                assert!(!Path::new(left).exists(), "{limit}: {ran:#?}");
            }
            let _ = std::fs::remove_file(&touched);
        }
    }
    assert!(done > 1, "{done}");
}

#[test]
fn with_little_memory() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "2");
    // In MiB. What does not even begin tells nothing.
    for memory in [12, 14, 16, 18, 20, 24, 32, 48, 64, 128] {
        let limit = format!("ulimit -v {}", memory * 1024);
        let begins = run(&mut limited(&env, &limit, &["capability"]), b"");
        if begins.code != Some(0) {
            continue;
        }
        let _ = std::fs::remove_dir_all(env.cache());
        let ran = run(&mut limited(&env, &limit, &["get"]), REQUEST.as_bytes());
        answers_or_quits(&ran, &limit);
        assert_eq!(ran.attribute("password").is_some(), memory >= 48, "{limit}: {ran:#?}");
        if ran.code == Some(1) {
            assert!(ran.stderr.contains(&format!("may have {memory} MiB of memory")), "{ran:#?}");
        }
    }
}

#[test]
fn with_little_memory_what_is_cached_is_answered() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets").ok();
    let ran = run(&mut limited(&env, "ulimit -v 20480", &["get"]), REQUEST.as_bytes());
    assert!(ran.attribute("password").is_some(), "{ran:#?}");
}

#[cfg(unix)]
#[test]
fn the_folder_that_it_runs_in_may_be_gone() {
    let env = TestEnv::new();
    let helper = env!("CARGO_BIN_EXE_git-credential-ghapp");
    for call in ["token acme/widgets", "exec --for acme/widgets -- printenv GH_TOKEN"] {
        std::fs::remove_dir_all(env.cache()).ok();
        let script = format!("mkdir gone && cd gone && rmdir ../gone && exec '{helper}' {call}");
        let told = run(env.command("sh").args(["-c", &script]), b"").ok();
        assert!(told.starts_with("ghs_"), "{told}");
    }
}
