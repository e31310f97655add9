//! Tables for people: columns as wide as their widest cell, and nothing a terminal would obey.

use std::io::{self, Write};

/// Lines of cells under a heading.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    lines: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub(super) fn new(headings: [&str; N]) -> Self {
        Self { lines: vec![headings.map(str::to_owned)] }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, cells: [String; N]) {
        // A name cannot hold a control character when it is given; a stored one may be older than that rule.
        self.lines.push(cells.map(|cell| cell.replace(char::is_control, "\u{fffd}")));
    }

    /// Writes it.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = |column: usize| self.lines.iter().map(|cells| cells[column].chars().count()).max();
        let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
        for cells in &self.lines {
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}
