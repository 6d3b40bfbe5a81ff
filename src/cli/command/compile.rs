//! `compile`: nodes rendered to `target/compiled`; a single one, or a query, to standard output too.

use serde_json::json;

use crate::{
    cli::{
        args::Selecting,
        artifacts,
        config::Config,
        message::{self, Failure},
        stdout::print,
        workspace::{Workspace, chosen, load, target_folder, warn},
    },
    diagnostic::Diagnostics,
    graph::Node,
    names::ResourceType,
    state::write_atomically,
};

pub(super) fn run(selecting: &Selecting, inline: Option<&str>, full_refresh: bool, config: &Config) -> Result<i32, Failure> {
    let project = load("compile", &[("FULL_REFRESH", full_refresh)], config)?;
    let workspace = Workspace::open(project.clone())?;
    let warehouse = workspace.introspection();
    let target = target_folder(&project, config);
    let args = artifacts::arguments("compile", selecting, json!({"inline": inline, "full_refresh": full_refresh}), config);
    if let Some(sql) = inline {
        let compiled = project.compile_inline(sql, &warehouse)?;
        warn(&compiled.warnings, config)?;
        artifacts::write(&target, &project, &artifacts::report(vec![artifacts::inline(&project, &compiled.sql)], config), args, config)?;
        print(&compiled.sql);
        return Ok(0);
    }

    let selection = chosen(&project, selecting, config)?;
    let mut faults = Diagnostics::default();
    let mut compiled = vec![];
    for node in selection.nodes.iter().filter_map(|id| project.graph.node(id)).filter(|n| has_sql(n)) {
        match project.compile(&node.id, &warehouse) {
            Ok(rendered) => {
                warn(&rendered.warnings, config)?;
                let path = target.join("compiled").join(&node.package).join(below_compiled(node));
                write_atomically(&path, rendered.sql.as_bytes())?;
                compiled.push((artifacts::rendered(node, "compiled", &rendered.sql, Some(path)), rendered.sql));
            }
            Err(more) => faults.extend(more),
        }
    }
    if faults.has_errors() {
        return Err(faults.into());
    }
    let results = compiled.iter().map(|(result, _)| result.clone()).collect();
    artifacts::write(&target, &project, &artifacts::report(results, config), args, config)?;
    // tests come along with their nodes; their SQL is shown when nothing else is
    let tests_only = compiled.iter().all(|(result, _)| result.node.kind == ResourceType::Test);
    let asked: Vec<_> = compiled.iter().filter(|(r, _)| tests_only || r.node.kind != ResourceType::Test).collect();
    match asked.as_slice() {
        // nodes were asked for: their SQL is the answer
        some if !selecting.select.is_empty() && !some.is_empty() => {
            for (result, sql) in some {
                message::note(&format!("Compiled node '{}' is:", result.node.name), config);
                print(sql);
            }
        }
        several => message::note(&format!("{} nodes compiled into {}", several.len(), target.join("compiled").display()), config),
    }
    Ok(0)
}

fn has_sql(node: &Node) -> bool {
    matches!(node.kind, ResourceType::Model | ResourceType::Test | ResourceType::Analysis | ResourceType::Snapshot)
}

/// dbt's layout: a generic test lies below the file that declares it.
fn below_compiled(node: &Node) -> std::path::PathBuf {
    match node.test.as_ref().and_then(|t| t.generic.as_ref()) {
        Some(_) => node.original_file_path.join(format!("{}.sql", node.name)),
        None => node.original_file_path.clone(),
    }
}
