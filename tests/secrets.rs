//! Key, JWT and token are where they belong and nowhere else.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::path::Path;
use std::process::Stdio;

use common::{ACME_APP, MINT, REQUEST, TestEnv, has, run, skip};
use github_simulator::{ACME_KEY, Effect};

/// Every file below the folder, with its content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn holds(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A line from the middle of the key.
fn canary() -> &'static str {
    ACME_KEY.lines().nth(10).unwrap()
}

#[test]
fn the_token_is_on_the_standard_output_of_get_and_nowhere_else() {
    // The key in a variable, every log switched on, a fault on the way, a wrong clock: whatever could talk.
    let env = TestEnv::bare()
        .with("GHAPP_APP_ID", ACME_APP)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("RUST_LOG", "trace")
        .with("GHAPP_TRACE", "1")
        .with("GIT_TRACE", "1")
        .with("RUST_BACKTRACE", "full");
    env.github.world().clock_offset = 3600;
    let effect = Effect::Answer(502, Vec::new(), b"bad gateway".to_vec());
    env.fault(MINT, 1, effect);
    let answer = env.get("github.com", "acme/widgets");
    let token = answer.attribute("password").unwrap().to_owned();
    assert!(token.starts_with("ghs_"));
    let erased = env.helper(["erase"], format!("{REQUEST}password=not-{token}\n"));
    let stored = env.helper(["store"], format!("{REQUEST}password={token}\n"));
    let declined = env.helper(["get"], format!("protocol=https\nhost=evil.example\npassword={token}\n"));
    let outputs = [
        &answer.stderr,
        &erased.stderr,
        &erased.stdout,
        &stored.stdout,
        &stored.stderr,
        &declined.stdout,
        &declined.stderr,
    ];
    for text in outputs {
        assert!(!text.contains(&token) && !text.contains("eyJ") && !text.contains(canary()), "{text}");
    }
    for (name, content) in files(&env.home()) {
        assert!(!holds(&content, &token), "the token is in {name}");
        assert!(!holds(&content, "eyJ"), "a JWT is in {name}");
        assert!(!holds(&content, canary()), "the key is in {name}");
    }
}

#[cfg(unix)]
#[test]
fn a_token_in_a_file_is_there_and_nowhere_else() {
    let env = TestEnv::bare()
        .with("GHAPP_APP_ID", ACME_APP)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("GHAPP_TRACE", "1");
    for format in ["plain", "json", "env", "netrc", "nix"] {
        let arguments =
            ["token", "acme/widgets", "--format", format, "--output", "file", "--keep-fresh", "--"];
        let script = "cat file; printenv >seen; tr '\\0' ' ' <\"/proc/$PPID/cmdline\" >>seen; ls -a >>seen";
        let ran = env.helper(arguments.iter().chain(&["sh", "-c", script]).copied(), "");
        let start = ran.stdout.find("ghs_").unwrap_or_else(|| panic!("{ran:?}"));
        let token = ran.stdout[start..].split(['"', '\n']).next().unwrap().to_owned();
        assert_eq!((ran.code, ran.stderr.contains(&token)), (Some(0), false));
        for (name, content) in files(&env.home()) {
            assert!(!holds(&content, &token), "the token is in {name}");
            assert!(!holds(&content, canary()), "the key is in {name}");
            assert!(!name.contains("/.new-"), "{name}");
        }
        assert!(!env.home().join("file").exists());
    }
}

#[cfg(unix)]
#[test]
fn a_shim_holds_no_secret_and_hands_the_token_on_in_the_environment_only() {
    let env = TestEnv::bare()
        .with("GHAPP_APP_ID", ACME_APP)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("GHAPP_TRACE", "1");
    let script = "#!/bin/sh\nprintf %s \"$GH_TOKEN\"; tr '\\0' ' ' <\"/proc/$$/cmdline\" >seen\n";
    let real = env.install(env.write("script", script), "bin/gh");
    let path = std::env::var("PATH").unwrap();
    let env = env.with("PATH", format!("{}:{path}", real.parent().unwrap().display()));
    env.helper(["shim", "gh", "--dir", "shims"], "").ok();
    let mut command = env.command(env.home().join("shims/gh"));
    let ran = run(command.args(["api", "repos/acme/widgets"]), b"");
    assert!(ran.code == Some(0) && ran.stdout.starts_with("ghs_"), "{ran:?}");
    assert!(!ran.stderr.contains(&ran.stdout) && !ran.stderr.contains(canary()), "{ran:?}");
    for (name, content) in files(&env.home()) {
        assert!(!holds(&content, &ran.stdout), "the token is in {name}");
        assert!(!holds(&content, canary()), "the key is in {name}");
    }
}

#[test]
fn the_answer_for_bazel_is_on_the_standard_output_and_nowhere_else() {
    let env = TestEnv::bare()
        .with("GHAPP_APP_ID", ACME_APP)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("GHAPP_TRACE", "1");
    let uri = "{\"uri\": \"https://me:hunter2@github.com/acme/widgets/archive/main.tar.gz\"}";
    let answer = env.helper(["bazel", "get"], uri);
    let token = answer.stdout.split("Bearer ").nth(1).unwrap().split('"').next().unwrap();
    assert!(token.starts_with("ghs_"));
    for secret in [token, canary(), "hunter2"] {
        assert!(!answer.stderr.contains(secret), "{answer:?}");
    }
    for (name, content) in files(&env.home()) {
        assert!(!holds(&content, token), "the token is in {name}");
    }
}

/// What whoever is inside can try, and what is to be seen of `serve` from there.
#[cfg(unix)]
const INSIDE: &str = r#"
request='protocol=https\nhost=github.com\npath=acme/widgets\n'
printf "$request" | "$0" get
"$0" token --json
echo '{"uri": "https://github.com/acme/widgets/archive/main.tar.gz"}' | "$0" bazel get
"$0" exec -- printenv GH_TOKEN
token=$("$0" token)
printf "${request}password=$token\n" | "$0" store
printf "${request}password=not-$token\n" | "$0" erase
for refused in 'token acme/machine' 'token --app' 'token --fresh' 'exec --for globex -- true' 'token no-such/name'; do
    "$0" $refused
done
"$0" token "https://x:$token@github.com/acme/machine"
printf "{\"uri\": \"https://x:$token@github.com/acme/machine/a?token=$token\"}" | "$0" bazel get
"$0" status
"$0" doctor
printenv >seen
tr '\0' '\n' <"/proc/$PPID/cmdline" >>seen
printf "${request}password=$token\n" | "$0" erase
"#;

#[cfg(target_os = "linux")]
#[test]
fn what_is_served_is_in_the_answers_and_nowhere_else_and_the_key_and_its_jwt_are_nowhere_inside() {
    let key_in_variable = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", ACME_KEY);
    for (env, audit, has_key) in
        [(TestEnv::new(), &[][..], false), (key_in_variable, &["--audit", "audit"][..], true)]
    {
        let env = env.with("GHAPP_TRACE", "1").with("RUST_LOG", "trace").with("RUST_BACKTRACE", "full");
        // A fault on the way, and a wrong clock: whatever could talk.
        env.github.world().clock_offset = 3600;
        env.fault(MINT, 1, Effect::Answer(502, Vec::new(), b"bad gateway".to_vec()));
        let script = match has_key {
            // Its own environment has the key, as its user gave it.
            true => INSIDE.to_owned(),
            false => format!("{INSIDE}tr '\\0' '\\n' <\"/proc/$PPID/environ\" >>seen\n"),
        };
        let serve = ["serve", "--socket", "run/socket", "--allow", "acme/widgets"];
        let helper = env!("CARGO_BIN_EXE_git-credential-ghapp");
        let command = ["--", "sh", "-c", &script, helper];
        let ran = env.helper(serve.iter().chain(audit).chain(&command).copied(), "");
        let tokens: Vec<String> = env.github.world().tokens.iter().map(|it| it.text.clone()).collect();
        let token = ran.attribute("password").unwrap_or_else(|| panic!("{ran:#?}"));
        assert!(tokens.iter().any(|it| it == token));
        assert_eq!(ran.stdout.matches(token).count(), 4, "{}", ran.stdout);
        let without = tokens.iter().fold(ran.stdout.clone(), |text, token| text.replace(token, ""));
        for text in [&without, &ran.stderr] {
            assert!(!text.contains("eyJ") && !text.contains(canary()), "{text}");
        }
        assert!(ran.stderr.contains("operation=get") || !audit.is_empty(), "{}", ran.stderr);
        let found = files(env.folder.path());
        assert!(
            audit.is_empty()
                || found.iter().any(|(name, text)| {
                    name.ends_with("/home/audit")
                        && holds(text, "operation=bazel")
                        && holds(text, "operation=erase")
                })
        );
        assert!(found.iter().any(|(name, _)| name.ends_with("/home/seen")));
        for (name, content) in found {
            let name = name.strip_prefix(&env.folder.path().display().to_string()).unwrap();
            for token in &tokens {
                assert!(!holds(&content, token) && !ran.stderr.contains(token), "the token is in {name}");
            }
            assert!(name == "/keys/acme.pem" || !holds(&content, canary()), "the key is in {name}");
            assert!(!name.starts_with("/home/") || !holds(&content, "eyJ"), "a JWT is in {name}");
        }
    }
}

#[test]
fn a_token_for_a_public_repository_is_on_the_standard_output_and_nowhere_else() {
    let env = TestEnv::bare()
        .with("GHAPP_APP_ID", ACME_APP)
        .with("GHAPP_PRIVATE_KEY", ACME_KEY)
        .with("GHAPP_PUBLIC_REPOSITORIES", "acme")
        .with("GHAPP_TRACE", "1");
    {
        let mut world = env.github.world();
        world.add_repository("initech", "tps", &[]);
        world.repositories.iter_mut().find(|it| it.name == "tps").unwrap().private = false;
    }
    let answer = env.get("github.com", "initech/tps");
    let token = answer.attribute("password").unwrap();
    assert!(answer.stderr.contains("is public") && !answer.stderr.contains(token), "{answer:?}");
    for (name, content) in files(&env.home()) {
        assert!(!holds(&content, token), "the token is in {name}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_cached_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let env = TestEnv::new();
    let mut command = env.command("sh");
    command.args(["-c", "umask 000; exec \"$1\" get", "sh", env!("CARGO_BIN_EXE_git-credential-ghapp")]);
    assert!(run(&mut command, REQUEST.as_bytes()).attribute("password").is_some());
    for (name, _) in files(&env.cache()) {
        assert_eq!(std::fs::metadata(&name).unwrap().permissions().mode() & 0o077, 0, "{name}");
    }
    assert_eq!(std::fs::metadata(env.cache()).unwrap().permissions().mode() & 0o077, 0);
    assert!(files(&env.cache()).len() >= 2);
}

#[test]
fn no_secret_is_in_the_arguments_of_a_process_and_a_warm_get_starts_none() {
    if !has("strace") {
        return skip("strace is not installed");
    }
    let env = TestEnv::new();
    let traced = |name: &str| {
        let file = env.folder.path().join(name);
        let mut command = env.command("strace");
        command
            .args(["-f", "-qq", "-s", "4096", "-e", "trace=process,network,flock,fcntl", "-o"])
            .arg(&file)
            .arg(env!("CARGO_BIN_EXE_git-credential-ghapp"))
            .arg("get");
        let answer = run(&mut command, REQUEST.as_bytes());
        (answer.attribute("password").unwrap_or_default().to_owned(), std::fs::read_to_string(&file).unwrap())
    };
    let (token, cold) = traced("cold");
    if token.is_empty() {
        return skip("strace may not trace here");
    }
    let started: Vec<&str> = cold.lines().filter(|line| line.contains("execve(")).collect();
    assert!(started.iter().any(|line| line.contains("[\"git\", ") && line.contains("\"config\"")), "{cold}");
    assert!(started.iter().all(|line| !line.contains(&token) && !line.contains("eyJ")));
    let requests = env.github.log().len();
    let (again, warm) = traced("warm");
    assert_eq!((again.as_str(), env.github.log().len()), (token.as_str(), requests));
    for call in ["fork(", "vfork(", "socket(", "connect(", "flock(", "SETLK"] {
        assert!(!warm.contains(call), "{call} in\n{warm}");
    }
    assert_eq!(warm.matches("execve(").count(), 1, "{warm}");
    let clones = warm.lines().filter(|line| line.contains("clone(") || line.contains("clone3(")).count();
    assert_eq!(clones, 0, "{warm}");
}

#[cfg(unix)]
#[test]
fn the_key_is_not_in_the_environment_of_other_processes() {
    let env = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", ACME_KEY);
    let path = std::env::var("PATH").unwrap();
    let seen = env.folder.path().join("seen");
    let script = format!("#!/bin/sh\nenv >> '{}'\nPATH='{path}' exec git \"$@\"\n", seen.display());
    let git = env.install(env.write("script", script), "bin/git");
    let env = env.with("PATH", format!("{}:{path}", git.parent().unwrap().display()));
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("GHAPP_APP_ID=") && !seen.contains(canary()) && !seen.contains("ghs_"), "{seen}");
}

#[test]
fn a_key_on_the_command_line_is_refused() {
    let env = TestEnv::bare();
    let wrong = env.helper(["--app-id", "1", "--private-key", ACME_KEY, "get"], REQUEST);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.starts_with(
        "git-credential-ghapp: error: the private key itself was given where its file should be named (flag --private-key)\n"
    ));
    assert!(!wrong.stderr.contains(canary()));
}

#[test]
fn a_jwt_is_one_that_another_tool_verifies() {
    if !has("openssl") {
        return skip("openssl is not installed");
    }
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let folder = tempfile::tempdir().unwrap();
    for (name, pem) in [("pkcs1", ACME_KEY), ("pkcs8", github_simulator::ACME_KEY_PKCS8)] {
        let env = TestEnv::bare().with("GHAPP_APP_ID", "Iv1").with("GHAPP_PRIVATE_KEY", pem);
        let jwt = env.helper(["token", "--app"], "").ok();
        let (signed, signature) = jwt.trim_end().rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        assert_eq!(decode(header), br#"{"typ":"JWT","alg":"RS256"}"#);
        let claims: serde_json::Value = serde_json::from_slice(&decode(claims)).unwrap();
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
        assert_eq!((&claims["iss"], claims.as_object().unwrap().len()), (&"Iv1".into(), 3));
        let path = |what: &str| folder.path().join(format!("{name}.{what}"));
        std::fs::write(path("key"), pem).unwrap();
        std::fs::write(path("signed"), signed).unwrap();
        std::fs::write(path("signature"), decode(signature)).unwrap();
        let openssl = |arguments: &[&std::ffi::OsStr]| {
            let mut command = std::process::Command::new("openssl");
            command.args(arguments).stdin(Stdio::null()).output().unwrap()
        };
        let public = openssl(&[
            "pkey".as_ref(),
            "-pubout".as_ref(),
            "-in".as_ref(),
            path("key").as_ref(),
            "-out".as_ref(),
            path("public").as_ref(),
        ]);
        assert!(public.status.success());
        let verified = openssl(&[
            "dgst".as_ref(),
            "-sha256".as_ref(),
            "-verify".as_ref(),
            path("public").as_ref(),
            "-signature".as_ref(),
            path("signature").as_ref(),
            path("signed").as_ref(),
        ]);
        assert_eq!(String::from_utf8_lossy(&verified.stdout), "Verified OK\n");
    }
}
