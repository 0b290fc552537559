//! What setup wrote, so that it can take it back: a file beside the configuration.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::files::replace_private;
use super::key::absolute;
use crate::app::key::keyring;
use crate::commands::output::each_once;
use crate::config::Config;
use crate::error::{Error, Result, cause};
use crate::files::{is_absent, read_own_text, read_own_text_of_machine};
use crate::git::config::Scope;
use crate::world::World;

/// The journal's file.
pub(super) struct Journal {
    path: PathBuf,
    /// The name of the configuration file: several in one folder have one journal.
    configuration: String,
    /// Whether only what was done for that one is meant.
    is_alone: bool,
}

/// One run of setup.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The App's id as it is configured.
    pub(super) app: String,
    /// The name of the configuration file, which is beside the journal; a run of an older version did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) configuration: Option<String>,
    /// Its other id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) other_id: Option<String>,
    /// The host that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    /// The owners that it is for, in lower case; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) owners: Vec<String>,
    pub(super) changes: Vec<Change>,
}

/// Which runs of setup are meant; all of them if nothing is named.
#[derive(Default)]
pub(super) struct Which<'w> {
    pub(super) app: Option<&'w str>,
    pub(super) host: Option<&'w str>,
    pub(super) owner: Option<&'w str>,
}

impl Which<'_> {
    fn meets(&self, entry: &Entry) -> bool {
        let is = |named: &str, has: &str| named.eq_ignore_ascii_case(has);
        self.app.is_none_or(|app| app == entry.app || entry.other_id.as_deref() == Some(app))
            && self.host.is_none_or(|host| entry.host.as_deref().is_some_and(|has| is(host, has)))
            && self.owner.is_none_or(|owner| entry.owners.iter().any(|has| is(owner, has)))
    }
}

impl Journal {
    /// The journal of what is configured in a file.
    pub(super) fn beside(configuration: &Path) -> Self {
        let name = configuration.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            path: absolute(configuration).with_file_name("setup.json"),
            configuration: name,
            is_alone: false,
        }
    }

    /// The same of this configuration file alone, and not of those beside it, where a person named it.
    pub(super) fn alone(self, is_alone: bool) -> Self {
        Self { is_alone, ..self }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was done, the oldest first.
    ///
    /// # Errors
    /// If somebody else can have written that, or if it is not what setup does.
    pub(super) fn read(&self, world: &World<'_>) -> Result<Vec<Entry>> {
        let shown = self.path.display();
        let not_believed = |why: &str| {
            Error::new(format!("{shown} is not used: {why}"))
                .hint("look at it, delete that file, and undo by hand what setup wrote")
        };
        let is_of_machine = world.folders.system_config.parent() == self.path.parent();
        let read = if is_of_machine { read_own_text_of_machine } else { read_own_text };
        let text = match read(&self.path) {
            Ok(text) => text,
            Err(e) if is_absent(&e) => return Ok(Vec::new()),
            Err(e) => return Err(not_believed(&cause(&e))),
        };
        let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|e| {
            let place = format!("line {} column {}", e.line(), e.column());
            Error::new(format!("{shown} is damaged ({place}), so setup cannot tell what it wrote"))
                .hint("delete that file, and undo by hand what setup wrote")
        })?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut changes = entries.iter().flat_map(|entry| &entry.changes);
        match changes.find_map(|change| change.foreign_part(folder, world)) {
            Some(what) => Err(not_believed(&format!("it names {what}, which setup does not write"))),
            None => Ok(entries),
        }
    }

    /// Whether a run is one of those that are meant.
    fn is_meant(&self, which: &Which<'_>, entry: &Entry) -> bool {
        let is_other = |name: &String| self.is_alone && *name != self.configuration;
        which.meets(entry) && !entry.configuration.as_ref().is_some_and(is_other)
    }

    fn write(&self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            // One that stays is empty, or tells of what is not there any more.
            let _ = fs::remove_file(&self.path);
            return Ok(());
        }
        let text = serde_json::to_string_pretty(entries)
            .map_err(|e| Error::new(format!("cannot write {}: {e}", self.path.display())))?;
        replace_private(&self.path, &text)
    }

    /// Makes changes, all of them or none. They are noted first, so that what a killed process did can be taken back.
    ///
    /// # Errors
    /// If one cannot be made, or if what is to be changed is not what it was when that was planned: a person was asked
    /// meanwhile, who may have edited it.
    pub(super) fn apply(&self, entry: Entry, world: &World<'_>) -> Result<()> {
        for change in &entry.changes {
            if let Some(what) = change.is_outdated()? {
                let what = format!("{what} was changed meanwhile, so nothing was written");
                return Err(Error::new(what).hint("run setup again"));
            }
        }
        let mut entries = self.read(world)?;
        entries.push(Entry { configuration: Some(self.configuration.clone()), ..entry });
        self.write(&entries)?;
        let made = entries.last().map_or(&[][..], |entry| &entry.changes);
        for (index, change) in made.iter().enumerate() {
            if let Err(why) = change.apply(world) {
                let left = made[..=index].iter().rev().filter(|change| change.undo(world).is_err());
                let left = left.count();
                entries.pop();
                if left == 0 {
                    self.write(&entries)?;
                }
                return Err(why);
            }
        }
        Ok(())
    }

    /// What would be taken back, the latest first, in words.
    pub(super) fn preview(&self, which: &Which<'_>, world: &World<'_>) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for entry in self.read(world)?.iter().rev().filter(|entry| self.is_meant(which, entry)) {
            for change in entry.changes.iter().rev() {
                lines.extend(change.what_undo_does(world)?);
            }
        }
        Ok(each_once(lines))
    }

    /// Takes changes back, the latest first, and notes what was done. What cannot be taken back ends it, and stays in the
    /// journal.
    pub(super) fn undo(&self, which: &Which<'_>, world: &World<'_>, undone: &mut Vec<String>) -> Result<()> {
        let mut entries = self.read(world)?;
        while let Some(last) = entries.iter().rposition(|entry| self.is_meant(which, entry)) {
            let (earlier, later) = entries.split_at_mut(last + 1);
            for change in earlier[last].changes.iter().rev() {
                let changes = later.iter().flat_map(|entry| &entry.changes);
                undone.extend(change.undo_under(changes, world)?);
                later.iter_mut().flat_map(|entry| &mut entry.changes).for_each(|it| it.leave_out(change));
            }
            entries.remove(last);
            self.write(&entries)?;
        }
        Ok(())
    }

    /// Takes back what the last run did.
    pub(super) fn undo_last(&self, world: &World<'_>) -> Result<()> {
        let mut entries = self.read(world)?;
        let Some(last) = entries.pop() else { return Ok(()) };
        for change in last.changes.iter().rev() {
            change.undo(world)?;
        }
        self.write(&entries)
    }

    /// How a configuration names the key that setup moved away from here, if it did.
    pub(super) fn moved_from(&self, path: &Path, world: &World<'_>) -> Result<Option<String>> {
        let entries = self.read(world)?;
        let changes = entries.iter().rev().flat_map(|entry| entry.changes.iter().rev());
        Ok(changes.into_iter().find_map(|change| change.moved_key(path)))
    }

    /// Whether setup moved a key to a file.
    pub(super) fn moved_here(&self, path: &Path, world: &World<'_>) -> Result<bool> {
        let moved = |change: &Change| matches!(change, Change::KeyFile { to, .. } if to == path);
        Ok(self.read(world)?.iter().flat_map(|entry| &entry.changes).any(moved))
    }

    /// Whether setup made git's file of a scope.
    pub(super) fn made_file(&self, scope: &Scope, world: &World<'_>) -> Result<bool> {
        let made =
            |change: &Change| matches!(change, Change::Git { scope: of, made_file: true, .. } if of == scope);
        Ok(self.read(world)?.iter().flat_map(|entry| &entry.changes).any(made))
    }

    /// The Apps that runs of setup were for, one for each run.
    pub(super) fn apps(&self, which: &Which<'_>, world: &World<'_>) -> Result<Vec<String>> {
        let meant = self.read(world)?.into_iter().filter(|entry| self.is_meant(which, entry));
        Ok(meant.map(|entry| entry.app).collect())
    }

    /// Where the private keys are that stay when this is taken back, although they are in a place of this program's:
    /// `register` put them there. As a configuration names them.
    pub(super) fn keys_that_stay(&self, which: &Which<'_>, world: &World<'_>) -> Result<Vec<String>> {
        let folder = self.path.with_file_name("keys");
        let is_there = |place: &str| match keyring::name(place) {
            Some(name) => keyring::read(name, world).is_ok(),
            None => Path::new(place).parent() == Some(&folder) && Path::new(place).exists(),
        };
        let mut places = Vec::new();
        for entry in self.read(world)?.iter().filter(|entry| self.is_meant(which, entry)) {
            let moved = self.key_places(&entry.app, world)?;
            for change in &entry.changes {
                let Change::File { path, after, .. } = change else { continue };
                let Ok(config) = Config::of_file(after, path, &world.folders) else { continue };
                let rules = config.rules.iter().filter(|rule| rule.app_id == entry.app);
                let named = rules.flat_map(|rule| rule.identity.keys()).filter_map(|key| key.setting());
                places.extend(named.filter(|place| !moved.contains(place) && is_there(place)));
            }
        }
        Ok(each_once(places))
    }

    /// The places that setup moved private keys of an App to, as a configuration names them.
    pub(super) fn key_places(&self, app: &str, world: &World<'_>) -> Result<Vec<String>> {
        let of_app = |entry: &&Entry| Which { app: Some(app), ..Which::default() }.meets(entry);
        let entries = self.read(world)?;
        let changes = entries.iter().filter(of_app).flat_map(|entry| &entry.changes);
        Ok(changes
            .filter_map(|change| match change {
                Change::KeyFile { to, .. } => Some(to.display().to_string()),
                Change::KeyToKeyring { name, .. } => Some(keyring::setting(name)),
                _ => None,
            })
            .collect())
    }
}
