//! A seed: a CSV file -> typed rows -> a table.

mod column;
mod csv_file;
mod infer;

use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::{
    datatypes::{Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use serde_json::Value as Json;

use self::{
    column::{ColumnType, build},
    csv_file::CsvFile,
};
use super::{
    audit,
    compile::{placed, whole},
    event::Status,
    freshness, hooks, materialize,
    step::{Progress, Task, blocking},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    engine::{Content, How, Publish, RelationKind},
    graph::Node,
    names::{Identifier, RelationName, nearest},
};

/// Faults of one file that are reported together; more would bury the first.
const MOST_FAULTS: usize = 20;
const ROWS_PER_BATCH: usize = 65_536;

pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let started = Utc::now();
    let ended = seed(task, progress).await;
    progress.timing.push(("execute", started, Utc::now()));
    ended.map(|()| Status::Success)
}

async fn seed(task: &Task, progress: &mut Progress) -> Result<(), Diagnostics> {
    let node = Arc::clone(&task.node);
    let relation = node.relation.clone().ok_or_else(|| materialize::no_relation(task))?;
    let path = task.context.deps.compile.seed_file(&node);
    let reader = Arc::clone(&node);
    let (content, (schema, batches)) = blocking(move || {
        let content = std::fs::read(&path).map_err(|e| {
            Diagnostics::from(
                Diagnostic::error("seed/read", format!("`{}` cannot be read: {e}", reader.original_file_path.display()))
                    .at(whole(&reader), ""),
            )
        })?;
        let rows = read(&reader, &content)?;
        Ok::<_, Diagnostics>((content, rows))
    })
    .await?;
    let assessed = freshness::of_seed(task, &relation, &content).await?;
    if assessed.is_fresh() {
        progress.fresh(None);
        return Ok(());
    }

    let audit = audit::begin(task, &relation).await?;
    publish(audit::worker(audit.as_ref(), task), progress, &relation, schema, batches, &assessed).await?;
    audit::conclude(audit, task, Status::Success).await?;
    if !node.config.post_hook.is_empty() {
        task.context.catalog.forget(&relation);
    }
    Ok(())
}

async fn publish(
    task: &Task,
    progress: &mut Progress,
    relation: &RelationName,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    assessed: &freshness::Assessment,
) -> Result<(), Diagnostics> {
    let config = &task.node.config;
    let mut session = task.context.deps.engine.session();
    hooks::of_node(task, &config.pre_hook, &mut session, true).await?;
    let mut properties = task.properties();
    properties.extend(assessed.properties());
    let (comment, column_comments) = materialize::comments(task);
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    // `--empty`: the columns, no rows
    let batches = if task.context.options.empty { vec![] } else { batches };
    let content = Content::Rows(batches, schema);
    let publish = Publish {
        relation: relation.clone(),
        content,
        how: How::Table,
        comment,
        column_comments,
        not_null: vec![],
        properties,
        physical: task.physical(),
    };
    let published = materialize::send(task, &publish).await.map_err(|e| placed(e, &task.node, None, 0))?;
    task.context.catalog.record(relation, RelationKind::Table, &published.version, publish.properties);
    progress.rows = Some(rows as u64);
    progress.message =
        format!("{} {rows}", if config.full_refresh.unwrap_or(task.context.options.full_refresh) { "CREATE" } else { "INSERT" });
    hooks::of_node(task, &config.post_hook, &mut session, false).await
}

/// The rows of a seed's file, typed by `column_types` and by what the values look like.
///
/// Column names fold to upper case unless `quote_columns` says otherwise. All faults of the file are found, up to 20.
pub fn read(node: &Node, content: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>), Diagnostics> {
    let file = CsvFile::parse(&node.original_file_path, content, delimiter(node)?)?;
    let mut faults = Diagnostics::default();
    let declared = declared_types(node, &file, &mut faults);
    let mut fields = vec![];
    let mut types = vec![];
    for (i, header) in file.header.iter().enumerate() {
        let kind = match &declared[i] {
            Some(kind) => kind.clone(),
            None => infer::column(file.column(i)),
        };
        let name = match quoted(node, header) {
            true => Identifier::exact(header.trim()),
            false => Identifier::parse(&header.to_uppercase()),
        };
        let plain = header.trim().chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
        if !quoted(node, header) && !header.trim().starts_with('"') && !plain {
            faults.push(
                Diagnostic::error("seed/bad-header", format!("syntax error: `{}` is no name of a column", shorten(header.trim())))
                    .at(file.place(0, i), "in the header")
                    .help("check the `delimiter` of the seed, or set `quote_columns: true`"),
            );
        }
        if let Some(other) = fields.iter().position(|f: &Field| f.name() == name.as_str()) {
            faults.push(
                Diagnostic::error("seed/duplicate-column", format!("two columns are named `{name}`"))
                    .at(file.place(0, i), "the second one")
                    .related(file.place(0, other), "the first one"),
            );
        }
        fields.push(kind.field(name.as_str()));
        types.push(kind);
    }
    if faults.has_errors() {
        return Err(faults);
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut batches = vec![];
    let mut from = 0;
    while from < file.len() || batches.is_empty() {
        let to = (from + ROWS_PER_BATCH).min(file.len());
        let mut columns = vec![];
        for (i, kind) in types.iter().enumerate() {
            let array = build(kind, (from..to).map(|row| file.value(row, i)), |row, reason| {
                if faults.0.len() < MOST_FAULTS {
                    let line = from + row;
                    faults.push(
                        Diagnostic::error("seed/bad-value", format!("`{}` is no {kind}", shorten(file.value(line, i).unwrap_or_default())))
                            .at(file.place(line + 1, i), reason)
                            .help(format!("`column_types` of the seed gives `{}` this type", file.header[i].trim())),
                    );
                }
            });
            columns.push(array);
        }
        if faults.has_errors() {
            // the remaining batches would only add more of the same
            return Err(faults);
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|e| {
            Diagnostic::error("seed/batch", format!("the columns of `{}` do not fit together: {e}", node.name)).at(file.start(), "")
        })?;
        batches.push(batch);
        from = to;
    }
    Ok((schema, batches))
}

fn delimiter(node: &Node) -> Result<u8, Diagnostic> {
    match node.config.all.get("delimiter").and_then(Json::as_str) {
        None => Ok(b','),
        Some("\\t") => Ok(b'\t'),
        Some(text) if text.len() == 1 => Ok(text.as_bytes()[0]),
        Some(text) => {
            Err(Diagnostic::error("seed/delimiter", format!("the delimiter `{text}` is not one ASCII character")).at(whole(node), ""))
        }
    }
}

/// `quote_columns: true`, or a column's own `quote: true`.
fn quoted(node: &Node, header: &str) -> bool {
    let column = node.columns.values().find(|c| c.name.eq_ignore_ascii_case(header.trim()));
    column.and_then(|c| c.quote).unwrap_or_else(|| match node.config.all.get("quote_columns") {
        Some(Json::Bool(all)) => *all,
        Some(Json::Array(some)) => some.iter().any(|v| v.as_str().is_some_and(|c| c.eq_ignore_ascii_case(header.trim()))),
        _ => false,
    })
}

fn declared_types(node: &Node, file: &CsvFile, faults: &mut Diagnostics) -> Vec<Option<ColumnType>> {
    let mut declared = vec![None; file.header.len()];
    for (name, text) in &node.config.column_types {
        let bare = name.trim().trim_matches('"');
        let Some(at) = file.header.iter().position(|h| h.trim().eq_ignore_ascii_case(bare)) else {
            let mut fault =
                Diagnostic::warning("seed/unknown-column", format!("`column_types` names `{name}`, which is not in the header"));
            if let Some(near) = nearest(bare, file.header.iter().map(String::as_str)) {
                fault = fault.help(format!("did you mean `{near}`?"));
            }
            faults.push(fault.at(config_place(node), ""));
            continue;
        };
        match ColumnType::parse(text) {
            Some(kind) => declared[at] = Some(kind),
            None => faults.push(
                Diagnostic::error("seed/unknown-type", format!("`{text}`, the type of `{name}`, is not known"))
                    .at(config_place(node), "")
                    .help(
                        "there are varchar, number(p, s), integer, float, boolean, date, time, timestamp, binary, variant, array, object",
                    ),
            ),
        }
    }
    declared
}

fn config_place(node: &Node) -> Place {
    node.patch.clone().unwrap_or_else(|| Place::start_of(&node.file))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
