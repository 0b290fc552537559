//! One thing that setup changes: shown before, done, and taken back.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::output::Output;
use super::journal::Journal;
use super::{git_side, rule};
use crate::app::key::keyring;
use crate::config::Config;
use crate::error::{Error, Result, cause};
use crate::files::{Access, Writing, is_absent, make_private_folder, read_text, write_whole};
use crate::git::config::{self as git_config, Scope};
use crate::names::is_name;
use crate::secret::Secret;
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
        let GitFile { scope, is_setups } = place;
        let (scope, made_file) = (scope.clone(), *is_setups);
        Self::Git { scope, key, replaced: Vec::new(), added, kept: present.len(), made_file }
    }

    /// Puts a value in the place of those that are there.
    pub(super) fn replace(place: &GitFile, key: String, replaced: Vec<String>, value: &str) -> Self {
        let GitFile { scope, is_setups } = place;
        let added = if replaced.last().is_some_and(|last| last == value) {
            Vec::new()
        } else {
            vec![value.to_owned()]
        };
        Self::Git { scope: scope.clone(), key, replaced, added, kept: 0, made_file: *is_setups }
    }

    /// Whether everything is as it is to be.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::File { before, after, .. } => before.as_ref() == Some(after),
            Self::Git { added, .. } => added.is_empty(),
            Self::KeyFile { .. } | Self::KeyToKeyring { .. } | Self::DropKey { .. } => false,
        }
    }

    /// What the change names that setup does not write, if a file beside the configuration says that setup made it.
    /// `folder` is that of the configuration.
    pub(super) fn foreign_part(&self, folder: &Path, world: &World<'_>) -> Option<String> {
        let is_own_folder = |path: &Path, folder: &Path| {
            path.parent().is_some_and(|it| is_same(it, folder)) && is_plain(path)
        };
        let (is_setups, what) = match self {
            Self::File { path, after, .. } => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let is_identity = name.starts_with("identity-") && name.ends_with(".gitconfig");
                let is_configuration = || Config::of_file(after, path, &world.folders).is_ok();
                let is_setups = is_own_folder(path, folder) && (is_identity || is_configuration());
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
                let mut told = lines.iter().filter(|(_, line)| !line.trim().is_empty());
                told.try_for_each(|(sign, line)| output.line(&format!("    {sign} {line}")))
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
                    Scope::File(path) => format!("--file {}", in_shell(&path.display().to_string())),
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
                let key = read_key(from)?;
                let folder = to.parent().unwrap_or(Path::new("."));
                make_private_folder(folder)
                    .map_err(|e| Error::new(format!("cannot make {}: {}", folder.display(), cause(&e))))?;
                write_key(to, &key)?;
                take_away(from)
            }
            Self::KeyToKeyring { from, name } => {
                let key = read_key(from)?;
                keyring::write(name, &key, world).map_err(|why| {
                    Error::new(format!("cannot write the private key to the keyring: {why}"))
                        .hint("--move-key folder puts it into a file that only you can read")
                })?;
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

    /// What taking the change back would do, for a person; `None` if nothing of it is left.
    pub(super) fn what_undo_does(&self, world: &World<'_>) -> Result<Option<String>> {
        Ok(match self {
            Self::File { path, before, after } => {
                let present = read_if_there(path)?;
                let left = present.is_some() && present != *before;
                let what = match before {
                    Some(_) => "what setup wrote is removed",
                    None if present.as_ref() == Some(after) => "is removed",
                    None => "what setup wrote is removed, and the file too if nothing else is left in it",
                };
                left.then(|| format!("{}: {what}", path.display()))
            }
            Self::KeyFile { from, to } => {
                to.exists().then(|| format!("{} is moved back to {}", to.display(), from.display()))
            }
            Self::KeyToKeyring { from, name } => keyring::read(name, world)
                .is_ok()
                .then(|| format!("{name} is moved out of the keyring, back to {}", from.display())),
            Self::DropKey { .. } => None,
            Self::Git { scope, key, replaced, added, .. } => {
                let present = git_config::values(scope, key)?;
                let gone = added.iter().any(|value| present.contains(value));
                let listed = |values: &[String]| {
                    values.iter().map(|value| in_shell(value)).collect::<Vec<_>>().join(", ")
                };
                let what = match replaced.as_slice() {
                    [] => format!("{} is removed", listed(added)),
                    values => format!("it is {} again", listed(values)),
                };
                gone.then(|| format!("git config --{scope} {key}: {what}"))
            }
        })
    }

    /// The same where later changes stand on it: what those wrote is no edit of a person's.
    pub(super) fn undo_under<'l>(
        &self,
        later: impl Iterator<Item = &'l Self>,
        world: &World<'_>,
    ) -> Result<Option<String>> {
        let Self::File { path, before, after } = self else { return self.undo(world) };
        let texts = later.filter_map(|change| match change {
            Self::File { path: of, after, .. } if of == path => Some(after),
            _ => None,
        });
        undo_file(path, before.as_deref(), after, texts.last().unwrap_or(after), world)
    }

    /// Makes this change one that was made without an earlier one, which was taken back.
    pub(super) fn leave_out(&mut self, earlier: &Self) {
        let (Self::File { path, before, after }, Self::File { path: of, before: first, after: second }) =
            (self, earlier)
        else {
            return;
        };
        if path != of {
            return;
        }
        let first_text = first.as_deref().unwrap_or_default();
        if let Some(rest) = rest_without(after, first_text, second) {
            *after = rest;
        }
        if let Some(rest) = before.as_ref().and_then(|before| rest_without(before, first_text, second)) {
            *before = Some(rest).filter(|rest| first.is_some() || !rest.trim().is_empty());
        }
    }

    /// Takes the change back as far as it is still there. Gives what was done, for a person; `None` if nothing of
    /// it was left.
    pub(super) fn undo(&self, world: &World<'_>) -> Result<Option<String>> {
        match self {
            Self::File { path, before, after } => undo_file(path, before.as_deref(), after, after, world),
            Self::KeyFile { from, to } => {
                if !to.exists() {
                    return Ok(None);
                }
                if !from.exists() {
                    write_key(from, &read_key(to)?)?;
                } else if read_key(from)?.expose() != read_key(to)?.expose() {
                    // Another key is there now.
                    return Ok(None);
                }
                remove(to)?;
                // The folder goes with the last key.
                let _ = to.parent().map(fs::remove_dir);
                Ok(Some(format!("{} is back at {}", to.display(), from.display())))
            }
            Self::KeyToKeyring { from, name } => {
                let key = match keyring::read(name, world) {
                    Ok(key) => key,
                    // It was never moved there.
                    Err(_) if from.exists() => return Ok(None),
                    Err(why) => {
                        return Err(Error::new(format!(
                            "cannot read the private key from the keyring: {why}"
                        )));
                    }
                };
                if !from.exists() {
                    write_key(from, &key)?;
                } else if read_key(from)?.expose() != key.expose() {
                    return Ok(None);
                }
                keyring::remove(name, world)?;
                Ok(Some(format!("{name} is out of the keyring, and back at {}", from.display())))
            }
            Self::DropKey { .. } => Ok(None),
            Self::Git { scope, key, replaced, added, kept, made_file } => {
                let present = git_config::values(scope, key)?;
                let target = if present.len() <= *kept {
                    // It was never added, or is gone.
                    present.clone()
                } else if replaced.is_empty() {
                    without_added(&present, added)
                } else if present == *added {
                    replaced.clone()
                } else {
                    // Somebody gave it another value since.
                    present.clone()
                };
                if target == present {
                    return Ok(None);
                }
                let file = if *made_file { git_config::file_of(scope, key)? } else { None };
                git_config::set_values(scope, key, &target)?;
                if let Some(file) = file.filter(|file| is_empty_file(file)) {
                    remove(&file)?;
                }
                Ok(Some(format!("git config --{scope} {key}")))
            }
        }
    }
}

/// Whether two paths are of one folder: a home can be reached on several ways.
fn is_same(one: &Path, other: &Path) -> bool {
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
}

impl GitFile {
    pub(super) fn find(scope: &Scope, journal: &Journal, world: &World<'_>) -> Result<Self> {
        let is_setups = !git_config::is_there(scope)? || journal.made_file(scope, world)?;
        Ok(Self { scope: scope.clone(), is_setups })
    }
}

/// Whether there is a regular file here, and no link, with nothing in it.
fn is_empty_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

/// A word as a shell takes it.
pub(in crate::commands) fn in_shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@%+,".contains(&byte);
    match word {
        "" => "\"\"".to_owned(),
        word if word.bytes().all(plain) => word.to_owned(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Removes a key that was copied to another place. The message says what to do where that is not possible.
fn take_away(path: &Path) -> Result<()> {
    remove(path).map_err(|why| {
        why.hint("look at the permissions of its folder, or leave the key where it is: without --move-key")
    })
}

/// The values without those that were added, each once, the last ones first.
fn without_added(present: &[String], added: &[String]) -> Vec<String> {
    let mut left = present.to_vec();
    for value in added.iter().rev() {
        if let Some(position) = left.iter().rposition(|it| it == value) {
            left.remove(position);
        }
    }
    left
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

/// A text without what made `after` of `before`; `None` if nothing of that is in it.
fn rest_without(text: &str, before: &str, after: &str) -> Option<String> {
    match text.strip_prefix(after) {
        // Something was added to it.
        Some(more) if before.is_empty() => Some(more.trim_start_matches('\n').to_owned()),
        Some(more) => Some(format!("{before}{more}")),
        None => rule::without(text, before, after),
    }
}

/// `latest` is what setup wrote last into this file.
fn undo_file(
    path: &Path,
    before: Option<&str>,
    after: &str,
    latest: &str,
    world: &World<'_>,
) -> Result<Option<String>> {
    let shown = path.display();
    let Some(present) = read_if_there(path)? else { return Ok(None) };
    if present == after {
        match before {
            Some(before) => replace(path, before)?,
            None => remove(path)?,
        }
        return Ok(Some(format!("{shown}")));
    }
    if Some(present.as_str()) == before {
        return Ok(None);
    }
    let is_edited = present != latest;
    let text = before.unwrap_or_default();
    let rest =
        if is_edited { rule::without(&present, text, after) } else { rest_without(&present, text, after) };
    // Edited since: a copy is kept, and only the rules that were added go.
    let Some(rest) = rest else {
        return Err(Error::new(format!(
            "{shown} was edited, and the rule that setup wrote is no longer in it"
        ))
        .hint("edit the file, and remove what you no longer need"));
    };
    Config::of_file(&rest, path, &world.folders)?;
    if rest.trim().is_empty() && !path.is_symlink() {
        remove(path)?;
        return Ok(Some(format!("{shown}")));
    }
    if !is_edited {
        replace(path, &rest)?;
        return Ok(Some(format!("{shown}")));
    }
    let mut backup = path.as_os_str().to_owned();
    backup.push(".before-undo");
    let backup = PathBuf::from(backup);
    replace(&backup, &present)?;
    replace(path, &rest)?;
    Ok(Some(format!("the rule in {shown}, which was edited since; a copy is in {}", backup.display())))
}

/// A file's text; `None` if there is none.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match read_text(path) {
        Ok(text) => Ok(Some(text)),
        // Where a file stands in the place of the folder, writing is what fails.
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(Error::new(format!("cannot read {}: {}", path.display(), cause(&e)))),
    }
}

/// Replaces a file as a whole or not at all. Its mode stays, and so does a link to it.
pub(super) fn replace(path: &Path, content: &str) -> Result<()> {
    put(path, content, Access::AsBefore)
}

/// The same of a file that is this user's alone.
pub(super) fn replace_private(path: &Path, content: &str) -> Result<()> {
    put(path, content, Access::Private)
}

fn put(path: &Path, content: &str, access: Access) -> Result<()> {
    let failed = |e: &io::Error| {
        Error::new(format!("cannot write {}: {}", path.display(), cause(e)))
            .hint("look at the permissions of the file and its folder, or name another file: --config FILE")
    };
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| failed(&e))?;
    let writing = Writing { unfinished: folder, access, replaces: true, lasts: true };
    write_whole(&real, content.as_bytes(), writing).map_err(|e| failed(&e))
}

fn read_key(path: &Path) -> Result<Secret> {
    let text = read_text(path);
    text.map(Secret::new)
        .map_err(|e| Error::new(format!("cannot read the private key {}: {}", path.display(), cause(&e))))
}

/// Writes a key where no other file is, for this user alone.
fn write_key(path: &Path, key: &Secret) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let writing = Writing { unfinished: folder, access: Access::Private, replaces: false, lasts: true };
    let written = write_whole(path, key.expose().as_bytes(), writing);
    written.map_err(|e| Error::new(format!("cannot write the private key {}: {}", path.display(), cause(&e))))
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|e| Error::new(format!("cannot remove {}: {}", path.display(), cause(&e))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_goes() {
        let list = |text: &str| text.split_terminator(',').map(str::to_owned).collect::<Vec<_>>();
        for (present, added, left) in [
            (",ghapp", ",ghapp", ""),
            (",ghapp,store", ",ghapp", "store"),
            (",gh,,ghapp,more", ",ghapp", ",gh,more"),
            ("store", ",ghapp", "store"),
        ] {
            assert_eq!(without_added(&list(present), &list(added)), list(left), "{present}");
        }
    }
}
