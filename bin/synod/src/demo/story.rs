//! What the demo tells, line by line: in a terminal of 100 columns and in a log file alike.

use super::Report;
use crate::show::{Form, note, print_raw};
use eyre::Result;
use std::{cell::Cell, fmt};

/// Prints the demo's lines. They are its result, unless that is asked for as JSON: then they are notes.
pub(crate) struct Story {
    form: Form,
    chapter: Cell<u32>,
}

impl Story {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            chapter: Cell::new(0),
        }
    }

    /// A heading.
    pub(crate) fn chapter(&self, title: &str) {
        self.chapter.set(self.chapter.get() + 1);
        self.print(&format!("\n{}. {title}\n", self.chapter.get()));
    }

    /// A line below it.
    pub(crate) fn line(&self, text: impl fmt::Display) {
        self.print(&format!("   {text}\n"));
    }

    /// What was found.
    pub(crate) fn end(&self, report: &Report) -> Result<()> {
        self.print(&format!("\n{report}\n"));
        match self.form {
            Form::Text => Ok(()),
            Form::Json => self.form.print(report),
        }
    }

    fn print(&self, text: &str) {
        match self.form {
            // A reader that went away (`| head`) does not end the demo: its exit code still tells.
            Form::Text => drop(print_raw(text)),
            Form::Json => note(text.trim_end_matches('\n')),
        }
    }
}
