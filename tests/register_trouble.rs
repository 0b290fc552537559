//! `register` where something goes wrong: whatever it is, there is a next step, and nothing half-made is in use.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::fresh::{Fresh, refused};
use common::registering::{
    CONVERSION, Registering, finish, fresh, install, is_set_up, nothing_is_set_up, record,
};
use common::{TestEnv, WIDGETS, has, skip};
use github_simulator::{Effect, REGISTERED_KEY};

#[test]
fn a_code_that_was_used_or_is_too_old_is_told_with_what_to_do() {
    for late in [false, true] {
        let Some(fresh) = fresh() else { return };
        let register = Registering::start(&fresh.env, &["--organization", "acme"]);
        let location = register.agreed(&fresh.env, "tools");
        if late {
            fresh.env.github.world().clock_offset += 3601;
        } else {
            fresh.env.github.world().registrations[0].converted = true;
        }
        let answer = register.bring(&location);
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("older than an hour"), "{answer}");
        let ran = register.ended();
        refused(
            &ran,
            "GitHub does not know the code for the App's key",
            "https://github.com/organizations/acme/settings/apps",
        );
        nothing_is_set_up(&fresh);
        assert_eq!(record(&fresh), None);
    }
}

/// Goes on with an App of acme's, and is killed while it waits until that is installed. Gives what it said.
fn kill_while_it_waits(fresh: &Fresh) -> String {
    let asked = || fresh.env.github.world().count("GET /app/installations");
    let before = asked();
    let mut command = fresh.env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.args(["register", "--organization", "ACME"]).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    while asked() == before {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn whenever_it_is_killed_the_next_run_goes_on_with_the_app_that_was_made() {
    let Some(fresh) = fresh() else { return };
    // Before its key came.
    fresh.env.fault(CONVERSION, 1, Effect::Hang);
    let register = Registering::start(&fresh.env, &["--organization", "acme"]);
    let location = register.agreed(&fresh.env, "tools");
    std::thread::scope(|scope| {
        let asked = || fresh.env.github.world().count(CONVERSION);
        let (port, target) = (register.port(), location.clone());
        scope.spawn(move || {
            use std::io::{Read as _, Write as _};
            let mut browser = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            let target = target.splitn(4, '/').nth(3).unwrap().to_owned();
            write!(browser, "GET /{target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").unwrap();
            let _ = browser.read_to_string(&mut String::new());
        });
        while asked() == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        register.kill();
    });
    let left = fresh.beside("register.json");
    assert_eq!(std::fs::metadata(&left).unwrap().permissions().mode() & 0o777, 0o600);
    // For another account nothing is made in its place.
    let other = fresh.env.helper(["register"], "");
    refused(
        &other,
        "an earlier run for an App for acme on github.com is not finished",
        "register --organization acme; to make another App: add --new",
    );
    // With its key, and before it was installed. GitHub does not know the key at once.
    kill_while_it_waits(&fresh);
    assert_eq!((fresh.config(), fresh.gitconfig()), (None, None));
    let secrets = fresh.env.github.world().registrations[0].clone();
    let text = record(&fresh).unwrap();
    assert!(text.contains("keys/tools.pem") && !text.contains(&secrets.code), "{text}");
    let plan = fresh.env.helper(["uninstall", "--dry-run"], "").ok();
    assert!(plan.contains(&format!("  {} is removed\n", left.display())), "{plan}");
    // With its key, before that was in its place, or while it was put there.
    for in_place in [false, true] {
        let key = fresh.beside("keys/tools.pem");
        if !in_place {
            std::fs::remove_file(&key).unwrap();
        }
        let noted = text.trim_end().strip_suffix('}').unwrap();
        std::fs::write(&left, format!("{noted}, \"pem\": {REGISTERED_KEY:?}}}")).unwrap();
        assert!(!fresh.env.helper(["uninstall", "--dry-run"], "").ok().contains("register.json is removed"));
        let ran = kill_while_it_waits(&fresh);
        assert!(ran.contains("an earlier run made App tools; this one goes on with it"), "{ran}");
        assert_eq!(std::fs::read_to_string(&key).unwrap(), REGISTERED_KEY);
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(record(&fresh).unwrap(), text);
    }
    install(&fresh.env, "tools");
    let third = fresh.env.helper(["register", "--organization", "acme"], "");
    assert!(
        third.stdout.starts_with(
            "an earlier run made App tools; this one goes on with it (--new makes another App)\n"
        ),
        "{third:?}"
    );
    is_set_up(&fresh, third, WIDGETS);
    assert_eq!(fresh.env.github.world().registrations.len(), 1);
}

#[test]
fn an_app_that_is_deleted_meanwhile_is_left_with_new() {
    let Some(fresh) = fresh() else { return };
    fresh.env.fault(CONVERSION, 1, Effect::Answer(403, Vec::new(), br#"{"message": "Blocked"}"#.to_vec()));
    let register = Registering::start(&fresh.env, &[]);
    let location = register.agreed(&fresh.env, "tools");
    register.bring(&location);
    let ran = register.ended();
    assert!(ran.code == Some(1) && ran.stderr.contains("api.github.com returned 403: Blocked"), "{ran:?}");
    {
        let mut world = fresh.env.github.world();
        world.apps.retain(|app| app.slug != "tools");
        world.registrations.clear();
    }
    let again = Registering::start(&fresh.env, &["--new"]);
    let ran = finish(&fresh, again, "tools", "tools");
    is_set_up(&fresh, ran, "https://github.com/octocat/hello.git");
}

#[test]
fn what_can_be_known_to_fail_fails_before_an_app_is_made() {
    let Some(fresh) = fresh() else { return };
    let fails = |arguments: &[&str], message: &str, hint: &str| {
        let ran = fresh.env.helper(std::iter::once("register").chain(arguments.iter().copied()), "");
        refused(&ran, message, hint);
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fails(&["--port", &port], &format!("port {port} of this machine is taken"), "leave out --port");
    fails(&["--host", "https://github.com"], "is not a host", "without https://");
    fails(&["--keyring"], "there is no keyring that answers", "leave out --keyring");
    for names_an_app in
        ["--app-id", "--private-key", "--sign-command", "--token-command", "--installation-id"]
    {
        let message = format!("register makes an App, so {names_an_app} cannot name one");
        fails(&[names_an_app, "7"], &message, "git-credential-ghapp setup");
    }
    fails(
        &["--api-url", "http://ghe.example"],
        "is not an https address of an API",
        "write it like https://",
    );
    for wrong in [
        vec!["--name", "a name that is much too long for an App"],
        vec!["--organization", "acme/../evil"],
        vec!["--permission", "contents=all"],
        vec!["--port", "0"],
    ] {
        let ran = fresh.env.helper(std::iter::once("register").chain(wrong.iter().copied()), "");
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 2), "{ran:?}");
    }
    // The API is asked before a person is.
    fresh.env.github.world().hosts = vec!["ghe.example".to_owned()];
    fails(&["--deadline", "1"], "does not connect to api.github.com", "http.proxy");
    fresh.env.github.world().hosts.clear();
    fresh.env.fault("GET /meta", 1, Effect::Answer(200, Vec::new(), b"<html>hello".to_vec()));
    fails(&[], "with an answer that does not come from GitHub's API", "whether a proxy answers instead");
    std::fs::create_dir_all(fresh.beside("")).unwrap();
    std::fs::write(fresh.beside("register.json"), "not JSON").unwrap();
    fails(&[], "register.json is damaged", "register --new");
    std::fs::remove_file(fresh.beside("register.json")).unwrap();
    fresh.env.configure("[[app]\n");
    fails(&[], "config.toml", "");
    std::fs::remove_file(fresh.env.home().join(TestEnv::CONFIG)).unwrap();
    nothing_is_set_up(&fresh);
    assert_eq!(fresh.env.github.world().registrations.len(), 0);
    let Fresh { env, key } = fresh;
    let fresh = Fresh { env: env.with("HTTPS_PROXY", "http://127.0.0.1:1"), key };
    let ran = fresh.env.helper(["register", "--deadline", "1"], "");
    refused(&ran, "cannot talk to the proxy 127.0.0.1:1: connection refused", "HTTPS_PROXY");
    nothing_is_set_up(&fresh);
}

#[test]
fn a_machine_without_git_is_told_so_before_an_app_is_made() {
    let Some(fresh) = fresh() else { return };
    let Fresh { env, key } = fresh;
    let fresh = Fresh { env: env.with("PATH", "/nowhere"), key };
    refused(&fresh.env.helper(["register"], ""), "cannot start git", "install git");
    assert!(!fresh.beside("").exists());
    assert_eq!(fresh.env.github.log(), Vec::<String>::new());
}

#[test]
fn a_folder_that_cannot_be_written_is_found_out_before_an_app_is_made() {
    let Some(fresh) = fresh() else { return };
    let folder = fresh.beside("");
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::write(&folder, "a file").unwrap();
    let ran = fresh.env.helper(["register"], "");
    refused(&ran, "register.json", "permissions of its folder");
    assert_eq!(fresh.env.github.log(), Vec::<String>::new());
}

#[test]
fn a_browser_that_does_not_open_is_one_line_and_the_page_is_there() {
    let Some(fresh) = fresh() else { return };
    if !has("script") {
        return skip("script is not installed");
    }
    for (opener, why) in [("exit 3", "xdg-open ended with exit code 3"), ("kill -9 $$", "xdg-open was ended")]
    {
        let written = fresh.env.write("opener", format!("#!/bin/sh\n{opener}\n"));
        fresh.env.install(written, "bin/xdg-open");
        let path = fresh.env.folder.path().join("bin");
        let told = fresh.env.folder.path().join("told");
        let _ = std::fs::remove_file(&told);
        let line = format!(
            "PATH={}:\"$PATH\" DISPLAY=:0 exec env --default-signal=INT {} register",
            path.display(),
            env!("CARGO_BIN_EXE_git-credential-ghapp")
        );
        let mut terminal = fresh.env.command("script");
        terminal.args(["--quiet", "--return", "--flush", "--command", &line]).arg(&told);
        terminal.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut terminal = terminal.spawn().unwrap();
        let text = loop {
            let text = std::fs::read_to_string(&told).unwrap_or_default();
            if text.contains("no browser could be started") {
                break text;
            }
            assert!(terminal.try_wait().unwrap().is_none(), "{text}");
            std::thread::sleep(Duration::from_millis(20));
        };
        // Ctrl-C, which is what a terminal makes of it. Whoever runs the tests in the background may have it ignored.
        use std::io::Write as _;
        terminal.stdin.take().unwrap().write_all(b"\x03").unwrap();
        terminal.wait().unwrap();
        assert!(text.contains(&format!("warning: no browser could be started: {why}")), "{text}");
        nothing_is_set_up(&fresh);
        assert_eq!(record(&fresh), None);
    }
}

#[test]
fn an_app_of_somebody_else_is_not_kept() {
    let Some(fresh) = fresh() else { return };
    let register = Registering::start(&fresh.env, &["--organization", "acme"]);
    let location = register.agreed(&fresh.env, "tools");
    let id = fresh.env.github.world().registrations[0].app;
    fresh.env.github.world().app(id).owner = "globex".to_owned();
    register.bring(&location);
    refused(&register.ended(), "App tools belongs to globex, not to acme", "begin anew: ");
    nothing_is_set_up(&fresh);
    assert_eq!(record(&fresh), None);
}

#[test]
fn an_exchange_that_fails_is_made_by_the_next_run() {
    let Some(fresh) = fresh() else { return };
    let register = Registering::start(&fresh.env, &[]);
    let location = register.agreed(&fresh.env, "tools");
    let limited = vec![("retry-after".to_owned(), "1800".to_owned())];
    fresh.env.fault(CONVERSION, 1, Effect::Answer(429, limited, br#"{"message": "Too many"}"#.to_vec()));
    let answer = register.bring(&location);
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    refused(
        &register.ended(),
        "the rate limit of this machine's address on https://api.github.com is used up",
        "go on within an hour: ",
    );
    std::thread::scope(|scope| {
        let again = scope.spawn(|| fresh.env.helper(["register"], ""));
        while !fresh.env.github.world().registrations[0].converted {
            assert!(!again.is_finished(), "{:?}", again.join());
            std::thread::sleep(Duration::from_millis(10));
        }
        install(&fresh.env, "tools");
        let ran = again.join().unwrap();
        assert!(
            ran.stdout.starts_with("an earlier run did not get the App's key; this one goes on with it\n"),
            "{ran:?}"
        );
        is_set_up(&fresh, ran, "https://github.com/octocat/hello.git");
    });
}

/// Lets GitHub answer the code with an App that has no client ID, with this page and this key.
fn answered(fresh: &Fresh, html_url: &str, key: &str) -> Registering {
    let register = Registering::start(&fresh.env, &["--organization", "acme"]);
    let location = register.agreed(&fresh.env, "tools");
    let id = fresh.env.github.world().registrations[0].app;
    let owner = r#"{"login": "acme", "type": "Organization"}"#;
    let answer = format!(
        r#"{{"id": {id}, "slug": "tools", "html_url": "{html_url}", "owner": {owner}, "pem": {key:?}}}"#
    );
    fresh.env.fault(CONVERSION, 1, Effect::Answer(201, Vec::new(), answer.into_bytes()));
    let told = register.bring(&location);
    assert!(!told.contains("evil.example"), "{told}");
    register
}

#[test]
fn an_old_server_without_client_ids_has_app_ids() {
    let Some(fresh) = fresh() else { return };
    let register = answered(&fresh, "https://github.com/apps/tools", REGISTERED_KEY);
    install(&fresh.env, "tools");
    is_set_up(&fresh, register.ended(), WIDGETS);
    let id = fresh.env.github.world().registrations[0].app;
    assert!(fresh.config().unwrap().contains(&format!("id = {id}\n")), "{:?}", fresh.config());
}

#[test]
fn what_github_sends_is_not_believed_where_it_cannot_be() {
    let Some(fresh) = self::fresh() else { return };
    let register = answered(&fresh, "https://github.com/apps/tools", "no key");
    let page = "make a private key at https://github.com/organizations/acme/settings/apps";
    refused(&register.ended(), "GitHub sent something else than the App's private key", page);
    nothing_is_set_up(&fresh);
    assert_eq!(record(&fresh), None);
    // The browser is led to no other host.
    let Some(fresh) = self::fresh() else { return };
    let register = answered(&fresh, "https://evil.example/apps/tools", REGISTERED_KEY);
    install(&fresh.env, "tools");
    is_set_up(&fresh, register.ended(), WIDGETS);
}
