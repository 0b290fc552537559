//! An answer of an API, as it came. It knows neither how it came nor what it means.

use ureq::http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::secret::without;

/// An answer, read to its end.
pub(super) struct Reply {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// How many seconds the API's clock is ahead of the local one, if the answer says what time it is, and if it is certain
    /// that the API says so.
    pub(super) clock_offset: Option<i64>,
    /// Whether GitHub's words are in it.
    pub(super) is_github: bool,
}

impl Reply {
    /// An answer from which is taken out what was sent.
    pub(super) fn new(
        status: u16,
        headers: HeaderMap,
        body: Zeroizing<Vec<u8>>,
        is_github: bool,
        secret: &str,
    ) -> Self {
        let mut reply = Self { status, headers, body, clock_offset: None, is_github };
        reply.redact(secret);
        reply
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Takes out what was sent, wherever a server or a proxy sends it back: none of it is to be shown.
    fn redact(&mut self, secret: &str) {
        // What is not text is not shown.
        match String::from_utf8(std::mem::take(&mut *self.body)) {
            Ok(text) => *self.body = without(text, secret).into_bytes(),
            Err(other) => *self.body = other.into_bytes(),
        }
        for value in self.headers.values_mut() {
            let Ok(text) = value.to_str() else { continue };
            let clean = without(text.to_owned(), secret).replace('…', "...");
            if clean != text {
                *value = HeaderValue::from_str(&clean).unwrap_or(HeaderValue::from_static("..."));
            }
        }
    }
}
