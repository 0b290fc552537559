//! `github-simulator --world FILE`: a GitHub to test with. `github-simulator demo`: the credential helper at work.

mod demo;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use github_simulator::{ACME_KEY, Simulator};

const USAGE: &str = "\
usage: github-simulator --world FILE [--folder FOLDER]
       github-simulator demo

--world   plays the GitHub that FILE describes (see simulator/README.md) until it is interrupted, and prints every
          request
--folder  where its repositories, its CA's certificate and a file of environment variables are, and stay; otherwise
          in a temporary folder
demo      shows git-credential-ghapp at work
";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let is = |argument: &OsStr, name: &str| argument == name;
    let done = match *arguments.as_slice() {
        [command] if is(command, "demo") => demo::run(),
        [flag, file] if is(flag, "--world") => tempfile::Builder::new()
            .prefix("github-simulator-")
            .tempdir()
            .and_then(|folder| serve(file.as_ref(), folder.path())),
        [flag, file, other, folder] if is(flag, "--world") && is(other, "--folder") => {
            serve(file.as_ref(), folder.as_ref())
        }
        [flag] if is(flag, "--help") => io::stdout().write_all(USAGE.as_bytes()),
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

/// Serves until it is interrupted, and prints every request.
fn serve(world: &Path, folder: &Path) -> io::Result<()> {
    let described = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", world.display()));
    let toml = std::fs::read_to_string(world).map_err(|error| described(&error))?;
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let github = Simulator::start(&folder)?;
    let keys = world.parent().unwrap_or(Path::new(""));
    github.world().describe(&toml, keys).map_err(|error| described(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Whoever finds the environment may interrupt already.
        let mut interrupted = pin!(interruption()?);
        let mut out = io::stdout();
        announce(&github, &folder, &mut out)?;
        let mut printed = 0;
        loop {
            for request in &github.world().requests[printed..] {
                writeln!(out, "{request}")?;
                printed += 1;
            }
            tokio::select! {
                () = &mut interrupted => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    })
}

/// Tells how a program comes to see this GitHub; a file appears when it can.
fn announce(github: &Simulator, folder: &Path, out: &mut impl Write) -> io::Result<()> {
    let key = folder.join("app.pem");
    std::fs::write(&key, ACME_KEY)?;
    let ca = github.ca_file().display().to_string();
    let mut environment = format!(
        "export HTTPS_PROXY='{}' GIT_SSL_CAINFO='{ca}' SSL_CERT_FILE='{ca}' CURL_CA_BUNDLE='{ca}'\n",
        github.proxy()
    );
    for app in &github.world().apps {
        environment += &format!("# App {}: id {}, client ID {}\n", app.slug, app.id, app.client_id);
    }
    environment += &format!("# the private key of Apps without private-keys: {}\n", key.display());
    let file = folder.join("environment");
    let unfinished = folder.join("environment.new");
    std::fs::write(&unfinished, &environment)?;
    std::fs::rename(&unfinished, &file)?;
    write!(out, "# for whoever is to see this GitHub (also in {}):\n{environment}", file.display())
}

/// Comes to its end when somebody ends this program, so that its temporary folder can go.
fn interruption() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    {
        let mut interrupt = tokio::signal::windows::ctrl_c()?;
        Ok(async move {
            interrupt.recv().await;
        })
    }
}
