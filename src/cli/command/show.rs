//! `show`: some rows of a node or of a query, without building anything.

use serde_json::{Value as Json, json};

use super::{chosen, introspection, load, open, print, runtime};
use crate::{
    cli::{
        args::{Output, Selecting},
        message::{self, Failure},
        settings::Settings,
    },
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    engine::Outcome,
    graph::Node,
    names::ResourceType,
    project::Compiled,
    report::table,
    run::{CompiledNode, compile::placed},
};

pub fn run(selecting: &Selecting, inline: Option<&str>, limit: i64, output: Output, settings: &Settings) -> Result<i32, Failure> {
    let project = load("show", false, settings)?;
    let engine = open(&project)?;
    let runtime = runtime()?;
    let warehouse = introspection(&engine, &runtime);
    let show = |name: Option<&str>, compiled: CompiledNode, node: Option<&Node>| -> Result<(), Failure> {
        let (sql, offset) = limited(&compiled.sql, limit);
        let outcome = runtime.block_on(engine.session().execute(&sql)).map_err(|e| match node {
            Some(node) => Failure { diagnostics: placed(e, node, Some(&compiled), offset).into(), exit_code: 1 },
            None => Failure { diagnostics: inline_fault(e, &compiled, offset).into(), exit_code: 1 },
        })?;
        print(&rendered(name, &outcome, output, settings));
        Ok(())
    };
    if let Some(sql) = inline {
        let compiled = of(project.compile_inline(sql, &warehouse)?);
        show(None, compiled, None)?;
        return Ok(0);
    }
    let selection = chosen(&project.graph, selecting, &project.name, settings)?;
    if selecting.select.is_empty() {
        return Err(Diagnostic::error("cli/show", "nothing was chosen to show")
            .help("say `--select NODE` or `--inline \"select ...\"`")
            .into());
    }
    let mut shown = 0;
    for id in project.graph.order().iter().filter(|id| selection.nodes.contains(*id)) {
        let Some(node) = project.graph.node(id) else { continue };
        let compiled = match node.kind {
            ResourceType::Model if node.is_ephemeral() => of(project.compile(id, &warehouse)?),
            ResourceType::Model | ResourceType::Seed | ResourceType::Snapshot | ResourceType::Source => match &node.relation {
                // what is built is shown as it is; what is not, as its query
                Some(relation) if runtime.block_on(engine.columns(relation))?.is_some() => CompiledNode {
                    sql: format!("select * from {relation}"),
                    places: std::sync::Arc::new(crate::run::Nowhere),
                    logs: vec![],
                    warnings: Diagnostics::default(),
                },
                _ if node.kind == ResourceType::Model => of(project.compile(id, &warehouse)?),
                _ => {
                    return Err(Diagnostic::error("cli/show", format!("`{}` is not built yet", node.name))
                        .help(format!("build it first: segue build --select {}", node.name))
                        .into());
                }
            },
            ResourceType::Test if selection.nodes.len() == 1 => of(project.compile(id, &warehouse)?),
            ResourceType::Analysis => of(project.compile(id, &warehouse)?),
            _ => continue,
        };
        if matches!(output, Output::Table) {
            message::note(&format!("Previewing node '{}':", node.name), settings);
        }
        show(Some(&node.name), compiled, Some(node))?;
        shown += 1;
    }
    if shown == 0 {
        return Err(Diagnostic::error("cli/show", "the selection has nothing that can be shown").into());
    }
    Ok(0)
}

fn of(compiled: Compiled) -> CompiledNode {
    CompiledNode { sql: compiled.sql, places: std::sync::Arc::new(compiled.map), logs: compiled.logs, warnings: compiled.warnings }
}

/// The query with a limit around it, and where it begins in the result.
fn limited(sql: &str, limit: i64) -> (String, usize) {
    if limit < 0 {
        return (sql.to_owned(), 0);
    }
    const BEFORE: &str = "select * from (\n";
    (format!("{BEFORE}{}\n) as __segue_shown limit {limit}", sql.trim_end().trim_end_matches(';')), BEFORE.len())
}

fn inline_fault(error: crate::engine::EngineError, compiled: &CompiledNode, offset: usize) -> Diagnostic {
    let range = error.at.clone();
    let mut diagnostic = message::of_engine(error);
    if let Some(range) = range
        && let (Some(start), Some(end)) = (range.start.checked_sub(offset), range.end.checked_sub(offset))
    {
        diagnostic.place = compiled
            .places
            .place_of(start..end)
            .map(|(place, _)| place)
            .or_else(|| Some(Place::new(&SourceFile::new("--inline", compiled.sql.clone()), start..end)));
    }
    diagnostic
}

fn rendered(name: Option<&str>, outcome: &Outcome, output: Output, settings: &Settings) -> String {
    match output {
        Output::Table => table::table(outcome, Some(u16::try_from(settings.width).unwrap_or(160))),
        Output::Csv => table::csv(outcome),
        Output::Jsonl => table::json_line(outcome),
        Output::Json => {
            let rows: Json = serde_json::from_str(&table::json(outcome)).unwrap_or(Json::Null);
            let document = match name {
                Some(name) => json!({"node": name, "show": rows}),
                None => json!({"show": rows}),
            };
            serde_json::to_string_pretty(&document).unwrap_or_default()
        }
    }
}
