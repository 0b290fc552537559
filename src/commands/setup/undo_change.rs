//! A change of setup's taken back, as far as it is still there.

use std::fs;
use std::path::{Path, PathBuf};

use super::change::{Change, is_identity, is_same};
use super::files::{is_empty_file, put_back, read_if_there, read_key, remove, replace};
use super::rule;
use crate::app::key::keyring;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::git::config as git_config;
use crate::terminal::in_shell;
use crate::world::World;

impl Change {
    /// What taking the change back would do, for a person; `None` if nothing of it is left.
    pub(super) fn what_undo_does(&self, world: &World<'_>) -> Result<Option<String>> {
        Ok(match self {
            Self::File { path, before, after } => {
                let present = read_if_there(path)?;
                let is_persons = is_identity(path) && present.as_ref() != Some(after);
                let left = present.is_some() && present != *before && !is_persons;
                let what = match before {
                    Some(_) => ": what setup wrote is removed",
                    None if present.as_ref() == Some(after) => " is removed",
                    None => ": what setup wrote is removed, and the file too if nothing else is left in it",
                };
                left.then(|| format!("{}{what}", path.display()))
            }
            Self::KeyFile { from, to } => {
                to.exists().then(|| format!("{} is moved back to {}", to.display(), from.display()))
            }
            Self::KeyToKeyring { from, name } => keyring::read(name, world)
                .is_ok()
                .then(|| format!("{name} is moved out of the keyring, back to {}", from.display())),
            Self::DropKey { .. } => None,
            Self::Git { scope, key, replaced, added, file, .. } => {
                git_config::check_same_file(scope, file.as_deref(), world)?;
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
                    put_back(from, &read_key(to)?)?;
                } else if is_same(from, to) {
                    // It is there once.
                    let what = format!(
                        "the private key is not moved back to {}, which is a link to it",
                        from.display()
                    );
                    return Err(Error::new(what).hint("remove the link, and try again"));
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
                    put_back(from, &key)?;
                } else if read_key(from)?.expose() != key.expose() {
                    return Ok(None);
                }
                keyring::remove(name, world)?;
                Ok(Some(format!("{name} is out of the keyring, and back at {}", from.display())))
            }
            Self::DropKey { .. } => Ok(None),
            Self::Git { scope, key, replaced, added, kept, made_file, file } => {
                git_config::check_same_file(scope, file.as_deref(), world)?;
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
}

/// Takes back what setup wrote into a file; `latest` is what setup wrote last into this file.
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
            // The file that the link leads to has the rule.
            None if path.is_symlink() => replace(path, "")?,
            None => remove(path)?,
        }
        return Ok(Some(format!("{shown}")));
    }
    if Some(present.as_str()) == before {
        return Ok(None);
    }
    let is_edited = present != latest;
    if is_edited && is_identity(path) {
        // It is a person's now. Without the settings that include it, which are taken back, git does not read it.
        return Ok(None);
    }
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

/// A text without what made `after` of `before`; `None` if nothing of that is in it.
fn rest_without(text: &str, before: &str, after: &str) -> Option<String> {
    match text.strip_prefix(after) {
        // Something was added to it.
        Some(more) if before.is_empty() => Some(more.trim_start_matches('\n').to_owned()),
        Some(more) => Some(format!("{before}{more}")),
        None => rule::without(text, before, after),
    }
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
