//! The kernel's keyring, for real: who finds the token there, and who does not. The same scenarios run on the
//! sealed file.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{ACME_ON_ACME, REQUEST, Ran, TestEnv, has, run, skip};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// An environment with a store, and an App of a number that no other run has: keyrings outlive a test.
fn with_store(store: &str) -> TestEnv {
    unique(TestEnv::new(), store)
}

fn unique(env: TestEnv, store: &str) -> TestEnv {
    let env = env.with("GHAPP_CACHE", store);
    let unique = u64::from(std::process::id()) * 1_000_000
        + u64::from(
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_micros(),
        );
    env.github.world().installation(ACME_ON_ACME).id = unique;
    env.with("GHAPP_INSTALLATION_ID", unique.to_string())
}

/// Whether this machine lets this user use the keyring at all.
fn keyring_works() -> bool {
    let env = with_store("keyring");
    let answer = env.get("github.com", "acme/widgets");
    if answer.stderr.contains("not cached") {
        skip(&format!("the kernel's keyring cannot be used here: {}", answer.stderr));
        return false;
    }
    forget(&env, &answer);
    true
}

/// Leaves nothing in the keyring, which has room for few tokens.
fn forget(env: &TestEnv, answer: &Ran) {
    let token = answer.attribute("password").unwrap_or_default();
    env.helper(["erase"], format!("{REQUEST}password={token}\n")).ok();
}

fn mints(env: &TestEnv) -> usize {
    env.lookups_and_mints().1
}

/// A command line with the helper at its end, run in this environment.
fn through(env: &TestEnv, wrapper: &[&str]) -> Ran {
    let mut command = env.command(wrapper[0]);
    command.args(&wrapper[1..]).arg(env!("CARGO_BIN_EXE_git-credential-ghapp")).arg("get");
    run(&mut command, REQUEST.as_bytes())
}

#[test]
fn a_token_is_found_again_from_everywhere_of_the_same_user() {
    for store in ["keyring", "file"] {
        if store == "keyring" && !keyring_works() {
            continue;
        }
        let env = with_store(store);
        let first = env.get("github.com", "acme/widgets");
        let token = first.attribute("password").unwrap();
        let home = format!("HOME={}", env.home().display());
        let config = format!("GHAPP_INSTALLATION_ID={}", env.github.world().installations[0].id);
        let cache = format!("GHAPP_CACHE={store}");
        let contexts: [(&str, Vec<&str>); 4] = [
            ("a new process", vec!["env"]),
            (
                "a new session without a terminal and an environment, as from cron",
                vec!["setsid", "env", "-i", &home, &config, &cache],
            ),
            ("a session keyring of its own, as from a login", vec!["keyctl", "session", "-"]),
            ("a new session keyring without links, as from a service", vec!["keyctl", "session", "service"]),
        ];
        for (context, wrapper) in contexts {
            if !has(wrapper[0]) {
                skip(&format!("{} is not installed", wrapper[0]));
                continue;
            }
            let again = through(&env, &wrapper);
            assert_eq!(again.attribute("password"), Some(token), "{store}, {context}: {again:?}");
        }
        assert_eq!(mints(&env), 1, "{store}");
        forget(&env, &first);
        assert_ne!(env.get("github.com", "acme/widgets").attribute("password"), Some(token), "{store}");
        assert_eq!(mints(&env), 2, "{store}");
        forget(&env, &env.get("github.com", "acme/widgets"));
    }
}

#[test]
fn the_keyring_alone_keeps_the_token_in_memory_only() {
    if !keyring_works() {
        return;
    }
    let env = with_store("auto");
    let answer = env.get("github.com", "acme/widgets");
    assert_eq!(answer.stderr, "");
    assert!(!env.cache().join("tokens").exists());
    forget(&env, &answer);
}

#[test]
fn another_user_does_not_find_the_token_even_with_an_inherited_session_keyring() {
    if !keyring_works() {
        return;
    }
    if !has("setpriv") || !is_root() {
        return skip("only root can become another user, with setpriv");
    }
    let Some(env) = TestEnv::for_several_users() else { return skip("no folder is open to other users") };
    let env = unique(env, "keyring");
    let mine = env.get("github.com", "acme/widgets");
    if !has("keyctl") {
        return skip("keyctl is not installed");
    }
    // Only the keyring stands between: the other user inherits root's session keyring.
    let (other, _) = as_other_user(&env, 65_534);
    let mut command = env.command("keyctl");
    command.args(["session", "roots"]).args(&other).arg("get").current_dir("/");
    let theirs = run(&mut command, REQUEST.as_bytes());
    assert!(theirs.attribute("password").is_some(), "{theirs:?}");
    assert_ne!(theirs.attribute("password"), mine.attribute("password"));
    assert_eq!(mints(&env), 2);
    // And the other way round: what they cached is not what root finds.
    assert_eq!(env.get("github.com", "acme/widgets").attribute("password"), mine.attribute("password"));
    forget(&env, &mine);
}

/// A command line that runs the helper as another user, with everything that it needs where that user can read
/// it, and that user's home.
fn as_other_user(env: &TestEnv, user: u32) -> (Vec<OsString>, PathBuf) {
    let folder = env.folder.path();
    env.install(env!("CARGO_BIN_EXE_git-credential-ghapp"), "helper");
    env.write("other.toml", std::fs::read(env.home().join(TestEnv::CONFIG)).unwrap());
    let home = folder.join("other");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(user), Some(user)).unwrap();
    run(env.command("chmod").args(["-R", "go+rX"]).arg(folder), b"").ok();
    let variable = |name: &str, value: &OsStr| {
        let mut setting = OsString::from(format!("{name}="));
        setting.push(value);
        setting
    };
    let mut line: Vec<OsString> = Vec::new();
    line.extend(["setpriv", "--clear-groups"].map(OsString::from));
    line.extend([format!("--reuid={user}"), format!("--regid={user}")].map(OsString::from));
    line.push(OsString::from("env"));
    line.push(variable("HOME", home.as_os_str()));
    line.push(variable("GHAPP_CONFIG", folder.join("other.toml").as_os_str()));
    line.push(variable("GIT_CONFIG_GLOBAL", OsStr::new("/dev/null")));
    line.push(variable("HTTPS_PROXY", OsStr::new(env.github.proxy())));
    line.push(variable("GIT_SSL_CAINFO", env.github.ca_file().as_os_str()));
    line.push(folder.join("helper").into_os_string());
    (line, home)
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// Runs a command in a thread that may not make these system calls, which get an error number instead, as in
/// a container.
fn confined(mut command: Command, calls: &[i64], error: i32) -> Ran {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let arch: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error.unsigned_abs()), arch);
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    std::thread::spawn(move || {
        seccompiler::apply_filter(&program).unwrap();
        run(&mut command, REQUEST.as_bytes())
    })
    .join()
    .unwrap()
}

#[test]
fn in_containers_auto_falls_back_to_the_sealed_file_and_keyring_says_what_is_wrong() {
    let (docker, podman) =
        ([libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key], [libc::SYS_add_key]);
    let contexts: [(&str, &[i64], i32, &str); 2] = [
        ("docker", &docker, libc::EPERM, "the kernel does not permit it, as in many containers"),
        ("podman", &podman, libc::ENOSYS, "the kernel does not offer it here"),
    ];
    for (context, calls, error, why) in contexts {
        let env = with_store("auto");
        let helper = || {
            let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
            command.arg("get");
            command
        };
        let first = confined(helper(), calls, error);
        assert_eq!(
            first.stderr,
            format!(
                "git-credential-ghapp: warning: tokens are kept in a sealed file: kernel keyring: {why}\n"
            ),
            "{context}"
        );
        let again = confined(helper(), calls, error);
        assert_eq!(again.stderr, "", "{context}");
        assert_eq!(again.attribute("password"), first.attribute("password"), "{context}: {again:?}");
        assert_eq!(mints(&env), 1, "{context}");
        // Outside of the container the same file is found.
        assert_eq!(env.get("github.com", "acme/widgets").attribute("password"), first.attribute("password"));
        let alone = {
            let mut command = helper();
            command.env("GHAPP_CACHE", "keyring");
            confined(command, calls, error)
        };
        assert!(alone.attribute("password").is_some());
        assert_eq!(
            alone.stderr,
            format!(
                "git-credential-ghapp: warning: the token is not cached, so the next call mints again: kernel keyring: {why}\n"
            ),
            "{context}"
        );
    }
}

#[test]
fn in_a_user_namespace_the_token_is_cached_all_the_same() {
    let unshare = ["unshare", "--user", "--map-root-user"];
    let env = with_store("auto");
    let works = run(env.command("unshare").args(&unshare[1..]).arg("true"), b"").code == Some(0);
    if !works {
        return skip("user namespaces cannot be made here");
    }
    let first = through(&env, &unshare);
    let token = first.attribute("password").unwrap();
    assert_eq!(through(&env, &unshare).code, Some(0));
    assert!(mints(&env) <= 2, "{first:?}");
    let outside = env.get("github.com", "acme/widgets");
    assert!(outside.attribute("password").is_some());
    forget(&env, &outside);
    assert!(!token.is_empty());
}

/// Fills this user's share of the keyring, if it is small enough to be filled.
#[test]
fn a_full_keyring_leads_to_the_sealed_file() {
    if !keyring_works() {
        return;
    }
    let quota = |name: &str| -> u64 {
        std::fs::read_to_string(Path::new("/proc/sys/kernel/keys").join(name))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    if !is_root() || !has("setpriv") || quota("maxbytes") > 50_000 {
        return skip("the quota of another user is to be filled, which takes root and setpriv");
    }
    // User 65533 has nothing else to do on a test machine.
    let Some(env) = TestEnv::for_several_users() else { return skip("no folder is open to other users") };
    let env = unique(env, "auto");
    env.write("request", REQUEST);
    let (mut line, home) = as_other_user(&env, 65_533);
    let helper = line.pop().unwrap();
    let fill = "i=0; while head -c 100 /dev/zero | keyctl padd user fill$i @u >/dev/null 2>&1; do i=$((i+1)); done; \
                \"$0\" get; \"$0\" get < \"$HOME/../request\"; keyctl clear @u";
    let mut command = env.command(&line[0]);
    command.args(&line[1..]).args(["sh", "-c", fill]).arg(helper).current_dir("/");
    let both = run(&mut command, REQUEST.as_bytes());
    assert_eq!(both.stdout.matches("password=ghs_").count(), 2, "{both:?}");
    assert_eq!(
        both.stderr,
        "git-credential-ghapp: warning: tokens are kept in a sealed file: kernel keyring: \
         this user's quota of keys is used up\n"
    );
    assert_eq!(mints(&env), 1);
    assert_eq!(std::fs::read_dir(home.join(".cache/git-credential-ghapp/tokens")).unwrap().count(), 1);
}
