//! The configuration file: TOML in which every mistake is an error with its line.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use toml::Spanned;

use super::{Folders, KEYRING_PREFIX, KeySource, Origin, Rule, StoreKind, check};
use crate::error::{Error, Result};
use crate::names::{ApiUrl, Host, InstallationId};

/// What one file says.
pub(super) struct Parsed {
    pub(super) rules: Vec<Rule>,
    pub(super) store: Option<StoreKind>,
    pub(super) min_fresh: Option<i64>,
    pub(super) deadline: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Contents {
    cache: Option<Spanned<String>>,
    min_fresh: Option<Spanned<i64>>,
    deadline: Option<Spanned<i64>>,
    #[serde(default)]
    app: Vec<App>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct App {
    id: Spanned<Id>,
    private_key: Spanned<String>,
    host: Option<Spanned<String>>,
    api_url: Option<Spanned<String>>,
    #[serde(default)]
    owners: Vec<Spanned<String>>,
    #[serde(default)]
    repositories: Vec<Spanned<String>>,
    installation_id: Option<u64>,
    scope: Option<Spanned<String>>,
    permissions: Option<Spanned<BTreeMap<String, String>>>,
    on_failure: Option<Spanned<String>>,
}

/// A client ID is text; an App ID may be written as a number too.
struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a client ID or an App ID")
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Id, E> {
                Ok(Id(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> std::result::Result<Id, E> {
                Ok(Id(number.to_string()))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// Parses a file's text; `path` is for messages and for what the file names relative to itself.
pub(super) fn parse(text: &str, path: &Path, rank: u8, folders: &Folders) -> Result<Parsed> {
    // Counted once: there is an origin for every setting.
    let line_ends: Vec<usize> = text.match_indices('\n').map(|(end, _)| end).collect();
    let shown: Rc<Path> = Rc::from(path);
    let at = |offset: usize| {
        let line = line_ends.partition_point(|end| *end < offset) + 1;
        Origin::File { path: Rc::clone(&shown), line }
    };
    let contents: Contents = toml::from_str(text).map_err(|e| {
        let offset = e.span().map_or(0, |span| span.start.min(text.len()));
        let column = text[..offset].chars().rev().take_while(|c| *c != '\n').count() + 1;
        // The parser's messages for people may have several lines.
        let message = e.message().lines().collect::<Vec<_>>().join(", ");
        Error::new(format!("{}, column {column}: {message}", at(offset)))
            .hint("every setting is described in the README, section Configuring")
    })?;
    let store = contents.cache.map(|v| StoreKind::parse(v.get_ref(), &at(v.span().start))).transpose()?;
    let min_fresh =
        contents.min_fresh.map(|v| check::min_fresh(*v.get_ref(), &at(v.span().start))).transpose()?;
    let deadline =
        contents.deadline.map(|v| check::deadline(*v.get_ref(), &at(v.span().start))).transpose()?;
    let beside = path.parent();
    let rules = contents
        .app
        .into_iter()
        .map(|app| rule(app, rank, beside, folders, &at))
        .collect::<Result<Vec<_>>>()?;
    Ok(Parsed { rules, store, min_fresh, deadline })
}

/// A rule as it is written; what it names relatively is relative to the folder that the file is in.
fn rule(
    app: App,
    rank: u8,
    beside: Option<&Path>,
    folders: &Folders,
    at: &dyn Fn(usize) -> Origin,
) -> Result<Rule> {
    /// Applies a check to a setting that may be absent, with the place where it stands.
    fn checked<T, V>(
        setting: Option<Spanned<V>>,
        at: &dyn Fn(usize) -> Origin,
        check: impl Fn(&V, &Origin) -> Result<T>,
    ) -> Result<Option<T>> {
        setting.map(|v| check(v.get_ref(), &at(v.span().start))).transpose()
    }
    /// The same for each of several.
    fn all<T>(
        settings: Vec<Spanned<String>>,
        at: &dyn Fn(usize) -> Origin,
        check: impl Fn(&str, &Origin) -> Result<T>,
    ) -> Result<Vec<T>> {
        settings.iter().map(|v| check(v.get_ref(), &at(v.span().start))).collect()
    }
    let origin = at(app.id.span().start);
    let host = checked(app.host, at, |v, o| check::host(v, o))?.unwrap_or_else(Host::github);
    let api = checked(app.api_url, at, |v, o| api(v, o))?.unwrap_or_else(|| host.api());
    let key_origin = at(app.private_key.span().start);
    let key = key_file(app.private_key.get_ref(), key_origin, beside, folders)?;
    Ok(Rule {
        issuer: check::issuer(&app.id.get_ref().0, &origin)?,
        key,
        api,
        host,
        owners: all(app.owners, at, check::owner)?,
        repositories: all(app.repositories, at, check::repository)?,
        installation: app.installation_id.map(InstallationId),
        per_repository: checked(app.scope, at, |v, o| check::per_repository(v, o))?.unwrap_or(false),
        permissions: checked(app.permissions, at, |v, o| {
            check::permissions(v.iter().map(|(name, level)| (name.as_str(), level.as_str())), o)
        })?
        .unwrap_or_default(),
        quit_on_failure: checked(app.on_failure, at, |v, o| check::quit_on_failure(v, o))?.unwrap_or(true),
        origin,
        rank,
    })
}

pub(super) fn api(text: &str, origin: &Origin) -> Result<ApiUrl> {
    ApiUrl::parse(text.trim()).map_err(|e| {
        Error::new(format!("{} ({origin})", e.message()))
            .hint("write it like https://github.example.com/api/v3")
    })
}

pub(super) fn key_file(
    text: &str,
    origin: Origin,
    base: Option<&Path>,
    folders: &Folders,
) -> Result<KeySource> {
    if text.contains("-----BEGIN") {
        return Err(Error::new(format!("the private key itself stands where its file belongs ({origin})"))
            .hint("put the key into a file that only you can read, or into the variable GHAPP_PRIVATE_KEY"));
    }
    if text.is_empty() {
        return Err(Error::new(format!("the private key's file is empty ({origin})"))
            .hint("name the .pem file from the App's settings page"));
    }
    if let Some(name) = text.strip_prefix(KEYRING_PREFIX) {
        return Ok(KeySource::Keyring { name: name.to_owned(), origin });
    }
    Ok(KeySource::File { path: folders.resolve(text, base), origin })
}
