//! Lists and fields for people at a terminal.

/// Columns under their titles, as wide as they need to be.
pub(super) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(&titles)
        .chain(rows)
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Names beside what they stand for, one a line.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): &(&str, String)| format!("{name:width$}  {}", plain(value));
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A name that somebody chose must not command the terminal, nor break a line.
pub(super) fn plain(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 2]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn columns_stand_under_their_titles() {
        let text = table(&["ID", "NAME"], &[row(["1", "Zoë"]), row(["100", ""])]);
        assert_eq!(text, "ID   NAME\n1    Zoë\n100");
        assert_eq!(table(&["ID"], &[]), "ID");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let text = fields(&[("id", "1".to_owned()), ("name", "a\u{1b}[2Jb\nc".to_owned())]);
        assert_eq!(text, "id    1\nname  a\\u{1b}[2Jb\\nc");
    }
}
