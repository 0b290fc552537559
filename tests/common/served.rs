//! `serve` as a process of a scenario, and whoever is inside.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{Ran, TestEnv, run};

pub const HELPER: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");

/// A server without a command, which ends with the scenario.
pub struct Served<'e> {
    pub env: &'e TestEnv,
    pub child: Child,
    pub socket: PathBuf,
    pub audit: PathBuf,
}

impl<'e> Served<'e> {
    pub fn start(env: &'e TestEnv, arguments: &[&str]) -> Self {
        let socket = env.folder.path().join("run/socket");
        let audit = env.folder.path().join("audit");
        let mut command = env.command(HELPER);
        command.arg("serve").arg("--socket").arg(&socket).arg("--audit").arg(&audit).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let path = line.trim().strip_prefix("GHAPP_SOCKET=").unwrap_or_else(|| panic!("{line:?}"));
        Self { env, child, socket: path.into(), audit }
    }

    /// A command for whoever is inside: another home, with git as it is but neither key nor configuration of the helper.
    pub fn inside(&self, program: &str) -> Command {
        let home = self.env.folder.path().join("inside");
        if !home.exists() {
            std::fs::create_dir(&home).unwrap();
            std::fs::copy(self.env.home().join(".gitconfig"), home.join(".gitconfig")).unwrap();
        }
        let mut command = self.env.command(program);
        command.env("HOME", &home).env("GHAPP_SOCKET", &self.socket).current_dir(home);
        command
    }

    pub fn git<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        run(self.inside("git").args(arguments), b"")
    }

    pub fn get(&self, path: &str) -> Ran {
        let request = format!("protocol=https\nhost=github.com\npath={path}\n");
        run(self.inside(HELPER).arg("get"), request.as_bytes())
    }

    pub fn audit(&self) -> String {
        std::fs::read_to_string(&self.audit).unwrap()
    }

    /// Lets it end as SIGTERM does; gives its exit code.
    pub fn end(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// What it answers to these bytes.
    pub fn answer(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The repositories and the permissions of the token with this text.
pub fn reach(env: &TestEnv, token: &str) -> (Option<Vec<String>>, String) {
    let world = env.github.world();
    let token = world.tokens.iter().find(|it| it.text == token).unwrap();
    let name = |id: &u64| world.repositories.iter().find(|it| it.id == *id).unwrap().name.clone();
    let repositories = token.repositories.as_ref().map(|ids| ids.iter().map(name).collect());
    let permissions: Vec<String> =
        token.permissions.iter().map(|(name, level)| format!("{name}={level}")).collect();
    (repositories, permissions.join(" "))
}
