//! The verdicts.

use std::fmt;

/// The verdicts of a run, each a line.
#[derive(Default)]
pub(crate) struct Verdict(Vec<(bool, String)>);

impl Verdict {
    pub(crate) fn add(&mut self, is_good: bool, text: impl Into<String>) {
        self.0.push((is_good, text.into()));
    }

    pub(crate) fn is_good(&self) -> bool {
        self.0.iter().all(|(is_good, _)| *is_good)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (is_good, text) in &self.0 {
            let word = if *is_good { "ok      " } else { "FAILED  " };
            writeln!(out, "{word}{text}")?;
        }
        Ok(())
    }
}
