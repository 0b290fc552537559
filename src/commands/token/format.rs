//! How a token is written, and files that hold one.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Given;
use crate::commands::exec::token_variables;
use crate::commands::output::time;
use crate::error::{Error, Result, cause};
use crate::files;
use crate::token::Token;

/// How a token is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// The token alone
    #[default]
    Plain,
    /// As --json
    Json,
    /// GH_TOKEN=…, GITHUB_TOKEN=… and GH_HOST=…, for shells and --env-file
    Env,
    /// For curl and others that read a .netrc
    Netrc,
    /// The line access-tokens for nix.conf
    Nix,
}

/// What is written: pieces, with the token between each two of them.
pub(super) struct Text {
    format: Format,
    pieces: Vec<String>,
    /// How tokens of this kind begin. `None`: as any word may.
    prefix: Option<&'static str>,
}

/// How GitHub's installation access tokens begin.
/// <https://docs.github.com/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats>
const PREFIX: &str = "ghs_";

/// More than any file that this program writes, in bytes.
const MAX_FILE: u64 = 256 * 1024;

impl Format {
    /// The text for a token.
    ///
    /// # Errors
    /// If the token has letters that have a meaning of their own in this format. GitHub's have none.
    pub(super) fn text(self, given: &Given) -> Result<Text> {
        let token = given.token.secret.expose();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+/=".contains(&byte);
        if !matches!(self, Self::Plain | Self::Json) && !token.bytes().all(is_plain) {
            return Err(
                Error::new("the token has characters that this format cannot hold").hint("use --format json")
            );
        }
        let host = &given.host;
        let pieces = match self {
            Self::Plain => vec![String::new(), "\n".to_owned()],
            Self::Json => json_pieces(given),
            Self::Env => {
                let [first, second] = token_variables(host);
                vec![format!("{first}="), format!("\n{second}="), format!("\nGH_HOST={host}\n")]
            }
            Self::Netrc => {
                let mut pieces = Vec::new();
                let mut between = "";
                let name = |text: &str| text.split(':').next().unwrap_or(text).to_owned();
                let mut names = vec![name(&host.to_string()), name(given.api.host())];
                names.dedup();
                let username = &given.username;
                for name in names {
                    pieces.push(format!("{between}machine {name} login {username} password "));
                    between = "\n";
                }
                pieces.push("\n".to_owned());
                pieces
            }
            // <https://nix.dev/manual/nix/latest/command-ref/conf-file#conf-access-tokens>
            Self::Nix => vec![format!("access-tokens = {host}="), "\n".to_owned()],
        };
        Ok(Text { format: self, pieces, prefix: token.starts_with(PREFIX).then_some(PREFIX) })
    }
}

fn json_pieces(given: &Given) -> Vec<String> {
    let rest = json!({
        "expires_at": time(given.token.expires_at()),
        "host": given.host.to_string(),
        "api": given.api.to_string(),
        "app": given.app,
        "installation": given.installation,
        "permissions": given.granted.permissions,
        "repository_selection": given.granted.repository_selection,
        "repositories": given.granted.repositories,
    });
    let rest = serde_json::to_string_pretty(&rest).unwrap_or_default();
    vec!["{\n  \"token\": \"".to_owned(), format!("\",{}\n", rest.trim_start_matches('{'))]
}

impl Text {
    /// The text itself, of which no copy stays in memory that is not wiped.
    pub(super) fn bytes(&self, token: &Token) -> Zeroizing<Vec<u8>> {
        let token = match self.format {
            Format::Json => token.secret.in_json(),
            _ => Zeroizing::new(token.secret.expose().to_owned()),
        };
        let length = self.pieces.iter().map(|piece| piece.len() + token.len()).sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 {
                bytes.extend_from_slice(token.as_bytes());
            }
            bytes.extend_from_slice(piece.as_bytes());
        }
        bytes
    }

    /// Writes it as a whole to a file that only this user may read; gives what was written. A file that is there is replaced
    /// if it holds such a token in this format, and nothing else, or `written`: what this process wrote before.
    ///
    /// # Errors
    /// If it cannot be written, or something else is there, which stays.
    pub(super) fn write(&self, path: &Path, token: &Token, written: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let failed =
            |why: &std::io::Error| Error::new(format!("cannot write {}: {}", path.display(), cause(why)));
        match files::open_own(std::fs::OpenOptions::new().read(true), path) {
            Ok(file) => {
                let mut before = Zeroizing::new(String::new());
                let read = file.take(MAX_FILE).read_to_string(&mut before);
                let is_own = before.is_empty() || before.as_bytes() == written || self.has_shape_of(&before);
                if read.is_err() || !is_own {
                    return Err(self.holds_something_else(path));
                }
            }
            Err(e) if files::is_absent(&e) => {}
            Err(e) => return Err(failed(&e)),
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let how = files::Writing {
            unfinished: folder.unwrap_or(Path::new(".")),
            access: files::Access::Private,
            replaces: true,
            lasts: false,
        };
        let bytes = self.bytes(token);
        files::write_whole(path, &bytes, how).map_err(|e| failed(&e))?;
        Ok(bytes)
    }

    fn holds_something_else(&self, path: &Path) -> Error {
        let path = path.display();
        if self.format == Format::Plain && self.prefix.is_none() {
            let what = format!("{path} holds something, and any word may be a token of this kind");
            return Error::new(what)
                .hint("name another file, or remove this one; --format json can be told apart");
        }
        Error::new(format!("{path} holds something else than a token in this format"))
            .hint("name another file, or remove this one")
    }

    /// Whether a text is of the same format, with perhaps another token.
    fn has_shape_of(&self, text: &str) -> bool {
        if self.format == Format::Json {
            let is_token = |value: Value| value.get("token").is_some() && value.get("installation").is_some();
            return serde_json::from_str(text).is_ok_and(is_token);
        }
        // Any word would be a token then.
        if self.format == Format::Plain && self.prefix.is_none() {
            return false;
        }
        let mut pieces = self.pieces.iter();
        let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first.as_str())) else {
            return false;
        };
        for piece in pieces {
            let end = rest.find(|c: char| !c.is_ascii_graphic()).unwrap_or(rest.len());
            match rest[end..].strip_prefix(piece.as_str()) {
                Some(after) if end > 0 && rest.starts_with(self.prefix.unwrap_or_default()) => rest = after,
                _ => return false,
            }
        }
        rest.is_empty()
    }
}
