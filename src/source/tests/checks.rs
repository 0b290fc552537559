//! The promises, checked after each step and at the end of a history.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use super::history::{Answer, History, Kept, MARK, files_in, nanos};
use super::servers::{Faults, Minted};
use super::steps::{Asking, Step};
use super::{DAY, HOUR, MINUTE, OF_EVERYBODY, OF_GAMMA, PLACES, installation_at};
use crate::files::UNFINISHED_PREFIX;

impl History {
    /// Every file is of a known kind and whole, and what is temporary is gone. Gives new files the time of a machine.
    pub(super) fn check_folder(&self, machine: usize, died: bool) -> Result<(), String> {
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

    pub(super) fn files(&self, kind: &str) -> Vec<PathBuf> {
        files_in(&self.cache().join(kind))
    }

    /// No more is minted than is needed.
    pub(super) fn check_mints(
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
            // Machines whose clocks are further apart than the refusal limit looks back count each for itself.
            let mints = mints.entry((name, (local - self.now()) / MINUTE)).or_default();
            mints.push(token.at);
            let since = self.now() - MINUTE;
            let lately = mints.iter().filter(|at| **at > since).count();
            if self.disturbed.get() < since && lately > 4 {
                return Err(format!("{lately} tokens of one installation are minted within a minute"));
            }
        }
        Ok(())
    }

    /// Whether the clocks are so far apart that one machine sweeps what the other one has just written.
    pub(super) fn sweeps_too_much(&self) -> bool {
        // Right clocks among them: what was written before a clock was set is of that time.
        let clocks = [0, self.ahead[0].get(), self.ahead[1].get()];
        clocks.iter().max() >= clocks.iter().min().map(|ahead| ahead + DAY - 2 * HOUR).as_ref()
    }

    /// What git gets is a token for the place, neither expired nor refused.
    pub(super) fn check_answer(
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

    /// With right clocks and servers that work, nothing that is remembered keeps git waiting for longer than it may: an hour
    /// for each App after a rate limit, else a minute. That hour may begin late: what was noted by a clock that was ahead is
    /// believed when that time has come.
    pub(super) fn settle(self: &Rc<Self>) -> Result<(), String> {
        *self.servers.faults.borrow_mut() = Faults::default();
        self.ahead.iter().for_each(|ahead| ahead.set(0));
        self.step(&Step::Pass(MINUTE + 1))?;
        let mut limited = BTreeSet::new();
        if self.was_limited.take() {
            limited.extend([OF_EVERYBODY, OF_GAMMA]);
        }
        for (place, name) in PLACES.iter().enumerate() {
            let (app, owner) = installation_at(name);
            if !self.servers.is_installed(app, owner) || (*name != owner && !self.servers.covers(name)) {
                continue;
            }
            // Now one machine is the first for a place, now the other one.
            let machine = (place + self.minted_at.borrow().len()) % 2;
            let mut answers = Vec::new();
            let (mut waits, mut refusals) = (0, 0);
            loop {
                let answer = self.work(machine, place, false)?;
                match &answer {
                    Answer::Token(text) if self.servers.works(text, name) => break,
                    Answer::Token(_) => refusals += 1,
                    _ => {
                        waits += 1;
                        let longest = if limited.remove(app) { HOUR } else { MINUTE };
                        self.step(&Step::Pass(longest + 1))?;
                    }
                }
                answers.push(answer);
                if waits > 1 || refusals > 2 {
                    return Err(format!("machine {machine} gets nothing that works for {name}: {answers:?}"));
                }
            }
        }
        Ok(())
    }

    /// What nobody needs any more goes.
    pub(super) fn grow_old(self: &Rc<Self>) -> Result<(), String> {
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
