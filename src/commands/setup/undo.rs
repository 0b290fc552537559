//! `setup --undo`: what setup wrote, shown and taken back.

use std::path::Path;

use super::super::cached::cached;
use super::super::output::{Output, count, each_once, time};
use super::git_side::typed_program;
use super::journal::{Journal, Which};
use super::key::kept;
use crate::commands::person::Person;
use crate::config::{Config, Flags};
use crate::error::{Error, Result};
use crate::files;
use crate::terminal::in_shell;
use crate::world::World;

/// Takes back what is meant, after it was shown and a person agreed.
pub(super) fn undo(
    journal: &Journal,
    which: &Which<'_>,
    dry_run: bool,
    flags: &Flags,
    person: &mut Person<'_>,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    let preview = journal.preview(which, world)?;
    if preview.is_empty() && !dry_run {
        // What is left of the journal tells of nothing that is still there.
        journal.undo(which, world, &mut Vec::new())?;
    }
    if preview.is_empty() {
        return output.line("there is nothing to undo: setup has written nothing");
    }
    let tokens = tokens_that_stay(journal, which, flags, world)?;
    let keys = journal.keys_that_stay(which, world)?;
    if dry_run || person.present {
        let heading = if dry_run { "this would be undone:" } else { "this will be undone:" };
        output.line(heading)?;
        preview.iter().try_for_each(|line| output.line(&format!("  {line}")))?;
        if let Some((tokens, _)) = &tokens {
            output.line(&format!("{tokens}; to revoke before: {} logout --all", typed_program(world)))?;
        }
        keys.iter().try_for_each(|key| output.line(&kept(key)))?;
    }
    if dry_run {
        return Ok(());
    }
    if person.present && !person.agrees("continue?")? {
        return Err(Error::new("nothing was changed"));
    }
    let mut undone = Vec::new();
    let all = journal.undo(which, world, &mut undone);
    tell(undone, output)?;
    if person.present {
        return all;
    }
    if let Some((tokens, app)) = tokens {
        let program = typed_program(world);
        let app = in_shell(&app);
        output.line(&format!(
            "{tokens}; to revoke: {program} logout --all --app-id {app} --private-key FILE"
        ))?;
    }
    keys.iter().try_for_each(|key| output.line(&kept(key)))?;
    all
}

/// That tokens of the Apps that are meant stay valid, and the App of the last one. Some of them only their App can open and
/// revoke.
fn tokens_that_stay(
    journal: &Journal,
    which: &Which<'_>,
    flags: &Flags,
    world: &World<'_>,
) -> Result<Option<(String, String)>> {
    let apps = journal.apps(which, world)?;
    let config = Config::load(flags, world).unwrap_or_default();
    let (mut tokens, _) = cached(&config, world);
    tokens.retain(|token| apps.contains(&token.label.app));
    Ok(tokens.last().map(|last| {
        let stay = count(tokens.len(), "cached token stays", "cached tokens stay");
        (format!("{stay} valid until {}", time(last.expires_at)), last.label.app.clone())
    }))
}

fn tell(undone: Vec<String>, output: &mut Output<'_>) -> Result<()> {
    if !undone.is_empty() {
        output.line("undone:")?;
    }
    each_once(undone).iter().try_for_each(|text| output.line(&format!("  {text}")))
}

/// Everything that setup wrote and this user may take back.
pub(in crate::commands) struct Written {
    journals: Vec<Journal>,
    /// What is for the machine, and takes an administrator.
    of_administrator: Option<Journal>,
}

impl Written {
    /// For this user and, as an administrator, for the machine; where a configuration file is named, for that alone.
    pub(in crate::commands) fn find(flags: &Flags, world: &World<'_>) -> Self {
        if let Some(named) = flags.config_file(&world.variables) {
            return Self { journals: vec![Journal::beside(&named).alone(true)], of_administrator: None };
        }
        let mut journals: Vec<Journal> =
            world.folders.user_config.iter().map(|file| Journal::beside(file)).collect();
        let system = Journal::beside(&world.folders.system_config);
        if files::may_write(system.path()) {
            journals.push(system);
            return Self { journals, of_administrator: None };
        }
        Self { journals, of_administrator: system.path().exists().then_some(system) }
    }

    /// What would be taken back, in words, and why it is not known.
    pub(in crate::commands) fn preview(&self, world: &World<'_>) -> (Vec<String>, Vec<Error>) {
        let (mut lines, mut troubles) = (Vec::new(), Vec::new());
        for journal in &self.journals {
            match journal.preview(&Which::default(), world) {
                Ok(more) => lines.extend(more),
                Err(why) => troubles.push(why),
            }
        }
        (lines, troubles)
    }

    /// Where the private keys are that stay, as a configuration names them. What cannot be read is told by the preview.
    pub(in crate::commands) fn keys_that_stay(&self, world: &World<'_>) -> Vec<String> {
        let keys = self.journals.iter().map(|it| it.keys_that_stay(&Which::default(), world));
        keys.flat_map(Result::unwrap_or_default).collect()
    }

    /// Whether a key is in a file to which setup moved it, so that taking it back moves it away again.
    pub(in crate::commands) fn moved_here(&self, file: &Path, world: &World<'_>) -> bool {
        self.journals.iter().any(|journal| journal.moved_here(file, world).unwrap_or(false))
    }

    /// Takes it back, tells what was, and gives why not all of it was.
    pub(in crate::commands) fn take_back(
        &self,
        world: &World<'_>,
        output: &mut Output<'_>,
    ) -> Result<Vec<Error>> {
        let (mut undone, mut troubles) = (Vec::new(), Vec::new());
        for journal in &self.journals {
            troubles.extend(journal.undo(&Which::default(), world, &mut undone).err());
        }
        tell(undone, output)?;
        Ok(troubles)
    }

    /// What takes back the part that is not this user's.
    pub(in crate::commands) fn left_to_administrator(&self, world: &World<'_>) -> Option<String> {
        self.of_administrator.as_ref().map(|_| format!("{} setup --system --undo", typed_program(world)))
    }
}
