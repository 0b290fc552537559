//! A private key in the environment itself.

use std::rc::Rc;

use zeroize::Zeroizing;

use super::{KeySource, KeyText};
use crate::error::Result;
use crate::origin::Origin;
use crate::secret::Secret;
use crate::world::{PRIVATE_KEY, World};

#[derive(Debug)]
struct KeyInEnvironment(Secret);

/// The key in the variable [`PRIVATE_KEY`], if that is set.
pub(crate) fn source(world: &World<'_>) -> Result<Option<Rc<dyn KeySource>>> {
    let text = world.variables.text(PRIVATE_KEY)?;
    Ok(text.map(|text| Rc::new(KeyInEnvironment(Secret::new(text))) as Rc<dyn KeySource>))
}

impl KeySource for KeyInEnvironment {
    fn read(&self, _: &World<'_>) -> Result<KeyText> {
        Ok(KeyText::new(Zeroizing::new(self.0.expose().as_bytes().to_vec())))
    }

    fn describe(&self) -> String {
        format!("in the {}", Origin::Variable(PRIVATE_KEY))
    }

    fn short(&self) -> String {
        self.describe()
    }

    fn setting(&self) -> Option<String> {
        None
    }

    fn hint_if_not_pem(&self) -> Option<&'static str> {
        Some("it must hold the key itself; for the name of a file there is GHAPP_PRIVATE_KEY_FILE")
    }
}
