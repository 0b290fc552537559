//! The App's private key: where it can be, and from its text to something that can sign.
//!
//! A new place for keys is a file of its own here. Where `private-key` names it (`keyring:NAME`), its line is in [`KINDS`]. Where
//! a setting of its own does (`private-key-command`), that is an entry in `SETTINGS` and a line in `SOURCES` of
//! `config/settings.rs`.

pub(crate) mod command;
mod credential;
pub(crate) mod environment;
mod file;
pub(crate) mod keyring;

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

use super::public_key::PublicKey;
use crate::command::ConfiguredCommand;
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::world::World;

/// A place that a private key is read from.
pub(crate) trait KeySource: fmt::Debug {
    /// The key as it is written there.
    fn read(&self, world: &World<'_>) -> Result<KeyText>;

    /// What signs with the key, as it is written there.
    fn signer(&self, text: &KeyText) -> Result<Box<dyn Signer>> {
        Ok(Box::new(PrivateKey::parse(text, self)?))
    }

    /// Where the key is and where that is configured, for messages; follows "the private key".
    fn describe(&self) -> String;

    /// Where the key is.
    fn short(&self) -> String;

    /// What names it in the setting `private-key`; `None` where nothing can.
    fn setting(&self) -> Option<String>;

    /// The file that holds it, if it is in one.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// The command that prints it, if one does.
    fn command(&self) -> Option<&ConfiguredCommand> {
        None
    }

    /// What to do where its text is no PEM, if there is more to say than usual.
    fn hint_if_not_pem(&self) -> Option<&'static str> {
        None
    }
}

/// Signs as the App.
pub(crate) trait Signer {
    /// Signs a message as GitHub wants it: RSASSA-PKCS1-v1_5 with SHA-256. (RFC 7518, section 3.3)
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// What `private-key` may name, in the order in which it is tried.
static KINDS: &[Named] = &[keyring::named, credential::named, file::named];

/// Makes a source of the text in `private-key`, if it names one of its kind. Paths are resolved by a function.
type Named = fn(&str, &dyn Fn(&str) -> PathBuf, &Origin) -> Option<Rc<dyn KeySource>>;

/// The source that `private-key` names. Paths are resolved by `resolve`.
pub(crate) fn source(
    text: &str,
    resolve: &dyn Fn(&str) -> PathBuf,
    origin: &Origin,
) -> Result<Rc<dyn KeySource>> {
    if text.contains("-----BEGIN") {
        return Err(Error::new(format!(
            "the private key itself was given where its file should be named ({origin})"
        ))
        .hint("put the key into a file that only you can read, or into the variable GHAPP_PRIVATE_KEY"));
    }
    let source = KINDS.iter().find_map(|named| named(text, resolve, origin)).filter(|_| !text.is_empty());
    source.ok_or_else(|| {
        Error::new(format!("no file is named for the private key ({origin})"))
            .hint("name the .pem file from the App's settings page")
    })
}

/// Reads a key from where it is.
pub(crate) fn read(source: &dyn KeySource, world: &World<'_>) -> Result<PrivateKey> {
    PrivateKey::parse(&source.read(world)?, source)
}

/// Whether a text is a private key that an App can sign with.
pub(crate) fn is_usable(text: &str) -> bool {
    PrivateKey::from_text(text).is_ok()
}

/// The most that is read of a key, in bytes. An RSA key of 16,384 bits has 13 KB.
const MAX_KEY: u64 = 64 * 1024;

/// A private key as it is written, not yet known to be one.
pub(crate) struct KeyText(Zeroizing<Vec<u8>>);

impl KeyText {
    pub(crate) fn new(text: Zeroizing<Vec<u8>>) -> Self {
        Self(text)
    }

    /// The text without the blanks around it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.trim_ascii()
    }
}

/// An RSA private key, known to be usable for RS256.
pub(crate) struct PrivateKey(KeyPair);

impl PrivateKey {
    /// Parses a key that was read from `source`. The message of an error names where the key is, and what is there
    /// instead.
    pub(crate) fn parse<S: KeySource + ?Sized>(text: &KeyText, source: &S) -> Result<Self> {
        let key = if text.0.len() as u64 > MAX_KEY {
            Err(NotAKey::TooLarge)
        } else {
            std::str::from_utf8(&text.0).map_err(|_| NotAKey::NotPem).and_then(Self::from_text)
        };
        key.map_err(|wrong| {
            let error = wrong.into_error(&source.describe());
            match source.hint_if_not_pem() {
                Some(hint) if wrong == NotAKey::NotPem => error.hint(hint),
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
        let in_lines = Zeroizing::new(in_lines(section, label));
        let (kind, der) =
            <(SectionKind, Vec<u8>)>::from_pem_slice(in_lines.as_bytes()).map_err(|_| NotAKey::Damaged)?;
        let der = Zeroizing::new(der);
        let pair = match kind {
            SectionKind::RsaPrivateKey => KeyPair::from_der(&der),
            _ => KeyPair::from_pkcs8(&der),
        };
        match pair {
            Ok(pair) => Ok(Some(Self(pair))),
            Err(e) => Err(match e.to_string().as_str() {
                "TooSmall" => NotAKey::TooSmall,
                "WrongAlgorithm" => NotAKey::NotRsa,
                _ => NotAKey::Damaged,
            }),
        }
    }

    /// The public key that belongs to it.
    pub(crate) fn public(&self) -> Option<PublicKey> {
        PublicKey::from_der(self.0.public().as_ref().to_vec())
    }
}

impl Signer for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| Error::new("the App's private key cannot sign"))?;
        Ok(signature)
    }
}

/// A section of PEM in lines. Where it is pasted into a form of one line, its line ends become blanks.
fn in_lines(section: &str, label: &str) -> String {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = section.strip_prefix(&begin).and_then(|rest| Some(rest.split_once(&end)?.0));
    let Some(body) = body.filter(|body| !body.trim().contains('\n')) else { return section.to_owned() };
    // Never more than is there, so that no copy stays behind where it grew.
    let mut text = String::with_capacity(section.len() + 3);
    text.extend([&begin, "\n"]);
    body.split_whitespace().for_each(|part| text.extend([part, "\n"]));
    text.extend([&end, "\n"]);
    text
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
            Self::Encrypted => "is encrypted with a passphrase",
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

    const PKCS1: &str = include_str!("../../../simulator/keys/acme.pem");

    fn why(text: &str) -> NotAKey {
        PrivateKey::from_text(text).unwrap_err()
    }

    #[test]
    fn every_way_to_write_a_key_gives_the_same_key() {
        let key = PrivateKey::from_text(PKCS1).unwrap();
        let pkcs8 = include_str!("../../../simulator/keys/acme.pkcs8.pem");
        for text in [
            PKCS1.replace('\n', "\r\n"),
            PKCS1.replace('\n', "\\n"),
            PKCS1.replace('\n', " "),
            PKCS1.replace('\n', "\r\n").replace('\n', "  "),
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
            assert_eq!(
                PrivateKey::from_text(&text).unwrap().0.public().as_ref(),
                key.0.public().as_ref(),
                "{text:.40}"
            );
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
            (include_str!("../../../tests/data/ec.pkcs8.pem").to_owned(), NotAKey::NotRsa),
            (include_str!("../../../tests/data/rsa1024.pem").to_owned(), NotAKey::TooSmall),
        ] {
            assert_eq!(why(&text), reason, "{text:.60}");
        }
    }

    #[test]
    fn debug_never_shows_the_key() {
        assert_eq!(format!("{:?}", PrivateKey::from_text(PKCS1).unwrap()), "PrivateKey(…)");
    }
}
