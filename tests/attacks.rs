//! What was a vulnerability in some credential helper, tried on this one: no token, no JWT and no request leaks.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use common::{ACME_APP, LOOKUP, MINT, TestEnv, has, run, skip};
use github_simulator::{ACME_KEY, Effect};

/// A request gets no token, and nothing is asked anywhere.
#[track_caller]
fn gets_nothing(env: &TestEnv, input: impl AsRef<[u8]>) {
    let asked = env.github.log().len();
    let answer = env.helper(["get"], &input);
    let shown = String::from_utf8_lossy(input.as_ref()).into_owned();
    assert!(!answer.stdout.contains("password"), "{shown:?}: {answer:?}");
    assert!(!answer.stderr.contains("ghs_") && !answer.stderr.contains("eyJ"), "{shown:?}: {answer:?}");
    assert_eq!(env.github.log().len(), asked, "{shown:?}");
}

#[test]
fn hosts_that_look_like_ours_get_nothing() {
    let env = TestEnv::new();
    // A token is in the cache: it must not go to anybody else either.
    env.get("github.com", "acme/widgets").ok();
    for host in [
        "github.com.evil.example",
        "evil.example",
        "evil.example/github.com",
        "evilgithub.com",
        "github.com.",
        ".github.com",
        "github.com:8443",
        "github.com:0443",
        "github.com:443:443",
        "github.com@evil.example",
        "evil.example@github.com",
        "x-access-token@github.com",
        "user:pass@github.com",
        "github.com#evil.example",
        "github.com?evil.example",
        "github.com\\evil.example",
        "github.com%2eevil.example",
        "github.com%00.evil.example",
        "github%2ecom",
        "gıthub.com",
        "ｇｉｔｈｕｂ.com",
        "xn--gthub-n4a.com",
        "github.com ",
        " github.com",
        "[github.com]",
        "gist.github.com",
        "api.github.com",
        "",
    ] {
        gets_nothing(&env, format!("protocol=https\nhost={host}\npath=acme/widgets\n"));
    }
}

#[test]
fn smuggled_line_ends_and_control_characters_get_nothing() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets").ok();
    for input in [
        // CVE-2020-5260, CVE-2020-11008: what git would send had it not refused the URL.
        &b"protocol=https\nhost=evil.example\nhost=\npath=acme/widgets\n"[..],
        b"protocol=https\nhost=\nhost=evil.example\npath=acme/widgets\n",
        // CVE-2024-50338, CVE-2024-52006: a carriage return that some readers take for a line end.
        b"protocol=https\nhost=evil.example\rhost=github.com\npath=acme/widgets\n",
        b"protocol=https\nhost=github.com\rhost=evil.example\npath=acme/widgets\n",
        b"protocol=https\r\nhost=github.com\r\npath=acme/widgets\r\n",
        b"protocol=https\nhost=github.com\npath=acme/widgets\r\n",
        b"protocol=https\nhost=github.com\npath=acme/widgets\rprotocol=http\n",
        // CVE-2024-53263: control characters passed on.
        b"protocol=https\nhost=github.com\npath=acme/wid\x00gets\n",
        b"protocol=https\nhost=github.com\x00.evil.example\npath=acme/widgets\n",
        b"protocol=https\nhost=github.com\npath=acme/widgets\x7f\n",
        b"protocol=https\x00\nhost=github.com\npath=acme/widgets\n",
        b"protocol=https\nhost=github.com\npath=acme/widgets\nusername=x-access-token\x1b[0m\n",
        "protocol=https\nhost=github.com\u{2028}evil\npath=acme/widgets\n".as_bytes(),
        b"protocol=https\nhost\npath=acme/widgets\n",
        b"protocol=http\nhost=github.com\npath=acme/widgets\n",
        b"protocol=HTTPS\nhost=github.com\npath=acme/widgets\n",
        b"protocol=https \nhost=github.com\npath=acme/widgets\n",
        b"protocol=ftp\nhost=github.com\npath=acme/widgets\n",
        b"protocol=https\nhost=github.com\npath=acme/widgets\nusername=octocat\n",
    ] {
        gets_nothing(&env, input);
    }
}

#[test]
fn paths_that_are_no_repository_get_nothing() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets").ok();
    for path in [
        "../acme/widgets",
        "acme/../globex/gears",
        "acme/..",
        "./acme",
        "acme/.",
        "acme/widgets/../../globex/gears",
        "acme%2fwidgets",
        "acme/widgets%2f..",
        "acme/widgets?x=y",
        "acme/widgets#x",
        "acme/widgets/tree/main",
        "repos/acme/widgets/installation",
        "acme\\widgets",
        "acme/wid gets",
        "acme/widgets;x",
        "acme/$(id)",
        "gist/0123456789abcdef0123456789abcdef",
        ".git",
        ".wiki.git",
    ] {
        gets_nothing(&env, format!("protocol=https\nhost=github.com\npath={path}\n"));
    }
}

#[test]
fn an_owner_whose_name_begins_like_a_configured_one_gets_nothing() {
    let env = TestEnv::new().with("GHAPP_OWNERS", "acme");
    env.github.world().install(4444, 101, "acme-evil");
    env.github.world().add_repository("acme-evil", "widgets", &[("README", "x\n")]);
    for path in ["acme-evil/widgets", "acm/widgets", "acmeX/widgets", "x/acme"] {
        gets_nothing(&env, format!("protocol=https\nhost=github.com\npath={path}\n"));
    }
    assert!(env.get("github.com", "ACME/widgets").attribute("password").is_some());
}

#[test]
fn a_submodule_on_a_foreign_host_gets_nothing() {
    let env = TestEnv::new();
    let gears = env.github.world().add_repository("acme", "gears", &[("teeth", "42\n")]);
    let modules = "[submodule \"x\"]\n\tpath = x\n\turl = https://evil.example/acme/gears.git\n";
    env.github.world().add_repository(
        "acme",
        "trap",
        &[(".gitmodules", modules), ("x", &format!("commit {gears}"))],
    );
    let cloned =
        env.git(["clone", "--quiet", "--recurse-submodules", "https://github.com/acme/trap", "trap"]);
    assert_ne!(cloned.code, Some(0));
    let foreign: Vec<String> =
        env.github.log().into_iter().filter(|line| line.starts_with("evil.example ")).collect();
    assert!(!foreign.is_empty() && foreign.iter().all(|line| line.contains("[-]")), "{foreign:?}");
}

#[test]
fn redirects_of_the_api_take_the_jwt_nowhere_else() {
    for location in [
        "https://evil.example/repositories/1",
        "https://api.github.com.evil.example/repositories/1",
        "https://api.github.com@evil.example/repositories/1",
        "https://github.com/repositories/1",
        "http://api.github.com/repositories/1",
        "https://api.github.com:8443/repositories/1",
        "//evil.example/repositories/1",
        "/\\evil.example/repositories/1",
        "",
    ] {
        for endpoint in [LOOKUP, MINT] {
            let env = TestEnv::new();
            let headers = vec![("Location".to_owned(), location.to_owned())];
            let effect = Effect::Answer(307, headers, b"{}".to_vec());
            env.fault(endpoint, 9, effect);
            let failed = env.get("github.com", "acme/widgets");
            assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{location} {endpoint}");
            let elsewhere = env.github.log().into_iter().any(|line| !line.starts_with("api.github.com "));
            assert!(!elsewhere, "{location} {endpoint}: {:?}", env.github.log());
        }
    }
}

#[test]
fn a_server_that_speaks_plain_http_learns_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
            let mut all = Vec::new();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let _ = stream.read_to_end(&mut all);
            let _ = sender.send(all);
        }
    });
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    // As the host itself, and as a proxy that does not wait to be asked.
    let as_host = env.with("GHAPP_HOST", &host);
    as_host.git_config("http.proxy", "");
    let failed = as_host.get(&host, "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
    let as_proxy = as_host.without("GHAPP_HOST");
    as_proxy.git_config("http.proxy", &format!("http://{host}"));
    let failed = as_proxy.get("github.com", "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
    let mut connections = 0;
    while let Ok(bytes) = received.recv_timeout(Duration::from_secs(2)) {
        connections += 1;
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("eyJ") && !text.contains("Bearer") && !text.contains("ghs_"), "{text}");
        if connections == 2 {
            break;
        }
    }
    assert_eq!(connections, 2);
}

#[test]
fn an_answer_that_trickles_in_ends_at_the_deadline() {
    for endpoint in [LOOKUP, MINT] {
        let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
        // Each byte comes well in time; all of them take a minute, after which this would be a good answer.
        env.fault(endpoint, 99, Effect::Trickle(100));
        let failed = env.get("github.com", "acme/widgets");
        assert!(
            failed.stderr.starts_with("git-credential-ghapp: error: api.github.com did not answer in time\n"),
            "{endpoint}: {failed:?}"
        );
    }
}

#[test]
fn hostile_variables_do_no_harm() {
    for (name, value) in [
        ("GHAPP_API_URL", "http://api.github.com"),
        ("GHAPP_API_URL", "https://user@api.github.com"),
        ("GHAPP_API_URL", "file:///etc/passwd"),
        ("GHAPP_HOST", "*"),
        ("GHAPP_HOST", "github.com/../evil"),
        ("GHAPP_INSTALLATION_ID", "1/../../x"),
        ("GHAPP_OWNERS", "../x"),
        ("GHAPP_REPOSITORIES", "a/b/c"),
        ("GHAPP_PERMISSIONS", "contents=read\",\"x\":\"y"),
        ("GHAPP_APP_ID", "1\"}, {\"x"),
        ("GHAPP_CONFIG", "/nonexistent"),
        ("GHAPP_PRIVATE_KEY_FILE", "/dev/null"),
        ("GHAPP_DEADLINE", "-1"),
        ("GHAPP_MIN_FRESH", "999999999999999999999"),
    ] {
        let env = TestEnv::new().with("GHAPP_APP_ID", ACME_APP).with(name, value);
        let failed = env.get("github.com", "acme/widgets");
        assert_eq!(failed.code, Some(1), "{name}={value}: {failed:?}");
        assert!(!failed.stdout.contains("password"), "{name}={value}");
        assert!(failed.stderr.lines().all(|line| line.starts_with("git-credential-ghapp: ")), "{failed:?}");
        assert_eq!(env.github.log(), [""; 0], "{name}={value}");
    }
    // Empty ones count as not set.
    let mut env = TestEnv::new();
    for name in [
        "GHAPP_API_URL",
        "GHAPP_HOST",
        "GHAPP_INSTALLATION_ID",
        "GHAPP_PRIVATE_KEY",
        "GHAPP_CONFIG",
        "GHAPP_APP_ID",
    ] {
        env = env.with(name, "");
    }
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}

#[test]
fn a_repository_cannot_configure_the_helper() {
    let env = TestEnv::new();
    env.git(["clone", "--quiet", "https://github.com/acme/widgets", "one"]).ok();
    for name in ["config.toml", ".git-credential-ghapp.toml", ".config/git-credential-ghapp/config.toml"] {
        env.write(&format!("home/one/{name}"), "[[app]]\nid = 'evil'\nprivate-key = '/etc/passwd'\n");
    }
    env.git_in("one", ["config", "credential.ghapp.apiUrl", "https://evil.example"]).ok();
    env.git_in("one", ["config", "ghapp.host", "evil.example"]).ok();
    env.git_in("one", ["fetch", "--quiet"]).ok();
    assert!(env.github.log().iter().all(|line| !line.starts_with("evil.example")));
}

#[cfg(target_os = "linux")]
#[test]
fn another_users_cache_folder_is_not_used() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let env = TestEnv::new();
    let foreign = env.cache();
    std::fs::create_dir_all(&foreign).unwrap();
    std::fs::set_permissions(&foreign, std::fs::Permissions::from_mode(0o700)).unwrap();
    if chown(&foreign, Some(65_534), Some(65_534)).is_err() {
        return skip("only root can give a folder away");
    }
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.attribute("password").is_some());
    assert!(answer.stderr.contains("is not used: it belongs to user 65534, not to 0\n"), "{answer:?}");
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_symbolic_link() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets").ok();
    let victim = env.write("victim", "precious");
    for folder in ["tokens", "routes"] {
        let entry = std::fs::read_dir(env.cache().join(folder)).unwrap().next().unwrap().unwrap().path();
        std::fs::remove_file(&entry).unwrap();
        std::os::unix::fs::symlink(&victim, &entry).unwrap();
    }
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    // What is traced is what anybody asks for, which could be a piece of shell.
    let trace = env.folder.path().join("trace");
    std::os::unix::fs::symlink(&victim, &trace).unwrap();
    let env = env.with("GHAPP_TRACE", trace.to_str().unwrap());
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.stderr.contains("warning: GHAPP_TRACE is not used: "), "{answer:?}");
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_cannot_be_looked_into_and_leaves_no_core() {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 || !has("setpriv") {
        return skip("only root can become another user and see whose a process is");
    }
    let Some(env) = TestEnv::for_several_users() else { return skip("no folder is open to other users") };
    let helper = env.install(env!("CARGO_BIN_EXE_git-credential-ghapp"), "helper");
    run(env.command("chmod").args(["-R", "go+rX"]).arg(env.folder.path()), b"").ok();
    let mut command = env.command("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&helper)
        .arg("get")
        .current_dir("/");
    command.env("HOME", "/nonexistent").stdin(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let process = format!("/proc/{}", child.id());
    // It waits for its input; before that it has closed itself.
    let private = (0..2000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        let command = std::fs::read_to_string(format!("{process}/comm")).unwrap_or_default();
        let owner = std::fs::metadata(format!("{process}/mem")).map_or(65_534, |metadata| metadata.uid());
        command.starts_with("helper") && owner == 0
    });
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(private, "another process of the same user can read its memory");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn the_key_of_an_app_is_not_what_another_host_can_ask_for() {
    // One App on two hosts would be two rules; one rule is for one host.
    let env = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", ACME_KEY);
    gets_nothing(&env, "protocol=https\nhost=ghe.example\npath=acme/widgets\n");
    gets_nothing(&env, "protocol=https\nhost=acme.ghe.com\npath=acme/widgets\n");
}
