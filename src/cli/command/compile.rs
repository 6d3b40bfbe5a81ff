//! `compile`: nodes rendered to `target/compiled`, or one query to standard output.

use super::{chosen, introspection, load, open, print, runtime, target_folder};
use crate::{
    cli::{
        args::Selecting,
        message::{self, Failure},
        settings::Settings,
    },
    diagnostic::Diagnostics,
    names::ResourceType,
    state::write_atomically,
};

pub fn run(selecting: &Selecting, inline: Option<&str>, full_refresh: bool, settings: &Settings) -> Result<i32, Failure> {
    let project = load("compile", full_refresh, settings)?;
    let engine = open(&project)?;
    let runtime = runtime()?;
    let warehouse = introspection(&engine, &runtime);
    if let Some(sql) = inline {
        print(&project.compile_inline(sql, &warehouse)?.sql);
        return Ok(0);
    }
    let selection = chosen(&project.graph, selecting, &project.name, settings)?;
    let folder = target_folder(&project, settings).join("compiled").join(&project.name);
    let (mut faults, mut count, mut last) = (Diagnostics::default(), 0, None);
    for id in project.graph.order().iter().filter(|id| selection.nodes.contains(*id)) {
        let Some(node) = project.graph.node(id) else { continue };
        if !matches!(node.kind, ResourceType::Model | ResourceType::Test | ResourceType::Analysis | ResourceType::Snapshot) {
            continue;
        }
        match project.compile(id, &warehouse) {
            Ok(compiled) => {
                let path = match &node.test {
                    Some(test) if test.generic.is_some() => folder.join(&node.original_file_path).join(format!("{}.sql", node.name)),
                    _ => folder.join(&node.original_file_path),
                };
                write_atomically(&path, compiled.sql.as_bytes())?;
                count += 1;
                last = Some((node.name.clone(), compiled.sql));
            }
            Err(more) => faults.extend(more),
        }
    }
    if faults.has_errors() {
        return Err(Failure { diagnostics: faults, exit_code: 1 });
    }
    match last {
        // dbt shows the SQL when one node was asked for
        Some((name, sql)) if count == 1 => {
            message::note(&format!("Compiled node '{name}' is:"), settings);
            print(&sql);
        }
        _ => message::note(&format!("{count} nodes compiled into {}", folder.display()), settings),
    }
    Ok(0)
}
