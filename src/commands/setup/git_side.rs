//! What git must know: settings, and the changes that bring them about.

use std::fs::canonicalize;
use std::path::{Path, PathBuf};

use super::Options;
use super::change::{Change, GitFile};
use crate::config::Rule;
use crate::error::{Error, Result};
use crate::git;
use crate::git::config::{self, Scope, is_ours};
use crate::terminal::{in_shell, path_in_shell};
use crate::world::World;

/// A setting of git's that is to be there.
pub(super) struct Setting {
    key: String,
    values: Vec<String>,
    kind: Kind,
}

/// How a setting goes along with the values that it has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// This program is a helper: after the others, or after an empty value that makes git forget them.
    Helper { others_first: bool },
    /// There is one value.
    Single,
    /// Each value is there, beside others.
    Several,
}

/// Name and address for commits of the App, and the file for them where they are not for everything.
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) file: PathBuf,
}

/// What git must know for a rule, by the paths that it is for (none: all); `installed` are the paths of the owners where
/// the App is installed.
pub(super) fn settings(
    options: &Options,
    rule: &Rule,
    paths: &[String],
    installed: &[String],
    helper: &str,
) -> Result<Vec<Setting>> {
    let host = &rule.host;
    let url = |path: &String| format!("https://{host}/{path}");
    let urls =
        if paths.is_empty() { vec![format!("https://{host}")] } else { paths.iter().map(url).collect() };
    let mut settings = Vec::new();
    for url in &urls {
        let kind = Kind::Helper { others_first: options.keep_other_helpers };
        settings.push(Setting {
            key: format!("credential.{url}.helper"),
            values: vec![helper.to_owned()],
            kind,
        });
        settings.push(single(format!("credential.{url}.useHttpPath"), "true"));
    }
    if !options.rewrite_ssh && !options.proactive {
        return Ok(settings);
    }
    // For the whole host only where that was said: git would fail on what nobody answers for.
    let whole_host = paths.is_empty() && (options.all_owners || rule.public_repositories.is_some());
    let paths = if paths.is_empty() { installed } else { paths };
    if paths.is_empty() && !whole_host {
        return Err(Error::new(
            "--rewrite-ssh and --proactive are for the owners where the App is installed, and there are none",
        )
        .hint("name the owners: --owner OWNER, or use --all-owners"));
    }
    if options.rewrite_ssh {
        let several =
            |key: String, values: [String; 2]| Setting { key, values: values.into(), kind: Kind::Several };
        if whole_host {
            let ssh = [format!("git@{host}:"), format!("ssh://git@{host}/")];
            settings.push(several(format!("url.https://{host}/.insteadOf"), ssh));
        }
        // git replaces what a URL begins with, so an owner ends with a slash, and a repository with its suffix.
        let ends = |path: &&String| !path.contains('/') || path.ends_with(".git");
        for path in paths.iter().filter(ends).filter(|_| !whole_host) {
            let path = if path.contains('/') { path.clone() } else { format!("{path}/") };
            let ssh = [format!("git@{host}:{path}"), format!("ssh://git@{host}/{path}")];
            settings.push(several(format!("url.https://{host}/{path}.insteadOf"), ssh));
        }
    }
    if options.proactive {
        let urls = if whole_host { urls } else { paths.iter().map(url).collect() };
        settings.extend(urls.iter().map(|url| single(format!("http.{url}.proactiveAuth"), "basic")));
    }
    Ok(settings)
}

/// Commits are the App's: everywhere, or where a remote is one of these.
pub(super) fn identity(
    identity: &Identity,
    scope: &Scope,
    rule: &Rule,
    paths: &[String],
) -> Result<(Vec<Setting>, Option<Change>)> {
    let Identity { name, address, file } = identity;
    if paths.is_empty() || matches!(scope, Scope::File(_)) {
        let settings = vec![single("user.name".to_owned(), name), single("user.email".to_owned(), address)];
        return Ok((settings, None));
    }
    if !git::is_at_least(2, 36) {
        let what = "git before 2.36 cannot use an identity for some owners only";
        return Err(
            Error::new(what).hint("set it in each clone: git-credential-ghapp setup --local --identity")
        );
    }
    let pattern = |path: &String| match path.contains('/') {
        true => format!("https://{}/{path}", rule.host),
        false => format!("https://{}/{path}/**", rule.host),
    };
    // git-config(1), "Conditional includes"
    let settings = paths.iter().map(|path| Setting {
        key: format!("includeIf.hasconfig:remote.*.url:{}.path", pattern(path)),
        values: vec![file.display().to_string()],
        kind: Kind::Several,
    });
    let text = format!("[user]\n\tname = {name}\n\temail = {address}\n");
    let before = super::files::read_if_there(file)?;
    Ok((settings.collect(), Some(Change::file(file.clone(), before, text))))
}

/// Whether setup writes a setting of this name, and in place of other values where it `replaces` some.
pub(super) fn is_written(key: &str, replaces: bool) -> bool {
    // Where a setting for some addresses begins and ends, and whether it has one value, which is replaced.
    const FOR_ADDRESSES: [(&str, &str, bool); 5] = [
        ("credential.https://", ".helper", false),
        ("credential.https://", ".useHttpPath", true),
        ("url.https://", ".insteadOf", false),
        ("http.https://", ".proactiveAuth", true),
        ("includeIf.hasconfig:remote.*.url:https://", ".path", false),
    ];
    if key.chars().any(char::is_control) {
        return false;
    }
    let is_for_addresses = |(begin, end, is_single): (&str, &str, bool)| {
        let address = key.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
        address.is_some_and(|address| !address.is_empty()) && (is_single || !replaces)
    };
    matches!(key, "user.name" | "user.email") || FOR_ADDRESSES.into_iter().any(is_for_addresses)
}

fn single(key: String, value: &str) -> Setting {
    Setting { key, values: vec![value.to_owned()], kind: Kind::Single }
}

impl Setting {
    /// What brings it about in a configuration file.
    pub(super) fn change(&self, file: &GitFile) -> Result<Change> {
        let Self { key, values, kind } = self;
        let present = config::values(&file.scope, key)?;
        Ok(match kind {
            Kind::Single => Change::replace(file, key.clone(), present, &values[0]),
            Kind::Several => {
                let missing = values.iter().filter(|value| !present.contains(value)).cloned().collect();
                Change::add(file, key.clone(), &present, missing)
            }
            Kind::Helper { others_first } => {
                let missing = missing_helpers(&present, &values[0], *others_first);
                Change::add(file, key.clone(), &present, missing)
            }
        })
    }

    /// The same for one call of git, with another value for the helper. Only what matters to a fetch.
    pub(super) fn for_one_call(&self, helper: &str) -> Vec<(String, String)> {
        let Self { key, values, kind } = self;
        let of = |values: &[&str]| values.iter().map(|value| (key.clone(), (*value).to_owned())).collect();
        match kind {
            Kind::Helper { others_first: true } => of(&[helper]),
            Kind::Helper { others_first: false } => of(&["", helper]),
            Kind::Single if !key.starts_with("user.") => of(&[&values[0]]),
            Kind::Single | Kind::Several => Vec::new(),
        }
    }
}

/// What is to be added so that git asks this program, and no others before it unless they are to be first.
fn missing_helpers(present: &[String], helper: &str, others_first: bool) -> Vec<String> {
    let last = present.iter().rposition(String::is_empty).map_or(0, |empty| empty + 1);
    let helpers = &present[last..];
    // The short name is not enough for services, unless it is what would be written.
    let is_this = |value: &String| {
        is_ours(value) && (value != SHORT || helper == SHORT) && named_in(value) == named_in(helper)
    };
    let cleared = last > 0;
    match others_first {
        true if helpers.iter().any(is_this) => Vec::new(),
        true => vec![helper.to_owned()],
        false if cleared && helpers.first().is_some_and(is_this) => Vec::new(),
        false => vec![String::new(), helper.to_owned()],
    }
}

/// The configuration file that a helper's value names, as [`helper_value`] writes it.
fn named_in(value: &str) -> Option<&str> {
    value.split_once(NAMED).map(|(_, file)| file)
}

/// What stands before it.
const NAMED: &str = " --config ";

/// What git makes `git credential-ghapp` of.
const SHORT: &str = "ghapp";
const PROGRAM: &str = "git-credential-ghapp";

/// How git calls this program: by its path, as cron and services do not have a person's `PATH`; by its short name where every
/// git finds it. A configuration file that is not the usual one is named.
pub(super) fn helper_value(named: Option<&Path>, world: &World<'_>) -> Result<String> {
    let here = Here::find(world)?;
    let usual = [git::config::exec_path(), Some(PathBuf::from("/usr/bin")), Some(PathBuf::from("/bin"))];
    let usual: Vec<PathBuf> =
        usual.into_iter().flatten().filter_map(|folder| canonicalize(folder).ok()).collect();
    let folder = here.path.parent().and_then(|folder| canonicalize(folder).ok());
    let is_usual = folder.is_some_and(|folder| usual.contains(&folder));
    let shell = |path: &Path| in_shell(&path.display().to_string().replace('\\', "/"));
    let program = if is_usual { SHORT.to_owned() } else { shell(&here.path) };
    let flags = named.map_or_else(String::new, |file| format!("{NAMED}{}", shell(file)));
    // git takes a path as one, and hands everything else that it does not know to a shell.
    let bang = if program.starts_with('\'') { "!" } else { "" };
    Ok(format!("{bang}{program}{flags}"))
}

/// How git calls this program with a rule that is not written yet: in a shell, by flags.
pub(super) fn helper_with(flags: &[(&'static str, String)], world: &World<'_>) -> Result<String> {
    let mut words = vec![Here::find(world)?.path.display().to_string().replace('\\', "/")];
    for (flag, value) in flags {
        words.extend([(*flag).to_owned(), value.clone()]);
    }
    let words: Vec<String> = words.iter().map(|word| in_shell(word)).collect();
    Ok(format!("!{}", words.join(" ")))
}

/// How a person calls this program.
pub(in crate::commands) fn typed_program(world: &World<'_>) -> String {
    match Here::find(world) {
        Ok(here) if !here.is_first_in_path => path_in_shell(&here.path),
        _ => PROGRAM.to_owned(),
    }
}

/// Where this program is.
pub(in crate::commands) struct Here {
    /// Where `PATH` has it, if that leads here: a link there stays when a new version is installed.
    pub(in crate::commands) path: PathBuf,
    /// Whether its name alone leads here.
    is_first_in_path: bool,
}

impl Here {
    pub(in crate::commands) fn find(world: &World<'_>) -> Result<Self> {
        let unknown = |_| Error::new("this program does not know where it is");
        let here = std::env::current_exe().and_then(canonicalize).map_err(unknown)?;
        let name = format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX);
        let folders = world.variables.search_path().into_iter();
        let named: Vec<PathBuf> =
            folders.map(|folder| folder.join(&name)).filter(|file| file.is_file()).collect();
        let leads_here = |file: &&PathBuf| canonicalize(file).is_ok_and(|file| file == here);
        let found = named.iter().find(leads_here);
        let is_first_in_path = named.first().is_some_and(|first| leads_here(&first));
        Ok(Self { path: found.cloned().unwrap_or(here), is_first_in_path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_added_only_where_git_would_not_ask_this_one_first() {
        let list = |text: &str| text.split_terminator(',').map(str::to_owned).collect::<Vec<_>>();
        for (present, helper, others_first, missing) in [
            ("", "/opt/git-credential-ghapp", false, ",/opt/git-credential-ghapp"),
            (",/opt/git-credential-ghapp", "/opt/git-credential-ghapp", false, ""),
            (",ghapp --app-id 1", "/opt/git-credential-ghapp", false, ""),
            (",ghapp", "ghapp", false, ""),
            (",ghapp --config /a", "ghapp --config /a", false, ""),
            (",ghapp --config /a", "ghapp --config /b", false, ",ghapp --config /b"),
            (",ghapp --config /a", "ghapp", false, ",ghapp"),
            (",ghapp", "/opt/git-credential-ghapp", false, ",/opt/git-credential-ghapp"),
            ("ghapp", "ghapp", false, ",ghapp"),
            (",gh,ghapp", "ghapp", false, ",ghapp"),
            ("gh,ghapp", "ghapp", true, ""),
            ("gh", "ghapp", true, "ghapp"),
        ] {
            assert_eq!(missing_helpers(&list(present), helper, others_first), list(missing), "{present}");
        }
    }
}
