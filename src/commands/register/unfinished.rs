//! What is told of a registration that did not finish, and what is left of it.

use std::path::PathBuf;

use super::record::{Earlier, Left, Record};
use super::{Target, command, exchange, settings_page};
use crate::app::key::keyring;
use crate::commands::output::Output;
use crate::commands::setup;
use crate::config::Flags;
use crate::error::{Error, Result};
use crate::terminal::{in_shell, path_in_shell};
use crate::world::World;

/// What an earlier run left of a registration on the same host for the same account.
///
/// # Errors
/// If it was for another one, or if the record is not to be used.
pub(super) fn of_target(
    record: &Record,
    target: &Target<'_>,
    flags: &Flags,
    world: &World<'_>,
) -> Result<Option<Left>> {
    let Some(Earlier { host, organization, left: Some(left) }) = record.read()? else { return Ok(None) };
    let lower = |name: Option<&str>| name.map(str::to_ascii_lowercase);
    if host == target.host.to_string() && lower(organization.as_deref()) == lower(target.organization) {
        return Ok(Some(left));
    }
    let owner = organization.as_ref().map_or_else(String::new, |name| format!(" for {name}"));
    let go_on = command(&host, organization.as_deref(), flags, world);
    Err(Error::new(format!("an earlier run for an App{owner} on {host} is not finished"))
        .hint(format!("to go on with that one: {go_on}; to make another App: add --new")))
}

/// Forgets what an earlier run left. A private key that is not in its place yet comes there first.
pub(super) fn give_up(
    record: &Record,
    target: &Target<'_>,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    let app = match record.read().ok().flatten().and_then(|earlier| earlier.left) {
        Some(Left::Key(app, key)) => Some(exchange::keep(target, app, &key, record, world)?),
        Some(Left::App(app)) => Some(app),
        Some(Left::Code(_)) | None => None,
    };
    if let Some(app) = app {
        let kept = setup::kept_key(&app.private_key);
        output.line(&format!("App {} of an earlier run is given up; {kept}", app.slug))?;
    }
    record.forget()
}

/// That a registration is not finished, and what goes on with it or gives it up; `None` if there is none.
pub(in crate::commands) fn reminder(flags: &Flags, world: &World<'_>) -> Option<Error> {
    let record = Record::beside(&setup::user_configuration(flags, world).ok()?, world);
    let Earlier { host, organization, left } = match record.read() {
        Ok(earlier) => earlier?,
        Err(why) => return Some(why),
    };
    let file = path_in_shell(record.path());
    let (what, rest) = match left? {
        Left::Code(_) => (format!("an App was made on {host}, and its key not yet fetched"), file),
        Left::Key(app, _) => (format!("App {} was made on {host}, and is not set up", app.slug), file),
        Left::App(app) => {
            let key = match keyring::name(&app.private_key) {
                Some(name) => format!(", and {name} from the keyring"),
                None => format!(" {}", in_shell(&app.private_key)),
            };
            (format!("App {} was made on {host}, and is not set up", app.slug), file + &key)
        }
    };
    let go_on = command(&host, organization.as_deref(), flags, world);
    let page = settings_page(&host, organization.as_deref());
    Some(
        Error::new(format!("register did not finish: {what}"))
            .hint(format!("to go on: {go_on}; to give it up: delete the App at {page}, and rm {rest}")),
    )
}

/// What is left of a registration on this machine.
#[derive(Default)]
pub(in crate::commands) struct Remains {
    /// The record, if no private key is in it.
    pub(in crate::commands) record: Option<PathBuf>,
    /// Where its private key is, as a configuration names that.
    pub(in crate::commands) key: Option<String>,
}

impl Remains {
    pub(in crate::commands) fn find(flags: &Flags, world: &World<'_>) -> Self {
        let Ok(configuration) = setup::user_configuration(flags, world) else { return Self::default() };
        let record = Record::beside(&configuration, world);
        let path = || record.path().to_owned();
        let key = match record.read().ok().flatten().and_then(|earlier| earlier.left) {
            Some(Left::Key(..)) => Some(path().display().to_string()),
            Some(Left::App(app)) => Some(app.private_key),
            Some(Left::Code(_)) | None => None,
        };
        Self { record: record.is_to_be_removed().then(path), key }
    }
}
