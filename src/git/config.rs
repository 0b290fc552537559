//! git's configuration, as far as it decides which helper is asked and what it is told.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::git;
use crate::terminal::path_in_shell;
use crate::world::World;

/// A helper that git would ask, as it is configured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Helper {
    /// The value of `credential.helper`.
    pub(crate) value: String,
    /// Where that stands.
    pub(crate) origin: String,
}

impl Helper {
    /// The helper and where it stands. A piece of shell may have a password in it, so it is not shown.
    pub(crate) fn shown(&self) -> String {
        let value = if self.value.starts_with('!') && is_script(&self.value) {
            "a shell command"
        } else {
            &self.value
        };
        format!("{value} ({})", self.origin)
    }

    /// Its name as people know it: `gh`, `store`. A piece of shell has none.
    pub(crate) fn name(&self) -> String {
        match program(&self.value) {
            Some(name) if !is_script(&self.value) => name,
            _ => "a shell command".to_owned(),
        }
    }

    /// Whether it is this program.
    pub(crate) fn is_ours(&self) -> bool {
        is_ours(&self.value)
    }

    /// Whether it keeps what other helpers answer, because git passes that on to all helpers.
    pub(crate) fn keeps_what_others_answer(&self) -> bool {
        const KEEPERS: &[&str] = &[
            "store",
            "cache",
            "osxkeychain",
            "libsecret",
            "gnome-keyring",
            "wincred",
            "manager",
            "manager-core",
        ];
        program(&self.value).is_some_and(|name| KEEPERS.contains(&name.as_str()))
    }
}

/// The program that a helper's value calls, without what stands before its name.
fn program(value: &str) -> Option<String> {
    let word = value.trim_start_matches('!').split_whitespace().next()?;
    let name = Path::new(word).file_stem()?.to_str()?;
    Some(name.trim_start_matches("git-credential-").to_owned())
}

/// Whether a helper's value has more in it than words: it may be a piece of shell with a password in it.
pub(crate) fn is_script(value: &str) -> bool {
    value.contains(['=', ';', '{', '$', '`', '|', '&'])
}

/// Whether a helper's value calls this program.
pub(crate) fn is_ours(value: &str) -> bool {
    value.split_whitespace().any(|word| {
        let word = word.trim_matches(['!', '\'', '"']);
        word == "ghapp"
            || word.ends_with("git-credential-ghapp")
            || word.ends_with("git-credential-ghapp.exe")
    })
}

/// Where git finds this program under its short name: in git's own folder, or in `PATH`.
pub(crate) fn path_of_short_name() -> Option<PathBuf> {
    let output = git::call(["-c", "alias.ghapp-where=!command -v git-credential-ghapp", "ghapp-where"]);
    output.ok()?.line().map(PathBuf::from)
}

/// The folder of git's own programs, where it looks for helpers first. (git(1), `--exec-path`)
pub(crate) fn exec_path() -> Option<PathBuf> {
    git::call(["--exec-path"]).ok()?.line().map(PathBuf::from)
}

/// The helpers that git asks for a URL, in its order. An empty value makes git forget those before it.
pub(crate) fn helpers(url: &str) -> Result<Vec<Helper>> {
    let mut helpers: Vec<Helper> = Vec::new();
    for (value, origin) in all_for_url("credential", "helper", url)? {
        if value.is_empty() {
            helpers.clear();
        } else {
            helpers.push(Helper { value, origin });
        }
    }
    Ok(helpers)
}

/// The headers that git adds to its requests for a URL. An empty value makes git forget those before it, and of less specific
/// URLs those after it too. (git-config(1), `http.extraHeader` and `http.<url>.*`)
pub(crate) fn extra_headers(url: &str) -> Result<Vec<(String, String)>> {
    if for_url("http.extraHeader", url).as_deref() == Some("") {
        return Ok(Vec::new());
    }
    let mut headers = all_for_url("http", "extraheader", url)?;
    if let Some(last) = headers.iter().rposition(|(header, _)| header.is_empty()) {
        headers.drain(..=last);
    }
    Ok(headers)
}

/// Whether git asks this program outside of any repository too, for some URL at least.
pub(crate) fn is_helper_outside_repositories() -> Result<bool> {
    let output = git::call(["config", "--get-regexp", r"^credential\.(.*\.)?helper$"])?;
    let values = output.stdout.lines().filter_map(|line| line.split_once(' '));
    Ok(values.into_iter().any(|(_, value)| is_ours(value)))
}

/// The helper settings outside of any repository that call this program: the file, the setting, and its value.
pub(crate) fn calls_of_this_program() -> Result<Vec<(String, String, String)>> {
    let output =
        git::call(["config", "--null", "--show-origin", "--get-regexp", r"^credential\.(.*\.)?helper$"])?;
    let mut calls = Vec::new();
    let mut fields = output.stdout.split('\0');
    while let (Some(origin), Some(setting)) = (fields.next(), fields.next()) {
        let (key, value) = setting.split_once('\n').unwrap_or((setting, ""));
        if let Some(file) = origin.strip_prefix("file:").filter(|_| is_ours(value)) {
            calls.push((file.to_owned(), key.to_owned(), value.to_owned()));
        }
    }
    Ok(calls)
}

/// All values of a setting that git uses for a URL, in git's order, with where they stand.
fn all_for_url(section: &str, name: &str, url: &str) -> Result<Vec<(String, String)>> {
    let pattern = format!(r"^{section}\.(.*\.)?{name}$");
    let output = git::call_here(["config", "--null", "--show-origin", "--get-regexp", pattern.as_str()])?;
    let mut values = Vec::new();
    let mut fields = output.stdout.split('\0');
    while let (Some(origin), Some(setting)) = (fields.next(), fields.next()) {
        let (key, value) = setting.split_once('\n').unwrap_or((setting, ""));
        let inner = key.strip_prefix(section).and_then(|rest| rest.strip_suffix(name)).unwrap_or_default();
        let urls = inner.trim_matches('.');
        if urls.is_empty() || matches_url(urls, url)? {
            values.push((value.to_owned(), origin.trim_start_matches("file:").to_owned()));
        }
    }
    Ok(values)
}

/// Whether a section for this pattern of URLs is for this URL, by git's own rules.
fn matches_url(pattern: &str, url: &str) -> Result<bool> {
    let key = format!("probe.{pattern}.match");
    let output = git::call_with(&[(key.as_str(), "true")], ["config", "--get-urlmatch", "probe.match", url])?;
    Ok(output.code == Some(0))
}

/// The value of a setting that git uses for a URL.
pub(crate) fn for_url(setting: &str, url: &str) -> Option<String> {
    git::call_here(["config", "--get-urlmatch", setting, url]).ok()?.line()
}

/// Whether a setting is true for a URL.
pub(crate) fn is_true_for_url(setting: &str, url: &str) -> bool {
    let output = git::call_here(["config", "--type=bool", "--get-urlmatch", setting, url]);
    output.ok().and_then(git::GitOutput::line).as_deref() == Some("true")
}

/// Which of git's configuration files is written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// The user's.
    Global,
    /// The machine's.
    System,
    /// That of one repository.
    File(PathBuf),
}

impl Scope {
    /// The configuration of the repository that this process is in.
    pub(crate) fn here() -> Result<Self> {
        let folder = git::call_here(["rev-parse", "--path-format=absolute", "--git-common-dir"])?.line();
        let folder = folder.ok_or_else(|| {
            Error::new("this is not in a git repository, which --local is about").hint("use --global")
        })?;
        Ok(Self::File(PathBuf::from(folder).join("config")))
    }

    fn arguments(&self) -> Vec<OsString> {
        match self {
            Self::Global => vec!["config".into(), "--global".into()],
            Self::System => vec!["config".into(), "--system".into()],
            Self::File(path) => vec!["config".into(), "--file".into(), path.into()],
        }
    }

    fn call(&self, arguments: &[&str]) -> Result<git::GitOutput> {
        let mut all = self.arguments();
        all.extend(arguments.iter().map(OsString::from));
        git::call(all)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::System => f.write_str("system"),
            Self::File(_) => f.write_str("local"),
        }
    }
}

/// All values of a setting in one file.
pub(crate) fn values(scope: &Scope, key: &str) -> Result<Vec<String>> {
    let output = scope.call(&["--null", "--get-all", key])?;
    match output.code {
        Some(0) => Ok(output.stdout.split_terminator('\0').map(str::to_owned).collect()),
        // Nothing there, or no such file.
        Some(1) => Ok(Vec::new()),
        _ => Err(refused(scope, key, &output)),
    }
}

/// The files in which a setting stands that counts outside of any repository.
pub(crate) fn files_with(key: &str) -> Result<Vec<String>> {
    let output = git::call(["config", "--null", "--show-origin", "--get-all", key])?;
    let origins = output.stdout.split('\0').step_by(2);
    Ok(origins.filter_map(|origin| origin.strip_prefix("file:")).map(str::to_owned).collect())
}

/// The variable that names the file of a scope, if one can.
fn variable(scope: &Scope) -> Option<&'static str> {
    match scope {
        Scope::Global => Some("GIT_CONFIG_GLOBAL"),
        Scope::System => Some("GIT_CONFIG_SYSTEM"),
        Scope::File(_) => None,
    }
}

/// The file of a scope, if a variable names it.
pub(crate) fn named_file(scope: &Scope, world: &World<'_>) -> Option<PathBuf> {
    variable(scope).and_then(|name| world.variables.path(name)).map(PathBuf::from)
}

/// An error if a variable names another file of a scope than the one that was written to, or one where none did.
pub(crate) fn check_same_file(scope: &Scope, written: Option<&Path>, world: &World<'_>) -> Result<()> {
    let now = named_file(scope, world);
    let Some(variable) = variable(scope).filter(|_| now.as_deref() != written) else { return Ok(()) };
    Err(match written {
        Some(file) => {
            Error::new(format!("setup wrote to {}, which {variable} no longer names", file.display()))
                .hint(format!("run this with {variable}={}", path_in_shell(file)))
        }
        None => Error::new(format!("setup did not write to the file that {variable} names now"))
            .hint(format!("unset {variable}, and run this again")),
    })
}

/// An error if something else than a file stands where git would write: it would put a file in its place, even of `/dev/null`.
pub(crate) fn check_place(scope: &Scope, world: &World<'_>) -> Result<()> {
    let in_home = |name: &str| Some(world.folders.home.as_ref()?.join(name));
    let xdg = world.variables.path("XDG_CONFIG_HOME").map(|folder| PathBuf::from(folder).join("git/config"));
    // git-config(1), "FILES"
    let places = match (scope, named_file(scope, world)) {
        (_, Some(named)) => vec![Some(named)],
        (Scope::Global, None) => vec![in_home(".gitconfig"), xdg.or_else(|| in_home(".config/git/config"))],
        (Scope::System, None) => vec![Some("/etc/gitconfig".into())],
        (Scope::File(path), None) => vec![Some(path.clone())],
    };
    let found = places.into_iter().flatten().find_map(|path| Some((path.metadata().ok()?, path)));
    match found {
        Some((metadata, path)) if !metadata.is_file() => {
            let shown = path.display();
            Err(Error::new(format!(
                "git's {scope} configuration is {shown}, which is not a file, and git would put one in its place"
            ))
            .hint(match scope {
                Scope::Global => "let GIT_CONFIG_GLOBAL or ~/.gitconfig be a file",
                Scope::System => "let GIT_CONFIG_SYSTEM or /etc/gitconfig be a file",
                Scope::File(_) => "make it a file",
            }))
        }
        _ => Ok(()),
    }
}

/// Whether there is a file of this scope, with settings or without.
pub(crate) fn is_there(scope: &Scope) -> Result<bool> {
    Ok(scope.call(&["--list", "--name-only"])?.code == Some(0))
}

/// The file of this scope that a setting stands in.
pub(crate) fn file_of(scope: &Scope, key: &str) -> Result<Option<PathBuf>> {
    let output = scope.call(&["--null", "--show-origin", "--get-all", key])?;
    Ok(output.stdout.split('\0').next().and_then(|origin| origin.strip_prefix("file:")).map(PathBuf::from))
}

/// Gives a setting these values, and touches nothing else.
pub(crate) fn set_values(scope: &Scope, key: &str, new: &[String]) -> Result<()> {
    let present = values(scope, key)?;
    let call = |arguments: &[&str]| {
        let output = scope.call(arguments)?;
        if output.code == Some(0) { Ok(()) } else { Err(refused(scope, key, &output)) }
    };
    if let Some(missing) = new.strip_prefix(present.as_slice()) {
        return missing.iter().try_for_each(|value| call(&["--add", key, value]));
    }
    if let Some(superfluous) = present.strip_prefix(new)
        && superfluous.iter().all(|value| present.iter().filter(|other| *other == value).count() == 1)
    {
        return superfluous.iter().try_for_each(|value| call(&["--fixed-value", "--unset", key, value]));
    }
    let Some((first, rest)) = new.split_first() else { return call(&["--unset-all", key]) };
    // In their place: of helpers for several addresses, git asks those first that stand first.
    call(&["--replace-all", key, first])?;
    rest.iter().try_for_each(|value| call(&["--add", key, value]))
}

fn refused(scope: &Scope, key: &str, output: &git::GitOutput) -> Error {
    let why = output.stderr.lines().next().unwrap_or("it does not say why");
    let error = Error::new(format!("git cannot change {key} in its {scope} configuration: {why}"));
    match scope {
        Scope::System => error.hint("run this as an administrator, or use --global"),
        Scope::Global | Scope::File(_) => {
            error.hint("look at the file, and at its permissions and its folder's")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_recognised_however_it_is_called() {
        for ours in [
            "ghapp",
            "ghapp --app-id 1",
            "/opt/bin/git-credential-ghapp",
            "!'/a b/git-credential-ghapp'",
            "!git-credential-ghapp --cache none",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in ["store", "!gh auth git-credential", "ghapp2", "cache --timeout 1", ""] {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn helpers_that_keep_tokens_are_recognised() {
        let keeps = |value: &str| {
            Helper { value: value.to_owned(), origin: String::new() }.keeps_what_others_answer()
        };
        for keeper in
            ["store", "cache --timeout=3600", "/usr/lib/git-core/git-credential-libsecret", "manager"]
        {
            assert!(keeps(keeper), "{keeper}");
        }
        for other in ["ghapp", "!gh auth git-credential", "oauth"] {
            assert!(!keeps(other), "{other}");
        }
    }
}
