//! Signatures of a command: the private key is where this machine cannot read it.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::public_key::{PublicKey, PublicKeyFile, Verdict};
use crate::command::ConfiguredCommand;
use crate::error::Result;
use crate::world::World;

/// The setting that names the command.
pub(crate) const SETTING: &str = "sign-command";

/// How long a signature is, in bytes: as long as the key, of 2048, 3072 or 4096 bits.
const LENGTHS: [usize; 3] = [256, 384, 512];

/// A command that signs what is on its standard input: RSASSA-PKCS1-v1_5 with SHA-256. (RFC 7518, section 3.3)
#[derive(Clone, Debug)]
pub(crate) struct SignCommand {
    /// What is run.
    pub(crate) command: ConfiguredCommand,
    /// What its signatures are checked with.
    pub(crate) public_key: Option<PublicKeyFile>,
}

impl SignCommand {
    /// Lets the command sign a message.
    ///
    /// # Errors
    /// If it fails, or if what it prints is not a signature that GitHub takes.
    pub(super) fn sign(&self, message: &[u8], world: &World<'_>) -> Result<Vec<u8>> {
        let public_key = self.public_key.as_ref().map(PublicKeyFile::read).transpose()?;
        let printed = self.command.run(message, &[], world)?;
        let name = self.command.name();
        let wrong = |what: fmt::Arguments<'_>| {
            self.command.failure(format_args!("{name} printed {what}")).hint(
                "it must print the signature alone, RSASSA-PKCS1-v1_5 with SHA-256: raw, in base64, or as Vault does",
            )
        };
        if printed.windows(11).any(|window| window == b"-----BEGIN ") {
            return Err(wrong(format_args!("PEM, where a signature belongs")));
        }
        let signature = decoded(&printed);
        let length = signature.len();
        match &public_key {
            Some(key) if length != key.signature_length => {
                let expected = key.signature_length;
                Err(wrong(format_args!("{length} bytes, and a signature of its public key has {expected}")))
            }
            None if !LENGTHS.contains(&length) => {
                Err(wrong(format_args!("{length} bytes, and a signature of an RSA key has 256, 384 or 512")))
            }
            Some(key) => match key.verify(message, &signature) {
                Verdict::Good => Ok(signature),
                Verdict::Pss => Err(wrong(format_args!("a signature by RSASSA-PSS, which GitHub refuses"))),
                Verdict::Bad => Err(wrong(format_args!("a signature that its public key does not verify"))),
            },
            None => Ok(signature),
        }
    }

    /// The public key, if one is configured.
    pub(crate) fn public_key(&self) -> Result<Option<PublicKey>> {
        self.public_key.as_ref().map(PublicKeyFile::read).transpose()
    }
}

/// The bytes of a signature that stands there as bytes, in base64 of either alphabet, or after `vault:vN:`.
fn decoded(printed: &[u8]) -> Vec<u8> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = std::str::from_utf8(printed).ok().and_then(|text| {
        let text: String = text.split_whitespace().collect();
        let bare = text.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
        let bare = bare.map_or(text.as_str(), |(_, bare)| bare).to_owned();
        let decode = |alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(&bare).ok();
        decode(&STANDARD).or_else(|| decode(&URL_SAFE))
    });
    text.unwrap_or_else(|| printed.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_read_however_it_is_printed() {
        // Bytes that need both alphabets' special letters.
        let signature: Vec<u8> = (0..=255).rev().collect();
        let base64 = |alphabet| GeneralPurpose::new(alphabet, GeneralPurposeConfig::new()).encode(&signature);
        let standard = base64(&STANDARD);
        assert!(standard.contains('+') && standard.contains('/') && standard.ends_with('='));
        let lines = |width: usize| {
            let lines = standard.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap());
            lines.collect::<Vec<_>>().join("\r\n") + "\n"
        };
        for text in [
            standard.clone(),
            format!("{standard}\n"),
            lines(64),
            standard.trim_end_matches('=').to_owned(),
            base64(&URL_SAFE),
            base64(&URL_SAFE).trim_end_matches('=').to_owned(),
            format!("vault:v1:{standard}\n"),
            format!("vault:v12:{}", base64(&URL_SAFE)),
        ] {
            assert_eq!(decoded(text.as_bytes()), signature, "{text:.20}");
        }
        assert_eq!(decoded(&signature), signature);
        assert_eq!(decoded(b"{\"Signature\": \"x\"}").len(), 18);
    }
}
