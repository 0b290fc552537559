//! A token, and what tools are told of it.

use crate::config::Rule;
use crate::error::Result;
use crate::names::{ApiUrl, Host, InstallationId};
use crate::secret::Secret;
use crate::socket::{Message, no_token};
use crate::source::Issued;
use crate::time::{Clock, Timestamp};
use crate::token::{Granted, Token, is_token};
use crate::vendor::LONGEST_LIFETIME;

/// A token, and what tools are told of it.
pub(in crate::commands) struct Given {
    pub(in crate::commands) token: Token,
    /// The host whose git takes it.
    pub(in crate::commands) host: Host,
    pub(super) api: ApiUrl,
    pub(super) app: String,
    /// The user name that git needs beside it.
    pub(in crate::commands) username: String,
    pub(super) installation: Option<InstallationId>,
    pub(in crate::commands) granted: Granted,
}

impl Given {
    pub(in crate::commands) fn new(issued: Issued, granted: Granted, rule: &Rule) -> Self {
        Self {
            token: issued.token,
            host: rule.host.clone(),
            api: rule.api.clone(),
            app: rule.app_id.clone(),
            username: rule.vendor().username.to_string(),
            installation: issued.installation.map(|it| it.id),
            granted,
        }
    }

    /// An answer over a socket.
    #[cfg(unix)]
    pub(in crate::commands) fn to_message(&self) -> Message {
        let installation = self.installation.as_ref().map(ToString::to_string);
        // Words and lists of words can always be written.
        let granted = serde_json::to_string(&self.granted).unwrap_or_default();
        Message::new(crate::socket::ANSWERED)
            .with("username", &self.username)
            .with("password", self.token.secret.expose())
            .with("password_expiry_utc", &self.token.expires_at().0.to_string())
            .with("host", &self.host.to_string())
            .with("api", &self.api.to_string())
            .with("app", &self.app)
            .with_some("installation", installation.as_deref())
            .with("granted", &granted)
    }

    /// The same, read from such an answer.
    ///
    /// # Errors
    /// If something is missing.
    pub(in crate::commands) fn from_message(message: &Message, clock: Clock) -> Result<Self> {
        let read = || {
            Some(Self {
                token: token_of(message, clock).ok()?,
                host: Host::parse(message.value("host")?)?,
                api: ApiUrl::parse(message.value("api")?).ok()?,
                app: message.value("app")?.to_owned(),
                username: message.value("username")?.to_owned(),
                installation: message.value("installation").and_then(InstallationId::parse),
                granted: serde_json::from_str(message.value("granted")?).ok()?,
            })
        };
        read().ok_or_else(no_token)
    }
}

/// The token in an answer over a socket.
///
/// # Errors
/// If there is none.
pub(in crate::commands) fn token_of(message: &Message, clock: Clock) -> Result<Token> {
    let read = || {
        let password = message.value("password").filter(|it| is_token(it))?;
        let lifetime = Timestamp(message.value("password_expiry_utc")?.parse().ok()?).since(clock.now());
        Some(Token::minted(Secret::new(password.to_owned()), lifetime, LONGEST_LIFETIME, clock))
    };
    read().ok_or_else(no_token)
}
