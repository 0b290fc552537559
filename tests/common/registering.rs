//! `register` at work, and a browser that is played by hand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use super::fresh::Fresh;
use super::{Ran, TestEnv, has, run, skip};

/// A `register` that waits for a browser.
pub struct Registering {
    child: Child,
    /// Its standard output, up to the address of its page.
    told: String,
    rest: BufReader<std::process::ChildStdout>,
    /// The address of its page.
    pub address: String,
}

impl Registering {
    /// Starts it without a person.
    pub fn start(env: &TestEnv, arguments: &[&str]) -> Self {
        let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.arg("register").args(arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut told = String::new();
        let address = loop {
            let mut line = String::new();
            if rest.read_line(&mut line).unwrap() == 0 {
                panic!("it ended: {told} {:?}", child.wait_with_output());
            }
            told += &line;
            if let Some((_, address)) = line.split_once("http://") {
                break format!("http://{}", address.trim());
            }
        };
        Self { child, told, rest, address }
    }

    pub fn port(&self) -> u16 {
        self.address["http://127.0.0.1:".len()..].split('/').next().unwrap().parse().unwrap()
    }

    /// The page, as a browser gets it.
    pub fn page(&self) -> String {
        let path = self.address.splitn(4, '/').nth(3).unwrap();
        let page = self.http("GET", &format!("/{path}"));
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        page
    }

    /// A request to it, and its answer.
    pub fn http(&self, method: &str, target: &str) -> String {
        self.http_as(&format!("127.0.0.1:{}", self.port()), method, target)
    }

    /// The same under another name of this machine.
    pub fn http_as(&self, host: &str, method: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Where GitHub leads the browser of a person who agrees: to this address.
    pub fn agreed(&self, env: &TestEnv, name: &str) -> String {
        agreed(env, &self.page(), name).unwrap_or_else(|page| panic!("{page}"))
    }

    /// Brings GitHub's answer.
    pub fn bring(&self, location: &str) -> String {
        let target = location.strip_prefix(&format!("http://127.0.0.1:{}", self.port())).unwrap();
        self.http("GET", target)
    }

    /// Ends it as a loss of power does.
    pub fn kill(self) {}

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it did, once it has ended.
    pub fn ended(mut self) -> Ran {
        let (mut stdout, mut stderr) = (std::mem::take(&mut self.told), String::new());
        self.rest.read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ran { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Registering {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the form of a page to GitHub and agrees there. Gives where GitHub leads to; or its page, if it does not.
pub fn agreed(env: &TestEnv, page: &str, name: &str) -> Result<String, String> {
    let quoted = |before: &str| {
        let text = page.split(before).nth(1).unwrap().split('"').next().unwrap();
        text.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
    };
    let action = quoted("action=\"");
    let asked = post(env, &action, &[&format!("manifest={}", quoted("name=\"manifest\" value=\""))]);
    let Some(token) = asked.split("name=\"authenticity_token\" value=\"").nth(1) else { return Err(asked) };
    let token = token.split('"').next().unwrap();
    let create = action.split("/new?").next().unwrap();
    let fields = [format!("authenticity_token={token}"), format!("name={name}")];
    let made = post(env, create, &fields.each_ref().map(String::as_str));
    let location =
        made.lines().find_map(|line| line.strip_prefix("Location: ").or(line.strip_prefix("location: ")));
    location.map(|it| it.trim().to_owned()).ok_or(made)
}

/// Sends a form through the simulator's proxy; gives the answer with its headers.
pub fn post(env: &TestEnv, url: &str, fields: &[&str]) -> String {
    let mut curl = env.command("curl");
    curl.args(["--silent", "--show-error", "--include", "--suppress-connect-headers", "--http1.1"]);
    curl.args(["--proxy", env.github.proxy(), "--cacert"]).arg(env.github.ca_file());
    for field in fields {
        curl.args(["--data-urlencode", field]);
    }
    curl.args(["--request", "POST", url]);
    run(&mut curl, b"").ok()
}

pub const CONVERSION: &str = "POST /app-manifests/{code}/conversions";

/// A machine where nothing is set up, and a GitHub where octocat has a repository too. `None` where there is no curl to play
/// a browser.
pub fn fresh() -> Option<Fresh> {
    if !has("curl") {
        skip("curl is not installed");
        return None;
    }
    let fresh = Fresh::new();
    fresh.env.github.world().add_repository("octocat", "hello", &[("README", "hello\n")]);
    Some(fresh)
}

/// Installs the App where its owner would, in a browser.
pub fn install(env: &TestEnv, slug: &str) {
    let told = post(env, &format!("https://github.com/apps/{slug}/installations"), &[]);
    assert!(told.starts_with("HTTP/1.1 302 "), "{told}");
}

/// Brings an answer that is good, and installs the App.
pub fn finish(fresh: &Fresh, register: Registering, name: &str, slug: &str) -> Ran {
    let location = register.agreed(&fresh.env, name);
    let answer = register.bring(&location);
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    assert!(
        answer.contains(&format!("\r\nLocation: https://github.com/apps/{slug}/installations/new\r\n")),
        "{answer}"
    );
    install(&fresh.env, slug);
    register.ended()
}

/// The record of what is not finished.
pub fn record(fresh: &Fresh) -> Option<String> {
    std::fs::read_to_string(fresh.beside("register.json")).ok()
}

#[track_caller]
pub fn nothing_is_set_up(fresh: &Fresh) {
    let keys = std::fs::read_dir(fresh.beside("keys")).map_or(0, Iterator::count);
    assert_eq!((fresh.config(), fresh.gitconfig(), keys), (None, None, 0));
}

#[track_caller]
pub fn is_set_up(fresh: &Fresh, ran: Ran, url: &str) {
    let stdout = ran.stdout.clone();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(stdout.ends_with(&format!("git ls-remote {url} works\n")), "{stdout}");
    fresh.env.git(["clone", "--quiet", url, "cloned"]).ok();
    assert_eq!(record(fresh), None);
}
