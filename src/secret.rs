//! Text that must not be seen: tokens, JWTs and private keys.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A secret text. It has no `Display` and no `Clone`, its `Debug` tells nothing, and its memory is wiped
/// when it is dropped. The one way to the text is [`Secret::expose`], so that every use can be found.
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// A token as it stands in a string of JSON. git's lines can carry it, so it holds nothing that would have to be escaped
    /// but these two.
    pub(crate) fn in_json(&self) -> Zeroizing<String> {
        Zeroizing::new(self.expose().replace('\\', "\\\\").replace('"', "\\\""))
    }

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

/// A foreign text with everything replaced that looks like a secret: keys in PEM, tokens, JWTs, and long runs of base64.
pub(crate) fn redacted(text: &str) -> String {
    const HIDDEN: &str = "[…]";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, section)) = rest.split_once("-----BEGIN ") {
        shown += before;
        shown += HIDDEN;
        let end = section.split_once("-----END ").map_or("", |(_, end)| end);
        rest = end.split_once("-----").map_or("", |(_, after)| after.trim_start_matches('-'));
    }
    shown += rest;
    let is_secret = |word: &str| {
        let prefixes = ["ghs_", "ghp_", "gho_", "ghu_", "ghr_", "github_pat_", "eyJ"];
        let has_run = |extra: &[u8]| {
            let ends = |byte: &u8| !(byte.is_ascii_alphanumeric() || extra.contains(byte));
            word.as_bytes().split(ends).any(|run| run.len() >= LONGEST_WORD)
        };
        // Base64 of either alphabet. A path has slashes too, and other letters beside them.
        let is_base64 = word.len() >= LONGEST_WORD
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
        prefixes.iter().any(|prefix| word.contains(prefix)) || has_run(b"+=") || has_run(b"-_=") || is_base64
    };
    let words = shown.split_inclusive(char::is_whitespace).map(|word| {
        let bare = word.trim_end();
        if is_secret(bare) { format!("{HIDDEN}{}", &word[bare.len()..]) } else { word.to_owned() }
    });
    words.collect()
}

/// The longest run of letters and digits that is taken for a word, in bytes. A UUID has 36.
const LONGEST_WORD: usize = 40;

/// The text without the secret: neither as it is nor in base64, alone or as a part of a text, as in the header that carries
/// it. `…` stands for it.
pub(crate) fn without(text: String, secret: &str) -> String {
    /// What is shorter would be found by chance, and is none of our secrets.
    const SHORTEST: usize = 16;
    if secret.len() < SHORTEST {
        return text;
    }
    let in_base64 = (0..3).flat_map(|before| {
        // What stands before and after it decides about the first and the last letters.
        let whole = Zeroizing::new([&[0; 3][..before], secret.as_bytes()].concat());
        let letters = (before * 8).div_ceil(6)..whole.len() * 8 / 6;
        let standard = STANDARD_NO_PAD.encode(&*whole)[letters.clone()].to_owned();
        let of_urls = URL_SAFE_NO_PAD.encode(&*whole)[letters].to_owned();
        [standard.replace('/', "\\/"), standard, of_urls]
    });
    let shapes = std::iter::once(secret.to_owned()).chain(in_base64).map(Zeroizing::new);
    shapes.fold(text, |text, shape| {
        if text.contains(shape.as_str()) { Zeroizing::new(text).replace(shape.as_str(), "…") } else { text }
    })
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
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
    fn what_looks_like_a_secret_is_not_shown() {
        let pem = include_str!("../simulator/keys/acme.pem");
        for (text, shown) in [
            (format!("a\n{pem}b"), "a\n[…]\nb".to_owned()),
            (format!("a {}", &pem[..200]), "a […]".to_owned()),
            ("token=ghs_abc, sorry".to_owned(), "[…] sorry".to_owned()),
            ("Bearer eyJhbGciOi.e30.x".to_owned(), "Bearer […]".to_owned()),
        ] {
            assert_eq!(redacted(&text), shown);
        }
        for line in pem.lines().filter(|line| line.len() == 64 && !line.starts_with('-')) {
            assert_eq!(redacted(line), "[…]", "{line}");
        }
        for harmless in [
            "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab is disabled",
            "cannot load /usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
            "https://vault.example:8200/v1/transit/sign/github-app/sha2-256?x=y: permission denied",
        ] {
            assert_eq!(redacted(harmless), harmless);
        }
    }

    #[test]
    fn a_secret_is_found_in_every_shape_in_which_it_comes_back() {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let secret = "ghs_0123456789abcdefghij?~>ÿÿÿ.XYZ";
        for before in ["", "B", "Be", "Bearer ", "x-access-token:", "Authorization: Basic "] {
            for after in ["", "\r", "\r\n", " and more"] {
                let whole = format!("{before}{secret}{after}");
                let json = STANDARD.encode(&whole).replace('/', "\\/");
                for shape in [whole.clone(), STANDARD.encode(&whole), URL_SAFE.encode(&whole), json] {
                    let text = format!("a {shape} b {shape} c");
                    let clean = without(text.clone(), secret);
                    assert_eq!(clean.matches('…').count(), 2, "{text}: {clean}");
                    assert!(clean.len() < 150, "{text}: {clean}");
                }
            }
        }
        assert_eq!(without("ghs_another".to_owned(), secret), "ghs_another");
        assert_eq!(without("ghs_another".to_owned(), ""), "ghs_another");
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
