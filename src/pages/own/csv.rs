//! How is a table written that a spreadsheet opens?
//!
//! RFC 4180, every cell quoted. A cell that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, a tab
//! or a line's end) begins with an apostrophe instead (OWASP, "CSV injection").

/// Adds a line.
pub(super) fn line<'a>(out: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (place, cell) in cells.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push('"');
        if cell.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
            || cell.starts_with(['\t', '\r', '\n'])
        {
            out.push('\'');
        }
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, written) in [
            ("a,b", "\"a,b\"\r\n"),
            ("a \"b\"", "\"a \"\"b\"\"\"\r\n"),
            ("=1+1", "\"'=1+1\"\r\n"),
            ("+1", "\"'+1\"\r\n"),
            ("-1", "\"'-1\"\r\n"),
            ("@x", "\"'@x\"\r\n"),
            (" =x", "\"' =x\"\r\n"),
            ("\t=x", "\"'\t=x\"\r\n"),
            ("＝x", "\"'＝x\"\r\n"),
            ("a=1", "\"a=1\"\r\n"),
            ("", "\"\"\r\n"),
        ] {
            let mut out = String::new();
            line(&mut out, [cell]);
            assert_eq!(out, written, "{cell:?}");
        }
        let mut out = String::new();
        line(&mut out, ["a", "b\nc"]);
        assert_eq!(out, "\"a\",\"b\nc\"\r\n");
    }
}
