//! Results for a person or a program, on the standard output.

use std::io::Write;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::terminal::escape;
use crate::time::Timestamp;
use crate::token::Permissions;
use crate::world::World;

/// Where results go.
pub(super) struct Output<'o> {
    out: &'o mut dyn Write,
    /// Whether colours are shown. (<https://no-color.org>)
    colours: bool,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Good,
    Doubtful,
    Bad,
}

impl<'o> Output<'o> {
    pub(super) fn new(out: &'o mut dyn Write, world: &World<'_>) -> Self {
        let variable = |name| world.variables.path(name);
        let colours = (world.streams)().output
            && variable("NO_COLOR").is_none()
            && variable("TERM").is_some_and(|term| term != "dumb");
        Self { out, colours }
    }

    /// Writes text as it is. It holds nothing foreign, or is meant for a program.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<()> {
        self.out.write_all(text).and_then(|()| self.out.flush()).map_err(|e| Error::of_output(&e))
    }

    /// Writes a line for a person.
    pub(super) fn line(&mut self, text: &str) -> Result<()> {
        self.write(format!("{}\n", escape(text)).as_bytes())
    }

    /// A word in a colour, where colours are shown; the rest of a line follows through [`Output::line`].
    pub(super) fn word(&mut self, colour: Colour, word: &str) -> Result<()> {
        let code = match colour {
            Colour::Good => 32,
            Colour::Doubtful => 33,
            Colour::Bad => 31,
        };
        let text = if self.colours { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        self.write(text.as_bytes())
    }

    /// Writes JSON for a program.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|e| Error::new(format!("cannot write the result as JSON: {e}")))?;
        text.push(b'\n');
        let text = zeroize::Zeroizing::new(text);
        self.write(&text)
    }

    /// Writes a table: a line of headings, and the rows below them in columns.
    pub(super) fn table<const N: usize>(&mut self, headings: [&str; N], rows: &[[String; N]]) -> Result<()> {
        let mut lines = vec![headings.map(str::to_owned)];
        lines.extend(rows.iter().map(|row| row.each_ref().map(|cell| escape(cell))));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..N).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        self.write(text.as_bytes())
    }
}

/// A time as GitHub writes it: `2026-11-21T08:00:00Z`.
pub(super) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// A time that is soon, for a person: `in 54 min`.
pub(super) fn soon(at: Timestamp, now: Timestamp) -> String {
    match at.since(now) {
        seconds if seconds >= 120 => format!("in {} min", seconds / 60),
        seconds if seconds >= 0 => format!("in {seconds} s"),
        seconds => format!("{} s ago", -seconds),
    }
}

/// So many of something.
pub(super) fn count(number: usize, singular: &str, plural: &str) -> String {
    format!("{number} {}", if number == 1 { singular } else { plural })
}

/// What a token may do: `contents: write, metadata: read`, or another text where that is not known.
pub(super) fn what_it_may(permissions: Option<&Permissions>, unknown: &str) -> String {
    let permissions = permissions.into_iter().flatten();
    let each: Vec<String> = permissions.map(|(name, level)| format!("{name}: {level}")).collect();
    if each.is_empty() { unknown.to_owned() } else { each.join(", ") }
}

/// What comes, without repetitions: a file that several runs of setup wrote to is one file.
pub(super) fn each_once<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut each = Vec::new();
    for one in all {
        if !each.contains(&one) {
            each.push(one);
        }
    }
    each
}
