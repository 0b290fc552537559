//! A cold `get` through a line of 50 ms, beside curl, which only looks up and mints.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use github_simulator::ACME_KEY;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use crate::process::has;
use crate::{APP, Bench, LOOKUP, MINT, median, report};

/// How long the line takes there and back.
const ROUND_TRIP: Duration = Duration::from_millis(50);
const ROUNDS: usize = 11;

impl Bench {
    /// Over TLS 1.3, directly: a connection costs two round trips (TCP, TLS), a request one.
    pub(crate) fn through_a_line(&self) {
        if !has("curl") {
            println!("not measured here: a cold get through a line (curl is not there)");
            return;
        }
        let port = line(self.github.host());
        let host = format!("localhost:{port}");
        let pinned = self.github.world().installations[0].id.to_string();
        let median_of = |time: &dyn Fn(usize) -> Duration| {
            let mut times: Vec<Duration> = (0..ROUNDS).map(time).collect();
            median(&mut times)
        };
        for (what, installation, limit) in
            [("lookup + mint", None, 1.25), ("mint", Some(pinned.as_str()), 1.25)]
        {
            let curl = median_of(&|_| self.curl(&host, &pinned, installation.is_some()));
            let helper = median_of(&|round| {
                let name = format!("line-{what}-{round}");
                let mut subject = self.cold_subject(&name).with("GHAPP_HOST", &host).with("HTTPS_PROXY", "");
                if let Some(installation) = installation {
                    subject = subject.with("GHAPP_INSTALLATION_ID", installation);
                }
                subject.input = self.folder.path().join("line");
                std::fs::write(&subject.input, format!("protocol=https\nhost={host}\npath=acme/widgets\n"))
                    .unwrap();
                let began = Instant::now();
                assert!(subject.answers());
                began.elapsed()
            });
            let ms = |time: Duration| time.as_millis();
            let name = format!(
                "cold get through a line of 50 ms ({} ms) / curl's {what} ({} ms)",
                ms(helper),
                ms(curl)
            );
            report(&name, Some(helper.as_secs_f64() / curl.as_secs_f64()), limit);
        }
    }

    /// A clone with 30 submodules of one owner through that line, on a machine where nothing is cached.
    pub(crate) fn submodules(&self) {
        const SUBMODULES: usize = 30;
        {
            let mut world = self.github.world();
            let (mut modules, mut parts) = (String::new(), Vec::new());
            for name in (0..SUBMODULES).map(|number| format!("part-{number}")) {
                let commit = world.add_repository("acme", &name, &[("README", "a part\n")]);
                write!(modules, "[submodule \"{name}\"]\n\tpath = {name}\n\turl = ../{name}.git\n").unwrap();
                parts.push((name, format!("commit {commit}")));
            }
            let parts = parts.iter().map(|(name, commit)| (name.as_str(), commit.as_str()));
            let files: Vec<_> = [(".gitmodules", modules.as_str())].into_iter().chain(parts).collect();
            world.add_repository("acme", "whole", &files);
        }
        let host = format!("localhost:{}", line(self.github.host()));
        let events = self.folder.path().join("events");
        std::fs::create_dir(&events).unwrap();
        let subject = self.cold_subject("submodules").with("GHAPP_HOST", &host).with("HTTPS_PROXY", "");
        let helper = subject.program.display().to_string();
        let counts = || [LOOKUP, MINT].map(|what| self.github.world().count(what));
        let before = counts();
        let mut git = Command::new("git");
        git.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(subject.variables);
        git.env("GIT_TRACE2_EVENT", &events).stdin(Stdio::null());
        git.args(["-c", &format!("credential.helper={helper}"), "-c", "credential.useHttpPath=true"]);
        git.args(["clone", "--quiet", "--recurse-submodules", &format!("https://{host}/acme/whole.git")]);
        let began = Instant::now();
        assert!(git.arg(self.folder.path().join("whole")).status().unwrap().success());
        let took = began.elapsed();
        let [lookups, mints] = counts();
        report(
            "a clone with 30 submodules, nothing cached: lookups",
            Some((lookups - before[0]) as f64),
            1.0,
        );
        report("the same: mints", Some((mints - before[1]) as f64), 1.0);
        let seconds = took.as_secs_f64();
        let share = time_of_children(&events, &helper) / seconds;
        println!("| the same through that line ({seconds:.1} s): the helper's share | {share:.2} | – | – |");
    }

    /// What a helper that neither caches nor probes would ask, over one connection.
    fn curl(&self, host: &str, installation: &str, is_pinned: bool) -> Duration {
        let jwt = format!("Authorization: Bearer {}", jwt());
        let api = format!("https://{host}/api/v3");
        let ca = self.github.ca_file();
        let common =
            ["--silent", "--fail", "--http1.1", "--output", "/dev/null", "--header", &jwt, "--cacert"];
        let mut curl = Command::new("curl");
        curl.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if !is_pinned {
            curl.args(common).arg(&ca).arg(format!("{api}/repos/acme/widgets/installation")).arg("--next");
        }
        curl.args(common).arg(&ca).args(["--request", "POST"]);
        curl.arg(format!("{api}/app/installations/{installation}/access_tokens"));
        let began = Instant::now();
        assert!(curl.stdin(Stdio::null()).status().unwrap().success());
        began.elapsed()
    }
}

/// How many seconds git waited for a program, by its own events.
/// <https://git-scm.com/docs/api-trace2#_the_event_format_target>
fn time_of_children(events: &Path, program: &str) -> f64 {
    let mut seconds = 0.0;
    for file in std::fs::read_dir(events).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut waited_for = None;
        for event in text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
            match event["event"].as_str() {
                Some("child_start")
                    if event["argv"][0].as_str().is_some_and(|it| it.starts_with(program)) =>
                {
                    waited_for = Some(event["child_id"].clone());
                }
                Some("child_exit") if waited_for.as_ref() == Some(&event["child_id"]) => {
                    seconds += event["t_rel"].as_f64().unwrap();
                }
                _ => {}
            }
        }
    }
    seconds
}

fn jwt() -> String {
    let text: String = ACME_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_der(&STANDARD.decode(text).unwrap()).unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = format!("{{\"iss\":\"{APP}\",\"iat\":{},\"exp\":{}}}", now - 30, now + 300);
    let message = [b"{\"alg\":\"RS256\",\"typ\":\"JWT\"}".as_slice(), claims.as_bytes()]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A line to a server: a relay that hands on what it reads half a round trip later, and lets a connection take one. Gives its
/// port.
fn line(server: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = server.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let connected = Instant::now() + ROUND_TRIP;
            let server = TcpStream::connect(&server).unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            hand_on(from_client, to_server, connected);
            hand_on(server, client, connected);
        }
    });
    port
}

/// Hands on from one to the other, in threads of its own.
fn hand_on(mut from: TcpStream, mut to: TcpStream, connected: Instant) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            // Who is not connected yet has sent nothing.
            let sent = Instant::now().max(connected);
            if sender.send((sent + ROUND_TRIP / 2, buffer[..read].to_vec())).is_err() || read == 0 {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if bytes.is_empty() || to.write_all(&bytes).is_err() {
                break;
            }
        }
        // Whoever is gone already needs no word of it.
        let _ = to.shutdown(Shutdown::Write);
    });
}
