//! `shim`: a `gh` that stands before the real one in PATH and runs it as the App, each time with a token that is fresh and
//! for what the call is about.

mod gh;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::output::{Output, each_once};
use super::setup::Here;
use super::{by_socket, exec, place, token};
use crate::config::{Config, Flags, Rule, select};
use crate::error::{Error, Result, cause};
use crate::files;
use crate::names::Host;
use crate::socket;
use crate::source::Narrowing;
use crate::terminal::in_shell;
use crate::token::Need;
use crate::world::World;

/// What is to be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "A call for a repository that no App is configured for runs gh as it is.")]
pub(crate) struct Options {
    /// The tool
    tool: Tool,
    /// The folder for it, which has to stand before the real one's in PATH [default: ~/.local/bin]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Remove it again: from DIR, or from wherever it is in PATH
    #[arg(long)]
    remove: bool,
    /// Run the real one: this is what the shim itself calls
    #[arg(long, hide = true, conflicts_with_all = ["dir", "remove"])]
    run: bool,
    /// Its arguments
    #[arg(last = true, hide = true, requires = "run")]
    arguments: Vec<OsString>,
}

/// A tool that takes a token from its environment.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Tool {
    /// GitHub's command line, <https://cli.github.com>
    Gh,
}

/// The tool's name.
const GH: &str = "gh";
/// What the file of the shim is called.
const FILE: &str = if cfg!(windows) { "gh.cmd" } else { "gh" };
/// What the real one can be called.
const REAL: &[&str] = if cfg!(windows) { &["gh.exe", "gh.cmd", "gh.bat"] } else { &["gh"] };
/// What marks a file as a shim, in its second line.
const MARK: &str = "Written by git-credential-ghapp shim.";
/// How many shims have called each other.
const DEPTH: &str = "GHAPP_SHIM_DEPTH";
/// More than extensions of gh that call gh need.
const DEEPEST: u32 = 16;

pub(super) fn shim(
    options: &Options,
    flags: &Flags,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    let Tool::Gh = options.tool;
    if options.run {
        return run(&options.arguments, flags, world);
    }
    if options.remove {
        return remove(options, world, output).map(|()| 0);
    }
    write(options, world, output).map(|()| 0)
}

fn write(options: &Options, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
    let folder = options.dir.clone().or_else(|| default_folder(world)).ok_or_else(|| {
        Error::new("it is not clear where the shim belongs").hint("name a folder of PATH with --dir")
    })?;
    let failed = |path: &Path, why: &std::io::Error| {
        Error::new(format!("cannot write {}: {}", path.display(), cause(why)))
    };
    fs::create_dir_all(&folder).map_err(|e| failed(&folder, &e))?;
    let folder = folder.canonicalize().map_err(|e| failed(&folder, &e))?;
    let path = folder.join(FILE);
    if fs::symlink_metadata(&path).is_ok() && !is_shim(&path) {
        return Err(Error::new(format!("{} is there and is another program", path.display()))
            .hint("name another folder with --dir, one that stands before it in PATH"));
    }
    let how =
        files::Writing { unfinished: &folder, access: files::Access::Program, replaces: true, lasts: false };
    files::write_whole(&path, script(world)?.as_bytes(), how).map_err(|e| failed(&path, &e))?;
    match real(world) {
        Some(real) => output.line(&format!("{} runs {} as the App", path.display(), real.display()))?,
        None => {
            output.line(&format!("{} is written", path.display()))?;
            world.terminal.warning(&no_real_one());
        }
    }
    let first = in_path(world).find(|file| is_executable(file));
    if first.is_none_or(|first| !is_shim(&first)) {
        let what = format!("{} does not stand before the real {GH} in PATH", folder.display());
        let hint = format!("export PATH={}:\"$PATH\"", in_shell(&folder.to_string_lossy()));
        world.terminal.warning(&Error::new(what).hint(hint));
    }
    Ok(())
}

fn remove(options: &Options, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
    let shims = match &options.dir {
        Some(folder) => Vec::from_iter(Some(folder.join(FILE)).filter(|path| is_shim(path))),
        None => found(world),
    };
    if shims.is_empty() {
        return Err(Error::new(format!("no shim for {GH} is there"))
            .hint(format!("git-credential-ghapp shim {GH} --remove --dir DIR, if it is not in PATH")));
    }
    for path in shims {
        fs::remove_file(&path)
            .map_err(|e| Error::new(format!("cannot remove {}: {}", path.display(), cause(&e))))?;
        output.line(&format!("{} is removed", path.display()))?;
    }
    Ok(())
}

/// The shims in PATH, and where they are by default.
pub(super) fn found(world: &World<'_>) -> Vec<PathBuf> {
    let folders = world.variables.search_path().into_iter().chain(default_folder(world));
    let files = folders.map(|folder| folder.join(FILE));
    each_once(files.filter(|path| is_shim(path)))
}

/// Runs the real one, as the App where one is configured for what the call is about.
fn run(arguments: &[OsString], flags: &Flags, world: &World<'_>) -> Result<u8> {
    let depth = world.variables.text(DEPTH)?.and_then(|depth| depth.parse().ok()).unwrap_or(0);
    if depth >= DEEPEST {
        return Err(Error::new(format!("{GH} calls itself again and again"))
            .hint(format!("which -a {GH} shows what stands in PATH under this name")));
    }
    let program = real(world).ok_or_else(no_real_one)?;
    let mut command = Command::new(&program);
    command.args(arguments).env(DEPTH, (depth + 1).to_string());
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if gh::needs_no_token(&words) {
        return Ok(exec::become_it(&mut command, world));
    }
    let variable = |name| Ok::<_, Error>(world.variables.text(name)?.filter(|value| !value.is_empty()));
    let (repository, host) = (variable("GH_REPO")?, variable("GH_HOST")?);
    let mut hosts = gh::hosts(&words);
    let is_opaque = !gh::is_own_command(&words) && !hosts.is_empty();
    repository.iter().for_each(|name| hosts.extend(gh::hosts_in(name, true)));
    hosts.extend(host.map(|host| Host::parse(&host)));
    let socket = socket::of(world);
    let config = if socket.is_some() { Config::default() } else { Config::load(flags, world)? };
    let configured = |host: &Host| match &socket {
        // What is served is known on the other side.
        Some(_) => Some(host.clone()),
        None => {
            let is_at = |rule: &&Rule| rule.host == *host || rule.api.host() == host.to_string();
            config.rules.iter().find(is_at).map(|rule| rule.host.clone())
        }
    };
    let host = match gh::only_host(&hosts, configured) {
        Ok(host) if !is_opaque => host,
        _ => return Ok(exec::become_it(&mut command, world)),
    };
    let name = match (gh::named(&words).or(repository), &host) {
        // A name alone is one on that host.
        (Some(name), Some(host)) if !name.contains(':') && name.matches('/').count() < 2 => {
            Some(format!("{host}/{name}"))
        }
        (name, _) => name,
    };
    match socket {
        Some(socket) => {
            let name = name.as_deref();
            let request = by_socket::TokenRequest {
                name,
                repositories: &[],
                narrow: None,
                min_fresh: 0,
                identity: false,
            };
            let answer = by_socket::ask(&socket, &request, world)?;
            if let Some(by_socket::Answer { given, .. }) = answer
                && host.is_none_or(|host| host == given.host)
            {
                exec::give_token(&mut command, &given.token.secret, &given.host, &[]);
            }
        }
        None => give_as_app(&mut command, name, host, &config, world)?,
    }
    Ok(exec::become_it(&mut command, world))
}

/// Gives a call the token for what it is about, if an App is configured for that. A call that goes to a host gets one of that
/// host's only.
fn give_as_app(
    command: &mut Command,
    name: Option<String>,
    host: Option<Host>,
    config: &Config,
    world: &World<'_>,
) -> Result<()> {
    const USAGE: &str = "exec --for";
    let selected = match name.or_else(|| place::remote_of(config)) {
        Some(name) => select(place::named(&name, config)?, config)?,
        None => {
            let host = host.as_ref().map(Host::to_string);
            Some(place::selected(host.as_deref(), USAGE, config, world)?)
        }
    };
    if let Some(selected) = selected.filter(|it| host.is_none_or(|host| host == it.rule.host)) {
        let (issued, _) = token::issue(&selected, &Narrowing::default(), Need::Fresh, USAGE, config, world)?;
        exec::give(command, &issued.token.secret, &selected, &[], world);
    }
    Ok(())
}

/// The text of the shim.
fn script(world: &World<'_>) -> Result<String> {
    let program = Here::find(world)?.path;
    let program = program.to_string_lossy();
    Ok(if cfg!(windows) {
        format!("@echo off\r\nrem {MARK}\r\n\"{program}\" shim {GH} --run -- %*\r\n")
    } else {
        format!("#!/bin/sh\n# {MARK}\nexec {} shim {GH} --run -- \"$@\"\n", in_shell(&program))
    })
}

/// Whether a file is a shim, or a link to one.
fn is_shim(path: &Path) -> bool {
    /// All of a shim, and the start of what is none, in bytes.
    const START: u64 = 512;
    use std::io::Read as _;
    let Ok(file) = files::open_regular(fs::OpenOptions::new().read(true), path) else { return false };
    let mut start = Vec::new();
    let read = file.take(START).read_to_end(&mut start);
    let marks = [format!("# {MARK}"), format!("rem {MARK}")];
    read.is_ok()
        && String::from_utf8_lossy(&start)
            .lines()
            .nth(1)
            .is_some_and(|line| marks.iter().any(|it| it == line))
}

/// The real one: the first in PATH that is no shim.
fn real(world: &World<'_>) -> Option<PathBuf> {
    in_path(world).find(|path| is_executable(path) && !is_shim(path))
}

fn no_real_one() -> Error {
    Error::new(format!("{GH} is not found in PATH")).hint("install it: https://cli.github.com")
}

fn in_path(world: &World<'_>) -> impl Iterator<Item = PathBuf> {
    let folders = world.variables.search_path().into_iter();
    folders.flat_map(|folder| REAL.iter().map(move |name| folder.join(name)))
}

fn is_executable(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 == 0 {
        return false;
    }
    metadata.is_file()
}

fn default_folder(world: &World<'_>) -> Option<PathBuf> {
    let home = world.folders.home.as_ref().filter(|_| cfg!(unix))?;
    Some(home.join(".local/bin"))
}
