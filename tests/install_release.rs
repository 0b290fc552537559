//! `install.sh --release`: what it puts into place was verified before, and where that fails, everything stays as it was.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use common::{Ran, TestEnv, has, run, skip};
use github_simulator::Effect;

const REPOSITORY: &str = "git-credential-ghapp/git-credential-ghapp";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const SUMS: &str = "GET /{owner}/{repo}/releases/latest/download/{file}";
const FILES: &str = "GET /{owner}/{repo}/releases/download/{tag}/{file}";
/// What the script calls besides what downloads.
const TOOLS: [&str; 20] = [
    "rmdir",
    "sh",
    "uname",
    "grep",
    "sed",
    "cut",
    "mktemp",
    "tar",
    "gzip",
    "sha256sum",
    "rm",
    "mv",
    "mkdir",
    "chmod",
    "dirname",
    "id",
    "cat",
    "tail",
    "cp",
    "ls",
];

/// An archive of a release, with this program.
static ARCHIVE: LazyLock<Vec<u8>> =
    LazyLock::new(|| archive(Path::new(env!("CARGO_BIN_EXE_git-credential-ghapp"))));

fn triple() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

fn archive_name() -> String {
    format!("git-credential-ghapp-v{VERSION}-{}.tar.gz", triple())
}

fn archive(program: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let name = archive_name();
    let inside = name.strip_suffix(".tar.gz").unwrap();
    std::fs::create_dir(folder.path().join(inside)).unwrap();
    std::fs::copy(program, folder.path().join(inside).join("git-credential-ghapp")).unwrap();
    let tar = ["--use-compress-program", "gzip -1", "-cf", "a.tar.gz", inside];
    assert!(Command::new("tar").args(tar).current_dir(folder.path()).status().unwrap().success());
    std::fs::read(folder.path().join("a.tar.gz")).unwrap()
}

fn sum(content: &[u8]) -> String {
    let sums = run(&mut Command::new("sha256sum"), content).ok();
    sums.split(' ').next().unwrap().to_owned()
}

/// A machine that has the script and no source, and a GitHub with a release.
struct Machine {
    env: TestEnv,
    prefix: PathBuf,
    /// The `PATH`, if it is not the machine's with `tools` before it.
    only: Option<PathBuf>,
}

impl Machine {
    fn new() -> Self {
        Self::with_release(&ARCHIVE)
    }

    fn with_release(archive: &[u8]) -> Self {
        let env = TestEnv::fresh();
        env.write("downloads/install.sh", std::fs::read("install.sh").unwrap());
        let sums = format!("{}  {}\n{}  README.md\n", sum(archive), archive_name(), sum(b""));
        let files = [(archive_name(), archive.to_vec()), ("SHA256SUMS".to_owned(), sums.into_bytes())];
        env.github.world().release(REPOSITORY, &format!("v{VERSION}"), files);
        let ca = env.github.ca_file().display().to_string();
        let temporary = env.write("tmp/.keep", "").parent().unwrap().display().to_string();
        let env = env.with("CURL_CA_BUNDLE", ca).with("TMPDIR", temporary);
        let machine = Self { prefix: env.folder.path().join("a prefix"), env, only: None };
        machine.tool("gh", "exit 1");
        machine
    }

    /// Puts a script into `PATH`.
    fn tool(&self, name: &str, text: &str) {
        let script = self.env.write(&format!("scripts/{name}"), format!("#!/bin/sh\n{text}\n"));
        self.env.install(script, &format!("tools/{name}"));
    }

    /// Leaves nothing in `PATH` but these programs.
    fn only(mut self, programs: &[&str]) -> Self {
        let folder = self.env.folder.path().join("only");
        std::fs::create_dir(&folder).unwrap();
        for program in programs {
            let found = run(Command::new("sh").args(["-c", "command -v \"$0\"", program]), b"").ok();
            std::os::unix::fs::symlink(found.trim(), folder.join(program)).unwrap();
        }
        self.only = Some(folder);
        self
    }

    fn call(&self, shell: &[&str], arguments: &[&str]) -> Ran {
        let mut command = self.env.command(shell[0]);
        let (tools, path) = (self.env.folder.path().join("tools"), common::variable("PATH").unwrap());
        let folders = [tools].into_iter().chain(std::env::split_paths(&path));
        let path = self.only.clone().map_or_else(|| std::env::join_paths(folders).unwrap(), Into::into);
        command.env("PATH", path).env("PREFIX", &self.prefix).args(&shell[1..]);
        run(command.arg(self.env.folder.path().join("downloads/install.sh")).args(arguments), b"")
    }

    fn install(&self, arguments: &[&str]) -> Ran {
        self.call(&["sh"], arguments)
    }

    /// That it is refused in one line with one hint, that nothing was installed, and nothing left behind.
    #[track_caller]
    fn refused(&self, ran: Ran, error: &str, hint: &str) {
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let lines: Vec<&str> = ran.stderr.lines().collect();
        assert!(
            matches!(lines.as_slice(), [first, second]
                if first.strip_prefix("install.sh: error: ").is_some_and(|it| it.contains(error))
                    && second.strip_prefix("install.sh: hint: ").is_some_and(|it| it.contains(hint))),
            "{ran:#?}"
        );
        assert!(!self.prefix.exists());
        assert_eq!(std::fs::read_dir(self.env.folder.path().join("tmp")).unwrap().count(), 1);
    }

    fn installed(&self) -> Vec<PathBuf> {
        let inside = |folder: &str| std::fs::read_dir(self.prefix.join(folder)).into_iter().flatten();
        ["bin", "share"].into_iter().flat_map(inside).map(|entry| entry.unwrap().path()).collect()
    }

    #[track_caller]
    fn works(&self, ran: Ran) -> String {
        let told = ran.ok();
        let program = self.prefix.join("bin/git-credential-ghapp");
        let version = run(self.env.command(program).arg("--version"), b"").ok();
        assert!(version.starts_with(&format!("git-credential-ghapp {VERSION}")), "{version}");
        assert!(self.prefix.join("share/man/man1/git-credential-ghapp.1").exists(), "{told}");
        told
    }
}

#[test]
fn a_script_without_source_installs_the_latest_release_through_the_proxy() {
    let machine = Machine::new();
    let told = machine.works(machine.install(&[]));
    assert!(told.starts_with(&format!("verified the checksum of {}\nnote: ", archive_name())), "{told}");
    let log = machine.env.github.log();
    assert!(log.iter().all(|line| line.contains(" [-] ")), "{log:?}");
    // Again, and by its version, with and without the v.
    for version in [VERSION.to_owned(), format!("v{VERSION}")] {
        machine.works(machine.install(&["--release", &version]));
    }
    let removed = machine.install(&["--uninstall", "--yes"]).ok();
    assert!(removed.contains("removed "), "{removed}");
    assert!(!machine.prefix.join("bin/git-credential-ghapp").exists());
}

#[test]
fn a_script_with_source_builds_nothing_for_a_release() {
    let machine = Machine::new();
    machine.env.write("downloads/Cargo.toml", std::fs::read("Cargo.toml").unwrap());
    machine.tool("cargo", "exit 101");
    assert_eq!(machine.install(&[]).code, Some(1));
    machine.works(machine.install(&["--release"]));
}

#[test]
fn a_script_that_comes_through_a_pipe_does_not_build_the_folder_where_it_runs() {
    let machine = Machine::new();
    machine.env.write("home/Cargo.toml", std::fs::read("Cargo.toml").unwrap());
    machine.tool("cargo", "exit 101");
    let mut shell = machine.env.command("sh");
    let path = common::variable("PATH").unwrap();
    let tools = machine.env.folder.path().join("tools");
    shell.env("PATH", format!("{}:{path}", tools.display())).env("PREFIX", &machine.prefix);
    let script = std::fs::read("install.sh").unwrap();
    machine.works(run(&mut shell, &script));
    // Half of it does nothing.
    let half = Machine::new();
    let mut shell = half.env.command("sh");
    shell.env("PREFIX", &half.prefix);
    run(&mut shell, &script[..script.len() * 9 / 10]);
    assert_eq!((half.installed(), half.env.github.log()), (Vec::new(), Vec::new()));
}

#[test]
fn what_does_not_have_the_checksum_is_not_installed_and_what_was_there_stays() {
    let machine = Machine::new();
    let key = format!("{REPOSITORY}/v{VERSION}/{}", archive_name());
    let other = archive(Path::new("/bin/true"));
    *machine.env.github.world().releases.get_mut(&key).unwrap() = other;
    let refused = machine.install(&[]);
    machine.refused(refused, "does not match, so it is not installed", "try again, or report it: https://");
    let old = machine.env.write("a prefix/bin/git-credential-ghapp", "the old one");
    assert_eq!(machine.install(&[]).code, Some(1));
    assert_eq!(std::fs::read_to_string(old).unwrap(), "the old one");
    assert_eq!(machine.installed().len(), 1);
}

#[test]
fn sums_of_another_release_or_of_several_are_refused() {
    let machine = Machine::new();
    let (sum, triple) = (sum(&ARCHIVE), triple());
    let line = |version: &str| format!("{sum}  git-credential-ghapp-v{version}-{triple}.tar.gz\n");
    let key = format!("{REPOSITORY}/v{VERSION}/SHA256SUMS");
    let told = |sums: String, arguments: &[&str]| {
        machine.env.github.world().releases.insert(key.clone(), sums.into_bytes());
        machine.install(arguments)
    };
    let old = told(line("0.0.1"), &["--release", VERSION]);
    machine.refused(old, &format!("the release v{VERSION} names an archive of v0.0.1"), "report it");
    let two = told(line("0.0.1") + &line(VERSION), &[]);
    machine.refused(two, "name several versions", "report it");
    // Nothing but a name that is exactly one.
    for odd in [format!("{sum} *../{triple}\n"), line("1/../../x"), line("$(touch x)"), String::new()] {
        let refused = told(odd, &[]);
        machine.refused(refused, "the release has nothing for ", "build it from its source");
    }
}

#[test]
fn a_version_that_does_not_exist_is_named() {
    let machine = Machine::new();
    let refused = machine.install(&["--release", "99.0.0"]);
    machine.refused(
        refused,
        "/releases/download/v99.0.0/SHA256SUMS: curl: ",
        "see which releases there are: ",
    );
    for odd in ["1.0/../..", "1 2", "1;x"] {
        let told = machine.install(&["--release", odd]);
        let expected =
            format!("install.sh: error: {odd} is not a version\ninstall.sh: hint: ./install.sh --help\n");
        assert_eq!((told.code, told.stderr), (Some(2), expected));
    }
    let told = machine.install(&["--relase"]);
    let expected = "install.sh: error: unexpected argument --relase\ninstall.sh: hint: ./install.sh --help\n";
    assert_eq!((told.code, told.stderr.as_str()), (Some(2), expected));
}

#[test]
fn a_platform_without_a_release_and_a_machine_without_tools_are_told_what_to_do() {
    for (system, hint) in [("FreeBSD amd64", "git clone https://"), ("MINGW64_NT-10.0 x86_64", "use scoop")] {
        let machine = Machine::new();
        let (name, processor) = system.split_once(' ').unwrap();
        machine.tool("uname", &format!("case $1 in -s) echo {name} ;; *) echo {processor} ;; esac"));
        machine.refused(machine.install(&[]), "", hint);
        assert_eq!(machine.env.github.log(), Vec::<String>::new());
    }
    let machine = Machine::new().only(&TOOLS);
    machine.refused(machine.install(&[]), "missing: curl or GNU wget", "with the package manager");
}

#[test]
fn a_proxy_that_does_not_answer_is_named() {
    let mut machine = Machine::new();
    machine.env = machine.env.with("HTTPS_PROXY", "http://127.0.0.1:9");
    machine.refused(machine.install(&[]), "SHA256SUMS: curl: ", "a proxy is named in https_proxy");
}

#[test]
fn no_redirect_leads_away_from_https() {
    for downloader in ["curl", "wget"] {
        if !has(downloader) {
            return skip(&format!("{downloader} is not installed"));
        }
        for (endpoint, file) in [(SUMS, "SHA256SUMS".to_owned()), (FILES, archive_name())] {
            let machine = with_wget(Machine::new()).only(&[&TOOLS[..], &[downloader]].concat());
            let key = format!("{REPOSITORY}/v{VERSION}/{file}");
            let to = without_tls(machine.env.github.world().releases[&key].clone());
            let redirect = Effect::Answer(302, vec![("Location".to_owned(), to)], Vec::new());
            machine.env.fault(endpoint, 9, redirect);
            machine.refused(machine.install(&[]), "cannot download https://", "https://github.com/");
        }
    }
}

/// The address of a server that answers everything with this, over plain http.
fn without_tls(content: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
            while request.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content));
        }
    });
    address
}

/// The same, with what leads wget to the simulator.
fn with_wget(mut machine: Machine) -> Machine {
    let (ca, proxy) = (machine.env.github.ca_file(), machine.env.github.proxy().to_owned());
    let settings = format!("ca_certificate = {}\nhttps_proxy = {proxy}\n", ca.display());
    let settings = machine.env.write("wgetrc", settings).display().to_string();
    machine.env = machine.env.with("WGETRC", settings);
    machine
}

#[test]
fn wget_does_where_there_is_no_curl_and_busybox_in_place_of_the_other_tools() {
    if !has("wget") || !has("busybox") {
        return skip("wget or busybox is not installed");
    }
    let machine = with_wget(Machine::new()).only(&[&TOOLS[..], &["wget"]].concat());
    machine.works(machine.install(&[]));

    let mut machine = Machine::new().only(&["busybox", "curl"]);
    let folder = machine.only.clone().unwrap();
    run(Command::new("busybox").args(["--install", "-s"]).arg(&folder), b"").ok();
    machine.works(machine.call(&["busybox", "sh"], &[]));
    // Its wget takes any certificate.
    std::fs::remove_file(folder.join("curl")).unwrap();
    machine.prefix.push("another");
    machine.refused(machine.call(&["busybox", "sh"], &[]), "missing: curl or GNU wget", "");
}

#[test]
fn where_gh_is_logged_in_it_has_the_last_word() {
    let machine = Machine::new();
    let gh = |confirms: u8| {
        let text = "case \"$*\" in *--help) echo '      --signer-workflow string' ;; 'auth status'*) ;;\n\
                    *) echo \"$*\" >>\"$HOME/asked\"; exit ";
        machine.tool("gh", &format!("{text}{confirms} ;; esac"));
    };
    gh(1);
    machine.refused(machine.install(&[]), "gh does not confirm that the release workflow made", "report it");
    gh(0);
    let told = machine.works(machine.install(&[]));
    assert!(told.starts_with("verified the checksum and the attestation of "), "{told}");
    let asked = std::fs::read_to_string(machine.env.home().join("asked")).unwrap();
    let line = asked.lines().last().unwrap();
    assert!(line.starts_with("attestation verify ") && line.contains(&archive_name()), "{line}");
    assert!(
        line.ends_with(&format!(
            " --repo {REPOSITORY} --signer-workflow {REPOSITORY}/.github/workflows/release.yml"
        )),
        "{line}"
    );
}

#[test]
fn a_program_that_does_not_run_here_is_not_installed() {
    let odd = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(odd.path(), "#!/no/such/loader\n").unwrap();
    let machine = Machine::with_release(&archive(odd.path()));
    machine.refused(machine.install(&[]), "does not run here", "build it from its source");
    let empty = Machine::with_release(b"no archive");
    empty.refused(empty.install(&[]), "cannot unpack ", "report it");
}
