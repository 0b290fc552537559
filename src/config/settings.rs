//! Every setting, once: its key in the file, its flag and its variable, its help, its check, and how it is written.
//!
//! A new setting is an entry in [`SETTINGS`] and a row in `docs/configuration.md`, which `tests/pages.rs` wants. One of all Apps
//! changes a field of [`cache::Settings`]. One of a rule changes a field of [`Draft`], from where [`Draft::change`] takes it into
//! the [`Rule`]. Help, manual, completions, `setup` and the messages about unknown settings come from the entry.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::variables::or_is_empty;
use super::{Config, Rule, RuleScope, Source};
use crate::app::Identity;
use crate::app::key::{self, KeySource};
use crate::app::public_key::PublicKeyFile;
use crate::app::sign_command::{self, SignCommand};
use crate::app::token_command::{self, TokenCommand};
use crate::cache::{self, Address, StoreKind};
use crate::command::{self, ConfiguredCommand};
use crate::error::{Error, Result};
use crate::names::{ApiUrl, Host, InstallationId, Repository, is_name, redacted};
use crate::origin::Origin;
use crate::token::Permissions;
use crate::vendor::Vendor;
use crate::world::{PRIVATE_KEY, Variables, World};

/// A setting: a key of the file, a flag and a variable that mean the same.
pub(crate) struct Setting {
    /// The key in the configuration file.
    pub(crate) key: &'static str,
    /// The flag, with its dashes. Empty: there is none, because command lines are public.
    pub(crate) flag: &'static str,
    /// The environment variable.
    pub(crate) variable: &'static str,
    /// What stands for the value in a description of the flag.
    pub(crate) placeholder: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
    pub(super) shape: Shape,
    pub(super) apply: Apply,
    /// The value that a rule has, unless that is the default.
    pub(crate) written: fn(&Rule) -> Option<Value>,
}

/// The settings that say where a rule's tokens come from, of which it has one.
pub(crate) const SOURCES: &[&str] =
    &["private-key", key::command::SETTING, sign_command::SETTING, "public-key", token_command::SETTING];

/// What is changed by a setting.
pub(super) enum Apply {
    /// How tokens are kept, whatever the App.
    ToAll(fn(&mut cache::Settings, &Given<'_>) -> Result<()>),
    /// A rule.
    ToRule(fn(&mut Draft, &Given<'_>) -> Result<()>),
}

/// What a value looks like in the file. Variables and flags have text: a list has commas between its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Number,
    /// `true` or `false`.
    YesOrNo,
    TextOrNumber,
    List,
    /// A text, or a list of them.
    OneOrMore,
    /// A list of words, or one text that is split into words.
    Command,
    /// `name = "text"`, several of them.
    Pairs,
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
}

impl Setting {
    /// All that have a flag.
    pub(crate) fn with_flag() -> impl Iterator<Item = &'static Self> {
        SETTINGS.iter().filter(|setting| !setting.flag.is_empty())
    }

    /// The flag's name, without its dashes.
    pub(crate) fn name(&self) -> &'static str {
        self.flag.trim_start_matches('-')
    }

    /// What a rule has, as values of the flag; none if that is the default.
    pub(crate) fn as_flags(&self, rule: &Rule) -> Vec<String> {
        match (self.written)(rule) {
            None => Vec::new(),
            Some(Value::List(words)) if self.shape == Shape::Command => vec![command::line(&words)],
            Some(Value::List(list)) => list,
            Some(Value::Text(text)) => vec![text],
            Some(Value::Number(number)) => vec![number.to_string()],
            Some(Value::Pairs(pairs)) => {
                pairs.iter().map(|(name, value)| format!("{name}={value}")).collect()
            }
        }
    }
}

/// A value as it was given, and where.
pub(super) struct Given<'g> {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// Where each item of a list stands; empty where they stand together.
    pub(super) items: Vec<Origin>,
    /// Makes a path of what a person wrote.
    pub(super) resolve: &'g dyn Fn(&str) -> PathBuf,
}

use Apply::{ToAll, ToRule};

/// All of them.
pub(crate) static SETTINGS: &[Setting] = &[
    Setting {
        key: "id",
        flag: "--app-id",
        variable: "GHAPP_APP_ID",
        placeholder: "ID",
        help: "the App's client ID or App ID",
        shape: Shape::TextOrNumber,
        apply: ToRule(|draft, given| {
            draft.app_id = Some((given.parsed(app_id)?, given.origin.clone()));
            Ok(())
        }),
        written: |rule| {
            // A command is no App, and names itself.
            if rule.identity.token_command().is_some() {
                return None;
            }
            let number = rule.app_id.parse().ok().map(Value::Number);
            Some(number.unwrap_or_else(|| Value::Text(rule.app_id.clone())))
        },
    },
    Setting {
        key: "private-key",
        flag: "--private-key",
        variable: "GHAPP_PRIVATE_KEY_FILE",
        placeholder: "FILE",
        help: "the file with the App's private key, or keyring:NAME if setup moved it there",
        shape: Shape::OneOrMore,
        apply: ToRule(|draft, given| {
            draft.add_source("private-key", Identity::Keys(given.keys()?), given);
            Ok(())
        }),
        written: |rule| {
            let names: Option<Vec<String>> = rule.identity.keys().iter().map(|key| key.setting()).collect();
            match names?.as_slice() {
                [] => None,
                [one] => Some(Value::Text(one.clone())),
                several => Some(Value::List(several.to_vec())),
            }
        },
    },
    Setting {
        key: key::command::SETTING,
        flag: "--private-key-command",
        variable: "GHAPP_PRIVATE_KEY_COMMAND",
        placeholder: "COMMAND",
        help: "a command that prints the App's private key, run without a shell",
        shape: Shape::Command,
        apply: ToRule(|draft, given| {
            let source = key::command::source(given.command(key::command::SETTING)?);
            draft.add_source(key::command::SETTING, Identity::Keys(vec![source]), given);
            Ok(())
        }),
        written: |rule| {
            let command = rule.identity.only_key().and_then(KeySource::command);
            command.map(|command| Value::List(command.words()))
        },
    },
    Setting {
        key: sign_command::SETTING,
        flag: "--sign-command",
        variable: "GHAPP_SIGN_COMMAND",
        placeholder: "COMMAND",
        help: "a command that signs its input with the App's private key (RS256), run without a shell",
        shape: Shape::Command,
        apply: ToRule(|draft, given| {
            let command = given.command(sign_command::SETTING)?;
            let identity = Identity::SignCommand(SignCommand { command, public_key: None });
            draft.add_source(sign_command::SETTING, identity, given);
            Ok(())
        }),
        written: |rule| rule.identity.sign_command().map(|sign| Value::List(sign.command.words())),
    },
    Setting {
        key: "public-key",
        flag: "--public-key",
        variable: "GHAPP_PUBLIC_KEY_FILE",
        placeholder: "FILE",
        help: "the App's public key: what sign-command prints is checked with it before it is sent",
        shape: Shape::Text,
        apply: ToRule(|draft, given| {
            let file = PublicKeyFile { path: (given.resolve)(given.text()), origin: given.origin.clone() };
            draft.public_key = Some(file);
            Ok(())
        }),
        written: |rule| {
            let file = rule.identity.sign_command().and_then(|sign| sign.public_key.as_ref());
            file.map(|file| Value::Text(whole(&file.path)))
        },
    },
    Setting {
        key: token_command::SETTING,
        flag: "--token-command",
        variable: "GHAPP_TOKEN_COMMAND",
        placeholder: "COMMAND",
        help: "a command that prints a token, as brokers do, instead of an App and its key; run without a shell",
        shape: Shape::Command,
        apply: ToRule(|draft, given| {
            let command = given.command(token_command::SETTING)?;
            draft.add_source(token_command::SETTING, Identity::TokenCommand(TokenCommand { command }), given);
            Ok(())
        }),
        written: |rule| rule.identity.token_command().map(|it| Value::List(it.command.words())),
    },
    Setting {
        key: "host",
        flag: "--host",
        variable: "GHAPP_HOST",
        placeholder: "HOST",
        help: "the host that the App belongs to; default: github.com",
        shape: Shape::Text,
        apply: ToRule(|draft, given| {
            draft.host = Some(given.parsed(host)?);
            Ok(())
        }),
        written: |rule| (rule.host != Host::github()).then(|| Value::Text(rule.host.to_string())),
    },
    Setting {
        key: "api-url",
        flag: "--api-url",
        variable: "GHAPP_API_URL",
        placeholder: "URL",
        help: "the address of the REST API; default: follows from the host",
        shape: Shape::Text,
        apply: ToRule(|draft, given| {
            draft.api = Some(given.parsed(api)?);
            Ok(())
        }),
        written: |rule| (rule.api != rule.host.api()).then(|| Value::Text(rule.api.to_string())),
    },
    Setting {
        key: "owners",
        flag: "--owner",
        variable: "GHAPP_OWNERS",
        placeholder: "OWNER",
        help: "answer for this owner only; may be repeated",
        shape: Shape::List,
        apply: ToRule(|draft, given| {
            draft.owners = Some(given.each("owners", owner)?);
            Ok(())
        }),
        written: |rule| (!rule.owners.is_empty()).then(|| Value::List(rule.owners.clone())),
    },
    Setting {
        key: "repositories",
        flag: "--repository",
        variable: "GHAPP_REPOSITORIES",
        placeholder: "OWNER/REPO",
        help: "answer for this repository only; may be repeated",
        shape: Shape::List,
        apply: ToRule(|draft, given| {
            draft.repositories = Some(given.each("repositories", repository)?);
            Ok(())
        }),
        written: |rule| {
            let names = || rule.repositories.iter().map(ToString::to_string).collect();
            (!rule.repositories.is_empty()).then(|| Value::List(names()))
        },
    },
    Setting {
        key: "public-repositories",
        flag: "--public-repositories",
        variable: "GHAPP_PUBLIC_REPOSITORIES",
        placeholder: "OWNER",
        help: "answer for public repositories where the App is not installed too, with a token of this owner's that reads only what everybody may",
        shape: Shape::Text,
        apply: ToRule(|draft, given| {
            draft.public_repositories = Some((given.parsed(owner)?, given.origin.clone()));
            Ok(())
        }),
        written: |rule| rule.public_repositories.clone().map(Value::Text),
    },
    Setting {
        key: "installation-id",
        flag: "--installation-id",
        variable: "GHAPP_INSTALLATION_ID",
        placeholder: "N",
        help: "use this installation instead of looking it up",
        shape: Shape::TextOrNumber,
        apply: ToRule(|draft, given| {
            draft.installation = Some((given.parsed(installation)?, given.origin.clone()));
            Ok(())
        }),
        written: |rule| {
            let id = rule.installation.as_ref().map(ToString::to_string);
            id.map(|id| id.parse().map_or(Value::Text(id), Value::Number))
        },
    },
    Setting {
        key: "scope",
        flag: "--scope",
        variable: "GHAPP_SCOPE",
        placeholder: "SCOPE",
        help: "what a token can reach: installation (default), all of its repositories; repository, only the one that git asks for; listed, only those that the rule names",
        shape: Shape::Text,
        apply: ToRule(|draft, given| {
            draft.scope = Some((given.parsed(scope)?, given.origin.clone()));
            Ok(())
        }),
        written: |rule| rule.scope.map(|scope| Value::Text(scope.name().to_owned())),
    },
    Setting {
        key: "permissions",
        flag: "--permissions",
        variable: "GHAPP_PERMISSIONS",
        placeholder: "LIST",
        help: "a token's permissions, such as contents=read,issues=write; default: all that the installation has",
        shape: Shape::Pairs,
        apply: ToRule(|draft, given| {
            draft.permissions = Some((permissions(given)?, given.origin.clone()));
            Ok(())
        }),
        written: |rule| {
            let pairs = || rule.permissions.clone().into_iter().collect();
            (!rule.permissions.is_empty()).then(|| Value::Pairs(pairs()))
        },
    },
    Setting {
        key: "on-failure",
        flag: "--on-failure",
        variable: "GHAPP_ON_FAILURE",
        placeholder: "WHAT",
        help: "what git does if there is no token: quit (default), it gives up; continue, it asks its next helper",
        shape: Shape::Text,
        apply: ToRule(|draft, given| {
            draft.quit_on_failure = Some(given.parsed(quit_on_failure)?);
            Ok(())
        }),
        written: |rule| (!rule.quit_on_failure).then(|| Value::Text("continue".to_owned())),
    },
    Setting {
        key: "cache",
        flag: "--cache",
        variable: "GHAPP_CACHE",
        placeholder: "STORE",
        help: "where tokens are cached: auto (default), keyring, secret-service, file, none",
        shape: Shape::Text,
        apply: ToAll(|settings, given| {
            settings.store = given.parsed(store)?;
            Ok(())
        }),
        written: |_| None,
    },
    Setting {
        key: "cache-folder",
        flag: "--cache-folder",
        variable: "GHAPP_CACHE_FOLDER",
        placeholder: "FOLDER",
        help: "where sealed files, remembered installations and locks are kept; default: the user's cache folder",
        shape: Shape::Text,
        apply: ToAll(|settings, given| {
            settings.folder = Some(given.whole_path()?);
            Ok(())
        }),
        written: |_| None,
    },
    Setting {
        key: "min-fresh",
        flag: "--min-fresh",
        variable: "GHAPP_MIN_FRESH",
        placeholder: "SECONDS",
        help: "use a cached token only if it stays valid for at least this long; default: 300",
        shape: Shape::Number,
        apply: ToAll(|settings, given| {
            settings.min_fresh =
                given.seconds("min-fresh", 0, 3000, "a token lives for an hour; the default is 300")?;
            Ok(())
        }),
        written: |_| None,
    },
    Setting {
        key: "deadline",
        flag: "--deadline",
        variable: "GHAPP_DEADLINE",
        placeholder: "SECONDS",
        help: "how long GitHub may take for one token, in total; default: 30",
        shape: Shape::Number,
        apply: ToAll(|settings, given| {
            let seconds = given.seconds("deadline", 1, 300, "the default is 30")?;
            settings.deadline = Duration::from_secs(seconds.unsigned_abs());
            Ok(())
        }),
        written: |_| None,
    },
    Setting {
        key: "shared-cache",
        flag: "",
        variable: "GHAPP_SHARED_CACHE",
        placeholder: "URL",
        help: "the Redis or Valkey in which machines share tokens: rediss://USER@HOST:PORT/0",
        shape: Shape::Text,
        apply: ToAll(|settings, given| {
            let address = shared_address(given.text(), &given.origin)?;
            settings.shared.address = address.map(|address| (address, given.origin.clone()));
            Ok(())
        }),
        written: |_| None,
    },
    Setting {
        key: "shared-cache-password-file",
        flag: "",
        variable: "GHAPP_SHARED_CACHE_PASSWORD_FILE",
        placeholder: "FILE",
        help: "the file with the password of the shared cache; GHAPP_SHARED_CACHE_PASSWORD holds it itself",
        shape: Shape::Text,
        apply: ToAll(|settings, given| {
            settings.shared.password_file = Some(given.whole_path()?);
            Ok(())
        }),
        written: |_| None,
    },
    Setting {
        key: "shared-cache-ca",
        flag: "",
        variable: "GHAPP_SHARED_CACHE_CA",
        placeholder: "FILE",
        help: "the CA of the shared cache's certificate; default: those of the system",
        shape: Shape::Text,
        apply: ToAll(|settings, given| {
            settings.shared.ca = Some(given.whole_path()?);
            Ok(())
        }),
        written: |_| None,
    },
    Setting {
        key: "shared-cache-plain",
        flag: "",
        variable: "GHAPP_SHARED_CACHE_PLAIN",
        placeholder: "BOOL",
        help: "true: the shared cache may be reached without TLS over a network",
        shape: Shape::YesOrNo,
        apply: ToAll(|settings, given| {
            settings.shared.plain = given.parsed(yes)?;
            Ok(())
        }),
        written: |_| None,
    },
];

impl Given<'_> {
    /// The text; a number as it is written in the file.
    fn text(&self) -> &str {
        match &self.value {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// The text as a path.
    ///
    /// # Errors
    /// If it is another one in each folder: git runs in a repository, which somebody else may have filled.
    fn whole_path(&self) -> Result<PathBuf> {
        let path = (self.resolve)(self.text());
        match path.is_absolute() {
            true => Ok(path),
            false => Err(Error::new(format!(
                "{path:?} is relative to whatever folder git runs in ({})",
                self.origin
            ))
            .hint("write its whole path")),
        }
    }

    /// Where private keys are.
    fn keys(&self) -> Result<Vec<Rc<dyn KeySource>>> {
        let source = |text: &String, origin| key::source(text, self.resolve, origin);
        match &self.value {
            Value::List(list) if list.is_empty() => {
                Err(Error::new(format!("private-key names no private key ({})", self.origin)))
            }
            Value::List(list) => {
                let origin = |index| self.items.get(index).unwrap_or(&self.origin);
                list.iter().enumerate().map(|(index, text)| source(text, origin(index))).collect()
            }
            _ => Ok(vec![source(&self.text().to_owned(), &self.origin)?]),
        }
    }

    /// A command, from its words or from one line of them.
    fn command(&self, setting: &'static str) -> Result<ConfiguredCommand> {
        let words = match &self.value {
            Value::List(words) => words.clone(),
            _ => command::words(self.text()).ok_or_else(|| {
                Error::new(format!("a quote in {setting} is not closed ({})", self.origin))
                    .hint("write the command as a list of words: [\"program\", \"an argument\"]")
            })?,
        };
        ConfiguredCommand::new(setting, &words, self.resolve, &self.origin)
    }

    fn seconds(&self, name: &str, least: i64, most: i64, hint: &str) -> Result<i64> {
        let given = match &self.value {
            Value::Number(seconds) if (least..=most).contains(seconds) => return Ok(*seconds),
            Value::Number(seconds) => seconds.to_string(),
            _ => format!("{:?}", self.text()),
        };
        let range = format!("{name} must be {least} to {most} seconds, not {given} ({})", self.origin);
        Err(Error::new(range).hint(hint))
    }

    fn parsed<T>(&self, parse: fn(&str, &Origin) -> Result<T>) -> Result<T> {
        parse(self.text(), &self.origin)
    }

    /// Each item of a list that narrows a rule.
    fn each<T>(&self, key: &str, parse: fn(&str, &Origin) -> Result<T>) -> Result<Vec<T>> {
        let Value::List(list) = &self.value else { return Ok(Vec::new()) };
        if list.is_empty() {
            return Err(narrows_to_nothing(key, &self.origin));
        }
        let origin = |index| self.items.get(index).unwrap_or(&self.origin);
        list.iter().enumerate().map(|(index, item)| parse(item, origin(index))).collect()
    }
}

/// A path that is the same from everywhere.
pub(crate) fn whole(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn app_id(text: &str, origin: &Origin) -> Result<String> {
    let wrong = match text.trim() {
        "" => "the App ID is empty".to_owned(),
        id if id.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) => {
            return Ok(id.to_owned());
        }
        other => format!("{other:?} is not an App ID"),
    };
    Err(Error::new(format!("{wrong} ({origin})"))
        .hint("use the client ID (Iv23…) or the App ID from the App's settings page"))
}

fn host(text: &str, origin: &Origin) -> Result<Host> {
    Host::parse(text.trim()).ok_or_else(|| {
        Error::new(format!("{:?} is not a host ({origin})", redacted(text)))
            .hint("write the host as it stands in URLs, without https:// and without a path")
    })
}

fn api(text: &str, origin: &Origin) -> Result<ApiUrl> {
    ApiUrl::parse(text.trim()).map_err(|e| {
        Error::new(format!("{} ({origin})", e.message()))
            .hint("write it like https://github.example.com/api/v3")
    })
}

fn owner(text: &str, origin: &Origin) -> Result<String> {
    if is_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Error::new(format!("{:?} is not the name of an owner ({origin})", redacted(text))))
}

fn repository(text: &str, origin: &Origin) -> Result<Repository> {
    let wrong = || Error::new(format!("{:?} is not OWNER/REPOSITORY ({origin})", redacted(text)));
    Repository::parse(text).ok_or_else(wrong)
}

fn installation(text: &str, origin: &Origin) -> Result<InstallationId> {
    InstallationId::parse(text.trim()).filter(|_| !text.starts_with('-')).ok_or_else(|| {
        Error::new(format!("{} is not the number of an installation ({origin})", redacted(text)))
            .hint("git-credential-ghapp installations lists them")
    })
}

fn scope(text: &str, origin: &Origin) -> Result<RuleScope> {
    RuleScope::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
        Error::new(format!("there is no scope {text:?} ({origin})"))
            .hint("the scopes are installation, repository and listed")
    })
}

impl RuleScope {
    const ALL: [Self; 3] = [Self::Installation, Self::Repository, Self::Listed];

    /// How it is written.
    fn name(self) -> &'static str {
        match self {
            Self::Installation => "installation",
            Self::Repository => "repository",
            Self::Listed => "listed",
        }
    }
}

fn quit_on_failure(text: &str, origin: &Origin) -> Result<bool> {
    match text {
        "quit" => Ok(true),
        "continue" => Ok(false),
        _ => Err(Error::new(format!("on-failure cannot be {text:?} ({origin})"))
            .hint("on-failure is quit or continue")),
    }
}

fn store(text: &str, origin: &Origin) -> Result<StoreKind> {
    StoreKind::parse(text).ok_or_else(|| {
        Error::new(format!("there is no token store {text:?} ({origin})"))
            .hint(format!("the stores are {}", StoreKind::names().join(", ")))
    })
}

/// The address of the shared cache. An empty one means that there is none, whatever was configured before.
fn shared_address(text: &str, origin: &Origin) -> Result<Option<Address>> {
    if text.is_empty() {
        return Ok(None);
    }
    let explained = |why: Error| Error::new(format!("{} ({origin})", why.message())).hint_of(&why);
    Address::parse(text).map(Some).map_err(explained)
}

fn yes(text: &str, origin: &Origin) -> Result<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::new(format!("{text:?} is neither true nor false ({origin})"))),
    }
}

/// An error about a list that narrows what a rule is for, or what its tokens may do, and in which nothing is: without it the rule
/// is for everything, which nobody means who writes it. A variable that is not set, in a script or a template, leaves one.
fn narrows_to_nothing(key: &str, origin: &Origin) -> Error {
    Error::new(format!("{key} is empty, which would mean everything ({origin})"))
        .hint("leave it out, or name what it is for")
}

fn permissions(given: &Given<'_>) -> Result<Permissions> {
    let Value::Pairs(pairs) = &given.value else { return Ok(Permissions::new()) };
    let is_permission = |(name, level): &&(String, String)| {
        let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        named && matches!(level.as_str(), "read" | "write" | "admin")
    };
    match pairs.iter().find(|pair| !is_permission(pair)) {
        None if pairs.is_empty() => Err(narrows_to_nothing("permissions", &given.origin)),
        None => Ok(pairs.iter().cloned().collect()),
        Some((name, level)) => {
            let shown = format!("{name} = {level}");
            Err(Error::new(format!("{shown:?} is not a permission ({})", given.origin))
                .hint("write permissions like contents = read, with read, write or admin"))
        }
    }
}

/// What a file's `[[app]]`, or environment and flags, say about a rule.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) app_id: Option<(String, Origin)>,
    /// Where tokens come from, each with what says so: more than one contradict each other.
    sources: Vec<(&'static str, Identity, Origin)>,
    public_key: Option<PublicKeyFile>,
    pub(super) host: Option<Host>,
    api: Option<ApiUrl>,
    owners: Option<Vec<String>>,
    repositories: Option<Vec<Repository>>,
    public_repositories: Option<(String, Origin)>,
    installation: Option<(InstallationId, Origin)>,
    scope: Option<(RuleScope, Origin)>,
    permissions: Option<(Permissions, Origin)>,
    quit_on_failure: Option<bool>,
}

impl Draft {
    fn add_source(&mut self, name: &'static str, source: Identity, given: &Given<'_>) {
        self.sources.push((name, source, given.origin.clone()));
    }

    /// The App's id, and where that is said. Where a command gives tokens, it is the command that has a name.
    ///
    /// # Errors
    /// If there are both.
    pub(super) fn client(&self) -> Result<Option<(String, Origin)>> {
        let [(_, Identity::TokenCommand(token), origin)] = self.sources.as_slice() else {
            return Ok(self.app_id.clone());
        };
        match &self.app_id {
            None => Ok(Some((token.command.name(), origin.clone()))),
            Some((id, says_so)) => Err(Error::new(format!(
                "{} ({origin}) gives tokens without an App, but App {id} is named too ({says_so})",
                token_command::SETTING
            ))
            .hint("leave out the App's id, or say where its private key is")),
        }
    }

    /// An error if the rule says what only an App's tokens can be, or what only another API has.
    pub(super) fn check(&self, identity: &Identity, vendor: &Vendor) -> Result<()> {
        if let Some((id, origin)) = &self.installation
            && vendor.is_github
            && !id.is_number()
        {
            let what = format!("{:?} is not a number ({origin})", id.to_string());
            return Err(Error::new(what).hint("git-credential-ghapp installations lists them"));
        }
        if let Some((_, origin)) = &self.public_repositories
            && !vendor.is_github
        {
            let what = format!("public-repositories is of use only with GitHub's API ({origin})");
            return Err(Error::new(what).hint("leave it out"));
        }
        if identity.token_command().is_none() {
            return Ok(());
        }
        let permissions = self.permissions.as_ref().filter(|(it, _)| !it.is_empty());
        let of_app = [
            ("permissions", permissions.map(|(_, origin)| origin)),
            ("public-repositories", self.public_repositories.as_ref().map(|(_, origin)| origin)),
            ("installation-id", self.installation.as_ref().map(|(_, origin)| origin)),
            (
                "scope = \"listed\"",
                self.scope.as_ref().filter(|(it, _)| *it == RuleScope::Listed).map(|(_, origin)| origin),
            ),
        ];
        match of_app.iter().find_map(|(name, origin)| Some((name, (*origin)?))) {
            None => Ok(()),
            Some((name, origin)) => Err(Error::new(format!(
                "{name} is of no use beside {}, which decides that itself ({origin})",
                token_command::SETTING
            ))
            .hint(format!("leave out {name}, and let the command give the tokens that you want"))),
        }
    }

    /// Where tokens come from, if that is said; `present` is what it is without.
    ///
    /// # Errors
    /// If that is said twice, or with a public key that nothing is checked with.
    pub(super) fn identity(&self, present: Option<&Identity>) -> Result<Option<Identity>> {
        let identity = self.source()?.or(present).cloned();
        match (identity, &self.public_key) {
            (identity, None) => Ok(identity),
            (Some(Identity::SignCommand(sign)), Some(file)) => {
                Ok(Some(Identity::SignCommand(SignCommand { public_key: Some(file.clone()), ..sign })))
            }
            (_, Some(file)) => {
                Err(Error::new(format!("public-key is of use only beside sign-command ({})", file.origin))
                    .hint("leave it out: a private key has its public one in it"))
            }
        }
    }

    fn source(&self) -> Result<Option<&Identity>> {
        match self.sources.as_slice() {
            [] => Ok(None),
            [(_, source, _)] => Ok(Some(source)),
            [(_, _, Origin::Variable(one)), (_, _, Origin::Variable(other)), ..] => {
                let what = format!("both {other} and {one} are set");
                Err(Error::new(what).hint(format!(
                    "unset one of them; {PRIVATE_KEY} holds the key itself, GHAPP_PRIVATE_KEY_FILE names its file"
                )))
            }
            [(one, _, first), (other, _, second), ..] => {
                let what = format!(
                    "a rule has one source of tokens, not two: {one} ({first}) and {other} ({second})"
                );
                Err(Error::new(what).hint("keep one of them"))
            }
        }
    }

    /// Changes what it says in a rule, but not which App that is for, nor where its key is.
    pub(super) fn change(self, rule: &mut Rule) {
        let Self { app_id: _, sources: _, public_key: _, host, api, owners, repositories, .. } = self;
        if let Some(host) = host.filter(|host| *host != rule.host) {
            rule.api = host.api();
            rule.host = host;
        }
        if let Some(api) = api {
            rule.api = api;
        }
        if let Some(owners) = owners {
            rule.owners = owners;
        }
        if let Some(repositories) = repositories {
            rule.repositories = repositories;
        }
        rule.public_repositories =
            self.public_repositories.map(|(owner, _)| owner).or(rule.public_repositories.take());
        rule.installation = self.installation.map(|(id, _)| id).or_else(|| rule.installation.take());
        rule.scope = self.scope.map(|(scope, _)| scope).or(rule.scope);
        if let Some((permissions, _)) = self.permissions {
            rule.permissions = permissions;
        }
        rule.quit_on_failure = self.quit_on_failure.unwrap_or(rule.quit_on_failure);
    }
}

/// The flags of the helper line, as they were written.
#[derive(Clone, Default)]
pub(crate) struct Flags {
    /// `--config FILE`
    pub(crate) config: Option<OsString>,
    /// All others.
    values: Vec<(&'static Setting, String)>,
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(setting, value)| (setting.flag, value))).finish()
    }
}

impl Flags {
    /// Whether a flag was given; its name is without dashes.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.last(name).is_some()
    }

    /// The last value of a flag; its name is without dashes.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.each(name).last()
    }

    /// All values of a flag, as they were written; its name is without dashes.
    pub(crate) fn each(&self, name: &str) -> impl Iterator<Item = &str> {
        let given = self.values.iter().filter(move |(setting, _)| setting.name() == name);
        given.map(|(_, value)| value.as_str())
    }

    /// Takes all values of a flag away: it means something else to a command than to a rule.
    pub(crate) fn take(&mut self, name: &str) -> Vec<String> {
        let is_it = |setting: &Setting| setting.flag.strip_prefix("--") == Some(name);
        let (taken, left) =
            std::mem::take(&mut self.values).into_iter().partition(|(setting, _)| is_it(setting));
        self.values = left;
        let taken: Vec<(&'static Setting, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// All values of a flag that may be repeated and that has lists; its name is without dashes.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let given = self.values.iter().filter(|(setting, _)| setting.flag.strip_prefix("--") == Some(name));
        given.flat_map(|(_, value)| value.split([',', ' '])).filter(|value| !value.is_empty()).collect()
    }

    /// The configuration file that is named, by the flag or by the variable.
    pub(crate) fn config_file(&self, variables: &Variables<'_>) -> Option<PathBuf> {
        self.config.clone().or_else(|| variables.path("GHAPP_CONFIG")).map(PathBuf::from)
    }

    /// An error if that file is another one in each folder: git runs in a repository, which somebody else may have filled.
    pub(crate) fn check_config_file(&self, variables: &Variables<'_>) -> Result<()> {
        match self.config_file(variables) {
            Some(file) if !file.is_absolute() => Err(Error::new(format!(
                "the configuration {file:?} is relative to whatever folder git runs in"
            ))
            .hint("write its whole path in --config or GHAPP_CONFIG")),
            _ => Ok(()),
        }
    }

    /// An error if a flag that narrows names nothing. Some commands take such flags for themselves.
    pub(crate) fn check_lists(&self) -> Result<()> {
        let is_blank = |value: &String| value.chars().all(|c| c == ',' || c.is_whitespace());
        for setting in SETTINGS.iter().filter(|it| matches!(it.shape, Shape::List | Shape::Pairs)) {
            let mut values = self.values.iter().filter(|(of, _)| of.key == setting.key).peekable();
            if values.peek().is_some() && values.all(|(_, value)| is_blank(value)) {
                return Err(narrows_to_nothing(setting.key, &Origin::Flag(setting.flag)));
            }
        }
        Ok(())
    }

    /// Gives a flag these values and no others; its name is without dashes, and is one of [`SETTINGS`].
    pub(crate) fn replace(&mut self, name: &str, values: Vec<String>) {
        self.values.retain(|(setting, _)| setting.name() != name);
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.name() == name) {
            self.values.extend(values.into_iter().map(|value| (setting, value)));
        }
    }

    /// Takes a flag, whose name is without dashes. Gives the value back if there is no such flag, or if it is not UTF-8.
    pub(crate) fn set(&mut self, name: &str, value: OsString) -> std::result::Result<(), OsString> {
        if name == "config" {
            self.config = Some(value);
            return Ok(());
        }
        match SETTINGS.iter().find(|setting| setting.flag.strip_prefix("--") == Some(name)) {
            Some(setting) => {
                self.values.push((setting, value.into_string()?));
                Ok(())
            }
            None => Err(value),
        }
    }
}

/// Applies environment and flags on top of the files' configuration.
///
/// With an App id they make a rule of their own, for this call, that comes before all others of its host.
/// Without one they change the files' only App.
pub(super) fn apply(config: &mut Config, flags: &Flags, world: &World<'_>) -> Result<()> {
    let resolve = |path: &str| world.folders.resolve(path, None);
    let mut draft = Draft::default();
    let mut first = None;
    for setting in SETTINGS {
        let of_this = flags.values.iter().filter(|(of, _)| of.key == setting.key);
        let values: Vec<&str> = of_this.map(|(_, value)| value.as_str()).collect();
        let (value, origin) = if let Some(last) = values.last() {
            let value = match setting.shape {
                Shape::OneOrMore if values.len() > 1 => {
                    Value::List(values.iter().map(|value| (*value).to_owned()).collect())
                }
                Shape::List | Shape::Pairs => value(setting.shape, &values.join(",")),
                _ => value(setting.shape, last),
            };
            (value, Origin::Flag(setting.flag))
        } else if let Some(text) = world.variables.text(setting.variable)? {
            (value(setting.shape, &text), Origin::Variable(setting.variable))
        } else {
            continue;
        };
        let given = Given { value, origin, items: Vec::new(), resolve: &resolve };
        match setting.apply {
            ToAll(apply) => apply(&mut config.cache, &given)?,
            ToRule(apply) => {
                apply(&mut draft, &given)?;
                first.get_or_insert(given.origin);
            }
        }
    }
    if let Some(source) = key::environment::source(world)? {
        let origin = Origin::Variable(PRIVATE_KEY);
        draft.sources.push((PRIVATE_KEY, Identity::Keys(vec![source]), origin.clone()));
        first.get_or_insert(origin);
    }
    // What a flag names is closer than what the environment does.
    let is_flag = |origin: &Origin| matches!(origin, Origin::Flag(_));
    if draft.sources.iter().any(|(_, _, origin)| is_flag(origin)) {
        draft.sources.retain(|(_, _, origin)| is_flag(origin));
    }
    draft.source()?;
    config.cache.shared.check()?;
    let Some(first) = first else { return Ok(()) };
    let rule = match draft.client()? {
        Some((client, origin)) => new_rule(config, &client, &origin, &draft, world)?,
        None => {
            let rule = only_rule(config, &first, world)?;
            if let Some(identity) = draft.identity(Some(&rule.identity))? {
                rule.identity = identity;
            }
            rule
        }
    };
    draft.check(&rule.identity, rule.vendor())?;
    draft.change(rule);
    rule.check_list()
}

/// The value that a variable or a flag gives.
fn value(shape: Shape, text: &str) -> Value {
    let text = text.trim();
    let parts = || text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    match shape {
        Shape::Text | Shape::YesOrNo | Shape::TextOrNumber | Shape::OneOrMore | Shape::Command => {
            Value::Text(text.to_owned())
        }
        Shape::Number => text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Number),
        Shape::List => Value::List(parts().map(str::to_owned).collect()),
        Shape::Pairs => {
            let pair = |part: &str| {
                let (name, level) = part.split_once(['=', ':']).unwrap_or((part, ""));
                (name.to_owned(), level.to_owned())
            };
            Value::Pairs(parts().map(pair).collect())
        }
    }
}

/// A rule for an App that this call names. What it leaves out is taken from a rule of the files for the same App.
fn new_rule<'c>(
    config: &'c mut Config,
    app_id: &str,
    origin: &Origin,
    draft: &Draft,
    world: &World<'_>,
) -> Result<&'c mut Rule> {
    // An id means something on one host; of several the one that is named counts, or the usual one.
    let is_it = |rule: &&Rule| rule.app_id == app_id && rule.identity.token_command().is_none();
    let mut named = config.rules.iter().filter(is_it);
    let on = |host: &Host| config.rules.iter().filter(is_it).rfind(|rule| rule.host == *host);
    let same_app = match (&draft.app_id, &draft.host) {
        (None, _) => None,
        (_, Some(host)) => on(host),
        (_, None) => on(&Host::github()).or_else(|| named.next_back()),
    };
    let identity = draft.identity(same_app.map(|rule| &rule.identity))?.ok_or_else(|| {
        let what = Error::new(format!("App {app_id} has no private key ({origin})"));
        or_is_empty(
            what.hint("set GHAPP_PRIVATE_KEY_FILE to the key's file, or GHAPP_PRIVATE_KEY to the key itself"),
            world,
        )
    })?;
    let host = same_app.map_or_else(Host::github, |rule| rule.host.clone());
    let mut rule = Rule::new(app_id.to_owned(), identity, host, origin.clone(), Source::Call);
    if let Some(same_app) = same_app {
        rule.api = same_app.api.clone();
        rule.vendor.clone_from(&same_app.vendor);
    }
    config.rules.push(rule);
    let last = config.rules.len() - 1;
    Ok(&mut config.rules[last])
}

fn only_rule<'c>(config: &'c mut Config, given: &Origin, world: &World<'_>) -> Result<&'c mut Rule> {
    match config.rules.as_mut_slice() {
        [rule] => Ok(rule),
        [] => {
            let what = Error::new(format!("the {given} is set, but no App ID"));
            Err(or_is_empty(what.hint("set GHAPP_APP_ID or --app-id"), world))
        }
        rules => Err(Error::new(format!(
            "the {given} is set, but it is not clear for which of the {} configured Apps",
            rules.len()
        ))
        .hint("say which with GHAPP_APP_ID or --app-id")),
    }
}
