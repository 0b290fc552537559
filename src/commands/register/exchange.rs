//! From the code to the App and its key, which is kept before anything else is done.

use super::Target;
use super::record::{App, Record};
use crate::app::key::{self, keyring};
use crate::commands::setup;
use crate::error::{Error, Result};
use crate::git::network::{self, HttpSettings};
use crate::github::manifest::{Exchanged, Made, Registry};
use crate::github::{Failure, answers::AppInfo};
use crate::secret::Secret;
use crate::world::World;

/// Prepares to ask the API as nobody.
pub(super) fn registry<'a>(target: &'a Target<'_>, world: &'a World<'_>) -> Result<Registry<'a>> {
    let gits_address = format!("https://{}/", target.host);
    let way = network::way(&target.api.endpoint("/"), &gits_address, &HttpSettings::default(), world)?;
    Ok(Registry::new(way, target.api, world, target.deadline))
}

/// Exchanges a code for an App, and keeps its key. Should GitHub not answer, the code is good for another run.
///
/// # Errors
/// If there is no answer, or no App, or if its key cannot be kept.
pub(super) fn exchange(
    target: &Target<'_>,
    code: &Secret,
    record: &Record,
    world: &World<'_>,
) -> Result<(App, AppInfo)> {
    record.note_code(target, code)?;
    let exchanged = registry(target, world)?.exchange(code).map_err(|failure| {
        let is_passing = matches!(failure, Failure::Unreachable(_) | Failure::Limited(..));
        let why = failure.into_error();
        if is_passing { why.hint(format!("go on within an hour: {}", target.command)) } else { why }
    })?;
    let no_key = |what: &str| {
        let page = target.settings_page();
        let step = "and run git-credential-ghapp setup; or delete the App there, and register it again";
        Error::new(what).hint(format!("make a private key at {page}, {step}"))
    };
    let usable = match exchanged {
        Exchanged::UnknownCode => Err(no_key(
            "GitHub does not know the code for the App's key: it was used, or is older than an hour",
        )),
        Exchanged::Made(made) if !key::is_usable(made.key.expose()) => {
            Err(no_key("GitHub sent something else than the App's private key"))
        }
        Exchanged::Made(made) => check_owner(target, &made.app).map(|()| made),
    };
    // The code is of no more use, and nothing is kept of an App that is of none.
    let Made { app: info, key } = usable.inspect_err(|_| drop(record.forget()))?;
    let id = info.client_id.clone().unwrap_or_else(|| info.id.to_string());
    let private_key = setup::new_place_for_key(&info.slug, target.configuration, target.keyring, world);
    let app = App { id, slug: info.slug.clone(), private_key };
    Ok((keep(target, app, &key, record, world)?, info))
}

/// Puts the key of an App into its place. It cannot be had again, so it is noted first, and where the keyring fails, it goes
/// into a file.
///
/// # Errors
/// If the key cannot be kept.
pub(super) fn keep(
    target: &Target<'_>,
    mut app: App,
    key: &Secret,
    record: &Record,
    world: &World<'_>,
) -> Result<App> {
    // This run goes on, whether another one could or not.
    let warn = |why: &Error| world.terminal.warning(why);
    record.note_key(target, &app, key).unwrap_or_else(|why| warn(&why));
    if let Err(why) = setup::keep_key(key, &app.private_key, world) {
        if keyring::name(&app.private_key).is_none() {
            return Err(why);
        }
        warn(&setup::key_into_file_instead(&why));
        app.private_key = setup::new_place_for_key(&app.slug, target.configuration, false, world);
        setup::keep_key(key, &app.private_key, world)?;
    }
    record.note_app(target, &app).unwrap_or_else(|why| warn(&why));
    Ok(app)
}

/// An error if the App belongs to somebody else than was asked for.
fn check_owner(target: &Target<'_>, app: &AppInfo) -> Result<()> {
    let owner = app.owner.as_ref().and_then(|owner| owner.login.as_deref()).unwrap_or("somebody else");
    match target.organization {
        Some(name) if !name.eq_ignore_ascii_case(owner) => Err(Error::new(format!(
            "App {} belongs to {owner}, not to {name}, so its key is not kept",
            app.slug
        ))
        .hint(format!("begin anew: {}", target.command))),
        _ => Ok(()),
    }
}
