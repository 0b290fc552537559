//! `register`: an App from a manifest, for somebody with a browser. What can go wrong is in `register_trouble.rs`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use common::browser::Chromium;
use common::fresh::Fresh;
use common::registering::{
    CONVERSION, Registering, agreed, finish, fresh, install, is_set_up, nothing_is_set_up, record,
};
use common::{WIDGETS, has, run, skip};
use github_simulator::{Effect, REGISTERED_KEY};

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
fn another_user_who_saw_the_address_sees_no_page_and_brings_no_answer() {
    use std::os::unix::fs::MetadataExt as _;
    if !has("setpriv") || std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return skip("only root can become another user, with setpriv");
    }
    let Some(fresh) = fresh() else { return };
    let mut register = Registering::start(&fresh.env, &[]);
    let location = register.agreed(&fresh.env, "tools");
    let port = register.port();
    let status_for = |user: &str, url: &str| {
        let mut command = fresh.env.command("setpriv");
        command.args(["--clear-groups", "--regid=54321", &format!("--reuid={user}")]).current_dir("/");
        command.args([
            "curl",
            "--silent",
            "--noproxy",
            "*",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ]);
        run(command.args(["--header", &format!("Host: 127.0.0.1:{port}"), url]), b"").stdout
    };
    for url in [&register.address, &location] {
        assert_eq!(status_for("54321", url), "403");
        // The socket of IPv6 that leads to the same place is in another table.
        assert_eq!(status_for("54321", &url.replace("127.0.0.1", "[::ffff:127.0.0.1]")), "403");
    }
    assert!(register.is_running());
    assert_eq!(fresh.env.github.world().count(CONVERSION), 0);
    assert_eq!(status_for("0", &register.address), "200");
    register.kill();
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
fn without_a_browser_it_says_how_one_on_another_machine_reaches_the_page() {
    let Some(fresh) = fresh() else { return };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // Without a screen there is none to start, asked for or not.
    let register = Registering::start(&fresh.env, &["--port", &free.to_string()]);
    assert_eq!(register.port(), free);
    let ran = finish(&fresh, register, "tools", "tools");
    let line = format!("\n  ssh -L {free}:127.0.0.1:{free} THIS-MACHINE\n");
    assert!(ran.stdout.contains(&line), "{ran:?}");
    is_set_up(&fresh, ran, "https://github.com/octocat/hello.git");
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
