//! Plain-text tables: columns as wide as their cells, two spaces between them.
//!
//! Takes: rows of cells, the first row being the head. Gives: text, a line per row. Never: uses colours or cuts a cell.

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Lays the rows out; `sides` by column.
pub fn table(sides: &[Side], rows: &[Vec<String>]) -> String {
    let cells = |column: usize| rows.iter().filter_map(move |r| r.get(column));
    let widths: Vec<usize> =
        (0..sides.len()).map(|k| cells(k).map(|c| c.chars().count()).max().unwrap_or(0)).collect();
    rows.iter().map(|row| line(sides, &widths, row)).collect()
}

fn line(sides: &[Side], widths: &[usize], row: &[String]) -> String {
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
}
