//! Files that are not what they should be: links, pipes, folders of somebody else. Nothing is followed, nothing of another
//! is removed, and nothing waits for ever.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use common::{ACME_APP, REQUEST, Ran, TestEnv, WIDGETS, ran};
use github_simulator::ACME_KEY;

/// Longer than anything here takes, shorter than for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// The helper's end. It is a failure if there is none.
#[track_caller]
fn ends(env: &TestEnv, arguments: &[&str]) -> Ran {
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), REQUEST.as_bytes());
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > FOR_EVER {
            child.kill().unwrap();
            panic!("{arguments:?} never ends: {:?}", ran(child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    ran(child.wait_with_output().unwrap())
}

fn make_pipe(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(path);
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// All paths below a folder, sorted.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()));
        }
        found.push(entry.path());
    }
    found.sort();
    found
}

/// Makes a file look as if it was written a year ago.
fn make_old(path: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(365 * 86_400);
    fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

/// Somebody's files, as many and as old as anybody may have them.
fn precious(env: &TestEnv) -> (PathBuf, Vec<PathBuf>) {
    let digest = "0123456789abcdef".repeat(4);
    for name in
        ["letter", "routes/mine", "tokens/mine", "unfinished/mine", "locks/mine", "photos/1.jpg", &digest]
    {
        make_old(&env.write(&format!("precious/{name}"), "precious"));
    }
    let folder = env.folder.path().join("precious");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let files = below(&folder);
    (folder, files)
}

#[test]
fn a_cache_folder_that_is_a_link_is_not_used_and_nothing_behind_it_is_removed() {
    let env = TestEnv::new();
    let (folder, files) = precious(&env);
    fs::create_dir_all(env.cache().parent().unwrap()).unwrap();
    symlink(&folder, env.cache()).unwrap();
    let answer = ends(&env, &["get"]);
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert!(answer.stderr.contains("is not used: it is a symbolic link\n"), "{answer:?}");
    let cleared = ends(&env, &["logout", "--all"]);
    assert_eq!(cleared.code, Some(1), "{cleared:?}");
    assert!(cleared.stderr.contains("is not used: it is a symbolic link\n"), "{cleared:?}");
    assert_eq!(below(&folder), files);
}

#[test]
fn links_inside_the_cache_folder_are_neither_followed_nor_emptied() {
    for kind in ["tokens", "routes", "grants", "apis", "refusals", "told", "unfinished", "locks"] {
        let env = TestEnv::new();
        let (folder, files) = precious(&env);
        ends(&env, &["get"]).ok();
        let _ = fs::remove_dir_all(env.cache().join(kind));
        symlink(&folder, env.cache().join(kind)).unwrap();
        // A mint, which writes and sweeps.
        let _ = fs::remove_dir_all(env.cache().join("tokens"));
        let _ = fs::remove_dir_all(env.cache().join("told"));
        if matches!(kind, "tokens" | "told") {
            let _ = fs::remove_file(env.cache().join(kind));
            symlink(&folder, env.cache().join(kind)).unwrap();
        }
        let answer = ends(&env, &["get"]);
        assert!(answer.attribute("password").is_some(), "{kind}: {answer:?}");
        assert_eq!(below(&folder), files, "{kind}: after a get");
        ends(&env, &["logout", "--all"]);
        assert_eq!(below(&folder), files, "{kind}: after logout");
    }
}

#[test]
fn logout_removes_what_is_ours_by_name_and_nothing_else() {
    let env = TestEnv::new();
    ends(&env, &["get"]).ok();
    let foreign: Vec<PathBuf> = ["notes.txt", "tokens/notes.txt", "tokens/deeper/notes.txt", "photos/1.jpg"]
        .iter()
        .map(|name| {
            let path = env.cache().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "precious").unwrap();
            path
        })
        .collect();
    ends(&env, &["logout", "--all"]).ok();
    for path in &foreign {
        assert!(path.exists(), "{}", path.display());
    }
    let mut files = below(&env.cache());
    files.retain(|path| path.is_file());
    assert_eq!(files.len(), foreign.len(), "{files:?}");
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_what_it_leads_to_stays_as_it_is() {
    let env = TestEnv::new();
    let victim = env.write("victim", "precious");
    ends(&env, &["get"]).ok();
    for kind in ["tokens", "routes", "grants", "told"] {
        for entry in fs::read_dir(env.cache().join(kind)).unwrap() {
            let path = entry.unwrap().path();
            fs::remove_file(&path).unwrap();
            symlink(&victim, &path).unwrap();
        }
    }
    let answer = ends(&env, &["get"]);
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let (lookups, mints) = env.lookups_and_mints();
    ends(&env, &["get"]).ok();
    assert_eq!(env.lookups_and_mints(), (lookups, mints), "the cache works again");
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_the_cache_is_not_waited_for() {
    let env = TestEnv::new();
    ends(&env, &["get"]).ok();
    let mut files: Vec<PathBuf> = below(&env.cache()).into_iter().filter(|path| path.is_file()).collect();
    // What is there for an instant only.
    let digest = fs::read_dir(env.cache().join("tokens")).unwrap().next().unwrap().unwrap().file_name();
    files.push(env.cache().join("refusals").join(&digest));
    for path in files {
        make_pipe(&path);
        let answer = ends(&env, &["get"]);
        assert!(answer.attribute("password").is_some(), "{}: {answer:?}", path.display());
        let _ = fs::remove_file(&path);
    }
}

#[test]
fn a_pipe_in_the_place_of_every_lock_is_not_waited_for() {
    let env = TestEnv::new();
    // Whatever the locks are called: each may be there already, as a pipe.
    ends(&env, &["get"]).ok();
    let locks = env.cache().join("locks");
    let traced = std::process::Command::new("strace").arg("-V").output().is_ok();
    if !traced {
        return common::skip("strace is not installed");
    }
    let names: Vec<PathBuf> = {
        let trace = env.folder.path().join("trace");
        fs::remove_dir_all(env.cache()).unwrap();
        let mut command = env.command("strace");
        command.args(["-f", "-s", "500", "-e", "trace=openat,open", "-o"]).arg(&trace);
        command.arg(env!("CARGO_BIN_EXE_git-credential-ghapp")).arg("get");
        common::run(&mut command, REQUEST.as_bytes()).ok();
        let trace = fs::read_to_string(&trace).unwrap();
        let quoted = trace.lines().filter_map(|line| line.split('"').nth(1)).map(PathBuf::from);
        let mut names: Vec<PathBuf> = quoted.filter(|path| path.parent() == Some(&*locks)).collect();
        names.sort();
        names.dedup();
        names
    };
    assert!(names.len() >= 2, "{names:?}");
    fs::remove_dir_all(env.cache()).unwrap();
    ends(&env, &["status"]).ok();
    for name in &names {
        make_pipe(name);
    }
    fs::set_permissions(&locks, fs::Permissions::from_mode(0o700)).unwrap();
    let answer = ends(&env, &["get"]);
    assert!(answer.attribute("password").is_some(), "{answer:?}");
}

#[test]
fn pipes_and_devices_in_the_place_of_other_files_are_one_line() {
    for special in ["pipe", "socket", "device", "folder"] {
        let place = |path: &Path| {
            let _ = fs::remove_file(path);
            match special {
                "pipe" => make_pipe(path),
                "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
                "device" => symlink("/dev/zero", path).unwrap(),
                _ => fs::create_dir_all(path).unwrap(),
            }
        };
        let env = TestEnv::new();
        place(&env.home().join(TestEnv::CONFIG));
        let failed = ends(&env, &["get"]);
        assert_eq!(failed.code, Some(1), "{special}: {failed:?}");
        assert!(
            failed.stderr.starts_with("git-credential-ghapp: error: cannot read the configuration ")
                && failed.stderr.contains(if special == "folder" {
                    "directory"
                } else {
                    ": it is not a file\n"
                }),
            "{special}: {failed:?}"
        );

        let env = TestEnv::new();
        let trace = env.folder.path().join("trace");
        place(&trace);
        let env = env.with("GHAPP_TRACE", trace.display().to_string());
        let answer = ends(&env, &["get"]);
        assert!(answer.attribute("password").is_some(), "{special}: {answer:?}");
        assert!(answer.stderr.contains("warning: GHAPP_TRACE is not used: "), "{special}: {answer:?}");

        let env = TestEnv::new();
        let ca = env.folder.path().join("ca.pem");
        place(&ca);
        env.git_config("http.sslCAInfo", &ca.display().to_string());
        let failed = ends(&env, &["get"]);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{special}: {failed:?}");
        assert!(failed.stderr.contains("cannot use the CA certificates in "), "{special}: {failed:?}");

        if special != "pipe" {
            let env = TestEnv::bare();
            let key = env.folder.path().join("key.pem");
            place(&key);
            env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n", key.display()));
            let failed = ends(&env, &["get"]);
            assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{special}: {failed:?}");
            assert!(failed.stderr.contains("the private key "), "{special}: {failed:?}");
        }
    }
}

#[test]
fn a_private_key_may_come_through_a_pipe_which_is_not_waited_for_for_ever() {
    let env = TestEnv::bare().with("GHAPP_DEADLINE", "1").with("GHAPP_CACHE", "none");
    let key = env.folder.path().join("key.pem");
    make_pipe(&key);
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n", key.display()));
    let failed = ends(&env, &["get"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
    assert!(
        failed.stderr.contains("cannot read the private key ") && failed.stderr.contains("nothing came"),
        "{failed:?}"
    );
    // A writer that takes its time, as a program of a vault does.
    let writer = std::thread::spawn(move || {
        let mut pipe = fs::File::options().write(true).open(&key).unwrap();
        let (first, second) = ACME_KEY.split_at(500);
        std::io::Write::write_all(&mut pipe, first.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        std::io::Write::write_all(&mut pipe, second.as_bytes()).unwrap();
    });
    let answer = ends(&env, &["get"]);
    writer.join().unwrap();
    assert!(answer.attribute("password").is_some(), "{answer:?}");
}

#[test]
fn process_substitution_names_a_private_key() {
    if !common::has("bash") {
        return common::skip("bash is not installed");
    }
    let env = TestEnv::bare().with("GHAPP_CACHE", "none");
    let key = env.write_private("acme.pem", ACME_KEY);
    let mut command = env.command("bash");
    let script = format!(
        "'{}' --app-id {ACME_APP} --private-key <(cat '{}') get",
        env!("CARGO_BIN_EXE_git-credential-ghapp"),
        key.display()
    );
    let answer = common::run(command.arg("-c").arg(script), REQUEST.as_bytes());
    assert!(answer.attribute("password").is_some(), "{answer:?}");
}

#[test]
fn files_of_another_user_in_the_cache_are_not_believed() {
    let env = TestEnv::new();
    let first = ends(&env, &["get"]).ok();
    // Only root can make such files; whoever is not root plays the rest.
    let routes: Vec<PathBuf> = below(&env.cache().join("routes"));
    if std::os::unix::fs::chown(&routes[0], Some(65_534), None).is_err() {
        return common::note("not played: only root can give files away");
    }
    for route in &routes {
        std::os::unix::fs::chown(route, Some(65_534), None).unwrap();
    }
    let second = ends(&env, &["get"]).ok();
    assert_eq!(first.lines().nth(1), second.lines().nth(1), "the token is still cached");
    assert_eq!(env.lookups_and_mints(), (2, 1), "the route is looked up anew");
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&routes[0]), owner(&env.cache()));
}

#[test]
fn links_that_are_planted_under_names_that_can_be_foreseen_are_not_followed() {
    let env = TestEnv::fresh();
    let victim = env.write("victim", "precious");
    let key = env.write_private("home/acme.pem", ACME_KEY);
    let config = env.home().join(TestEnv::CONFIG);
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let mut command = env.command("sh");
    let script = "ln -s \"$VICTIM\" \"$FOLDER/.config.toml.$$.new\" && ln -s \"$VICTIM\" \"$FOLDER/.setup.json.$$.new\" && \
                  exec \"$HELPER\" setup --app-id \"$APP\" --private-key \"$KEY\"";
    command
        .args(["-c", script])
        .env("VICTIM", &victim)
        .env("FOLDER", config.parent().unwrap())
        .env("HELPER", env!("CARGO_BIN_EXE_git-credential-ghapp"))
        .env("APP", ACME_APP)
        .env("KEY", &key);
    common::run(&mut command, b"").ok();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::symlink_metadata(&config).unwrap().is_file(), "the configuration is a file and no link");
}

#[test]
fn everything_is_kept_in_the_folder_that_is_configured_and_goes_from_there() {
    let env = TestEnv::new();
    let key = env.folder.path().join("keys/acme.pem").display().to_string();
    let app = format!("cache-folder = 'job'\n[[app]]\nid = '{ACME_APP}'\nprivate-key = '{key}'\n");
    env.configure(&app);
    let folder = env.home().join(TestEnv::CONFIG).parent().unwrap().join("job");
    env.git(["ls-remote", WIDGETS]).ok();
    env.git(["ls-remote", WIDGETS]).ok();
    assert_eq!(env.lookups_and_mints(), (1, 1), "the token was kept");
    assert!(!env.cache().exists() && !below(&folder).is_empty(), "{:?}", below(&folder));
    let told = env.helper(["uninstall", "--yes"], "").ok();
    assert!(told.contains(&format!("removed {}", folder.display())), "{told}");
    assert!(!folder.exists());
}

#[test]
fn nobody_is_told_to_close_a_folder_that_others_need() {
    let env = TestEnv::new();
    let shared = env.folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    let answer = env.helper(["--cache-folder", shared.to_str().unwrap(), "get"], REQUEST);
    assert!(answer.attribute("password").is_some(), "{answer:?}");
    assert!(answer.stderr.contains("other users may enter it\n"), "{answer:?}");
    assert!(answer.stderr.contains("hint: name a folder that is not there yet: cache-folder"), "{answer:?}");
    assert!(!answer.stderr.contains("chmod"), "{answer:?}");
    // One that has the program's name is for nobody else.
    fs::create_dir_all(env.cache()).unwrap();
    fs::set_permissions(env.cache(), fs::Permissions::from_mode(0o755)).unwrap();
    let answer = ends(&env, &["get"]);
    assert!(answer.stderr.contains("hint: chmod 700 "), "{answer:?}");
}
