//! The program for Windows, played by Wine. `GHAPP_TESTS_WINDOWS` names it; `.ci/cross` builds it, and makes the Windows
//! that stands in the folder `wine` beside the builds. There is no git on it, so git's side is played by these tests.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::fresh::refused;
use common::{ACME_APP, ACME_ON_ACME, MINT, REQUEST, Ran, TestEnv, has, ran, run, skip, variable};
use github_simulator::ACME_KEY;

const WINE: &str = "/usr/lib/wine/wine64";

/// A Windows of its own for one scenario: registry, user and drive `C:`. `Z:` is this machine.
struct Windows {
    env: TestEnv,
    program: String,
    variables: Vec<(&'static str, String)>,
    /// A program that waits for its input, so that Windows need not be started for each call of the helper.
    running: Child,
}

impl Windows {
    /// With the App's key in the user's folder, and a configuration that names it.
    fn new() -> Option<Self> {
        let windows = Self::bare()?;
        windows.write("users/tester/acme.pem", ACME_KEY);
        windows.configure(format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '~/acme.pem'\n"));
        Some(windows)
    }

    /// Without key and configuration.
    fn bare() -> Option<Self> {
        let Some(program) = variable("GHAPP_TESTS_WINDOWS") else {
            skip("GHAPP_TESTS_WINDOWS does not name a program for Windows");
            return None;
        };
        // …/cross/x86_64-pc-windows-gnu/release/git-credential-ghapp.exe
        let template = Path::new(&program).ancestors().nth(3).unwrap().join("wine");
        let env = TestEnv::fresh().without("GHAPP_CACHE");
        let prefix = env.folder.path().join("wine");
        // All but Windows itself, which is large, and which nothing here changes.
        fs::create_dir_all(prefix.join("drive_c")).unwrap();
        for part in ["ProgramData", "Program Files", "users"] {
            copy(&template.join("drive_c").join(part), &prefix.join("drive_c"));
        }
        let own = prefix.join("drive_c/users");
        fs::rename(own.join(variable("USER").unwrap_or_else(|| "root".to_owned())), own.join("tester"))
            .unwrap();
        std::os::unix::fs::symlink(template.join("drive_c/windows"), prefix.join("drive_c/windows")).unwrap();
        for part in ["dosdevices", "system.reg", "user.reg", "userdef.reg", ".update-timestamp"] {
            copy(&template.join(part), &prefix);
        }
        let ca = on_z(&env.github.ca_file());
        let env = env
            .with("GIT_SSL_CAINFO", ca)
            .with("USER", "tester")
            .with("WINEARCH", "win64")
            .with("WINEDEBUG", "-all")
            .with("WINEPREFIX", prefix.to_str().unwrap());
        let mut waiting = env.command(WINE);
        waiting.arg("cmd").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = waiting.spawn().unwrap();
        // Its prompt: Windows is there. Wine cannot be started by two at once.
        running.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Some(Self { env, program, variables: Vec::new(), running })
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// A file on `C:`.
    fn path(&self, name: &str) -> PathBuf {
        self.env.folder.path().join("wine/drive_c").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes the user's configuration, which is in `%APPDATA%`.
    fn configure(&self, toml: impl AsRef<[u8]>) {
        self.write("users/tester/AppData/Roaming/git-credential-ghapp/config/config.toml", toml);
    }

    /// The helper, to be started.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.env.command(WINE);
        command.arg(&self.program).args(arguments).current_dir(self.path("users/tester"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn helper(&self, arguments: &[&str], input: &str) -> Ran {
        let ran = run(&mut self.command(arguments), input.as_bytes());
        Ran { stdout: ran.stdout.replace("\r\n", "\n"), stderr: ran.stderr.replace("\r\n", "\n"), ..ran }
    }

    fn get(&self) -> Ran {
        self.helper(&["get"], REQUEST)
    }

    fn token(&self) -> String {
        let answer = self.get();
        answer.attribute("password").unwrap_or_else(|| panic!("{answer:#?}")).to_owned()
    }

    fn mints(&self) -> usize {
        self.env.github.world().count(MINT)
    }

    /// Whether a file of the user's, or the registry as it is saved, has a text in it.
    fn holds(&self, text: &str) -> bool {
        self.end();
        let found = |folder: &str| {
            let mut grep = Command::new("grep");
            grep.args(["-raqF", text]).arg(self.env.folder.path().join("wine").join(folder));
            grep.status().unwrap().success()
        };
        found("drive_c/users") || found("drive_c/ProgramData") || found("user.reg") || found("system.reg")
    }

    /// Ends what is left of this Windows, so that its registry is saved. Nothing may be left: that is no failure.
    fn end(&self) {
        for what in ["--kill", "--wait"] {
            let _ = self.env.command("/usr/lib/wine/wineserver").arg(what).status();
        }
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.end();
        let _ = self.running.wait();
    }
}

fn copy(from: &Path, into: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(into).status().unwrap().success());
}

/// The path of a file of this machine as Windows has it.
fn on_z(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', "\\"))
}

#[test]
fn get_store_erase_and_capability_answer_as_git_expects() {
    let Some(windows) = Windows::new() else { return };
    assert_eq!(
        windows.helper(&["capability"], "").ok(),
        "version 0\ncapability authtype\ncapability state\n"
    );
    let answer = windows.get();
    // What git reads has no carriage return in it: a token with one at its end is another token.
    let raw = run(&mut windows.command(&["get"]), REQUEST.as_bytes());
    assert_eq!((raw.code, &raw.stdout), (Some(0), &answer.stdout));
    assert_eq!(answer.stderr, "");
    let token = answer.attribute("password").unwrap();
    assert_eq!(windows.mints(), 1);
    let credential = format!("{REQUEST}username=x-access-token\npassword={token}\n");
    assert_eq!(windows.helper(&["store"], &credential).ok(), "");
    assert_eq!(windows.token(), token);
    assert_eq!(windows.helper(&["erase"], &credential).ok(), "");
    assert_ne!(windows.token(), token);
    assert_eq!(windows.mints(), 2);
}

#[test]
fn many_at_once_on_a_cold_cache_cause_one_mint() {
    let Some(windows) = Windows::new() else { return };
    let start = |_| {
        let mut command = windows.command(&["get"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(REQUEST.as_bytes()).unwrap();
        child
    };
    let children: Vec<_> = (0..12).map(start).collect();
    let answers: Vec<Ran> =
        children.into_iter().map(|child| ran(child.wait_with_output().unwrap())).collect();
    let first = answers[0].attribute("password").unwrap_or_else(|| panic!("{answers:#?}")).to_owned();
    for answer in &answers {
        assert_eq!((answer.attribute("password"), answer.stderr.as_str()), (Some(first.as_str()), ""));
    }
    assert_eq!(windows.mints(), 1);
}

#[test]
fn each_store_keeps_a_token_of_520_characters_and_none_keeps_it_readable() {
    for cache in ["keyring", "file", "auto"] {
        let Some(windows) = Windows::new() else { return };
        let windows = windows.with("GHAPP_CACHE", cache);
        windows.env.github.world().long_tokens = true;
        let token = windows.token();
        assert_eq!(token.len(), 520);
        assert_eq!((windows.token(), windows.mints()), (token.clone(), 1), "{cache}");
        let kept_in = if cache == "file" { "sealed file" } else { "Credential Manager" };
        let status = windows.helper(&["status"], "").ok();
        assert!(status.contains(kept_in), "{cache}: {status}");
        let credential = format!("{REQUEST}username=x-access-token\npassword={token}\n");
        assert!(!windows.holds(&token), "{cache}");
        assert_eq!(windows.token(), token, "{cache}: it is there after a restart");
        windows.helper(&["erase"], &credential).ok();
        assert_ne!(windows.token(), token, "{cache}");
    }
}

#[test]
fn a_token_too_long_for_the_credential_manager_goes_to_a_file() {
    let Some(windows) = Windows::bare() else { return };
    let token = format!("ghs_{}", "a".repeat(2600));
    windows.write("users/tester/token", &token);
    windows.configure("[[app]]\ntoken-command = ['cmd', '/c', 'type token']\n");
    assert_eq!(windows.token(), token);
    // The next is from the cache.
    windows.write("users/tester/token", "");
    let answer = windows.get();
    assert_eq!(answer.attribute("password"), Some(token.as_str()), "{answer:#?}");
    assert!(!windows.holds(&token));
}

#[test]
fn a_person_is_served_as_elsewhere() {
    let Some(windows) = Windows::new() else { return };
    let token = windows.helper(&["token", "acme/widgets"], "").ok();
    assert_eq!(token.trim_end(), windows.token());
    let status = windows.helper(&["status"], "").ok();
    assert!(status.contains("acme"), "{status}");
    // There is no git, which doctor says, and what does not need it is checked.
    let told = windows.helper(&["doctor", "acme/widgets"], "");
    assert_eq!(told.code, Some(1), "{told:#?}");
    assert!(told.stdout.contains("failure  git: cannot start git: "), "{told:#?}");
    assert!(!told.stdout.contains(token.trim_end()) && !told.stderr.contains(token.trim_end()));
    assert_eq!(windows.helper(&["logout"], "").ok(), "removed 1 token, revoked 1\n");
    assert!(windows.env.github.world().tokens.iter().all(|it| it.revoked));
}

#[test]
fn paths_with_drives_blanks_and_backslashes_are_understood() {
    let Some(windows) = Windows::bare() else { return };
    windows.write("My Keys/acme.pem", ACME_KEY);
    windows.write("users/tester/keys/acme.pem", ACME_KEY);
    windows.write("users/tester/AppData/Roaming/git-credential-ghapp/config/keys/acme.pem", ACME_KEY);
    for key in [
        r"C:\My Keys\acme.pem",
        "C:/My Keys/acme.pem",
        r"c:\my keys\ACME.PEM",
        "~/keys/acme.pem",
        r"~\keys\acme.pem",
        r"keys\acme.pem",
        &on_z(&windows.path("My Keys/acme.pem")),
    ] {
        windows.configure(format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{key}'\n"));
        let told = windows.helper(&["token", "--app"], "");
        assert!(told.stdout.starts_with("ey"), "{key}: {told:#?}");
    }
    // Between double quotes a backslash is TOML's.
    windows.configure(format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = \"C:\\My Keys\\acme.pem\"\n"));
    let told = windows.helper(&["token", "--app"], "");
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("config.toml, line 3"), "{told:#?}");
    windows.write("A B/config.toml", format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = 'acme key.pem'\n"));
    windows.write("A B/acme key.pem", ACME_KEY);
    let windows = windows.with("GHAPP_CONFIG", r"C:\A B\config.toml");
    windows.token();
    let told = windows.helper(&["--config", r"C:\A B\none.toml", "get"], REQUEST);
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""));
    let expected = r"error: cannot read the configuration C:\A B\none.toml: ";
    assert!(told.stderr.contains(expected), "{told:#?}");
}

#[test]
fn what_editors_on_windows_write_is_read_or_refused_in_one_line() {
    let Some(windows) = Windows::bare() else { return };
    let marked = |text: &str| format!("\u{feff}{text}");
    let key = ACME_KEY.replace('\n', "\r\n");
    let configuration = format!("# ours\r\n[[app]]\r\nid = '{ACME_APP}'\r\nprivate-key = '~/acme.pem'\r\n");
    for (key, configuration) in [(key.clone(), configuration.clone()), (marked(&key), marked(&configuration))]
    {
        windows.write("users/tester/acme.pem", key);
        windows.configure(configuration);
        windows.token();
        windows.helper(&["logout"], "").ok();
    }
    let utf16 = |text: &str| -> Vec<u8> { marked(text).encode_utf16().flat_map(u16::to_le_bytes).collect() };
    windows.write("users/tester/acme.pem", utf16(&key));
    refused(&windows.get(), "is not a private key in PEM format", "download a private key");
    windows.configure(utf16(&configuration));
    let told = windows.get();
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.ends_with("config.toml: it is UTF-16; save it as UTF-8\n"), "{told:#?}");
}

#[test]
fn the_machines_configuration_is_used_only_if_administrators_alone_may_write_it() {
    let Some(windows) = Windows::new() else { return };
    // Wine says of every file that it belongs to the user, which is what a file of any user looks like.
    windows.write("ProgramData/git-credential-ghapp/config.toml", "[[app]]\nid = 'somebody'\n");
    let answer = windows.get();
    assert!(answer.attribute("password").is_some(), "the user's own configuration goes on: {answer:#?}");
    let expected = r"warning: the configuration C:\ProgramData\git-credential-ghapp\config.toml is not used: it belongs to ";
    assert!(answer.stderr.contains(expected), "{answer:#?}");
    assert!(answer.stderr.contains("/setowner *S-1-5-32-544"), "{answer:#?}");
    // Whatever else stands there keeps nobody from git either.
    fs::remove_file(windows.path("ProgramData/git-credential-ghapp/config.toml")).unwrap();
    fs::create_dir(windows.path("ProgramData/git-credential-ghapp/config.toml")).unwrap();
    let answer = windows.get();
    assert!(answer.attribute("password").is_some() && answer.stderr.contains("is not used: "), "{answer:#?}");
}

/// Prints a token, and leaves a program running that has all that this one could hand on.
const LEAVES_SOMETHING: &str = r#"
#include <windows.h>
#include <stdio.h>
int main(int count, char **words) {
    STARTUPINFOA start = { sizeof start };
    PROCESS_INFORMATION process;
    char command[] = "cmd /c lasting.cmd";
    if (!CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &start, &process)) return 1;
    puts(words[1]);
    return 0;
}
"#;

#[test]
fn what_a_command_leaves_running_is_not_waited_for() {
    let Some(windows) = Windows::bare() else { return };
    let compiler = "x86_64-w64-mingw32-gcc";
    if !has(compiler) {
        return skip("there is no compiler for Windows");
    }
    let token = windows.env.github.world().issue(ACME_ON_ACME);
    windows.write("users/tester/leave.c", LEAVES_SOMETHING);
    let user = windows.path("users/tester");
    let mut compile = Command::new(compiler);
    assert!(compile.args(["leave.c", "-o", "leave.exe"]).current_dir(user).status().unwrap().success());
    windows.write(
        "users/tester/lasting.cmd",
        "@echo on>began\r\n@ping -n 20 127.0.0.1 >nul\r\n@echo on>ended\r\n",
    );
    windows.configure(format!("[[app]]\ntoken-command = ['~/leave.exe', '{token}']\n"));
    // Of this program's streams git waits for the standard output alone. (Wine gives the other to every process.)
    let mut command = windows.command(&["get"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(REQUEST.as_bytes()).unwrap();
    let answer = ran(child.wait_with_output().unwrap());
    assert_eq!(answer.attribute("password"), Some(token.as_str()));
    assert!(windows.path("users/tester/began").exists());
    assert!(!windows.path("users/tester/ended").exists(), "git would have waited for it");
}

#[test]
fn exit_codes_and_what_takes_git_or_another_system_are_as_elsewhere() {
    let Some(windows) = Windows::new() else { return };
    let code = |arguments: &[&str]| windows.helper(arguments, "").code;
    assert_eq!(code(&["exec", "--for", "acme", "--", "cmd", "/c", "exit 7"]), Some(7));
    let with_token =
        ["exec", "--for", "acme", "--", "cmd", "/c", "if defined GH_TOKEN (exit 3) else (exit 4)"];
    assert_eq!(code(&with_token), Some(3));
    assert_eq!(code(&["exec", "--for", "acme", "--", "no-such-program"]), Some(127));
    assert_eq!(code(&["status", "--no-such-flag"]), Some(2));
    assert_eq!(code(&["get", "--no-such-flag"]), Some(2));
    refused(
        &windows.helper(&["token", "initech/x"], ""),
        "is not installed",
        "https://github.com/apps/acme-ci",
    );
    let serve = ["serve", "--socket", "x", "--allow", "acme/widgets"];
    refused(&windows.helper(&serve, ""), "serve needs Unix sockets", "WSL");
    let key = ["--private-key", r"C:\users\tester\acme.pem"];
    let setup = [&["setup", "--dry-run", "--app-id", ACME_APP], &key[..]].concat();
    refused(&windows.helper(&setup, ""), "cannot start git", "install git");
    refused(&windows.helper(&["register"], ""), "cannot start git", "install git");
    assert!(windows.helper(&["uninstall", "--dry-run"], "").ok().contains("this would be done"));
}
