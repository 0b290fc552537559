//! A fleet: machines that share what they learn and mint, in a real Redis that is trusted with nothing and may fail.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]
#![cfg(unix)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{ACME_ON_ACME, LOOKUP, MINT, PROBE, REQUEST, Ran, TestEnv};
use github_simulator::{Effect, GLOBEX_KEY};

const BEFORE: &[&str] = &["--save", "", "--appendonly", "no", "--loglevel", "warning", "--daemonize", "no"];

/// A Redis of this scenario's own.
struct Redis {
    server: Child,
    port: u16,
}

impl Redis {
    /// One that listens on a port of the loopback interface. `None` where there is none installed.
    fn start(env: &TestEnv, options: &[&str]) -> Option<Self> {
        Self::start_with(env, &["redis-server"], options)
    }

    fn start_with(env: &TestEnv, program: &[&str], options: &[&str]) -> Option<Self> {
        if !common::has("redis-server") {
            common::skip("redis-server is not installed");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = env.folder.path().join(format!("redis-{port}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]);
        command.arg(folder).args(BEFORE).args(options).stdout(Stdio::null()).stderr(Stdio::null());
        let redis = Self { server: command.spawn().unwrap(), port };
        for _ in 0..1000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(redis);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not listen");
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn connect(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    fn run<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        redis::cmd(command[0]).arg(&command[1..]).query(&mut self.connect()).unwrap()
    }

    /// All entries, with what they are sealed as.
    fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let keys: Vec<String> = self.run(&["KEYS", "*"]);
        let mut connection = self.connect();
        let value = |key: String| {
            let value: Option<Vec<u8>> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
            Some((key, value?))
        };
        keys.into_iter().filter_map(value).collect()
    }

    fn set(&self, key: &str, value: &[u8]) {
        redis::cmd("SET").arg(key).arg(value).exec(&mut self.connect()).unwrap();
    }

    /// How often scripts were run.
    fn exchanges(&self) -> usize {
        let stats: String = self.run(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_eval:calls="));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A machine of the fleet: nothing is cached on it.
#[derive(Clone)]
struct Machine<'e> {
    env: &'e TestEnv,
    variables: Vec<(String, String)>,
}

impl<'e> Machine<'e> {
    fn new(env: &'e TestEnv, name: &str, url: &str) -> Self {
        let cache = env.folder.path().join("machines").join(name);
        std::fs::create_dir_all(&cache).unwrap();
        let machine = Self { env, variables: Vec::new() };
        machine.with("XDG_CACHE_HOME", cache.to_str().unwrap()).with("GHAPP_SHARED_CACHE", url)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.args(arguments).envs(self.variables.iter().cloned());
        command
    }

    fn run(&self, arguments: &[&str], input: &str) -> Ran {
        common::run(&mut self.command(arguments), input.as_bytes())
    }

    fn get(&self, path: &str) -> Ran {
        self.run(&["get"], &format!("protocol=https\nhost=github.com\npath={path}\n"))
    }

    /// The token of a call that says nothing.
    #[track_caller]
    fn token(&self, path: &str) -> String {
        let ran = self.get(path);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        ran.attribute("password").unwrap().to_owned()
    }

    fn feedback(&self, operation: &str, token: &str) {
        self.run(&[operation], &format!("{REQUEST}username=x-access-token\npassword={token}\n")).ok();
    }

    fn begin(&self) -> Child {
        let mut command = self.command(&["get"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(REQUEST.as_bytes()).unwrap();
        child
    }
}

fn requests(env: &TestEnv) -> usize {
    env.github.world().requests.len()
}

#[test]
fn a_fresh_machine_takes_one_round_trip_to_the_engine_and_none_to_github() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let first = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    let (before, exchanges) = ((requests(&env), env.github.world().connections), redis.exchanges());
    let second = Machine::new(&env, "two", &redis.url());
    assert_eq!(second.token("acme/widgets"), first);
    assert_eq!((requests(&env), env.github.world().connections), before);
    assert_eq!(redis.exchanges() - exchanges, 1);
    // From then on it has the answer itself, and asks nobody.
    let connections: String = redis.run(&["INFO", "stats"]);
    let made = |stats: &str| -> usize {
        stats
            .lines()
            .find_map(|it| it.strip_prefix("total_connections_received:"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    assert_eq!(second.token("acme/widgets"), first);
    let now: String = redis.run(&["INFO", "stats"]);
    assert_eq!(made(&now), made(&connections) + 1, "only this test connects");
}

#[test]
fn the_owners_next_repository_costs_a_fresh_machine_a_probe_and_nothing_more() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let first = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    assert_eq!(Machine::new(&env, "two", &redis.url()).token("acme/machine"), first);
    assert_eq!(env.lookups_and_mints(), (1, 1));
    let probes = env.github.world().count(PROBE);
    // A third one knows by the second that the repository is covered.
    assert_eq!(Machine::new(&env, "three", &redis.url()).token("acme/machine"), first);
    assert_eq!(env.github.world().count(PROBE), probes);
}

#[test]
fn a_pinned_installation_is_shared_too() {
    let env = TestEnv::new().with("GHAPP_INSTALLATION_ID", ACME_ON_ACME.to_string());
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let first = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    assert_eq!(Machine::new(&env, "two", &redis.url()).token("acme/widgets"), first);
    assert_eq!(env.lookups_and_mints(), (0, 1));
}

#[test]
fn machines_that_start_at_once_cause_one_lookup_and_one_mint() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    env.fault(LOOKUP, 1, Effect::Delay(1000));
    let machines: Vec<_> =
        (0..12).map(|number| Machine::new(&env, &number.to_string(), &redis.url())).collect();
    let children: Vec<_> = machines.iter().map(Machine::begin).collect();
    let answers: Vec<_> =
        children.into_iter().map(|child| common::ran(child.wait_with_output().unwrap())).collect();
    let tokens: std::collections::BTreeSet<_> =
        answers.iter().map(|it| it.attribute("password").unwrap()).collect();
    assert_eq!((tokens.len(), env.lookups_and_mints()), (1, (1, 1)), "{answers:#?}");
}

#[test]
fn a_machine_that_dies_while_it_mints_costs_the_others_its_lease_and_not_their_call() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    env.fault(MINT, 1, Effect::Hang);
    let mut dies = Machine::new(&env, "one", &redis.url()).begin();
    while redis.run::<Vec<String>>(&["KEYS", "*"]).len() < 3 {
        // Two routes, and the lease of the mint.
        assert!(dies.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    dies.kill().unwrap();
    dies.wait().unwrap();
    let token = Machine::new(&env, "two", &redis.url()).token("acme/widgets");
    assert_eq!(Machine::new(&env, "three", &redis.url()).token("acme/widgets"), token);
    assert_eq!(env.lookups_and_mints().0, 1);
}

#[test]
fn the_engine_learns_neither_token_nor_owner_nor_repository() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let token = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    let entries = redis.entries();
    assert!(entries.len() >= 3, "{entries:?}");
    for (key, value) in &entries {
        assert!(key.strip_prefix("ghapp:").is_some_and(|rest| rest.len() == 64), "{key}");
        let text = String::from_utf8_lossy(value).to_lowercase();
        for secret in [token.as_str(), "ghs_", "acme", "widgets", "4201", "iv23"] {
            assert!(!text.contains(&secret.to_lowercase()), "{secret} in {key}");
        }
        // Nothing stays for ever.
        assert!((1..=24 * 3600).contains(&redis.run::<i64>(&["TTL", key])), "{key}");
    }
}

#[test]
fn an_erase_removes_exactly_the_refused_token_for_all() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let (one, two) = (Machine::new(&env, "one", &redis.url()), Machine::new(&env, "two", &redis.url()));
    let first = one.token("acme/widgets");
    two.feedback("erase", "ghs_another");
    assert_eq!(Machine::new(&env, "three", &redis.url()).token("acme/widgets"), first);
    one.feedback("erase", &first);
    let second = Machine::new(&env, "four", &redis.url()).token("acme/widgets");
    assert_ne!(second, first);
    // A machine that still has the old one does not take the new one from the others.
    assert_eq!(Machine::new(&env, "three", &redis.url()).token("acme/widgets"), first);
    Machine::new(&env, "three", &redis.url()).feedback("erase", &first);
    assert_eq!(Machine::new(&env, "five", &redis.url()).token("acme/widgets"), second);
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn the_refusal_limit_counts_on_all_machines_together() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    for name in ["one", "two", "three"] {
        let machine = Machine::new(&env, name, &redis.url());
        let token = machine.token("acme/widgets");
        machine.feedback("erase", &token);
    }
    let ran = Machine::new(&env, "four", &redis.url()).get("acme/widgets");
    assert!(ran.stderr.contains("GitHub refused 3 fresh tokens within a minute"), "{ran:?}");
    assert_eq!(env.lookups_and_mints(), (1, 3));
}

#[test]
fn a_rate_limit_that_one_machine_meets_spares_the_others() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let limited = || {
        let headers = vec![("Retry-After".to_owned(), "600".to_owned())];
        Effect::Answer(403, headers, br#"{"message": "You have exceeded a secondary rate limit"}"#.to_vec())
    };
    env.fault(LOOKUP, 100, limited());
    env.fault(MINT, 100, limited());
    let ran = Machine::new(&env, "one", &redis.url()).get("acme/widgets");
    assert!(ran.attribute("password").is_none(), "{ran:?}");
    let asked = requests(&env);
    let ran = Machine::new(&env, "two", &redis.url()).get("acme/widgets");
    assert!(ran.stderr.contains("rate limit"), "{ran:?}");
    assert_eq!(requests(&env), asked);
}

#[test]
fn machines_whose_clocks_differ_share_all_the_same() {
    if !common::has("faketime") {
        return common::skip("faketime is not installed");
    }
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let first = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    for (name, shift) in [("behind", "-3h"), ("ahead", "+3h")] {
        let machine = Machine::new(&env, name, &redis.url());
        let mut command = machine.env.command("faketime");
        command.args(["-f", shift, env!("CARGO_BIN_EXE_git-credential-ghapp"), "get"]);
        let ran = common::run(command.envs(machine.variables.iter().cloned()), REQUEST.as_bytes());
        assert_eq!(ran.attribute("password"), Some(first.as_str()), "{name}: {ran:?}");
    }
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn what_was_tampered_with_or_is_anothers_is_a_miss() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let mut token = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    let good = redis.entries();
    type Tamper<'t> = &'t dyn Fn(&str, &[u8]) -> Vec<u8>;
    let damaged = |_: &str, value: &[u8]| {
        let mut value = value.to_vec();
        *value.last_mut().unwrap() ^= 1;
        value
    };
    let swapped = |key: &str, _: &[u8]| good.iter().find(|(other, _)| other != key).unwrap().1.clone();
    let cut = |_: &str, value: &[u8]| value[..value.len() / 2].to_vec();
    let empty = |_: &str, _: &[u8]| Vec::new();
    let text = |_: &str, _: &[u8]| b"{\"found\":{\"id\":1}}".to_vec();
    let tampers: [(&str, Tamper<'_>); 5] =
        [("damaged", &damaged), ("swapped", &swapped), ("cut", &cut), ("empty", &empty), ("text", &text)];
    for (name, tamper) in tampers {
        for (key, value) in redis.entries() {
            redis.set(&key, &tamper(&key, &value));
        }
        let before = env.lookups_and_mints();
        let next = Machine::new(&env, name, &redis.url()).token("acme/widgets");
        assert_ne!(next, token, "{name}");
        assert_eq!(env.lookups_and_mints(), (before.0 + 1, before.1 + 1), "{name}");
        token = next;
    }
}

#[test]
fn entries_of_another_app_and_of_a_rotated_key_are_misses() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let first = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    // GitHub knows both keys of the App while they are rotated.
    env.github.world().add_key(101, GLOBEX_KEY);
    let rotated = env.write_private("keys/new.pem", GLOBEX_KEY);
    let second =
        Machine::new(&env, "two", &redis.url()).with("GHAPP_PRIVATE_KEY_FILE", rotated.to_str().unwrap());
    assert_ne!(second.token("acme/widgets"), first);
    assert_eq!(Machine::new(&env, "three", &redis.url()).token("acme/widgets"), first);
    let theirs = redis.entries();
    redis.run::<()>(&["FLUSHALL"]);
    Machine::new(&env, "four", &redis.url()).token("acme/widgets");
    // Whatever is written under its keys, what another key sealed does not open.
    for (key, _) in redis.entries() {
        for (_, value) in &theirs {
            redis.set(&key, value);
            Machine::new(&env, &format!("five-{key}-{}", value.len()), &redis.url()).token("acme/widgets");
        }
    }
}

#[test]
fn an_expired_entry_that_is_played_back_is_a_miss() {
    let env = TestEnv::new().with("GHAPP_MIN_FRESH", "0");
    env.github.world().token_lifetime = 5;
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let first = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    let entries = redis.entries();
    // The token is what is longest, and what GitHub gave it for is soon over.
    let (token, sealed) = entries.iter().max_by_key(|(_, value)| value.len()).unwrap();
    while redis.run::<bool>(&["EXISTS", token]) {
        std::thread::sleep(Duration::from_millis(20));
    }
    redis.set(token, sealed);
    assert_ne!(Machine::new(&env, "two", &redis.url()).token("acme/widgets"), first);
}

#[test]
fn a_refused_token_that_is_played_back_is_a_miss() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let machine = Machine::new(&env, "one", &redis.url());
    let first = machine.token("acme/widgets");
    let entries = redis.entries();
    let (token, sealed) = entries.iter().max_by_key(|(_, value)| value.len()).unwrap();
    for _ in 0..2 {
        machine.feedback("erase", &first);
        redis.set(token, sealed);
        assert_ne!(machine.token("acme/widgets"), first);
    }
}

#[test]
fn an_engine_that_gives_no_lease_costs_a_call_the_wait_for_other_machines_once() {
    let env = TestEnv::new();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // Its time, no lease, and nothing under any key.
    let answer = format!("*12\r\n$10\r\n{now}\r\n:0\r\n{}", "$-1\r\n".repeat(10));
    let machine = Machine::new(&env, "one", &answering(Some(answer.leak().as_bytes())));
    let ran = machine.with("GHAPP_TRACE", "1").get("acme/widgets");
    assert!(ran.attribute("password").is_some(), "{ran:?}");
    let (waiting, minting) = ran.stderr.split_once("other machines take too long").unwrap();
    let looks = |trace: &str| trace.matches("shared cache: answered after ").count();
    assert!(looks(waiting) > 2, "{ran:?}");
    // For the mint it is not waited again.
    assert!(minting.contains("other machines take too long") && looks(minting) <= 3, "{ran:?}");
}

/// Whether a call goes on without the engine, tells that once, and `doctor` says why.
#[track_caller]
fn goes_on_without(env: &TestEnv, machine: &Machine<'_>, why: &str) {
    let mints = env.lookups_and_mints().1;
    let ran = machine.get("acme/widgets");
    assert!(ran.attribute("password").is_some(), "{ran:?}");
    assert_eq!(env.lookups_and_mints().1, mints + 1, "{why}: {ran:?}");
    let warnings = ran.stderr.matches("warning: the shared cache").count();
    assert!(warnings == 1 && ran.stderr.contains(why), "{why}: {ran:?}");
    // The next call that needs it says nothing any more.
    machine.feedback("erase", ran.attribute("password").unwrap());
    let ran = machine.get("acme/widgets");
    assert!(ran.attribute("password").is_some() && ran.stderr.is_empty(), "{why}: {ran:?}");
    let ran = machine.run(&["doctor", "acme/widgets"], "");
    let told = ran.stdout.lines().find(|line| line.contains("shared cache:")).unwrap_or_default();
    assert!(told.starts_with("warning") && told.contains(why), "{why}: {ran:?}");
}

#[test]
fn trouble_with_the_engine_never_fails_a_call_and_is_told_once() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &["--requirepass", "canary-password"]) else { return };
    let machine = |name: &str, url: &str| Machine::new(&env, name, url);
    goes_on_without(&env, &machine("password", &redis.url()), "it wants a password");
    let wrong = machine("wrong", &redis.url()).with("GHAPP_SHARED_CACHE_PASSWORD", "wrong-password-of-mine");
    goes_on_without(&env, &wrong, "it refuses the user or the password");
    goes_on_without(&env, &machine("down", "redis://127.0.0.1:1"), "refused");
    let Some(full) = Redis::start(&env, &["--maxmemory", "1", "--maxmemory-policy", "noeviction"]) else {
        return;
    };
    goes_on_without(&env, &machine("full", &full.url()), "OOM");
    let Some(replica) = Redis::start(&env, &["--replicaof", "127.0.0.1 1"]) else { return };
    goes_on_without(&env, &machine("replica", &replica.url()), "READONLY");
    let Some(cluster) = Redis::start(&env, &["--cluster-enabled", "yes"]) else { return };
    goes_on_without(&env, &machine("cluster", &cluster.url()), "CLUSTERDOWN");
}

/// A server that answers whatever it is asked with this; `None`: with nothing.
fn answering(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer), Ok(1..)) {
                    if let Some(answer) = answer {
                        let _ = stream.write_all(answer);
                    }
                }
            });
        }
    });
    url
}

#[test]
fn an_engine_that_answers_nothing_or_nonsense_is_gone_on_without() {
    let env = TestEnv::new();
    for (name, answer, why) in [
        ("silent", None, "did not answer within 300 ms"),
        ("http", Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice()), ""),
        ("moved", Some(b"-MOVED 3999 127.0.0.1:6381\r\n".as_slice()), "MOVED"),
        ("number", Some(b":7\r\n".as_slice()), "its answer is none of Redis or Valkey"),
        ("short", Some(b"*2\r\n$1\r\n1\r\n:1\r\n".as_slice()), "its answer is none of Redis or Valkey"),
        (
            "past",
            Some(b"*6\r\n$1\r\n1\r\n:1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n".as_slice()),
            "more than a day apart",
        ),
        (
            "deep",
            Some(b"*1\r\n*1\r\n*1\r\n*1\r\n$-1\r\n".as_slice()),
            "its answer is none of Redis or Valkey",
        ),
        ("terminal", Some(b"-ERR \x1b[2Jboo\r\n".as_slice()), "boo"),
    ] {
        let machine = Machine::new(&env, name, &answering(answer));
        let ran = machine.get("acme/widgets");
        assert!(ran.attribute("password").is_some(), "{name}: {ran:?}");
        assert!(ran.stderr.contains(why) && !ran.stderr.contains('\x1b'), "{name}: {ran:?}");
        assert_eq!(ran.stderr.matches("warning: the shared cache").count(), 1, "{name}: {ran:?}");
    }
}

/// A server that answers with `piece` again and again, and counts the bytes that were taken until the other side closed.
fn endless(piece: &'static [u8], pause: Duration) -> (String, mpsc::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let (sender, taken) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut bytes, sender) = (stream.unwrap(), 0, sender.clone());
            std::thread::spawn(move || {
                stream.write_all(b"*6\r\n$1999999999\r\n").unwrap();
                while stream.write_all(piece).is_ok() {
                    bytes += piece.len();
                    std::thread::sleep(pause);
                }
                sender.send(bytes).unwrap();
            });
        }
    });
    (url, taken)
}

#[test]
fn an_engine_whose_answer_does_not_end_is_not_read_for_ever() {
    let env = TestEnv::new();
    let (url, taken) = endless(&[0; 1 << 16], Duration::ZERO);
    let ran = Machine::new(&env, "flood", &url).get("acme/widgets");
    assert!(ran.attribute("password").is_some(), "{ran:?}");
    assert!(ran.stderr.contains("its answer is longer than 256 KiB"), "{ran:?}");
    // What is on its way in the sockets' buffers counts too.
    let bytes = taken.recv().unwrap();
    assert!(bytes < 16 << 20, "{bytes}");
    // A process that lives for long lets go of it too, not only one that ends.
    let (url, taken) = endless(b"0", Duration::from_millis(20));
    let output = env.home().join("token");
    let output = output.to_str().unwrap();
    let machine = Machine::new(&env, "trickle", &url);
    let keep = ["token", "acme/widgets", "--output", output, "--keep-fresh", "--", "sleep", "600"];
    let mut kept = machine.command(&keep).spawn().unwrap();
    let let_go = taken.recv_timeout(Duration::from_secs(60));
    assert!(Command::new("kill").arg(kept.id().to_string()).status().unwrap().success());
    kept.wait().unwrap();
    assert!(let_go.is_ok(), "it is still connected");
}

#[test]
fn a_fleet_whose_engine_evicts_everything_still_answers() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    for name in ["one", "two", "three"] {
        Machine::new(&env, name, &redis.url()).token("acme/widgets");
        redis.run::<()>(&["FLUSHALL"]);
    }
    assert_eq!(env.lookups_and_mints(), (3, 3));
}

#[test]
fn tls_a_user_with_few_rights_and_a_socket_work() {
    let env = TestEnv::new();
    let folder = env.folder.path().display().to_string();
    let tls = certificate(&env);
    let tls_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (certificate, key) = (format!("{tls}.crt"), format!("{tls}.key"));
    let socket = format!("{folder}/redis.sock");
    let options = [
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
        "--unixsocket",
        &socket,
        "--user",
        "fleet",
        "on",
        ">canary-password",
        "~ghapp:*",
        "-@all",
        "+eval",
        "+time",
        "+get",
        "+set",
        "+del",
    ];
    let Some(redis) = Redis::start(&env, &options) else { return };
    let url = format!("rediss://fleet@localhost:{tls_port}/0");
    let password = env.write_private("password", "canary-password\n");
    let over_tls = |name: &str| {
        let machine = Machine::new(&env, name, &url).with("GHAPP_SHARED_CACHE_CA", &certificate);
        machine.with("GHAPP_SHARED_CACHE_PASSWORD_FILE", password.to_str().unwrap())
    };
    let first = over_tls("one").token("acme/widgets");
    assert_eq!(over_tls("two").token("acme/widgets"), first);
    assert_eq!(Machine::new(&env, "three", &format!("redis+unix://{socket}")).token("acme/widgets"), first);
    assert_eq!(Machine::new(&env, "four", &redis.url()).token("acme/widgets"), first);
    assert_eq!(env.lookups_and_mints(), (1, 1));
    // A certificate of nobody who is trusted: nothing is sent.
    let stranger = Machine::new(&env, "five", &url).with("GHAPP_SHARED_CACHE_PASSWORD", "canary-password");
    goes_on_without(&env, &stranger, "ertificate");
    let ok = over_tls("two").run(&["doctor", "acme/widgets"], "").stdout;
    assert!(ok.contains(&format!("shared cache: rediss://localhost:{tls_port}/0 works")), "{ok}");
}

/// A certificate of its own for localhost.
fn certificate(env: &TestEnv) -> String {
    let path = env.folder.path().join("engine").display().to_string();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]);
    openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.args(["-keyout", &format!("{path}.key"), "-out", &format!("{path}.crt")]);
    assert!(openssl.stderr(Stdio::null()).status().unwrap().success());
    path
}

#[test]
fn the_password_reaches_no_command_line_no_message_and_no_other_program() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &["--requirepass", "canary-password"]) else { return };
    let seen = env.folder.path().join("seen");
    let key = env.folder.path().join("keys/acme.pem");
    let script = format!(
        "#!/bin/sh\nenv >> '{0}'; tr '\\0' ' ' < /proc/$PPID/cmdline >> '{0}'; cat '{1}'\n",
        seen.display(),
        key.display()
    );
    let command = env.write("key-command", script);
    let program = env.install(&command, "bin/key-command");
    env.configure(&format!(
        "[[app]]\nid = '{}'\nprivate-key-command = ['{}']\n",
        common::ACME_APP,
        program.display()
    ));
    for (name, password) in [("right", "canary-password"), ("wrong", "canary-password-that-is-wrong")] {
        let machine = Machine::new(&env, name, &redis.url()).with("GHAPP_TRACE", "1");
        let ran = machine.with("GHAPP_SHARED_CACHE_PASSWORD", password).get("acme/widgets");
        assert!(ran.attribute("password").is_some(), "{ran:?}");
        assert!(!ran.stderr.contains("canary"), "{ran:?}");
    }
    assert!(!std::fs::read_to_string(seen).unwrap().contains("canary"));
}

#[test]
fn mistakes_in_the_settings_are_told_with_their_place_and_without_the_secret() {
    let env = TestEnv::new();
    for (url, why) in [
        (
            "redis://u:canary@127.0.0.1",
            "shared-cache has a password in it (environment variable GHAPP_SHARED_CACHE)",
        ),
        ("redis://10.0.0.1", "shared-cache leads to 10.0.0.1 without TLS"),
        ("memcached://a", "shared-cache is not the address of a Redis or Valkey"),
    ] {
        let ran = Machine::new(&env, "one", url).get("acme/widgets");
        assert!(ran.stderr.contains(why) && !ran.stderr.contains("canary"), "{ran:?}");
    }
    let env = env.with("GHAPP_SHARED_CACHE", "rediss://127.0.0.1:1/0");
    for variable in ["GHAPP_SHARED_CACHE_CA", "GHAPP_SHARED_CACHE_PASSWORD_FILE"] {
        let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        let ran = common::run(command.arg("get").env(variable, "file"), REQUEST.as_bytes());
        let why =
            format!("\"file\" is relative to whatever folder git runs in (environment variable {variable})");
        assert!(ran.stderr.contains(&why), "{ran:?}");
    }
    let env = env.without("GHAPP_SHARED_CACHE");
    let key = env.folder.path().join("keys/acme.pem");
    let app = format!("[[app]]\nid = '{}'\nprivate-key = '{}'\n", common::ACME_APP, key.display());
    for (line, why) in [
        ("shared-cache-plain = 'yes'", "expected true or false, found text"),
        ("shared-cache = 'redis://10.0.0.1'", "without TLS"),
    ] {
        env.configure(&format!("{line}\n{app}"));
        let ran = env.get("github.com", "acme/widgets");
        assert!(ran.stderr.contains(why) && ran.stderr.contains("config.toml, line 1"), "{ran:?}");
    }
}

#[test]
fn logout_revokes_what_this_machine_minted_and_with_shared_what_others_did() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let (one, two) = (Machine::new(&env, "one", &redis.url()), Machine::new(&env, "two", &redis.url()));
    let first = one.token("acme/widgets");
    assert_eq!(two.token("acme/widgets"), first);
    let is_revoked = |token: &str| env.github.world().tokens.iter().any(|it| it.text == token && it.revoked);
    let status = two.run(&["status"], "").ok();
    assert!(status.contains("1 of 1 was minted by another machine"), "{status}");
    let told = two.run(&["logout", "--all"], "").ok();
    // Here it is not cached any more, so that a second call would find nothing.
    let hint = "where it is still cached, git-credential-ghapp logout --shared revokes it\n";
    assert!(told.contains("removed 1 token") && told.ends_with(hint), "{told}");
    assert!(!is_revoked(&first));
    // The machine that minted it revokes it, and no other machine gets it any more.
    assert_eq!(two.token("acme/widgets"), first);
    one.run(&["logout", "--all"], "").ok();
    assert!(is_revoked(&first));
    let second = Machine::new(&env, "three", &redis.url()).token("acme/widgets");
    assert_ne!(second, first);
    let four = Machine::new(&env, "four", &redis.url());
    assert_eq!(four.token("acme/widgets"), second);
    let told = four.run(&["logout", "--shared"], "").ok();
    assert!(told.contains("revoked 1") && is_revoked(&second), "{told}");
    assert_ne!(Machine::new(&env, "five", &redis.url()).token("acme/widgets"), second);
}

#[test]
fn machines_with_no_cache_folder_share_too() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let first = Machine::new(&env, "one", &redis.url()).token("acme/widgets");
    let none = Machine::new(&env, "two", &redis.url()).with("GHAPP_CACHE", "none");
    assert_eq!(none.token("acme/widgets"), first);
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn an_installation_that_was_made_anew_is_looked_up_once_for_all() {
    let env = TestEnv::new();
    let Some(redis) = Redis::start(&env, &[]) else { return };
    let names = ["one", "two", "three"];
    for name in names {
        Machine::new(&env, name, &redis.url()).token("acme/widgets");
    }
    env.github.world().installations.retain(|it| it.id != ACME_ON_ACME);
    env.github.world().install(5555, 101, "acme");
    // All tokens are gone with it.
    for (key, value) in redis.entries() {
        if !value.starts_with(b"ghapp:") {
            redis.run::<()>(&["DEL", &key]);
        }
    }
    for name in names {
        let machine = Machine::new(&env, name, &redis.url()).with("GHAPP_MIN_FRESH", "3000");
        let tokens: PathBuf =
            env.folder.path().join("machines").join(name).join("git-credential-ghapp/tokens");
        std::fs::remove_dir_all(tokens).unwrap();
        machine.token("acme/widgets");
    }
    assert_eq!(env.lookups_and_mints().0, 2);
}

#[test]
fn a_silent_engine_costs_a_call_no_more_than_its_patience() {
    let env = TestEnv::new();
    let machine = Machine::new(&env, "one", &answering(None)).with("GHAPP_TRACE", "1");
    let began = Instant::now();
    let ran = machine.get("acme/widgets");
    common::note(&format!("a call beside a silent engine took {:?}", began.elapsed()));
    // It is met once, whatever the call would want of it later.
    assert_eq!(ran.stderr.matches("did not answer within 300 ms").count(), 2, "{ran:?}");
}
