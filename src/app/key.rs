//! The App's private key: from a file or from the environment to something that can sign.

use std::fmt;
use std::fs::File;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::error::KeyRejected;
use ring::rsa::KeyPair;
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

use crate::config::KeySource;
use crate::error::{Error, Result, cause};
use crate::keychain;

/// The most that is read of a key file, in bytes. An RSA key of 16,384 bits has 13 KB.
const MAX_KEY: u64 = 64 * 1024;

/// An RSA private key, known to be usable for RS256.
pub struct PrivateKey {
    der: Zeroizing<Vec<u8>>,
}

/// A private key as it is written, not yet known to be one.
pub(crate) struct WrittenKey(Zeroizing<Vec<u8>>);

impl WrittenKey {
    /// Reads the key from where the configuration says it is. `bus`: whether there is a D-Bus session bus.
    pub(super) fn read(source: &KeySource, bus: bool) -> Result<Self> {
        let shown = || described(source);
        let copied = |text: &str| Self(Zeroizing::new(text.as_bytes().to_vec()));
        match source {
            KeySource::Text { pem, .. } => Ok(copied(pem.expose())),
            KeySource::Keyring { name, .. } => match keychain::read(name, bus) {
                Ok(pem) => Ok(copied(pem.expose())),
                Err(why) => Err(Error::new(format!("cannot read the private key {}: {why}", shown()))
                    .hint("unlock the keyring, or name the key's file in private-key")),
            },
            KeySource::File { path, .. } => {
                let unreadable = |e| {
                    Error::new(format!("cannot read the private key {}: {}", shown(), cause(&e))).hint(
                        "download a private key on the App's settings page and name its file in private-key",
                    )
                };
                let file = File::open(path).map_err(unreadable)?;
                let metadata = file.metadata().map_err(unreadable)?;
                if metadata.is_dir() {
                    return Err(Error::new(format!("the private key {} is a directory", shown()))
                        .hint("name the .pem file itself in private-key"));
                }
                // All of it is wiped in the end, so no more than is needed; and never less, or a copy would stay
                // behind. A pipe does not say its size.
                let room = if metadata.len() > 0 { metadata.len() + 1 } else { MAX_KEY };
                let mut bytes = Zeroizing::new(Vec::with_capacity(room.min(MAX_KEY + 1) as usize));
                file.take(MAX_KEY + 1).read_to_end(&mut bytes).map_err(unreadable)?;
                Ok(Self(bytes))
            }
        }
    }

    /// The bytes, from which the key of the sealed file is derived.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.trim_ascii()
    }
}

impl fmt::Debug for WrittenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrittenKey(…)")
    }
}

/// Where a key is, for messages.
fn described(source: &KeySource) -> String {
    match source {
        KeySource::Text { origin, .. } => format!("in the {origin}"),
        KeySource::Keyring { name, origin } => format!("{name} in the keyring ({origin})"),
        KeySource::File { path, origin } => format!("{} ({origin})", path.display()),
    }
}

impl PrivateKey {
    /// Loads the key from where the configuration says it is. `bus`: whether there is a D-Bus session bus.
    ///
    /// # Errors
    /// If the file cannot be read, or if it holds no RSA key in PEM that is not encrypted. The message names
    /// the file, where it was configured, and what it holds instead.
    pub fn load(source: &KeySource, bus: bool) -> Result<Self> {
        Self::parse(&WrittenKey::read(source, bus)?, source)
    }

    /// Parses a key that was read from `source`.
    pub(super) fn parse(written: &WrittenKey, source: &KeySource) -> Result<Self> {
        let text = std::str::from_utf8(&written.0).map_err(|_| NotAKey::NotPem);
        let key = if written.0.len() as u64 > MAX_KEY && matches!(source, KeySource::File { .. }) {
            Err(NotAKey::TooLarge)
        } else {
            text.and_then(Self::from_text)
        };
        key.map_err(|wrong| {
            let error = wrong.into_error(&described(source));
            match source {
                KeySource::Text { .. } if wrong == NotAKey::NotPem => error.hint(
                    "it must hold the key itself; for the name of a file there is GHAPP_PRIVATE_KEY_FILE",
                ),
                _ => error,
            }
        })
    }

    /// Parses PEM: as it is, with line ends written out as `\n` (how it often ends up in an environment
    /// variable), or as a whole in base64.
    fn from_text(text: &str) -> std::result::Result<Self, NotAKey> {
        let written_out = Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n"));
        if let Some(key) = Self::from_pem(&written_out)? {
            return Ok(key);
        }
        let mut packed = Zeroizing::new(String::with_capacity(text.len()));
        packed.extend(text.chars().filter(|c| !c.is_whitespace()));
        let unpacked = Zeroizing::new(STANDARD.decode(packed.as_bytes()).map_err(|_| NotAKey::NotPem)?);
        let unpacked = std::str::from_utf8(&unpacked).map_err(|_| NotAKey::NotPem)?;
        Self::from_pem(unpacked)?.ok_or(NotAKey::NotPem)
    }

    /// `None` if the text holds no PEM section at all.
    fn from_pem(text: &str) -> std::result::Result<Option<Self>, NotAKey> {
        let Some(start) = text.find("-----BEGIN ") else { return Ok(None) };
        let section = &text[start..];
        let label = section["-----BEGIN ".len()..].split("-----").next().unwrap_or_default();
        match label {
            "RSA PRIVATE KEY" if section.contains("Proc-Type: 4,ENCRYPTED") => {
                return Err(NotAKey::Encrypted);
            }
            "RSA PRIVATE KEY" | "PRIVATE KEY" => {}
            "ENCRYPTED PRIVATE KEY" => return Err(NotAKey::Encrypted),
            "EC PRIVATE KEY" => return Err(NotAKey::NotRsa),
            "OPENSSH PRIVATE KEY" => return Err(NotAKey::OpenSsh),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => return Err(NotAKey::Public),
            "CERTIFICATE" => return Err(NotAKey::Certificate),
            _ => return Err(NotAKey::NotPem),
        }
        let (kind, der) =
            <(SectionKind, Vec<u8>)>::from_pem_slice(section.as_bytes()).map_err(|_| NotAKey::Damaged)?;
        let der = Zeroizing::new(der);
        let usable = match kind {
            SectionKind::RsaPrivateKey => KeyPair::from_der(&der),
            _ => KeyPair::from_pkcs8(&der),
        };
        match usable {
            Ok(_) => Ok(Some(Self { der })),
            Err(e) => Err(match e.to_string().as_str() {
                "TooSmall" => NotAKey::TooSmall,
                "WrongAlgorithm" => NotAKey::NotRsa,
                _ => NotAKey::Damaged,
            }),
        }
    }

    /// The SHA-256 of the public key, as GitHub shows it on the App's settings page.
    ///
    /// <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/managing-private-keys-for-github-apps#verifying-private-keys>
    ///
    /// # Errors
    /// None for a key that could be loaded.
    pub fn fingerprint(&self) -> Result<String> {
        let pair = pair(&self.der).map_err(|e| Error::new(format!("cannot read the private key: {e}")))?;
        // RFC 5280, section 4.1.2.7: algorithm, and a bit string with no unused bits.
        let bits = [&[0], pair.public().as_ref()].concat();
        let algorithm = tagged(0x30, &rustls_pki_types::alg_id::RSA_ENCRYPTION);
        let public = tagged(0x30, &[algorithm, tagged(0x03, &bits)].concat());
        Ok(format!("SHA256:{}", STANDARD.encode(hmac_sha256::Hash::hash(&public))))
    }

    /// The key's DER.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }
}

/// A key pair from the DER of either form: PKCS #1 or PKCS #8.
pub(super) fn pair(der: &[u8]) -> std::result::Result<KeyPair, KeyRejected> {
    KeyPair::from_der(der).or_else(|_| KeyPair::from_pkcs8(der))
}

/// A value in DER: tag, length, content. (X.690, section 8.1)
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut value = vec![tag];
    match length {
        [short @ 0..0x80] => value.push(*short),
        // At most 64 KiB were read.
        long => value.extend([0x80 | (long.len() as u8)].iter().chain(long)),
    }
    value.extend(content);
    value
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Why a text is not a key that an App can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotAKey {
    Certificate,
    Damaged,
    Encrypted,
    NotPem,
    NotRsa,
    OpenSsh,
    Public,
    TooLarge,
    TooSmall,
}

impl NotAKey {
    fn into_error(self, shown: &str) -> Error {
        let what = match self {
            Self::Certificate => "holds a certificate, not a private key",
            Self::Damaged => "is damaged: it begins like an RSA key in PEM but cannot be decoded",
            Self::Encrypted => "is encrypted, and nobody is there to type its passphrase",
            Self::NotPem => "is not a private key in PEM format",
            Self::NotRsa => "is not an RSA key, and a GitHub App signs with RSA",
            Self::OpenSsh => "is a key in OpenSSH format, not PEM",
            Self::Public => "holds a public key, not a private key",
            Self::TooLarge => "is too large for a private key",
            Self::TooSmall => "is an RSA key of less than 2048 bits",
        };
        let hint = match self {
            Self::Encrypted => "write it without a passphrase: openssl rsa -in KEY.pem -out PLAIN.pem",
            _ => {
                "download a private key on the App's settings page; it begins with -----BEGIN RSA PRIVATE KEY-----"
            }
        };
        Error::new(format!("the private key {shown} {what}")).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PKCS1: &str = include_str!("../../simulator/keys/acme.pem");

    fn why(text: &str) -> NotAKey {
        PrivateKey::from_text(text).unwrap_err()
    }

    #[test]
    fn every_way_to_write_a_key_gives_the_same_key() {
        let key = PrivateKey::from_text(PKCS1).unwrap();
        let pkcs8 = include_str!("../../simulator/keys/acme.pkcs8.pem");
        for text in [
            PKCS1.replace('\n', "\r\n"),
            PKCS1.replace('\n', "\\n"),
            PKCS1.trim_end().to_owned(),
            format!("\n  \n{PKCS1}"),
            format!("Bag Attributes\n    friendlyName: acme\n{PKCS1}"),
            STANDARD.encode(PKCS1),
            format!("{}\n", STANDARD.encode(PKCS1)),
            STANDARD
                .encode(PKCS1)
                .as_bytes()
                .chunks(76)
                .map(|l| std::str::from_utf8(l).unwrap())
                .collect::<Vec<_>>()
                .join("\n"),
        ] {
            assert_eq!(PrivateKey::from_text(&text).unwrap().der(), key.der(), "{text:.40}");
        }
        assert!(PrivateKey::from_text(pkcs8).is_ok());
        assert!(PrivateKey::from_text(&STANDARD.encode(pkcs8)).is_ok());
    }

    #[test]
    fn what_is_not_a_key_is_named() {
        let begin = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        for (text, reason) in [
            (String::new(), NotAKey::NotPem),
            ("hello".to_owned(), NotAKey::NotPem),
            (STANDARD.encode("hello"), NotAKey::NotPem),
            (begin("RSA PRIVATE KEY"), NotAKey::Damaged),
            (begin("PRIVATE KEY"), NotAKey::Damaged),
            (PKCS1.replace("-----END", ""), NotAKey::Damaged),
            (PKCS1[..PKCS1.len() / 2].to_owned(), NotAKey::Damaged),
            (begin("EC PRIVATE KEY"), NotAKey::NotRsa),
            (begin("OPENSSH PRIVATE KEY"), NotAKey::OpenSsh),
            (begin("ENCRYPTED PRIVATE KEY"), NotAKey::Encrypted),
            (
                PKCS1.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1),
                NotAKey::Encrypted,
            ),
            (begin("PUBLIC KEY"), NotAKey::Public),
            (begin("CERTIFICATE"), NotAKey::Certificate),
            (begin("SOMETHING"), NotAKey::NotPem),
            (include_str!("../../tests/data/ec.pkcs8.pem").to_owned(), NotAKey::NotRsa),
            (include_str!("../../tests/data/rsa1024.pem").to_owned(), NotAKey::TooSmall),
        ] {
            assert_eq!(why(&text), reason, "{text:.60}");
        }
    }

    #[test]
    fn debug_never_shows_the_key() {
        assert_eq!(format!("{:?}", PrivateKey::from_text(PKCS1).unwrap()), "PrivateKey(…)");
    }
}
