//! A history as it is played: the machines, their processes, and what the promises are checked against.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::servers::{self, Faults, Minted, Servers};
use super::steps::{Asking, Fault, Step};
use super::{BEGIN, HOUR, INSTALLATIONS, PLACES, installation_at};
use crate::config::{Config, select};
use crate::names::{Host, Place, Repository};
use crate::secret::Secret;
use crate::source::{Outcome, TokenSource};
use crate::terminal::Terminal;
use crate::time::Clock;
use crate::token::Need;
use crate::world::{Folders, Streams, Variables, World};

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

pub(super) fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// What git gets.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Token(String),
    NotInstalled,
    Failed(String),
    /// The process died.
    Nothing,
}

/// The name of a token, as far as this test knows it: the installation, and the repository that it is narrowed to.
pub(super) type Name = (u64, Option<String>);

/// A token that is cached for sure.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) text: String,
    /// By the clock of the machine that minted it.
    pub(super) at: i64,
    pub(super) lifetime: i64,
    /// Until when it is valid in truth.
    pub(super) until: i64,
}

/// The state of a history: the world, and what the promises are checked against.
pub(super) struct History {
    config: &'static Config,
    folder: tempfile::TempDir,
    pub(super) servers: Rc<Servers>,
    pub(super) ahead: [Cell<i64>; 2],
    death: Rc<Death>,
    /// The latest token that a machine had for a place.
    latest: RefCell<BTreeMap<(usize, usize), String>>,
    pub(super) refused: RefCell<BTreeSet<String>>,
    pub(super) kept: RefCell<BTreeMap<Name, Kept>>,
    /// When a token was minted, by the clock of the machine.
    pub(super) minted_at: RefCell<BTreeMap<String, i64>>,
    pub(super) mints: RefCell<BTreeMap<(Name, i64), Vec<i64>>>,
    /// When something happened last, in truth, after which more may be minted than otherwise.
    pub(super) disturbed: Cell<i64>,
    pub(super) was_limited: Cell<bool>,
    /// The Apps that have minted since a rate limit was told: that one is over.
    pub(super) limit_is_over: RefCell<BTreeSet<&'static str>>,
    limits_seen: Cell<u32>,
    failed_meanwhile: RefCell<Option<String>>,
    dead: Cell<u32>,
    /// How many processes asked.
    clients: Cell<u64>,
    /// How many processes run: one, and another one meanwhile.
    pub(super) running: Cell<u32>,
}

/// The part of a second that marks a file whose time of change is set already.
pub(super) const MARK: u32 = 123_456_700;

impl History {
    pub(super) fn new(config: &'static Config) -> Rc<Self> {
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
            limits_seen: Cell::new(0),
            failed_meanwhile: RefCell::default(),
            dead: Cell::new(0),
            clients: Cell::new(0),
            running: Cell::new(0),
        })
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub(super) fn now(&self) -> i64 {
        self.servers.now.get()
    }

    /// What a machine's clock shows. None shows a time before 1970.
    pub(super) fn local(&self, machine: usize) -> i64 {
        (self.now() + self.ahead[machine].get()).max(0)
    }

    /// Runs a process on a machine. `None`: it died.
    pub(super) fn process<T>(
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

    /// A machine asks for a place. Checks what it gets and what was minted.
    pub(super) fn get(self: &Rc<Self>, asking: &Asking, refused: Option<&str>) -> Result<Answer, String> {
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
        // It may have been told to the process meanwhile, or to the one that this one runs meanwhile of.
        let limits = self.servers.limits_told.get();
        if self.limits_seen.replace(limits) != limits || limits != limits_before {
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

    /// A token is not to be answered any more.
    pub(super) fn forget(&self, which: impl Fn(&str) -> bool) {
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
    pub(super) fn work(
        self: &Rc<Self>,
        machine: usize,
        place: usize,
        stores: bool,
    ) -> Result<Answer, String> {
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

    pub(super) fn step(self: &Rc<Self>, step: &Step) -> Result<(), String> {
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
}

pub(super) fn nanos(metadata: &fs::Metadata) -> u32 {
    metadata.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}
