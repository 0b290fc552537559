//! A rule in the configuration file, beside what stands there already.

use std::path::Path;

use toml_edit::{DocumentMut, InlineTable, Item, Table, Value, value};

use super::change::{Change, read_if_there};
use crate::config::{self, Config, Rule, SETTINGS, SOURCES};
use crate::error::{Error, Result};
use crate::world::Folders;

/// What writes the rule into the file, with the key under this name.
pub(super) fn write(
    file: &Path,
    rule: &Rule,
    key: Option<&str>,
    folders: &Folders,
) -> Result<Option<Change>> {
    let before = read_if_there(file)?;
    let text = before.as_deref().unwrap_or_default();
    // A file with errors is not made worse.
    let present = Config::of_file(text, file, folders)?;
    let same = present.rules.iter().position(|other| {
        other.app_id == rule.app_id
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
fn changed(text: &str, index: usize, rule: &Rule, key: Option<&str>, file: &Path) -> Result<String> {
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
fn fill(table: &mut Table, rule: &Rule, key: Option<&str>) {
    for setting in SETTINGS {
        let written = match setting.key {
            // It may be about to move.
            "private-key" => key.map(|key| config::Value::Text(key.to_owned())),
            _ => (setting.written)(rule),
        };
        let Some(wanted) = written.map(in_toml) else {
            if SOURCES.contains(&setting.key) {
                // The rule has another source now.
                table.remove(setting.key);
            }
            continue;
        };
        let present = table.get(setting.key).and_then(Item::as_value);
        if present.is_none_or(|present| text(present) != text(&wanted)) {
            table.insert(setting.key, value(wanted));
        }
    }
}

fn in_toml(value: config::Value) -> Value {
    match value {
        config::Value::Text(text) => text.into(),
        config::Value::Number(number) => number.into(),
        config::Value::List(list) => Value::from_iter(list),
        config::Value::Pairs(pairs) => Value::InlineTable(InlineTable::from_iter(pairs)),
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
