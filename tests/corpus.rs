//! Replays what fuzzing found worth keeping (`fuzz/corpus`), without a fuzzer.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a corpus that cannot be read is a failure"
)]

use git_credential_ghapp::fuzzing;

fn replay(name: &str, check: fn(&[u8])) {
    let folder = std::path::Path::new("fuzz/corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "there is no corpus for {name}");
}

#[test]
fn requests() {
    replay("request", fuzzing::request);
}

#[cfg(unix)]
#[test]
fn messages_over_a_socket() {
    replay("socket", fuzzing::socket);
}

#[test]
fn paths() {
    replay("path", fuzzing::path);
}

#[test]
fn configurations() {
    replay("config", fuzzing::config);
}

#[test]
fn answers_of_the_api() {
    replay("api_answer", fuzzing::api_answer);
}

#[test]
fn cache_entries() {
    replay("cache_entry", fuzzing::cache_entry);
}

#[test]
fn requests_of_browsers() {
    replay("browser", fuzzing::browser);
}

#[test]
fn private_keys() {
    replay("private_key", fuzzing::private_key);
}
