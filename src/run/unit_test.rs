//! A unit test: the model's query over given rows, its result held against expected rows. Nothing is built.
//!
//! Given rows become CTEs that stand for what the model refers to. Their types come from the warehouse where the relation
//! exists, else from what YAML says of its columns, else from the rows themselves.

use std::{collections::BTreeMap, sync::Arc};

use chrono::Utc;
use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{
    compile::{placed, whole},
    event::Status,
    memory,
    step::{Progress, Task},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    dialect::{survey::survey, types::Type},
    engine::{Outcome, Session, value},
    graph::Node,
    names::{Identifier, NodeId, ResourceType},
    project::World,
    template::{Substitutes, cte_name},
};

/// Rows of a fixture, from whatever format.
enum Fixture {
    Rows(Vec<IndexMap<String, Json>>),
    Sql(String),
}

struct Column {
    name: String,
    /// `None`: whatever the literal is.
    data_type: Option<String>,
}

pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let model =
        node.depends_on.iter().filter_map(|id| task.context.deps.compile.node(id)).find(|n| n.kind == ResourceType::Model).ok_or_else(
            || Diagnostic::error("check/unit-test", format!("the unit test `{}` has no model", node.name)).at(whole(node), ""),
        )?;
    let mut session = task.session();
    let (substitutes, ctes) = givens(task, &model).await?;
    let world = World { substitutes: Some(Arc::new(substitutes)), ..World::default() };
    let compiled = task.compile_in(progress, &model.id, world).await?;
    let started = Utc::now();
    let ended = compare(task, progress, session.as_mut(), &model, &compiled.sql, &ctes).await;
    progress.timing.push(("execute", started, Utc::now()));
    ended
}

/// Whether the test passed in this very form before; `false` where that cannot be told.
pub(super) async fn has_passed(task: &Task) -> Result<bool, Diagnostics> {
    let compile = &task.context.deps.compile;
    let Some(model) = task.node.depends_on.iter().filter_map(|id| compile.node(id)).find(|n| n.kind == ResourceType::Model) else {
        return Ok(false);
    };
    let (substitutes, ctes) = givens(task, &model).await?;
    let world = World { substitutes: Some(Arc::new(substitutes)), ..World::default() };
    let compiled = task.compile_quietly(&model.id, world).await?;
    let remembered = recall(task, &actual_query(&compiled.sql, &ctes)).await?;
    Ok(remembered.is_some_and(|m| m.passed))
}

/// The model's query over the given rows.
fn actual_query(sql: &str, ctes: &[(String, String)]) -> String {
    let body = format!("select * from (\n{}\n) as _dbt_internal_unit_test_actual", sql.trim().trim_end_matches(';'));
    match ctes {
        [] => body,
        ctes => {
            let list: Vec<String> = ctes.iter().map(|(name, sql)| format!("{name} as (\n{sql}\n)")).collect();
            // the query's own WITH stays where it is, in a subquery
            format!("with {}\n{body}", list.join(", "))
        }
    }
}

/// What is remembered of the test: nothing outside of its own text decides it.
async fn recall(task: &Task, actual_sql: &str) -> Result<Option<memory::Memory>, Diagnostics> {
    if survey(actual_sql).map_or(true, |found| found.volatile.is_some()) {
        return Ok(None);
    }
    let expect = task.node.extra.get("expect").unwrap_or(&Json::Null);
    memory::of_unit_test(task, &format!("{actual_sql}\n;\n{expect}")).await.map(Some)
}

/// What the fixtures put in the place of relations, and the CTEs for them.
async fn givens(task: &Task, model: &Node) -> Result<(Substitutes, Vec<(String, String)>), Diagnostics> {
    let node = &task.node;
    let mut substitutes = Substitutes::default();
    let mut ctes = vec![];
    for given in node.extra.get("given").and_then(Json::as_array).into_iter().flatten() {
        let input = given.get("input").and_then(Json::as_str).unwrap_or_default();
        let input: String = input.trim().trim_start_matches("{{").trim_end_matches("}}").trim().to_owned();
        let (key, short, referred) = referred(task, model, &input)?;
        let cte = cte_name(&short);
        let columns = match &referred {
            Some(referred) => columns_of(task, referred).await?,
            None => vec![],
        };
        let fixture = fixture(given, node)?;
        let sql = match &fixture {
            Fixture::Sql(sql) => sql.clone(),
            Fixture::Rows(rows) => rows_sql(rows, &columns, &format!("'{short}'"), node)?,
        };
        substitutes.relations.insert(key, cte.clone());
        ctes.push((cte, sql));
    }
    let overrides = node.extra.get("overrides");
    let map = |key: &str| overrides.and_then(|o| o.get(key)).and_then(Json::as_object).cloned().unwrap_or_default();
    substitutes.macros = map("macros");
    substitutes.vars = map("vars");
    substitutes.env_vars = map("env_vars").into_iter().map(|(k, v)| (k, Json::String(plain(&v)))).collect();
    // a model that is run for the first time, unless the test says otherwise (dbt documentation, "Unit tests")
    substitutes.macros.entry("is_incremental").or_insert(Json::Bool(false));
    Ok((substitutes, ctes))
}

/// The name under which a template asks for the input, its short name, and its node.
fn referred(task: &Task, model: &Node, input: &str) -> Result<(String, String, Option<Arc<Node>>), Diagnostic> {
    let bad = || {
        Diagnostic::error("check/unit-test", format!("`{input}` is no input of a unit test"))
            .at(whole(&task.node), "")
            .help("an input is `ref('model')`, `source('source', 'table')` or `this`")
    };
    if input == "this" {
        return Ok(("this".into(), model.name.clone(), task.context.deps.compile.node(&model.id)));
    }
    let (function, rest) = input.split_once('(').ok_or_else(bad)?;
    let arguments: Vec<String> = rest
        .trim_end()
        .trim_end_matches(')')
        .split(',')
        .map(|a| a.trim().trim_matches(['\'', '"']).to_owned())
        .filter(|a| !a.starts_with("v=") && !a.starts_with("version="))
        .collect();
    let compile = &task.context.deps.compile;
    let mut parents = model.depends_on.iter().filter_map(|id: &NodeId| compile.node(id));
    match (function.trim(), arguments.as_slice()) {
        ("ref", [name] | [_, name]) => {
            Ok((format!("ref('{name}')"), name.clone(), parents.find(|n| n.source.is_none() && n.name == *name)))
        }
        ("source", [source, table]) => {
            let found = parents.find(|n| n.source.as_ref().is_some_and(|s| s.source_name == *source && s.table_name == *table));
            Ok((format!("source('{source}', '{table}')"), format!("{source}__{table}"), found))
        }
        _ => Err(bad()),
    }
}

/// Of the relation where it exists, else what it will have once it is built, else as YAML describes them; none when nobody knows.
async fn columns_of(task: &Task, node: &Node) -> Result<Vec<Column>, Diagnostics> {
    let existing = match &node.relation {
        Some(relation) => task.context.deps.engine.columns(relation).await.map_err(|e| placed(e, &task.node, None, 0))?,
        None => None,
    };
    if let Some(columns) = existing {
        return Ok(columns.into_iter().map(|c| Column { name: c.name.as_str().to_owned(), data_type: Some(c.data_type) }).collect());
    }
    if let Some(foresight) = task.context.deps.foresight.clone() {
        let id = node.id.clone();
        // one that ends in the middle tells nothing
        let foreseen = tokio::task::spawn_blocking(move || foresight(&id)).await.ok().flatten();
        if let Some(columns) = foreseen {
            return Ok(columns.into_iter().map(|(name, data_type)| Column { name, data_type: Some(data_type) }).collect());
        }
    }
    let declared: Vec<Column> = node
        .columns
        .values()
        .filter(|c| c.data_type.is_some())
        .map(|c| Column { name: c.name.clone(), data_type: c.data_type.clone() })
        .collect();
    // half a description would refuse the other half of the columns
    Ok(if declared.len() == node.columns.len() { declared } else { vec![] })
}

fn fixture(entry: &Json, node: &Node) -> Result<Fixture, Diagnostic> {
    let bad = |message: String| Diagnostic::error("check/unit-test", message).at(whole(node), "");
    let format = entry.get("format").and_then(Json::as_str).unwrap_or("dict");
    let rows = entry.get("rows").filter(|r| !r.is_null());
    match (format, rows) {
        ("sql", Some(Json::String(sql))) => Ok(Fixture::Sql(sql.trim().trim_end_matches(';').to_owned())),
        ("csv", Some(Json::String(text))) => csv(text).map(Fixture::Rows).map_err(|e| bad(format!("the rows are no CSV: {e}"))),
        ("dict", None) | ("csv", None) => Ok(Fixture::Rows(vec![])),
        ("dict" | "csv", Some(Json::Array(rows))) => {
            let row = |r: &Json| r.as_object().map(|m| m.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
            let rows: Option<Vec<IndexMap<String, Json>>> = rows.iter().map(row).collect();
            rows.map(Fixture::Rows).ok_or_else(|| bad("a row of a unit test is a mapping of columns to values".into()))
        }
        (format, _) => Err(bad(format!("the rows of a unit test do not fit their format `{format}`"))
            .help("`dict` takes a list of mappings, `csv` and `sql` a text or a `fixture`")),
    }
}

/// Empty cells are null (dbt documentation, "Supported data formats for unit tests").
fn csv(text: &str) -> Result<Vec<IndexMap<String, Json>>, csv::Error> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.trim().as_bytes());
    let header = reader.headers()?.clone();
    reader
        .records()
        .map(|record| {
            let record = record?;
            let cell = |text: &str| if text.is_empty() || text.eq_ignore_ascii_case("null") { Json::Null } else { Json::from(text) };
            Ok(header.iter().zip(record.iter()).map(|(h, c)| (h.to_owned(), cell(c))).collect())
        })
        .collect()
}

/// One `select` per row. A column that a row leaves out is null.
fn rows_sql(rows: &[IndexMap<String, Json>], columns: &[Column], what: &str, node: &Node) -> Result<String, Diagnostic> {
    let mut all: Vec<Column> = columns.iter().map(|c| Column { name: c.name.clone(), data_type: c.data_type.clone() }).collect();
    for name in rows.iter().flat_map(|r| r.keys()) {
        if all.iter().any(|c| same(&c.name, name)) {
            continue;
        }
        if !columns.is_empty() {
            let known: Vec<String> = columns.iter().map(|c| c.name.to_lowercase()).collect();
            // dbt's sentence: programs look for it
            let message = format!("Invalid column name: '{name}' in unit test fixture for {what}.");
            let fault = Diagnostic::error("check/unit-test", message).at(whole(node), "");
            return Err(fault.note(format!("Accepted columns for {what} are: {known:?}")));
        }
        all.push(Column { name: folded(name), data_type: None });
    }
    if all.is_empty() {
        return Err(Diagnostic::error("check/unit-test", format!("the rows of {what} name no columns, and nothing tells them"))
            .at(whole(node), "")
            .help("give one row, or build the relation once"));
    }
    let select = |row: Option<&IndexMap<String, Json>>| {
        let cells: Vec<String> = all
            .iter()
            .map(|c| {
                let value = row.and_then(|r| r.iter().find(|(name, _)| same(&c.name, name))).map_or(&Json::Null, |(_, v)| v);
                format!("{} as {}", literal(value, c.data_type.as_deref()), Identifier::exact(c.name.as_str()))
            })
            .collect();
        format!("select {}", cells.join(", "))
    };
    Ok(match rows {
        [] => format!("{}\nwhere false", select(None)),
        rows => rows.iter().map(|r| select(Some(r))).collect::<Vec<_>>().join("\nunion all\n"),
    })
}

fn same(stored: &str, written: &str) -> bool {
    stored == written.trim_matches('"') || (!written.starts_with('"') && stored.eq_ignore_ascii_case(written))
}

fn folded(written: &str) -> String {
    Identifier::parse(written).as_str().to_owned()
}

fn literal(value: &Json, data_type: Option<&str>) -> String {
    let text = match value {
        Json::Null => "null".to_owned(),
        Json::Bool(b) => b.to_string(),
        Json::Number(n) => n.to_string(),
        Json::String(s) => string(s),
        structure => return format!("parse_json({})", string(&structure.to_string())),
    };
    match data_type {
        // text is no value of these; it is parsed
        Some("VARIANT" | "ARRAY" | "OBJECT") if value.is_string() => format!("parse_json({text})"),
        Some(data_type) => format!("cast({text} as {data_type})"),
        None => text,
    }
}

fn string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn compare(
    task: &Task,
    progress: &mut Progress,
    session: &mut dyn Session,
    model: &Node,
    sql: &str,
    ctes: &[(String, String)],
) -> Result<Status, Diagnostics> {
    let node = &task.node;
    let actual_sql = actual_query(sql, ctes);
    progress.compiled_code = Some(actual_sql.clone());
    task.write_executed(&actual_sql)?;
    task.log_sql(&actual_sql);
    let expect = node.extra.get("expect").cloned().unwrap_or(Json::Null);
    let remembered = recall(task, &actual_sql).await?;
    if remembered.as_ref().is_some_and(|m| m.passed) {
        progress.failures = Some(0);
        progress.fresh(None);
        return Ok(Status::Pass);
    }
    let in_model = |e| {
        let mut fault = placed(e, model, None, 0);
        fault.notes.push(format!("while the unit test `{}` ran", node.name));
        fault
    };
    let actual = session.execute(&actual_sql).await.map_err(in_model)?;
    let columns: Vec<Column> =
        actual.schema.fields().iter().map(|f| Column { name: f.name().clone(), data_type: Some(Type::of(f).to_string()) }).collect();
    let (expected_sql, compared) = match fixture(&expect, node)? {
        Fixture::Sql(sql) => (sql, None),
        Fixture::Rows(rows) => {
            let compared: Option<Vec<String>> = rows.first().map(|_| {
                let named = |c: &&Column| rows.iter().any(|r| r.keys().any(|k| same(&c.name, k)));
                columns.iter().filter(named).map(|c| c.name.clone()).collect()
            });
            (rows_sql(&rows, &columns, "expected output", node)?, compared)
        }
    };
    let expected = session.execute(&expected_sql).await.map_err(|e| placed(e, node, None, 0))?;
    let names = compared.unwrap_or_else(|| expected.schema.fields().iter().map(|f| f.name().clone()).collect());
    let (actual, expected) = (cells(&actual, &names), cells(&expected, &names));
    match difference(&names, &actual, &expected) {
        None => {
            progress.failures = Some(0);
            if let Some(memory) = remembered {
                memory.keep(task).await?;
            }
            Ok(Status::Pass)
        }
        Some(diff) => {
            progress.failures = Some(1);
            progress.message = format!("\n\nactual differs from expected:\n\n{diff}\n");
            let fault = Diagnostic::error("check/failed", format!("actual differs from expected\n\n{diff}"));
            progress.diagnostics.push(fault.at(whole(node), "this unit test"));
            Ok(Status::Fail)
        }
    }
}

/// Rows as texts, the columns in the given order; a column that is not there is null.
fn cells(outcome: &Outcome, names: &[String]) -> Vec<Vec<String>> {
    let fields = outcome.schema.fields();
    let at: Vec<Option<usize>> = names.iter().map(|n| fields.iter().position(|f| f.name().eq_ignore_ascii_case(n))).collect();
    let mut rows = vec![];
    for batch in &outcome.batches {
        for row in 0..batch.num_rows() {
            let cell = |i: &Option<usize>| i.map_or("NULL".to_owned(), |i| shown(value::of(batch.column(i), &fields[i], row)));
            rows.push(at.iter().map(cell).collect());
        }
    }
    rows
}

fn shown(value: value::Value) -> String {
    use value::Value as V;
    match value {
        V::Null => "NULL".into(),
        V::Boolean(b) => if b { "True" } else { "False" }.into(),
        V::Integer(n) => n.to_string(),
        V::Float(f) => f.to_string(),
        // 1.50 and 1.5 are one number
        V::Number(digits) if digits.contains('.') => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        V::Number(text) | V::Text(text) | V::Json(text) => text,
    }
}

/// Rows that only one side has, in the shape of dbt's diff; the order of rows is no difference.
fn difference(names: &[String], actual: &[Vec<String>], expected: &[Vec<String>]) -> Option<String> {
    let mut counts: BTreeMap<&Vec<String>, (i64, i64)> = BTreeMap::new();
    for row in actual {
        counts.entry(row).or_default().0 += 1;
    }
    for row in expected {
        counts.entry(row).or_default().1 += 1;
    }
    if counts.values().all(|(a, e)| a == e) {
        return None;
    }
    let mut lines = vec![format!("@@ ,{}", names.iter().map(|n| n.to_lowercase()).collect::<Vec<_>>().join(","))];
    for (row, (a, e)) in &counts {
        let row = row.join(",");
        let line = |mark: &str| format!("{mark},{row}");
        lines.extend((0..*a.min(e)).map(|_| line("   ")));
        lines.extend((0..a - a.min(e)).map(|_| line("+++")));
        lines.extend((0..e - a.min(e)).map(|_| line("---")));
    }
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_each_format_are_the_same() {
        let rows = csv("id, name\n1, a\n2,\n").expect("csv");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1], IndexMap::from([("id".to_owned(), Json::from("2")), ("name".to_owned(), Json::Null)]));
    }

    #[test]
    fn literals_are_escaped_and_cast() {
        for (value, kind, expect) in [
            (Json::from("it's \\"), Some("VARCHAR"), "cast('it''s \\\\' as VARCHAR)"),
            (Json::Null, Some("DATE"), "cast(null as DATE)"),
            (Json::from(1), None, "1"),
            (serde_json::json!([1]), Some("ARRAY"), "parse_json('[1]')"),
        ] {
            assert_eq!(literal(&value, kind), expect);
        }
    }

    #[test]
    fn differences_count_rows() {
        let row = |t: &str| vec![t.to_owned()];
        let names = ["ID".to_owned()];
        assert_eq!(difference(&names, &[row("1"), row("2")], &[row("2"), row("1")]), None);
        let diff = difference(&names, &[row("1"), row("1"), row("2")], &[row("1"), row("3")]).expect("differs");
        assert_eq!(diff, "@@ ,id\n   ,1\n+++,1\n+++,2\n---,3");
    }
}
