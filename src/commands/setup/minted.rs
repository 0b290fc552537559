//! The tokens that setup mints to try an App.

use super::rule::Present;
use super::subject::Subject;
use crate::cache::TokenKey;
use crate::commands::cached::{Cached, cached};
use crate::commands::logout;
use crate::config::{Config, Flags};
use crate::world::World;

/// The tokens that setup mints for an App that is not configured: they are for trying it, and only a setup that is done keeps
/// them.
pub(super) struct Minted {
    /// With the settings of this command alone, and with those of the files, which git's call of this program reads.
    configs: Vec<Config>,
    /// What was cached before: keys, and the stores.
    before: Vec<(TokenKey, &'static str)>,
    app: String,
}

impl Minted {
    pub(super) fn watch(subject: &Subject, present: &Present, flags: &Flags, world: &World<'_>) -> Self {
        let app = subject.rule.app_id.clone();
        let is_configured = present
            .rules
            .iter()
            .any(|rule| rule.app_id == app || subject.app.as_ref().is_some_and(|it| it.has_id(&rule.app_id)));
        let mut configs = Vec::new();
        // A token of an App that is configured is one that git may be using now, and one of a command is not ours to revoke.
        if !is_configured && subject.rule.identity.token_command().is_none() {
            configs.push(subject.config.clone());
            configs.extend(Config::load(flags, world).ok().map(|files| {
                let rules = subject.config.rules.clone();
                Config { rules, ..files }
            }));
        }
        let cached = configs.iter().flat_map(|config| cached(config, world).0);
        let before = cached.map(|it| (it.key, it.store)).collect();
        Self { configs, before, app }
    }

    /// Revokes and removes what was minted since.
    pub(super) fn remove(&self, world: &World<'_>) {
        for config in &self.configs {
            let is_new = |it: &Cached| {
                it.label.app == self.app
                    && !self.before.iter().any(|(key, store)| it.key == *key && it.store == *store)
            };
            for why in logout::these(is_new, config, world).1 {
                world.terminal.warning(&why);
            }
        }
    }
}
