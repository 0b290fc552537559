//! The shared cache: what one machine of a fleet learnt or minted, for all others. The order is local store, shared cache,
//! GitHub; so nothing here runs where the local store has the answer.
//!
//! It lies in an engine, a Redis or Valkey, that is trusted with nothing. Values are sealed as a sealed file is, and keys take
//! the same secret to compute, so that it learns neither tokens nor owners. Its trouble never fails a call, and costs one that
//! meets it no more than [`engine::PATIENCE`]: the engine is left alone then, for this run and a while after it.
//!
//! All times in here are by the engine's clock, which the machines have in common. It is told with every answer.

mod address;
mod connection;
mod engine;

use std::cell::{Cell, RefCell};
use std::thread;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::Cache;
use super::key::{Name as _, TokenKey};
use super::store::{CircuitBreaker, Sealing};
use crate::error::{Error, Result};
use crate::secret::hex;
use crate::time::jittered;

pub(crate) use address::{Address, SharedSettings};
use engine::{Engine, Look};

/// How long one machine may take to look up or mint before another one tries: longer than GitHub takes, but for its bad moments.
const LEASE: Duration = Duration::from_secs(10);
/// How long a machine waits for others in all. Then it goes on by itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How long is paused between two looks, at first and later, more or less.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// How far the engine's clock may be from this one, in seconds.
const FARTHEST_CLOCK: i64 = 24 * 3600;

/// What this run knows of the shared cache.
#[derive(Default)]
pub(super) struct Shared {
    engine: RefCell<Engine>,
    /// Whether the engine is left alone for the rest of this run.
    is_left_alone: Cell<bool>,
    /// For how long this run has waited for other machines.
    waited: Cell<Duration>,
    /// How many seconds the engine's clock is ahead of this one.
    ahead: Cell<i64>,
    /// A value that came along with the route that leads to it, and its key.
    came_along: RefCell<Option<(String, Vec<u8>)>>,
    /// What is kept with the next exchange: key, value, and for how long.
    to_keep: RefCell<Vec<(String, Vec<u8>, Duration)>>,
}

impl Shared {
    /// How many seconds the engine's clock is ahead of this one, as of the last answer.
    pub(super) fn ahead(&self) -> i64 {
        self.ahead.get()
    }
}

/// An opened entry, if there is one.
pub(super) type Opened = Option<Zeroizing<Vec<u8>>>;

/// What is to be done where the local store has no answer.
pub(crate) enum FleetTurn<'c, T> {
    /// Nothing: another machine did it.
    Done(T),
    /// Do it, while the other machines wait. `None`: there is no shared cache, or it is of no use now.
    Do(Option<FleetLease<'c>>),
}

/// Keeps other machines waiting until it is dropped, or [`LEASE`] is over. With its end they see what there is to keep.
pub(crate) struct FleetLease<'c> {
    cache: &'c Cache<'c>,
    lease: engine::Lease,
}

impl Drop for FleetLease<'_> {
    fn drop(&mut self) {
        self.cache.keep_shared(Some(&self.lease));
    }
}

impl<'a> Cache<'a> {
    /// Waits until another machine did what this one wants to do, or it is this one's turn. Of the entries the first
    /// `decisive` ones decide about that: `usable` is given all of them. `lease` names the work.
    pub(super) fn fleets_turn<'c, T>(
        &'c self,
        lease: &str,
        names: &[&str],
        decisive: usize,
        usable: impl Fn(&[Opened]) -> Option<T>,
    ) -> FleetTurn<'c, T> {
        let Some(lease) = self.new_lease(lease) else { return FleetTurn::Do(None) };
        let mut seen = vec![Vec::new(); decisive];
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let Some(look) = self.look(Some(&lease), names, &seen) else { return FleetTurn::Do(None) };
            let held = look.leased.then(|| FleetLease { cache: self, lease: lease.clone() });
            let opened = self.opened(names, &look.values);
            if let Some(done) = usable(&opened) {
                return FleetTurn::Done(done);
            }
            if held.is_some() {
                return FleetTurn::Do(held);
            }
            let waited = self.shared.waited.get();
            if waited >= PATIENCE {
                self.world.terminal.trace(|| "shared cache: other machines take too long".to_owned());
                return FleetTurn::Do(None);
            }
            let found: Vec<Vec<u8>> =
                look.values.into_iter().take(decisive).map(Option::unwrap_or_default).collect();
            if found == seen {
                self.world.tell_waiting(waited, || "waiting for another machine to mint".to_owned());
                thread::sleep(jittered(pause));
                pause = (pause * 2).min(LONGEST_PAUSE);
            } else {
                // What is there is of no use, as before.
                seen = found;
            }
            self.shared.waited.set(waited + began.elapsed());
        }
    }

    /// An entry that came along with a route.
    pub(super) fn came_along(&self, name: &str) -> Opened {
        let (key, value) = self.shared.came_along.take()?;
        let sealing = self.sealing();
        if key == shared_key(&sealing, name)? { sealing.open(name, &value).ok()? } else { None }
    }

    /// Keeps an entry with the end of the lease, or with [`Cache::keep_shared`], for so many seconds. A route leads to the
    /// token that comes along with it.
    pub(super) fn share(&self, name: &str, entry: &[u8], lasts: i64, leads_to: Option<&TokenKey>) {
        let Ok(lasts @ 1..) = u64::try_from(lasts) else { return };
        if !self.is_shared() || self.shared.is_left_alone.get() {
            return;
        }
        let sealing = self.sealing();
        let leads_to = leads_to.and_then(|token| shared_key(&sealing, token.name())).unwrap_or_default();
        if let (Some(key), Ok(sealed)) = (shared_key(&sealing, name), sealing.seal(name, entry)) {
            let value = [leads_to.as_bytes(), &sealed].concat();
            self.shared.to_keep.borrow_mut().push((key, value, Duration::from_secs(lasts)));
        }
    }

    /// Keeps what there is to keep, and ends a lease.
    fn keep_shared(&self, lease: Option<&engine::Lease>) {
        let entries = self.shared.to_keep.take();
        if lease.is_some() || !entries.is_empty() {
            self.with_engine(|engine| engine.keep(&self.settings.shared, self.world, lease, &entries));
        }
    }

    /// Keeps now what there is to keep.
    pub(crate) fn share_now(&self) {
        self.keep_shared(None);
    }

    /// Reads entries.
    pub(super) fn read_shared(&self, names: &[&str]) -> Option<Vec<Opened>> {
        let look = self.look(None, names, &[])?;
        Some(self.opened(names, &look.values))
    }

    /// Drops an entry, if that is what it should be. Gives whether it is.
    pub(super) fn drop_shared(&self, name: &str, is_meant: impl Fn(&[u8]) -> bool) -> bool {
        let Some(look) = self.look(None, &[name], &[]) else { return false };
        let [Some(value)] = look.values.as_slice() else { return false };
        let [Some(entry)] = &self.opened(&[name], &look.values)[..] else { return false };
        let Some(key) = shared_key(&self.sealing(), name).filter(|_| is_meant(entry)) else { return false };
        self.with_engine(|engine| engine.drop_if(&self.settings.shared, self.world, &key, value));
        true
    }

    /// Whether a shared cache is configured.
    pub(super) fn is_shared(&self) -> bool {
        self.settings.shared.address.is_some()
    }

    /// Where the shared cache is, if there is one, without a user or password.
    pub(crate) fn shared_with(&self) -> Option<String> {
        self.settings.shared.address.as_ref().map(|(address, _)| address.to_string())
    }

    /// Tests the shared cache with an entry that is dropped again, even if it is left alone at the moment. Gives how many
    /// seconds its clock is ahead.
    ///
    /// # Errors
    /// If it is of no use.
    pub(crate) fn test_shared(&self) -> Result<i64> {
        let name = TokenKey::for_self_test(self.world.clock.began());
        let (settings, world, sealing) = (&self.settings.shared, self.world, self.sealing());
        let key = sealing.hidden(name.name()).map_err(Error::new)?;
        let keys = [format!("{}{key}", engine::PREFIX)];
        let mut engine = Engine::default();
        let value = (keys[0].clone(), b"test".to_vec(), Duration::from_secs(60));
        engine.keep(settings, world, None, &[value])?;
        let look = engine.look(settings, world, None, &keys, &[])?;
        let ahead = self.clock_of(&look)?;
        engine.drop_if(settings, world, &keys[0], b"test")?;
        match look.values.as_slice() {
            [Some(value)] if value == b"test" => Ok(ahead),
            _ => Err(Error::new("what was written cannot be read again")),
        }
    }

    fn sealing(&self) -> Sealing<'_> {
        Sealing::new(self.opening())
    }

    fn new_lease(&self, name: &str) -> Option<engine::Lease> {
        if !self.is_shared() || self.shared.is_left_alone.get() {
            return None;
        }
        let mut holder = [0; 16];
        SystemRandom::new().fill(&mut holder).ok()?;
        let key = shared_key(&self.sealing(), &format!("lease {name}"))?;
        Some(engine::Lease { key, holder: hex(&holder), lasts: LEASE })
    }

    fn look(&self, lease: Option<&engine::Lease>, names: &[&str], seen: &[Vec<u8>]) -> Option<Look> {
        if !self.is_shared() || self.shared.is_left_alone.get() {
            return None;
        }
        let sealing = self.sealing();
        let keys = names.iter().map(|name| shared_key(&sealing, name)).collect::<Option<Vec<_>>>()?;
        let mut look = self.with_engine(|engine| {
            let look = engine.look(&self.settings.shared, self.world, lease, &keys, seen)?;
            self.shared.ahead.set(self.clock_of(&look)?);
            Ok(look)
        })?;
        if let Some(value) = look.came_along.take() {
            let leading = look.values.iter().flatten().find_map(|value| leads_to(value));
            let key = leading.and_then(|key| String::from_utf8(key.to_vec()).ok());
            self.shared.came_along.replace(key.map(|key| (key, value)));
        }
        Some(look)
    }

    /// How many seconds the engine's clock is ahead.
    fn clock_of(&self, look: &Look) -> Result<i64> {
        let ahead = look.time.saturating_sub(self.world.clock.now().0);
        if ahead.saturating_abs() <= FARTHEST_CLOCK {
            return Ok(ahead);
        }
        Err(Error::new("its clock and this one are more than a day apart").hint("set the clocks"))
    }

    fn opened(&self, names: &[&str], values: &[Option<Vec<u8>>]) -> Vec<Opened> {
        let sealing = self.sealing();
        let open = |(name, value): (&&str, &Option<Vec<u8>>)| {
            let value = value.as_ref()?;
            let sealed = leads_to(value).map_or(value.as_slice(), |key| &value[key.len()..]);
            // What does not open is of another App or another key, or was tampered with: a miss.
            sealing.open(name, sealed).ok()?
        };
        names.iter().zip(values).map(open).collect()
    }

    /// Talks with the engine, unless it is left alone. What goes wrong is told once a day.
    fn with_engine<T>(&self, talk: impl FnOnce(&mut Engine) -> Result<T>) -> Option<T> {
        let (shared, terminal) = (&self.shared, &self.world.terminal);
        let (address, _) = self.settings.shared.address.as_ref()?;
        if shared.is_left_alone.get() {
            return None;
        }
        let breaker = CircuitBreaker::new("shared-cache", &self.opening());
        if breaker.is_open() {
            terminal.trace(|| "shared cache: it did not work a moment ago, so it is left alone".to_owned());
            shared.is_left_alone.set(true);
            return None;
        }
        let began = Instant::now();
        match talk(&mut shared.engine.borrow_mut()) {
            Ok(answer) => {
                terminal.trace(|| format!("shared cache: answered after {} ms", began.elapsed().as_millis()));
                Some(answer)
            }
            Err(why) => {
                terminal.trace(|| format!("shared cache: {why}"));
                shared.is_left_alone.set(true);
                breaker.open();
                if self.is_first_time_today("shared-cache") {
                    let warning = Error::new(format!("the shared cache {address} is not used: {why}"));
                    terminal.warning(&warning.hint("git-credential-ghapp doctor").hint_of(&why));
                }
                None
            }
        }
    }
}

/// The engine's key for a name.
fn shared_key(sealing: &Sealing<'_>, name: &str) -> Option<String> {
    sealing.hidden(name).ok().map(|hidden| format!("{}{hidden}", engine::PREFIX))
}

/// The key that a value begins with: that of the token that a route leads to.
fn leads_to(value: &[u8]) -> Option<&[u8]> {
    const LENGTH: usize = engine::PREFIX.len() + 64;
    value.get(..LENGTH).filter(|key| key.starts_with(engine::PREFIX.as_bytes()))
}
