//! `setup --undo`: what setup wrote, shown and taken back.

use super::super::output::Output;
use super::journal::{Journal, Which};
use super::person::Person;
use crate::error::{Error, Result};
use crate::world::World;

/// Takes back what is meant, after it was shown and a person agreed.
pub(super) fn undo(
    journal: &Journal,
    which: &Which<'_>,
    dry_run: bool,
    person: &mut Person<'_>,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    let preview = journal.preview(which, world)?;
    if preview.is_empty() && !dry_run {
        // What is left of the journal tells of nothing that is still there.
        journal.undo(which, world)?;
    }
    if preview.is_empty() {
        return output.line("setup has written nothing that could be taken back");
    }
    if dry_run || person.present {
        let heading = if dry_run { "this would be taken back:" } else { "this will be taken back:" };
        output.line(heading)?;
        preview.iter().try_for_each(|line| output.line(&format!("  {line}")))?;
    }
    if dry_run {
        return Ok(());
    }
    if person.present && !person.agrees("go on?")? {
        return Err(Error::new("nothing was changed"));
    }
    let undone = journal.undo(which, world)?;
    output.line("taken back:")?;
    undone.iter().try_for_each(|text| output.line(&format!("  {text}")))
}
