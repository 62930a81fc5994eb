//! Text tables.

use std::fmt;

use crate::causes::one_line;

/// Rows of cells. Displayed as lines, with each column as wide as its widest cell.
#[derive(Debug, Default)]
pub(super) struct TextTable {
    rows: Vec<Vec<String>>,
    /// The first column of figures, which are right-aligned.
    figures_from: Option<usize>,
}

impl TextTable {
    /// A table with left-aligned cells.
    pub(super) fn of_words() -> Self {
        Self::default()
    }

    /// A table with right-aligned cells from this column on.
    pub(super) fn of_figures(from: usize) -> Self {
        Self {
            rows: Vec::new(),
            figures_from: Some(from),
        }
    }

    /// Adds a row; control characters are escaped.
    pub(super) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter();
        self.rows
            .push(cells.map(|cell| one_line(cell.as_ref())).collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if column > 0 {
                    line.push_str("  ");
                }
                let width = self.width(column);
                let is_figure = self.figures_from.is_some_and(|from| column >= from);
                let padding = " ".repeat(width - cell.chars().count());
                if is_figure {
                    line.extend([&*padding, cell]);
                } else {
                    line.extend([&**cell, &padding]);
                }
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed() {
        let mut table = TextTable::of_figures(1);
        table.row(["", "open", "strict"]);
        table.row(["parked", "7", "100000"]);
        table.row(["bell\u{7}"]);
        let expected = [
            "           open  strict",
            "parked        7  100000",
            "bell\\u{7}",
        ];
        let text = table.to_string();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
