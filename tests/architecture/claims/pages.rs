//! Tables of a page, cell by cell.

use std::fs;
use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A piece of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Code(String),
    /// What `<!-- = SOURCE -->` says, which no reader sees.
    Comment(String),
}

pub(crate) type Cell = Vec<Part>;

/// A table, whose cells are in rows below their headings.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) headings: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug)]
pub(crate) struct Row {
    /// The page and the line.
    pub(crate) place: String,
    pub(crate) cells: Vec<Cell>,
}

impl Table {
    /// Each row with its cell below the heading.
    pub(crate) fn column(&self, heading: &str) -> Option<impl Iterator<Item = (&str, &Cell)>> {
        let at = self.headings.iter().position(|it| it == heading)?;
        Some(
            self.rows
                .iter()
                .map(move |row| (row.place.as_str(), &row.cells[at])),
        )
    }
}

pub(crate) fn tables(page: &str) -> Vec<Table> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{page}: {error}"));
    parse(page, &text)
}

fn parse(page: &str, text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut cells: Vec<Cell> = Vec::new();
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Table(_)) => tables.push(Table::default()),
            Event::Start(Tag::TableHead | Tag::TableRow) => cells.clear(),
            Event::Start(Tag::TableCell) => cells.push(Cell::new()),
            Event::Text(text) => add(&mut cells, Part::Text(text.to_string())),
            Event::Code(code) => add(&mut cells, Part::Code(code.to_string())),
            Event::InlineHtml(html) => {
                let source = html.strip_prefix("<!-- = ");
                let source = source.and_then(|rest| rest.strip_suffix(" -->"));
                if let Some(source) = source {
                    add(&mut cells, Part::Comment(source.to_owned()));
                }
            }
            Event::End(TagEnd::TableHead) => {
                let table = tables.last_mut().unwrap();
                table.headings = cells.drain(..).map(|cell| words(&cell)).collect();
            }
            Event::End(TagEnd::TableRow) => {
                let line = text[..range.start].matches('\n').count() + 1;
                let place = format!("{page}:{line}");
                let cells = std::mem::take(&mut cells);
                tables.last_mut().unwrap().rows.push(Row { place, cells });
            }
            _ => {}
        }
    }
    tables
}

/// Adds to the last cell.
fn add(cells: &mut [Cell], part: Part) {
    if let Some(cell) = cells.last_mut() {
        cell.push(part);
    }
}

/// The cell as it is read.
pub(crate) fn words(cell: &[Part]) -> String {
    let words = cell.iter().map(|part| match part {
        Part::Text(text) | Part::Code(text) => text.as_str(),
        Part::Comment(_) => "",
    });
    words.collect()
}

#[test]
fn tables_are_read_cell_by_cell() {
    let tables = parse(
        "p.md",
        "# A\n\n| a `b` | c |\n| --- | --- |\n| d [e](f) | `g h` i <!-- = k --> |\n\nj\n",
    );
    assert_eq!(tables[0].headings, ["a b", "c"]);
    let column: Vec<_> = tables[0].column("c").unwrap().collect();
    let expected = vec![
        Part::Code("g h".into()),
        Part::Text(" i ".into()),
        Part::Comment("k".into()),
    ];
    assert_eq!(column, [("p.md:5", &expected)]);
    assert_eq!(words(&tables[0].rows[0].cells[0]), "d e");
}
