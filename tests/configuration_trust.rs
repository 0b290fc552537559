//! What a repository configures decides neither which way the App's JWT takes nor what is run; what the user, the machine
//! and the command line configure does, as it does for git.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{ACME_APP, REQUEST, Ran, TestEnv, run};

/// A proxy of somebody else's. It counts who comes.
struct ForeignProxy {
    address: String,
    visits: Arc<AtomicUsize>,
}

impl ForeignProxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visits);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
            }
        });
        Self { address, visits }
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

/// Runs the helper in a folder below the home folder.
fn helper_in(env: &TestEnv, folder: &str, arguments: &[&str], input: &str) -> Ran {
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.args(arguments).current_dir(env.home().join(folder));
    run(&mut command, input.as_bytes())
}

/// A cloned repository whose files happen to be a bare repository, with this configuration.
fn buried_repository(env: &TestEnv, config: &str) -> &'static str {
    env.git(["clone", "--quiet", "https://github.com/acme/widgets", "one"]).ok();
    env.write("home/one/docs/HEAD", "ref: refs/heads/main\n");
    env.write("home/one/docs/objects/.keep", "");
    env.write("home/one/docs/refs/.keep", "");
    env.write(
        "home/one/docs/config",
        format!("[core]\n\trepositoryformatversion = 0\n\tbare = true\n{config}"),
    );
    "one/docs"
}

fn forget_tokens(env: &TestEnv) {
    let _ = std::fs::remove_dir_all(env.cache());
}

const UNHEEDED: &str = "of this repository is not used here: anybody may have written it";

#[test]
fn a_buried_bare_repository_does_not_decide_which_way_the_jwt_takes() {
    let env = TestEnv::new();
    let foreign = ForeignProxy::start();
    let folder = buried_repository(
        &env,
        &format!(
            "[remote \"origin\"]\n\turl = https://github.com/acme/widgets\n\
             [http]\n\tproxy = {0}\n\tsslVerify = false\n[http \"https://api.github.com/\"]\n\tproxy = {0}\n",
            foreign.address
        ),
    );
    let key = env.home().join("../keys/acme.pem").display().to_string();
    for (arguments, input) in [
        (&["get"][..], REQUEST),
        (&["token", "acme/widgets", "--fresh"], ""),
        (&["exec", "--", "true"], ""),
        (&["installations"], ""),
        (&["repositories"], ""),
        (&["doctor", "acme/widgets"], ""),
        (&["logout"], ""),
        (&["setup", "--dry-run", "--app-id", ACME_APP, "--private-key", &key], ""),
    ] {
        if arguments != ["logout"] {
            forget_tokens(&env);
        }
        let ran = helper_in(&env, folder, arguments, input);
        assert_eq!(foreign.visits(), 0, "{arguments:?}: {ran:?}");
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr.matches(UNHEEDED).count(), 1, "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.contains("is not checked"), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn worktrees_includes_and_variables_that_lead_to_a_repository_do_not_decide_it_either() {
    let env = TestEnv::new();
    let foreign = ForeignProxy::start();
    let folder = buried_repository(&env, "[include]\n\tpath = more\n");
    env.write(&format!("home/{folder}/more"), format!("[http]\n\tproxy = {}\n", foreign.address));
    env.git_in("one", ["config", "extensions.worktreeConfig", "true"]).ok();
    env.git_in("one", ["config", "--worktree", "http.proxy", &foreign.address]).ok();
    for (folder, git_dir) in [(folder, None), ("one", None), (".", Some("one/docs"))] {
        forget_tokens(&env);
        let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.arg("get").current_dir(env.home().join(folder));
        command.envs(git_dir.map(|path| ("GIT_DIR", env.home().join(path))));
        let answer = run(&mut command, REQUEST.as_bytes());
        assert!(answer.attribute("password").is_some(), "{folder}: {answer:?}");
        assert_eq!(answer.stderr.matches(UNHEEDED).count(), 1, "{folder}: {answer:?}");
        assert_eq!(foreign.visits(), 0);
    }
    // Where git does not take such folders for repositories, there is nothing to warn about.
    env.git_config("safe.bareRepository", "explicit");
    forget_tokens(&env);
    let answer = helper_in(&env, folder, &["get"], REQUEST);
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert_eq!(answer.stderr, "");
}

#[test]
fn a_repositorys_settings_that_are_the_users_too_or_for_another_address_are_no_reason_to_warn() {
    let env = TestEnv::new();
    let config = format!(
        "[http]\n\tproxy = {}\n[http \"https://elsewhere.example/\"]\n\tproxy = http://127.0.0.1:1\n\
         [http]\n\tpostBuffer = 1\n",
        env.github.proxy()
    );
    let folder = buried_repository(&env, &config);
    forget_tokens(&env);
    let answer = helper_in(&env, folder, &["get"], REQUEST);
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert_eq!(answer.stderr, "");
}

/// An environment whose `.gitconfig` does not know the way, and the lines that tell it.
fn without_the_way() -> (TestEnv, String) {
    let env = TestEnv::new();
    for key in ["http.proxy", "http.sslCAInfo"] {
        env.git(["config", "--global", "--unset", key]).ok();
    }
    let way = format!(
        "[http]\n\tproxy = {}\n\tsslCAInfo = {}\n",
        env.github.proxy(),
        env.github.ca_file().display()
    );
    (env, way)
}

#[test]
fn every_file_and_variable_of_the_users_and_the_machines_is_heeded() {
    let works = |env: &TestEnv, what: &str| {
        env.write("home/work/one/file", "");
        env.git_in("work/one", ["init", "--quiet"]).ok();
        forget_tokens(env);
        let answer = helper_in(env, "work/one", &["get"], REQUEST);
        assert!(answer.attribute("password").is_some(), "{what}: {answer:?}");
        assert_eq!(answer.stderr, "", "{what}");
    };
    let (env, way) = without_the_way();
    let file = env.write("way", &way);
    env.git_config("includeIf.gitdir:~/work/.path", file.to_str().unwrap());
    works(&env, "includeIf");

    let (env, way) = without_the_way();
    let file = env.write("way", &way);
    env.git_config("include.path", file.to_str().unwrap());
    works(&env, "include");

    let (env, way) = without_the_way();
    env.write("home/.config/git/config", &way);
    works(&env, "XDG");

    let (env, way) = without_the_way();
    let file = env.write("way", &way);
    works(&env.with("GIT_CONFIG_GLOBAL", file.to_str().unwrap()), "GIT_CONFIG_GLOBAL");

    let (env, way) = without_the_way();
    let file = env.write("way", &way);
    let env = env.without("GIT_CONFIG_NOSYSTEM").with("GIT_CONFIG_SYSTEM", file.to_str().unwrap());
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.arg("get").env_remove("GIT_CONFIG_NOSYSTEM");
    assert!(run(&mut command, REQUEST.as_bytes()).attribute("password").is_some(), "GIT_CONFIG_SYSTEM");

    let (env, _) = without_the_way();
    let (proxy, ca) = (env.github.proxy().to_owned(), env.github.ca_file().display().to_string());
    let env = env
        .with("GIT_CONFIG_COUNT", "2")
        .with("GIT_CONFIG_KEY_0", "http.proxy")
        .with("GIT_CONFIG_VALUE_0", &proxy)
        .with("GIT_CONFIG_KEY_1", "http.https://github.com.sslCAInfo")
        .with("GIT_CONFIG_VALUE_1", &ca);
    works(&env, "GIT_CONFIG_COUNT");

    let (env, _) = without_the_way();
    let (proxy, ca) = (
        format!("http.proxy={}", env.github.proxy()),
        format!("http.sslCAInfo={}", env.github.ca_file().display()),
    );
    let cloned = env.git(["-c", &proxy, "-c", &ca, "clone", "--quiet", common::WIDGETS, "two"]);
    assert_eq!((cloned.code, cloned.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_way_to_git_s_host_is_the_way_to_its_api() {
    let (env, _) = without_the_way();
    env.git_config("http.https://github.com.proxy", env.github.proxy());
    env.git_config("http.https://github.com/.sslCAInfo", env.github.ca_file().to_str().unwrap());
    // What is for all addresses is weaker than what is for this one.
    env.git_config("http.proxy", "http://127.0.0.1:1");
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert_eq!(answer.stderr, "");
}

#[test]
fn that_one_host_is_not_checked_does_not_make_another_one_unchecked() {
    let (env, _) = without_the_way();
    env.git_config("http.proxy", env.github.proxy());
    env.git_config("http.https://github.com.sslVerify", "false");
    let failed = env.get("github.com", "acme/widgets");
    assert!(
        failed.stderr.contains("the certificate of api.github.com is not signed by a known authority"),
        "{failed:?}"
    );
}

#[test]
fn a_configuration_that_git_cannot_read_ends_in_one_line_and_no_request() {
    let env = TestEnv::new();
    let folder = buried_repository(&env, "[http\n");
    forget_tokens(&env);
    let asked = env.github.log().len();
    let failed = helper_in(&env, folder, &["get"], REQUEST);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
    assert!(
        failed.stderr.starts_with(
            "git-credential-ghapp: error: git cannot read its configuration: bad config line 4 in file"
        ),
        "{failed:?}"
    );
    assert_eq!(failed.stderr.lines().count(), 2, "{failed:?}");
    assert_eq!(env.github.log().len(), asked);
}

#[cfg(unix)]
#[test]
fn a_configuration_that_git_never_finishes_reading_ends_in_one_line() {
    let env = TestEnv::new();
    let folder = buried_repository(&env, "[include]\n\tpath = pipe\n");
    run(env.command("mkfifo").arg(env.home().join(folder).join("pipe")), b"").ok();
    forget_tokens(&env);
    let failed = helper_in(&env, folder, &["get"], REQUEST);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
    assert!(
        failed.stderr.starts_with("git-credential-ghapp: error: git config did not end within 5 s\n"),
        "{failed:?}"
    );
}

#[cfg(unix)]
#[test]
fn nothing_that_a_repository_names_is_run() {
    let env = TestEnv::new();
    let ran = env.folder.path().join("ran");
    let script =
        env.install(env.write("script", format!("#!/bin/sh\ntouch '{}'\n", ran.display())), "bin/evil");
    let evil = script.display();
    let config = format!(
        "[remote \"origin\"]\n\turl = https://github.com/acme/widgets\n\
         [core]\n\tfsmonitor = {evil}\n\tpager = {evil}\n\taskPass = {evil}\n\tsshCommand = {evil}\n\
         \tgitProxy = {evil}\n\thooksPath = {0}\n\teditor = {evil}\n\
         [pager]\n\tconfig = {evil}\n\tls-remote = {evil}\n\tghapp-where = {evil}\n\
         [alias]\n\tghapp-where = !{evil}\n\tconfig = !{evil}\n\tls-remote = !{evil}\n\
         [credential]\n\thelper =\n\thelper = !{evil}\n\
         [url \"ext::{evil} \"]\n\tinsteadOf = https://\n[protocol]\n\tallow = always\n",
        script.parent().unwrap().display()
    );
    let folder = buried_repository(&env, &config);
    let key = env.home().join("../keys/acme.pem").display().to_string();
    for arguments in [
        &["get"][..],
        &["token", "acme/widgets", "--fresh"],
        &["doctor", "acme/widgets"],
        &["setup", "--yes", "--app-id", ACME_APP, "--private-key", &key],
        &["setup", "--undo"],
    ] {
        forget_tokens(&env);
        let done = helper_in(&env, folder, arguments, REQUEST);
        assert!(!Path::new(&ran).exists(), "{arguments:?}: {done:?}");
    }
}
