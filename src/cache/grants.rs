//! Grant files: what the cached tokens may do, without the tokens. `status` and `token --json` tell it; nothing that git
//! gets, and nothing that `logout` drops, depends on them.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Cache;
use super::folder::Kind;
use super::key::{Name as _, TokenKey};
use crate::time::Timestamp;
use crate::token::{Granted, Label, Token};

pub(super) const KIND: Kind = Kind::of_digests("grants");

/// What one token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// Whose it is.
    pub(crate) label: Label,
    /// What it may do.
    pub(crate) granted: Granted,
    /// When it expires, by the local clock.
    pub(crate) expires_at: Timestamp,
}

/// What is shared of a token: the token, and what it is for, a line each. Its times are by a clock that is so many seconds
/// ahead.
pub(super) fn token_to_share(token: &Token, grant: &Grant, ahead: i64) -> Zeroizing<Vec<u8>> {
    let mut entry = token.to_bytes_by_clock_ahead(&grant.label, ahead);
    entry.push(b'\n');
    // Text and numbers can always be written to memory.
    let _ = serde_json::to_writer(&mut *entry, grant);
    entry
}

/// The token and what it is for, as another machine shared them.
pub(super) fn shared_token(entry: &[u8], ahead: i64) -> Option<(Token, Grant)> {
    let end = entry.iter().position(|byte| *byte == b'\n')?;
    let token = Token::from_bytes(&entry[..end])?.by_clock_ahead(-ahead);
    let mut grant: Grant = serde_json::from_slice(&entry[end + 1..]).ok()?;
    grant.label.minted_elsewhere = true;
    grant.expires_at = token.expires_at();
    Some((token, grant))
}

impl Cache<'_> {
    /// Notes what a token is for. Without the note it serves git just as well.
    pub(crate) fn note_grant(&self, key: &TokenKey, grant: &Grant) {
        if let Some(folder) = self.folder() {
            let _ = folder.write_json(KIND, key.name(), grant);
        }
    }

    /// What a token is for, if that was noted.
    pub(crate) fn grant(&self, key: &TokenKey) -> Option<Grant> {
        self.folder()?.read_json(KIND, key.name())
    }

    pub(super) fn forget_grant(&self, key: &TokenKey) {
        if let Some(folder) = self.folder() {
            // One that stays is forgotten when its token has expired.
            let _ = folder.remove(KIND, key.name());
        }
    }

    /// The names of all tokens that something is noted about.
    pub(super) fn noted(&self) -> Vec<TokenKey> {
        let names = self.folder().map(|folder| folder.names(KIND)).unwrap_or_default();
        names.iter().filter_map(|name| TokenKey::from_name(name)).collect()
    }
}
