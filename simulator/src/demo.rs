//! The helper at work: clone, push, a submodule of another owner, and what GitHub was asked.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use github_simulator::{ACME_KEY, Simulator};

/// The client ID of the demo's App.
pub(crate) const APP: &str = "Iv23liAcmeCi";

/// An App on two owners, and their repositories.
pub(crate) fn populate(github: &Simulator) {
    let mut world = github.world();
    world.add_app(101, APP, "acme-ci", ACME_KEY);
    world.install(4201, 101, "acme");
    world.install(4202, 101, "globex");
    let gears = world.add_repository("globex", "gears", &[("teeth", "42\n")]);
    world.add_repository("acme", "widgets", &[("README", "Widgets, privately.\n")]);
    let modules = "[submodule \"gears\"]\n\tpath = gears\n\turl = https://github.com/globex/gears.git\n";
    world.add_repository(
        "acme",
        "machine",
        &[(".gitmodules", modules), ("gears", &format!("commit {gears}"))],
    );
}

pub(crate) fn run() -> io::Result<()> {
    let helper = build()?;
    let folder = tempfile::Builder::new().prefix("ghapp-demo-").tempdir()?;
    let github = Simulator::start(&folder.path().join("github"))?;
    populate(&github);
    let home = folder.path().join("home");
    std::fs::create_dir_all(&home)?;
    std::fs::write(home.join("acme-ci.pem"), ACME_KEY)?;
    let stage = Stage { home, helper, proxy: github.proxy().to_owned(), ca: github.ca_file() };

    stage.say("A simulated GitHub runs on this machine. One command sets an App of it up:")?;
    stage.run(&format!(
        "git-credential-ghapp setup --app-id {APP} --private-key acme-ci.pem --move-key folder"
    ))?;
    stage.say("A private repository, cloned and pushed to:")?;
    stage.run("git clone https://github.com/acme/widgets")?;
    stage.run("git -C widgets commit --allow-empty --message Hello")?;
    stage.run("git -C widgets push")?;
    stage.say("A clone with a submodule of another owner:")?;
    stage.run("git clone --recurse-submodules https://github.com/acme/machine")?;
    stage.say("The same identity for other tools, and its end:")?;
    stage.run("git-credential-ghapp status")?;
    stage.run("git-credential-ghapp logout")?;
    stage.say("What GitHub was asked:")?;
    stage.show(&github.log().join("\n"))?;

    let world = github.world();
    let mut mints: BTreeMap<u64, usize> = BTreeMap::new();
    for token in &world.tokens {
        *mints.entry(token.installation).or_default() += 1;
    }
    let counted: Vec<String> = mints
        .iter()
        .map(|(installation, mints)| format!("{mints} for installation {installation}"))
        .collect();
    stage.say(&format!("{} requests, tokens minted: {}.", world.requests.len(), counted.join(", ")))?;
    if mints.len() != 2 || mints.values().any(|mints| *mints != 1) {
        return Err(io::Error::other("that is not one token for each installation"));
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

/// Where the commands run.
struct Stage {
    home: PathBuf,
    helper: PathBuf,
    proxy: String,
    ca: PathBuf,
}

impl Stage {
    fn say(&self, text: &str) -> io::Result<()> {
        writeln!(io::stdout(), "\n{text}\n")
    }

    fn show(&self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| writeln!(io::stdout(), "    {line}"))
    }

    /// Shows and runs a command line without quotes in it.
    #[expect(clippy::disallowed_methods, reason = "git must be found where this process finds it")]
    fn run(&self, line: &str) -> io::Result<()> {
        writeln!(io::stdout(), "    $ {line}")?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.helper.clone()).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).map_err(io::Error::other)?;
        let mut words = line.split(' ');
        let program = words.next().unwrap_or_default();
        let here = self.helper.join(program).with_extension(std::env::consts::EXE_EXTENSION);
        let output = Command::new(if here.exists() { here } else { program.into() })
            .args(words)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.home)
            // The files that the cache needs go with the folder; a keyring's entry would stay for an hour.
            .env("GHAPP_CACHE", "file")
            .env("HTTPS_PROXY", &self.proxy)
            .env("GIT_SSL_CAINFO", &self.ca)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
                [(format!("GIT_{who}_NAME"), "Demo"), (format!("GIT_{who}_EMAIL"), "demo@example.com")]
            }))
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .output()?;
        for text in [&output.stdout, &output.stderr] {
            self.show(&String::from_utf8_lossy(text))?;
        }
        if output.status.success() { Ok(()) } else { Err(io::Error::other(format!("{line} failed"))) }
    }
}
