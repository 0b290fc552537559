//! Replays what fuzzing found worth keeping (`fuzz/corpus`), without a fuzzer.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a corpus that cannot be read is a failure"
)]

use git_credential_ghapp::foreign;

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
    replay("request", foreign::request);
}

#[test]
fn paths() {
    replay("path", foreign::path);
}

#[test]
fn configurations() {
    replay("config", foreign::config);
}

#[test]
fn answers_of_the_api() {
    replay("api_answer", foreign::api_answer);
}

#[test]
fn cache_entries() {
    replay("cache_entry", foreign::cache_entry);
}

#[test]
fn private_keys() {
    replay("private_key", foreign::private_key);
}
