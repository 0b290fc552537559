//! A rule in the configuration file, beside what stands there already.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, InlineTable, Item, Table, Value, value};

use super::change::Change;
use super::files::read_if_there;
use crate::app::key::KeySource;
use crate::config::{self, Config, Rule, SETTINGS, SOURCES};
use crate::error::{Error, Result};
use crate::world::Folders;

/// The configuration file as it is.
pub(super) struct Present {
    pub(super) file: PathBuf,
    pub(super) text: Option<String>,
    pub(super) rules: Vec<Rule>,
}

impl Present {
    /// Reads it; one with errors is not made worse.
    pub(super) fn read(file: PathBuf, folders: &Folders) -> Result<Self> {
        let text = read_if_there(&file)?;
        let rules = Config::of_file(text.as_deref().unwrap_or_default(), &file, folders)?.rules;
        Ok(Self { file, text, rules })
    }
}

/// What writes the rule into the file, and the App's rules that are then there as it says. `own` are those that are there
/// now, by their position. They get the key, too: an App has one. `as_they_are`: they say whom the App is for.
pub(super) fn write(
    present: &Present,
    rule: &Rule,
    own: &[usize],
    as_they_are: bool,
    key: Option<&str>,
    folders: &Folders,
) -> Result<(Option<Change>, Vec<Rule>)> {
    let Present { file, text: before, rules } = present;
    let text = before.as_deref().unwrap_or_default();
    let is_same = |index: &usize| {
        as_they_are
            || (rules[*index].owners == rule.owners && rules[*index].repositories == rule.repositories)
    };
    let mut affected: Vec<usize> = own.iter().copied().filter(is_same).collect();
    let mut after = text.to_owned();
    for index in own {
        // A path that is written in another way stays as it is.
        let stays =
            key.is_some() && rules[*index].identity.only_key().and_then(KeySource::setting).as_deref() == key;
        let key = if stays { KeyName::Stays } else { KeyName::Is(key) };
        after = changed(&after, *index, rule, affected.contains(index), key, file)?;
    }
    if affected.is_empty() {
        let mut table = Table::new();
        fill(&mut table, rule, true, KeyName::Is(key));
        // What another vendor's API is like only the App's rules say that are there.
        if let Some(api) = own.first().and_then(|index| table_of_api(text, *index)) {
            table.insert(API, value(api));
        }
        // At the end, so that what is there stays as it is to the last blank.
        let blank = if after.is_empty() { "" } else { "\n" };
        let end = if after.is_empty() || after.ends_with('\n') { "" } else { "\n" };
        after = format!("{after}{end}{blank}[[app]]\n{table}");
        affected.push(rules.len());
    }
    // What two rules would both match is found here, before anything is written.
    let mut rules = Config::of_file(&after, file, folders)?.rules.into_iter().enumerate().collect::<Vec<_>>();
    rules.retain(|(index, _)| affected.contains(index));
    let change = (after != text).then(|| Change::file(file.clone(), before.clone(), after));
    Ok((change, rules.into_iter().map(|(_, rule)| rule).collect()))
}

/// The table in a rule that describes its API.
const API: &str = "api";

/// That of the rule at an index, to stand on one line.
fn table_of_api(text: &str, index: usize) -> Option<InlineTable> {
    let document: DocumentMut = text.parse().ok()?;
    let api = document.get("app")?.as_array_of_tables()?.get(index)?.get(API)?.clone();
    match api.into_table() {
        Ok(table) => Some(table.into_inline_table()),
        Err(item) => item.as_inline_table().cloned(),
    }
}

/// The text with the rule at an index changed: to what a rule says, or only to its key.
fn changed(
    text: &str,
    index: usize,
    rule: &Rule,
    wholly: bool,
    key: KeyName<'_>,
    file: &Path,
) -> Result<String> {
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
    fill(table, rule, wholly, key);
    Ok(document.to_string())
}

/// The setting that names the private key.
const KEY: &str = "private-key";

/// What is to be said of it.
#[derive(Clone, Copy)]
enum KeyName<'k> {
    /// What is there.
    Stays,
    /// This, as the key may be about to move; nothing where another setting says where the key is.
    Is(Option<&'k str>),
}

/// Writes what the rule says and the table does not, all or where the key is; what is the default is not written.
fn fill(table: &mut Table, rule: &Rule, wholly: bool, key: KeyName<'_>) {
    for setting in SETTINGS {
        let is_source = SOURCES.contains(&setting.key);
        let written = match (setting.key, key) {
            (KEY, KeyName::Stays) => continue,
            (KEY, KeyName::Is(name)) if name.is_some() => {
                name.map(|name| config::Value::Text(name.to_owned()))
            }
            _ => (setting.written)(rule),
        };
        match written {
            Some(new) if wholly || is_source => set(table, setting.key, in_toml(new)),
            // The rule has another source now.
            None if is_source => {
                table.remove(setting.key);
            }
            _ => {}
        }
    }
}

/// Gives a setting a value, unless it has that already.
fn set(table: &mut Table, key: &str, new: Value) {
    let present = table.get(key).and_then(Item::as_value);
    if present.is_none_or(|present| text(present) != text(&new)) {
        table.insert(key, value(new));
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
