//! What is kept between calls: tokens in stores that protect them, and small files with nothing secret in them.
//!
//! Trouble in here never fails a request: it is told as a warning, and the request goes on without a cache.

mod api_state;
mod app_pages;
mod contents;
mod folder;
mod grants;
mod key;
mod lock;
mod outages;
mod refusals;
mod routes;
mod shared;
mod store;
mod turn;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::command;
use crate::error::{Error, Result};
use crate::time::Timestamp;
use crate::token::{Need, Token};
use crate::world::World;

pub(crate) use api_state::ApiState;
pub(crate) use app_pages::AppPage;
use folder::{Folder, Kind, LOCKS, TURNS, UNFINISHED};
pub(crate) use grants::Grant;
pub(crate) use key::{ApiStateKey, Name, RouteKey, TokenKey};
pub(crate) use lock::Lock;
use lock::LockOutcome;
#[cfg(unix)]
pub(crate) use lock::hold_folder;
pub(crate) use routes::{FleetRoute, Learnt, LookupTurn, OwnerRoute};
use shared::Shared;
pub(crate) use shared::{Address, FleetLease, FleetTurn, SharedSettings};
pub(crate) use store::{Effort, Sealer, StoreKind};
use store::{Opening, Store};
pub(crate) use turn::Turn;

/// Five minutes: git may start a long transfer with the token right before this is over.
const DEFAULT_MIN_FRESH: i64 = 300;
/// Longer than GitHub's bad moments, shorter than a person's patience.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// What was told, or done, in the last 24 hours.
const TOLD: Kind = Kind::of_words("told", &["fallback", "swept", "shared-cache"]);

/// How a [`Cache`] works.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where tokens are kept.
    pub(crate) store: StoreKind,
    /// Where files are kept, if not in the user's cache folder.
    pub(crate) folder: Option<PathBuf>,
    /// A cached token is used while it is valid for at least this many seconds.
    pub(crate) min_fresh: i64,
    /// How long GitHub may take in all.
    pub(crate) deadline: Duration,
    /// Where a fleet of machines keeps what they share.
    pub(crate) shared: SharedSettings,
}

impl Settings {
    /// How long another process may take to look up or mint the same: GitHub and then the probe the deadline each, the private
    /// key its time, and other machines theirs.
    fn patience(&self) -> Duration {
        const PRIVATE_KEY: Duration = Duration::from_secs(5);
        let others = if self.shared.address.is_some() { shared::PATIENCE } else { Duration::ZERO };
        self.deadline * 2 + PRIVATE_KEY + others
    }

    /// The cache folder. `None` where it is to be the user's, who has no home.
    pub(crate) fn folder<'s>(&'s self, world: &'s World<'_>) -> Option<&'s PathBuf> {
        self.folder.as_ref().or(world.folders.cache.as_ref())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: StoreKind::default(),
            folder: None,
            min_fresh: DEFAULT_MIN_FRESH,
            deadline: DEFAULT_DEADLINE,
            shared: SharedSettings::default(),
        }
    }
}

/// Tokens and routes, as far as they are remembered.
pub(crate) struct Cache<'a> {
    world: &'a World<'a>,
    settings: Settings,
    sealer: Option<Rc<dyn Sealer + 'a>>,
    folder: Result<Folder<'a>>,
    shared: Shared,
    /// What the fleet knows of the API, as of the last look.
    fleets_api_state: Cell<Option<ApiState>>,
    /// When tokens under a name were refused on any machine, as of the last look.
    fleets_refusals: RefCell<(TokenKey, Vec<Timestamp>)>,
}

/// What is to be done where no fresh token is cached.
pub(crate) enum MintTurn<'c> {
    /// Nothing: another process, or another machine, minted this one meanwhile.
    Minted(Token),
    /// Mint one, while the others wait for the lock and the lease.
    Mint {
        /// Held until they are dropped: first the lease, so that what is kept is there for all.
        _lease: Option<FleetLease<'c>>,
        _lock: Option<Lock>,
        /// A cached token that is still valid, for when none can be minted.
        fallback: Option<Token>,
    },
}

impl<'a> Cache<'a> {
    /// Opens the cache. What cannot be opened is told when it is needed. Without a sealer sealed files can be found and
    /// removed, but not read.
    pub(crate) fn open(
        world: &'a World<'a>,
        settings: &Settings,
        sealer: Option<Rc<dyn Sealer + 'a>>,
    ) -> Self {
        let folder = match settings.folder(world) {
            Some(path) => Folder::open(path, &world.terminal),
            None => Err(Error::new("there is no cache folder: this user has no home")
                .hint("set HOME or XDG_CACHE_HOME")),
        };
        Self {
            world,
            settings: settings.clone(),
            sealer,
            folder,
            shared: Shared::default(),
            fleets_api_state: Cell::default(),
            fleets_refusals: RefCell::default(),
        }
    }

    fn folder(&self) -> Option<&Folder<'a>> {
        self.folder.as_ref().ok()
    }

    fn warn(&self, what: &str) {
        self.world.terminal.warning(&Error::new(what));
    }

    /// The stores that may hold an entry, in the order in which they are asked.
    fn stores(&self) -> impl Iterator<Item = Result<Box<dyn Store + '_>, String>> {
        self.settings.store.open(self.opening())
    }

    fn opening(&self) -> Opening<'_> {
        Opening { world: self.world, folder: self.folder(), sealer: self.sealer.clone() }
    }

    /// A cached token that will do.
    pub(crate) fn fresh(&self, key: &TokenKey, need: Need<'_>) -> Option<Token> {
        if need == Need::New {
            return None;
        }
        self.cached(key).filter(|token| self.is_fresh(token) && !need.excludes(token))
    }

    /// Waits until this process may mint, or another one did: first of those on this machine, then of all machines. A token
    /// that was refused is removed, and counts towards the refusal limit.
    ///
    /// # Errors
    /// If too many tokens were refused lately.
    pub(crate) fn turn_to_mint(
        &self,
        key: &TokenKey,
        api: &ApiStateKey,
        need: Need<'_>,
    ) -> Result<MintTurn<'_>> {
        if self.settings.store.is_none() && !self.is_shared() {
            return Ok(MintTurn::Mint { _lease: None, _lock: None, fallback: None });
        }
        self.world.terminal.trace(|| "cache: no fresh token".to_owned());
        if let Err(why) = &self.folder {
            self.world.terminal.warning(why);
        }
        // What another process minted meanwhile cannot be had fresher, however short it lives.
        let is_new = |token: &Token| token.is_new(self.world.clock);
        let will_do = |token: &Token| match need {
            Need::New => is_new(token),
            _ => !need.excludes(token) && (self.is_fresh(token) || is_new(token)),
        };
        let lock = match self.lock("token", key, "minting", || self.cached(key).filter(will_do)) {
            LockOutcome::Done(token) => return Ok(MintTurn::Minted(token)),
            LockOutcome::Locked(lock) => Some(lock),
            LockOutcome::Unlocked => None,
        };
        let fallback = match self.cached(key) {
            Some(token) if will_do(&token) => return Ok(MintTurn::Minted(token)),
            Some(token) if need.excludes(&token) => {
                self.erase(key, &token.secret);
                None
            }
            stale => stale.filter(|token| token.remaining(self.world.clock) > 0),
        };
        let lease = match self.fleets_turn_to_mint(key, api, will_do) {
            FleetTurn::Done((token, grant)) => {
                self.keep_here(key, &token, &grant);
                return Ok(MintTurn::Minted(token));
            }
            FleetTurn::Do(lease) => lease,
        };
        self.check_refusal_limit(key)?;
        Ok(MintTurn::Mint { _lease: lease, _lock: lock, fallback })
    }

    /// Waits until another machine minted a token that will do, or it is this one's turn.
    fn fleets_turn_to_mint(
        &self,
        key: &TokenKey,
        api: &ApiStateKey,
        will_do: impl Fn(&Token) -> bool,
    ) -> FleetTurn<'_, (Token, Grant)> {
        let refused = self.refused(key);
        let usable = |entry: &shared::Opened| {
            grants::shared_token(entry.as_ref()?, self.shared.ahead())
                .filter(|(token, _)| will_do(token) && !refused.contains(&token.secret.fingerprint()))
        };
        if let Some(found) = usable(&self.came_along(key.name())) {
            return FleetTurn::Done(found);
        }
        let refusals = refusals::shared_name(key);
        self.fleets_turn(key.name(), &[key.name(), &refusals, api.name()], 1, |entries| {
            let [token, refusals, api] = entries else { return None };
            self.note_fleets_refusals(key, refusals);
            self.note_fleets_api_state(api);
            usable(token)
        })
    }

    /// Takes the lock of a name unless another process has `done` the work meanwhile, or says why `doing` goes
    /// on without.
    fn lock<T>(
        &self,
        kind: &str,
        name: &impl key::Name,
        doing: &str,
        done: impl Fn() -> Option<T>,
    ) -> LockOutcome<T> {
        let Some(folder) = self.folder() else { return LockOutcome::Unlocked };
        let commands = self.sealer.as_ref().is_some_and(|sealer| sealer.effort() != Effort::Little);
        // A command may take its own time on top.
        let patience = self.settings.patience() + if commands { command::DEADLINE } else { Duration::ZERO };
        Lock::take(folder, kind, name, patience, done).unwrap_or_else(|why| {
            self.warn(&format!("{doing} without a lock: {why}"));
            LockOutcome::Unlocked
        })
    }

    /// The lock files that other processes hold for at least so long.
    pub(crate) fn held_locks(&self, patience: Duration) -> Vec<PathBuf> {
        self.folder().map_or_else(Vec::new, |folder| lock::held(folder, patience))
    }

    /// Keeps other processes from changing an entry for the instant in which this one does. Where that cannot be had it is
    /// changed all the same.
    fn lock_entry(&self, key: &TokenKey) -> Option<Lock> {
        const INSTANT: Duration = Duration::from_secs(2);
        match Lock::take(self.folder()?, "entry", key, INSTANT, || None::<()>) {
            Ok(LockOutcome::Locked(lock)) => Some(lock),
            _ => None,
        }
    }

    fn is_fresh(&self, token: &Token) -> bool {
        token.remaining(self.world.clock) >= self.settings.min_fresh.max(1)
    }

    /// The token of the first store that has a fresh one; without one, the token that lives longest.
    pub(crate) fn cached(&self, key: &TokenKey) -> Option<Token> {
        let mut best: Option<Token> = None;
        for store in self.stores().flatten() {
            let Some(token) = self.read_from(&*store, key) else { continue };
            let remaining = |token: &Token| token.remaining(self.world.clock);
            if best.as_ref().is_none_or(|best| remaining(&token) > remaining(best)) {
                best = Some(token);
            }
            if best.as_ref().is_some_and(|token| self.is_fresh(token)) {
                break;
            }
        }
        best
    }

    /// The token in a store. Why there is none is not told here: whoever then mints and cannot write is told.
    fn read_from(&self, store: &dyn Store, key: &TokenKey) -> Option<Token> {
        store.read(key).ok().flatten().and_then(|bytes| Token::from_bytes(&bytes))
    }

    /// Keeps a token that was minted just now, here and for other machines.
    pub(crate) fn keep(&self, key: &TokenKey, token: &Token, grant: &Grant) {
        self.keep_here(key, token, grant);
        if self.is_shared() {
            let entry = grants::token_to_share(token, grant, self.shared.ahead());
            self.share(key.name(), &entry, token.remaining(self.world.clock), None);
        }
    }

    /// Writes to the first store that takes the token. That it is not the first of all is told once a day.
    fn keep_here(&self, key: &TokenKey, token: &Token, grant: &Grant) {
        let lifetime = u64::try_from(token.remaining(self.world.clock)).unwrap_or(0);
        if lifetime == 0 || self.settings.store.is_none() {
            return;
        }
        self.sweep();
        let _lock = self.lock_entry(key);
        self.note_grant(key, grant);
        let bytes = token.to_bytes(&grant.label);
        let mut failures = Vec::new();
        for store in self.stores() {
            let written_to = store.and_then(|store| {
                let written = store.write(key, &bytes, lifetime).map(|()| store.name());
                written.map_err(|why| format!("{}: {why}", store.name()))
            });
            match written_to {
                Ok(_) if failures.is_empty() => return,
                Ok(name) => {
                    if self.is_first_time_today("fallback") {
                        self.warn(&format!("tokens are kept in a {name}: {}", failures.join("; ")));
                    }
                    return;
                }
                Err(why) => failures.push(why),
            }
        }
        self.warn(&format!("the token is not cached, so the next call mints again: {}", failures.join("; ")));
    }

    /// Once a day removes what cannot be of use any more, so that the folder does not grow for ever.
    fn sweep(&self) {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        if let Some(folder) = self.folder()
            && self.is_first_time_today("swept")
        {
            let others = [grants::KIND, outages::KIND, UNFINISHED, LOCKS, TURNS];
            for kind in store::KINDS.into_iter().chain(refusals::KINDS).chain(others) {
                folder.sweep(kind, DAY, self.world.clock);
            }
            for kind in [routes::KIND, app_pages::KIND] {
                folder.sweep(kind, 30 * DAY, self.world.clock);
            }
        }
    }

    /// Whether this was not told, or done, in the last 24 hours. Where that cannot be noted, it is the first time each
    /// time.
    fn is_first_time_today(&self, what: &str) -> bool {
        const DAY: i64 = 24 * 3600;
        let Some(folder) = self.folder() else { return true };
        let now = self.world.clock.now();
        let last: Option<Timestamp> = folder.read_json(TOLD, what);
        if last.is_some_and(|last| (0..DAY).contains(&now.since(last))) {
            return false;
        }
        let _ = folder.write_json(TOLD, what, &now);
        true
    }
}

#[cfg(test)]
mod tests;
