//! What a refusal means: by its status first. This is the one place that reads GitHub's English, since its API has no codes
//! for what went wrong; what another vendor says is shown, and not read.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::reply::Reply;
use crate::error::Error;
use crate::names::{ApiUrl, InstallationId};
use crate::time::{Timestamp, describe, describe_offset, offset_matters};

/// Why there is no token, sorted by what can be done next.
#[derive(Debug)]
pub(crate) enum Failure {
    /// GitHub did not answer, or returned a server error: what is cached may still help.
    Unreachable(Error),
    /// GitHub's rate limit is used up until this time, by the local clock: nobody else need ask before that.
    Limited(Error, Timestamp),
    /// GitHub refused, or there is nothing to ask with: asking again does not help.
    Refused(Error),
    /// There is no such installation any more: what is remembered about it is wrong.
    Gone(Error),
    /// GitHub refused an installation access token: it was revoked, or has expired.
    TokenRefused(Error),
}

impl Failure {
    /// The line that names the cause.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Unreachable(error)
            | Self::Limited(error, _)
            | Self::Refused(error)
            | Self::Gone(error)
            | Self::TokenRefused(error) => error.message(),
        }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Unreachable(error)
            | Self::Limited(error, _)
            | Self::Refused(error)
            | Self::Gone(error)
            | Self::TokenRefused(error) => error,
        }
    }
}

impl From<Error> for Failure {
    /// A failure on this side: of the configuration, of the key.
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.into_error()
    }
}

/// The most that is shown of a message of the server, in characters.
const MAX_MESSAGE: usize = 200;

/// The message of an error in GitHub's form, shortened.
pub(crate) fn message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        message: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    Some(body.message.chars().take(MAX_MESSAGE).collect())
}

/// GitHub's message; `None` in the answers of others, which are not read.
fn githubs_message(reply: &Reply) -> Option<String> {
    message(&reply.body).filter(|_| reply.is_github)
}

/// What the server says, to be shown.
fn message_to_show(reply: &Reply) -> Option<String> {
    if reply.is_github {
        return message(&reply.body);
    }
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let message =
        ["message", "msg", "error", "detail", "title"].iter().find_map(|name| body.get(name)?.as_str());
    Some(message?.chars().take(MAX_MESSAGE).collect())
}

/// That the key that signed the JWT is none of the App's.
pub(super) fn unknown_key(api: &ApiUrl, app_id: &str, reply: &Reply, hint: &str) -> Failure {
    let why = match message_to_show(reply).filter(|_| !reply.is_github) {
        Some(message) => message,
        None => format!("the private key does not belong to App {app_id}"),
    };
    Failure::Refused(Error::new(format!("{api} refused the App's JWT: {why}")).hint(hint))
}

/// Whether the times in the JWT are why it was refused.
pub(super) fn is_about_times_of_jwt(reply: &Reply) -> bool {
    let is_about_times = |message: String| message.contains("('exp')") || message.contains("('iat')");
    match reply.is_github {
        true => reply.status == 401 && githubs_message(reply).is_some_and(is_about_times),
        false => reply.status == 401 && reply.clock_offset.is_some_and(offset_matters),
    }
}

/// Whether the API has no such App. A 404 otherwise means that what was asked for is not there.
pub(super) fn is_unknown_app(reply: &Reply) -> bool {
    reply.status == 404 && githubs_message(reply).as_deref() == Some("Integration not found")
}

/// Whether the key that signed the JWT is none of the App's.
pub(super) fn is_unknown_key(reply: &Reply) -> bool {
    match reply.is_github {
        true => reply.status == 401 && githubs_message(reply).as_deref() == Some(UNKNOWN_KEY),
        // What else it may be, the answer does not tell.
        false => reply.status == 401 && !is_about_times_of_jwt(reply),
    }
}

const UNKNOWN_KEY: &str = "A JSON web token could not be decoded";
/// What GitHub says of an App without a key: the first one was made a moment ago, or the last one was deleted.
const NO_KEY: &str = "Integration must generate a public key";

/// Whether GitHub knows the App, and no key of it. For a while after a registration it does not.
pub(super) fn has_no_key_yet(reply: &Reply) -> bool {
    reply.status == 401 && githubs_message(reply).as_deref() == Some(NO_KEY)
}

/// The longest that a rate limit is believed to last, in seconds. GitHub's windows are an hour.
/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>
const LONGEST_LIMIT: i64 = 3600;

/// That somebody wants to be left alone for a while.
pub(super) struct RateLimit {
    pub(super) wait: Duration,
    /// Whether that is the API, and not a proxy before it.
    pub(super) is_of_api: bool,
}

/// How long to wait, if a rate limit is why a request was refused. `clock_offset`: how many seconds the API's clock is ahead.
/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>
pub(super) fn rate_limit(reply: &Reply, now: Timestamp, clock_offset: i64) -> Option<RateLimit> {
    let number = |name| reply.header(name).and_then(|text| text.trim().parse::<i64>().ok());
    let retry_after = number("retry-after");
    let is_used_up = number("x-ratelimit-remaining") == Some(0);
    let says_so = || githubs_message(reply).is_some_and(|it| it.to_ascii_lowercase().contains("rate limit"));
    let is_limited = match reply.status {
        429 => true,
        403 => is_used_up || retry_after.is_some() || says_so(),
        _ => false,
    };
    let reset = number("x-ratelimit-reset").filter(|_| is_used_up);
    let until_reset = reset.map(|at| Timestamp(at).since(now.plus(clock_offset)));
    // Without a time GitHub asks for a minute at least.
    let seconds = retry_after.or(until_reset).unwrap_or(60).clamp(1, LONGEST_LIMIT);
    let wait = Duration::from_secs(seconds.unsigned_abs());
    // Another vendor's words are not read.
    let is_of_api = !reply.is_github || message(&reply.body).is_some();
    is_limited.then_some(RateLimit { wait, is_of_api })
}

/// That a rate limit is used up until a time.
pub(crate) fn rate_limited(api: &ApiUrl, app_id: &str, until: Timestamp, now: Timestamp) -> Failure {
    let error = Error::new(format!("the rate limit of App {app_id} on {api} is used up"))
        .hint(format!("try again in {}", describe(until.since(now).max(1))));
    Failure::Limited(error, until)
}

/// That somebody else answers for the API, and asks to wait.
pub(super) fn limited_by_another(api: &ApiUrl, reply: &Reply) -> Failure {
    Failure::Unreachable(not_the_api(api, reply))
}

fn not_the_api(api: &ApiUrl, reply: &Reply) -> Error {
    let kind = reply.header("content-type").unwrap_or("no Content-Type");
    let status = reply.status;
    let what = match reply.is_github {
        true => {
            format!("{api} returned {status} with an answer that does not come from GitHub's API ({kind})")
        }
        false => {
            format!("{api} returned {status} with an answer that is not as [app.api] describes it ({kind})")
        }
    };
    Error::new(what).hint(check_address(reply))
}

/// That the server returned an error of its own, which may pass.
pub(super) fn server_error(api: &ApiUrl, status: u16) -> Failure {
    let error = Error::new(format!("{api} returned {status}"))
        .hint("see https://www.githubstatus.com, or ask who runs this server");
    Failure::Unreachable(error)
}

/// What helps where somebody else than the API seems to answer.
pub(super) const CHECK_ADDRESS: &str =
    "check host and api-url in the configuration, and whether a proxy answers instead";

fn check_address(reply: &Reply) -> &'static str {
    match reply.is_github {
        true => CHECK_ADDRESS,
        false => "check api-url and [app.api] in the configuration, and whether a proxy answers instead",
    }
}

/// An answer that is not what the API gives. serde's own message could quote a value, which could be a token.
pub(super) fn malformed(api: &ApiUrl, reply: &Reply, error: &serde_json::Error) -> Failure {
    let kind = reply.header("content-type").unwrap_or("no Content-Type");
    let place = format!("line {} column {}", error.line(), error.column());
    let what = match reply.is_github {
        true => format!("{api} sent an answer that does not come from GitHub's API ({kind}, {place})"),
        false => format!("{api} sent an answer that is not as [app.api] describes it ({kind}, {place})"),
    };
    Failure::Refused(Error::new(what).hint(check_address(reply)))
}

/// What a refusal means of a request with the App's JWT that is not about minting.
pub(super) fn refusal(api: &ApiUrl, app_id: &str, reply: &Reply) -> Failure {
    let message = message_to_show(reply);
    let whose = if reply.is_github { "GitHub's" } else { "the server's" };
    Failure::Refused(match (reply.status, message.as_deref()) {
        (404, Some(_)) if is_unknown_app(reply) => Error::new(format!("there is no App {app_id} on {api}"))
            .hint("compare the App ID with the App's settings page, and check that the App belongs to this host"),
        (401, message) if is_about_times_of_jwt(reply) => match reply.clock_offset {
            Some(offset) if offset_matters(offset) => {
                let offset = describe_offset(offset);
                Error::new(format!("{api} refused the App's JWT: this clock is {offset} {whose}"))
                    .hint("set the clock")
            }
            _ => Error::new(format!("{api} refused the App's JWT: {}", message.unwrap_or_default()))
                .hint("set the clock, if it is not right"),
        },
        (401, Some(_)) if has_no_key_yet(reply) => {
            Error::new(format!("{api} knows no public key of App {app_id}"))
                .hint("if the App's private key was made a moment ago, try again in a minute; else make one on the App's settings page")
        }
        (401, Some(message)) => Error::new(format!("{api} refused the App's JWT: {message}")),
        _ => other_refusal(api, reply),
    })
}

/// What a refusal means of a request with an installation access token.
pub(super) fn token_refusal(api: &ApiUrl, reply: &Reply) -> Failure {
    match (reply.status, message_to_show(reply)) {
        (401, message) if message.is_some() || !reply.is_github => Failure::TokenRefused(
            Error::new(format!(
                "{api} refused the installation access token: {}",
                message.unwrap_or_default()
            ))
            .hint("it was revoked or has expired; git-credential-ghapp token --fresh mints a new one"),
        ),
        _ => Failure::Refused(other_refusal(api, reply)),
    }
}

pub(super) fn other_refusal(api: &ApiUrl, reply: &Reply) -> Error {
    match (reply.status, message_to_show(reply)) {
        (403, Some(message)) if reply.is_github && message.contains("IP allow list") => {
            Error::new(message).hint("let an organisation owner add this address to the IP allow list")
        }
        (status, Some(message)) => Error::new(format!("{api} returned {status}: {message}")),
        (_, None) => not_the_api(api, reply),
    }
}

/// That a list has no end.
pub(super) fn endless(api: &ApiUrl, what: &str, path: &str) -> Failure {
    let error = Error::new(format!("{api} lists more than {what} of {path}"));
    Failure::Refused(error.hint(CHECK_ADDRESS))
}

/// What a refusal to mint means. `fix` gives the hint for a step that an owner takes on the installation's page.
pub(super) fn mint_refusal(
    api: &ApiUrl,
    app_id: &str,
    reply: &Reply,
    installation: &InstallationId,
    fix: impl Fn(&str) -> String,
) -> Failure {
    let message = message_to_show(reply).unwrap_or_default();
    let refused = |what: String, step: &str| Failure::Refused(Error::new(what).hint(fix(step)));
    match reply.status {
        404 if !is_unknown_app(reply) => Failure::Gone(
            Error::new(format!("App {app_id} has no installation {installation} on {api}"))
                .hint("install the App again, or correct installation-id in the configuration"),
        ),
        403 if reply.is_github && message.contains("suspended") => refused(
            format!("installation {installation} of App {app_id} is suspended"),
            "whoever suspended it, an owner of the account or the App's owner, has to unsuspend it",
        ),
        403 if reply.is_github && message.contains("IP allow list") => refused(
            format!("installation {installation} of App {app_id} may not be used from here: {message}"),
            "add this machine's address to the IP allow list of the organisation",
        ),
        422 => refused(
            format!("installation {installation} of App {app_id} cannot give such a token: {message}"),
            "add the repositories to the installation",
        ),
        _ => refusal(api, app_id, reply),
    }
}
