//! Text that must not be seen: tokens, JWTs and private keys.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A secret text. It has no `Display` and no `Clone`, its `Debug` tells nothing, and its memory is wiped
/// when it is dropped. The one way to the text is [`Secret::expose`], so that every use can be found.
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the few places that must hand it on.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Names the text without telling it: the first 64 bits of its SHA-256, in hex.
    pub(crate) fn fingerprint(&self) -> String {
        hex(&digest(&SHA256, self.0.as_bytes()).as_ref()[..8])
    }

    /// Whether both are the same text, compared in constant time.
    pub(crate) fn matches(&self, other: &Secret) -> bool {
        // The two digests have the same length whatever the texts are; comparing those in constant time
        // tells an observer nothing about where the texts differ.
        let (a, b) = (digest(&SHA256, self.0.as_bytes()), digest(&SHA256, other.0.as_bytes()));
        a.as_ref().iter().zip(b.as_ref()).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_text() {
        let secret = Secret::new("ghs_canary".to_owned());
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret(…) Some(\n    Secret(…),\n)");
    }

    #[test]
    fn only_the_same_text_matches() {
        let secret = Secret::new("ghs_one".to_owned());
        assert!(secret.matches(&Secret::new("ghs_one".to_owned())));
        for other in ["ghs_onE", "ghs_one ", "ghs_on", ""] {
            assert!(!secret.matches(&Secret::new(other.to_owned())));
        }
    }
}
