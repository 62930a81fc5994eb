//! A Markdown table.

use std::fmt;

/// A table.
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.head.iter().map(|_| "---".to_owned()).collect();
        for cells in [&self.head, &rule].into_iter().chain(&self.rows) {
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}
