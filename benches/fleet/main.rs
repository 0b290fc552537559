//! What a fleet of machines asks of GitHub, with a shared cache and without: `cargo bench --bench fleet`.
//!
//! A real redis-server and the simulator, 10,000 machines that each have nothing but the App's key, 64 at a time. Tokens expire
//! twice during the run, one machine in a hundred is killed at a random moment, and the engine is restarted once and loses what
//! it held. `cargo bench --bench fleet -- 1000` is a smaller fleet; `-- plot` also draws `docs/fleet.svg`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement that cannot be made has failed")]
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it prints figures about processes")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use github_simulator::{ACME_KEY, Simulator};

const MACHINES: usize = 10_000;
const AT_ONCE: usize = 64;
const OWNERS: [&str; 3] = ["acme", "globex", "initech"];
const APP: &str = "Iv23liAcmeCi";
const LOOKUP: &str = "GET /repos/{owner}/{repo}/installation";
const MINT: &str = "POST /app/installations/{id}/access_tokens";

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let machines = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(MACHINES);
    let fleet = Fleet::new();
    let alone = fleet.alone(100);
    let shared = fleet.run(machines);
    println!("| | each machine alone | with a shared cache |\n|---|---|---|");
    println!("| machines | {machines} | {machines} |");
    println!("| lookups | {} | {} |", machines, shared.lookups);
    println!("| mints | {} | {} |", machines, shared.mints);
    println!(
        "| requests to GitHub's API | {} | {} |",
        (alone.requests_each * machines as f64) as usize,
        shared.requests()
    );
    println!("| median call | {} ms | {} ms |", alone.median.as_millis(), shared.median.as_millis());
    println!("| slowest call | {} ms | {} ms |", alone.slowest.as_millis(), shared.slowest.as_millis());
    println!("| killed | 0 | {} |", shared.killed);
    println!("| calls that failed | 0 | {} |", shared.failed);
    println!("| calls that went on without the cache | – | {} |", shared.without);
    println!(
        "\n{machines} machines took {:.0} s; tokens lived for {} s",
        shared.took.as_secs_f64(),
        shared.lifetime
    );
    if arguments.iter().any(|argument| argument == "plot") {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleet.svg");
        draw(&docs, machines, alone.requests_each, &shared.requests_by_machine);
    }
    assert_eq!(shared.failed, 0, "calls failed");
}

struct Fleet {
    folder: tempfile::TempDir,
    github: Simulator,
    /// Where the engine listens, whenever it does.
    port: u16,
    state: Mutex<u64>,
}

/// What each machine costs that has only itself.
struct Alone {
    requests_each: f64,
    median: Duration,
    slowest: Duration,
}

struct Shared {
    lookups: usize,
    mints: usize,
    killed: usize,
    failed: usize,
    without: usize,
    median: Duration,
    slowest: Duration,
    took: Duration,
    lifetime: i64,
    /// How many requests there had been, now and then, by how many machines had begun.
    requests_by_machine: Vec<(f64, f64)>,
}

impl Shared {
    fn requests(&self) -> usize {
        self.lookups + self.mints
    }
}

/// How a call ended.
struct Call {
    took: Duration,
    answered: bool,
    killed: bool,
    without: bool,
}

impl Fleet {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), None, None).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let github = Simulator::start(&folder.path().join("github")).unwrap();
        {
            let mut world = github.world();
            world.add_app(101, APP, "acme-ci", ACME_KEY);
            for (number, owner) in OWNERS.iter().enumerate() {
                world.install(4201 + number as u64, 101, owner);
                world.add_repository(owner, "widgets", &[("README", "widgets\n")]);
            }
            // What GitHub limits is counted here, not met: without a shared cache nobody would get far.
            world.rate_limit = u32::MAX;
        }
        // A program that every user may run.
        let mut install = Command::new("install");
        install
            .args(["-m", "755", env!("CARGO_BIN_EXE_git-credential-ghapp")])
            .arg(folder.path().join("helper"));
        assert!(install.status().unwrap().success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, github, port, state: Mutex::new(88_172_645_463_325_252) }
    }

    fn random(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// A fresh machine: a home of its own, a user of its own where this may be, and the App's key in its environment.
    fn call(&self, number: usize, shares: bool, dies: bool) -> Call {
        let home = self.folder.path().join(format!("home-{number}"));
        std::fs::create_dir(&home).unwrap();
        let mut command = Command::new(self.folder.path().join("helper"));
        if is_root() {
            let user = 100_000 + number as u32;
            std::os::unix::fs::chown(&home, Some(user), Some(user)).unwrap();
            command.uid(user).gid(user);
        }
        command
            .arg("get")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HTTPS_PROXY", self.github.proxy())
            .env("GIT_SSL_CAINFO", self.github.ca_file())
            .env("GHAPP_APP_ID", APP)
            .env("GHAPP_PRIVATE_KEY", ACME_KEY)
            .env("GHAPP_CACHE", "file")
            .env("GHAPP_MIN_FRESH", "5")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if shares {
            command.env("GHAPP_SHARED_CACHE", format!("redis://127.0.0.1:{}", self.port));
        }
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let owner = OWNERS[number % OWNERS.len()];
        // One that is killed does not read it.
        let _ =
            write!(child.stdin.take().unwrap(), "protocol=https\nhost=github.com\npath={owner}/widgets\n");
        if dies {
            thread::sleep(Duration::from_micros(self.random() % 60_000));
            let _ = child.kill();
        }
        let (mut answer, mut told) = (String::new(), String::new());
        child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        let killed = child.wait().unwrap().code().is_none();
        let took = began.elapsed();
        std::fs::remove_dir_all(&home).unwrap();
        let answered = answer.contains("password=");
        if !answered && !killed {
            println!("{told}");
        }
        Call { took, answered, killed, without: told.contains("the shared cache") }
    }

    fn counts(&self) -> (usize, usize) {
        let world = self.github.world();
        (world.count(LOOKUP), world.count(MINT))
    }

    fn alone(&self, machines: usize) -> Alone {
        let before = self.counts();
        let calls = self.at_once(machines, |number| self.call(number, false, false));
        let after = self.counts();
        assert!(calls.iter().all(|call| call.answered));
        let requests = after.0 + after.1 - before.0 - before.1;
        let mut times: Vec<Duration> = calls.iter().map(|call| call.took).collect();
        times.sort_unstable();
        Alone {
            requests_each: requests as f64 / machines as f64,
            median: times[times.len() / 2],
            slowest: times[times.len() - 1],
        }
    }

    fn run(&self, machines: usize) -> Shared {
        let engine = Mutex::new(Some(Engine::start(self.port, self.folder.path())));
        // How long the run will take decides how long tokens live: they are to expire twice.
        let sample = AT_ONCE * 4;
        let began = Instant::now();
        self.at_once(sample, |number| self.call(number, true, false));
        let whole = began.elapsed().as_secs_f64() / sample as f64 * machines as f64;
        let lifetime = (whole / 2.6) as i64 + 5;
        self.github.world().token_lifetime = lifetime;
        engine.lock().unwrap().take();
        *engine.lock().unwrap() = Some(Engine::start(self.port, self.folder.path()));
        let before = self.counts();
        let (begun, by_machine) = (AtomicUsize::new(0), Mutex::new(vec![(0.0, 0.0)]));
        let began = Instant::now();
        let calls = self.at_once(machines, |number| {
            let begun = begun.fetch_add(1, Relaxed) + 1;
            if begun == machines / 2 {
                engine.lock().unwrap().take();
                *engine.lock().unwrap() = Some(Engine::start(self.port, self.folder.path()));
            }
            let call = self.call(number, true, self.random().is_multiple_of(100));
            if begun.is_multiple_of(machines / 50) {
                let (lookups, mints) = self.counts();
                let requests = (lookups + mints - before.0 - before.1) as f64;
                by_machine.lock().unwrap().push((begun as f64, requests));
            }
            call
        });
        let took = began.elapsed();
        let after = self.counts();
        let mut times: Vec<Duration> =
            calls.iter().filter(|call| !call.killed).map(|call| call.took).collect();
        times.sort_unstable();
        let count = |is: fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count();
        let mut requests_by_machine = by_machine.into_inner().unwrap();
        requests_by_machine.sort_by(|one, other| one.0.total_cmp(&other.0));
        Shared {
            lookups: after.0 - before.0,
            mints: after.1 - before.1,
            killed: count(|call| call.killed),
            failed: count(|call| !call.killed && !call.answered),
            without: count(|call| call.without),
            median: times[times.len() / 2],
            slowest: times[times.len() - 1],
            took,
            lifetime,
            requests_by_machine,
        }
    }

    /// Calls of so many machines, 64 of them at a time.
    fn at_once(&self, machines: usize, call: impl Fn(usize) -> Call + Sync) -> Vec<Call> {
        let (next, calls) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(machines)));
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= machines {
                            return;
                        }
                        let call = call(number);
                        calls.lock().unwrap().push(call);
                    }
                });
            }
        });
        calls.into_inner().unwrap()
    }
}

/// A Redis that keeps nothing on disk.
struct Engine(Child);

impl Engine {
    fn start(port: u16, folder: &Path) -> Self {
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
        ]);
        command.arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let engine = Self(command.spawn().unwrap());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(2));
        }
        engine
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

/// Requests by machines: those of each alone, and those of the fleet.
fn draw(file: &Path, machines: usize, requests_each: f64, shared: &[(f64, f64)]) {
    use plotters::prelude::*;
    let root = SVGBackend::new(file, (720, 400)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let machines = machines as f64;
    let mut chart = ChartBuilder::on(&root)
        .caption("requests to GitHub's API", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..machines, (1.0..machines * requests_each).log_scale())
        .unwrap();
    chart
        .configure_mesh()
        .x_desc("machines so far")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .draw()
        .unwrap();
    let alone = [1.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0].iter().skip(1);
    let alone: Vec<(f64, f64)> =
        alone.map(|part| (part * machines, part * machines * requests_each)).collect();
    for (points, colour, name) in [
        (alone, RED, "each machine alone"),
        (shared.iter().copied().filter(|it| it.1 > 0.0).collect(), BLUE, "with a shared cache"),
    ] {
        let drawn = chart.draw_series(LineSeries::new(points, &colour)).unwrap();
        drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    let limit = [(0.0, 5000.0), (machines, 5000.0)];
    let drawn = chart.draw_series(LineSeries::new(limit, &BLACK)).unwrap();
    drawn.label("GitHub's limit, an hour").legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLACK));
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw().unwrap();
    root.present().unwrap();
}
