//! The report of `doctor`: a line a step, for a person as it comes, or all of it as JSON.

use serde::Serialize;

use crate::commands::output::{Colour, Output, count};
use crate::error::{Error, Result};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failure,
}

/// One step.
#[derive(Debug, Serialize)]
struct Step {
    /// What it is about, where everything is examined.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    step: &'static str,
    result: Verdict,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// The steps so far, told as they come.
pub(super) struct Report<'o, 'p> {
    steps: Vec<Step>,
    about: Option<String>,
    /// Whether what is fine is left out.
    problems_only: bool,
    output: &'o mut Output<'p>,
    json: bool,
}

impl<'o, 'p> Report<'o, 'p> {
    pub(super) fn new(output: &'o mut Output<'p>, json: bool) -> Self {
        Self { steps: Vec::new(), about: None, problems_only: false, output, json }
    }

    /// From here on it is about something else.
    pub(super) fn begin(&mut self, about: String) -> Result<()> {
        if !self.json {
            self.output.line(&format!("{about}:"))?;
        }
        self.about = Some(about);
        Ok(())
    }

    /// Examines something and leaves out what is fine. Gives whether all of it is.
    pub(super) fn problems_of(&mut self, examine: impl FnOnce(&mut Self) -> Result<()>) -> Result<bool> {
        let before = self.steps.len();
        self.problems_only = true;
        let examined = examine(self);
        self.problems_only = false;
        examined.map(|()| self.steps.len() == before)
    }

    /// Whether nothing has failed so far.
    pub(super) fn is_fine(&self) -> bool {
        self.count(Verdict::Failure) == 0
    }

    pub(super) fn ok(&mut self, step: &'static str, message: impl Into<String>) -> Result<()> {
        if self.problems_only {
            return Ok(());
        }
        self.tell(step, Verdict::Ok, Error::new(message))
    }

    pub(super) fn warning(&mut self, step: &'static str, what: Error) -> Result<()> {
        self.tell(step, Verdict::Warning, what)
    }

    pub(super) fn failure(&mut self, step: &'static str, what: Error) -> Result<()> {
        self.tell(step, Verdict::Failure, what)
    }

    fn tell(&mut self, step: &'static str, result: Verdict, what: Error) -> Result<()> {
        let hint = what.next_step().map(str::to_owned);
        let message = what.message().to_owned();
        if !self.json {
            let (colour, word) = match result {
                Verdict::Ok => (Colour::Good, "ok     "),
                Verdict::Warning => (Colour::Doubtful, "warning"),
                Verdict::Failure => (Colour::Bad, "failure"),
            };
            self.output.word(colour, word)?;
            self.output.line(&format!("  {step}: {message}"))?;
            if let Some(hint) = &hint {
                self.output.line(&format!("         hint: {hint}"))?;
            }
        }
        self.steps.push(Step { about: self.about.clone(), step, result, message, hint });
        Ok(())
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.steps.iter().filter(|step| step.result == verdict).count()
    }

    /// The end: a summary for a person, everything for a program; gives the exit code.
    pub(super) fn end(self) -> Result<u8> {
        #[derive(Serialize)]
        struct Whole<'s> {
            ok: bool,
            steps: &'s [Step],
        }
        let (failures, warnings) = (self.count(Verdict::Failure), self.count(Verdict::Warning));
        if self.json {
            self.output.json(&Whole { ok: failures == 0, steps: &self.steps })?;
        } else {
            let (failures, warnings) =
                (count(failures, "failure", "failures"), count(warnings, "warning", "warnings"));
            self.output.line(&format!("{failures}, {warnings}"))?;
        }
        Ok(u8::from(failures > 0))
    }
}
