//! Rows of a result -> a table that fits the terminal, CSV, JSON, or one JSON line.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::engine::{
    Outcome,
    value::{self, Value},
};

/// Values of all rows, in order.
pub fn rows(outcome: &Outcome) -> impl Iterator<Item = Vec<Value>> {
    outcome.batches.iter().flat_map(|batch| {
        (0..batch.num_rows())
            .map(|row| outcome.schema.fields().iter().zip(batch.columns()).map(|(f, column)| value::of(column, f, row)).collect())
    })
}

/// For people. Numbers stand to the right, NULL is empty in CSV and `NULL` here; long texts wrap within `width`.
pub fn table(outcome: &Outcome, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).force_no_tty();
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(outcome.schema.fields().iter().map(|f| f.name().as_str()));
    let mut numeric = vec![false; outcome.schema.fields().len()];
    for values in rows(outcome) {
        for (is_numeric, value) in numeric.iter_mut().zip(&values) {
            *is_numeric |= value.is_numeric();
        }
        table.add_row(values.into_iter().map(|v| v.text().unwrap_or_else(|| "NULL".into())).collect::<Vec<_>>());
    }
    for (i, _) in numeric.iter().enumerate().filter(|(_, n)| **n) {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// RFC 4180 with a header; NULL is an empty field, an empty text is `""`.
pub fn csv(outcome: &Outcome) -> String {
    let mut out = String::new();
    let mut line = |cells: Vec<String>| {
        out.push_str(&cells.join(","));
        out.push('\n');
    };
    line(outcome.schema.fields().iter().map(|f| csv_cell(f.name())).collect());
    for values in rows(outcome) {
        line(values.into_iter().map(|v| v.text().map_or_else(String::new, |t| csv_cell(&t))).collect());
    }
    out
}

fn csv_cell(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// An array of objects; semi-structured values are JSON in it, numbers keep all their digits.
pub fn json(outcome: &Outcome) -> String {
    let names: Vec<String> = outcome.schema.fields().iter().map(|f| value::string(f.name())).collect();
    let objects: Vec<String> = rows(outcome)
        .map(|values| {
            let members: Vec<String> = names.iter().zip(&values).map(|(name, v)| format!("{name}: {}", value::json(v, true))).collect();
            format!("  {{{}}}", members.join(", "))
        })
        .collect();
    if objects.is_empty() { "[]".into() } else { format!("[\n{}\n]", objects.join(",\n")) }
}

/// `{"columns": [...], "types": [...], "rows": [[...]]}` on one line, without a line break at its end.
pub fn json_line(outcome: &Outcome) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    let fields = outcome.schema.fields();
    let columns = list(fields.iter().map(|f| value::string(f.name())).collect());
    let types = list(fields.iter().map(|f| value::string(&value::type_name(f))).collect());
    let rows = list(rows(outcome).map(|values| list(values.iter().map(|v| value::json(v, false)).collect())).collect());
    format!("{{\"columns\": {columns}, \"types\": {types}, \"rows\": {rows}}}")
}

/// The line that stands for a failed statement.
pub fn json_line_error(message: &str) -> String {
    format!("{{\"error\": {}}}", value::string(message))
}
