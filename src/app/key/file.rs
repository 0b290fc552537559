//! A private key in a file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use zeroize::Zeroizing;

use super::{KeySource, KeyText, MAX_KEY};
use crate::error::{Error, Result, cause};
use crate::origin::Origin;
use crate::world::World;

#[derive(Debug)]
struct KeyFile {
    path: PathBuf,
    origin: Origin,
}

/// Any text names a file.
pub(super) fn named(
    text: &str,
    resolve: &dyn Fn(&str) -> PathBuf,
    origin: &Origin,
) -> Option<Rc<dyn KeySource>> {
    Some(Rc::new(KeyFile { path: resolve(text), origin: origin.clone() }))
}

impl KeySource for KeyFile {
    fn read(&self, _: &World<'_>) -> Result<KeyText> {
        let unreadable = |e| {
            Error::new(format!("cannot read the private key {}: {}", self.describe(), cause(&e)))
                .hint("download a private key on the App's settings page and name its file in private-key")
        };
        let file = File::open(&self.path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Error::new(format!("the private key {} is a directory", self.describe()))
                .hint("name the .pem file itself in private-key"));
        }
        // All of it is wiped in the end, so no more than is needed; and never less, or a copy would stay behind. A pipe
        // does not say its size.
        let room = if metadata.len() > 0 { metadata.len() + 1 } else { MAX_KEY };
        let mut bytes = Zeroizing::new(Vec::with_capacity(room.min(MAX_KEY + 1) as usize));
        file.take(MAX_KEY + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(KeyText::new(bytes))
    }

    fn describe(&self) -> String {
        format!("{} ({})", self.path.display(), self.origin)
    }

    fn short(&self) -> String {
        self.path.display().to_string()
    }

    fn setting(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }
}
