//! Tokens that reach and may do no more than is needed.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::process::Stdio;

use common::{ACME_APP, ACME_ON_ACME, MINT, REQUEST, Ran, TestEnv, ran, run};
use github_simulator::{ACME_KEY, Effect, Token};
use serde_json::Value;

/// One App, with these lines in its rule.
fn with_rule(lines: &str) -> TestEnv {
    let env = TestEnv::bare();
    let key = env.write_private("keys/acme.pem", ACME_KEY);
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n{lines}\n", key.display()));
    env
}

/// What the simulator minted last.
fn minted(env: &TestEnv) -> Token {
    env.github.world().tokens.last().unwrap().clone()
}

/// The names of the repositories that it is narrowed to.
fn reaches(env: &TestEnv) -> Vec<String> {
    let token = minted(env);
    let world = env.github.world();
    let mut names: Vec<String> = token
        .repositories
        .iter()
        .flatten()
        .map(|id| world.repositories.iter().find(|it| it.id == *id).unwrap().name.clone())
        .collect();
    names.sort_unstable();
    names
}

fn may(env: &TestEnv) -> String {
    let permissions = minted(env).permissions;
    permissions.iter().map(|(name, level)| format!("{name}={level}")).collect::<Vec<_>>().join(" ")
}

fn token(ran: &Ran) -> &str {
    ran.attribute("password").unwrap_or_else(|| panic!("{ran:#?}"))
}

#[test]
fn a_listed_token_reaches_the_repositories_of_the_rule_and_serves_all_of_them() {
    let env = with_rule("repositories = ['acme/widgets', 'acme/machine', 'globex/gears']\nscope = 'listed'");
    env.github.world().add_repository("acme", "secret", &[("x", "y")]);
    let widgets = env.get("github.com", "acme/widgets");
    assert_eq!(reaches(&env), ["machine", "widgets"]);
    let machine = env.get("github.com", "acme/machine");
    assert_eq!(token(&machine), token(&widgets));
    token(&env.get("github.com", "globex/gears"));
    assert_eq!(reaches(&env), ["gears"]);
    assert_eq!(env.github.world().count(MINT), 2);
    env.git(["clone", "--quiet", "--recurse-submodules", "https://github.com/acme/machine"]).ok();
    assert_eq!(env.get("github.com", "acme/secret").attribute("password"), None);
    let status = env.helper(["status"], "").ok();
    assert!(status.contains("acme/widgets and 1 more"), "{status}");
    // Without a repository there is one owner too many.
    let failed = env.helper(["get"], "protocol=https\nhost=github.com\n");
    assert!(failed.stderr.contains("the App is configured for 2 owners"), "{failed:?}");
}

#[test]
fn a_listed_token_may_be_for_five_hundred_repositories() {
    let list = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("'acme/r{number}'")).collect();
        format!("repositories = ['acme/widgets', {}]\nscope = 'listed'", names.join(", "))
    };
    let env = with_rule(&list(499));
    {
        let mut world = env.github.world();
        let one = world.repositories[1].clone();
        for number in 0..499 {
            let (id, name) = (5000 + number, format!("r{number}"));
            world.repositories.push(github_simulator::Repository {
                id,
                name,
                owner: "acme".to_owned(),
                ..one.clone()
            });
        }
    }
    let first = env.get("github.com", "acme/widgets");
    assert_eq!(minted(&env).repositories.unwrap().len(), 500, "{first:?}");
    assert_eq!(token(&env.get("github.com", "acme/r498")), token(&first));
    assert_eq!((first.stderr.as_str(), env.github.world().count(MINT)), ("", 1));
    // GitHub describes each of them at length.
    let token = env.github.world().issue(ACME_ON_ACME);
    let body = serde_json::json!({
        "token": token,
        "expires_at": jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap().to_string(),
        "repositories": vec![serde_json::json!({"full_name": "acme/r", "padding": "x".repeat(6000)}); 500],
    });
    env.fault(MINT, 1, Effect::Answer(201, Vec::new(), body.to_string().into_bytes()));
    let told = env.helper(["token", "acme/widgets", "--fresh"], "").ok();
    assert_eq!(told.trim(), token);
    let env = with_rule(&list(500));
    let failed = env.get("github.com", "acme/widgets");
    assert!(
        failed.stderr.contains("names 501 repositories, and a token can be for 500 at most"),
        "{failed:?}"
    );
}

#[test]
fn a_list_that_is_none_is_told() {
    for (lines, message) in [
        ("scope = 'listed'", "the scope is listed, but the rule names no repositories"),
        (
            "scope = 'listed'\nowners = ['acme']\nrepositories = ['acme/widgets']",
            "but the rule is for all of acme too",
        ),
    ] {
        let failed = with_rule(lines).get("github.com", "acme/widgets");
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(failed.stderr.contains(message) && failed.stderr.contains("hint: "), "{failed:?}");
    }
}

#[test]
fn people_narrow_a_token_to_repositories_and_permissions() {
    let env = with_rule("");
    let arguments = [
        "token",
        "--repository",
        "acme/widgets",
        "--repository",
        "acme/machine",
        "--permission",
        "contents=read",
        "--json",
    ];
    let told: Value = serde_json::from_str(&env.helper(arguments, "").ok()).unwrap();
    assert_eq!(told["repositories"], serde_json::json!(["acme/widgets", "acme/machine"]));
    assert_eq!(
        (reaches(&env), may(&env)),
        (vec!["machine".to_owned(), "widgets".to_owned()], "contents=read metadata=read".to_owned())
    );
    // A name without an owner is one of the owner's; the order does not matter, and what is narrowed alike is cached.
    let again = env
        .helper(["token", "acme", "--repository", "machine,widgets", "--permission", "contents=read"], "")
        .ok();
    assert_eq!(again.trim(), told["token"]);
    // git gets what the rule says all the same.
    let git = env.get("github.com", "acme/widgets");
    assert_ne!(token(&git), told["token"]);
    assert_eq!(minted(&env).repositories, None);
    let told = env
        .helper(["exec", "--for", "acme", "--repository", "widgets", "--", "sh", "-c", "echo $GH_TOKEN"], "")
        .ok();
    assert_eq!((reaches(&env), told.trim()), (vec!["widgets".to_owned()], minted(&env).text.as_str()));
    // Only permissions.
    env.helper(["token", "acme", "--permission", "contents=read"], "").ok();
    assert_eq!((minted(&env).repositories, may(&env).as_str()), (None, "contents=read metadata=read"));
}

#[test]
fn a_token_for_something_else_than_git_is_not_probed_with_it() {
    let env = with_rule("");
    env.github.world().installation(ACME_ON_ACME).permissions.insert("issues".to_owned(), "write".to_owned());
    for arguments in [
        &["token", "acme/widgets", "--permission", "issues=write"][..],
        &["token", "acme", "--permission", "issues=read"],
        &["exec", "--for", "acme/widgets", "--permission", "issues=read", "--", "true"],
    ] {
        let told = env.helper(arguments.iter().copied(), "");
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(may(&env).starts_with("issues="), "{}", may(&env));
    }
    assert_eq!(env.github.world().count(common::PROBE), 0);
}

#[test]
fn a_token_is_never_wider_than_its_rule() {
    let read = "permissions = { contents = 'read' }";
    let single = "scope = 'repository'";
    let listed = "repositories = ['acme/widgets', 'globex/gears']\nscope = 'listed'";
    for (lines, arguments, message) in [
        (
            read,
            "token acme --permission contents=write",
            "the rule for https://github.com/acme does not allow contents = write (",
        ),
        (read, "token acme --permission issues=read", "does not allow issues = read ("),
        (read, "exec --for acme --permission contents=admin -- true", "does not allow contents = admin ("),
        (
            single,
            "token --repository acme/widgets --repository acme/machine",
            "gives tokens for single repositories only",
        ),
        (
            listed,
            "token --repository acme/machine",
            "no App is configured for https://github.com/acme/machine",
        ),
        (
            listed,
            "token --repository acme/widgets,globex/gears",
            "one token cannot be for acme/widgets and for globex/gears",
        ),
        (
            "",
            "token --repository acme/widgets --repository globex/gears",
            "one token cannot be for acme/widgets and for globex/gears",
        ),
        ("", "token --repository acme/widgets --app", "the App's JWT cannot be narrowed to a repository"),
        ("", "token --repository widgets", "it is not clear whose"),
    ] {
        let env = with_rule(lines);
        let failed = env.helper(arguments.split(' '), "");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{arguments}: {failed:?}");
        assert!(
            failed.stderr.contains(message) && failed.stderr.contains("hint: "),
            "{arguments}: {failed:?}"
        );
        assert_eq!(env.github.world().count(MINT), 0);
    }
    let env = with_rule(read);
    env.helper(["token", "acme", "--permission", "contents=read", "--permission", "metadata=read"], "").ok();
    env.helper(["token", "acme", "--repository", "widgets"], "").ok();
    assert_eq!(may(&env), "contents=read metadata=read");
    for wrong in ["contents", "contents=rw", "=read", "Contents=read"] {
        let failed = env.helper(["token", "acme", "--permission", wrong], "");
        assert!(
            failed.code == Some(2) && failed.stderr.contains("write it like contents=read"),
            "{failed:?}"
        );
    }
}

#[test]
fn a_permission_that_was_not_granted_is_named() {
    let env = with_rule("permissions = { contents = 'read', checks = 'write' }");
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!(failed.stdout, "quit=1\n");
    assert!(
        failed.stderr.contains("installation 4201 of App Iv23liAcmeCi was not granted checks = write\n"),
        "{failed:?}"
    );
    let env = with_rule("");
    let asked = [
        "token",
        "acme",
        "--permission",
        "contents=admin",
        "--permission",
        "issues=read",
        "--permission",
        "metadata=read",
    ];
    let failed = env.helper(asked, "");
    assert!(failed.stderr.contains("was not granted contents = admin, issues = read\n"), "{failed:?}");
    assert!(failed.stderr.contains("settings/installations/4201"), "{failed:?}");
    let failed = env.helper(["token", "--repository", "acme/nothing"], "");
    assert!(failed.code == Some(1) && failed.stderr.contains("acme/nothing"), "{failed:?}");
    // One of the list is missing, so GitHub gives nothing.
    let failed = env.helper(["token", "--repository", "acme/widgets,acme/nothing"], "");
    assert!(
        failed.stderr.contains("cannot give such a token: There is at least one repository"),
        "{failed:?}"
    );
}

#[test]
fn a_hundred_submodules_with_narrowed_tokens_are_a_mint_each_and_none_waits_for_another() {
    const COUNT: usize = 100;
    let env = with_rule("scope = 'repository'");
    {
        let mut world = env.github.world();
        let one = world.repositories[1].clone();
        for number in 0..COUNT as u64 {
            let (id, name) = (5000 + number, format!("r{number}"));
            world.repositories.push(github_simulator::Repository {
                id,
                name,
                owner: "acme".to_owned(),
                ..one.clone()
            });
        }
    }
    // The owner is known, as it is once the repository that has the submodules was cloned.
    token(&env.get("github.com", "acme/widgets"));
    // If they were minted one after the other, or a few at a time, none would be.
    env.fault(MINT, COUNT as u32, Effect::together(20));
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let children: Vec<_> = (0..COUNT)
        .map(|number| {
            use std::io::Write as _;
            let mut child = command.spawn().unwrap();
            let request = format!("protocol=https\nhost=github.com\npath=acme/r{number}.git\n");
            child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
            child
        })
        .collect();
    let mut tokens: Vec<String> =
        children.into_iter().map(|child| token(&ran(child.wait_with_output().unwrap())).to_owned()).collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!((tokens.len(), env.lookups_and_mints()), (COUNT, (1, COUNT + 1)));
}

#[test]
fn who_narrows_to_nothing_does_not_get_everything() {
    let env = TestEnv::new();
    let refused = |what: &str, ran: &Ran| {
        let line = " is empty, which would mean everything (";
        assert!(ran.code == Some(1) && ran.stderr.contains(line), "{what}: {ran:?}");
        assert!(ran.stderr.contains("hint: leave it out, or name what it is for"), "{what}: {ran:?}");
        assert!(!ran.stdout.contains("ghs_"), "{what}: {ran:?}");
    };
    // A variable of a script or a template that nobody set.
    for flags in ["--owner=", "--repository=", "--repository=,", "--permissions= "] {
        refused(flags, &env.helper([flags, "get"], REQUEST));
        for command in ["token", "exec", "setup"] {
            let more: &[&str] = if command == "exec" { &["--", "env"] } else { &[] };
            refused(flags, &env.helper([command, flags].iter().chain(more).copied(), ""));
        }
    }
    for variable in ["GHAPP_OWNERS", "GHAPP_REPOSITORIES", "GHAPP_PERMISSIONS"] {
        let mut get = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        refused(variable, &run(get.arg("get").env(variable, " "), REQUEST.as_bytes()));
    }
    let rule = std::fs::read_to_string(env.home().join(TestEnv::CONFIG)).unwrap();
    for line in ["owners = []", "repositories = []", "permissions = {}"] {
        env.configure(&format!("{rule}{line}\n"));
        refused(line, &env.helper(["get"], REQUEST));
    }
    assert_eq!(env.lookups_and_mints(), (0, 0));
}
