//! The browser of a person who sits at this machine.

use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result, cause};
use crate::world::{World, remove_secrets};

/// What opens an address in the user's browser, and what stands before the address.
const OPENER: (&str, &[&str]) = if cfg!(target_os = "macos") {
    ("open", &[])
} else if cfg!(windows) {
    ("rundll32.exe", &["url.dll,FileProtocolHandler"])
} else {
    ("xdg-open", &[])
};
/// One of these is set where there is a screen, or where somebody says which browser is to be used. Without a screen
/// xdg-open starts a browser for the terminal.
const SCREENS: [&str; 4] = ["DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"];

/// A browser that is being started.
pub(super) struct Browser(Option<Child>);

/// Whether there is somebody with a browser.
pub(super) fn is_there(world: &World<'_>) -> bool {
    let has_screen = cfg!(any(target_os = "macos", windows))
        || SCREENS.iter().any(|it| world.variables.path(it).is_some());
    (world.streams)().input && has_screen
}

impl Browser {
    /// Starts one. The address may be seen by other users of this machine while that takes place.
    pub(super) fn open(address: &str, world: &World<'_>) -> Result<Self> {
        let (name, arguments) = OPENER;
        let mut files = world.variables.search_path().into_iter().map(|folder| folder.join(name));
        let program =
            files.find(|file| file.is_file()).ok_or_else(|| no_browser(&format!("there is no {name}")))?;
        let mut command = Command::new(program);
        command.args(arguments).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        remove_secrets(&mut command);
        let child = command.spawn().map_err(|e| no_browser(&format!("{name}: {}", cause(&e))))?;
        Ok(Self(Some(child)))
    }

    /// Why it did not start, once that is known.
    pub(super) fn trouble(&mut self) -> Option<Error> {
        let status = self.0.as_mut()?.try_wait().ok().flatten()?;
        self.0 = None;
        let how = status
            .code()
            .map_or_else(|| "was ended".to_owned(), |code| format!("ended with exit code {code}"));
        (!status.success()).then(|| no_browser(&format!("{} {how}", OPENER.0)))
    }
}

fn no_browser(why: &str) -> Error {
    Error::new(format!("no browser could be started: {why}")).hint("open the page's address in one yourself")
}
