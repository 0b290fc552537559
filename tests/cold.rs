//! A machine where nothing is cached: what it asks for, and in which order.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use common::{LOOKUP, MINT, PROBE, REQUEST, TestEnv};
use github_simulator::Effect;

#[test]
fn the_connection_to_gits_server_is_there_before_the_api_has_answered() {
    // Through a proxy, and directly.
    for direct in [false, true] {
        for (pinned, waits_for) in [(false, LOOKUP), (true, MINT)] {
            let mut env = TestEnv::new();
            if pinned {
                env = env.with("GHAPP_INSTALLATION_ID", common::ACME_ON_ACME.to_string());
            }
            let mut request = REQUEST.to_owned();
            if direct {
                let host = env.github.host().to_owned();
                env.git(["config", "--global", "--unset", "http.proxy"]).ok();
                request = request.replace("github.com", &host);
                env = env.with("GHAPP_HOST", &host);
            }
            env.fault(waits_for, 1, Effect::Delay(3000));
            let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
            command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
            let mut was_ahead = false;
            while child.try_wait().unwrap().is_none() {
                let world = env.github.world();
                was_ahead |= world.connections == 2 && world.requests.is_empty();
                drop(world);
                std::thread::sleep(Duration::from_millis(5));
            }
            let ran = common::ran(child.wait_with_output().unwrap());
            assert!(ran.attribute("password").is_some(), "{ran:?}");
            assert!(was_ahead, "direct: {direct}, pinned: {pinned}: {:#?}", env.github.log());
            // No more connections than servers, and no request that says nothing.
            let world = env.github.world();
            assert_eq!((world.connections, world.count(PROBE)), (2, 1));
            assert!(world.requests.iter().all(|request| request.by != "-"), "{:#?}", world.requests);
        }
    }
}

#[test]
fn nothing_is_opened_where_the_answer_is_cached() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets").ok();
    let connections = env.github.world().connections;
    env.get("github.com", "acme/widgets").ok();
    assert_eq!(env.github.world().connections, connections);
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_opened_anew() {
    let env = TestEnv::new();
    env.github.world().propagation = Some((1, 404));
    env.fault(PROBE, 1, Effect::Drop);
    env.get("github.com", "acme/widgets").ok();
    let world = env.github.world();
    let probes: Vec<u16> = world.requests.iter().skip(2).map(|request| request.status).collect();
    assert_eq!(probes, [0, 404, 200]);
}

#[test]
fn a_server_that_does_not_answer_is_connected_to_once() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "2");
    // What takes connections and says nothing stands between here and git's server, and not between here and the API.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    env.git_config("http.https://github.com/.proxy", &address);
    env.git_config("http.https://api.github.com/.proxy", env.github.proxy());
    env.get("github.com", "acme/widgets").ok();
    silent.set_nonblocking(true).unwrap();
    let connections: Vec<_> = std::iter::from_fn(|| silent.accept().ok()).collect();
    assert_eq!(connections.len(), 1);
}

#[test]
fn a_clone_with_thirty_submodules_takes_one_lookup_and_one_mint() {
    let env = TestEnv::new();
    {
        let mut world = env.github.world();
        let mut modules = String::new();
        let mut files = Vec::new();
        for number in 0..30 {
            let commit = world.add_repository("acme", &format!("part-{number}"), &[("README", "a part\n")]);
            modules += &format!(
                "[submodule \"part-{number}\"]\n\tpath = part-{number}\n\turl = ../part-{number}.git\n"
            );
            files.push((format!("part-{number}"), format!("commit {commit}")));
        }
        let mut content = vec![(".gitmodules", modules.as_str())];
        content.extend(files.iter().map(|(name, commit)| (name.as_str(), commit.as_str())));
        world.add_repository("acme", "whole", &content);
    }
    let url = "https://github.com/acme/whole.git";
    let cloned = env.git(["clone", "--quiet", "--recurse-submodules", "--jobs", "8", url, "whole"]);
    assert_eq!(cloned.code, Some(0), "{cloned:?}");
    assert!(env.home().join("whole/part-29/README").is_file());
    assert_eq!(env.lookups_and_mints(), (1, 1));
}
