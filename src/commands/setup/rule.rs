//! A rule in the configuration file, beside what stands there already.

use std::path::Path;

use toml_edit::{DocumentMut, InlineTable, Item, Table, Value, value};

use super::change::{Change, read_if_there};
use crate::config::{Config, Folders, Rule};
use crate::error::{Error, Result};
use crate::names::Host;

/// What writes the rule into the file, with the key under this name.
pub(super) fn write(file: &Path, rule: &Rule, key: &str, folders: &Folders) -> Result<Option<Change>> {
    let before = read_if_there(file)?;
    let text = before.as_deref().unwrap_or_default();
    // A file with errors is not made worse.
    let present = Config::of_file(text, file, folders)?;
    let same = present.rules.iter().position(|other| {
        other.issuer == rule.issuer
            && other.host == rule.host
            && other.owners == rule.owners
            && other.repositories == rule.repositories
    });
    let after = match same {
        Some(index) => changed(text, index, rule, key, file)?,
        None => {
            let mut table = Table::new();
            fill(&mut table, rule, key);
            // At the end, so that what is there stays as it is to the last blank.
            let blank = if text.is_empty() { "" } else { "\n" };
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            format!("{text}{end}{blank}[[app]]\n{table}")
        }
    };
    // What two rules would both match is found here, before anything is written.
    Config::of_file(&after, file, folders)?;
    Ok((after != text).then(|| Change::file(file.to_owned(), before, after)))
}

/// The text with the rule at an index changed.
fn changed(text: &str, index: usize, rule: &Rule, key: &str, file: &Path) -> Result<String> {
    let unreadable = |why: String| Error::new(format!("cannot change {}: {why}", file.display()));
    let mut document: DocumentMut =
        text.parse().map_err(|e: toml_edit::TomlError| unreadable(e.message().to_owned()))?;
    let table = document
        .get_mut("app")
        .and_then(Item::as_array_of_tables_mut)
        .and_then(|apps| apps.get_mut(index))
        .ok_or_else(|| {
            unreadable("its Apps are not written as [[app]]".to_owned())
                .hint("write each App as a table of its own that begins with [[app]]")
        })?;
    fill(table, rule, key);
    Ok(document.to_string())
}

/// Writes what the rule says and the table does not; what is the default is not written.
fn fill(table: &mut Table, rule: &Rule, key: &str) {
    let mut set = |name: &str, wanted: Value| {
        let same =
            table.get(name).and_then(Item::as_value).is_some_and(|present| text(present) == text(&wanted));
        if !same {
            table.insert(name, value(wanted));
        }
    };
    set("id", rule.issuer.parse::<i64>().map_or_else(|_| rule.issuer.as_str().into(), Value::from));
    set("private-key", key.into());
    if rule.host != Host::github() {
        set("host", rule.host.to_string().into());
    }
    if rule.api != rule.host.api() {
        set("api-url", rule.api.to_string().into());
    }
    if !rule.owners.is_empty() {
        set("owners", Value::from_iter(rule.owners.iter().map(String::as_str)));
    }
    if !rule.repositories.is_empty() {
        set("repositories", Value::from_iter(rule.repositories.iter().map(ToString::to_string)));
    }
    if let Some(installation) = rule.installation.and_then(|id| i64::try_from(id.0).ok()) {
        set("installation-id", installation.into());
    }
    if rule.per_repository {
        set("scope", "repository".into());
    }
    if !rule.permissions.is_empty() {
        let pairs = rule.permissions.iter().map(|(name, level)| (name.as_str(), level.as_str()));
        set("permissions", Value::InlineTable(InlineTable::from_iter(pairs)));
    }
    if !rule.quit_on_failure {
        set("on-failure", "continue".into());
    }
}

/// A value without the blanks and quotes that only a person put there.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.value().clone(),
        Value::Integer(number) => number.value().to_string(),
        Value::Array(array) => array.iter().map(text).collect::<Vec<_>>().join("\n"),
        other => other.to_string().trim().to_owned(),
    }
}

/// The text without the rules that `after` has and `before` has not; `None` if it has none of them.
pub(super) fn without(content: &str, before: &str, after: &str) -> Option<String> {
    let tables = |text: &str| -> Vec<String> {
        let document = text.parse::<DocumentMut>().ok();
        let apps = document.as_ref().and_then(|it| it.get("app")?.as_array_of_tables());
        apps.into_iter().flatten().map(|table| table.to_string().trim().to_owned()).collect()
    };
    let old = tables(before);
    let added: Vec<String> = tables(after).into_iter().filter(|table| !old.contains(table)).collect();
    let mut document: DocumentMut = content.parse().ok()?;
    let apps = document.get_mut("app")?.as_array_of_tables_mut()?;
    let count = apps.len();
    apps.retain(|table| !added.iter().any(|it| it == table.to_string().trim()));
    (apps.len() < count).then(|| document.to_string())
}
