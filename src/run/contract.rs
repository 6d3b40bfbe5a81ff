//! An enforced contract: the columns that a model promises, held against those that its query gives.
//!
//! What differs is told in dbt's words before anything is written. Of the constraints, `not_null` is enforced by the engine
//! while it writes; the others stand in the statement for readers, as in Snowflake, which does not enforce them either.

use serde_json::Value as Json;

use super::{
    compile::{CompiledNode, placed, whole},
    step::Task,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    dialect::types::Type,
    graph::Column,
    project::reference::Call,
};

pub(super) struct Contract {
    /// Columns as SQL names them, in the order of the contract.
    names: Vec<String>,
    /// The body of `create table (...)`: columns with constraints, then constraints of the table.
    pub(super) definitions: String,
    pub(super) not_null: Vec<String>,
}

impl Contract {
    fn head(&self) -> String {
        format!("select {}\nfrom (\n", self.names.join(", "))
    }

    /// The model's query with its columns in the contract's order.
    pub(super) fn query(&self, sql: &str) -> String {
        format!("{}{}\n) as model_subq", self.head(), sql.trim_end().trim_end_matches(';'))
    }

    /// Where the model's query begins in [`query`](Self::query).
    pub(super) fn offset(&self) -> usize {
        self.head().len()
    }
}

/// `None` where the node promises nothing.
pub(super) async fn of(task: &Task, compiled: &CompiledNode) -> Result<Option<Contract>, Diagnostics> {
    let node = &task.node;
    let enforced = node.config.all.get("contract").and_then(|c| c.get("enforced")).and_then(Json::as_bool) == Some(true);
    if !enforced {
        return Ok(None);
    }
    let columns: Vec<&Column> = node.columns.values().collect();
    let untyped: Vec<&str> = columns.iter().filter(|c| c.data_type.is_none()).map(|c| c.name.as_str()).collect();
    if columns.is_empty() || !untyped.is_empty() {
        let message = match columns.is_empty() {
            true => {
                "Constraints must be defined in a `yml` schema configuration file: the contract of this model names no columns".to_owned()
            }
            false => format!("the contract does not say the `data_type` of {}", untyped.join(", ")),
        };
        return Err(Diagnostic::error("run/contract", message).at(node.declared_at(), "contract declared here").into());
    }
    let mut session = task.session();
    if let Some(header) = &compiled.header {
        let (statements, _) = super::header_parts(header);
        for range in session.split(statements) {
            session.execute(&statements[range]).await.map_err(|e| placed(e, node, None, 0).note("in the `sql_header`"))?;
        }
    }
    let prefix = compiled.header.as_deref().map_or("", |h| super::header_parts(h).1);
    let head = format!("select * from (\n{prefix}\n");
    let sql = format!("{head}{}\n) as __dbt_sbq where false limit 0", compiled.sql.trim_end().trim_end_matches(';'));
    let outcome = session.execute(&sql).await.map_err(|e| placed(e, node, Some(compiled), head.len()))?;
    let given: Vec<(String, String)> = outcome.schema.fields().iter().map(|f| (f.name().clone(), Type::of(f).to_string())).collect();
    let promised = promised_types(task, &columns).await?;
    let differences = differences(&columns, &promised, &given);
    if !differences.is_empty() {
        let message = format!(
            "This model has an enforced contract that failed.\nPlease ensure the name, data_type, and number of columns in your contract \
             match the columns in your model's definition.\n\n{}",
            table(&differences)
        );
        return Err(Diagnostic::error("run/contract", message).at(whole(node), "").into());
    }
    let not_null = columns.iter().filter(|c| has(c, "not_null")).map(|c| c.name.clone());
    let on_table = constraints(node.extra.get("constraints").or_else(|| node.config.all.get("constraints")));
    let on_table_not_null = on_table.iter().filter(|c| kind(c) == "not_null").flat_map(|c| texts(c, "columns"));
    // parents are known: the call is among the node's references
    let relation_of = |to: &str| {
        let mut parents = node.depends_on.iter().filter_map(|id| task.context.deps.compile.node(id));
        let parent = match Call::parse(to)? {
            Call::Ref { name, .. } => parents.find(|n| n.source.is_none() && n.name == name),
            Call::Source { source, table } => {
                parents.find(|n| n.source.as_ref().is_some_and(|s| s.source_name == source && s.table_name == table))
            }
        };
        parent?.relation.as_ref().map(ToString::to_string)
    };
    Ok(Some(Contract {
        names: columns.iter().map(|c| quoted(c)).collect(),
        not_null: not_null.chain(on_table_not_null).collect(),
        definitions: definitions(&columns, &on_table, &relation_of),
    }))
}

/// How the warehouse names the types of the contract: an empty query tells.
async fn promised_types(task: &Task, columns: &[&Column]) -> Result<Vec<String>, Diagnostics> {
    let casts: Vec<String> =
        columns.iter().enumerate().map(|(i, c)| format!("cast(null as {}) as C{i}", c.data_type.as_deref().unwrap_or_default())).collect();
    let sql = format!("select {}", casts.join(", "));
    let outcome = task.context.deps.engine.session().execute(&sql).await.map_err(|e| placed(e, &task.node, None, 0))?;
    Ok(outcome.schema.fields().iter().map(|f| Type::of(f).to_string()).collect())
}

/// The same comparison before anything runs: `given` are the columns of the model's query. A type that cannot be read is
/// left to the warehouse.
pub fn contract_differences(node: &crate::graph::Node, given: &[(String, String)]) -> Vec<[String; 4]> {
    let enforced = node.config.all.get("contract").and_then(|c| c.get("enforced")).and_then(Json::as_bool) == Some(true);
    let columns: Vec<&Column> = node.columns.values().collect();
    let promised: Option<Vec<String>> = columns.iter().map(|c| Type::parse(c.data_type.as_deref()?).ok().map(|t| t.to_string())).collect();
    match promised {
        Some(promised) if enforced && !columns.is_empty() => differences(&columns, &promised, given),
        _ => vec![],
    }
}

/// `[column, type of the query, type of the contract, reason]`, by name as dbt sorts them.
fn differences(columns: &[&Column], promised: &[String], given: &[(String, String)]) -> Vec<[String; 4]> {
    let same = |c: &Column, name: &str| if c.quote == Some(true) { c.name == name } else { c.name.eq_ignore_ascii_case(name) };
    // a number's precision is no difference (dbt compares names of types); a scale would round, so it is one
    let base = |t: &str| match t.split_once('(') {
        Some(("NUMBER", rest)) => format!("NUMBER,{}", if rest.trim_end_matches(')').ends_with(",0") { "0" } else { "s" }),
        Some((name, _)) => name.to_owned(),
        None => t.to_owned(),
    };
    let mut found = vec![];
    for (column, promised) in columns.iter().zip(promised) {
        match given.iter().find(|(name, _)| same(column, name)) {
            None => found.push([column.name.clone(), String::new(), promised.clone(), "missing in definition".into()]),
            Some((name, actual)) if base(actual) != base(promised) => {
                found.push([name.clone(), actual.clone(), promised.clone(), "data type mismatch".into()]);
            }
            Some(_) => {}
        }
    }
    for (name, actual) in given {
        if !columns.iter().any(|c| same(c, name)) {
            found.push([name.clone(), actual.clone(), String::new(), "missing in contract".into()]);
        }
    }
    found.sort_by_key(|[name, ..]| name.to_lowercase());
    found
}

fn table(rows: &[[String; 4]]) -> String {
    let header = ["column_name", "definition_type", "contract_type", "mismatch_reason"].map(str::to_owned);
    let width = |i: usize| rows.iter().chain([&header]).map(|r| r[i].len()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |row: &[String; 4]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(text, width)| format!("{text:<width$}")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let rule = widths.map(|w| "-".repeat(w));
    [line(&header), line(&rule)].into_iter().chain(rows.iter().map(line)).collect::<Vec<_>>().join("\n")
}

fn quoted(column: &Column) -> String {
    if column.quote == Some(true) { format!("\"{}\"", column.name.replace('"', "\"\"")) } else { column.name.clone() }
}

fn constraints(value: Option<&Json>) -> Vec<&Json> {
    value.and_then(Json::as_array).into_iter().flatten().collect()
}

fn kind(constraint: &Json) -> &str {
    constraint.get("type").and_then(Json::as_str).unwrap_or_default()
}

fn has(column: &Column, wanted: &str) -> bool {
    constraints(column.extra.get("constraints")).iter().any(|c| kind(c) == wanted)
}

fn texts(constraint: &Json, key: &str) -> Vec<String> {
    constraint.get(key).and_then(Json::as_array).into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// Snowflake has no check constraints, so those are left out, as its adapter does.
fn definitions(columns: &[&Column], on_table: &[&Json], relation_of: &dyn Fn(&str) -> Option<String>) -> String {
    let column = |c: &&Column| {
        let mut line = format!("{} {}", quoted(c), c.data_type.as_deref().unwrap_or_default());
        for constraint in constraints(c.extra.get("constraints")) {
            let expression = constraint.get("expression").and_then(Json::as_str).unwrap_or_default();
            let text = match kind(constraint) {
                "not_null" => "not null".to_owned(),
                "unique" => "unique".to_owned(),
                "primary_key" => "primary key".to_owned(),
                "foreign_key" => references(constraint, expression, relation_of),
                "custom" => expression.to_owned(),
                _ => continue,
            };
            line.push_str(&format!(
                " {}",
                format!("{text} {}", if kind(constraint) == "custom" || kind(constraint) == "foreign_key" { "" } else { expression })
                    .trim_end()
            ));
        }
        line
    };
    let table = on_table.iter().filter_map(|constraint| {
        let columns = texts(constraint, "columns").join(", ");
        let expression = constraint.get("expression").and_then(Json::as_str).unwrap_or_default();
        let name = constraint.get("name").and_then(Json::as_str).map(|n| format!("constraint {n} ")).unwrap_or_default();
        let text = match kind(constraint) {
            "unique" => format!("unique ({columns})"),
            "primary_key" => format!("primary key ({columns})"),
            "foreign_key" => format!("foreign key ({columns}) {}", references(constraint, expression, relation_of)),
            "custom" => expression.to_owned(),
            _ => return None,
        };
        Some(format!("{name}{text}"))
    });
    columns.iter().map(column).chain(table).map(|l| format!("    {l}")).collect::<Vec<_>>().join(",\n")
}

/// `to` with `to_columns`, or an expression that says both.
fn references(constraint: &Json, expression: &str, relation_of: &dyn Fn(&str) -> Option<String>) -> String {
    match constraint.get("to").and_then(Json::as_str) {
        Some(to) => {
            let to = relation_of(to).unwrap_or_else(|| to.to_owned());
            format!("references {to} ({})", texts(constraint, "to_columns").join(", "))
        }
        None => format!("references {expression}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_by_name() {
        let column = |name: &str, quote| Column { name: name.into(), quote, ..Column::default() };
        let (id, color, date) = (column("id", None), column("Color", Some(true)), column("day", None));
        let promised = ["NUMBER(38,0)", "VARCHAR", "DATE"].map(str::to_owned);
        let given = [("ID", "NUMBER(10,0)"), ("COLOR", "VARCHAR"), ("DAY", "VARCHAR")].map(|(n, t)| (n.to_owned(), t.to_owned()));
        let found = differences(&[&id, &color, &date], &promised, &given);
        let shown: Vec<String> = found.iter().map(|r| format!("{} {}", r[0], r[3])).collect();
        assert_eq!(shown, ["Color missing in definition", "COLOR missing in contract", "DAY data type mismatch"]);
    }
}
