//! An App's public key: what a signature is checked with before anything is sent.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use rustls_pki_types::alg_id::RSA_ENCRYPTION;
use rustls_pki_types::pem::{PemObject as _, SectionKind};

use crate::error::{Error, Result, cause};
use crate::files;
use crate::origin::Origin;

/// The file that holds a public key.
#[derive(Clone, Debug)]
pub(crate) struct PublicKeyFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Where that is configured.
    pub(crate) origin: Origin,
}

/// An RSA public key.
pub(crate) struct PublicKey {
    /// `RSAPublicKey` of PKCS #1, in DER. (RFC 8017, appendix A.1.1)
    der: Vec<u8>,
    /// How long a signature is, in bytes.
    pub(crate) signature_length: usize,
}

/// Whether a signature is one that GitHub takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Good,
    /// It is of this key, but by the other way to sign with RSA.
    Pss,
    /// It is of another key, or of other bytes.
    Bad,
}

impl PublicKeyFile {
    /// Reads the key.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub(crate) fn read(&self) -> Result<PublicKey> {
        let shown = format!("the public key {} ({})", self.path.display(), self.origin);
        let content = files::read(&self.path).map_err(|e| {
            Error::new(format!("cannot read {shown}: {}", cause(&e))).hint("name its file in public-key")
        })?;
        PublicKey::parse(&content).map_err(|what| {
            Error::new(format!("{shown} {what}"))
                .hint("make it from the App's key: openssl rsa -in KEY.pem -pubout")
        })
    }
}

impl PublicKey {
    /// Parses a key in PEM, or in DER. The error says what is there instead.
    pub(crate) fn parse(content: &[u8]) -> Result<Self, &'static str> {
        const DAMAGED: &str = "is not a public key in PEM format";
        if content.windows(12).any(|window| window == b"PRIVATE KEY-") {
            return Err("holds a private key, which belongs where the command has it");
        }
        let from_pem = <(SectionKind, Vec<u8>)>::from_pem_slice(content);
        let whole = match from_pem {
            Ok((SectionKind::PublicKey, der)) => der,
            Ok(_) => return Err(DAMAGED),
            Err(_) => content.to_vec(),
        };
        let (info, _) = value(0x30, &whole).ok_or(DAMAGED)?;
        let (algorithm, rest) = value(0x30, info).ok_or(DAMAGED)?;
        if *algorithm != *RSA_ENCRYPTION {
            return Err("is not an RSA key, and a GitHub App signs with RSA");
        }
        let bits = value(0x03, rest).and_then(|(bits, _)| bits.strip_prefix(&[0])).ok_or(DAMAGED)?;
        Self::from_der(bits.to_vec()).ok_or(DAMAGED)
    }

    /// A key from its DER as PKCS #1 has it.
    pub(crate) fn from_der(der: Vec<u8>) -> Option<Self> {
        let (numbers, _) = value(0x30, &der)?;
        let (modulus, _) = value(0x02, numbers)?;
        let signature_length = modulus.iter().skip_while(|byte| **byte == 0).count();
        Some(Self { der, signature_length })
    }

    /// Checks a signature over a message.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Verdict {
        let verifies = |with| UnparsedPublicKey::new(with, &self.der).verify(message, signature).is_ok();
        if verifies(&RSA_PKCS1_2048_8192_SHA256) {
            Verdict::Good
        } else if verifies(&RSA_PSS_2048_8192_SHA256) {
            Verdict::Pss
        } else {
            Verdict::Bad
        }
    }

    /// The SHA-256 of the public key, as GitHub shows it on the App's settings page.
    ///
    /// <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/managing-private-keys-for-github-apps#verifying-private-keys>
    pub(crate) fn fingerprint(&self) -> String {
        // RFC 5280, section 4.1.2.7: algorithm, and a bit string with no unused bits.
        let bits = [&[0], self.der.as_slice()].concat();
        let algorithm = tagged(0x30, &RSA_ENCRYPTION);
        let public = tagged(0x30, &[algorithm, tagged(0x03, &bits)].concat());
        format!("SHA256:{}", STANDARD.encode(digest(&SHA256, &public)))
    }
}

/// A value in DER: tag, length, content. (X.690, section 8.1)
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut tagged = vec![tag];
    match length {
        [] => tagged.push(0),
        [short @ 0..=0x7f] => tagged.push(*short),
        // At most 64 KiB were read.
        long => tagged.extend([0x80 | (long.len() as u8)].iter().chain(long)),
    }
    tagged.extend(content);
    tagged
}

/// The content of the value of this tag that the bytes begin with, and what follows it.
fn value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes.strip_prefix(&[tag])? {
        [short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}
