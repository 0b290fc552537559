//! A person who is asked, where there is one.

use std::io::BufRead;

use crate::error::{Error, Result};
use crate::world::World;

/// How often a question is asked again after an answer that is of no use.
pub(super) const TRIES: usize = 5;

/// A person, if there is one.
pub(super) struct Person<'p> {
    /// Whether there is one, and wants to be asked.
    pub(super) present: bool,
    stdin: &'p mut dyn BufRead,
    world: &'p World<'p>,
}

impl<'p> Person<'p> {
    /// Whoever sits at the standard input, unless everything is agreed to already.
    pub(super) fn new(yes: bool, stdin: &'p mut dyn BufRead, world: &'p World<'p>) -> Self {
        Self { present: (world.streams)().input && !yes, stdin, world }
    }

    /// Asks for a line; `None` if there is nobody, or nothing was typed.
    pub(super) fn ask(&mut self, question: &str) -> Result<Option<String>> {
        if !self.present {
            return Ok(None);
        }
        self.world.terminal.ask(question);
        let mut line = String::new();
        match self.stdin.read_line(&mut line) {
            Ok(0) => Err(Error::new("the input ended, and nothing was changed")),
            Ok(_) => Ok(Some(line.trim().to_owned()).filter(|line| !line.is_empty())),
            Err(_) => Err(Error::new("the answer cannot be read, and nothing was changed")),
        }
    }

    /// Whether a person agrees, which is the default.
    pub(super) fn agrees(&mut self, question: &str) -> Result<bool> {
        let yes = |answer: &str| match answer.to_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err(Error::new("answer y or n")),
        };
        self.answer(&format!("{question} [Y/n]"), "y", yes)
    }

    /// An answer that is understood, or the default. One that is not is asked for again.
    pub(super) fn answer<T>(
        &mut self,
        question: &str,
        default: &str,
        understood: impl Fn(&str) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..TRIES {
            let Some(answer) = self.ask(question)? else { return understood(default) };
            match understood(&answer) {
                Ok(answer) => return Ok(answer),
                Err(why) => self.tell(&why),
            }
        }
        Err(Error::new("no answer was understood, and nothing was changed"))
    }

    /// Says what an answer is no good for.
    pub(super) fn tell(&self, why: &Error) {
        self.world.terminal.error(why);
    }
}
