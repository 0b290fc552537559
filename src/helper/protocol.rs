//! git's credential protocol: attribute lines in, attribute lines out.
//!
//! The format is described in git-credential(1), section INPUT/OUTPUT FORMAT, and in gitcredentials(7).

use std::io::{BufRead, Write};

use zeroize::Zeroizing;

use crate::error::{Error, Result, cause};
use crate::names::{Host, Place, Repository};
use crate::secret::Secret;
use crate::socket::Message;
use crate::time::Timestamp;
use crate::token::{Need, is_token};

/// The most that is read of one request, in bytes. git's lines have at most 65,535 bytes each.
pub(crate) const MAX_REQUEST: usize = 1024 * 1024;

/// What git asks: the attributes that this helper uses. All others are skipped.
///
/// No value holds a control character, carriage return included: some program further along would take it
/// for the end of a line (CVE-2024-52006).
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// `protocol`: the scheme of the URL.
    pub(crate) protocol: Option<String>,
    /// `host`: the host name, with its port if the URL has one.
    pub(crate) host: Option<String>,
    /// `path`: sent only where `credential.useHttpPath` is true.
    pub(crate) path: Option<String>,
    /// `username`: the user name of the URL, if it has one.
    pub(crate) username: Option<String>,
    /// `password`: what was refused (`erase`) or accepted (`store`).
    pub(crate) password: Option<Secret>,
    /// `capability[]`: whether git understands `state[]` and `continue`.
    pub(crate) understands_state: bool,
    /// Our own `state[]`, if git sends it back: the fingerprint of the token that was refused just now.
    pub(crate) refused: Option<String>,
}

/// What our values of `state[]` begin with; those of other helpers are theirs.
const STATE_PREFIX: &str = "ghapp.";

impl Request {
    /// Reads attributes until a blank line or the end of the input. Later values replace earlier ones.
    ///
    /// # Errors
    /// If the input cannot be read or is larger than [`MAX_REQUEST`], if a line is not `key=value`, or if a
    /// value that this helper uses is not UTF-8 or holds a control character.
    pub(crate) fn read(input: impl BufRead) -> Result<Self> {
        let mut request = Self::default();
        let mut input = input.take(MAX_REQUEST as u64 + 1);
        let mut line = Zeroizing::new(Vec::new());
        let mut total = 0;
        for number in 1.. {
            line.clear();
            let read = input.read_until(b'\n', &mut line);
            total += read.map_err(|e| Error::new(format!("cannot read git's request: {}", cause(&e))))?;
            if total > MAX_REQUEST {
                return Err(Error::new(format!("git's request is larger than {MAX_REQUEST} bytes")));
            }
            let content = line.strip_suffix(b"\n").unwrap_or(&line);
            if content.is_empty() {
                break;
            }
            request.set(content, number)?;
        }
        Ok(request)
    }

    /// What git asks about. `None`: nothing that a token of ours could be for.
    /// `is_ours` tells whether our tokens for a host go with a user name.
    pub(crate) fn place(&self, is_ours: &dyn Fn(&Host, &str) -> bool) -> Option<Place> {
        if self.protocol.as_deref() != Some("https") {
            return None;
        }
        let host = Host::parse(self.host.as_deref()?)?;
        let username = self.username.as_deref().filter(|name| !name.is_empty());
        if username.is_some_and(|name| !is_ours(&host, name)) {
            return None;
        }
        match self.path.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => Repository::from_path(path).map(|repository| Place::Repository(host, repository)),
            None => Some(Place::Host(host)),
        }
    }

    /// Which token will do: git may ask once more because the last one was refused.
    pub(crate) fn need(&self) -> Need<'_> {
        self.refused.as_deref().map_or(Need::Fresh, Need::OtherThan)
    }

    /// Whether git asks once more if the token is refused: if it understands `state[]`.
    pub(crate) fn may_retry(&self) -> bool {
        self.understands_state && self.refused.is_none()
    }

    /// The request as a message for whoever serves at a socket.
    pub(crate) fn to_message(&self, operation: &str) -> Message {
        let state = self.refused.as_ref().map(|refused| format!("{STATE_PREFIX}{refused}"));
        Message::new(operation)
            .with_some("protocol", self.protocol.as_deref())
            .with_some("host", self.host.as_deref())
            .with_some("path", self.path.as_deref())
            .with_some("username", self.username.as_deref())
            .with_some("password", self.password.as_ref().map(Secret::expose))
            .with_some("capability[]", self.understands_state.then_some("state"))
            .with_some("state[]", state.as_deref())
    }

    fn set(&mut self, line: &[u8], number: usize) -> Result<()> {
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
            return Err(Error::new(format!("line {number} of git's request is not key=value")));
        };
        let (key, value) = (&line[..equals], &line[equals + 1..]);
        let slot = match key {
            b"protocol" => &mut self.protocol,
            b"host" => &mut self.host,
            b"path" => &mut self.path,
            b"username" => &mut self.username,
            b"capability[]" => {
                // An empty value clears the list.
                self.understands_state = !value.is_empty() && (self.understands_state || value == b"state");
                return Ok(());
            }
            b"state[]" => {
                let ours = plain(value).and_then(|text| text.strip_prefix(STATE_PREFIX)).map(str::to_owned);
                self.refused = if value.is_empty() { None } else { ours.or(self.refused.take()) };
                return Ok(());
            }
            b"password" => {
                // git passes on whatever a person or another helper gave; what could not be a token of ours
                // is no reason to complain.
                self.password = plain(value).map(|text| Secret::new(text.to_owned()));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let name = String::from_utf8_lossy(key);
        let text = std::str::from_utf8(value)
            .map_err(|_| Error::new(format!("the {name} in git's request is not valid UTF-8")))?;
        if plain(value).is_none() {
            return Err(Error::new(format!("the {name} in git's request holds a control character"))
                .hint("look for %0a, %0d or similar in the URL, and do not trust where it came from"));
        }
        *slot = Some(text.to_owned());
        Ok(())
    }
}

/// The value as text, if it is UTF-8 without control characters.
fn plain(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| !text.chars().any(char::is_control))
}

/// What git is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Use this credential.
    Credential {
        /// The user name that goes with the token.
        username: String,
        /// The installation access token.
        password: Secret,
        /// When git must stop using it, by the local clock.
        expires_at: Timestamp,
        /// `state[]`: the token's fingerprint. If the token is refused, git sends it back within the same command, so that
        /// another token can be given (git 2.46; git-credential(1), `state[]` and `continue`). `None`: this answer is
        /// the last one.
        state: Option<String>,
    },
    /// There is no credential, and nobody else is to be asked.
    Quit,
}

impl Answer {
    /// Writes the answer.
    ///
    /// # Errors
    /// If the output cannot be written, or if git's lines cannot carry the password.
    pub(crate) fn write(&self, output: impl Write) -> Result<()> {
        if let Self::Credential { password, .. } = self
            && !is_token(password.expose())
        {
            return Err(Error::new("the token has characters that git's protocol does not allow"));
        }
        let text = Zeroizing::new(match self {
            Self::Credential { username, password, expires_at, state } => {
                let (before, after) = match state {
                    Some(fingerprint) => (
                        "capability[]=authtype\ncapability[]=state\n",
                        format!("state[]={STATE_PREFIX}{fingerprint}\ncontinue=1\n"),
                    ),
                    None => ("", String::new()),
                };
                format!(
                    "{before}username={username}\npassword={}\npassword_expiry_utc={}\n{after}",
                    password.expose(),
                    expires_at.0
                )
            }
            Self::Quit => "quit=1\n".to_owned(),
        });
        write_whole(output, &text)
    }
}

/// Writes a whole answer at once, so that git never sees a part of one.
///
/// # Errors
/// If the output cannot be written.
pub(crate) fn write_whole(mut output: impl Write, answer: &str) -> Result<()> {
    output
        .write_all(answer.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|e| Error::new(format!("cannot write the answer: {}", cause(&e))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &[u8]) -> Result<Request> {
        Request::read(input)
    }

    fn is_ours(_: &Host, name: &str) -> bool {
        name == username()
    }

    fn username() -> String {
        crate::vendor::GITHUB.username.to_string()
    }

    #[test]
    fn a_real_request_of_git_is_read() {
        let request = read(
            b"capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=github.com\npath=acme/widgets.git\n\
              wwwauth[]=Basic realm=\"GitHub\"\n",
        )
        .unwrap();
        assert_eq!(request.protocol.as_deref(), Some("https"));
        assert_eq!(request.host.as_deref(), Some("github.com"));
        assert_eq!(request.path.as_deref(), Some("acme/widgets.git"));
        assert!(request.username.is_none() && request.password.is_none());
    }

    #[test]
    fn order_repetition_unknown_keys_and_missing_line_ends_do_not_matter() {
        for input in [
            "path=a/b\nhost=h\nprotocol=https\n",
            "path=a/b\nhost=h\nprotocol=https",
            "path=a/b\nhost=h\nprotocol=https\n\n",
            "path=a/b\nhost=h\nprotocol=https\n\nhost=evil\n",
            "host=x\nfuture=1\nhost=h\nnew[]=a\nnew[]=\nprotocol=https\nwwwauth[]=\r\x01\npath=a/b\n",
        ] {
            let request = read(input.as_bytes()).unwrap();
            assert_eq!(
                (request.protocol.as_deref(), request.host.as_deref(), request.path.as_deref()),
                (Some("https"), Some("h"), Some("a/b")),
                "{input:?}"
            );
        }
    }

    #[test]
    fn capabilities_and_states_are_lists_that_an_empty_value_clears() {
        let understands = |input: &str| read(input.as_bytes()).unwrap().understands_state;
        assert!(understands("capability[]=authtype\ncapability[]=state\n"));
        assert!(understands("capability[]=state\ncapability[]=authtype\n"));
        assert!(!understands("capability[]=state\ncapability[]=\n"));
        assert!(!understands("capability[]=statement\ncapability=state\n"));
        let refused = |input: &str| read(input.as_bytes()).unwrap().refused;
        assert_eq!(refused("state[]=other.1\nstate[]=ghapp.ab\nstate[]=other.2\n").as_deref(), Some("ab"));
        assert_eq!(refused("state[]=ghapp.ab\nstate[]=\n"), None);
        assert_eq!(refused("state[]=ghapp\n"), None);
    }

    #[test]
    fn the_longest_line_that_git_sends_is_read() {
        let path = "x".repeat(65_535 - "path=".len());
        assert_eq!(read(format!("path={path}\n").as_bytes()).unwrap().path, Some(path));
    }

    #[test]
    fn what_is_wrong_with_a_request_is_named() {
        let too_large = format!("path={}\n", "x".repeat(MAX_REQUEST));
        for (input, message) in [
            (&b"protocol=https\nnonsense\n"[..], "line 2 of git's request is not key=value"),
            (b"host=a\rb\n", "the host in git's request holds a control character"),
            (b"host=a\0b\n", "the host in git's request holds a control character"),
            (b"path=a\x1b[31m\n", "the path in git's request holds a control character"),
            (b"path=\xff\n", "the path in git's request is not valid UTF-8"),
            (b"username=a\xc2\x85\n", "the username in git's request holds a control character"),
            (too_large.as_bytes(), "git's request is larger than 1048576 bytes"),
        ] {
            assert_eq!(read(input).unwrap_err().message(), message);
        }
    }

    #[test]
    fn a_password_that_cannot_be_ours_is_no_error() {
        assert!(read(b"password=a\rb\n").unwrap().password.is_none());
        assert!(read(b"password=\xff\n").unwrap().password.is_none());
        assert_eq!(read(b"password=p=\xc3\xa4\n").unwrap().password.unwrap().expose(), "p=ä");
    }

    #[test]
    fn only_https_and_only_our_user_name_are_a_place() {
        let place = |line: &str| {
            let input = format!("protocol=https\nhost=github.com\npath=a/b\n{line}\n");
            read(input.as_bytes()).unwrap().place(&is_ours).map(|place| place.to_string())
        };
        let repository = Some("https://github.com/a/b".to_owned());
        assert_eq!(place(""), repository);
        assert_eq!(place("username=x-access-token"), repository);
        assert_eq!(place("username="), repository);
        assert_eq!(place("path="), Some("https://github.com".to_owned()));
        for line in ["username=octocat", "protocol=http", "protocol=", "host=", "host=github.com.", "path=a"]
        {
            assert_eq!(place(line), None, "{line}");
        }
        assert_eq!(read(b"protocol=https\n").unwrap().place(&is_ours), None);
    }

    #[test]
    fn an_answer_is_what_git_expects_and_nothing_else() {
        let write = |answer: Answer| {
            let mut out = Vec::new();
            answer.write(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let password = Secret::new("ghs_x".to_owned());
        assert_eq!(
            write(Answer::Credential {
                username: username(),
                password,
                expires_at: Timestamp(1_800_000_000),
                state: None
            }),
            "username=x-access-token\npassword=ghs_x\npassword_expiry_utc=1800000000\n"
        );
        let password = Secret::new("ghs_x".to_owned());
        let state = Some("0123".to_owned());
        assert_eq!(
            write(Answer::Credential {
                username: username(),
                password,
                expires_at: Timestamp(1_800_000_000),
                state
            }),
            "capability[]=authtype\ncapability[]=state\nusername=x-access-token\npassword=ghs_x\n\
             password_expiry_utc=1800000000\nstate[]=ghapp.0123\ncontinue=1\n"
        );
        assert_eq!(write(Answer::Quit), "quit=1\n");
    }

    proptest! {
        #[test]
        fn reading_never_panics(input in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&input);
        }

        #[test]
        fn an_answer_has_no_line_that_was_not_meant(token in ".{0,40}", at in any::<i64>()) {
            let mut out = Vec::new();
            let answer = Answer::Credential { username: username(), password: Secret::new(token.clone()), expires_at: Timestamp(at), state: None };
            match answer.write(&mut out) {
                Ok(()) => {
                    let expected = format!("username=x-access-token\npassword={token}\npassword_expiry_utc={at}\n");
                    prop_assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
                    prop_assert_eq!(out.iter().filter(|byte| byte.is_ascii_control()).count(), 3);
                }
                Err(_) => prop_assert!(out.is_empty() && !is_token(&token)),
            }
        }

        #[test]
        fn what_is_read_was_written(
            protocol in "[^\\p{Cc}]{0,20}", host in "[^\\p{Cc}]{0,20}", path in "[^\\p{Cc}]{0,40}", user in "[^\\p{Cc}]{0,9}"
        ) {
            let text = format!("host={host}\npath={path}\nusername={user}\nprotocol={protocol}\n");
            let request = read(text.as_bytes()).unwrap();
            prop_assert_eq!(
                (request.protocol, request.host, request.path, request.username),
                (Some(protocol), Some(host), Some(path), Some(user))
            );
        }
    }
}
