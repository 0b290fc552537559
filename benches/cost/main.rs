//! What a `get` costs, beside an empty process and git's own helpers: `cargo bench --bench cost`.
//!
//! Whole processes, pinned to one core, in random order, medians. `cargo bench --bench cost -- counts` prints
//! instructions and system calls instead, which do not depend on load; `-- check` compares those with
//! `benches/cost/counts.txt` and fails where a warm `get` became dearer; `-- plots` draws the plots in `docs`; `-- line`,
//! `-- never-seen`, `-- signing`, `-- submodules` and `-- parallel` measure only that.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement that cannot be made has failed")]
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it prints figures about processes")]

mod counts;
mod line;
mod plots;
mod process;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use github_simulator::{ACME_KEY, Simulator};
use process::{Subject, has, pin};

const APP: &str = "Iv23liAcmeCi";
const ROUNDS: usize = 300;
const LOOKUP: &str = "GET /repos/{owner}/{repo}/installation";
const MINT: &str = "POST /app/installations/{id}/access_tokens";

fn main() {
    let mode = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    match mode.as_str() {
        "counts" => print!("{}", Bench::new().counts()),
        "check" => counts::check(),
        "plots" => Bench::new().plots(),
        "line" => Bench::new().through_a_line(),
        "never-seen" => Bench::new().never_seen(),
        "signing" => Bench::new().signing(),
        "parallel" => Bench::new().parallel(),
        "submodules" => Bench::new().submodules(),
        _ => Bench::new().measure(),
    }
}

struct Bench {
    folder: tempfile::TempDir,
    github: Simulator,
    empty: Subject,
    glibc: Subject,
    musl: Option<Subject>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let github = Simulator::start(&folder.path().join("github")).unwrap();
        {
            let mut world = github.world();
            world.add_app(101, APP, "acme-ci", ACME_KEY);
            world.install(4_000_000_000 + u64::from(std::process::id()), 101, "acme");
            world.add_repository("acme", "widgets", &[("README", "widgets\n")]);
        }
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            path
        };
        write("home/acme.pem", ACME_KEY);
        write(
            "home/.config/git-credential-ghapp/config.toml",
            &format!("[[app]]\nid = \"{APP}\"\nprivate-key = \"~/acme.pem\"\n"),
        );
        let request = write("request", "protocol=https\nhost=github.com\npath=acme/widgets.git\n");
        let source = write("empty.rs", "fn main() {}\n");
        let linked = folder.path().join("linked");
        let built =
            Command::new("rustc").args(["-O", "-C", "strip=symbols", "-o"]).arg(&linked).arg(source).status();
        assert!(built.unwrap().success());
        let home = folder.path().join("home");
        let variables = vec![
            ("HOME".to_owned(), home.display().to_string()),
            ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
            ("HTTPS_PROXY".to_owned(), github.proxy().to_owned()),
            ("GIT_SSL_CAINFO".to_owned(), github.ca_file().display().to_string()),
        ];
        let empty = Subject {
            program: copy(&linked, &folder.path().join("empty")),
            arguments: Vec::new(),
            variables: variables.clone(),
            input: request.clone(),
        };
        // Copied, as install.sh does: a program that was just linked starts more slowly than its copy.
        let install = |built: &Path, name: &str| Subject {
            program: copy(built, &folder.path().join(name)),
            arguments: vec!["get".to_owned()],
            variables: variables.clone(),
            input: request.clone(),
        };
        // Where cargo puts it with the target installed, or without.
        let musl = ["target/x86_64-unknown-linux-musl", "target/cross/x86_64-unknown-linux-musl"]
            .map(|folder| {
                Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("release/git-credential-ghapp")
            })
            .into_iter()
            .find(|path| path.is_file())
            .map(|built| install(&built, "musl"));
        let glibc = install(Path::new(env!("CARGO_BIN_EXE_git-credential-ghapp")), "glibc");
        Self { empty, glibc, musl, github, folder }
    }

    /// A request for a host that is not configured.
    fn declined(&self, helper: &Subject) -> Subject {
        let input = self.folder.path().join("foreign");
        std::fs::write(&input, "protocol=https\nhost=evil.example\npath=acme/widgets.git\n").unwrap();
        Subject { input, ..helper.clone() }
    }

    /// Interleaved runs in random order; the median of each, and how far its quartiles lie apart.
    fn medians(&self, subjects: &[(&str, Subject)]) -> Vec<(Duration, Duration)> {
        let mut samples = vec![Vec::new(); subjects.len()];
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        let mut state = 88_172_645_463_325_252_u64;
        for round in 0..ROUNDS + 10 {
            for last in (1..order.len()).rev() {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                order.swap(last, usize::try_from(state % (last as u64 + 1)).unwrap());
            }
            for index in &order {
                let time = subjects[*index].1.time();
                if round >= 10 {
                    samples[*index].push(time);
                }
            }
        }
        samples
            .into_iter()
            .map(|mut times| {
                times.sort_unstable();
                (times[times.len() / 2], times[times.len() * 3 / 4] - times[times.len() / 4])
            })
            .collect()
    }

    fn measure(&self) {
        pin();
        let mut subjects: Vec<(&str, Subject)> = vec![("empty process", self.empty.clone())];
        subjects.push(("declined, glibc", self.declined(&self.glibc)));
        let helpers = [Some(("glibc", &self.glibc)), self.musl.as_ref().map(|musl| ("musl", musl))];
        for (libc, helper) in helpers.into_iter().flatten() {
            for store in ["keyring", "file"] {
                let subject = helper.with("GHAPP_CACHE", store);
                assert!(subject.answers(), "{store}");
                let name = match (libc, store) {
                    ("glibc", "keyring") => "kernel keyring, glibc",
                    ("glibc", _) => "sealed file, glibc",
                    (_, "keyring") => "kernel keyring, musl",
                    _ => "sealed file, musl",
                };
                subjects.push((name, subject));
            }
        }
        let mut flagged = self.glibc.with("GHAPP_CACHE", "file");
        let config = self.folder.path().join("home/.config/git-credential-ghapp/config.toml");
        flagged.arguments = vec!["--config".to_owned(), config.display().to_string(), "get".to_owned()];
        subjects.push(("sealed file and a flag, glibc", flagged));
        let _daemon = self.anchors(&mut subjects);
        println!("{ROUNDS} runs each, interleaved in random order, pinned to one core\n");
        let mut rows = self.compare(&subjects, "git-credential-cache");
        // Apart, because they and their daemons leave nothing of the others in the processor's caches.
        let session = Session::start(&self.folder.path().join("session"));
        if let Some(session) = &session {
            let mut subjects: Vec<(&str, Subject)> = vec![("empty process", self.empty.clone())];
            self.on_a_session_bus(session, &mut subjects);
            rows.extend(self.compare(&subjects, "git-credential-libsecret"));
        }
        println!("\n| target | measured | limit | holds |\n|---|---|---|---|");
        for (name, to, limit) in [
            ("kernel keyring, glibc", "git-credential-cache", 1.05),
            ("kernel keyring, musl", "empty process", 0.3),
            ("Secret Service, glibc", "git-credential-libsecret", 0.3),
        ] {
            let found = rows.iter().find(|row| row.0 == name && row.1 == to);
            report(&format!("{name} / {to}"), found.map(|row| row.2), limit);
        }
        self.many();
        self.cold();
        self.signing();
        self.through_a_line();
        self.submodules();
        self.parallel();
        self.never_seen();
        let memory = |subject: &Subject| subject.memory().map(|peak| peak as f64 / 1024.0);
        let above = memory(&self.glibc).zip(memory(&self.empty)).map(|(ours, empty)| ours - empty);
        report("peak memory above an empty process, MiB", above, 4.0);
        let size = std::fs::metadata(&self.glibc.program).unwrap().len() as f64 / 1_000_000.0;
        report("stripped binary, MB", Some(size), 4.3);
    }

    /// Measures side by side, and prints a table; gives the ratios to an empty process and to another helper.
    fn compare<'s>(&self, subjects: &[(&'s str, Subject)], other: &'s str) -> Vec<(&'s str, &'s str, f64)> {
        let medians = self.medians(subjects);
        let of = |name: &str| {
            let position = subjects.iter().position(|(subject, _)| *subject == name);
            position.map(|position| medians[position].0.as_secs_f64())
        };
        let mut rows = Vec::new();
        println!("| process | median ms | quartiles apart ms | × empty | × {other} |\n|---|---|---|---|---|");
        for ((name, _), (median, spread)) in subjects.iter().zip(&medians) {
            let mut cells = String::new();
            for to in ["empty process", other] {
                let ratio = of(to).map(|to| median.as_secs_f64() / to);
                rows.extend(ratio.map(|ratio| (*name, to, ratio)));
                write!(cells, " {} |", ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")))
                    .unwrap();
            }
            let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
            println!("| {name} | {:.3} | {:.3} |{cells}", ms(median), ms(spread));
        }
        println!();
        rows
    }

    /// git's own helpers, each holding a credential.
    fn anchors(&self, subjects: &mut Vec<(&str, Subject)>) -> Option<Daemon> {
        let output = Command::new("git").arg("--exec-path").output().unwrap();
        let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        let stored = self.folder.path().join("stored");
        let request = std::fs::read_to_string(&self.glibc.input).unwrap();
        std::fs::write(&stored, format!("{request}username=x\npassword={}\n", "y".repeat(40))).unwrap();
        for name in ["git-credential-cache", "git-credential-store"] {
            let mut subject = Subject { program: folder.join(name), ..self.glibc.clone() };
            if !subject.program.is_file() {
                continue;
            }
            subject.arguments = vec!["store".to_owned()];
            let get_input = std::mem::replace(&mut subject.input, stored.clone());
            subject.time();
            subject.arguments = vec!["get".to_owned()];
            subject.input = get_input;
            assert!(subject.answers(), "{name}");
            subjects.push((name, subject));
        }
        let daemon = folder.join("git-credential-cache");
        daemon.is_file().then(|| {
            Daemon(Subject { program: daemon, arguments: vec!["exit".to_owned()], ..self.glibc.clone() })
        })
    }

    /// The Secret Service, and git's own helper for it, built from the source that Debian's git brings.
    fn on_a_session_bus(&self, session: &Session, subjects: &mut Vec<(&str, Subject)>) {
        let bus = |subject: &Subject| {
            let subject = subject.with("DBUS_SESSION_BUS_ADDRESS", &session.address);
            subject.with("XDG_RUNTIME_DIR", session.runtime.to_str().unwrap())
        };
        let ours = bus(&self.glibc).with("GHAPP_CACHE", "secret-service");
        assert!(ours.answers());
        let before = self.github.log().len();
        assert!(ours.answers());
        assert_eq!(self.github.log().len(), before, "the Secret Service does not keep it");
        subjects.push(("Secret Service, glibc", ours));
        let source = "/usr/share/doc/git/contrib/credential/libsecret/git-credential-libsecret.c";
        let program = self.folder.path().join("git-credential-libsecret");
        let line = "gcc -O2 -o \"$1\" \"$2\" $(pkg-config --cflags --libs libsecret-1 glib-2.0)";
        let mut build = Command::new("sh");
        build.args(["-c", line, "sh"]).arg(&program).arg(source).stderr(Stdio::null());
        if !Path::new(source).is_file() || !build.status().is_ok_and(|status| status.success()) {
            println!("git-credential-libsecret cannot be built here (libsecret-1-dev, and Debian's git)\n");
            return;
        }
        let mut theirs = Subject { program, ..bus(&self.glibc) };
        theirs.arguments = vec!["store".to_owned()];
        let get_input = std::mem::replace(&mut theirs.input, self.folder.path().join("stored"));
        theirs.time();
        theirs.arguments = vec!["get".to_owned()];
        theirs.input = get_input;
        assert!(theirs.answers(), "git-credential-libsecret");
        subjects.push(("git-credential-libsecret", theirs));
    }

    /// So many cold `get`s of one installation at once: how long until the last one has its answer.
    fn at_once(&self, callers: u32, name: &str) -> Duration {
        let subject = self.cold_subject(name);
        let before = self.github.world().tokens.len();
        let began = Instant::now();
        let children: Vec<_> =
            (0..callers).map(|_| subject.command(&[]).stderr(Stdio::null()).spawn().unwrap()).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let took = began.elapsed();
        assert_eq!(self.github.world().tokens.len() - before, 1);
        took
    }

    /// 10,000 routes, 50 rules and 100 cached installations against one of each.
    fn many(&self) {
        let one = self.glibc.with("GHAPP_CACHE", "file");
        let home = self.folder.path().join("many");
        let cache = home.join(".cache/git-credential-ghapp");
        let copy =
            Command::new("cp").arg("-a").arg(self.folder.path().join("home")).arg(&home).status().unwrap();
        assert!(copy.success());
        for (kind, count) in [("routes", 10_000), ("tokens", 100)] {
            fill(&cache.join(kind), 0..count);
        }
        let mut rules = format!("[[app]]\nid = \"{APP}\"\nprivate-key = \"~/acme.pem\"\n");
        for number in 1..50 {
            write!(rules, "\n[[app]]\nid = \"Iv{number}\"\nprivate-key = \"~/k{number}.pem\"\nowners = [\"o{number}\"]\n").unwrap();
        }
        std::fs::write(home.join(".config/git-credential-ghapp/config.toml"), rules).unwrap();
        let many = one.with("HOME", home.to_str().unwrap());
        let before = self.github.log().len();
        assert!(many.answers());
        assert_eq!(self.github.log().len(), before, "it is not warm");
        let medians = self.medians(&[("one", one), ("many", many)]);
        let ratio = medians[1].0.as_secs_f64() / medians[0].0.as_secs_f64();
        report("50 rules, 10,000 routes, 100 installations / one of each", Some(ratio), 1.25);
    }

    /// More repositories of one owner than GitHub lets an App ask about in an hour.
    fn never_seen(&self) {
        const REPOSITORIES: usize = 10_000;
        {
            let mut world = self.github.world();
            world.rate_limit = 5000;
            let widgets = world.repositories[0].clone();
            let more = (0..REPOSITORIES).map(|number| github_simulator::Repository {
                name: format!("never-seen-{number}"),
                ..widgets.clone()
            });
            let more: Vec<_> = more.collect();
            world.repositories.extend(more);
        }
        let mut subject = self.cold_subject("never-seen");
        subject.input = self.folder.path().join("never-seen-request");
        let count = |what: &str| self.github.world().count(what);
        let (lookups, mints) = (count(LOOKUP), count(MINT));
        let mut answered = 0;
        for number in 0..REPOSITORIES {
            let request = format!("protocol=https\nhost=github.com\npath=acme/never-seen-{number}\n");
            std::fs::write(&subject.input, request).unwrap();
            answered += usize::from(subject.answers());
        }
        report("10,000 repositories of one owner: not answered", Some((REPOSITORIES - answered) as f64), 0.0);
        report("the same: lookups", Some((count(LOOKUP) - lookups) as f64), 1.0);
        report("the same: mints", Some((count(MINT) - mints) as f64), 1.0);
    }

    /// A cold `get` with a home of its own.
    fn cold_subject(&self, name: &str) -> Subject {
        let home = self.folder.path().join(name);
        std::fs::create_dir_all(home.join(".config/git-credential-ghapp")).unwrap();
        for file in ["acme.pem", ".config/git-credential-ghapp/config.toml"] {
            std::fs::copy(self.folder.path().join("home").join(file), home.join(file)).unwrap();
        }
        self.glibc.with("GHAPP_CACHE", "file").with("HOME", home.to_str().unwrap())
    }

    fn cold(&self) {
        let (requests, connections) = (self.github.log().len(), self.github.world().connections);
        assert!(self.cold_subject("cold").answers());
        let asked = self.github.log().len() - requests;
        report("cold get: requests", Some(asked as f64), 3.0);
        let made = self.github.world().connections - connections;
        report("cold get: connections, for two origins", Some(made as f64), 2.0);
    }

    /// What a cold `get` takes longer when a command signs, beyond what that command takes by itself.
    fn signing(&self) {
        const ROUNDS: usize = 21;
        let with_key = self.cold_subject("with-key").with("GHAPP_CACHE", "none");
        let signs = self.cold_subject("signs").with("GHAPP_CACHE", "none");
        let key = self.folder.path().join("home/acme.pem").display().to_string();
        let words = ["dgst", "-sha256", "-sign", &key];
        let command = words.map(|word| format!("'{word}'")).join(", ");
        let rule = format!("[[app]]\nid = '{APP}'\nsign-command = ['openssl', {command}]\n");
        let config = self.folder.path().join("signs/.config/git-credential-ghapp/config.toml");
        std::fs::write(config, rule).unwrap();
        let name = "cold get with sign-command, beyond the command itself: ms";
        let Some(program) = process::find("openssl") else { return report(name, None, 3.0) };
        let openssl = Subject {
            program,
            arguments: words.map(str::to_owned).to_vec(),
            variables: Vec::new(),
            input: self.empty.input.clone(),
        };
        assert!(signs.answers());
        let [mut keyed, mut signed, mut alone] = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            keyed.push(with_key.time());
            signed.push(signs.time());
            alone.push(openssl.time());
        }
        let beyond = median(&mut signed).as_secs_f64()
            - median(&mut keyed).as_secs_f64()
            - median(&mut alone).as_secs_f64();
        report(name, Some(beyond * 1000.0), 3.0);
    }

    fn parallel(&self) {
        const CALLERS: u32 = 64;
        let mut single: Vec<Duration> =
            (0..5).map(|n| self.cold_subject(&format!("single{n}")).time()).collect();
        let mut starts: Vec<Duration> = (0..21).map(|_| self.empty.time()).collect();
        let mut slowest: Vec<Duration> =
            (0..3).map(|round| self.at_once(CALLERS, &format!("parallel{round}"))).collect();
        let allowed = median(&mut single) + median(&mut starts) * CALLERS;
        let ratio = median(&mut slowest).as_secs_f64() / allowed.as_secs_f64();
        report("64 parallel cold gets, the slowest / (one cold get + 64 process starts)", Some(ratio), 1.5);
    }
}

/// Puts as many more files into a folder of the cache, like the one that is there.
fn fill(folder: &Path, numbers: std::ops::Range<u32>) {
    let template = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let content = std::fs::read(template).unwrap();
    for number in numbers {
        std::fs::write(folder.join(format!("{number:064x}")), &content).unwrap();
    }
}

/// Copies a program and gives where. cp(1) writes it: Linux does not execute a file that a process still has open to write,
/// which one that another thread starts right now would inherit.
fn copy(program: &Path, to: &Path) -> PathBuf {
    assert!(Command::new("cp").arg(program).arg(to).status().unwrap().success());
    to.to_owned()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The cache daemon, which ends with the measurement.
struct Daemon(Subject);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.time();
    }
}

/// A session bus with a Secret Service, which end with the measurement.
struct Session {
    bus: Child,
    keyring: Child,
    address: String,
    runtime: PathBuf,
}

impl Session {
    fn start(folder: &Path) -> Option<Self> {
        if !has("dbus-daemon") || !has("gnome-keyring-daemon") {
            println!("there is no Secret Service here (dbus-daemon, gnome-keyring-daemon)\n");
            return None;
        }
        std::fs::create_dir_all(folder).unwrap();
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--nopidfile", "--print-address=1"]).stdout(Stdio::piped());
        let mut bus = bus.stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let mut keyring = Command::new("gnome-keyring-daemon");
        keyring.args(["--unlock", "--foreground", "--components=secrets"]);
        keyring.env("DBUS_SESSION_BUS_ADDRESS", &address).env("XDG_RUNTIME_DIR", folder).env("HOME", folder);
        keyring.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keyring = keyring.spawn().unwrap();
        keyring.stdin.take().unwrap().write_all(b"password").unwrap();
        // It unlocks its collection after it has taken the name on the bus.
        std::thread::sleep(Duration::from_secs(2));
        Some(Self { bus, keyring, address, runtime: folder.to_owned() })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for child in [&mut self.keyring, &mut self.bus] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn report(target: &str, measured: Option<f64>, limit: f64) {
    match measured {
        Some(value) => {
            println!("| {target} | {value:.2} | {limit} | {} |", if value <= limit { "yes" } else { "NO" });
        }
        None => println!("| {target} | not measured here | {limit} | – |"),
    }
}
