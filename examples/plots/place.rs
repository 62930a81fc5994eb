//! The places of tables in a page, each between two comments.

use anyhow::{Context as _, Result};

const END: &str = "<!-- /table -->";

/// Replaces a table between its comments.
pub(crate) fn put(page: &mut String, name: &str, table: &str) -> Result<()> {
    let begin = format!("<!-- table: {name} -->\n");
    let place = page
        .find(&begin)
        .map(|at| at + begin.len())
        .with_context(|| format!("there is no {}", begin.trim()))?;
    let length = page[place..]
        .find(END)
        .with_context(|| format!("there is no {END} after {}", begin.trim()))?;
    page.replace_range(place..place + length, &format!("\n{table}\n"));
    Ok(())
}
