//! What surrounds one run: environment, folders, clock, and the terminal. Nothing below reads these by itself.

use ureq::Agent;

use crate::app::App;
use crate::cache::{Cache, Settings};
use crate::clock::Clock;
use crate::config::{Config, Folders, KeySource, Rule, StoreKind, Variables};
use crate::error::Result;
use crate::network;
use crate::terminal::Terminal;

/// The surroundings of one run.
pub struct World<'a> {
    /// The environment.
    pub variables: Variables<'a>,
    /// Where files are.
    pub folders: &'a Folders,
    /// The clock.
    pub clock: Clock,
    /// Where messages for a person go.
    pub terminal: &'a Terminal,
    /// Tells which of the standard streams a person sits at.
    pub screen: &'a dyn Fn() -> Screen,
    /// What is to be done before another program takes this process over.
    pub hand_over: &'a dyn Fn(),
}

/// Which of the standard streams a person sits at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Screen {
    /// Whether a person may type.
    pub input: bool,
    /// Whether a person reads the results as they come.
    pub output: bool,
    /// Whether a person reads the messages as they come.
    pub errors: bool,
}

impl World<'_> {
    /// The App that a rule names.
    pub(crate) fn app<'c>(&self, rule: &'c Rule) -> App<'c> {
        let asks_bus = matches!(rule.key, KeySource::Keyring { .. });
        App::new(&rule.issuer, &rule.key, asks_bus && self.has_session_bus())
    }

    /// The cache, for one App.
    pub(crate) fn cache<'c>(&'c self, config: &Config, app: &'c App<'c>) -> Cache<'c> {
        let settings = Settings {
            store: config.store,
            min_fresh: config.min_fresh,
            deadline: config.deadline,
            folder: self.folders.cache.as_deref(),
            session_bus: config.store == StoreKind::SecretService && self.has_session_bus(),
        };
        Cache::open(settings, app, self.clock, self.terminal)
    }

    /// What HTTP requests to an address go through.
    pub(crate) fn agent(&self, address: &str) -> Result<Agent> {
        network::agent(address, &self.variables, self.folders.home.as_deref(), self.terminal)
    }

    /// Whether connecting to the session bus would find an address. Without one libdbus starts a bus of its own.
    pub(crate) fn has_session_bus(&self) -> bool {
        let runtime = self.variables.path("XDG_RUNTIME_DIR").map(std::path::PathBuf::from);
        self.variables.path("DBUS_SESSION_BUS_ADDRESS").is_some()
            || runtime.is_some_and(|folder| folder.join("bus").exists())
    }
}
