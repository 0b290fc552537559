//! Lists, answers and waiting have bounds, and what is honest fits into them.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{Ran, TestEnv, run};
use github_simulator::Effect;

const INSTALLATIONS: &str = "GET /app/installations";
const REPOSITORIES: &str = "GET /installation/repositories";

/// An answer that says that there is one more page, for ever.
fn endless(body: String) -> Effect {
    let link = "<https://api.github.com/app/installations?page=2>; rel=\"next\"";
    Effect::Answer(200, vec![("Link".to_owned(), link.to_owned())], body.into_bytes())
}

fn page_of_installations(suspended: bool, filler: usize) -> String {
    let at = if suspended { "\"2026-01-01T00:00:00Z\"" } else { "null" };
    let one = |id: usize| {
        format!(
            "{{\"id\": {id}, \"account\": {{\"login\": \"o{id}\"}}, \"html_url\": \"{}\", \"suspended_at\": {at}, \
             \"permissions\": {{\"contents\": \"write\"}}}}",
            "x".repeat(filler)
        )
    };
    format!("[{}]", (1..=100).map(one).collect::<Vec<_>>().join(","))
}

/// Runs the helper with no more memory than a list may take.
fn in_little_memory(env: &TestEnv, arguments: &str, input: &str) -> Ran {
    let helper = env!("CARGO_BIN_EXE_git-credential-ghapp");
    let mut command = env.command("sh");
    command.args(["-c", &format!("ulimit -v 600000; exec timeout 60 '{helper}' {arguments}")]);
    run(&mut command, input.as_bytes())
}

#[test]
fn a_list_that_does_not_end_is_given_up() {
    let env = TestEnv::new();
    env.fault(INSTALLATIONS, 1_000_000, endless(page_of_installations(true, 10)));
    let key = env.folder.path().join("keys/acme.pem");
    let setup = format!("setup --dry-run --app-id Iv23liAcmeCi --private-key '{}'", key.display());
    for arguments in ["installations", "repositories", &setup] {
        let failed = in_little_memory(&env, arguments, "");
        assert_eq!(failed.code, Some(1), "{arguments}: {failed:?}");
        assert!(
            failed
                .stderr
                .contains(": https://api.github.com lists more than 500 pages of /app/installations\n"),
            "{arguments}: {failed:?}"
        );
    }
    env.git_config("credential.useHttpPath", "false");
    let failed = in_little_memory(&env, "get", "protocol=https\nhost=github.com\n");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
}

#[test]
fn a_list_that_is_too_large_is_given_up() {
    let env = TestEnv::new();
    env.fault(INSTALLATIONS, 1_000_000, endless(page_of_installations(false, 10_000)));
    let failed = in_little_memory(&env, "installations", "");
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(
        failed.stderr.contains(": https://api.github.com lists more than 64 MiB of /app/installations\n"),
        "{failed:?}"
    );
}

#[test]
fn an_honest_list_of_eight_slow_pages_is_whole() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "3");
    {
        let mut world = env.github.world();
        for id in 0..750 {
            world.install(10_000 + id, 101, &format!("owner-{id}"));
            let installation = world.installation(10_000 + id);
            installation.suspended = true;
        }
        world.installations.rotate_left(3);
    }
    env.fault(INSTALLATIONS, 1_000_000, Effect::Delay(600));
    env.fault(REPOSITORIES, 1_000_000, Effect::Delay(600));
    let listed = env.helper(["installations", "--json"], "").ok();
    assert_eq!(listed.matches("\"id\"").count(), 752);
    let reached = env.helper(["repositories"], "");
    assert_eq!(reached.code, Some(0), "{reached:?}");
    let key = env.folder.path().join("keys/acme.pem").display().to_string();
    let seen = env.helper(["setup", "--dry-run", "--app-id", "Iv23liAcmeCi", "--private-key", &key], "");
    assert_eq!(seen.code, Some(0), "{seen:?}");
}

#[test]
fn one_page_that_never_comes_ends_the_list_at_the_deadline() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.fault(INSTALLATIONS, 1_000_000, Effect::Hang);
    let failed = env.helper(["installations"], "");
    assert!(failed.stderr.contains(": api.github.com did not answer in time\n"), "{failed:?}");
}

#[test]
fn one_repository_is_asked_for_where_one_is_needed() {
    let env = TestEnv::new();
    env.helper(["token", "acme"], "").ok();
    let asked = env.github.log();
    assert!(
        asked.iter().any(|line| line.contains("/installation/repositories?per_page=1&page=1 ")),
        "{asked:?}"
    );
}

#[test]
fn a_proxy_that_answers_byte_by_byte_is_given_up_at_the_deadline() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "2");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    env.git_config("http.proxy", &format!("http://{}", listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let begun = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
                while begun.is_ok() && stream.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
    });
    let began = Instant::now();
    let failed = env.get("github.com", "acme/widgets");
    assert!(failed.stderr.contains(": api.github.com did not answer in time\n"), "{failed:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_repository_whose_settings_do_not_end_is_not_read_to_the_end() {
    let env = TestEnv::new();
    env.git(["init", "--quiet", "repository"]).ok();
    let value = "x".repeat(1000);
    let settings: String = (0..18_000).map(|number| format!("\tx{number} = {value}\n")).collect();
    env.write("home/repository/.git/config", format!("[http]\n{settings}"));
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.arg("get").current_dir(env.home().join("repository"));
    let failed = run(&mut command, common::REQUEST.as_bytes());
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
    assert!(failed.stderr.contains("error: git config printed more than 16 MiB\n"), "{failed:?}");
    assert_eq!(env.github.log(), Vec::<String>::new());
}
