//! Text that must not be seen: tokens, JWTs and private keys.

use std::fmt;

use hmac_sha256::Hash;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A secret text. It has no `Display` and no `Clone`, its `Debug` tells nothing, and its memory is wiped
/// when it is dropped. The one way to the text is [`Secret::expose`], so that every use can be found.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the few places that must hand it on.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Names the text without telling it: the first 64 bits of its SHA-256, in hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&Hash::hash(self.0.as_bytes())[..8])
    }

    /// Whether both are the same text, compared in constant time.
    #[must_use]
    pub fn matches(&self, other: &Secret) -> bool {
        // The two digests have the same length whatever the texts are; comparing those in constant time
        // tells an observer nothing about where the texts differ.
        let (a, b) = (Hash::hash(self.0.as_bytes()), Hash::hash(other.0.as_bytes()));
        a.iter().zip(&b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
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

/// Bytes in hex. Every name in the cache is made with it, and `{byte:02x}` takes ten times as many instructions.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(*byte));
    }
    text
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
    fn hex_is_what_the_standard_library_writes() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(hex(&bytes), bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
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
