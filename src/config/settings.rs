//! Settings of one call: environment variables, and flags on git's helper line. Flags win.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Config, Folders, KeySource, Origin, Rule, StoreKind, check, file};
use crate::error::{Error, Result};
use crate::names::{Host, InstallationId};
use crate::secret::Secret;

/// The environment, behind a function so that tests bring their own.
#[derive(Clone, Copy)]
pub struct Variables<'a>(pub &'a dyn Fn(&str) -> Option<OsString>);

impl Variables<'_> {
    /// A variable's value; an empty one counts as not set, as in git and curl.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// A variable's value as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        self.path(name)
            .map(|value| {
                value.into_string().map_err(|_| Error::new(format!("the variable {name} is not valid UTF-8")))
            })
            .transpose()
    }
}

/// The flags of the helper line, as they were written.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config FILE`
    pub config: Option<OsString>,
    /// All others, by their names.
    values: Vec<(&'static Setting, String)>,
}

impl Flags {
    /// Whether a flag was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(setting, _)| setting.flag.trim_start_matches('-') == name)
    }

    /// The last value of a flag.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&str> {
        let given = self.values.iter().rfind(|(setting, _)| setting.flag.trim_start_matches('-') == name);
        given.map(|(_, value)| value.as_str())
    }

    /// The configuration file that is named, by the flag or by the variable.
    #[must_use]
    pub fn config_file(&self, variables: &Variables<'_>) -> Option<PathBuf> {
        self.config.clone().or_else(|| variables.path("GHAPP_CONFIG")).map(PathBuf::from)
    }

    /// Takes a flag, if there is one of this name.
    ///
    /// # Errors
    /// Gives the value back if there is no such flag.
    pub fn set(&mut self, name: &str, value: OsString) -> std::result::Result<(), OsString> {
        if name == "config" {
            self.config = Some(value);
            return Ok(());
        }
        match SETTINGS.iter().find(|setting| setting.flag.strip_prefix("--") == Some(name)) {
            Some(setting) => {
                let value = value.into_string()?;
                self.values.push((setting, value));
                Ok(())
            }
            None => Err(value),
        }
    }
}

/// A setting that both a variable and a flag can give.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// What stands for the value in a description of the flag.
    pub value: &'static str,
    /// What it is for.
    pub help: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    AppId,
    KeyFile,
    Host,
    Owners,
    Repositories,
    ApiUrl,
    InstallationId,
    Scope,
    Permissions,
    OnFailure,
    Cache,
    MinFresh,
    Deadline,
}

const fn setting(
    flag: &'static str,
    variable: &'static str,
    value: &'static str,
    help: &'static str,
    kind: Kind,
) -> Setting {
    Setting { flag, variable, value, help, kind }
}

/// All of them.
#[rustfmt::skip]
pub static SETTINGS: &[Setting] = &[
    setting("--app-id", "GHAPP_APP_ID", "ID", "client ID or App ID", Kind::AppId),
    setting("--private-key", "GHAPP_PRIVATE_KEY_FILE", "FILE", "the App's private key; keyring:NAME if setup moved it there", Kind::KeyFile),
    setting("--host", "GHAPP_HOST", "HOST", "the host that the App belongs to; default: github.com", Kind::Host),
    setting("--owner", "GHAPP_OWNERS", "OWNER", "answer for this owner only; may be repeated", Kind::Owners),
    setting("--repository", "GHAPP_REPOSITORIES", "OWNER/REPO", "answer for this repository only; may be repeated", Kind::Repositories),
    setting("--api-url", "GHAPP_API_URL", "URL", "where the REST API is; default: the host's own", Kind::ApiUrl),
    setting("--installation-id", "GHAPP_INSTALLATION_ID", "N", "do not look the installation up", Kind::InstallationId),
    setting("--scope", "GHAPP_SCOPE", "SCOPE", "what a token is for: installation (default) or repository", Kind::Scope),
    setting("--permissions", "GHAPP_PERMISSIONS", "LIST", "what a token may do, like contents=read,issues=write; default: all that the installation may", Kind::Permissions),
    setting("--on-failure", "GHAPP_ON_FAILURE", "WHAT", "quit (default): git asks nobody else when no token can be had; or continue", Kind::OnFailure),
    setting("--cache", "GHAPP_CACHE", "STORE", "where tokens are kept: auto (default), keyring, secret-service, file, none", Kind::Cache),
    setting("--min-fresh", "GHAPP_MIN_FRESH", "SECONDS", "use a cached token while it is valid for so long; default: 300", Kind::MinFresh),
    setting("--deadline", "GHAPP_DEADLINE", "SECONDS", "how long GitHub may take in all; default: 30", Kind::Deadline),
];

/// A setting that was given: what, the value as it was written, and where.
type Given = (Kind, String, Origin);

/// The variable that holds the key itself. There is no flag for it: command lines are public.
pub const KEY_VARIABLE: &str = "GHAPP_PRIVATE_KEY";

/// Applies environment and flags on top of the files' configuration.
///
/// With an App id they make a rule of their own, for this call, that comes before all others of its host.
/// Without one they change the files' only App.
pub(super) fn apply(
    config: &mut Config,
    flags: &Flags,
    variables: &Variables<'_>,
    folders: &Folders,
) -> Result<()> {
    let mut given: Vec<Given> = Vec::new();
    for setting in SETTINGS {
        let flag: Vec<_> =
            flags.values.iter().filter(|(of, _)| *of == setting).map(|(_, value)| value.as_str()).collect();
        if !flag.is_empty() {
            let joined = if matches!(setting.kind, Kind::Owners | Kind::Repositories | Kind::Permissions) {
                flag.join(",")
            } else {
                flag.last().copied().unwrap_or_default().to_owned()
            };
            given.push((setting.kind, joined, Origin::Flag(setting.flag)));
        } else if let Some(value) = variables.text(setting.variable)? {
            given.push((setting.kind, value, Origin::Variable(setting.variable)));
        }
    }
    let key = key(&mut given, variables, folders)?;
    for (kind, value, origin) in &given {
        match kind {
            Kind::Cache => config.store = StoreKind::parse(value.trim(), origin)?,
            Kind::MinFresh => config.min_fresh = check::min_fresh(number(value, origin)?, origin)?,
            Kind::Deadline => config.deadline = check::deadline(number(value, origin)?, origin)?,
            _ => {}
        }
    }
    given.retain(|(kind, ..)| !matches!(kind, Kind::Cache | Kind::MinFresh | Kind::Deadline));
    if given.is_empty() && key.is_none() {
        return Ok(());
    }
    let first = given.first().map_or(Origin::Variable(KEY_VARIABLE), |(_, _, origin)| origin.clone());
    let rule = match given.iter().find(|(kind, ..)| *kind == Kind::AppId) {
        Some((_, value, origin)) => {
            let host = given.iter().find(|(kind, ..)| *kind == Kind::Host);
            let host = host.map(|(_, value, origin)| check::host(value, origin)).transpose()?;
            new_rule(config, check::issuer(value, origin)?, origin, key, host.as_ref())?
        }
        None => {
            let rule = only_rule(config, &first)?;
            if let Some(key) = key {
                rule.key = key;
            }
            rule
        }
    };
    change(rule, given)
}

/// Where the key is, if environment or flags say so.
fn key(given: &mut Vec<Given>, variables: &Variables<'_>, folders: &Folders) -> Result<Option<KeySource>> {
    let file =
        given.iter().position(|(kind, ..)| *kind == Kind::KeyFile).map(|index| given.swap_remove(index));
    match (file, variables.text(KEY_VARIABLE)?) {
        // A file named on the helper line is closer than a key in the environment; one named in the
        // environment beside it is a contradiction.
        (Some((_, _, Origin::Variable(name))), Some(_)) => Err(Error::new(format!(
            "both {KEY_VARIABLE} and {name} are set"
        ))
        .hint(format!("unset one of them; {KEY_VARIABLE} holds the key itself, {name} names its file"))),
        (Some((_, path, origin)), _) => file::key_file(path.trim(), origin, None, folders).map(Some),
        (None, Some(pem)) => {
            Ok(Some(KeySource::Text { pem: Secret::new(pem), origin: Origin::Variable(KEY_VARIABLE) }))
        }
        (None, None) => Ok(None),
    }
}

/// A rule for an App that this call names. What it leaves out is taken from a rule of the files for the same App.
fn new_rule<'c>(
    config: &'c mut Config,
    issuer: String,
    origin: &Origin,
    key: Option<KeySource>,
    host: Option<&Host>,
) -> Result<&'c mut Rule> {
    // An id means something on one host; of several the one that is named counts, or the usual one.
    let on = |host: &Host| config.rules.iter().rfind(|rule| rule.issuer == issuer && rule.host == *host);
    let known = match host {
        Some(host) => on(host),
        None => on(&Host::github()).or_else(|| config.rules.iter().rfind(|rule| rule.issuer == issuer)),
    };
    let key = match (key, known.map(|rule| &rule.key)) {
        (Some(key), _) => key,
        (None, Some(KeySource::File { path, origin })) => {
            KeySource::File { path: path.clone(), origin: origin.clone() }
        }
        (None, Some(KeySource::Keyring { name, origin })) => {
            KeySource::Keyring { name: name.clone(), origin: origin.clone() }
        }
        _ => {
            return Err(Error::new(format!("App {issuer} has no private key ({origin})")).hint(
                "set GHAPP_PRIVATE_KEY_FILE to the key's file, or GHAPP_PRIVATE_KEY to the key itself",
            ));
        }
    };
    let host = known.map_or_else(Host::github, |rule| rule.host.clone());
    let api = known.map_or_else(|| host.api(), |rule| rule.api.clone());
    let rule = Rule { issuer, key, api, host, origin: origin.clone(), ..Rule::unknown() };
    config.rules.push(rule);
    let last = config.rules.len() - 1;
    Ok(&mut config.rules[last])
}

fn only_rule<'c>(config: &'c mut Config, given: &Origin) -> Result<&'c mut Rule> {
    match config.rules.as_mut_slice() {
        [rule] => Ok(rule),
        [] => {
            Err(Error::new(format!("the {given} is set, but no App id")).hint("set GHAPP_APP_ID or --app-id"))
        }
        rules => Err(Error::new(format!(
            "the {given} is set, but it is not clear for which of the {} configured Apps",
            rules.len()
        ))
        .hint("say which with GHAPP_APP_ID or --app-id")),
    }
}

fn change(rule: &mut Rule, given: Vec<Given>) -> Result<()> {
    let mut api_url = None;
    let mut host_changed = false;
    for (kind, value, origin) in given {
        let text = value.trim();
        let list = || text.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
        match kind {
            Kind::AppId | Kind::KeyFile | Kind::Cache | Kind::MinFresh | Kind::Deadline => {}
            Kind::Host => {
                let host = check::host(text, &origin)?;
                host_changed = host != rule.host;
                rule.host = host;
            }
            Kind::Owners => {
                rule.owners = list().map(|part| check::owner(part, &origin)).collect::<Result<_>>()?
            }
            Kind::Repositories => {
                rule.repositories =
                    list().map(|part| check::repository(part, &origin)).collect::<Result<_>>()?;
            }
            Kind::ApiUrl => api_url = Some(file::api(text, &origin)?),
            Kind::InstallationId => rule.installation = Some(InstallationId(number(text, &origin)?)),
            Kind::Scope => rule.per_repository = check::per_repository(text, &origin)?,
            Kind::Permissions => {
                let pairs = list().map(|part| part.split_once(['=', ':']).unwrap_or((part, "")));
                rule.permissions = check::permissions(pairs, &origin)?;
            }
            Kind::OnFailure => rule.quit_on_failure = check::quit_on_failure(text, &origin)?,
        }
    }
    match api_url {
        Some(api) => rule.api = api,
        None if host_changed => rule.api = rule.host.api(),
        None => {}
    }
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str, origin: &Origin) -> Result<T> {
    text.trim().parse().map_err(|_| Error::new(format!("{text:?} is not a number ({origin})")))
}
