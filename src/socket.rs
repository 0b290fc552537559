//! What `serve` and those who ask it say to each other over a Unix socket.
//!
//! A message is as in git's credential protocol: a word on a line, lines `key=value`, and a blank line, without which it is
//! not whole. A connection carries one request and its answer.
//!
//! ```text
//! get                          answered
//! protocol=https               username=x-access-token
//! host=github.com              password=…
//! path=acme/widgets            password_expiry_utc=1800000000
//! ```
//!
//! The other words of answers are `declined` (it is for nothing that is served) and `refused`, with the attributes `error`
//! and perhaps `hint`.

use std::ffi::OsString;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::world::World;

/// The variable that names the socket.
pub(crate) const VARIABLE: &str = "GHAPP_SOCKET";

/// The words that answers begin with.
pub(crate) const ANSWERED: &str = "answered";
#[cfg(unix)]
pub(crate) const DECLINED: &str = "declined";
#[cfg(unix)]
const REFUSED: &str = "refused";

/// More than the longest request that is answered, in bytes: the names of 500 repositories.
#[cfg(unix)]
pub(crate) const MOST: usize = 128 * 1024;

/// How long an answer may take: GitHub its deadline several times, and others their turn before this one.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(180);

/// The start of a text that may repeat a whole request: 1000 letters of it.
#[cfg(unix)]
pub(crate) fn short(text: &str) -> &str {
    const LONGEST: usize = 1000;
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

/// A request or an answer. It has no `Debug`: it may hold a token.
pub(crate) struct Message {
    word: String,
    attributes: Vec<(String, Zeroizing<String>)>,
}

/// What both sides say of themselves.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What helps where one side does not understand the other.
pub(crate) const SAME_VERSION: &str = "use the same version of git-credential-ghapp on both sides";

/// That an answer lacks what it should hold.
pub(crate) fn no_token() -> Error {
    Error::new("the answer from the socket holds no token").hint(SAME_VERSION)
}

impl Message {
    pub(crate) fn new(word: &str) -> Self {
        Self { word: word.to_owned(), attributes: Vec::new() }
    }

    /// That a request is refused, and why, in no more words than a socket takes at once: nobody waits for who does not read.
    #[cfg(unix)]
    pub(crate) fn refusal(why: &Error) -> Self {
        let refused = Self::new(REFUSED).with("error", short(why.message()));
        match why.next_step() {
            Some(hint) => refused.with("hint", short(hint)),
            None => refused,
        }
    }

    /// The same with one more attribute. What cannot stand on a line stands there escaped.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        let value = match value.contains(char::is_control) {
            true => crate::terminal::escape(value),
            false => value.to_owned(),
        };
        self.attributes.push((key.to_owned(), Zeroizing::new(value)));
        self
    }

    /// The same with an attribute that may not be there.
    pub(crate) fn with_some(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(crate) fn word(&self) -> &str {
        &self.word
    }

    /// The value of an attribute; of a repeated one the last.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.attributes.iter().rev().find(|(it, _)| it == key).map(|(_, value)| value.as_str())
    }

    /// All values of an attribute.
    pub(crate) fn values<'m>(&'m self, key: &'m str) -> impl Iterator<Item = &'m str> {
        self.attributes.iter().filter(move |(it, _)| it == key).map(|(_, value)| value.as_str())
    }

    /// The refusal that an answer is.
    #[cfg(unix)]
    pub(crate) fn into_error(self) -> Error {
        let error = Error::new(self.value("error").unwrap_or("it was refused"));
        match self.value("hint") {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let lines = self.attributes.iter().map(|(key, value)| key.len() + value.len() + 2);
        // As large as it will be, so that no copy stays behind unwiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.word.len() + lines.sum::<usize>() + 2));
        bytes.extend_from_slice(self.word.as_bytes());
        bytes.push(b'\n');
        for (key, value) in &self.attributes {
            for part in [key.as_bytes(), b"=", value.as_bytes(), b"\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.push(b'\n');
        bytes
    }

    /// Reads a message that is whole.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::new("the message is not valid UTF-8"))?;
        let (text, _) = text.split_once("\n\n").ok_or_else(|| Error::new("the message is cut off"))?;
        let mut lines = text.split('\n');
        let word = lines.next().unwrap_or_default();
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(Error::new("the message does not begin with a word"));
        }
        let mut message = Self::new(word);
        for line in lines {
            let (key, value) =
                line.split_once('=').ok_or_else(|| Error::new("a line of the message is not key=value"))?;
            if line.contains(char::is_control) {
                return Err(Error::new("the message holds a control character"));
            }
            message = message.with(key, value);
        }
        Ok(message)
    }
}

/// The socket that is to be asked instead of GitHub, if there is one.
pub(crate) fn of(world: &World<'_>) -> Option<OsString> {
    world.variables.path(VARIABLE)
}

/// Asks whoever serves at the socket, and waits for the answer; a refusal is an error.
///
/// # Errors
/// If nobody serves there, if there is no answer in time, or if the answer is a refusal.
#[cfg(unix)]
pub(crate) fn ask(socket: &std::ffi::OsStr, request: &Message, world: &World<'_>) -> Result<Message> {
    use crate::time::{Unfinished, no_thread, within};
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    let path = PathBuf::from(socket);
    let shown = format!("{} ({VARIABLE})", path.display());
    if !path.is_absolute() {
        return Err(Error::new(format!("{shown} is not an absolute path"))
            .hint("name the socket of git-credential-ghapp serve as it is inside, or unset the variable"));
    }
    // Where very many wait already, connecting waits too.
    let connected = within(PATIENCE, move || UnixStream::connect(&path)).map_err(|why| match why {
        Unfinished::Late => late(&shown),
        Unfinished::NotStarted(e) => no_thread("ask the socket", &e),
    })?;
    let lost = |e: &std::io::Error| {
        Error::new(format!("the connection to {shown} is lost: {}", crate::error::cause(e)))
    };
    let mut stream = connected.map_err(|e| unreachable(&shown, &e))?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(|e| lost(&e))?;
    // One who does not want all of it answers why.
    let written = stream.write_all(&request.to_bytes());
    let answer = match read(&stream, PATIENCE, |waited| {
        world.tell_waiting(waited, || format!("for an answer from {shown}"));
    }) {
        Ok(bytes) => Message::parse(&bytes)?,
        Err(NotWhole::Late) => return Err(late(&shown)),
        Err(NotWhole::TooLarge) => return Err(Error::new(format!("the answer from {shown} is too large"))),
        Err(NotWhole::Ended) => return Err(written.err().map_or_else(|| no_answer(&shown), |e| lost(&e))),
        Err(NotWhole::Failed(e)) => return Err(lost(&e)),
    };
    match answer.word() {
        ANSWERED | DECLINED => Ok(answer),
        REFUSED => Err(answer.into_error()),
        _ => Err(Error::new(format!("the answer from {shown} is not understood")).hint(SAME_VERSION)),
    }
}

/// The same, where there are no such sockets.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub(crate) fn ask(_: &std::ffi::OsStr, _: &Message, _: &World<'_>) -> Result<Message> {
    let _ = (Message::to_bytes, Message::parse, Duration::from_secs);
    Err(Error::new(format!("{VARIABLE} is set, and this system has no Unix sockets for it"))
        .hint("unset it, and run git-credential-ghapp setup"))
}

#[cfg(unix)]
fn unreachable(shown: &str, why: &std::io::Error) -> Error {
    let error = Error::new(format!("cannot connect to {shown}: {}", crate::error::cause(why)));
    match why.kind() {
        std::io::ErrorKind::NotFound => {
            error.hint("is the socket there, on this side, and does git-credential-ghapp serve still run?")
        }
        std::io::ErrorKind::ConnectionRefused => error.hint("does git-credential-ghapp serve still run?"),
        std::io::ErrorKind::PermissionDenied => {
            error.hint("be the user who runs git-credential-ghapp serve; or start that with --mode 0666, in a folder that others may enter")
        }
        _ => error,
    }
}

#[cfg(unix)]
fn late(shown: &str) -> Error {
    Error::new(format!("no answer from {shown} within {} s", PATIENCE.as_secs()))
}

#[cfg(unix)]
fn no_answer(shown: &str) -> Error {
    Error::new(format!("{shown} gave no answer"))
        .hint("look at what git-credential-ghapp serve writes, where it runs")
}

/// Why there is no whole message.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) enum NotWhole {
    /// It took too long.
    Late,
    /// It is larger than [`MOST`].
    TooLarge,
    /// It ended before its blank line.
    Ended,
    /// It cannot be read.
    Failed(std::io::Error),
}

/// Reads until a message is whole. `waiting` is told every now and then for how long it has been waited.
///
/// # Errors
/// If there is none within `limit`, or it is too large.
#[cfg(unix)]
pub(crate) fn read(
    mut stream: &std::os::unix::net::UnixStream,
    limit: Duration,
    waiting: impl Fn(Duration),
) -> Result<Zeroizing<Vec<u8>>, NotWhole> {
    use std::io::{ErrorKind, Read as _};
    use std::time::Instant;
    const LOOK: Duration = Duration::from_secs(1);
    let began = Instant::now();
    let mut bytes = Zeroizing::new(vec![0; MOST]);
    let mut length = 0;
    loop {
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(NotWhole::Late);
        }
        stream.set_read_timeout(Some(left.min(LOOK))).map_err(NotWhole::Failed)?;
        match stream.read(&mut bytes[length..]) {
            Ok(0) => return Err(if length == MOST { NotWhole::TooLarge } else { NotWhole::Ended }),
            Ok(more) => {
                let from = length.saturating_sub(1);
                length += more;
                if let Some(end) = bytes[from..length].windows(2).position(|pair| pair == b"\n\n") {
                    bytes.truncate(from + end + 2);
                    return Ok(bytes);
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                waiting(began.elapsed());
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(NotWhole::Failed(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let request = Message::new("get").with("host", "github.com").with("path", "a=b").with("path", "");
        let bytes = request.to_bytes();
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), "get\nhost=github.com\npath=a=b\npath=\n\n");
        let read = Message::parse(&bytes).unwrap();
        assert_eq!((read.word(), read.value("host"), read.value("x")), ("get", Some("github.com"), None));
        assert_eq!(read.value("path"), Some(""));
    }

    #[test]
    fn a_message_is_whole() {
        for wrong in
            ["", "\n\n", "get", "get\n", "get\nhost=h", "Get\n\n", "get\nnonsense\n\n", "get\na=\r\n\n"]
        {
            assert!(Message::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(Message::parse(b"get\na=\xff\n\n").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_refusal_has_no_line_that_was_not_meant() {
        let refusal = Message::refusal(&Error::new("a\nhint=b").hint("c\r"));
        assert_eq!(&**refusal.to_bytes(), b"refused\nerror=a\\nhint=b\nhint=c\\r\n\n");
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&bytes);
        }
    }
}
