//! What a `get` costs, beside an empty process and git's own helpers: `cargo bench --bench cost`.
//!
//! Whole processes, pinned to one core, in random order, medians. `cargo bench --bench cost -- counts` prints
//! instructions, page faults and system calls instead, which do not depend on load; `-- check` compares those
//! with `benches/counts.txt` and fails where a warm `get` became dearer.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement that cannot be made has failed")]
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it prints figures about processes")]

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use git_credential_ghapp::app::App;
use git_credential_ghapp::clock::Timestamp;
use git_credential_ghapp::config::{KeySource, Origin};
use git_credential_ghapp::secret::Secret;
use github_simulator::{ACME_KEY, Simulator};

const GLIBC: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");
const APP: &str = "Iv23liAcmeCi";
const ROUNDS: usize = 300;

fn main() {
    let mode = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    match mode.as_str() {
        "alone" => alone(),
        "counts" => print!("{}", Bench::new().counts()),
        "check" => check(),
        _ if std::env::var_os("GHAPP_BENCH_PINNED").is_none() && has("taskset") => {
            let core = std::thread::available_parallelism().map_or(1, usize::from) - 1;
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", &core.to_string()]).arg(std::env::current_exe().unwrap());
            let status = pinned.env("GHAPP_BENCH_PINNED", "1").status().unwrap();
            assert!(status.success());
        }
        _ => Bench::new().measure(),
    }
}

fn has(program: &str) -> bool {
    find(program).is_some()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A command line to measure.
#[derive(Clone)]
struct Subject {
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    input: PathBuf,
}

impl Subject {
    fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.variables.push((name.to_owned(), value.to_owned()));
        changed
    }

    fn command(&self, before: &[&str]) -> Command {
        let mut command = match before {
            [] => Command::new(&self.program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        };
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(File::open(&self.input).unwrap())
            .stdout(Stdio::null());
        command
    }

    fn time(&self) -> Duration {
        let mut command = self.command(&[]);
        command.stderr(Stdio::null());
        let began = Instant::now();
        command.status().unwrap();
        began.elapsed()
    }

    fn answers(&self) -> bool {
        let output = self.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("password=")
    }

    /// Instructions, as callgrind counts them.
    fn instructions(&self) -> Option<u64> {
        let tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let output = has("valgrind").then(|| self.command(&tool).output().unwrap())?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("Collected"))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// How many system calls it makes, as strace counts them.
    fn calls(&self) -> Option<u64> {
        let output = has("strace").then(|| self.command(&["strace", "-f", "-c"]).output().unwrap())?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let total = text.lines().find(|line| line.ends_with("total"))?;
        total.split_whitespace().rev().find_map(|word| word.parse::<u64>().ok().filter(|n| *n > 20))
    }

    /// Its peak memory in KiB, and its minor page faults, as time(1) reports them.
    fn memory(&self) -> Option<(u64, u64)> {
        let time = find("time")?;
        let output = self.command(&[time.to_str()?, "-f", "%M %R"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let (memory, faults) = text.lines().last()?.split_once(' ')?;
        Some((memory.parse().ok()?, faults.parse().ok()?))
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
        let empty = folder.path().join("empty");
        let built =
            Command::new("rustc").args(["-O", "-C", "strip=symbols", "-o"]).arg(&empty).arg(source).status();
        assert!(built.unwrap().success());
        let home = folder.path().join("home");
        let variables = vec![
            ("HOME".to_owned(), home.display().to_string()),
            ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
            ("HTTPS_PROXY".to_owned(), github.proxy().to_owned()),
            ("GIT_SSL_CAINFO".to_owned(), github.ca_file().display().to_string()),
        ];
        let empty = Subject {
            program: empty,
            arguments: Vec::new(),
            variables: variables.clone(),
            input: request.clone(),
        };
        let helper = |program: PathBuf| Subject {
            program,
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
            .map(helper);
        Self { empty, glibc: helper(PathBuf::from(GLIBC)), musl, github, folder }
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
        let mut subjects: Vec<(&str, Subject)> = vec![("empty process", self.empty.clone())];
        let mut foreign = self.glibc.clone();
        foreign.input = self.folder.path().join("foreign");
        std::fs::write(&foreign.input, "protocol=https\nhost=evil.example\npath=acme/widgets.git\n").unwrap();
        subjects.push(("declined, glibc", foreign));
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
        let _daemon = self.anchors(&mut subjects);
        let medians = self.medians(&subjects);
        let ratio = |name: &str, to: &str| {
            let of = |name: &str| {
                subjects.iter().position(|(n, _)| *n == name).map(|i| medians[i].0.as_secs_f64())
            };
            Some(of(name)? / of(to)?)
        };
        println!("{ROUNDS} runs each, interleaved in random order, pinned to one core\n");
        println!("| process | median ms | quartiles apart ms | × empty | × git-credential-cache |");
        println!("|---|---|---|---|---|");
        for ((name, _), (median, spread)) in subjects.iter().zip(&medians) {
            let to = |other: &str| {
                ratio(name, other).map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
            };
            let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
            let (empty, cache) = (to("empty process"), to("git-credential-cache"));
            println!("| {name} | {:.3} | {:.3} | {empty} | {cache} |", ms(median), ms(spread));
        }
        println!("\n| target | measured | limit | holds |\n|---|---|---|---|");
        for (name, to, limit) in [
            ("kernel keyring, glibc", "empty process", 1.12),
            ("kernel keyring, glibc", "git-credential-cache", 0.8),
            ("kernel keyring, musl", "empty process", 0.45),
            ("kernel keyring, musl", "git-credential-cache", 0.33),
            ("sealed file, glibc", "empty process", 1.15),
            ("sealed file, musl", "empty process", 0.45),
            ("declined, glibc", "empty process", 1.05),
        ] {
            report(&format!("{name} / {to}"), ratio(name, to), limit);
        }
        self.many();
        self.cold();
        self.parallel();
        let memory = |subject: &Subject| subject.memory().map(|(peak, _)| peak as f64 / 1024.0);
        let above = memory(&self.glibc).zip(memory(&self.empty)).map(|(ours, empty)| ours - empty);
        report("peak memory above an empty process, MiB", above, 4.0);
        let size = std::fs::metadata(GLIBC).unwrap().len() as f64 / 1_000_000.0;
        report("stripped binary, MB", Some(size), 4.0);
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

    /// 10,000 routes, 50 rules and 100 cached installations against one of each.
    fn many(&self) {
        let one = self.glibc.with("GHAPP_CACHE", "file");
        let home = self.folder.path().join("many");
        let cache = home.join(".cache/git-credential-ghapp");
        let copy =
            Command::new("cp").arg("-a").arg(self.folder.path().join("home")).arg(&home).status().unwrap();
        assert!(copy.success());
        for (kind, count) in [("routes", 10_000), ("tokens", 100)] {
            let folder = cache.join(kind);
            let template = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
            let content = std::fs::read(template).unwrap();
            for number in 0..count {
                std::fs::write(folder.join(format!("{number:064x}")), &content).unwrap();
            }
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
        report("10,000 routes, 50 rules, 100 installations / one", Some(ratio), 1.1);
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
        let mut alone = self.glibc.clone();
        alone.program = std::env::current_exe().unwrap();
        alone.arguments = vec!["alone".to_owned()];
        let counted = self.cold_subject("counted").instructions();
        let ratio = counted.zip(alone.instructions()).map(|(cold, alone)| cold as f64 / alone as f64);
        report("cold get: instructions / key, signature and two handshakes alone", ratio, 1.5);
    }

    fn parallel(&self) {
        const CALLERS: u32 = 64;
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2]
        };
        let mut single: Vec<Duration> =
            (0..5).map(|n| self.cold_subject(&format!("single{n}")).time()).collect();
        let mut starts: Vec<Duration> = (0..21).map(|_| self.empty.time()).collect();
        let mut slowest = Vec::new();
        for round in 0..3 {
            let subject = self.cold_subject(&format!("parallel{round}"));
            let before = self.github.world().tokens.len();
            let began = Instant::now();
            let children: Vec<_> =
                (0..CALLERS).map(|_| subject.command(&[]).stderr(Stdio::null()).spawn().unwrap()).collect();
            for mut child in children {
                assert!(child.wait().unwrap().success());
            }
            slowest.push(began.elapsed());
            assert_eq!(self.github.world().tokens.len() - before, 1);
        }
        let allowed = median(&mut single) + median(&mut starts) * CALLERS;
        let ratio = median(&mut slowest).as_secs_f64() / allowed.as_secs_f64();
        report("64 parallel cold gets, the slowest / (one cold get + 64 process starts)", Some(ratio), 1.5);
    }

    /// What does not depend on load, one line each.
    fn counts(&self) -> String {
        let mut text = String::new();
        for (name, subject) in [
            ("empty", self.empty.clone()),
            ("keyring", self.glibc.with("GHAPP_CACHE", "keyring")),
            ("file", self.glibc.with("GHAPP_CACHE", "file")),
        ] {
            if name != "empty" {
                assert!(subject.answers(), "{name}");
            }
            let shown = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
            let (instructions, calls) = (subject.instructions(), subject.calls());
            let faults = subject.memory().map(|(_, faults)| faults);
            writeln!(
                text,
                "{name}: instructions {}, system calls {}, page faults {}",
                shown(instructions),
                shown(calls),
                shown(faults)
            )
            .unwrap();
        }
        text
    }
}

/// The cache daemon, which ends with the measurement.
struct Daemon(Subject);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.time();
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

/// What a cold `get` cannot do without: the key, a signature, and a handshake with each origin.
fn alone() {
    let source = KeySource::Text { pem: Secret::new(ACME_KEY.to_owned()), origin: Origin::Variable("KEY") };
    let app = App::new(APP, &source, false);
    assert!(!app.jwt(Timestamp(1_800_000_000), 540).unwrap().expose().is_empty());
    let terminal = git_credential_ghapp::terminal::Terminal::new(std::io::sink());
    let lookup = |name: &str| std::env::var_os(name);
    let variables = git_credential_ghapp::config::Variables(&lookup);
    for address in ["https://api.github.com/", "https://github.com/"] {
        let agent = git_credential_ghapp::network::agent(address, &variables, None, &terminal).unwrap();
        agent.head(address).call().unwrap();
    }
}

/// How much dearer than committed a warm `get` may be, above an empty process of this machine.
const MARGIN: f64 = 1.10;

/// Fails where a warm `get` became dearer than `benches/counts.txt` says.
fn check() {
    let counted = Bench::new().counts();
    print!("{counted}");
    let committed = include_str!("counts.txt");
    let number = |text: &str, name: &str, what: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
        line.split(&format!("{what} ")).nth(1)?.split(',').next()?.trim().parse().ok()
    };
    let mut dearer = Vec::new();
    for what in ["instructions", "system calls"] {
        for name in ["keyring", "file"] {
            // Above an empty process, which differs between machines and toolchains.
            let above = |text: &str| Some(number(text, name, what)? - number(text, "empty", what)?);
            match (above(&counted), above(committed)) {
                (Some(now), Some(then)) if now > then * MARGIN => {
                    dearer.push(format!("{name}: {what} {now}, was {then}"))
                }
                (Some(_), Some(_)) => {}
                _ => println!("skipped: {what} of {name} cannot be counted here"),
            }
        }
    }
    assert!(dearer.is_empty(), "a warm get became dearer: {dearer:?}");
}
