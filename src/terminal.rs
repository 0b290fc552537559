//! The one place that writes for a person: every message passes here and comes out on one line.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::time::Clock;

const PREFIX: &str = "git-credential-ghapp";

/// Where messages for a person go: the standard error stream.
pub struct Terminal {
    out: RefCell<Box<dyn Write>>,
    trace: Option<Trace>,
    /// The warnings so far: each is told once, however often its reason is met.
    warnings: RefCell<Vec<String>>,
    /// When it was last told what is waited for.
    waiting_told: Cell<Option<Instant>>,
}

/// Where the trace goes, and since when.
struct Trace {
    /// A file, or nothing for where all messages go.
    file: Option<RefCell<File>>,
    clock: Clock,
}

impl Terminal {
    /// Messages go to `out`.
    pub fn new(out: impl Write + 'static) -> Self {
        Self {
            out: RefCell::new(Box::new(out)),
            trace: None,
            warnings: RefCell::default(),
            waiting_told: Cell::new(None),
        }
    }

    /// Shows each decision and request from now on, among the messages or in a file.
    pub(crate) fn start_trace(&mut self, file: Option<File>, clock: Clock) {
        self.trace = Some(Trace { file: file.map(RefCell::new), clock });
    }

    /// A decision or a request, if there is a trace. No secret is ever part of it.
    pub(crate) fn trace(&self, what: impl FnOnce() -> String) {
        let Some(trace) = &self.trace else { return };
        let time = (trace.clock.began() + trace.clock.elapsed()).as_micros();
        let (second, micros) = (time / 1_000_000 % 86_400, time % 1_000_000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let after = trace.clock.elapsed().as_secs_f64();
        let line = format!(
            "{hour:02}:{minute:02}:{second:02}.{micros:06} {PREFIX}: {after:.6} s: {}\n",
            escape(&what())
        );
        // One write, so that lines of parallel helpers do not mix. A trace that cannot be written is no failure.
        let _ = match &trace.file {
            Some(file) => file.borrow_mut().write_all(line.as_bytes()),
            None => self.out.borrow_mut().write_all(line.as_bytes()),
        };
    }

    /// Asks a person something, on the line where the answer is typed.
    pub(crate) fn ask(&self, question: &str) {
        let mut out = self.out.borrow_mut();
        // Where stderr is closed nobody is asked: the answer will be the end of the input.
        let _ = out.write_all(format!("{}: ", escape(question)).as_bytes()).and_then(|()| out.flush());
    }

    /// Shows how far a long list has come, on a line that the next call writes over; an empty text clears it.
    pub(crate) fn progress(&self, text: &str) {
        let mut out = self.out.borrow_mut();
        let _ = out.write_all(format!("\r\x1b[K{}", escape(text)).as_bytes()).and_then(|()| out.flush());
    }

    /// A failure, and the next step if one is known.
    pub(crate) fn error(&self, error: &Error) {
        self.say("error", error);
    }

    /// Something that a person should know although the operation goes on.
    pub(crate) fn warning(&self, warning: &Error) {
        let text = warning.message();
        if !self.warnings.borrow().iter().any(|earlier| earlier == text) {
            self.warnings.borrow_mut().push(text.to_owned());
            self.say("warning", warning);
        }
    }

    /// What is waited for, if that was not told within `pause`.
    pub(crate) fn waiting(&self, pause: Duration, what: impl FnOnce() -> String) {
        if self.waiting_told.get().is_none_or(|then| then.elapsed() >= pause) {
            self.waiting_told.set(Some(Instant::now()));
            self.say("waiting", &Error::new(what()));
        }
    }

    fn say(&self, kind: &str, error: &Error) {
        let mut text = format!("{PREFIX}: {kind}: {}\n", escape(error.message()));
        if let Some(hint) = error.next_step() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{PREFIX}: hint: {}", escape(hint));
        }
        // One write, so that lines of parallel helpers do not mix. Where stderr is closed nobody reads it.
        let _ = self.out.borrow_mut().write_all(text.as_bytes());
    }
}

/// The text with everything escaped that could move a cursor, start a terminal sequence, break the line or
/// reorder what is shown. Parts of messages come from servers, files and URLs.
pub(crate) fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let breaks_line = matches!(c, '\u{2028}' | '\u{2029}');
        if c.is_control() || reorders || breaks_line {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A path as a shell takes it.
pub(crate) fn path_in_shell(path: &Path) -> String {
    in_shell(&path.display().to_string())
}

/// A word as a shell takes it, whatever is in it: what a hint names is pasted into one.
pub(crate) fn in_shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@%+,".contains(&byte);
    match word {
        "" => "\"\"".to_owned(),
        word if word.bytes().all(plain) => word.to_owned(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_a_server_put_into_it() {
        #[derive(Clone, Default)]
        struct Screen(Rc<RefCell<Vec<u8>>>);
        impl Write for Screen {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.borrow_mut().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let screen = Screen::default();
        let error = Error::new("GitHub says: a\nb\x1b[31mc\r\u{9b}d\u{202e}e é").hint("x\0y");
        Terminal::new(screen.clone()).error(&error);
        assert_eq!(
            String::from_utf8_lossy(&screen.0.borrow()),
            "git-credential-ghapp: error: GitHub says: a\\nb\\u{1b}[31mc\\r\\u{9b}d\\u{202e}e é\n\
             git-credential-ghapp: hint: x\\u{0}y\n"
        );
    }
}
