//! Tables of figures, printed or put in their places in a page.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::place;
use crate::table::Table;

/// Puts the tables in their places in the page, by their names. Without a page, prints them.
pub(crate) fn publish(tables: &[(&str, Table)], page: Option<&Path>) -> Result<()> {
    let Some(page) = page else {
        let mut out = io::stdout().lock();
        for (name, table) in tables {
            writeln!(out, "## {name}\n\n{table}")?;
        }
        return Ok(());
    };
    let mut text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    for (name, table) in tables {
        place::put(&mut text, name, &table.to_string())?;
    }
    fs::write(page, text).with_context(|| page.display().to_string())
}
