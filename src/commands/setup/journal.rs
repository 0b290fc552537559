//! What setup wrote, so that it can take it back: a file beside the configuration.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::{Change, read_if_there, replace};
use crate::error::{Error, Result};
use crate::world::World;

/// The journal's file.
pub(super) struct Journal {
    path: PathBuf,
}

/// One run of setup.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    app: String,
    changes: Vec<Change>,
}

impl Journal {
    /// The journal of what is configured in a file.
    pub(super) fn beside(configuration: &Path) -> Self {
        Self { path: configuration.with_file_name("setup.json") }
    }

    fn read(&self) -> Result<Vec<Entry>> {
        let Some(text) = read_if_there(&self.path)? else { return Ok(Vec::new()) };
        serde_json::from_str(&text).map_err(|e| {
            let place = format!("line {} column {}", e.line(), e.column());
            Error::new(format!("{} cannot be understood ({place})", self.path.display()))
                .hint("take it away, and take back by hand what setup wrote")
        })
    }

    fn write(&self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            // One that stays is empty, or tells of what is not there any more.
            let _ = fs::remove_file(&self.path);
            return Ok(());
        }
        let text = serde_json::to_string_pretty(entries)
            .map_err(|e| Error::new(format!("cannot write {}: {e}", self.path.display())))?;
        replace(&self.path, &text)
    }

    /// Makes changes, all of them or none. They are noted first, so that what a killed process did can be taken back.
    pub(super) fn apply(&self, app: &str, changes: Vec<Change>, world: &World<'_>) -> Result<()> {
        let mut entries = self.read()?;
        entries.push(Entry { app: app.to_owned(), changes });
        self.write(&entries)?;
        let made = entries.last().map_or(&[][..], |entry| &entry.changes);
        for (index, change) in made.iter().enumerate() {
            if let Err(why) = change.apply(world) {
                let left = made[..index].iter().rev().filter(|change| change.undo(world).is_err());
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

    /// Takes changes back, the latest first: all, or those for one App. Gives what was done.
    pub(super) fn undo(&self, app: Option<&str>, world: &World<'_>) -> Result<Vec<String>> {
        let mut entries = self.read()?;
        let mut undone = Vec::new();
        while let Some(last) = entries.iter().rposition(|entry| app.is_none_or(|app| entry.app == app)) {
            for change in entries[last].changes.iter().rev() {
                undone.extend(change.undo(world)?);
            }
            entries.remove(last);
            self.write(&entries)?;
        }
        Ok(undone)
    }
}
