//! What tools get that ask through the socket of `serve`.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use common::served::{HELPER, Served, reach};
use common::{ACME_APP, ACME_ON_ACME, Ran, TestEnv, run};
use github_simulator::ACME_KEY;
use serde_json::{Value, json};

const ARCHIVE: &str = "https://github.com/acme/widgets/archive/refs/heads/main.tar.gz";

fn bazel(served: &Served<'_>, uri: &str) -> Ran {
    run(served.inside(HELPER).args(["bazel", "get"]), json!({"uri": uri}).to_string().as_bytes())
}

/// The token in an answer.
fn token(ran: Ran) -> String {
    let answer: Value = serde_json::from_str(&ran.ok()).unwrap();
    let header = answer["headers"]["Authorization"][0].as_str().unwrap_or_else(|| panic!("{answer}"));
    header.strip_prefix("Bearer ").unwrap().to_owned()
}

/// That it was refused, and nothing printed.
#[track_caller]
fn refused(ran: &Ran, why: &str) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("git-credential-ghapp: error: ") && ran.stderr.contains(why), "{ran:?}");
    assert!(ran.stderr.contains("\ngit-credential-ghapp: hint: "), "{ran:?}");
}

/// That there is nothing for it, and Bazel goes on without.
#[track_caller]
fn nothing(ran: &Ran) {
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "{}\n", ""), "{ran:?}");
}

#[test]
fn bazel_inside_has_a_token_for_the_archives_of_what_is_allowed_and_no_wider_one() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets", "--permissions", "contents=read"]);
    let all = [
        ARCHIVE,
        "https://api.github.com/repos/acme/widgets/tarball/main",
        "https://codeload.github.com/acme/widgets/tar.gz/main",
        "https://me:s3cret@github.com/acme/widgets/releases/download/v1/x?token=s3cret2",
    ];
    let tokens = all.map(|uri| token(bazel(&served, uri)));
    assert!(tokens.iter().all(|it| *it == tokens[0]));
    let only_this = (Some(vec!["widgets".to_owned()]), "contents=read metadata=read".to_owned());
    assert_eq!(reach(&env, &tokens[0]), only_this);
    let raw = bazel(&served, "https://raw.githubusercontent.com/acme/widgets/main/README").ok();
    assert!(raw.contains("[\"Basic "), "{raw}");
    assert_eq!(env.lookups_and_mints(), (1, 1));
    let audit = served.audit();
    let line =
        " operation=bazel repository=https://github.com/acme/widgets permissions=contents:read answered";
    assert_eq!(audit.lines().filter(|it| it.ends_with(line)).count(), 5, "{audit}");
    assert!(!audit.contains("s3cret") && !audit.contains("ghs_"), "{audit}");
}

#[test]
fn bazel_inside_goes_on_without_a_token_for_other_hosts_and_owners() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    for uri in [
        "https://evil.example/acme/widgets/archive/main.tar.gz",
        "https://github.com.evil.example/acme/widgets",
        "https://github.com@evil.example/acme/widgets",
        "https://api.github.com/app/installations",
        "https://github.com:8443/acme/widgets",
        "http://github.com/acme/widgets/archive/main.tar.gz",
        "https://github.com/acme",
        // The App is installed there, and yet nobody allowed it.
        "https://github.com/globex/gears/archive/main.tar.gz",
        "https://github.com/bazelbuild/rules_go/releases/download/v1/rules_go.zip",
    ] {
        nothing(&bazel(&served, uri));
    }
    assert!(env.github.log().is_empty());
    let audit = served.audit();
    assert!(audit.contains(" operation=bazel repository=evil.example permissions=- declined\n"), "{audit}");
    let foreign = " operation=bazel repository=https://github.com/globex/gears permissions=- declined: https://github.com/globex/gears is not allowed\n";
    assert!(audit.contains(foreign), "{audit}");
    // Another repository of an owner of whom one is allowed is named, so that it can be added.
    let machine = bazel(&served, "https://github.com/acme/machine/archive/main.tar.gz");
    refused(&machine, "https://github.com/acme/machine is not allowed");
    assert!(env.github.log().is_empty());
}

#[test]
fn what_is_not_for_bazel_to_ask_is_refused_at_the_socket_too() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    for request in [
        &b"bazel\n\n"[..],
        b"bazel\nuri=\n\n",
        b"bazel\nuri=a b\n\n",
        b"bazel\nuri=acme/widgets\n\n",
        b"bazel\nuri=https://github.com/acme/machine\nhost=github.com\npath=acme/widgets\n\n",
        b"bazel\nname=acme/machine\nuri=https://github.com/acme/widgets-evil\npermission[]=administration=write\n\n",
    ] {
        let answer = served.answer(request);
        assert!(answer == "declined\n\n" || answer.starts_with("refused\n"), "{answer}");
    }
    assert!(env.github.log().is_empty());
    // A path with steps up in it is of the repository that it begins with, and so is the token.
    let token = token(bazel(&served, "https://github.com/acme/widgets/../machine"));
    assert_eq!(reach(&env, &token).0, Some(vec!["widgets".to_owned()]));
    refused(&run(served.inside(HELPER).args(["bazel", "get"]), b"{}"), "the request is not JSON with a uri");
    let mut alone = env.command(HELPER);
    alone.args(["bazel", "get"]).env("GHAPP_SOCKET", "/nonexistent/socket");
    let alone = run(&mut alone, json!({ "uri": ARCHIVE }).to_string().as_bytes());
    refused(&alone, "cannot connect to /nonexistent/socket (GHAPP_SOCKET)");
}

#[test]
fn bazel_inside_knows_the_hosts_of_a_server_that_is_configured_outside() {
    let env = TestEnv::bare();
    let key = env.write_private("keys/acme.pem", ACME_KEY);
    env.configure(&format!(
        "[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\nhost = 'ghe.example'\n",
        key.display()
    ));
    let served = Served::start(&env, &["--allow", "ghe.example/acme/widgets"]);
    for uri in [
        "https://ghe.example/acme/widgets/archive/main.tar.gz",
        "https://ghe.example/api/v3/repos/acme/widgets/tarball",
        "https://codeload.ghe.example/acme/widgets/tar.gz/main",
    ] {
        assert!(token(bazel(&served, uri)).starts_with("ghs_"), "{uri}");
    }
    nothing(&bazel(&served, ARCHIVE));
    nothing(&bazel(&served, "https://ghe.example/api/v3/app"));
}

#[test]
fn bazel_inside_has_nothing_of_a_repository_with_another_name_by_now() {
    let env = TestEnv::new();
    env.github.world().rename(("acme", "widgets"), ("globex", "secret"));
    env.github.world().install(ACME_ON_ACME + 90, 101, "globex");
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    refused(&bazel(&served, ARCHIVE), "is globex/secret now, which is not allowed");
}

#[test]
fn status_inside_says_who_serves_and_what() {
    let env = TestEnv::new();
    let arguments = ["--allow", "acme/widgets", "--allow", "globex", "--permissions", "contents=read"];
    let served = Served::start(&env, &arguments);
    let ask = |arguments: &[&str]| run(served.inside(HELPER).args(arguments), b"");
    let shown = ask(&["status"]).ok();
    let version = env!("CARGO_PKG_VERSION");
    let first =
        format!("git-credential-ghapp {version} serves at {} (GHAPP_SOCKET)\n", served.socket.display());
    assert!(shown.contains(&first), "{shown}");
    let json: Value = serde_json::from_str(&ask(&["status", "--json"]).ok()).unwrap();
    let expected = json!({
        "socket": served.socket,
        "version": version,
        "allowed": ["https://github.com/acme/widgets", "https://github.com/globex"],
        "not_listed": 0,
        "permissions": {"contents": "read"},
    });
    assert_eq!(json, json!({"apps": [], "tokens": [], "served": expected}));
    // Nothing is asked of GitHub for it, and it is noted.
    assert!(env.github.log().is_empty());
    assert_eq!(served.audit().matches(" operation=status repository=- permissions=- answered\n").count(), 2);
    let mut alone = env.command(HELPER);
    let alone = run(alone.arg("status").env("GHAPP_SOCKET", "/nonexistent/socket"), b"");
    refused(&alone, "cannot connect to /nonexistent/socket (GHAPP_SOCKET)");
}

#[test]
fn status_inside_names_the_first_ones_of_very_many() {
    let env = TestEnv::new();
    let names: Vec<String> = (0..700).map(|number| format!("acme/{}{number}", "x".repeat(90))).collect();
    let arguments: Vec<&str> = names.iter().flat_map(|name| ["--allow", name]).collect();
    let served = Served::start(&env, &arguments);
    let ask = |arguments: &[&str]| run(served.inside(HELPER).args(arguments), b"").ok();
    let json: Value = serde_json::from_str(&ask(&["status", "--json"])).unwrap();
    assert_eq!(json["served"]["allowed"].as_array().unwrap().len(), 500);
    assert_eq!((&json["served"]["not_listed"], &json["served"]["permissions"]), (&200.into(), &Value::Null));
    assert!(ask(&["status"]).contains(" and 690 more\n"));
}

#[test]
fn doctor_inside_goes_the_way_that_git_goes() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let doctor_in = |folder: &str, arguments: &[&str]| {
        let mut command = served.inside(HELPER);
        command.arg("doctor").arg("--json").args(arguments).current_dir(env.folder.path().join(folder));
        let ran = run(&mut command, b"");
        let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        let steps = json["steps"].as_array().unwrap().clone();
        let of = |result: &str| -> Vec<String> {
            let its = steps.iter().filter(|it| it["result"] == result);
            its.map(|it| format!("{}: {}", it["step"].as_str().unwrap(), it["message"].as_str().unwrap()))
                .collect()
        };
        (ran.code, of("ok"), of("warning"), of("failure"))
    };
    let doctor = |arguments: &[&str]| doctor_in("inside", arguments);
    let (code, fine, warnings, failures) = doctor(&[]);
    assert_eq!((code, warnings, failures), (Some(0), vec![], vec![]));
    assert!(
        fine.iter().any(|it| it == "fetch: git ls-remote https://github.com/acme/widgets works"),
        "{fine:?}"
    );
    // By the name of the repository, or in a clone of it.
    assert_eq!(doctor(&["acme/widgets"]).0, Some(0));
    served.git(["clone", "--quiet", "https://github.com/acme/widgets"]).ok();
    assert_eq!(doctor_in("inside/widgets", &[]).0, Some(0));
    served.git(["-C", "widgets", "remote", "set-url", "origin", "https://github.com/acme/machine"]).ok();
    assert_eq!(doctor_in("inside/widgets", &[]).0, Some(1));
    // What is not allowed.
    let (code, _, _, failures) = doctor(&["acme/machine"]);
    assert_eq!(
        (code, failures),
        (Some(1), vec!["token: https://github.com/acme/machine is not allowed".to_owned()])
    );
    let (_, _, _, failures) = doctor(&["https://gitlab.example/acme/widgets"]);
    assert!(failures[0].contains("nothing is served at "), "{failures:?}");
    // git does not ask this helper.
    env.write("inside/.gitconfig", "");
    let (code, _, _, failures) = doctor(&[]);
    assert_eq!(code, Some(1));
    assert!(failures[0].starts_with("helpers: git asks no helper for "), "{failures:?}");
    assert!(!served.audit().contains("ghs_"));
}

#[test]
fn doctor_inside_says_what_is_wrong_with_the_socket() {
    let env = TestEnv::new();
    let doctor = |socket: &str, key: &str| {
        let mut command = env.command(HELPER);
        run(command.arg("doctor").env("GHAPP_SOCKET", socket).env("GHAPP_PRIVATE_KEY", key), b"")
    };
    let ran = doctor("/nonexistent/socket", "");
    assert_eq!(ran.code, Some(1));
    let failure = "failure  socket: cannot connect to /nonexistent/socket (GHAPP_SOCKET): no such file or directory\n         hint: ";
    assert!(ran.stdout.contains(failure) && ran.stdout.ends_with("1 failure, 0 warnings\n"), "{ran:?}");
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let ran = doctor(served.socket.to_str().unwrap(), ACME_KEY);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("warning  environment: GHAPP_PRIVATE_KEY is set here"), "{ran:?}");
}

#[test]
fn whoever_serves_with_another_version_is_named() {
    let env = TestEnv::new();
    let path = env.folder.path().join("other");
    // Not waited for: fewer may ask than there are answers.
    let doctor = |answers: &'static [&str]| {
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        run(env.command(HELPER).arg("doctor").env("GHAPP_SOCKET", &path), b"").stdout
    };
    let told = doctor(&[
        "answered\nversion=9.9\nallowed[]=https://github.com/acme/widgets\n\n",
        "refused\nerror=no\n\n",
    ]);
    assert!(told.contains(", and 9.9 serves\n         hint: use the same version"), "{told}");
    assert!(told.contains("failure  token: no\n"), "{told}");
    let told = doctor(&["refused\nerror=there is no such operation\n\n"]);
    assert!(told.contains("failure  socket: there is no such operation\n"), "{told}");
    let told = doctor(&["answered\nversion=9.9\u{1b}[2J\n\n"]);
    assert!(told.contains("failure  socket: the message holds a control character\n"), "{told}");
}

/// One App for github.com, with more in its rule.
fn with_rule(more: &str) -> TestEnv {
    let env = TestEnv::bare();
    let key = env.write_private("keys/acme.pem", ACME_KEY);
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n{more}\n", key.display()));
    env
}

#[test]
fn no_token_for_public_repositories_of_others_is_served_whatever_the_rule_says() {
    let env = with_rule("public-repositories = 'acme'");
    {
        let mut world = env.github.world();
        world.add_repository("initech", "tps", &[("report", "cover\n")]);
        world.repositories.iter_mut().find(|it| it.name == "tps").unwrap().private = false;
    }
    let archive = "https://github.com/initech/tps/archive/main.tar.gz";
    // Outside it is given, also to fill the cache with such a token.
    assert!(env.get("github.com", "initech/tps").attribute("password").is_some());
    let tokens = env.github.world().tokens.len();
    let served = Served::start(&env, &["--allow", "acme/widgets"]);
    let why = "https://github.com/initech/tps is not allowed";
    let get = served.get("initech/tps");
    assert_eq!((get.code, get.stdout.as_str()), (Some(1), "quit=1\n"), "{get:?}");
    assert!(get.stderr.contains(why), "{get:?}");
    let ask = |served: &Served<'_>, arguments: &[&str]| run(served.inside(HELPER).args(arguments), b"");
    refused(&ask(&served, &["token", "initech/tps"]), why);
    refused(&ask(&served, &["exec", "--for", "initech/tps", "--", "printenv", "GH_TOKEN"]), why);
    nothing(&bazel(&served, archive));
    drop(served);
    // Not even if somebody allows it: it would be a token of another owner's, for all that is public.
    for name in ["initech/tps", "initech"] {
        let served = Served::start(&env, &["--allow", name]);
        let get = served.get("initech/tps");
        assert_eq!((get.code, get.stdout.as_str()), (Some(1), "quit=1\n"), "{get:?}");
        refused(&ask(&served, &["token", "initech/tps"]), "App acme-ci is not installed on");
        refused(&bazel(&served, archive), "App acme-ci is not installed on");
        assert!(!served.audit().contains(" answered"), "{}", served.audit());
    }
    assert_eq!(env.github.world().tokens.len(), tokens);
}

#[test]
fn a_rule_that_narrows_its_tokens_narrows_those_that_are_served() {
    let all = |env: &TestEnv, served: &Served<'_>| -> Vec<String> {
        let ask = |arguments: &[&str]| run(served.inside(HELPER).args(arguments), b"").stdout;
        for name in ["acme", "acme/widgets", "acme/machine", "acme/other"] {
            served.get(name);
            ask(&["token", name]);
            ask(&["token", name, "--permission", "contents=read"]);
            bazel(served, &format!("https://github.com/{name}/archive/main.tar.gz"));
        }
        ask(&["token"]);
        ask(&["token", "--repository", "widgets,machine"]);
        ask(&["token", "--repository", "widgets,other"]);
        run(served.inside(HELPER).arg("get"), b"protocol=https\nhost=github.com\n");
        let world = env.github.world();
        let repository = |id: &u64| world.repositories.iter().find(|it| it.id == *id).unwrap().name.clone();
        let mut reached: Vec<String> = world
            .tokens
            .iter()
            .map(|it| {
                let ids = it.repositories.as_ref().unwrap_or_else(|| panic!("{it:?} is for all"));
                let mut names: Vec<String> = ids.iter().map(repository).collect();
                names.sort_unstable();
                names.join(" ")
            })
            .collect();
        reached.sort_unstable();
        reached.dedup();
        reached
    };
    let listed = "repositories = ['acme/widgets', 'acme/machine']\n";
    let (one, widgets) = (&["--allow", "acme/widgets"][..], &["widgets"][..]);
    for (rule, allow, expected) in [
        // A token for one repository at a time.
        ("scope = 'repository'", &["--allow", "acme"][..], &["machine", "other", "widgets"][..]),
        ("scope = 'repository'", one, widgets),
        // Those that the rule names, and of them those that are allowed.
        (&format!("{listed}scope = 'listed'"), &[], &["machine", "machine widgets", "widgets"]),
        (&format!("{listed}scope = 'listed'"), one, widgets),
        (&format!("{listed}scope = 'repository'"), &[], &["machine", "widgets"]),
        (listed, one, widgets),
        ("owners = ['acme']", one, widgets),
    ] {
        let env = with_rule(rule);
        env.github.world().add_repository("acme", "other", &[]);
        let served = Served::start(&env, allow);
        assert_eq!(all(&env, &served), expected, "{rule}, {allow:?}");
    }
}

#[test]
fn no_line_of_the_audit_is_longer_than_a_kibibyte_whatever_a_client_names() {
    let env = TestEnv::new();
    let served = Served::start(&env, &["--allow", "acme"]);
    let (long, wide) = ("y".repeat(20_000), "\u{1f980}\u{2028}".repeat(5_000));
    let names: String = (0..400).map(|number| format!("repository[]=acme/repository-{number}\n")).collect();
    for text in [&long, &wide] {
        served.answer(format!("token\nname={text}\n\n").as_bytes());
        served.answer(format!("token\nname=acme/{text}\npermission[]={text}=read\n\n").as_bytes());
        served.answer(format!("bazel\nuri=https://{text}/x\n\n").as_bytes());
        served.answer(format!("get\nprotocol=https\nhost=github.com\npath={text}\n\n").as_bytes());
    }
    served.answer(format!("{long}\n\n").as_bytes());
    served.answer(format!("token\nname=acme\n{names}\n").as_bytes());
    let audit = served.audit();
    assert_eq!(audit.lines().count(), 10, "{audit}");
    for line in audit.lines() {
        assert!(line.len() <= 1024, "{}: {line}", line.len());
        // What is cut off ends so, and is still in quotes if it began with one.
        let before_permissions = line.split(" permissions=").next().unwrap();
        assert_eq!(before_permissions.matches('"').count() % 2, 0, "{line}");
    }
    assert!(
        audit.contains("https://github.com/acme/repository-0,https://github.com/acme/repository-1,"),
        "{audit}"
    );
}
