//! `uninstall`: what the program keeps on this machine goes, in an order in which nothing is orphaned: first the tokens,
//! which only the configured App can open, then what setup wrote, then what is remembered. The program itself is left to
//! what installed it.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::cached::{Cached, cached};
use super::logout;
use super::output::{Output, count, time};
use super::person::Person;
use super::register;
use super::setup::{Here, Written, kept_key, turn, typed_program};
use super::shim;
use crate::cache::Cache;
use crate::config::{Config, Flags};
use crate::error::{Error, Result, cause};
use crate::files;
use crate::git::config::{calls_of_this_program, is_script};
use crate::source::TokenSource;
use crate::terminal::{in_shell, path_in_shell};
use crate::world::World;

/// How it is done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Private keys are not deleted: one that setup moved goes back to where it was.")]
pub(crate) struct Options {
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask no questions: do what the default answers say
    #[arg(long, short)]
    yes: bool,
    /// The caller removes the program itself, as install.sh does
    #[arg(long, hide = true)]
    with_program: bool,
}

/// The most files that are listed one by one.
const MANY: usize = 20;

pub(super) fn uninstall(
    options: &Options,
    flags: &Flags,
    world: &World<'_>,
    stdin: &mut dyn BufRead,
    output: &mut Output<'_>,
) -> Result<u8> {
    let mut person = Person::new(options.yes, stdin, world);
    if !options.dry_run && !options.yes && !person.present {
        let program = typed_program(world);
        return Err(Error::new("there is nobody to confirm this, so nothing was changed")
            .hint(format!("{program} uninstall --yes, or --dry-run to see what it would do")));
    }
    let mut failed = false;
    let mut warn = |why: &Error| {
        world.terminal.warning(why);
        failed = true;
    };
    // Without a configuration only those tokens cannot be opened that its App sealed.
    let config = Config::load(flags, world).unwrap_or_else(|why| {
        warn(&why);
        Config::default()
    });
    let folder = config.cache.folder(world).filter(|folder| fs::symlink_metadata(folder).is_ok());
    let turn = if options.dry_run { None } else { turn(&config, world)? };
    let written = Written::find(flags, world);

    // What will be done.
    let (tokens, _) = cached(&config, world);
    let (mut plan, troubles) = written.preview(world);
    troubles.iter().for_each(&mut warn);
    plan.splice(0..0, end_of_tokens(&tokens, world));
    let shims = shim::found(world);
    plan.extend(shims.iter().map(|path| format!("{} is removed", path.display())));
    let unfinished = register::Remains::find(flags, world);
    plan.extend(unfinished.record.iter().map(|path| format!("{} is removed", path.display())));
    let keys = keys_that_stay(unfinished.key, flags, &written, world);
    match folder.map(|folder| what_becomes_of(folder, &config, world)) {
        Some(Ok(line)) => plan.push(line),
        // It stays, and removing it says so.
        Some(Err(why)) if options.dry_run => warn(&why),
        _ => {}
    }
    output.line(match options.dry_run {
        _ if plan.is_empty() => "there is nothing to remove",
        true => "this would be done:",
        false => "this will be done:",
    })?;
    plan.iter().try_for_each(|line| output.line(&format!("  {line}")))?;
    if options.dry_run {
        keys.iter().try_for_each(|key| output.line(&format!("  {}", kept_key(key))))?;
        return Ok(u8::from(failed));
    }
    if person.present && !plan.is_empty() && !person.agrees("continue?")? {
        return Err(Error::new("nothing was changed"));
    }

    // Tokens, while their App is configured.
    let (done, troubles) = logout::these(|_| true, &config, world);
    // For a token that is gone from here the program is of no use any more.
    let is_needed = !options.with_program || !cached(&config, world).0.is_empty();
    for why in &troubles {
        if is_needed { warn(why) } else { world.terminal.warning(why) }
    }
    done.map_or(Ok(()), |done| output.line(&done))?;
    for rule in &config.rules {
        let source = TokenSource::new(rule, &config, world);
        source.cache().forget_sealing_secret().unwrap_or_else(|why| warn(&why));
    }
    // What setup wrote.
    let troubles = written.take_back(world, output)?;
    troubles.iter().for_each(&mut warn);
    let is_taken_back = troubles.is_empty();
    for path in shims.iter().chain(&unfinished.record) {
        match fs::remove_file(path) {
            Ok(()) => output.line(&format!("removed {}", path.display()))?,
            Err(e) => warn(&Error::new(format!("cannot remove {}: {}", path.display(), cause(&e)))),
        }
    }
    // What is remembered, and the lock with it.
    drop(turn);
    let removed = Cache::open(world, &config.cache, None).remove();
    match (folder, removed) {
        // There was none, or this command made it.
        (None, _) => {}
        (_, Err(why)) => warn(&why),
        (Some(folder), Ok(true)) => output.line(&format!("removed {}", folder.display()))?,
        (Some(folder), Ok(false)) => {
            output
                .line(&format!("{} is kept: it holds files that are not this program's", folder.display()))?;
        }
    }
    tell_what_stays(&keys, flags, &written, world, output)?;
    // It is needed as long as there is something to take back.
    if is_taken_back && !options.with_program {
        output.line(&format!(
            "what is left is the program itself; to remove it: {}",
            removal_of_program(world)?
        ))?;
    }
    Ok(u8::from(failed))
}

/// What becomes of the cache folder, in words.
///
/// # Errors
/// If it is not one that is used.
fn what_becomes_of(folder: &Path, config: &Config, world: &World<'_>) -> Result<String> {
    let shown = folder.display();
    Ok(match Cache::open(world, &config.cache, None).can_be_removed()? {
        true => format!("{shown} is removed"),
        false => format!("what this program keeps in {shown} is removed; other files in it stay"),
    })
}

/// Where the private keys are that stay, as a configuration names them.
fn keys_that_stay(
    unfinished: Option<String>,
    flags: &Flags,
    written: &Written,
    world: &World<'_>,
) -> Vec<String> {
    let mut keys = written.keys_that_stay(world);
    keys.extend(unfinished);
    for file in files(flags, world).iter().filter(|file| has_private_key(file)) {
        let name = file.display().to_string();
        if !keys.contains(&name) && !written.moved_here(file, world) {
            keys.push(name);
        }
    }
    keys
}

/// What becomes of the cached tokens, in words. Only who can open a token can revoke it.
fn end_of_tokens(tokens: &[Cached], world: &World<'_>) -> Vec<String> {
    let (open, sealed): (Vec<&Cached>, Vec<&Cached>) = tokens.iter().partition(|it| it.token.is_some());
    let mut lines = Vec::new();
    if !open.is_empty() {
        let open = count(open.len(), "cached token is", "cached tokens are");
        lines.push(format!("{open} revoked at GitHub and deleted"));
    }
    if let Some(last) = sealed.last() {
        let sealed = count(sealed.len(), "cached token is", "cached tokens are");
        let (until, program, app) = (time(last.expires_at), typed_program(world), in_shell(&last.label.app));
        lines.push(format!(
            "{sealed} deleted, but not revoked: valid until {until}; to revoke before: {program} logout --all --app-id {app} --private-key FILE"
        ));
    }
    lines
}

/// Names what neither setup nor this program put there, or what takes somebody else to remove.
fn tell_what_stays(
    keys: &[String],
    flags: &Flags,
    written: &Written,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    keys.iter().try_for_each(|key| output.line(&kept_key(key)))?;
    if flags.config_file(&world.variables).is_none() {
        // It stays where something is in it.
        let _ = own_folder(world).map(fs::remove_dir);
    }
    let mut files = files(flags, world);
    files.retain(|file| !keys.iter().any(|key| Path::new(key) == file));
    for file in files.iter().take(MANY) {
        let shown = file.display().to_string();
        output.line(&match has_private_key(file) {
            true => kept_key(&shown),
            false => format!("{shown} is kept: setup did not write it, or it was edited since"),
        })?;
    }
    for (file, key, value) in calls_of_this_program()? {
        if !files::may_write(Path::new(&file)) {
            continue;
        }
        let (file, key) = (in_shell(&file), in_shell(&key));
        // A piece of shell may have a password in it.
        let how = match is_script(&value) {
            true => format!("git config --file {file} --edit, at {key}"),
            false => format!("git config --file {file} --fixed-value --unset-all {key} {}", in_shell(&value)),
        };
        output.line(&format!("git still calls this program; to stop that: {how}"))?;
    }
    if let Some(command) = written.left_to_administrator(world) {
        output.line(&format!(
            "what setup wrote for the whole machine is kept; an administrator can undo it: {command}"
        ))?;
    }
    Ok(())
}

/// Whether a private key is in a file of this user's.
fn has_private_key(file: &Path) -> bool {
    files::read_own_text(file).is_ok_and(|text| Zeroizing::new(text).contains("-----BEGIN"))
}

/// The files in the folder of the configuration. A file that is named may be in any folder.
fn files(flags: &Flags, world: &World<'_>) -> Vec<PathBuf> {
    if let Some(named) = flags.config_file(&world.variables) {
        return Some(named).filter(|file| file.exists()).into_iter().collect();
    }
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.take(MANY).map(|entry| entry.path()).collect()
    };
    let folder = own_folder(world).map(inside).unwrap_or_default().into_iter();
    folder.flat_map(|path| if path.is_dir() { inside(&path) } else { vec![path] }).collect()
}

/// The folder of the user's configuration.
fn own_folder<'w>(world: &'w World<'_>) -> Option<&'w Path> {
    world.folders.user_config.as_ref().and_then(|file| file.parent())
}

/// What a person types to remove the program: what is right for how it was installed.
fn removal_of_program(world: &World<'_>) -> Result<String> {
    let program = Here::find(world)?.path;
    let prefix = program.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent);
    let has = |file: &str| prefix.is_some_and(|prefix| prefix.join(file).exists());
    // Homebrew and Scoop have a folder for each package, to which their other folders lead.
    let real = program.canonicalize().unwrap_or_else(|_| program.clone());
    let is_in = |folder: &str| real.ancestors().any(|it| it.ends_with(folder));
    Ok(match prefix {
        _ if is_in("Cellar/git-credential-ghapp") => "brew uninstall git-credential-ghapp".to_owned(),
        _ if is_in("apps/git-credential-ghapp") => "scoop uninstall git-credential-ghapp".to_owned(),
        // Where cargo notes what it installed.
        _ if has(".crates.toml") => "cargo uninstall git-credential-ghapp".to_owned(),
        Some(prefix) if prefix == Path::new("/usr") => {
            "with the package manager that installed it".to_owned()
        }
        Some(prefix) if has("share/man/man1/git-credential-ghapp.1") => {
            format!("PREFIX={} ./install.sh --uninstall", path_in_shell(prefix))
        }
        _ => format!("rm {}", path_in_shell(&program)),
    })
}
