//! `github-simulator serve`: a GitHub to play with. `github-simulator demo`: the helper at work.

mod demo;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use github_simulator::Simulator;

const USAGE: &str = "usage: github-simulator demo | serve FOLDER\n";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match arguments.as_slice() {
        [command] if command == "demo" => demo::run(),
        [command, folder] if command == "serve" => serve(folder.as_ref()),
        _ => {
            let _ = io::stderr().write_all(USAGE.as_bytes());
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "github-simulator: error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is stopped, and prints every request.
fn serve(folder: &std::path::Path) -> io::Result<()> {
    let github = Simulator::start(folder)?;
    demo::populate(&github);
    let key = folder.join("acme.pem");
    std::fs::write(&key, github_simulator::ACME_KEY)?;
    let mut out = io::stdout();
    writeln!(out, "# In another terminal, https://github.com/acme/widgets is this simulator's:")?;
    writeln!(out, "export HTTPS_PROXY={} GIT_SSL_CAINFO='{}'", github.proxy(), github.ca_file().display())?;
    writeln!(out, "export GHAPP_APP_ID={} GHAPP_PRIVATE_KEY_FILE='{}'", demo::APP, key.display())?;
    let mut printed = 0;
    loop {
        let log = github.log();
        for line in &log[printed..] {
            writeln!(out, "{line}")?;
        }
        printed = log.len();
        std::thread::sleep(Duration::from_millis(200));
    }
}
