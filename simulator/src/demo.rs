//! The helper at work: a clone with a submodule of another owner, a push, and what GitHub was asked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use github_simulator::{ACME_KEY, Request, Simulator};

const WORLD: &str = include_str!("../demo.toml");

pub(crate) fn run() -> io::Result<()> {
    let helper = build()?;
    let folder = tempfile::Builder::new().prefix("ghapp-demo-").tempdir()?;
    let github = Simulator::start(&folder.path().join("github"))?;
    github.world().describe(WORLD, folder.path()).map_err(io::Error::other)?;
    let home = folder.path().join("home");
    std::fs::create_dir_all(&home)?;
    std::fs::write(home.join("acme-ci.pem"), ACME_KEY)?;
    let stage = Stage {
        home,
        helper,
        proxy: github.proxy().to_owned(),
        ca: github.ca_file(),
        output: tempfile::tempfile()?,
    };

    say(
        "A private repository with a submodule of another owner, on a GitHub that is simulated on this machine:\n",
    )?;
    say("$ export GHAPP_APP_ID=Iv23liAcmeCi GHAPP_PRIVATE_KEY_FILE=~/acme-ci.pem")?;
    stage.run("git config --global credential.helper ghapp")?;
    stage.run("git config --global credential.useHttpPath true")?;
    stage.run("git clone --recurse-submodules https://github.com/acme/machine")?;
    stage.run("git -C machine push origin HEAD:hello")?;

    let world = github.world();
    say("\nWhat GitHub was asked, by whom, and its answer:")?;
    table(&world.requests)?;
    let mut mints: BTreeMap<u64, usize> = BTreeMap::new();
    for token in &world.tokens {
        *mints.entry(token.installation).or_default() += 1;
    }
    let one_each = mints.len() == world.installations.len() && mints.values().all(|mints| *mints == 1);
    if !one_each {
        return Err(io::Error::other("that is not one mint for each installation"));
    }
    say(&format!("\n{} requests, one mint for each installation", world.requests.len()))
}

/// The requests in columns. Where git asks the same several times, one line says how often.
fn table(requests: &[Request]) -> io::Result<()> {
    let line = |it: &Request| {
        let path = it.path.split('?').next().unwrap_or_default();
        let by = it.by.split(' ').next().unwrap_or_default();
        format!("{:15} {:4} {path:43} {by:5} {}", it.host, it.method, it.status)
    };
    let lines: Vec<String> = requests.iter().map(line).collect();
    for same in lines.chunk_by(|a, b| a == b) {
        let times = if same.len() > 1 { format!(" ({} times)", same.len()) } else { String::new() };
        say(&format!("{}{times}", same[0]))?;
    }
    Ok(())
}

/// Builds the helper that stands beside this crate; gives its folder.
#[expect(clippy::disallowed_methods, reason = "cargo tells where it is, and this process where it runs")]
fn build() -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let status = Command::new(cargo).args(["build", "--quiet", "--manifest-path"]).arg(manifest).status()?;
    if !status.success() {
        return Err(io::Error::other("the helper cannot be built"));
    }
    let program = std::env::current_exe()?;
    program.parent().map(Path::to_owned).ok_or_else(|| io::Error::other("this program has no folder"))
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Where the commands run.
struct Stage {
    home: PathBuf,
    helper: PathBuf,
    proxy: String,
    ca: PathBuf,
    /// What a command writes to either stream, in its order.
    output: File,
}

impl Stage {
    /// Shows and runs a command line without quotes in it.
    #[expect(clippy::disallowed_methods, reason = "git must be found where this process finds it")]
    fn run(&self, line: &str) -> io::Result<()> {
        say(&format!("$ {line}"))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.helper.clone()).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).map_err(io::Error::other)?;
        let mut words = line.split(' ');
        let mut output = &self.output;
        output.set_len(0)?;
        output.rewind()?;
        let status = Command::new(words.next().unwrap_or_default())
            .args(words)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.home)
            .env("GHAPP_APP_ID", "Iv23liAcmeCi")
            .env("GHAPP_PRIVATE_KEY_FILE", self.home.join("acme-ci.pem"))
            // The files that the cache needs go with the folder; a keyring's entry would stay for an hour.
            .env("GHAPP_CACHE", "file")
            .env("HTTPS_PROXY", &self.proxy)
            .env("GIT_SSL_CAINFO", &self.ca)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(self.output.try_clone()?)
            .stderr(self.output.try_clone()?)
            .status()?;
        let mut text = String::new();
        output.rewind()?;
        output.read_to_string(&mut text)?;
        // As a shell's prompt shows the home folder.
        for told in text.replace(&self.home.display().to_string(), "~").lines() {
            say(told)?;
        }
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{line} failed"))) }
    }
}
