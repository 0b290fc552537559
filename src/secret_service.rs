//! The freedesktop Secret Service over D-Bus, for tokens and for private keys.
//!
//! Nothing here prompts: where a collection is locked nobody may be there to type its password.

use std::collections::HashMap;

use dbus_secret_service::{EncryptionType, Error, Item, SecretService};
use zeroize::Zeroizing;

/// Why nothing came of a call.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The service answered, in words that follow a colon.
    Refused(String),
    /// It cannot be talked to.
    Unavailable,
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(why) => why,
            Trouble::Unavailable => "it is not available".to_owned(),
        }
    }
}

/// What an item is found by.
pub(crate) type Attributes<'a> = HashMap<&'a str, &'a str>;

/// The secret of the item with these attributes. One that is locked counts as none.
pub(crate) fn read(attributes: Attributes<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
    connected(|service| {
        let items = service.search_items(attributes)?;
        let secret = items.unlocked.first().map(|item| item.get_secret()).transpose()?;
        Ok(secret.map(Zeroizing::new))
    })
}

/// What an attribute says in all items with these attributes.
pub(crate) fn values(attributes: Attributes<'_>, name: &str) -> Result<Vec<String>, Trouble> {
    connected(|service| {
        let items = service.search_items(attributes)?;
        let value = |item: &Item<'_>| Ok(item.get_attributes()?.remove(name));
        let values = items.unlocked.iter().map(value).collect::<Result<Vec<_>, Error>>()?;
        Ok(values.into_iter().flatten().collect())
    })
}

/// Keeps a secret in the default collection, in place of the one with the same attributes.
pub(crate) fn write(label: &str, attributes: Attributes<'_>, secret: &[u8]) -> Result<(), Trouble> {
    connected(|service| {
        let collection = service.get_default_collection()?;
        collection.create_item(label, attributes, secret, true, "text/plain").map(drop)
    })
}

/// Drops the items with these attributes.
pub(crate) fn remove(attributes: Attributes<'_>) -> Result<(), Trouble> {
    connected(|service| service.search_items(attributes)?.unlocked.iter().try_for_each(|item| item.delete()))
}

fn connected<T>(work: impl FnOnce(&SecretService) -> Result<T, Error>) -> Result<T, Trouble> {
    // Plain: a session bus is private to the user, who could read the secret anyway.
    SecretService::connect_with_max_prompt_timeout(EncryptionType::Plain, 0)
        .and_then(|service| work(&service))
        .map_err(|e| match e {
            Error::Locked | Error::Prompt => Trouble::Refused("its collection is locked".to_owned()),
            Error::Dbus(e) if e.name() == Some("org.freedesktop.Secret.Error.IsLocked") => {
                Trouble::Refused("its collection is locked".to_owned())
            }
            Error::NoResult => Trouble::Refused("it has no default collection".to_owned()),
            _ => Trouble::Unavailable,
        })
}
