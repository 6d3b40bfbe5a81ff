//! GENERATE_COLUMN_DESCRIPTION: column lists of CREATE statements from what describes columns (Snowflake documentation,
//! "GENERATE_COLUMN_DESCRIPTION").

use super::{
    array::text,
    json::{semi, varchar},
    scalar::{Arity, Function, fail, texts},
};
use crate::dialect::variant::{scan, show};

pub(super) const FUNCTIONS: &[Function] = &[Function::new("generate_column_description", Arity::Exactly(2), varchar, |r| {
    let (columns, kinds) = (semi(r, 0)?, r.text(1)?);
    texts(r, |i| {
        let Some(columns) = scan::elements(text(&columns, i)?) else { return Ok(None) };
        let kind = kinds.value(i).to_lowercase();
        let mut lines = vec![];
        for column in columns {
            let field = |name: &str| scan::member(column, &scan::quote(name)).and_then(show::varchar);
            let Some(name) = field("COLUMN_NAME") else { return fail("a column description has no COLUMN_NAME") };
            let name = format!("\"{}\"", name.replace('"', "\"\""));
            let of = field("TYPE").unwrap_or_default();
            lines.push(match kind.as_str() {
                "table" => {
                    let required = if field("NULLABLE").as_deref() == Some("false") { " NOT NULL" } else { "" };
                    format!("{name} {of}{required}")
                }
                "external_table" => format!("{name} {of} AS ({})", field("EXPRESSION").as_deref().unwrap_or("null")),
                "view" => format!("{name} "),
                _ => return fail(format!("a description is for 'table', 'external_table' or 'view', not '{kind}'")),
            });
        }
        Ok(Some(lines.join(",\n")))
    })
})];
