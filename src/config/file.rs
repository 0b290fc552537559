//! The configuration file: TOML in which every mistake is an error with its place.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{Apply, Draft, Given, SETTINGS, SOURCES, Setting, Shape, Value};
use super::{Rule, Source};
use crate::cache;
use crate::error::{Error, Result};
use crate::names::Host;
use crate::origin::{Origin, SourceFile};
use crate::vendor::{self, GITHUB, Vendor};
use crate::world::Folders;

/// Reads a file's rules, and what it says about the cache. What it names relatively is relative to its folder.
pub(super) fn read(
    file: &Rc<SourceFile>,
    folders: &Folders,
    cache: &mut cache::Settings,
) -> Result<Vec<Rule>> {
    Reader { file, folders }.read(cache)
}

struct Reader<'r> {
    file: &'r Rc<SourceFile>,
    folders: &'r Folders,
}

/// The table that holds a rule.
const APP: &str = "app";
/// The table in it that holds what differs between its API and GitHub's.
const API: &str = "api";

impl Reader<'_> {
    fn read(&self, cache: &mut cache::Settings) -> Result<Vec<Rule>> {
        let parsed = DeTable::parse(self.file.text());
        let table = parsed.map_err(|e| {
            self.mistake(&e.span().unwrap_or(0..0), e.message().lines().collect::<Vec<_>>().join(", "))
        })?;
        let table = table.get_ref();
        let general = |setting: &&Setting| matches!(setting.apply, Apply::ToAll(_));
        let general: Vec<&Setting> = SETTINGS.iter().filter(general).collect();
        self.refuse_unknown(table, &general, &[(APP, "[[app]]")])?;
        for (setting, value) in given(table, &general) {
            if let Apply::ToAll(apply) = setting.apply {
                self.with(setting, value, |given| apply(cache, given))?;
            }
        }
        let Some(apps) = table.get(APP) else { return Ok(Vec::new()) };
        let tables = apps
            .get_ref()
            .as_array()
            .ok_or_else(|| self.unexpected(apps, "tables that begin with [[app]]"))?;
        tables.iter().map(|app| self.rule(app)).collect()
    }

    /// One `[[app]]`.
    fn rule(&self, app: &Spanned<DeValue<'_>>) -> Result<Rule> {
        let table = app
            .get_ref()
            .as_table()
            .ok_or_else(|| self.unexpected(app, "a table that begins with [[app]]"))?;
        let of_rule = |setting: &&Setting| matches!(setting.apply, Apply::ToRule(_));
        let of_rule: Vec<&Setting> = SETTINGS.iter().filter(of_rule).collect();
        self.refuse_unknown(table, &of_rule, &[(API, "[app.api]")])?;
        let mut draft = Draft::default();
        for (setting, value) in given(table, &of_rule) {
            if let Apply::ToRule(apply) = setting.apply {
                self.with(setting, value, |given| apply(&mut draft, given))?;
            }
        }
        let missing = |what: &str| self.mistake(&app.span(), format!("the setting {what} is missing"));
        let identity = draft.identity(None)?;
        let (app_id, origin) = draft.client()?.ok_or_else(|| missing("`id`"))?;
        let identity = identity.ok_or_else(|| missing(&sources()))?;
        let vendor = self.vendor(table)?;
        draft.check(&identity, vendor.as_ref().unwrap_or(&GITHUB))?;
        let mut rule = Rule::new(app_id, identity, Host::github(), origin, Source::File);
        draft.change(&mut rule);
        rule.vendor = vendor.map(Rc::new);
        rule.check_list()?;
        Ok(rule)
    }

    /// What kind of API the rule's is, if it is not GitHub's.
    fn vendor(&self, rule: &DeTable<'_>) -> Result<Option<Vendor>> {
        let Some(table) = rule.get(API) else { return Ok(None) };
        let keys = table
            .get_ref()
            .as_table()
            .ok_or_else(|| self.unexpected(table, "a table that begins with [app.api]"))?;
        let mut keys: Vec<_> = keys.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        let mut vendor = Vendor::other();
        for (name, value) in keys {
            let taken = match vendor::KEYS.iter().find(|key| key.name == name.get_ref().as_ref()) {
                Some(key) => match self.value(Shape::Text, value)? {
                    Value::Text(text) => vendor.set(key, &text),
                    _ => Ok(()),
                },
                None if name.get_ref() == vendor::HEADERS => match self.value(Shape::Pairs, value)? {
                    Value::Pairs(headers) => vendor.set_headers(&headers),
                    _ => Ok(()),
                },
                None => {
                    let names = vendor::KEYS.iter().map(|key| key.name).chain([vendor::HEADERS]);
                    return Err(self.unknown(name, names.map(|name| format!("`{name}`")).collect()));
                }
            };
            taken.map_err(|why| {
                Error::new(format!("{} in [app.api]: {why} ({})", name.get_ref(), self.at(&value.span())))
                    .hint("see docs/vendors.md for what each key may be")
            })?;
        }
        Ok(Some(vendor))
    }

    /// Hands a value to the setting's check.
    fn with(
        &self,
        setting: &Setting,
        value: &Spanned<DeValue<'_>>,
        apply: impl FnOnce(&Given<'_>) -> Result<()>,
    ) -> Result<()> {
        let beside = self.file.path().parent();
        let resolve = |path: &str| self.folders.resolve(path, beside);
        let items = value.get_ref().as_array().into_iter().flatten().map(|item| self.at(&item.span()));
        let items = items.collect();
        let origin = self.at(&value.span());
        apply(&Given { value: self.value(setting.shape, value)?, origin, items, resolve: &resolve })
    }

    /// A value in the shape that its setting has.
    fn value(&self, shape: Shape, value: &Spanned<DeValue<'_>>) -> Result<Value> {
        let text = |value: &Spanned<DeValue<'_>>| {
            let text = value.get_ref().as_str().map(str::to_owned);
            text.ok_or_else(|| self.unexpected(value, "text in quotes"))
        };
        let number = |value: &Spanned<DeValue<'_>>| {
            let integer = value.get_ref().as_integer().ok_or_else(|| self.unexpected(value, "a number"))?;
            i64::from_str_radix(integer.as_str(), integer.radix())
                .map_err(|_| self.mistake(&value.span(), "the number is too large".to_owned()))
        };
        Ok(match shape {
            Shape::Text => Value::Text(text(value)?),
            Shape::YesOrNo => {
                let flag = value.get_ref().as_bool();
                Value::Text(flag.ok_or_else(|| self.unexpected(value, "true or false"))?.to_string())
            }
            Shape::Number => Value::Number(number(value)?),
            Shape::TextOrNumber if value.get_ref().is_integer() => Value::Text(number(value)?.to_string()),
            Shape::TextOrNumber => {
                Value::Text(text(value).map_err(|_| self.unexpected(value, "a number, or text in quotes"))?)
            }
            Shape::List => {
                let list = value
                    .get_ref()
                    .as_array()
                    .ok_or_else(|| self.unexpected(value, "a list: [\"…\", \"…\"]"))?;
                Value::List(list.iter().map(text).collect::<Result<_>>()?)
            }
            Shape::OneOrMore | Shape::Command if value.get_ref().is_str() => Value::Text(text(value)?),
            Shape::OneOrMore => {
                let list = value.get_ref().as_array().ok_or_else(|| {
                    self.unexpected(value, "text in quotes, or a list of texts: [\"…\", \"…\"]")
                })?;
                Value::List(list.iter().map(text).collect::<Result<_>>()?)
            }
            Shape::Command => {
                let list = value.get_ref().as_array().ok_or_else(|| {
                    self.unexpected(value, "a list of words, or text in quotes: [\"program\", \"argument\"]")
                })?;
                Value::List(list.iter().map(text).collect::<Result<_>>()?)
            }
            Shape::Pairs => {
                let table = value.get_ref().as_table();
                let table = table.ok_or_else(|| self.unexpected(value, "a table: { name = \"…\" }"))?;
                let pair = |(name, value): (&Spanned<_>, _)| {
                    Ok((AsRef::<str>::as_ref(name.get_ref()).to_owned(), text(value)?))
                };
                Value::Pairs(table.iter().map(pair).collect::<Result<_>>()?)
            }
        })
    }

    /// The first key that is no setting is an error.
    fn refuse_unknown(
        &self,
        table: &DeTable<'_>,
        allowed: &[&Setting],
        tables: &[(&str, &str)],
    ) -> Result<()> {
        let is_allowed = |key: &str| {
            tables.iter().any(|(name, _)| *name == key) || allowed.iter().any(|setting| setting.key == key)
        };
        let unknown =
            table.keys().filter(|key| !is_allowed(key.get_ref())).min_by_key(|key| key.span().start);
        let Some(key) = unknown else { return Ok(()) };
        let settings = allowed.iter().map(|setting| format!("`{}`", setting.key));
        let names = settings.chain(tables.iter().map(|(_, shown)| format!("`{shown}`")));
        Err(self.unknown(key, names.collect()))
    }

    /// That a key is none of those that there are.
    fn unknown(&self, key: &Spanned<Cow<'_, str>>, names: Vec<String>) -> Error {
        let expected = one_of(names);
        self.mistake(&key.span(), format!("unknown setting `{}`, expected {expected}", key.get_ref()))
    }

    fn unexpected(&self, value: &Spanned<DeValue<'_>>, expected: &str) -> Error {
        let found = match value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.mistake(&value.span(), format!("expected {expected}, found {found}"))
    }

    fn mistake(&self, span: &Range<usize>, message: String) -> Error {
        let (_, column) = self.file.line_and_column(span.start);
        Error::new(format!("{}, column {column}: {message}", self.at(span)))
            .hint("git help credential-ghapp describes every setting")
    }

    fn at(&self, span: &Range<usize>) -> Origin {
        Origin::File { file: Rc::clone(self.file), offset: span.start }
    }
}

/// The settings of which each rule has one. A public key goes with one of them.
fn sources() -> String {
    let sources = SOURCES.iter().filter(|name| **name != "public-key");
    one_of(sources.map(|name| format!("`{name}`")).collect())
}

/// `A, B or C`.
fn one_of(mut names: Vec<String>) -> String {
    let last = names.pop().unwrap_or_default();
    format!("{} or {last}", names.join(", "))
}

/// The settings that a table gives, with their values.
fn given<'t, 'v>(
    table: &'t DeTable<'v>,
    settings: &[&'static Setting],
) -> Vec<(&'static Setting, &'t Spanned<DeValue<'v>>)> {
    settings.iter().filter_map(|setting| Some((*setting, table.get(setting.key)?))).collect()
}
