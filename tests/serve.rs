//! `serve`: the key stays outside, and whoever is inside has a socket.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::served::{HELPER, Served, reach};
use common::{ACME_APP, ACME_ON_ACME, MINT, REQUEST, Ran, TestEnv, WIDGETS, has, run, skip};
use github_simulator::ACME_KEY;

fn refused(ran: &Ran, message: &str) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "quit=1\n"), "{ran:?}");
    assert!(ran.stderr.contains(message), "{ran:?}");
}

#[test]
fn git_inside_clones_and_pushes_without_key_and_configuration() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    served.git(["clone", "-q", WIDGETS]).ok();
    served.git(["-C", "widgets", "commit", "-q", "--allow-empty", "-m", "x"]).ok();
    served.git(["-C", "widgets", "push", "-q"]).ok();
    assert_eq!(env.lookups_and_mints(), (1, 1));
    let line = |operation: &str| {
        let uid = std::fs::metadata(env.folder.path()).unwrap().uid();
        let end = format!(
            "uid={uid} operation={operation} repository=https://github.com/acme/widgets permissions=- answered"
        );
        assert!(served.audit().lines().any(|line| line.ends_with(&end)), "{end}\n{}", served.audit());
    };
    line("get");
    line("store");
    assert!(!served.audit().contains("ghs_") && !served.audit().contains("refused"));
    // Nothing of it is kept inside.
    let inside = env.folder.path().join("inside");
    assert!(!inside.join(".cache").exists() && !inside.join(".config").exists());
}

#[test]
fn what_is_not_allowed_is_refused_in_one_line_and_git_asks_nobody_else() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let denied = served.get("acme/machine");
    refused(&denied, "error: https://github.com/acme/machine is not allowed\n");
    refused(&served.get("globex/gears"), "https://github.com/globex/gears is not allowed");
    refused(&served.get("acme/widgets-evil"), "is not allowed");
    let git = served.git(["clone", "-q", "https://github.com/acme/machine"]);
    assert!(git.stderr.contains("told us to quit"), "{git:?}");
    assert_eq!(env.lookups_and_mints(), (0, 0));
    let refusal = "operation=get repository=https://github.com/acme/machine permissions=- refused: https://github.com/acme/machine is not allowed";
    assert!(served.audit().contains(refusal), "{}", served.audit());
    // Whoever asks, and however they name it, it is one name in the audit.
    for arguments in [vec!["token", "acme/machine"], vec!["exec", "--for", "acme/machine", "--", "true"]] {
        run(served.inside(HELPER).args(arguments), b"");
    }
    run(
        served.inside(HELPER).args([
            "token",
            "acme",
            "--repository",
            "Machine",
            "--permission",
            "issues=read",
        ]),
        b"",
    );
    let refusal = refusal.replace("=get", "=token");
    assert_eq!(served.audit().matches(&refusal).count(), 2, "{}", served.audit());
    let refusal = refusal.replace("permissions=-", "permissions=issues:read");
    assert!(served.audit().contains(&refusal), "{}", served.audit());
    // For what is on no host that is served, git asks its next helper.
    let request = "protocol=https\nhost=gitlab.example\npath=acme/widgets\n";
    let other = run(served.inside(HELPER).arg("get"), request.as_bytes());
    assert_eq!((other.code, other.stdout.as_str(), other.stderr.as_str()), (Some(0), "", ""));
    let request = "protocol=http\nhost=github.com\npath=acme/widgets\n";
    assert_eq!(run(served.inside(HELPER).arg("get"), request.as_bytes()).ok(), "");
}

#[test]
fn a_token_is_never_wider_than_what_is_allowed_whatever_is_cached() {
    let env = TestEnv::new();
    let wide = env.get("github.com", "acme/widgets");
    let wide = wide.attribute("password").unwrap();
    assert_eq!(reach(&env, wide).0, None);
    let served = Served::start(&env, &["--allow", "acme/widgets", "--permissions", "contents=read"]);
    let ran = served.get("acme/widgets");
    let token = ran.attribute("password").unwrap();
    assert_ne!(token, wide);
    assert_eq!(
        reach(&env, token),
        (Some(vec!["widgets".to_owned()]), "contents=read metadata=read".to_owned())
    );
    // Without a path it is the same: there is nothing else.
    let request = "protocol=https\nhost=github.com\n";
    let ran = run(served.inside(HELPER).arg("get"), request.as_bytes());
    assert_eq!(ran.attribute("password"), Some(token), "{ran:?}");
    // A refusal inside drops no token but this one, and a foreign one drops none.
    for (password, mints) in [(wide, 2), ("ghs_other", 2), (token, 3)] {
        let erase = format!("{REQUEST}password={password}\n");
        run(served.inside(HELPER).arg("erase"), erase.as_bytes()).ok();
        served.get("acme/widgets");
        assert_eq!(env.github.world().count(MINT), mints, "{password}");
    }
}

#[test]
fn an_owner_is_allowed_as_a_whole_and_what_rules_name_is_the_default() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme"]);
    let ran = served.get("acme/machine");
    assert_eq!(reach(&env, ran.attribute("password").unwrap()).0, Some(vec!["machine".to_owned()]));
    refused(&served.get("globex/gears"), "is not allowed");
    drop(served);
    let key = env.folder.path().join("keys/acme.pem");
    let rule = format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n", key.display());
    env.configure(&format!("{rule}repositories = ['acme/widgets']\n"));
    let served = Served::start(&env, &[]);
    assert!(served.get("acme/widgets").attribute("password").is_some());
    refused(&served.get("acme/machine"), "is not allowed");
    drop(served);
    // Nothing is served of a rule that names nothing, and nothing beyond a rule.
    let serve = |arguments: &[&str]| {
        let all = ["serve", "--socket", "run/socket"].into_iter().chain(arguments.iter().copied());
        let ran = env.helper(all, "");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr
    };
    assert!(
        serve(&["--allow", "globex/gears"])
            .contains("no App is configured for https://github.com/globex/gears")
    );
    env.configure(&rule);
    assert!(serve(&[]).contains("hint: --allow OWNER/REPO"));
    assert!(serve(&["--allow", "github.com"]).contains("neither a repository nor an owner"));
    // A repository whose name is in a variable that is not set is not all of its owner.
    assert!(serve(&["--allow", "acme/", "--", "true"]).contains("\"acme/\" is not a repository or an owner"));
    assert!(serve(&["--allow", "acme", "--permissions", "nonsense"]).contains("is not a permission"));
    env.configure(&format!("{rule}permissions = {{ contents = 'read' }}\n"));
    let wider = serve(&["--allow", "acme", "--permissions", "contents=write"]);
    assert!(wider.contains("does not allow contents = write"), "{wider}");
    assert!(!env.home().join("run/socket").exists());
}

#[test]
fn a_repository_that_has_another_name_by_now_is_not_allowed_by_its_old_one() {
    let env = TestEnv::new();
    env.github.world().rename(("acme", "widgets"), ("globex", "secret"));
    env.github.world().install(ACME_ON_ACME + 90, 101, "globex");
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let message = "is globex/secret now, which is not allowed";
    refused(&served.get("acme/widgets"), message);
    // Nor when nobody knows any more what GitHub said of the token that is cached.
    std::fs::remove_dir_all(env.cache().join("grants")).unwrap();
    refused(&served.get("acme/widgets"), message);
    std::fs::remove_dir_all(env.cache().join("grants")).unwrap();
    assert!(!served.answer(b"token\nname=acme/widgets\n\n").contains("password"));
}

#[test]
fn an_installation_that_the_rule_names_does_not_make_a_token_reach_another_owner() {
    let env = TestEnv::bare();
    let key = env.write_private("keys/acme.pem", ACME_KEY);
    env.configure(&format!(
        "[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\ninstallation-id = {ACME_ON_ACME}\n",
        key.display()
    ));
    let served = Served::start(&env, &["--allow", "globex", "--allow", "globex/widgets"]);
    refused(&served.get("globex/widgets"), "is acme/widgets now, which is not allowed");
    let request = "protocol=https\nhost=github.com\n";
    let whole = run(served.inside(HELPER).arg("get"), request.as_bytes());
    refused(&whole, "which may be another owner's");
}

#[test]
fn many_inside_cause_one_mint_outside() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme"]);
    let children: Vec<Child> = (0..40)
        .map(|_| {
            let mut get = served.inside(HELPER);
            let mut child = get
                .arg("get")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(REQUEST.as_bytes()).unwrap();
            child
        })
        .collect();
    let ran: Vec<Ran> = children.into_iter().map(|it| common::ran(it.wait_with_output().unwrap())).collect();
    assert!(ran.iter().all(|it| it.attribute("password").is_some()), "{ran:#?}");
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn a_token_that_is_refused_is_replaced_within_the_same_git_command() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    served.git(["ls-remote", WIDGETS]).ok();
    env.github.world().revoke_all();
    served.git(["ls-remote", WIDGETS]).ok();
    assert_eq!(env.github.world().count(MINT), 2);
}

#[test]
fn the_socket_lives_as_long_as_the_command_and_gives_its_exit_code() {
    let env = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", ACME_KEY);
    let script = "stat -c %a \"$GHAPP_SOCKET\"; stat -c %a \"${GHAPP_SOCKET%/*}\"; umask; printenv GHAPP_PRIVATE_KEY; \
                  git ls-remote -q https://github.com/acme/widgets HEAD >&2; exit 7";
    let serve = |more: &[&str], script| {
        let start = ["serve", "--socket", "run/s/socket", "--allow", "acme/widgets"];
        let command = ["--", "sh", "-c", script];
        let all = start.iter().chain(more).chain(&command).copied();
        env.helper(all, "")
    };
    let mask = run(env.command("sh").args(["-c", "umask"]), b"").ok();
    let ran = serve(&[], script);
    assert_eq!((ran.code, ran.stdout), (Some(7), format!("600\n700\n{mask}")), "{}", ran.stderr);
    assert!(ran.stderr.contains("git-credential-ghapp: serve: ") && ran.stderr.contains(" operation=get "));
    assert!(!env.home().join("run/s/socket").exists());
    assert_eq!(serve(&["--mode", "0666"], "stat -c %a \"$GHAPP_SOCKET\"").ok(), "666\n");
    for wrong in ["0777", "666x", "0066", "04600", ""] {
        assert_eq!(serve(&["--mode", wrong], "echo ran").code, Some(2), "{wrong}");
    }
    assert_eq!(serve(&[], "kill -15 $$").code, Some(143));
    let start = ["serve", "--socket", "run/s/socket", "--allow", "acme/widgets", "--", "/no/such/command"];
    assert_eq!(env.helper(start, "").code, Some(127));
    assert!(!env.home().join("run/s/socket").exists());
}

#[test]
fn a_signal_ends_it_and_reaches_the_command() {
    let env = TestEnv::new();
    let mut served = Served::start(&env, &["--allow", "acme/widgets"]);
    assert_eq!(served.end(), Some(0));
    assert!(!served.socket.exists());
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    let mut command = env.command(HELPER);
    command.args(["serve", "--socket", "run/socket", "--allow", "acme/widgets", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert!(!env.home().join("run/socket").exists());
}

#[test]
fn only_a_dead_socket_of_this_user_is_replaced() {
    let env = TestEnv::new();
    let path = env.home().join("run/socket");
    let serve = || {
        let ran = env
            .helper(["serve", "--socket", "run/socket", "--allow", "acme/widgets", "--", "echo", "ran"], "");
        (ran.code, ran.stdout, ran.stderr)
    };
    assert_eq!(serve().1, "ran\n");
    // One that was left behind.
    drop(UnixListener::bind(&path).unwrap());
    assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(serve(), (Some(0), "ran\n".to_owned(), String::new()));
    let listener = UnixListener::bind(&path).unwrap();
    let (code, out, told) = serve();
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(told.contains("another serve uses ") && path.exists(), "{told}");
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    let (code, _, told) = serve();
    assert_eq!(code, Some(1));
    assert!(told.contains("is no socket of this user's"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert_eq!(serve().0, Some(1));
    assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
    std::fs::remove_file(&path).unwrap();
    // A folder that others may write.
    std::fs::set_permissions(path.parent().unwrap(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let (code, _, told) = serve();
    assert_eq!(code, Some(1));
    assert!(told.contains("other users may write its folder"), "{told}");
    let long = format!("{}/socket", "x".repeat(120));
    let ran = env.helper(["serve", "--socket", &long, "--allow", "acme/widgets", "--", "true"], "");
    assert!(ran.stderr.contains("at most 107 bytes"), "{ran:?}");
}

#[test]
fn a_socket_that_was_put_in_its_place_is_not_removed() {
    let env = TestEnv::new();
    let script = "rm \"$GHAPP_SOCKET\"; echo mine >\"$GHAPP_SOCKET\"";
    let serve = ["serve", "--socket", "run/socket", "--allow", "acme/widgets", "--", "sh", "-c", script];
    env.helper(serve, "").ok();
    assert_eq!(std::fs::read_to_string(env.home().join("run/socket")).unwrap(), "mine\n");
}

#[test]
fn without_a_server_git_is_told_to_quit_in_one_line() {
    let env = TestEnv::new();
    let ask = |env: &TestEnv| run(env.command(HELPER).arg("get"), REQUEST.as_bytes());
    let env = env.with("GHAPP_SOCKET", "/nonexistent/socket");
    refused(&ask(&env), "cannot connect to /nonexistent/socket (GHAPP_SOCKET): no such file or directory");
    let path = env.folder.path().join("dead");
    drop(UnixListener::bind(&path).unwrap());
    let env = env.with("GHAPP_SOCKET", path.display().to_string());
    refused(&ask(&env), "does git-credential-ghapp serve still run?");
    let env = env.with("GHAPP_SOCKET", "run/socket");
    refused(&ask(&env), "is not an absolute path");
    // It never falls back to a key that is there.
    assert_eq!(env.lookups_and_mints(), (0, 0));
    assert_eq!(env.helper(["capability"], "").ok(), "version 0\ncapability authtype\ncapability state\n");
}

#[test]
fn a_server_that_answers_anything_else_gives_git_nothing() {
    let env = TestEnv::new();
    let path = env.folder.path().join("evil");
    let listener = UnixListener::bind(&path).unwrap();
    let env = env.with("GHAPP_SOCKET", path.display().to_string());
    for answer in [
        &b""[..],
        b"answered\n",
        b"answered\nusername=x\npassword=ghs_x\npassword_expiry_utc=1\n",
        b"answered\npassword=ghs_x\r\npassword_expiry_utc=1\n\n",
        b"answered\npassword=a b\npassword_expiry_utc=1\n\n",
        b"answered\npassword=ghs_x\npassword_expiry_utc=soon\n\n",
        b"answered\n\n",
        b"granted\npassword=ghs_x\npassword_expiry_utc=1900000000\n\n",
        b"refused\nerror=no\n\n",
        &vec![b'x'; 300_000],
    ] {
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(answer);
            });
            run(env.command(HELPER).arg("get"), REQUEST.as_bytes())
        });
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(["quit=1\n", ""].contains(&ran.stdout.as_str()), "{ran:?}");
        assert!(ran.stderr.starts_with("git-credential-ghapp: error: "), "{ran:?}");
    }
}

#[test]
fn attacks_on_the_socket_cost_it_nothing() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let first = served.get("acme/widgets").attribute("password").unwrap().to_owned();
    for garbage in [
        &b"\n\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"get\nnonsense\n\n",
        b"get",
        b"jwt\n\n",
        b"get\nprotocol=https\nhost=github.com\npath=acme/machine\n\n",
        b"get\nprotocol=https\nhost=github.com\npath=../acme/widgets\n\n",
        b"get\nprotocol=https\nhost=github.com\npath=acme/widgets\nhost=x\npath=acme/machine\nhost=github.com\n\n",
        b"get\nhost=\xff\n\n",
        b"get\npath=a\0b\n\n",
    ] {
        let answer = served.answer(garbage);
        assert!(answer.starts_with("refused\nerror=") || answer == "declined\n\n", "{garbage:?}: {answer}");
        assert!(!answer.contains("ghs_") && answer.ends_with("\n\n"), "{answer}");
    }
    served.answer(&vec![b'x'; 10 << 20]);
    served.answer(&b"x=".repeat(5 << 20));
    // Those who say nothing, or half of it, or do not read.
    let silent: Vec<UnixStream> = (0..1000)
        .map(|number| {
            let mut stream = UnixStream::connect(&served.socket).unwrap();
            if number % 2 == 0 {
                let _ = stream.write_all(b"get\nprotocol=ht");
            }
            stream
        })
        .collect();
    let mut deaf = Vec::new();
    for _ in 0..50 {
        let mut stream = UnixStream::connect(&served.socket).unwrap();
        let _ = stream.write_all(b"get\nprotocol=https\nhost=github.com\npath=acme/widgets\n\n");
        deaf.push(stream);
    }
    assert_eq!(served.get("acme/widgets").attribute("password"), Some(first.as_str()));
    drop((silent, deaf));
    assert_eq!(served.get("acme/widgets").attribute("password"), Some(first.as_str()));
    assert_eq!(env.github.world().count(MINT), 1);
    // What was no request is noted so often and no more.
    let noted = served.audit().lines().filter(|line| line.contains(" operation=- ")).count();
    assert!((1..=62).contains(&noted), "{noted}");
}

#[test]
fn those_who_say_nothing_have_to_go_when_others_come() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let silent: Vec<UnixStream> = (0..300).map(|_| UnixStream::connect(&served.socket).unwrap()).collect();
    assert!(served.get("acme/widgets").attribute("password").is_some());
    // They did not end, and were not waited for.
    assert!(served.audit().contains("refused: the request was cut off"), "{}", served.audit());
    drop(silent);
}

#[test]
fn there_are_so_many_answers_in_a_minute() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let mut refusals = 0;
    for _ in 0..1300 {
        let answer = served.answer(b"jwt\n\n");
        refusals += usize::from(answer.contains("more than 1200 requests within a minute"));
    }
    assert!(refusals > 0);
    assert_eq!(served.audit().matches("more than 1200 requests within a minute").count(), 1);
}

#[test]
fn one_client_does_not_use_up_what_github_lets_the_app_ask() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let token = |permission: &str| {
        served.answer(format!("token\nname=acme/widgets\npermission[]={permission}\n\n").as_bytes())
    };
    assert!(token("contents=read").starts_with("answered\n"));
    // Without a key nobody is asked, and it takes no time: but these would have been for GitHub.
    let (key, away) = (env.folder.path().join("keys/acme.pem"), env.folder.path().join("keys/away"));
    std::fs::rename(&key, &away).unwrap();
    (1..1000).for_each(|_| assert!(token("contents=write").contains("acme.pem")));
    std::fs::rename(&away, &key).unwrap();
    let refused = token("contents=write");
    assert!(
        refused.starts_with("refused\nerror=there were more than 1000 requests within an hour"),
        "{refused}"
    );
    // What is cached takes nobody to be asked.
    assert!(token("contents=read").starts_with("answered\n"));
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn nothing_is_given_out_that_cannot_be_noted() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let env = TestEnv::new();
    let refused = env.helper(
        ["serve", "--socket", "run/socket", "--allow", "acme/widgets", "--audit", "/dev/full", "--", "true"],
        "",
    );
    assert_eq!(refused.code, Some(1));
    // A file that may not grow.
    let script = "ulimit -f 0; exec \"$0\" serve --socket run/socket --allow acme/widgets --audit audit -- \
                  sh -c 'printf \"protocol=https\\nhost=github.com\\npath=acme/widgets\\n\" | \"$0\" get' \"$0\"";
    let ran = run(env.command("sh").args(["-c", script, HELPER]), b"");
    assert_eq!(ran.stdout, "quit=1\n", "{ran:?}");
    assert!(ran.stderr.contains("the audit cannot be written"), "{ran:?}");
}

/// What is inside a sandbox of bubblewrap: the system, a home of its own, the program and the socket.
#[cfg(target_os = "linux")]
fn sandbox(served: &Served<'_>, script: &str) -> Option<Ran> {
    let env = served.env;
    let may = Command::new("bwrap").args(["--unshare-all", "--ro-bind", "/", "/", "true"]).output();
    if !has("bwrap") || !may.is_ok_and(|it| it.status.success()) {
        skip("bubblewrap cannot make a sandbox here");
        return None;
    }
    let helper = env.install(HELPER, "bin/git-credential-ghapp");
    let mut command = env.command("bwrap");
    command.args(["--unshare-all", "--share-net", "--die-with-parent", "--ro-bind", "/usr", "/usr"]);
    for folder in ["/etc", "/bin", "/lib", "/lib64"] {
        command.args(["--ro-bind-try", folder, folder]);
    }
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/home/agent"]);
    command.arg("--ro-bind").arg(helper).arg("/opt/ghapp/git-credential-ghapp");
    command.arg("--ro-bind").arg(env.home().join(".gitconfig")).arg("/home/agent/.gitconfig");
    command.arg("--ro-bind").arg(env.github.ca_file()).arg(env.github.ca_file());
    command.arg("--ro-bind").arg(&served.socket).arg("/run/ghapp");
    command.args(["--setenv", "PATH", "/opt/ghapp:/usr/bin:/bin", "--setenv", "HOME", "/home/agent"]);
    command.args(["--setenv", "GHAPP_SOCKET", "/run/ghapp", "--chdir", "/home/agent"]);
    Some(run(command.args(["sh", "-ec", script]), b""))
}

#[cfg(target_os = "linux")]
#[test]
fn an_agent_in_a_sandbox_works_and_reaches_neither_the_key_nor_another_repository() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let key = env.folder.path().join("keys/acme.pem");
    let script = format!(
        "git clone -q {WIDGETS}\n\
         cd widgets && git commit -q --allow-empty -m inside && git push -q && cd ..\n\
         ! cat {key} 2>/dev/null\n\
         ! git clone -q https://github.com/acme/machine 2>err\n\
         grep 'is not allowed' err\n\
         find / -xdev -name '*.pem' -path '*keys*' 2>/dev/null | grep acme || echo none",
        key = key.display()
    );
    let Some(ran) = sandbox(&served, &script) else { return };
    assert!(ran.stdout.ends_with("none\n") && ran.code == Some(0), "{ran:?}");
    assert!(!ran.stdout.contains("BEGIN") && !ran.stderr.contains("BEGIN"), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn another_user_in_other_namespaces_may_use_a_socket_only_if_its_mode_says_so() {
    let Some(env) = TestEnv::for_several_users() else { return skip("no folder that others may enter") };
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root || !has("unshare") || !has("setpriv") {
        return skip("only root can become another user");
    }
    let helper = env.install(HELPER, "bin/git-credential-ghapp");
    let script = format!("printf '{}' | exec {} get", REQUEST.replace('\n', "\\n"), helper.display());
    for (mode, code) in [("0600", 1), ("0666", 0)] {
        let served = Served::start(&env, &["--allow", "acme/widgets", "--mode", mode]);
        let others = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(served.socket.parent().unwrap(), others).unwrap();
        let mut command = env.command("unshare");
        command.args(["--mount", "--pid", "--fork", "--mount-proc", "setpriv", "--clear-groups"]);
        command.args(["--reuid=54321", "--regid=54321", "env", "HOME=/nonexistent"]);
        command
            .arg(format!("GHAPP_SOCKET={}", served.socket.display()))
            .args(["sh", "-c", &script])
            .current_dir("/");
        let ran = run(&mut command, b"");
        assert_eq!(ran.code, Some(code), "{mode}: {ran:?}");
        assert_eq!(ran.attribute("password").is_some(), mode == "0666");
        assert_eq!(served.audit().contains(" uid=54321 operation=get "), mode == "0666");
    }
}

#[test]
fn token_gives_a_narrowed_token_in_every_format_and_neither_the_jwt_nor_a_new_one_each_time() {
    let env = TestEnv::new();
    env.github.world().installation(ACME_ON_ACME).permissions.insert("issues".to_owned(), "write".to_owned());
    let served =
        Served::start(&env, &["--allow", "acme/widgets", "--permissions", "contents=write,issues=read"]);
    let ask = |arguments: &[&str]| run(served.inside(HELPER).args(arguments), b"");
    let token = ask(&["token", "acme/widgets"]).ok();
    let token = token.trim();
    let all = "contents=write issues=read metadata=read".to_owned();
    assert_eq!(reach(&env, token), (Some(vec!["widgets".to_owned()]), all));
    // The owner, the host, nothing at all: it is the same, because there is nothing else.
    for name in [&["token", "acme"][..], &["token", "https://x:y@github.com/acme/widgets.git"], &["token"]] {
        assert_eq!(ask(name).ok().trim(), token, "{name:?}");
    }
    let json = ask(&["token", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["token"], &json["app"], &json["host"]),
        (&token.into(), &ACME_APP.into(), &"github.com".into())
    );
    assert_eq!(json["repositories"][0], "acme/widgets");
    assert_eq!(json["permissions"]["contents"], "write");
    assert_eq!(json["installation"], ACME_ON_ACME);
    assert_eq!(ask(&["token", "--format", "nix"]).ok(), format!("access-tokens = github.com={token}\n"));
    assert_eq!(env.github.world().count(MINT), 1);
    // Narrower is possible, wider is not.
    let narrow = ask(&["token", "--permission", "contents=read", "--repository", "widgets"]).ok();
    assert_eq!(reach(&env, narrow.trim()).1, "contents=read metadata=read");
    let refused = |arguments: &[&str], why: &str| {
        let ran = ask(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
    };
    refused(&["token", "--permission", "issues=write"], "issues = write is not allowed");
    refused(&["token", "--permission", "administration=read"], "administration = read is not allowed");
    refused(&["token", "--permission", "metadata=write"], "metadata = write is not allowed");
    refused(&["token", "acme/machine"], "https://github.com/acme/machine is not allowed");
    refused(&["token", "--repository", "widgets,machine"], "https://github.com/acme/machine is not allowed");
    refused(&["token", "globex"], "https://github.com/globex is not allowed");
    refused(&["token", "gitlab.example/acme/widgets"], "nothing is served");
    refused(&["token", "--app"], "token --app needs the App itself, and GHAPP_SOCKET is set");
    refused(&["token", "--fresh"], "token --fresh needs the App itself");
    for command in ["logout", "installations", "repositories"] {
        refused(&[command], &format!("{command} needs the App itself"));
    }
    assert_eq!(env.github.world().count(MINT), 2);
    assert!(!served.audit().contains("ghs_") && !served.audit().contains("x:y"), "{}", served.audit());
    let line = "operation=token repository=https://github.com/acme/widgets permissions=contents:write,issues:read answered";
    assert!(served.audit().contains(line), "{}", served.audit());
}

#[test]
fn exec_gives_gh_a_token_and_commits_the_bot_and_a_shim_each_call_a_fresh_one() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets", "--allow", "acme/machine"]);
    served.git(["clone", "-q", WIDGETS]).ok();
    let inside = env.folder.path().join("inside/widgets");
    let script = "echo $GH_TOKEN; echo $TOO; echo $GH_HOST; printenv GHAPP_PRIVATE_KEY; git commit -q --allow-empty -m x && git log -1 --format=%an%ce";
    let exec = |script| {
        let arguments = ["exec", "--identity", "--env", "TOO", "--", "sh", "-c", script];
        run(served.inside(HELPER).args(arguments).current_dir(&inside), b"")
    };
    let told = exec(script).ok();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!((lines[0], lines[2]), (lines[1], "github.com"));
    assert_eq!(reach(&env, lines[0]).0, Some(vec!["widgets".to_owned()]));
    let number = lines[3].strip_prefix("acme-ci[bot]").unwrap().split('+').next().unwrap();
    assert!(
        number.parse::<u64>().is_ok() && lines[3].ends_with("acme-ci[bot]@users.noreply.github.com"),
        "{told}"
    );
    // The bot's name takes no requests of the App's a second time.
    let requests = env.github.world().requests.len();
    exec("true").ok();
    assert_eq!(env.github.world().requests.len(), requests);
    let owner =
        run(served.inside(HELPER).args(["exec", "--for", "acme", "--", "printenv", "GH_TOKEN"]), b"").ok();
    let both = Some(vec!["machine".to_owned(), "widgets".to_owned()]);
    let (mut reached, _) = reach(&env, owner.trim());
    reached.as_mut().unwrap().sort_unstable();
    assert_eq!(reached, both);
    if !has("gh") {
        return skip("gh is not installed");
    }
    let bundle = env.github.ca_file();
    let gh = |arguments: &[&str]| {
        let mut command = served.inside(HELPER);
        command.env("HTTPS_PROXY", env.github.proxy()).env("SSL_CERT_FILE", &bundle).current_dir(&inside);
        run(command.args(arguments), b"")
    };
    let api = ["gh", "api", "repos/acme/widgets", "--jq", ".full_name"];
    let mut all = vec!["exec", "--"];
    all.extend(api);
    assert_eq!(gh(&all).ok(), "acme/widgets\n");
    let mut all = vec!["shim", "gh", "--run", "--"];
    all.extend(&api[1..]);
    assert_eq!(gh(&all).ok(), "acme/widgets\n");
    env.github.world().revoke_all();
    let machine = ["shim", "gh", "--run", "--", "api", "repos/globex/gears"];
    assert!(gh(&machine).stderr.contains("https://github.com/globex/gears is not allowed"));
}

#[test]
fn a_file_inside_is_kept_fresh() {
    let env = TestEnv::new();
    env.github.world().token_lifetime = 1000;
    env.get("github.com", "acme/widgets");
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let script = "cat file; stat -c %a file";
    let arguments = ["token", "--output", "file", "--keep-fresh", "--", "sh", "-c", script];
    let ran = run(served.inside(HELPER).args(arguments), b"");
    assert!(ran.stdout.starts_with("ghs_") && ran.stdout.ends_with("\n600\n"), "{ran:?}");
    assert!(!env.folder.path().join("inside/file").exists());
}

#[test]
fn whoever_is_inside_cannot_make_it_mint_again_and_again() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    for round in 0..20 {
        let state = match served.get("acme/widgets").attribute("password") {
            // As git does with a token that was refused: by the first 64 bits of its SHA-256.
            Some(token) => {
                let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
                digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
            }
            None => break,
        };
        let request = format!("{REQUEST}capability[]=state\nstate[]=ghapp.{state}\n");
        run(served.inside(HELPER).arg("get"), request.as_bytes());
        let mints = env.github.world().count(MINT);
        assert!(mints <= 8, "{mints} mints after {round} rounds");
    }
}

#[test]
fn nobody_writes_into_the_audit_what_did_not_happen() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let name = "acme/x permissions=- answered\u{1b}[2J".to_owned() + &"y".repeat(20_000);
    let bytes = format!("token\nname={}\n\n", name.replace('\u{1b}', ""));
    let answer = served.answer(bytes.as_bytes());
    // It fits into the socket, so that nobody is waited for who does not read it.
    assert!(answer.starts_with("refused\n") && answer.len() < 5000, "{answer}");
    served.answer(b"get\nprotocol=https\nhost=github.com\npath=acme/widgets\nname=x\n\n");
    let audit = served.audit();
    let first = audit.lines().next().unwrap();
    assert!(first.len() < 5000 && first.contains("repository=\"acme/x permissions=- answered"), "{first}");
    assert_eq!(audit.lines().count(), 2);
    // A password in a URL is nobody's business, wherever the URL stands.
    for url in [
        "https://me:s3cret@github.com/acme/machine",
        "https://me:s/3cret@github.com/acme/machine",
        "https://github.com/acme/machine/x?token=s3cret",
        "me:s3cret@github.com/acme/machine",
        "me:s3cret@github.com:acme/machine",
        "s3cret@github.com/acme",
    ] {
        for key in ["name", "remote", "repository[]"] {
            served.answer(format!("token\n{key}={url}\n\n").as_bytes());
        }
        run(served.inside(HELPER).args(["token", url]), b"");
    }
    assert!(!served.audit().contains("3cret"), "{}", served.audit());
    assert!(served.audit().lines().count() >= 20, "{}", served.audit());
}

#[cfg(target_os = "linux")]
#[test]
fn the_keyring_outside_is_not_within_reach_of_a_sandbox() {
    let env = TestEnv::new().with("GHAPP_CACHE", "keyring");
    if !has("keyctl") || !Path::new("/proc/keys").exists() {
        return skip("there is no keyring, or no keyctl");
    }
    let wide = env.get("github.com", "acme/widgets");
    let wide = wide.attribute("password").unwrap().to_owned();
    let served = Served::start(&env, &["--allow", "acme/widgets", "--permissions", "contents=read"]);
    let script = "for ring in @s @u @us @p; do keyctl list $ring 2>&1 | sed \"s/^/$ring /\"; done; \
                  keyctl get_persistent @p 2>&1 && keyctl show @p 2>&1; \
                  grep -c git-credential-ghapp /proc/keys; true";
    let Some(ran) = sandbox(&served, script) else { return };
    assert!(!ran.stdout.contains("git-credential-ghapp:") && !ran.stdout.contains(&wide), "{ran:?}");
}
