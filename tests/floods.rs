//! A command that prints without end costs neither memory nor more than its ten seconds.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::time::{Duration, Instant};

use common::{REQUEST, TestEnv, run};

#[test]
fn a_command_that_floods_its_messages_ends_in_time_and_in_little_memory() {
    let env = TestEnv::bare();
    env.configure("[[app]]\ntoken-command = ['sh', '-c', 'yes ghs_ >&2']\n");
    let mut command = env.command("sh");
    // In KiB. What is read goes no further than this, or the helper is ended for it.
    command.args(["-c", "ulimit -v 300000; exec \"$0\" get", env!("CARGO_BIN_EXE_git-credential-ghapp")]);
    let began = Instant::now();
    let failed = run(&mut command, REQUEST.as_bytes());
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
    assert!(failed.stderr.contains("sh did not end within 10 s: […], […]"), "{failed:?}");
    assert!(failed.stderr.len() < 2000, "{failed:?}");
}
