//! One thing that setup changes: shown before, done, and taken back.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{put_key, read_if_there, read_key, remove, replace, take_away};
use super::git_side;
use super::journal::Journal;
use super::key::not_into_keyring;
use crate::app::key::keyring;
use crate::commands::output::Output;
use crate::config::Config;
use crate::error::Result;
use crate::git::config::{self as git_config, Scope};
use crate::names::is_name;
use crate::terminal::{in_shell, path_in_shell};
use crate::world::World;

/// A change, with all that taking it back needs. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    /// A file of this program's configuration.
    File { path: PathBuf, before: Option<String>, after: String },
    /// The private key, moved to another file.
    KeyFile { from: PathBuf, to: PathBuf },
    /// The private key, moved to the keyring.
    KeyToKeyring { from: PathBuf, name: String },
    /// A key that setup moved once and that GitHub does not accept any more, removed. Nothing brings it back.
    DropKey { setting: String },
    /// A setting of git's.
    Git {
        scope: Scope,
        key: String,
        /// The values that stood there, if they were replaced. Otherwise what stood there is none of setup's business,
        /// and may hold a secret: a helper can be a piece of shell.
        replaced: Vec<String>,
        added: Vec<String>,
        /// How many values stand before those that are added.
        kept: usize,
        /// Whether setup made the file that it stands in, now or in another run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        made_file: bool,
        /// That file, where a variable names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<PathBuf>,
    },
}

impl Change {
    pub(super) fn file(path: PathBuf, before: Option<String>, after: String) -> Self {
        Self::File { path, before, after }
    }

    pub(super) fn key_file(from: PathBuf, to: PathBuf) -> Self {
        Self::KeyFile { from, to }
    }

    pub(super) fn key_to_keyring(from: PathBuf, name: String) -> Self {
        Self::KeyToKeyring { from, name }
    }

    /// Adds values to those that are there.
    pub(super) fn add(place: &GitFile, key: String, present: &[String], added: Vec<String>) -> Self {
        let GitFile { scope, is_setups, named } = place;
        let (scope, made_file, file) = (scope.clone(), *is_setups, named.clone());
        Self::Git { scope, key, replaced: Vec::new(), added, kept: present.len(), made_file, file }
    }

    /// Puts a value in the place of those that are there.
    pub(super) fn replace(place: &GitFile, key: String, replaced: Vec<String>, value: &str) -> Self {
        let GitFile { scope, is_setups, named } = place;
        let added = if replaced.last().is_some_and(|last| last == value) {
            Vec::new()
        } else {
            vec![value.to_owned()]
        };
        let (scope, made_file, file) = (scope.clone(), *is_setups, named.clone());
        Self::Git { scope, key, replaced, added, kept: 0, made_file, file }
    }

    /// Whether everything is as it is to be.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::File { before, after, .. } => before.as_ref() == Some(after),
            Self::Git { added, .. } => added.is_empty(),
            Self::KeyFile { .. } | Self::KeyToKeyring { .. } | Self::DropKey { .. } => false,
        }
    }

    /// What is to be changed, if it is not as it was when the change was planned.
    pub(super) fn is_outdated(&self) -> Result<Option<String>> {
        let (is_outdated, what) = match self {
            Self::File { path, before, .. } => (read_if_there(path)? != *before, path.display().to_string()),
            Self::Git { scope, key, replaced, kept, .. } => {
                let present = git_config::values(scope, key)?;
                let is_as_it_was =
                    if replaced.is_empty() { present.len() == *kept } else { present == *replaced };
                (!is_as_it_was, format!("git's {scope} setting {key}"))
            }
            Self::KeyFile { .. } | Self::KeyToKeyring { .. } | Self::DropKey { .. } => return Ok(None),
        };
        Ok(is_outdated.then_some(what))
    }

    /// What the change names that setup does not write, if a file beside the configuration says that setup made it.
    /// `folder` is that of the configuration.
    pub(super) fn foreign_part(&self, folder: &Path, world: &World<'_>) -> Option<String> {
        let is_own_folder = |path: &Path, folder: &Path| {
            path.parent().is_some_and(|it| is_same(it, folder)) && is_plain(path)
        };
        let (is_setups, what) = match self {
            Self::File { path, after, .. } => {
                let is_configuration = || Config::of_file(after, path, &world.folders).is_ok();
                let is_setups = is_own_folder(path, folder) && (is_identity(path) || is_configuration());
                (is_setups, path.display().to_string())
            }
            Self::KeyFile { from, to } => {
                let is_setups = is_own_folder(to, &folder.join("keys"))
                    && to.extension().is_some_and(|it| it == "pem")
                    && is_plain(from);
                (is_setups, format!("{} and {}", from.display(), to.display()))
            }
            Self::KeyToKeyring { from, name } => (is_name(name) && is_plain(from), format!("the key {name}")),
            // Nothing brings it back.
            Self::DropKey { .. } => (true, String::new()),
            Self::Git { scope, key, replaced, .. } => {
                let is_file = match scope {
                    Scope::File(path) => is_plain(path) && path.file_name().is_some_and(|it| it == "config"),
                    Scope::Global | Scope::System => true,
                };
                let what =
                    if is_file { key.clone() } else { "a file that is no configuration of git's".to_owned() };
                (is_file && git_side::is_written(key, !replaced.is_empty()), what)
            }
        };
        (!is_setups).then_some(what)
    }

    /// How a configuration names the key, if this is what moved it away from a path.
    pub(super) fn moved_key(&self, path: &Path) -> Option<String> {
        match self {
            Self::KeyFile { from, to } if from == path && to.exists() => Some(to.display().to_string()),
            Self::KeyToKeyring { from, name } if from == path => Some(keyring::setting(name)),
            _ => None,
        }
    }

    /// Shows what is there, and what will be there.
    pub(super) fn tell(&self, output: &mut Output<'_>) -> Result<()> {
        match self {
            Self::File { path, before, after } => {
                let what = if before.is_some() { "changed" } else { "new" };
                output.line(&format!("  {} ({what})", path.display()))?;
                let before = before.as_deref().unwrap_or_default();
                if let Some(added) = after.strip_prefix(before) {
                    let mut lines = added.lines().skip_while(|line| line.is_empty());
                    return lines.try_for_each(|line| output.line(&format!("    + {line}")));
                }
                let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
                let lines = difference(&old, &new);
                let mut shown = lines.iter().filter(|(_, line)| !line.trim().is_empty());
                shown.try_for_each(|(sign, line)| output.line(&format!("    {sign} {line}")))
            }
            Self::KeyFile { from, to } => {
                output.line(&format!("  {} is moved to {}", from.display(), to.display()))
            }
            Self::KeyToKeyring { from, name } => {
                output.line(&format!("  {} is moved to the keyring, as {name}", from.display()))
            }
            Self::DropKey { setting } => {
                output.line(&format!("  {setting} is removed: GitHub does not accept that key any more"))
            }
            Self::Git { scope, key, replaced, added, .. } => {
                let option = match scope {
                    Scope::Global => "--global".to_owned(),
                    Scope::System => "--system".to_owned(),
                    Scope::File(path) => format!("--file {}", path_in_shell(path)),
                };
                let was = match replaced.as_slice() {
                    [] => String::new(),
                    values => format!("   # was {}", values.join(", ")),
                };
                let how = if replaced.is_empty() { "--add" } else { "--replace-all" };
                let key = in_shell(key);
                added.iter().try_for_each(|value| {
                    output.line(&format!("  git config {option} {how} {key} {}{was}", in_shell(value)))
                })
            }
        }
    }

    pub(super) fn apply(&self, world: &World<'_>) -> Result<()> {
        match self {
            Self::File { path, after, .. } => replace(path, after),
            Self::KeyFile { from, to } => {
                put_key(to, &read_key(from)?)?;
                take_away(from)
            }
            Self::KeyToKeyring { from, name } => {
                let key = read_key(from)?;
                keyring::write(name, &key, world).map_err(|why| not_into_keyring(&why))?;
                take_away(from)
            }
            Self::DropKey { setting } => match keyring::name(setting) {
                Some(name) => keyring::remove(name, world),
                None => remove(Path::new(setting)),
            },
            Self::Git { scope, key, replaced, added, .. } => {
                let mut values = git_config::values(scope, key)?;
                if !replaced.is_empty() {
                    values.clear();
                }
                values.extend(added.iter().cloned());
                git_config::set_values(scope, key, &values)
            }
        }
    }
}

/// Whether a file is one of git's that setup makes for the name and the address of commits.
pub(super) fn is_identity(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("identity-") && name.ends_with(".gitconfig")
}

/// Whether two paths are of one folder or file: a home can be reached on several ways.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|one| Some(one) == real(other))
}

/// Whether a path is absolute and without steps up.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|part| part == Component::ParentDir)
}

/// One of git's configuration files.
pub(super) struct GitFile {
    pub(super) scope: Scope,
    /// Whether setup makes it, or made it in another run.
    is_setups: bool,
    /// The file, where a variable names it.
    named: Option<PathBuf>,
}

impl GitFile {
    pub(super) fn find(scope: &Scope, journal: &Journal, world: &World<'_>) -> Result<Self> {
        git_config::check_place(scope, world)?;
        let is_setups = !git_config::is_there(scope)? || journal.made_file(scope, world)?;
        Ok(Self { scope: scope.clone(), is_setups, named: git_config::named_file(scope, world) })
    }
}

/// The lines that go (`-`) and those that come (`+`), in their order: all but the longest sequence that both have.
fn difference<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(char, &'t str)> {
    // The length of that sequence from each pair of lines on.
    let mut length = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, line) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            length[i][j] = match line == other {
                true => length[i + 1][j + 1] + 1,
                false => length[i + 1][j].max(length[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && length[i + 1][j] >= length[i][j + 1]) {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    lines
}
