//! `parse`: reads the whole project, tells every fault in it, and writes the manifest. Asks no warehouse.

use std::collections::HashMap;

use super::adapters;
use crate::{
    cli::{
        artifacts,
        config::Config,
        message::{self, Failure},
        workspace::{load, target_folder},
    },
    diagnostic::{Diagnostic, Diagnostics},
    project::Project,
};

/// Settings of adapters, as a build would find them.
fn adapter_faults(project: &Project) -> Result<(), Diagnostics> {
    let make = adapters(project);
    let configured = project.graph.nodes().filter_map(|n| Some((n, n.source.as_ref()?.adapter.as_ref()?)));
    let faults: Vec<Diagnostic> = configured.filter_map(|(node, adapter)| make(node, adapter).err()).collect();
    if faults.is_empty() { Ok(()) } else { Err(Diagnostics(faults)) }
}

pub(super) fn run(config: &Config) -> Result<i32, Failure> {
    let project = load("parse", &[], config)?;
    adapter_faults(&project)?;
    artifacts::write_manifest(&target_folder(&project, config), &project, HashMap::new(), config)?;
    message::note(&format!("{} nodes, no errors", project.graph.len()), config);
    // the process ends here: taking tens of thousands of nodes apart costs time and gives nothing
    std::mem::forget(project);
    Ok(0)
}
