//! The configuration file: TOML in which every mistake is an error with its line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use toml_spanner::{
    Arena, Context, ErrorKind, Failed, FromToml, FromTomlError, Item, Span, Spanned, Toml, Value,
};

use super::{Folders, KEYRING_PREFIX, KeySource, Origin, Rule, Source, StoreKind, check};
use crate::error::{Error, Result};
use crate::names::{ApiUrl, Host, InstallationId};

/// What one file says.
pub(super) struct Parsed {
    pub(super) rules: Vec<Rule>,
    pub(super) store: Option<StoreKind>,
    pub(super) min_fresh: Option<i64>,
    pub(super) deadline: Option<Duration>,
}

/// What a file may hold.
const SETTINGS: &str = "`cache`, `min-fresh`, `deadline` or `[[app]]`";

#[derive(Toml)]
#[toml(deny_unknown_fields, rename_all = "kebab-case")]
struct Contents<'de> {
    cache: Option<Spanned<&'de str>>,
    min_fresh: Option<Spanned<i64>>,
    deadline: Option<Spanned<i64>>,
    #[toml(default)]
    app: Vec<App<'de>>,
}

/// What an `[[app]]` may hold.
const APP_SETTINGS: &str = "`id`, `private-key`, `host`, `api-url`, `owners`, `repositories`, `installation-id`, \
                            `scope`, `permissions` or `on-failure`";

#[derive(Toml)]
#[toml(deny_unknown_fields, rename_all = "kebab-case")]
struct App<'de> {
    id: Spanned<Id<'de>>,
    private_key: Spanned<&'de str>,
    host: Option<Spanned<&'de str>>,
    api_url: Option<Spanned<&'de str>>,
    #[toml(default)]
    owners: Vec<Spanned<&'de str>>,
    #[toml(default)]
    repositories: Vec<Spanned<&'de str>>,
    installation_id: Option<u64>,
    scope: Option<Spanned<&'de str>>,
    permissions: Option<Spanned<BTreeMap<&'de str, &'de str>>>,
    on_failure: Option<Spanned<&'de str>>,
}

/// A client ID is text; an App ID may be written as a number too.
struct Id<'de>(Cow<'de, str>);

impl<'de> FromToml<'de> for Id<'de> {
    fn from_toml(context: &mut Context<'de>, item: &Item<'de>) -> std::result::Result<Self, Failed> {
        match item.value() {
            Value::String(text) => Ok(Self(Cow::Borrowed(text))),
            Value::Integer(_) => Ok(Self(Cow::Owned(i64::from_toml(context, item)?.to_string()))),
            _ => Err(context.report_expected_but_found(&"a client ID or an App ID", item)),
        }
    }
}

/// Parses a file; what it names relatively is relative to its folder.
pub(super) fn parse(file: &Rc<Source>, rank: u8, folders: &Folders) -> Result<Parsed> {
    let at = |span: Span| Origin::File { file: Rc::clone(file), offset: span.start as usize };
    let arena = Arena::new();
    let parsed = toml_spanner::parse(&file.text, &arena).map_err(FromTomlError::from);
    let contents = parsed.and_then(|mut document| document.to::<Contents<'_>>());
    let contents = contents.map_err(|e| mistake(&e, &file.text, &at))?;
    let store = contents.cache.map(|v| StoreKind::parse(v.value, &at(v.span))).transpose()?;
    let min_fresh = contents.min_fresh.map(|v| check::min_fresh(v.value, &at(v.span))).transpose()?;
    let deadline = contents.deadline.map(|v| check::deadline(v.value, &at(v.span))).transpose()?;
    let beside = file.path.parent();
    // As many at once: rules are large, and would be moved each time the room for them grows.
    let mut rules = Vec::with_capacity(contents.app.len());
    for app in contents.app {
        rules.push(rule(app, rank, beside, folders, &at)?);
    }
    Ok(Parsed { rules, store, min_fresh, deadline })
}

/// The first mistake in a file's text.
#[cold]
fn mistake(e: &FromTomlError, text: &str, at: &dyn Fn(Span) -> Origin) -> Error {
    let (span, message) = match e.errors.iter().min_by_key(|error| error.span()) {
        Some(first) => (first.span(), explain(first, text)),
        None => (Span::default(), e.to_string()),
    };
    let before = text.get(..span.start as usize).unwrap_or(text);
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    Error::new(format!("{}, column {column}: {message}", at(span)))
        .hint("every setting is described in the README, section Configuring")
}

fn explain(error: &toml_spanner::Error, text: &str) -> String {
    match error.kind() {
        ErrorKind::UnexpectedKey { .. } => {
            let key = text.get(error.span().range()).unwrap_or_default();
            // Within an `[[app]]` the path leads over that and its number.
            let inside = error.path().is_some_and(|path| path.len() > 2);
            format!("unknown setting `{key}`, expected {}", if inside { APP_SETTINGS } else { SETTINGS })
        }
        // What is meant for people may have several lines.
        _ => error.message(text).lines().collect::<Vec<_>>().join(", "),
    }
}

/// A rule as it is written.
fn rule(
    app: App<'_>,
    rank: u8,
    beside: Option<&Path>,
    folders: &Folders,
    at: &dyn Fn(Span) -> Origin,
) -> Result<Rule> {
    /// Applies a check to a setting that may be absent, with the place where it stands.
    fn checked<T, V>(
        setting: Option<Spanned<V>>,
        at: &dyn Fn(Span) -> Origin,
        check: impl Fn(&V, &Origin) -> Result<T>,
    ) -> Result<Option<T>> {
        setting.map(|v| check(&v.value, &at(v.span))).transpose()
    }
    /// The same for each of several.
    fn all<T>(
        settings: Vec<Spanned<&str>>,
        at: &dyn Fn(Span) -> Origin,
        check: impl Fn(&str, &Origin) -> Result<T>,
    ) -> Result<Vec<T>> {
        settings.iter().map(|v| check(v.value, &at(v.span))).collect()
    }
    let origin = at(app.id.span);
    let host = checked(app.host, at, |v, o| check::host(v, o))?.unwrap_or_else(Host::github);
    let api = checked(app.api_url, at, |v, o| api(v, o))?.unwrap_or_else(|| host.api());
    let key_origin = at(app.private_key.span);
    let key = key_file(app.private_key.value, key_origin, beside, folders)?;
    Ok(Rule {
        issuer: check::issuer(&app.id.value.0, &origin)?,
        key,
        api,
        host,
        owners: all(app.owners, at, check::owner)?,
        repositories: all(app.repositories, at, check::repository)?,
        installation: app.installation_id.map(InstallationId),
        per_repository: checked(app.scope, at, |v, o| check::per_repository(v, o))?.unwrap_or(false),
        permissions: checked(app.permissions, at, |v, o| {
            check::permissions(v.iter().map(|(name, level)| (*name, *level)), o)
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
