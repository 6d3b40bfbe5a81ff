//! `show`: some rows that a node's query or a query of one's own gives. Builds nothing.

use serde_json::json;

use crate::{
    cli::{
        args::{Output, Selecting},
        artifacts,
        config::Config,
        message::{self, Failure},
        stdout::print,
        workspace::{Workspace, chosen, load, target_folder, warn},
    },
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    engine::{EngineError, Outcome, value},
    graph::Node,
    names::ResourceType,
    project::Compiled,
    report::table,
    run::{CompiledNode, Nowhere, compile::placed, header_parts},
};

pub(super) fn run(selecting: &Selecting, inline: Option<&str>, limit: i64, output: Output, config: &Config) -> Result<i32, Failure> {
    if inline.is_none() && selecting.select.is_empty() {
        let fault = Diagnostic::error("cli/show", "nothing was chosen to show");
        return Err(fault.help("pass `--select NODE`, or `--inline \"select ...\"`").into());
    }
    // of an incremental model all rows are of interest, not only those that the next run would add
    let project = load("show", &[("FULL_REFRESH", true)], config)?;
    let workspace = Workspace::open(project.clone())?;
    let warehouse = workspace.introspection();
    let run = |sql: &str, header: Option<&str>| {
        workspace.runtime.block_on(async {
            let mut session = workspace.engine.session();
            // statements that the query needs before it, in its session
            let (statements, prefix) = header_parts(header.unwrap_or_default());
            for range in session.split(statements) {
                session.execute(&statements[range]).await.map_err(|e| EngineError { at: None, ..e })?;
            }
            match prefix.trim() {
                "" => session.execute(&limited(sql, limit)).await,
                prefix => session.execute(&limited(&format!("{prefix}\n{sql}"), limit)).await.map_err(|e| EngineError { at: None, ..e }),
            }
        })
    };
    let mut results = vec![];
    if let Some(sql) = inline {
        let compiled = project.compile_inline(sql, &warehouse)?;
        warn(&compiled.warnings, config)?;
        // as in dbt, a query that is nobody's node fails the invocation
        let outcome = run(&compiled.sql, compiled.header.as_deref()).map_err(|e| Failure::from(inline_fault(e, &compiled)))?;
        print(&rendered(None, &outcome, output, config));
        results.push(artifacts::inline(&project, &limited(&compiled.sql, limit)));
    } else {
        let selection = chosen(&project, selecting, config)?;
        let nodes: Vec<&Node> = selection.nodes.iter().filter_map(|id| project.graph.node(id)).collect();
        // tests come along with their nodes; they are shown when nothing else is
        let only_tests = nodes.iter().all(|n| n.kind == ResourceType::Test);
        for node in nodes.into_iter().filter(|n| only_tests || n.kind != ResourceType::Test) {
            let Some(compiled) = query(node, &project, &warehouse, config)? else { continue };
            let outcome = run(&compiled.sql, compiled.header.as_deref())
                .map_err(|e| Failure::of_work(with_advice(placed(e, node, Some(&compiled), 0), node)))?;
            if output == Output::Table {
                message::note(&format!("Previewing node '{}':", node.name), config);
            }
            print(&rendered(Some(&node.name), &outcome, output, config));
            results.push(artifacts::rendered(node, "shown", &limited(&compiled.sql, limit), None));
        }
        if results.is_empty() {
            return Err(Diagnostic::error("cli/show", "the selection has nothing that can be shown").into());
        }
    }
    let args = artifacts::arguments("show", selecting, json!({"limit": limit, "inline": inline}), config);
    artifacts::write(&target_folder(&project, config), &project, &artifacts::report(results, config), args, config)?;
    Ok(0)
}

/// The query whose rows stand for the node; `None` when the node has none.
fn query(
    node: &Node,
    project: &crate::project::Project,
    warehouse: &crate::run::Introspection,
    config: &Config,
) -> Result<Option<CompiledNode>, Failure> {
    match (node.kind, &node.relation) {
        (ResourceType::Model | ResourceType::Test | ResourceType::Analysis, _) => {
            let compiled = project.compile(&node.id, warehouse)?;
            warn(&compiled.warnings, config)?;
            let Compiled { sql, map, logs, header, .. } = compiled;
            Ok(Some(CompiledNode { sql, places: std::sync::Arc::new(map), logs, warnings: Diagnostics::default(), header }))
        }
        (ResourceType::Seed | ResourceType::Source | ResourceType::Snapshot, Some(relation)) => Ok(Some(CompiledNode {
            sql: format!("select * from {relation}"),
            places: std::sync::Arc::new(Nowhere),
            logs: vec![],
            warnings: Diagnostics::default(),
            header: None,
        })),
        _ => Ok(None),
    }
}

/// The query with the limit behind it. Behind, not around: the rows keep the order that the query gives them.
fn limited(sql: &str, limit: i64) -> String {
    let sql = sql.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    if limit < 0 { sql.to_owned() } else { format!("{sql}\nlimit {limit}") }
}

/// What a query reads may not be there yet.
fn with_advice(fault: Diagnostic, node: &Node) -> Diagnostic {
    match fault.code {
        "sql/unknown-table" | "engine/unknown-table" if fault.help.is_none() => {
            fault.help(format!("build what it reads first: `segue build --select +{}`", node.name))
        }
        _ => fault,
    }
}

fn inline_fault(error: EngineError, compiled: &Compiled) -> Diagnostic {
    let range = error.at.clone();
    let diagnostic = message::of_engine(error);
    let Some(range) = range else { return diagnostic };
    let place = compiled.map.place(range.clone()).map(|(place, _)| place);
    // no template stands behind it: the SQL itself is what the user knows
    let place = place.unwrap_or_else(|| Place::new(&SourceFile::new("--inline", compiled.sql.clone()), range));
    diagnostic.at(place, "")
}

fn rendered(name: Option<&str>, outcome: &Outcome, output: Output, config: &Config) -> String {
    match output {
        Output::Table => table::table(outcome, config.width),
        Output::Csv => table::csv(outcome),
        Output::Jsonl => table::json_line(outcome),
        Output::Json => {
            let rows = table::json(outcome).replace('\n', "\n  ");
            match name {
                Some(name) => format!("{{\n  \"node\": {},\n  \"show\": {rows}\n}}", value::string(name)),
                None => format!("{{\n  \"show\": {rows}\n}}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::limited;

    #[test]
    fn limits_stand_behind_the_query() {
        for (sql, limit, expect) in [
            ("select 1 ;\n", 5, "select 1\nlimit 5"),
            ("select 1 -- one", 5, "select 1 -- one\nlimit 5"),
            ("select 1;", -1, "select 1"),
            ("select 1", 0, "select 1\nlimit 0"),
        ] {
            assert_eq!(limited(sql, limit), expect);
        }
    }
}
