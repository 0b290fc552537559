//! The App's private key: which one it is, where it is to be, and what becomes of the one before it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::change::Change;
use super::files::{put_key, read_key};
use super::git_side::typed_program;
use super::journal::Journal;
use super::{MoveKey, Options};
use crate::app::Identity;
use crate::app::key::{self, KeySource, keyring};
use crate::app::public_key::PublicKey;
use crate::commands::person::Person;
use crate::config::{Config, Rule};
use crate::error::{Error, Result};
use crate::files::open_to_others;
use crate::github::answers::AppInfo;
use crate::origin::Origin;
use crate::secret::Secret;
use crate::source::TokenSource;
use crate::terminal::{in_shell, path_in_shell};
use crate::world::World;

/// How `private-key` names the key in the configuration, and what moves it there.
pub(super) struct KeyPlace {
    /// `None` where another setting says where the key is.
    pub(super) name: Option<String>,
    pub(super) change: Option<Change>,
}

/// A path as it can be named in a file: absolute, and without steps up.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if !absolute.components().any(|part| part == std::path::Component::ParentDir) {
        return absolute;
    }
    let parent = absolute.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    match (parent, absolute.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => absolute,
    }
}

/// The key as a person or a flag named it, ready for a configuration: a path is absolute. A file that is not there any more
/// is where setup moved it.
pub(super) fn in_configuration(named: &str, journal: &Journal, world: &World<'_>) -> Result<String> {
    let names_a_file = named_key(named)?.file().is_some();
    if !names_a_file {
        return Ok(named.to_owned());
    }
    let path = absolute(&world.folders.resolve(named, None));
    let moved = if path.exists() { None } else { journal.moved_from(&path, world)? };
    Ok(moved.unwrap_or_else(|| path.display().to_string()))
}

/// Asks for the key's file; offers what GitHub's settings page downloaded last.
pub(super) fn ask_for_file(person: &mut Person<'_>, world: &World<'_>) -> Result<Option<String>> {
    let what = "file with the App's private key";
    let downloads = world.folders.home.as_ref().map(|home| home.join("Downloads"));
    let folders = [Some(PathBuf::from(".")), downloads];
    let entries = folders.into_iter().flatten().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let is_key = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(".private-key.pem"));
    let keys = entries.flatten().take(10_000).map(|entry| entry.path()).filter(is_key);
    let newest = keys.max_by_key(|path| path.metadata().and_then(|it| it.modified()).ok());
    let Some(newest) = newest.filter(|_| person.present) else { return person.ask(what) };
    let newest = absolute(&newest).display().to_string();
    Ok(Some(person.ask(&format!("{what} [{newest}]"))?.unwrap_or(newest)))
}

/// Where the key goes. `before` is how the App's rules name the key that they have.
pub(super) fn where_it_goes(
    options: &Options,
    rule: &Rule,
    app: &AppInfo,
    before: Option<&str>,
    file: &Path,
    person: &mut Person<'_>,
    world: &World<'_>,
) -> Result<KeyPlace> {
    let Some(key) = rule.identity.only_key() else { return Ok(KeyPlace { name: None, change: None }) };
    let Some(path) = key.file() else {
        return match key.setting() {
            None if key.command().is_none() => Err(Error::new(format!(
                "the private key is {}, which the configuration cannot name",
                key.describe()
            ))
            .hint("put it into a file, and name that: --private-key FILE; or set GHAPP_APP_ID too, and leave both in the environment")),
            name => Ok(KeyPlace { name, change: None }),
        };
    };
    let path = absolute(path);
    let folder = file.with_file_name("keys");
    let stays = || KeyPlace { name: Some(path.display().to_string()), change: None };
    if path.parent() == Some(&folder) {
        return Ok(stays());
    }
    // A new key is kept as the old one was.
    let as_before = match before {
        Some(before) if keyring::name(before).is_some() => Some(MoveKey::Keyring),
        Some(before) if Path::new(before).parent() == Some(&folder) => Some(MoveKey::Folder),
        _ => None,
    };
    let destination = match options.move_key.or(as_before) {
        None => offer_to_move(&path, &folder, person, world)?,
        destination => destination,
    };
    if destination.is_some() && path.is_symlink() {
        let what = format!(
            "the private key {} is a symbolic link, so moving it would leave the key where it is",
            path.display()
        );
        let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let name = path_in_shell(&real);
        return Err(Error::new(what).hint(format!("name the file that it leads to: --private-key {name}")));
    }
    Ok(match destination {
        None => stays(),
        Some(MoveKey::Folder) => {
            let to = free_file(&folder, &app.slug);
            KeyPlace { name: Some(to.display().to_string()), change: Some(Change::key_file(path, to)) }
        }
        Some(MoveKey::Keyring) => {
            let name = keyring::free_name(names(&app.slug), world).map_err(|why| not_into_keyring(&why))?;
            KeyPlace { name: Some(keyring::setting(&name)), change: Some(Change::key_to_keyring(path, name)) }
        }
    })
}

/// How many names are tried for a key of an App.
const MANY: u32 = 100;

/// The names that a key of an App may have.
fn names(slug: &str) -> impl Iterator<Item = String> {
    std::iter::once(slug.to_owned()).chain((2..=MANY).map(move |number| format!("{slug}-{number}")))
}

/// Why a key that was to be moved to the keyring is not.
pub(super) fn not_into_keyring(why: &Error) -> Error {
    Error::new(format!("cannot write the private key to the keyring: {why}"))
        .hint("--move-key folder puts it into a file that only you can read")
}

/// The same of the key of a new App.
pub(in crate::commands) fn into_file_instead(why: &Error) -> Error {
    Error::new(format!("cannot write the private key to the keyring, so it goes into a file: {why}"))
}

/// A file in the folder of keys that is not there yet.
fn free_file(folder: &Path, slug: &str) -> PathBuf {
    let mut files = names(slug).map(|name| folder.join(format!("{name}.pem")));
    files.find(|file| !file.exists()).unwrap_or_else(|| folder.join(format!("{slug}.pem")))
}

/// Where the key of a new App is to be, as the configuration names it: in the folder of keys beside the configuration, or in
/// the keyring, if that has a place for it.
pub(in crate::commands) fn new_place(
    slug: &str,
    configuration: &Path,
    in_keyring: bool,
    world: &World<'_>,
) -> String {
    if in_keyring {
        match keyring::free_name(names(slug), world) {
            Ok(name) => return keyring::setting(&name),
            Err(why) => world.terminal.warning(&into_file_instead(&why)),
        }
    }
    free_file(&absolute(&configuration.with_file_name("keys")), slug).display().to_string()
}

/// That a key stays, which a configuration names so.
pub(in crate::commands) fn kept(setting: &str) -> String {
    let place =
        keyring::name(setting).map_or_else(|| setting.to_owned(), |name| format!("{name} in the keyring"));
    format!("{place} is kept: a private key is never deleted")
}

/// Puts the key of a new App there, unless it is there already.
pub(in crate::commands) fn keep(key: &Secret, place: &str, world: &World<'_>) -> Result<()> {
    if let Some(name) = keyring::name(place) {
        return keyring::write(name, key, world);
    }
    let file = Path::new(place);
    if read_key(file).is_ok_and(|there| there.matches(key)) { Ok(()) } else { put_key(file, key) }
}

/// Asks a person where the key is to be. Where nobody is there it stays, and that others can read it is told.
fn offer_to_move(
    path: &Path,
    folder: &Path,
    person: &mut Person<'_>,
    world: &World<'_>,
) -> Result<Option<MoveKey>> {
    let shown = path.display();
    let open = open_to_others(path).is_some();
    if open {
        world.terminal.warning(
            &Error::new(format!("the private key {shown} is readable by others"))
                .hint(format!("chmod 600 {}, or let setup move it: --move-key folder", path_in_shell(path))),
        );
    }
    if !person.present {
        return Ok(None);
    }
    let default = if open { "folder" } else { "keep" };
    let keyring = keyring::is_there(world);
    let (or_keyring, choices) =
        if keyring { (", or into the keyring", "keep, folder, keyring") } else { ("", "keep, folder") };
    let question = format!(
        "keep the private key at {shown}, or move it to the folder {}{or_keyring}? {choices} [{default}]",
        folder.display()
    );
    person.answer(&question, default, |answer| match answer.to_lowercase().as_str() {
        "keep" => Ok(None),
        "folder" => Ok(Some(MoveKey::Folder)),
        "keyring" if keyring => Ok(Some(MoveKey::Keyring)),
        _ => Err(Error::new(format!("{answer:?} is not one of {choices}"))),
    })
}

/// A key that the App had before.
pub(super) struct OldKey {
    name: String,
    fingerprint: String,
    /// Whether setup moved it to where it is.
    is_ours: bool,
    /// Whether GitHub still accepts it; `None` if it does not say.
    is_accepted: Option<bool>,
}

/// The keys that the App had before and that are still there: those that its rules named, and those that setup moved once.
pub(super) fn old_keys(
    rule: &Rule,
    place: &KeyPlace,
    own: &[&Rule],
    journal: &Journal,
    config: &Config,
    world: &World<'_>,
) -> Result<Vec<OldKey>> {
    let moved = journal.key_places(&rule.app_id, world)?;
    let named = own.iter().flat_map(|rule| rule.identity.keys()).filter_map(|key| key.setting());
    let mut names: Vec<String> = named.chain(moved.iter().cloned()).collect();
    names.sort_unstable();
    names.dedup();
    let current =
        place.name.iter().cloned().chain(rule.identity.keys().iter().filter_map(|key| key.setting()));
    let current: Vec<String> = current.collect();
    names.retain(|name| !current.contains(name));
    let new = fingerprints(&rule.identity, world)?;
    let mut old = Vec::new();
    for name in names {
        let Ok(source) = named_key(&name) else { continue };
        // One that is gone, or cannot be read any more, is none.
        let fingerprint = key::read(&*source, world).ok().and_then(|key| Some(key.public()?.fingerprint()));
        let Some(fingerprint) = fingerprint.filter(|it| !new.is_empty() && !new.contains(it)) else {
            continue;
        };
        let mut before = rule.clone();
        before.identity = Identity::Keys(vec![source]);
        let source = TokenSource::new(&before, config, world);
        let is_accepted = source.github().and_then(|github| github.accepts_key()).ok();
        old.push(OldKey { is_ours: moved.contains(&name), name, fingerprint, is_accepted });
    }
    Ok(old)
}

/// Of the keys that sign now, as far as that is known.
fn fingerprints(identity: &Identity, world: &World<'_>) -> Result<Vec<String>> {
    if let Identity::SignCommand(sign) = identity {
        return Ok(sign.public_key()?.iter().map(PublicKey::fingerprint).collect());
    }
    let read = identity.keys().iter().filter_map(|key| key::read(&**key, world).ok());
    Ok(read.filter_map(|key| Some(key.public()?.fingerprint())).collect())
}

fn named_key(name: &str) -> Result<Rc<dyn KeySource>> {
    key::source(name, &|path| PathBuf::from(path), &Origin::Flag("--private-key"))
}

impl OldKey {
    /// What removes it, if setup moved it there and it is of no use any more.
    pub(super) fn removal(&self) -> Option<Change> {
        (self.is_ours && self.is_accepted == Some(false))
            .then(|| Change::DropKey { setting: self.name.clone() })
    }

    /// What is left to do about it.
    pub(super) fn advice(&self, rule: &Rule, app: &AppInfo, world: &World<'_>) -> Option<String> {
        let Self { name, fingerprint, is_ours, is_accepted } = self;
        let page = app.settings_page(&rule.host);
        let page = page.map_or_else(|| "on the App's settings page".to_owned(), |page| format!("at {page}"));
        let name = keyring::name(name).map_or_else(|| name.clone(), |name| format!("{name} in the keyring"));
        match (is_accepted, is_ours) {
            (Some(false), true) => None,
            (Some(false), false) => {
                Some(format!("GitHub does not accept the old key {fingerprint} any more: remove {name}"))
            }
            (_, true) => {
                let program = typed_program(world);
                let host = if rule.host.to_string() == "github.com" {
                    String::new()
                } else {
                    format!(" --host {}", rule.host)
                };
                Some(format!(
                    "GitHub still accepts the old key {fingerprint} ({name}): delete it {page}, and then: {program} setup --app-id {}{host}",
                    in_shell(&rule.app_id)
                ))
            }
            (_, false) => Some(format!(
                "GitHub still accepts the old key {fingerprint}: delete it {page}, and then its file {name}"
            )),
        }
    }
}
