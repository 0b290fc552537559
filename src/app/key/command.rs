//! A private key that a command prints: from a password manager, a secret store, an encrypted file.

use std::rc::Rc;

use super::{KeySource, KeyText};
use crate::command::ConfiguredCommand;
use crate::error::Result;
use crate::world::World;

/// The setting that names the command.
pub(crate) const SETTING: &str = "private-key-command";

#[derive(Debug)]
struct KeyFromCommand(ConfiguredCommand);

/// The key that a command prints.
pub(crate) fn source(command: ConfiguredCommand) -> Rc<dyn KeySource> {
    Rc::new(KeyFromCommand(command))
}

impl KeySource for KeyFromCommand {
    fn read(&self, world: &World<'_>) -> Result<KeyText> {
        self.0.run(b"", &[], world).map(KeyText::new)
    }

    fn describe(&self) -> String {
        format!("that {} prints", self.0)
    }

    fn short(&self) -> String {
        format!("printed by {}", self.0.name())
    }

    fn setting(&self) -> Option<String> {
        None
    }

    fn command(&self) -> Option<&ConfiguredCommand> {
        Some(&self.0)
    }

    fn hint_if_not_pem(&self) -> Option<&'static str> {
        Some("it must print the .pem file as it came from the App's settings page, and nothing else")
    }
}
