//! Histories: two machines share a cache folder, clocks are set, processes die, GitHub fails and lies, and after each step
//! the promises hold.
//!
//! The program's own code runs from [`TokenSource`] down to the bytes of HTTP. A process that dies is unwound at a line of
//! its trace or at a request; what it would have tidied up is put back.

mod servers;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::*;
use crate::app::Identity;
use crate::app::key::{KeySource, KeyText, Signer};
use crate::config::select;
use crate::files::UNFINISHED_PREFIX;
use crate::names::{Host, Repository};
use crate::terminal::Terminal;
use crate::time::Clock;
use crate::world::{Folders, Streams, Variables};
use servers::{Faults, Minted, RateLimit, Servers};

const BEGIN: i64 = 2_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Whose Apps answer for what: one for every owner, and one whose tokens are for single repositories.
const OF_EVERYBODY: &str = "one";
const OF_GAMMA: &str = "two";
const PLACES: [&str; 7] = ["acme/w1", "acme/w2", "beta/b1", "beta/b2", "gamma/g1", "gamma/g2", "acme"];
const INSTALLATIONS: [(&str, &str); 3] =
    [(OF_EVERYBODY, "acme"), (OF_EVERYBODY, "beta"), (OF_GAMMA, "gamma")];

fn owner_of(place: &str) -> &str {
    place.split('/').next().unwrap()
}

fn installation_at(place: &str) -> (&'static str, &'static str) {
    *INSTALLATIONS.iter().find(|(_, owner)| *owner == owner_of(place)).unwrap()
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// git asks.
    Get(Asking),
    /// git asks, tries the token, and says how that went; if it was refused, git asks again.
    Work {
        machine: usize,
        place: usize,
    },
    /// git's server refuses the latest token that a machine had for a place, valid or not.
    Refuse {
        machine: usize,
        place: usize,
        dies: Option<u32>,
    },
    /// The same again and again, as git-lfs does.
    RefuseAll {
        machine: usize,
        place: usize,
    },
    /// The same once, and git comes back with its fingerprint.
    RefuseWithState(Asking),
    Store {
        machine: usize,
        place: usize,
    },
    Logout {
        machine: usize,
        all: bool,
        dies: Option<u32>,
    },
    Pass(i64),
    /// A machine's clock is set to so many seconds ahead of the truth.
    SetClock {
        machine: usize,
        ahead: i64,
    },
    Revoke {
        installation: usize,
    },
    Uninstall {
        installation: usize,
    },
    Install {
        installation: usize,
    },
    Cover {
        place: usize,
        covered: bool,
    },
    Lifetime(i64),
    Fault(Fault),
    Heal,
}

#[derive(Clone, Debug)]
struct Asking {
    machine: usize,
    place: usize,
    /// At which of its file operations and requests the process dies.
    dies: Option<u32>,
    /// What another process does while this one talks to GitHub: at its first request, or a later one.
    meanwhile: Option<(u32, Box<Step>)>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    ApiDown { seconds: i64, is_502: bool },
    Limited { requests: u32, limit: RateLimit },
    WrongDates { answers: u32, ahead: i64 },
    WrongExpiries { tokens: u32, ahead: i64 },
    ProbeRefuses { seconds: i64 },
    GitDown { seconds: i64 },
}

/// Numbers that look random and are the same for the same seed. (SplitMix64)
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn dies(&mut self) -> Option<u32> {
        (self.below(5) == 0).then(|| u32::try_from(self.below(16)).unwrap())
    }

    fn asking(&mut self) -> Asking {
        let (machine, place) = (self.below(2), self.below(PLACES.len()));
        let meanwhile = (self.below(6) == 0).then(|| {
            let number = u32::try_from(self.below(8)).unwrap();
            let other = 1 - machine;
            let step = match self.below(6) {
                0 => Step::Refuse { machine: other, place, dies: None },
                1 => Step::Logout { machine: other, all: self.below(2) == 0, dies: None },
                2 => self.set_clock(),
                3 => Step::Revoke { installation: self.below(3) },
                4 => Step::Uninstall { installation: self.below(3) },
                // Of another owner: one of the same would wait for the lock.
                _ => {
                    let places: Vec<usize> = (0..PLACES.len())
                        .filter(|it| owner_of(PLACES[*it]) != owner_of(PLACES[place]))
                        .collect();
                    let place = self.one_of(&places);
                    Step::Get(Asking { machine: other, place, dies: None, meanwhile: None })
                }
            };
            (number, Box::new(step))
        });
        Asking { machine, place, dies: self.dies(), meanwhile }
    }

    fn set_clock(&mut self) -> Step {
        let ahead = self.one_of(&[
            0,
            0,
            0,
            0,
            5,
            -5,
            20,
            45,
            -45,
            5 * MINUTE,
            -5 * MINUTE,
            50 * MINUTE,
            -50 * MINUTE,
            58 * MINUTE,
            2 * HOUR,
            -2 * HOUR,
            DAY - 1,
            -DAY + 1,
            3 * DAY,
            -3 * DAY,
            YEAR,
            -YEAR,
            80 * YEAR,
            -BEGIN - 9 * YEAR,
        ]);
        Step::SetClock { machine: self.below(2), ahead }
    }

    fn step(&mut self) -> Step {
        let (machine, place) = (self.below(2), self.below(PLACES.len()));
        match self.below(40) {
            0..10 => Step::Get(self.asking()),
            10..14 => Step::Work { machine, place },
            14..16 => Step::Refuse { machine, place, dies: self.dies() },
            16 => match self.below(3) {
                0 => Step::RefuseAll { machine, place },
                _ => Step::RefuseWithState(self.asking()),
            },
            17 => Step::Store { machine, place },
            18 => Step::Logout { machine, all: self.below(2) == 0, dies: self.dies() },
            19..25 => Step::Pass(self.one_of(&[
                1,
                5,
                31,
                61,
                200,
                600,
                1800,
                3290,
                3301,
                3500,
                3601,
                4000,
                2 * HOUR,
                DAY,
                3 * DAY,
            ])),
            25..29 => self.set_clock(),
            29 => Step::Revoke { installation: self.below(3) },
            30 => Step::Uninstall { installation: self.below(3) },
            31 => Step::Install { installation: self.below(3) },
            32 => Step::Cover { place, covered: self.below(2) == 0 },
            33 => Step::Lifetime(self.one_of(&[HOUR, HOUR, HOUR, 600, 310, 8 * HOUR])),
            34..38 => Step::Fault(self.fault()),
            _ => Step::Heal,
        }
    }

    fn fault(&mut self) -> Fault {
        const WRONG: [i64; 14] =
            [5, -5, 45, -45, 550, -550, HOUR, -HOUR, 61 * MINUTE, DAY, -2 * DAY, YEAR, -BEGIN, 100 * YEAR];
        let seconds = self.one_of(&[1, 30, 600, 2 * HOUR]);
        match self.below(6) {
            0 => Fault::ApiDown { seconds, is_502: self.below(2) == 0 },
            1 => {
                let time = self.one_of(&[-1, 0, 1, 60, 600, HOUR, DAY, 99_999_999_999, i64::MAX / 2]);
                let limit = match self.below(4) {
                    0 => RateLimit::NoTime,
                    1 => RateLimit::RetryAfter(time),
                    2 => RateLimit::ResetIn(time),
                    _ => RateLimit::Html(time),
                };
                Fault::Limited { requests: self.one_of(&[1, 1, 3]), limit }
            }
            2 => Fault::WrongDates { answers: self.one_of(&[1, 2, 5]), ahead: self.one_of(&WRONG) },
            3 => Fault::WrongExpiries { tokens: self.one_of(&[1, 3]), ahead: self.one_of(&WRONG) },
            4 => Fault::ProbeRefuses { seconds },
            _ => Fault::GitDown { seconds },
        }
    }

    fn history(seed: u64) -> Vec<Step> {
        let mut random = Self(seed);
        let length = 4 + random.below(24);
        (0..length).map(|_| random.step()).collect()
    }
}

/// When a process dies.
#[derive(Default)]
struct Death {
    left: Cell<Option<u32>>,
    locks: PathBuf,
    /// The locks that were held then.
    held: RefCell<Vec<PathBuf>>,
}

/// What is unwound with a process that dies.
struct Died;

impl Death {
    fn instant(&self) {
        match self.left.get() {
            None => {}
            Some(0) => {
                self.left.set(None);
                *self.held.borrow_mut() = files_in(&self.locks);
                resume_unwind(Box::new(Died));
            }
            Some(left) => self.left.set(Some(left - 1)),
        }
    }
}

/// Where the trace of a process goes that is to die.
struct DyingTrace(Rc<Death>);

impl Write for DyingTrace {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let line_text = String::from_utf8_lossy(line);
        if line_text.contains(": cache: replace ") || line_text.contains(": cache: remove ") {
            self.0.instant();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// What git gets.
#[derive(Clone, Debug)]
enum Answer {
    Token(String),
    NotInstalled,
    Failed(String),
    /// The process died.
    Nothing,
}

/// The name of a token, as far as this test knows it: the installation, and the repository that it is narrowed to.
type Name = (u64, Option<String>);

/// A token that is cached for sure.
#[derive(Debug)]
struct Kept {
    text: String,
    /// By the clock of the machine that minted it.
    at: i64,
    lifetime: i64,
    /// Until when it is valid in truth.
    until: i64,
}

/// The state of a history: the world, and what the promises are checked against.
struct History {
    config: &'static Config,
    folder: tempfile::TempDir,
    servers: Rc<Servers>,
    ahead: [Cell<i64>; 2],
    death: Rc<Death>,
    /// The latest token that a machine had for a place.
    latest: RefCell<BTreeMap<(usize, usize), String>>,
    refused: RefCell<BTreeSet<String>>,
    kept: RefCell<BTreeMap<Name, Kept>>,
    /// When a token was minted, by the clock of the machine.
    minted_at: RefCell<BTreeMap<String, i64>>,
    mints: RefCell<BTreeMap<Name, Vec<i64>>>,
    /// When something happened last, in truth, after which more may be minted than otherwise.
    disturbed: Cell<i64>,
    was_limited: Cell<bool>,
    /// The Apps that have minted since a rate limit was told: that one is over.
    limit_is_over: RefCell<BTreeSet<&'static str>>,
    failed_meanwhile: RefCell<Option<String>>,
    dead: Cell<u32>,
    /// How many processes asked.
    clients: Cell<u64>,
    /// How many processes run: one, and another one meanwhile.
    running: Cell<u32>,
}

/// The part of a second that marks a file whose time of change is set already.
const MARK: u32 = 123_456_700;

impl History {
    fn new(config: &'static Config) -> Rc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let servers = Rc::new(Servers {
            now: Cell::new(BEGIN),
            faults: RefCell::default(),
            tokens: RefCell::default(),
            installed: RefCell::default(),
            next_installation: Cell::new(1),
            covered: RefCell::new(PLACES.iter().map(|place| (*place, *place != "beta/b2")).collect()),
            lifetime: Cell::new(HOUR),
            client: Cell::new(0),
            limits_told: Cell::new(0),
            around: RefCell::default(),
        });
        for (app, owner) in INSTALLATIONS {
            servers.install(app, owner);
        }
        servers::connect(&servers);
        let locks = folder.path().join("cache").join("locks");
        Rc::new(Self {
            config,
            folder,
            servers,
            ahead: [Cell::new(0), Cell::new(0)],
            death: Rc::new(Death { locks, ..Death::default() }),
            latest: RefCell::default(),
            refused: RefCell::default(),
            kept: RefCell::default(),
            minted_at: RefCell::default(),
            mints: RefCell::default(),
            disturbed: Cell::new(BEGIN),
            was_limited: Cell::new(false),
            limit_is_over: RefCell::default(),
            failed_meanwhile: RefCell::default(),
            dead: Cell::new(0),
            clients: Cell::new(0),
            running: Cell::new(0),
        })
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn now(&self) -> i64 {
        self.servers.now.get()
    }

    /// What a machine's clock shows. None shows a time before 1970.
    fn local(&self, machine: usize) -> i64 {
        (self.now() + self.ahead[machine].get()).max(0)
    }

    /// Runs a process on a machine. `None`: it died.
    fn process<T>(
        &self,
        machine: usize,
        place: usize,
        dies: Option<u32>,
        work: impl FnOnce(&TokenSource<'_>, &Place) -> T,
    ) -> Result<Option<T>, String> {
        let clock = Clock::starting_at(UNIX_EPOCH + Duration::from_secs(self.local(machine).unsigned_abs()));
        let mut world = World {
            variables: Variables(&|_| None),
            variable_names: &Vec::new,
            folders: Folders { cache: Some(self.cache()), ..Folders::default() },
            clock,
            start_clock: Arc::new(move || clock),
            terminal: Terminal::new(DyingTrace(Rc::clone(&self.death))),
            streams: &Streams::default,
            before_exec: &|| (),
        };
        if dies.is_some() {
            world.terminal.start_trace(None, clock);
        }
        let host = Host::github();
        let place = match Repository::parse(PLACES[place]) {
            Some(repository) => Place::Repository(host, repository),
            None => Place::Owner(host, PLACES[place].to_owned()),
        };
        let selected = select(place, self.config).unwrap().unwrap();
        let before = self.death.left.replace(dies);
        self.running.set(self.running.get() + 1);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let source = TokenSource {
                network: servers::NETWORK,
                ..TokenSource::for_git(selected.rule, self.config, &world)
            };
            work(&source, &selected.place)
        }));
        self.death.left.set(before);
        self.running.set(self.running.get() - 1);
        let done = match done {
            Ok(done) => Some(done),
            Err(payload) if payload.is::<Died>() => {
                self.dead.set(self.dead.get() + 1);
                self.disturbed.set(self.now());
                self.leave_what_a_killed_process_leaves();
                None
            }
            Err(payload) => return Err(format!("panicked: {}", text_of(&*payload))),
        };
        self.check_folder(machine, done.is_none())?;
        Ok(done)
    }

    /// Its locks have ended, and their files are there. What it wrote last may be half written, or not at all.
    fn leave_what_a_killed_process_leaves(&self) {
        for lock in self.death.held.borrow_mut().drain(..) {
            drop(fs::File::options().create(true).append(true).open(lock).unwrap());
        }
        let number = self.dead.get();
        for unfinished in files_in(&self.cache().join("unfinished")) {
            let file = fs::File::options().write(true).open(&unfinished).unwrap();
            let metadata = file.metadata().unwrap();
            if nanos(&metadata) == MARK {
                continue;
            }
            match number % 3 {
                0 => {}
                1 => file.set_len(metadata.len() / 2).unwrap(),
                _ => fs::remove_file(&unfinished).unwrap(),
            }
        }
    }

    /// Every file is of a known kind and whole, and what is temporary is gone. Gives new files the time of a machine.
    fn check_folder(&self, machine: usize, died: bool) -> Result<(), String> {
        let time = UNIX_EPOCH + Duration::new(self.local(machine).unsigned_abs(), MARK);
        for folder in files_in(&self.cache()) {
            let kind = folder.file_name().unwrap().to_str().unwrap().to_owned();
            for path in files_in(&folder) {
                let metadata = fs::symlink_metadata(&path).unwrap();
                if nanos(&metadata) == MARK {
                    continue;
                }
                let name = path.file_name().unwrap().to_str().unwrap();
                let is_digest =
                    |name: &str| name.len() == 64 && name.bytes().all(|it| it.is_ascii_hexdigit());
                let content = fs::read(&path).unwrap();
                let is_json = || serde_json::from_slice::<serde_json::Value>(&content).is_ok();
                let is_right = match kind.as_str() {
                    "routes" | "apis" | "grants" | "outages" | "refusals" | "pages" => {
                        is_digest(name) && is_json()
                    }
                    "told" => matches!(name, "swept" | "fallback") && is_json(),
                    "tokens" => is_digest(name) && content.first() == Some(&3) && content.len() > 60,
                    "locks" => died || self.running.get() > 0,
                    "unfinished" => died && name.strip_prefix(UNFINISHED_PREFIX).is_some_and(is_digest),
                    _ => false,
                };
                if !is_right {
                    return Err(format!("the file {kind}/{name} must not be there, or is not whole"));
                }
                if kind == "locks" && !died {
                    continue;
                }
                fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            }
        }
        Ok(())
    }

    fn files(&self, kind: &str) -> Vec<PathBuf> {
        files_in(&self.cache().join(kind))
    }

    /// A machine asks for a place. Checks what it gets and what was minted.
    fn get(self: &Rc<Self>, asking: &Asking, refused: Option<&str>) -> Result<Answer, String> {
        let Asking { machine, place, dies, .. } = *asking;
        let local = self.local(machine);
        let refused_before = self.refused.borrow().clone();
        let limits_before = self.servers.limits_told.get();
        let fingerprint = refused.map(|text| Secret::new(text.to_owned()).fingerprint());
        let before = self.servers.around.replace(Some(self.around(asking.meanwhile.clone())));
        let client = self.clients.get() + 1;
        self.clients.set(client);
        let client_before = self.servers.client.replace(client);
        let answer = self.process(machine, place, dies, |source, place| {
            let need = fingerprint.as_deref().map_or(Need::Fresh, Need::OtherThan);
            match source.token(place, need) {
                // As `get` has it.
                Ok(Outcome::Issued(issued)) if issued.token.remaining(source.world.clock) <= 0 => {
                    Answer::Failed("it expired".to_owned())
                }
                Ok(Outcome::Issued(issued)) => Answer::Token(issued.token.secret.expose().to_owned()),
                Ok(Outcome::NotInstalled(_)) => Answer::NotInstalled,
                Err(why) => Answer::Failed(why.to_string()),
            }
        });
        self.servers.around.replace(before);
        self.servers.client.set(client_before);
        let answer = answer?.unwrap_or(Answer::Nothing);
        if let Some(failed) = self.failed_meanwhile.take() {
            return Err(failed);
        }
        self.check_mints(client, local, &answer, refused)?;
        if asking.meanwhile.is_some() {
            // It may have dropped what was minted.
            self.forget(|kept| matches!(&answer, Answer::Token(text) if text == kept));
        }
        let (app, _) = installation_at(PLACES[place]);
        if self.servers.limits_told.get() != limits_before {
            self.limit_is_over.borrow_mut().clear();
        } else if let Answer::Failed(why) = &answer
            && why.contains("rate limit")
            && self.limit_is_over.borrow().contains(app)
        {
            return Err(format!("{app} minted since a rate limit was told, but: {why}"));
        }
        let minted = |token: &Minted| {
            token.client == client && matches!(&answer, Answer::Token(text) if *text == token.text)
        };
        if self.servers.tokens.borrow().iter().any(minted) {
            self.limit_is_over.borrow_mut().insert(app);
        }
        if let Answer::Token(text) = &answer {
            self.check_answer(text, PLACES[place], local, &refused_before)?;
            if refused == Some(text.as_str()) {
                return Err(format!("{text} is answered to who says that it was refused"));
            }
            self.latest.borrow_mut().insert((machine, place), text.clone());
        }
        Ok(answer)
    }
    /// What happens before and after each request of a process.
    fn around(self: &Rc<Self>, meanwhile: Option<(u32, Box<Step>)>) -> Rc<dyn Fn()> {
        let (me, meanwhile, number) = (Rc::downgrade(self), RefCell::new(meanwhile), Cell::new(0));
        Rc::new(move || {
            let me = me.upgrade().unwrap();
            me.death.instant();
            let is_now = meanwhile.borrow().as_ref().is_some_and(|(at, _)| *at == number.get());
            number.set(number.get() + 1);
            if is_now {
                let (_, step) = meanwhile.take().unwrap();
                let (around, left) = (me.servers.around.take(), me.death.left.take());
                if let Err(failed) = me.step(&step) {
                    me.failed_meanwhile.replace(Some(format!("meanwhile: {failed}")));
                }
                me.servers.around.replace(around);
                me.death.left.set(left);
            }
        })
    }

    /// No more is minted than is needed.
    fn check_mints(
        &self,
        client: u64,
        local: i64,
        answer: &Answer,
        refused: Option<&str>,
    ) -> Result<(), String> {
        let new: Vec<Minted> = {
            let tokens = self.servers.tokens.borrow();
            tokens.iter().filter(|token| token.client == client).cloned().collect()
        };
        for token in new {
            self.minted_at.borrow_mut().insert(token.text.clone(), local);
            let name = (token.installation, token.repository.clone());
            let mut kept = self.kept.borrow_mut();
            if let Some(kept) = kept.get(&name) {
                let age = local - kept.at;
                // A clock that is off by half a minute is not corrected.
                let is_fresh = age >= 0 && age < kept.lifetime - 300 - 35 && self.now() < kept.until;
                if is_fresh && refused != Some(kept.text.as_str()) && !self.sweeps_too_much() {
                    return Err(format!("{} is minted although {} is {age} s old", token.text, kept.text));
                }
            }
            if matches!(answer, Answer::Token(text) if *text == token.text)
                && token.told_truly
                && !self.sweeps_too_much()
            {
                let lifetime = (token.expires_at - token.at).min(HOUR);
                kept.insert(
                    name.clone(),
                    Kept { text: token.text.clone(), at: local, lifetime, until: token.expires_at },
                );
            } else {
                kept.remove(&name);
            }
            if !token.told_truly {
                self.disturbed.set(self.now());
            }
            let mut mints = self.mints.borrow_mut();
            let mints = mints.entry(name).or_default();
            mints.push(token.at);
            let since = self.now() - MINUTE;
            let lately = mints.iter().filter(|at| **at > since).count();
            if self.disturbed.get() < since && lately > 4 {
                return Err(format!("{lately} tokens of one installation are minted within a minute"));
            }
        }
        Ok(())
    }

    /// What git gets is a token for the place, neither expired nor refused.
    fn check_answer(
        &self,
        text: &str,
        place: &str,
        local: i64,
        refused_before: &BTreeSet<String>,
    ) -> Result<(), String> {
        let tokens = self.servers.tokens.borrow();
        let token = tokens.iter().find(|it| it.text == text).ok_or_else(|| format!("{text} is no token"))?;
        let (app, owner) = installation_at(place);
        let repository = place.split_once('/').map(|(_, name)| name).filter(|_| app == OF_GAMMA);
        if token.app != app || token.owner != owner || token.repository.as_deref() != repository {
            return Err(format!("{place} is answered with {token:?}"));
        }
        if refused_before.contains(text) {
            return Err(format!("{text} is answered, which was refused or revoked"));
        }
        let age = local - self.minted_at.borrow()[text];
        let lifetime = if token.told_truly { (token.expires_at - token.at + 30).min(HOUR) } else { HOUR };
        if age < -11 || age > lifetime + 2 {
            return Err(format!("{text} is answered, which is {age} s old and was given for {lifetime} s"));
        }
        Ok(())
    }

    /// Whether the clocks are so far apart that one machine sweeps what the other one has just written.
    fn sweeps_too_much(&self) -> bool {
        (self.ahead[0].get() - self.ahead[1].get()).abs() >= DAY - 2 * HOUR
    }

    /// A token is not to be answered any more.
    fn forget(&self, which: impl Fn(&str) -> bool) {
        self.kept.borrow_mut().retain(|_, kept| !which(&kept.text));
    }

    fn refuse(self: &Rc<Self>, machine: usize, place: usize, dies: Option<u32>) -> Result<(), String> {
        let Some(text) = self.latest.borrow().get(&(machine, place)).cloned() else { return Ok(()) };
        let done = self.process(machine, place, dies, |source, place| {
            source.erase(place, &Secret::new(text.clone()));
        })?;
        self.forget(|kept| kept == text);
        if done.is_some() {
            self.refused.borrow_mut().insert(text);
        }
        Ok(())
    }

    /// What git does with a repository, and whether it says so where it gets in. Gives what it was answered.
    fn work(self: &Rc<Self>, machine: usize, place: usize, stores: bool) -> Result<Answer, String> {
        let asking = Asking { machine, place, dies: None, meanwhile: None };
        let answer = self.get(&asking, None)?;
        if let Answer::Token(text) = &answer {
            match self.servers.works(text, PLACES[place]) {
                true if stores => self.step(&Step::Store { machine, place })?,
                true => {}
                false => self.refuse(machine, place, None)?,
            }
        }
        Ok(answer)
    }

    fn step(self: &Rc<Self>, step: &Step) -> Result<(), String> {
        let servers = &self.servers;
        match step {
            Step::Get(asking) => drop(self.get(asking, None)?),
            Step::Work { machine, place } => {
                self.work(*machine, *place, true)?;
                self.work(*machine, *place, true)?;
            }
            Step::Refuse { machine, place, dies } => self.refuse(*machine, *place, *dies)?,
            Step::RefuseAll { machine, place } => {
                for _ in 0..8 {
                    self.get(
                        &Asking { machine: *machine, place: *place, dies: None, meanwhile: None },
                        None,
                    )?;
                    self.refuse(*machine, *place, None)?;
                }
            }
            Step::RefuseWithState(asking) => {
                let latest = self.latest.borrow().get(&(asking.machine, asking.place)).cloned();
                if let Some(refused) = latest {
                    let answer = self.get(asking, Some(&refused))?;
                    self.forget(|kept| kept == refused);
                    if matches!(answer, Answer::Token(_)) {
                        self.refused.borrow_mut().insert(refused);
                    }
                }
            }
            Step::Store { machine, place } => {
                self.disturbed.set(self.now());
                let latest = self.latest.borrow().get(&(*machine, *place)).cloned();
                if let Some(text) = latest {
                    self.process(*machine, *place, None, |source, place| {
                        if let Some(key) = source.cached_key(place) {
                            source.cache.accept(&key, &Secret::new(text));
                        }
                    })?;
                }
            }
            Step::Logout { machine, all, dies } => {
                self.disturbed.set(self.now());
                let done = self.process(*machine, 0, *dies, |source, _| {
                    for entry in source.cache.entries().0 {
                        source.cache.forget(&entry.key).unwrap();
                    }
                    if *all {
                        source.cache.forget_everything().unwrap();
                    }
                })?;
                self.forget(|_| true);
                if done.is_some() {
                    // One that a process is minting at this moment is not there yet.
                    let seen: Vec<String> = self.minted_at.borrow().keys().cloned().collect();
                    self.refused.borrow_mut().extend(seen);
                }
            }
            Step::Pass(seconds) => servers.now.set(self.now() + seconds),
            Step::SetClock { machine, ahead } => {
                self.ahead[*machine].set(*ahead);
                if self.sweeps_too_much() {
                    self.forget(|_| true);
                }
                self.disturbed.set(self.now());
            }
            Step::Revoke { installation } => {
                let (_, owner) = INSTALLATIONS[*installation];
                servers.revoke(|token| token.owner == owner);
            }
            Step::Uninstall { installation } => {
                let (app, owner) = INSTALLATIONS[*installation];
                servers.uninstall(app, owner);
            }
            Step::Install { installation } => {
                let (app, owner) = INSTALLATIONS[*installation];
                servers.install(app, owner);
            }
            Step::Cover { place, covered } => {
                servers.covered.borrow_mut().insert(PLACES[*place], *covered);
            }
            Step::Lifetime(seconds) => servers.lifetime.set(*seconds),
            Step::Fault(fault) => self.fault(*fault),
            Step::Heal => *servers.faults.borrow_mut() = Faults::default(),
        }
        Ok(())
    }

    fn fault(&self, fault: Fault) {
        let (now, mut faults) = (self.now(), self.servers.faults.borrow_mut());
        *faults = match fault {
            Fault::ApiDown { seconds, is_502 } => Faults { api_down_until: now + seconds, is_502, ..*faults },
            Fault::Limited { requests, limit } => {
                self.was_limited.set(true);
                Faults { limited: requests, limit, ..*faults }
            }
            Fault::WrongDates { answers, ahead } => {
                Faults { wrong_dates: answers, date_ahead: ahead, ..*faults }
            }
            Fault::WrongExpiries { tokens, ahead } => {
                Faults { wrong_expiries: tokens, expiry_ahead: ahead, ..*faults }
            }
            Fault::ProbeRefuses { seconds } => Faults { probe_refuses_until: now + seconds, ..*faults },
            Fault::GitDown { seconds } => Faults { git_down_until: now + seconds, ..*faults },
        };
    }

    /// With right clocks and servers that work, nothing that is remembered keeps git waiting for longer than it may: an hour
    /// after a rate limit, else a minute.
    fn settle(self: &Rc<Self>) -> Result<(), String> {
        *self.servers.faults.borrow_mut() = Faults::default();
        self.ahead.iter().for_each(|ahead| ahead.set(0));
        self.step(&Step::Pass(MINUTE + 1))?;
        for (place, name) in PLACES.iter().enumerate() {
            let (app, owner) = installation_at(name);
            if !self.servers.is_installed(app, owner) || (*name != owner && !self.servers.covers(name)) {
                continue;
            }
            // Now one machine is the first for a place, now the other one.
            let machine = (place + self.minted_at.borrow().len()) % 2;
            let mut told = Vec::new();
            let (mut waits, mut refusals) = (0, 0);
            loop {
                let answer = self.work(machine, place, false)?;
                match &answer {
                    Answer::Token(text) if self.servers.works(text, name) => break,
                    Answer::Token(_) => refusals += 1,
                    _ => {
                        waits += 1;
                        let longest = if self.was_limited.take() { HOUR } else { MINUTE };
                        self.step(&Step::Pass(longest + 1))?;
                    }
                }
                told.push(answer);
                if waits > 1 || refusals > 2 {
                    return Err(format!("machine {machine} gets nothing that works for {name}: {told:?}"));
                }
            }
        }
        Ok(())
    }

    /// What nobody needs any more goes.
    fn grow_old(self: &Rc<Self>) -> Result<(), String> {
        let get = Step::Get(Asking { machine: 0, place: 0, dies: None, meanwhile: None });
        self.servers.install(OF_EVERYBODY, "acme");
        self.servers.covered.borrow_mut().insert(PLACES[0], true);
        self.servers.lifetime.set(HOUR);
        // One day counts as lately, before and after now.
        let soon = &["unfinished", "locks", "tokens", "grants", "outages", "refusals"][..];
        for (days, kinds) in [(2, &[][..]), (3, soon), (32, &["routes"])] {
            self.step(&Step::Pass(days * DAY))?;
            self.step(&get)?;
            for kind in kinds {
                let at_most = match *kind {
                    "routes" => 2,
                    "tokens" | "grants" => 1,
                    _ => 0,
                };
                let files = self.files(kind);
                if files.len() > at_most {
                    return Err(format!("after {days} days these are still there: {files:?}"));
                }
            }
        }
        Ok(())
    }
}

fn nanos(metadata: &fs::Metadata) -> u32 {
    metadata.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Signs at once, where RSA would take nearly all of the time. The servers here do not look at the signature.
#[derive(Debug)]
struct CheapKey(String);

impl KeySource for CheapKey {
    fn read(&self, _: &World<'_>) -> Result<KeyText> {
        Ok(KeyText::new(Zeroizing::new(self.0.as_bytes().to_vec())))
    }

    fn signer(&self, _: &KeyText) -> Result<Box<dyn Signer>> {
        Ok(Box::new(Self(self.0.clone())))
    }

    fn describe(&self) -> String {
        self.0.clone()
    }

    fn short(&self) -> String {
        self.0.clone()
    }

    fn setting(&self) -> Option<String> {
        None
    }
}

impl Signer for CheapKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>> {
        Ok(self.0.as_bytes().to_vec())
    }
}

fn config() -> &'static Config {
    thread_local! {
        static CONFIG: &'static Config = {
            let text = format!(
                "[[app]]\nid = '{OF_EVERYBODY}'\nprivate-key = 'one.pem'\n[[app]]\nid = '{OF_GAMMA}'\nprivate-key = 'two.pem'\n\
                 owners = ['gamma']\nscope = 'repository'\n"
            );
            let mut config = Config::of_file(&text, Path::new("/config.toml"), &Folders::default()).unwrap();
            for rule in &mut config.rules {
                rule.identity = Identity::Keys(vec![Rc::new(CheapKey(rule.app_id.clone()))]);
            }
            config.cache.store = cache::StoreKind::parse("file").unwrap();
            // Shorter than the first pause, so that nothing is waited for.
            config.cache.deadline = Duration::from_millis(100);
            Box::leak(Box::new(config))
        };
    }
    CONFIG.with(|config| *config)
}

/// Plays a history. An error says which promise does not hold, and after how many steps.
fn play(steps: &[Step]) -> Result<(), (usize, String)> {
    let history = History::new(config());
    for (number, step) in steps.iter().enumerate() {
        history.step(step).map_err(|why| (number + 1, why))?;
    }
    history.settle().and_then(|()| history.grow_old()).map_err(|why| (steps.len(), why))
}

/// The history without what does not matter for its failure.
fn shortened(mut steps: Vec<Step>) -> (Vec<Step>, String) {
    let (mut length, mut why) = play(&steps).unwrap_err();
    steps.truncate(length);
    loop {
        let mut candidates: Vec<Vec<Step>> = (0..steps.len())
            .map(|left_out| {
                let mut fewer = steps.clone();
                fewer.remove(left_out);
                fewer
            })
            .collect();
        for (number, step) in steps.iter().enumerate() {
            if let Step::Get(asking) | Step::RefuseWithState(asking) = step
                && (asking.dies.is_some() || asking.meanwhile.is_some())
            {
                let mut simpler = steps.clone();
                simpler[number] = Step::Get(Asking { dies: None, meanwhile: None, ..asking.clone() });
                candidates.push(simpler);
            }
        }
        let shorter = candidates.into_iter().find_map(|it| play(&it).err().map(|failed| (it, failed)));
        let Some((it, failed)) = shorter else { return (steps, why) };
        (length, why) = failed;
        steps = it;
        steps.truncate(length);
    }
}

/// Plays the histories of some seeds, and tells of the first that fails.
fn play_seeds(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let steps = Random::history(seed);
        if play(&steps).is_err() {
            let (steps, why) = shortened(steps);
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("GHAPP_TESTS_HISTORY={seed}: {why}, after\n{}", steps.join("\n"));
        }
    }
}

/// `GHAPP_TESTS_HISTORIES` says how many, `GHAPP_TESTS_HISTORY` which one.
#[test]
fn the_promises_hold_in_random_histories() {
    #[expect(clippy::disallowed_methods, reason = "whoever tests says how long")]
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("GHAPP_TESTS_HISTORY") {
        return play_seeds(std::iter::once(seed));
    }
    let count = number("GHAPP_TESTS_HISTORIES").unwrap_or(250);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || play_seeds((worker as u64..count).step_by(workers)));
        }
    });
}
