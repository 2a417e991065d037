//! Tables in plain text: columns as wide as their widest cell.

use super::words::one_line;

/// A header and rows of as many cells.
pub(super) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(header: [&'static str; N]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// With these columns, known only at run time.
    pub(super) fn with(header: Vec<&'static str>) -> Self {
        Self { header, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| one_line(&cell)).collect());
    }

    /// One line per row, below the header; an empty cell is `-`. Nothing at all without rows.
    pub(super) fn render(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut lines = vec![self.header.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>()];
        lines.extend(self.rows.iter().map(|row| {
            row.iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { cell.clone() }).collect()
        }));
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|n| {
                lines
                    .iter()
                    .filter_map(|line| line.get(n))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for line in lines {
            let mut padded = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                padded.push_str(&format!("{cell:<width$}  "));
            }
            text.push_str(padded.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["NAME", "STATE"]);
        table.row(["web".to_owned(), "up\nto date".to_owned()]);
        table.row(["größe-ü".to_owned(), String::new()]);
        assert_eq!(table.render(), "NAME     STATE\nweb      up to date\ngröße-ü  -\n");
    }

    #[test]
    fn without_rows_there_is_no_table() {
        assert_eq!(Table::new(["NAME"]).render(), "");
    }
}
