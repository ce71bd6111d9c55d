//! Plain-text tables: columns as wide as their cells, two spaces between them.
//!
//! Takes: rows of cells, the first row being the head. Gives: text, a line per row. Never: uses colours, cuts a cell, or prints in a
//! cell what a terminal would obey.

use crate::support::printable;
use std::borrow::Cow;

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Characters of the widest cell that the cells below and above it are filled up to.
const WIDEST: usize = 100;

/// Lays the rows out; `sides` by column.
pub fn table(sides: &[Side], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<str>>> =
        rows.iter().map(|row| row.iter().map(|cell| printable::line(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count());
        cells.filter(|&n| n <= WIDEST).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..sides.len()).map(width).collect();
    rows.iter().map(|row| line(sides, &widths, row)).collect()
}

fn line(sides: &[Side], widths: &[usize], row: &[Cow<str>]) -> String {
    let cells = row.iter().zip(sides).zip(widths).map(|((cell, side), width)| match side {
        Side::Left => format!("{cell:<width$}"),
        Side::Right => format!("{cell:>width$}"),
    });
    format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["layer", "MACs"], ["a", "1"], ["longer", "100"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| c.to_string()).collect()).collect();
        let text = table(&[Side::Left, Side::Right], &rows);
        assert_eq!(text, "  layer   MACs\n  a          1\n  longer   100\n");
    }

    #[test]
    fn a_cell_of_any_length_is_whole_and_widens_nothing() {
        let long = "x".repeat(70_000);
        let rows = [[&long, "1"], ["a", "\u{1b}[31m"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| c.to_string()).collect()).collect();
        let text = table(&[Side::Left, Side::Right], &rows);
        assert_eq!(text, format!("  {long}           1\n  a  \\u{{1b}}[31m\n"));
    }
}
