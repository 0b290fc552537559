//! What every scenario starts from: a GitHub of its own, a home of its own, and nothing of the developer's
//! environment.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a scenario that cannot be set up has failed"
)]

pub mod browser;
pub mod fresh;
#[cfg(unix)]
pub mod job;
pub mod registering;
#[cfg(unix)]
pub mod served;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use github_simulator::{ACME_KEY, Effect, Fault, GLOBEX_KEY, Simulator};
use tempfile::TempDir;

pub const WIDGETS: &str = "https://github.com/acme/widgets.git";
/// What git asks for them.
pub const REQUEST: &str = "protocol=https\nhost=github.com\npath=acme/widgets\n";

/// The endpoints that answer it: which installation, a token of it, and whether git's server takes the token.
pub const LOOKUP: &str = "GET /repos/{owner}/{repo}/installation";
pub const MINT: &str = "POST /app/installations/{id}/access_tokens";
pub const PROBE: &str = "GET /{owner}/{repo}.git/info/refs";

pub const ACME_APP: &str = "Iv23liAcmeCi";
pub const GLOBEX_APP: &str = "Iv23liGlobexDeploy";
/// The installations of `acme-ci` on acme and on globex, and of `globex-deploy` on globex.
pub const ACME_ON_ACME: u64 = 4201;
pub const ACME_ON_GLOBEX: u64 = 4202;
pub const GLOBEX_ON_GLOBEX: u64 = 4301;

/// A GitHub, a home, and the helper configured for one App.
pub struct TestEnv {
    pub folder: TempDir,
    pub github: Simulator,
    variables: BTreeMap<String, String>,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The standard output of a command that must have worked.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// The value of an attribute in an answer.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.stdout.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

impl TestEnv {
    /// One App, configured for `github.com`, which is reached through the simulator's proxy.
    pub fn new() -> Self {
        Self::bare().with_app()
    }

    /// The same in a folder that other users may enter. `None` where there is none.
    #[cfg(unix)]
    pub fn for_several_users() -> Option<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let others_may_enter = |folder: &Path| {
            folder.canonicalize().is_ok_and(|path| {
                path.ancestors()
                    .all(|it| std::fs::metadata(it).is_ok_and(|it| it.permissions().mode() & 0o001 != 0))
            })
        };
        let folders = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
        let folder = folders.into_iter().find(|folder| others_may_enter(folder))?;
        let folder = tempfile::tempdir_in(folder).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self::bare_in(folder).with_app())
    }

    fn with_app(self) -> Self {
        let key = self.write_private("keys/acme.pem", ACME_KEY);
        self.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n", key.display()));
        self
    }

    /// The same without any configuration of the helper.
    pub fn bare() -> Self {
        Self::bare_in(tempfile::tempdir().unwrap())
    }

    fn bare_in(folder: TempDir) -> Self {
        let github = Simulator::start(&folder.path().join("github")).unwrap();
        {
            let mut world = github.world();
            world.add_app(101, ACME_APP, "acme-ci", ACME_KEY);
            world.add_app(102, GLOBEX_APP, "globex-deploy", GLOBEX_KEY);
            world.install(ACME_ON_ACME, 101, "acme");
            world.install(ACME_ON_GLOBEX, 101, "globex");
            world.install(GLOBEX_ON_GLOBEX, 102, "globex");
            let gears = world.add_repository("globex", "gears", &[("teeth", "42\n")]);
            world.add_repository("acme", "widgets", &[("README", "widgets\n")]);
            let modules = "[submodule \"gears\"]\n\tpath = gears\n\turl = ../../globex/gears.git\n";
            world.add_repository(
                "acme",
                "machine",
                &[(".gitmodules", modules), ("gears", &format!("commit {gears}"))],
            );
        }
        let env = Self { folder, github, variables: BTreeMap::new() };
        let ca = env.github.ca_file();
        let config = format!(
            "[user]\n\tname = T\n\temail = t@example.com\n[init]\n\tdefaultBranch = main\n\
             [http]\n\tproxy = {}\n\tsslCAInfo = {}\n\
             [credential]\n\thelper = ghapp\n\tuseHttpPath = true\n",
            env.github.proxy(),
            ca.display()
        );
        env.write("home/.gitconfig", &config);
        // Files and not the keyring: a user's keyring has room for 37 tokens.
        env.with("GHAPP_CACHE", "file")
    }

    /// A machine with git where nothing is set up, neither git nor the helper. The way to the simulator is in the
    /// environment, so that git's configuration is as a person has it.
    pub fn fresh() -> Self {
        let env = Self::bare();
        std::fs::remove_file(env.home().join(".gitconfig")).unwrap();
        let (proxy, ca) = (env.github.proxy().to_owned(), env.github.ca_file().display().to_string());
        env.with("HTTPS_PROXY", proxy).with("GIT_SSL_CAINFO", ca)
    }

    /// Sets an environment variable for everything that is run from now on.
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.variables.insert(name.to_owned(), value.as_ref().to_owned());
        self
    }

    /// Removes such a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The helper's cache folder.
    pub fn cache(&self) -> PathBuf {
        let caches = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
        self.home().join(caches).join("git-credential-ghapp")
    }

    /// Writes a file below this environment's folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The same, for nobody else to read.
    pub fn write_private(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write(name, content);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        path
    }

    /// A copy of a program, to be executed. Another process writes it: what a test beside this one starts while this process
    /// has the file open for writing would have it open too for an instant, in which it cannot be executed (ETXTBSY).
    #[cfg(unix)]
    pub fn install(&self, program: impl AsRef<std::ffi::OsStr>, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        let mut install = Command::new("install");
        assert!(install.args(["-m", "755"]).arg(program).arg(&copy).status().unwrap().success());
        copy
    }

    /// Where the helper's configuration file is below the home folder.
    pub const CONFIG: &str = if cfg!(target_os = "macos") {
        "Library/Application Support/git-credential-ghapp/config.toml"
    } else {
        ".config/git-credential-ghapp/config.toml"
    };

    /// Writes the user's configuration file of the helper.
    pub fn configure(&self, toml: &str) {
        self.write(&format!("home/{}", Self::CONFIG), toml);
    }

    /// Adds to git's configuration.
    pub fn git_config(&self, key: &str, value: &str) {
        self.git(["config", "--global", key, value]).ok();
    }

    /// A command in this environment and no other.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let helper = Path::new(env!("CARGO_BIN_EXE_git-credential-ghapp")).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(helper.to_owned()).chain(std::env::split_paths(&path));
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C.UTF-8")
            .envs(&self.variables)
            .current_dir(self.home());
        command
    }

    /// Runs git in the home folder.
    pub fn git<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        let mut command = self.command("git");
        command.args(arguments);
        run(&mut command, b"")
    }

    /// Runs git in a folder below the home folder.
    pub fn git_in<'a>(&self, folder: &str, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        let mut command = self.command("git");
        command.args(arguments).current_dir(self.home().join(folder));
        run(&mut command, b"")
    }

    /// Runs git so many times at once.
    pub fn git_at_once(&self, count: usize, arguments: &[&str]) -> Vec<Ran> {
        let mut command = self.command("git");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let children: Vec<_> = (0..count).map(|_| command.spawn().unwrap()).collect();
        children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect()
    }

    /// Runs the helper itself.
    pub fn helper<'a>(&self, arguments: impl IntoIterator<Item = &'a str>, input: impl AsRef<[u8]>) -> Ran {
        let mut command = self.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.args(arguments);
        run(&mut command, input.as_ref())
    }

    /// Runs the helper as a person does who sits at a terminal and types; what is written to either stream is its
    /// standard output. `None` where there is no `script` to play the terminal.
    pub fn at_a_terminal(&self, arguments: &str, typed: &str) -> Option<Ran> {
        if !has("script") {
            skip("script is not installed");
            return None;
        }
        let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_git-credential-ghapp"));
        let mut script = self.command("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        Some(run(&mut script, typed.as_bytes()))
    }

    /// Asks the helper as git does.
    pub fn get(&self, host: &str, path: &str) -> Ran {
        self.helper(["get"], format!("protocol=https\nhost={host}\npath={path}\n"))
    }

    /// Starts the helper as git does for [`REQUEST`], and does not wait for it.
    pub fn start_get(&self) -> Child {
        let mut command = self.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(REQUEST.as_bytes()).unwrap();
        child
    }

    /// Lets so many requests to an endpoint go wrong, such as [`MINT`].
    #[track_caller]
    pub fn fault(&self, endpoint: &str, times: u32, effect: Effect) {
        let endpoint = endpoint.parse().unwrap_or_else(|error| panic!("{error}"));
        self.github.world().faults.push(Fault { endpoint, times, effect });
    }

    /// How many lookups of an installation and how many mints were asked for.
    pub fn lookups_and_mints(&self) -> (usize, usize) {
        let world = self.github.world();
        let lookups = [
            LOOKUP,
            "GET /repositories/{id}/installation",
            "GET /orgs/{org}/installation",
            "GET /users/{name}/installation",
        ];
        (lookups.iter().map(|endpoint| world.count(endpoint)).sum(), world.count(MINT))
    }
}

/// Says why a scenario was not played. Where everything is installed (`GHAPP_TESTS_MAY_NOT_SKIP`), that is a failure.
#[track_caller]
pub fn skip(why: &str) {
    assert!(std::env::var_os("GHAPP_TESTS_MAY_NOT_SKIP").is_none(), "skipped: {why}");
    note(&format!("skipped: {why}"));
}

/// Says something about a scenario.
pub fn note(what: &str) {
    eprintln!("{what}");
}

/// A variable of the developer's environment, for what a scenario needs of the machine itself.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether a program can be found.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs a command with an input, and waits for its end.
pub fn run(command: &mut Command, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not want its input is no failure.
    let _ = child.stdin.take().unwrap().write_all(input);
    ran(child.wait_with_output().unwrap())
}

pub fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
