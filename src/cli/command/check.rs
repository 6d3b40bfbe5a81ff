//! `check`: every model typed against its parents, every finding told, nothing read and nothing built.

use std::{collections::HashSet, path::PathBuf, time::Instant};

use super::LINEAGE;
use crate::{
    cli::{
        args::{FindingsOutput, Selecting},
        config::Config,
        findings,
        message::Failure,
        typed::{self, Typed},
        workspace::{chosen, target_folder},
    },
    diagnostic::{Diagnostics, Place},
    project::Project,
    state,
};

pub(super) fn run(selecting: &Selecting, output: FindingsOutput, config: &Config) -> Result<i32, Failure> {
    let began = Instant::now();
    let typed = match typed::load("check", config) {
        Ok(typed) => typed,
        // whoever reads another form than text reads these too
        Err(failure) if output != FindingsOutput::Text && !failure.diagnostics.0.is_empty() => {
            findings::show(&failure.diagnostics, "", output, config);
            return Ok(failure.exit_code);
        }
        Err(failure) => return Err(failure),
    };
    let target = target_folder(&typed.project, config);
    state::manifest::write(&target, &typed::manifest(&typed, config))?;
    state::write_atomically(&target.join(LINEAGE), typed::lineage(&typed, config).to_string().as_bytes())?;
    let found = selected(&typed, selecting, config)?;
    let failed = found.has_errors() || (config.warnings_are_errors && !found.0.is_empty());
    findings::show(&found, &summary(&typed, &found, began), output, config);
    Ok(i32::from(failed))
}

/// Findings in the files of the chosen nodes.
pub(in crate::cli) fn selected(typed: &Typed, selecting: &Selecting, config: &Config) -> Result<Diagnostics, Failure> {
    let everything = selecting.select.is_empty() && selecting.exclude.is_empty() && selecting.selector.is_none();
    if everything && selecting.resource_type.is_empty() && selecting.exclude_resource_type.is_empty() {
        return Ok(typed.typing.findings.clone());
    }
    let selection = chosen(&typed.project, selecting, config)?;
    let places = places(&typed.project, selection.nodes.iter().collect());
    let keep = |place: &Place| {
        places.iter().any(|(path, range)| *path == *place.file.path() && range.as_ref().is_none_or(|r| r.contains(&place.range.start)))
    };
    Ok(typed::within(&typed.typing.findings, &keep))
}

/// Files of the nodes, and of YAML files the entries only.
fn places(project: &Project, nodes: HashSet<&crate::names::NodeId>) -> Vec<(PathBuf, Option<std::ops::Range<usize>>)> {
    let mut places = vec![];
    for node in nodes.into_iter().filter_map(|id| project.graph.node(id)) {
        let yaml = node.file.path().extension().is_some_and(|e| e == "yml" || e == "yaml");
        if !yaml {
            places.push((node.file.path().to_owned(), None));
        }
        if let Some(patch) = &node.patch {
            places.push((patch.file.path().to_owned(), Some(patch.range.start..patch.range.end.max(patch.range.start + 1))));
        }
    }
    places
}

fn summary(typed: &Typed, found: &Diagnostics, began: Instant) -> String {
    let untyped: Vec<&str> = typed
        .typing
        .untyped
        .iter()
        .filter(|(id, why)| !why.is_empty() && typed.project.graph.node(id).is_some_and(|n| n.source.is_none()))
        .filter_map(|(id, _)| typed.project.graph.node(id))
        .map(|n| n.name.as_str())
        .collect();
    let left = match untyped.as_slice() {
        [] => String::new(),
        some if some.len() <= 5 => format!("; not typed: {} (see the rule `untyped`)", some.join(", ")),
        some => format!("; {} nodes not typed (see the rule `untyped`)", some.len()),
    };
    format!("{} nodes checked in {:.2} s: {}{left}", typed.project.graph.len(), began.elapsed().as_secs_f64(), findings::counted(found))
}
