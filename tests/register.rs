//! `register`: an App from a manifest, for somebody with a browser, and everything that can go wrong on the way.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::browser::Chromium;
use common::fresh::{Fresh, refused};
use common::registering::{Registering, agreed, post};
use common::{Ran, TestEnv, WIDGETS, has, run, skip};
use github_simulator::{Effect, REGISTERED_KEY};

const CONVERSION: &str = "POST /app-manifests/{code}/conversions";

/// A machine where nothing is set up, and a GitHub where octocat has a repository too. `None` where there is no curl to play
/// a browser.
fn fresh() -> Option<Fresh> {
    if !has("curl") {
        skip("curl is not installed");
        return None;
    }
    let fresh = Fresh::new();
    fresh.env.github.world().add_repository("octocat", "hello", &[("README", "hello\n")]);
    Some(fresh)
}

/// Installs the App where its owner would, in a browser.
fn install(env: &TestEnv, slug: &str) {
    let told = post(env, &format!("https://github.com/apps/{slug}/installations"), &[]);
    assert!(told.starts_with("HTTP/1.1 302 "), "{told}");
}

/// Brings an answer that is good, and installs the App.
fn finish(fresh: &Fresh, register: Registering, name: &str, slug: &str) -> Ran {
    let location = register.agreed(&fresh.env, name);
    let answer = register.bring(&location);
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    assert!(
        answer.contains(&format!("\r\nLocation: https://github.com/apps/{slug}/installations/new\r\n")),
        "{answer}"
    );
    install(&fresh.env, slug);
    register.ended()
}

/// The record of what is not finished.
fn record(fresh: &Fresh) -> Option<String> {
    std::fs::read_to_string(fresh.beside("register.json")).ok()
}

#[track_caller]
fn nothing_is_set_up(fresh: &Fresh) {
    let keys = std::fs::read_dir(fresh.beside("keys")).map_or(0, Iterator::count);
    assert_eq!((fresh.config(), fresh.gitconfig(), keys), (None, None, 0));
}

#[track_caller]
fn is_set_up(fresh: &Fresh, ran: Ran, url: &str) {
    let stdout = ran.stdout.clone();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(stdout.ends_with(&format!("git ls-remote {url} works\n")), "{stdout}");
    fresh.env.git(["clone", "--quiet", url, "cloned"]).ok();
    assert_eq!(record(fresh), None);
}

#[test]
fn a_user_at_a_terminal_makes_an_app_with_three_clicks() {
    let Some(fresh) = fresh() else { return };
    let Some(chromium) = Chromium::start(&fresh.env) else { return };
    let opener = fresh.env.write(
        "opener",
        "#!/bin/sh\nprintf %s \"$1\" >\"$HOME/opened.new\"\nmv \"$HOME/opened.new\" \"$HOME/opened\"\n",
    );
    fresh.env.install(opener, "bin/xdg-open");
    let path = fresh.env.folder.path().join("bin");
    let script = format!(
        "PATH={}:\"$PATH\" DISPLAY=:0 exec {} register",
        path.display(),
        env!("CARGO_BIN_EXE_git-credential-ghapp")
    );
    let script = fresh.env.write("at-a-screen", format!("#!/bin/sh\n{script}\n"));
    let script = fresh.env.install(script, "bin/at-a-screen");
    if !has("script") {
        return skip("script is not installed");
    }
    let told = std::thread::scope(|scope| {
        let register = scope.spawn(|| {
            let mut terminal = fresh.env.command("script");
            terminal.args(["--quiet", "--return", "--command", script.to_str().unwrap(), "/dev/null"]);
            run(&mut terminal, b"y\n")
        });
        let address = loop {
            if let Some(address) = fresh.text("opened") {
                break address;
            }
            assert!(!register.is_finished(), "{:?}", register.join());
            std::thread::sleep(Duration::from_millis(20));
        };
        chromium.open(&address);
        chromium.wait_for("contents: write, metadata: read");
        chromium.click("Continue to github.com");
        chromium.fill("octocat's git");
        chromium.click("Create GitHub App for octocat");
        chromium.click("Install");
        register.join().unwrap()
    });
    assert_eq!(told.code, Some(0), "{told:?}");
    for text in [
        "this page opens in your browser: http://127.0.0.1:",
        "App octocat-s-git of octocat was made",
        "git ls-remote https://github.com/octocat/hello.git works",
    ] {
        assert!(told.stdout.contains(text), "{text}: {told:?}");
    }
    let key = fresh.beside("keys/octocat-s-git.pem");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), REGISTERED_KEY);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fresh.env.git(["clone", "--quiet", "https://github.com/octocat/hello"]).ok();
    assert_eq!(record(&fresh), None);
}

#[test]
fn an_organisation_gets_the_app_that_was_asked_for_from_the_second_tab() {
    let Some(fresh) = fresh() else { return };
    let Some(chromium) = Chromium::start(&fresh.env) else { return };
    let arguments =
        ["--organization", "acme", "--name", "Acme reader", "--permission", "contents=read", "--public"];
    let register = Registering::start(&fresh.env, &arguments);
    chromium.open(&register.address);
    chromium.click("Continue to github.com");
    let (first, _) = chromium.open_tab();
    chromium.open(&register.address);
    chromium.click("Continue to github.com");
    chromium.click("Create GitHub App for acme");
    chromium.click("Install");
    is_set_up(&fresh, register.ended(), WIDGETS);
    {
        let mut world = fresh.env.github.world();
        let id = world.registrations[0].app;
        let app = world.app(id);
        assert_eq!((app.name.as_str(), app.owner.as_str()), ("Acme reader", "acme"));
        assert!(app.public && !app.is_users);
        let permissions: Vec<_> =
            app.permissions.iter().map(|(name, level)| format!("{name}={level}")).collect();
        assert_eq!(permissions, ["contents=read", "metadata=read"]);
    }
    // The first tab has nothing to come back to, and a name that is taken by now.
    chromium.turn_to(&first);
    chromium.click("Create GitHub App for acme");
    chromium.wait_for("Name is already taken");
}

#[test]
fn an_enterprise_server_makes_the_app_on_its_own_pages() {
    let Some(fresh) = fresh() else { return };
    let Some(chromium) = Chromium::start(&fresh.env) else { return };
    let register = Registering::start(&fresh.env, &["--host", "ghe.example", "--organization", "acme"]);
    chromium.open(&register.address);
    chromium.click("Continue to ghe.example");
    chromium.fill("acme git");
    chromium.click("Create GitHub App for acme");
    chromium.click("Install");
    assert!(chromium.address().starts_with("https://ghe.example/"), "{}", chromium.address());
    is_set_up(&fresh, register.ended(), "https://ghe.example/acme/widgets.git");
    // Chromium has pages of its own that it asks for.
    let log = fresh.env.github.log();
    assert!(!log.iter().any(|line| line.split(' ').next().unwrap().ends_with("github.com")), "{log:#?}");
    assert_eq!(fresh.env.github.world().count(CONVERSION), 1);
}

#[test]
fn the_page_is_for_a_browser_on_this_machine_that_knows_its_address() {
    let Some(fresh) = fresh() else { return };
    let register = Registering::start(&fresh.env, &[]);
    let page = register.page();
    let head = page.split("\r\n\r\n").next().unwrap();
    for header in [
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
        "Content-Security-Policy: default-src 'none'; ",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    let path = register.address.splitn(4, '/').nth(3).unwrap().to_owned();
    let status = |answer: String| answer.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status(register.http_as("evil.example", "GET", &format!("/{path}"))), "421");
    assert_eq!(
        status(register.http_as(&format!("localhost:{}", register.port()), "GET", &format!("/{path}"))),
        "200"
    );
    assert_eq!(status(register.http("GET", "/")), "404");
    assert_eq!(status(register.http("GET", "/favicon.ico")), "404");
    assert_eq!(status(register.http("POST", &format!("/{path}"))), "405");
    register.kill();
    nothing_is_set_up(&fresh);
    assert_eq!(record(&fresh), None);
}

#[test]
fn an_answer_that_is_none_changes_nothing_and_the_page_goes_on() {
    let Some(fresh) = fresh() else { return };
    let mut register = Registering::start(&fresh.env, &[]);
    let location = register.agreed(&fresh.env, "tools");
    let query = location.split_once('?').unwrap().1.to_owned();
    let (code, state) = query.split_once('&').unwrap();
    for (wrong, status) in [
        (format!("{code}&state=0123456789abcdef"), "403"),
        (code.to_owned(), "403"),
        (format!("{query}&{state}"), "403"),
        (format!("{code}&{state}0"), "403"),
        (state.to_owned(), "400"),
        (format!("code=&{state}"), "400"),
        (format!("code=../../app&{state}"), "400"),
        (format!("code=%2e%2e&{state}"), "400"),
        (format!("code={}&{state}", "a".repeat(201)), "400"),
        (format!("{code}&{query}"), "400"),
    ] {
        let answer = register.http("GET", &format!("/made?{wrong}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{wrong}: {answer}");
        assert!(answer.contains("is not used"), "{wrong}: {answer}");
    }
    assert!(register.is_running());
    assert_eq!(fresh.env.github.world().count(CONVERSION), 0);
    nothing_is_set_up(&fresh);
    // A browser that was closed leaves nothing behind: the page can be opened again.
    assert_eq!(register.page(), register.page());
    register.bring(&location);
    install(&fresh.env, "tools");
    let ran = register.ended();
    let warning = "git-credential-ghapp: warning: an answer came that does not belong to this registration, and is not used\n";
    assert_eq!(ran.stderr.matches(warning).count(), 1, "{ran:?}");
    is_set_up(&fresh, ran, "https://github.com/octocat/hello.git");
}

#[test]
fn a_name_that_is_taken_is_changed_on_githubs_page() {
    let Some(fresh) = fresh() else { return };
    let register = Registering::start(&fresh.env, &["--name", "Acme CI", "--organization", "acme"]);
    let page = register.page();
    let told = agreed(&fresh.env, &page, "Acme CI").unwrap_err();
    assert!(told.contains("Name is already taken"), "{told}");
    let ran = finish(&fresh, register, "Acme CI 2", "acme-ci-2");
    is_set_up(&fresh, ran, WIDGETS);
}

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
        "register --host github.com --organization acme",
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
        third.stdout.starts_with("an earlier run made App tools; this one goes on with it\n"),
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
            "PATH={}:\"$PATH\" DISPLAY=:0 exec {} register",
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
        // Ctrl-C, which is what a terminal makes of it.
        use std::io::Write as _;
        terminal.stdin.take().unwrap().write_all(b"\x03").unwrap();
        terminal.wait().unwrap();
        assert!(text.contains(&format!("warning: no browser could be started: {why}")), "{text}");
        nothing_is_set_up(&fresh);
        assert_eq!(record(&fresh), None);
    }
}

#[test]
fn without_a_browser_it_says_how_one_on_another_machine_reaches_the_page() {
    let Some(fresh) = fresh() else { return };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let register = Registering::start(&fresh.env, &["--no-browser", "--port", &free.to_string()]);
    assert_eq!(register.port(), free);
    let ran = finish(&fresh, register, "tools", "tools");
    let line = format!("\n  ssh -L {free}:127.0.0.1:{free} THIS-MACHINE\n");
    assert!(ran.stdout.contains(&line), "{ran:?}");
    is_set_up(&fresh, ran, "https://github.com/octocat/hello.git");
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

#[test]
fn a_tenant_of_ghe_com_makes_the_app_and_keeps_it_to_itself() {
    let Some(fresh) = fresh() else { return };
    let register = Registering::start(&fresh.env, &["--host", "acme.ghe.com", "--organization", "acme"]);
    let location = register.agreed(&fresh.env, "tools");
    register.bring(&location);
    install(&fresh.env, "tools");
    is_set_up(&fresh, register.ended(), "https://acme.ghe.com/acme/widgets.git");
    assert!(fresh.config().unwrap().contains("host = \"acme.ghe.com\""), "{:?}", fresh.config());
    assert!(fresh.env.github.world().apps.iter().any(|app| app.slug == "tools" && !app.public));
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

/// Every file below the folder, with its content.
fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn key_secrets_code_and_state_are_where_they_belong_and_nowhere_else() {
    let Some(fresh) = fresh() else { return };
    let env = fresh
        .env
        .with("GHAPP_TRACE", "1")
        .with("GIT_TRACE", "1")
        .with("RUST_LOG", "trace")
        .with("RUST_BACKTRACE", "full");
    let fresh = Fresh { env, key: fresh.key };
    fresh.env.fault(CONVERSION, 1, Effect::Answer(502, Vec::new(), b"bad gateway".to_vec()));
    let register = Registering::start(&fresh.env, &[]);
    let location = register.agreed(&fresh.env, "tools");
    let state = location.split("state=").nth(1).unwrap().to_owned();
    let answer = register.bring(&location);
    install(&fresh.env, "tools");
    let ran = register.ended();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stderr.contains("request: POST https://api.github.com/app-manifests/{code}/conversions: 201"),
        "{ran:?}"
    );
    let made = fresh.env.github.world().registrations[0].clone();
    let key = REGISTERED_KEY.lines().nth(10).unwrap();
    let secrets = [
        ("key", key),
        ("client secret", &made.client_secret),
        ("webhook secret", &made.webhook_secret),
        ("code", &made.code),
        ("state", &state),
    ];
    let own = fresh.beside("keys/tools.pem").display().to_string();
    for (what, secret) in secrets {
        for text in [&ran.stdout, &ran.stderr, &answer] {
            assert!(!text.contains(secret), "the {what} is in {text}");
        }
        for (name, content) in files(fresh.env.folder.path()) {
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found || (what == "key" && name == own), "the {what} is in {name}");
        }
    }
}

#[test]
fn the_key_is_kept_in_the_keyring_if_that_is_wished() {
    let Some(fresh) = fresh() else { return };
    for program in ["dbus-run-session", "gnome-keyring-daemon"] {
        if !has(program) {
            return skip(&format!("{program} is not installed"));
        }
    }
    let runtime = fresh.env.folder.path().join("runtime");
    std::fs::create_dir_all(&runtime).unwrap();
    let helper = env!("CARGO_BIN_EXE_git-credential-ghapp");
    let script = format!(
        "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; \
         {helper} register --keyring >told 2>&1 && git clone --quiet https://github.com/octocat/hello"
    );
    let ran = std::thread::scope(|scope| {
        let bus = scope.spawn(|| {
            let mut bus = fresh.env.command("dbus-run-session");
            bus.args(["--", "sh", "-c", &script]).env("XDG_RUNTIME_DIR", &runtime);
            run(&mut bus, b"")
        });
        let address = loop {
            let told = fresh.text("told").unwrap_or_default();
            let line = told.lines().find_map(|line| line.split_once("open this page in a browser: "));
            if let Some((_, address)) = line.filter(|_| told.contains("waiting for")) {
                break address.to_owned();
            }
            assert!(!bus.is_finished(), "{told}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let page = |address: &str| {
            let mut curl = fresh.env.command("curl");
            run(curl.args(["--silent", "--include", "--noproxy", "*", address]), b"").ok()
        };
        let location = agreed(&fresh.env, &page(&address), "tools").unwrap();
        assert!(page(&location).starts_with("HTTP/1.1 303 "));
        install(&fresh.env, "tools");
        bus.join().unwrap()
    });
    assert_eq!(ran.code, Some(0), "{ran:?} {:?}", fresh.text("told"));
    assert!(fresh.config().unwrap().contains("private-key = \"keyring:tools\""), "{:?}", fresh.config());
    assert!(!fresh.beside("keys").exists());
}
