//! Targets of one warehouse beside each other: which relations of this target another one has under another name.

use std::{collections::HashMap, sync::Arc};

use super::{config::Config, message::Failure};
use crate::{
    diagnostic::Diagnostic,
    names::RelationName,
    project::{self, LoadOptions, Project},
    run::Twins,
};

/// `reuse:` of the profile's target.
pub(super) fn reused(project: &Project) -> Option<String> {
    project.profile.settings.get("reuse").and_then(serde_json::Value::as_str).map(str::to_owned)
}

/// The relations of the target that `reuse:` names; `None` without one, or where it names itself.
pub(super) fn twins(project: &Project, config: &Config) -> Result<Option<Arc<Twins>>, Failure> {
    match reused(project).filter(|name| *name != project.profile.target_name) {
        Some(name) => Ok(Some(Arc::new(of_target(project, &name, config)?))),
        None => Ok(None),
    }
}

/// The relations of another target of the profile. The project is loaded a second time, for that target: only its own macros
/// know what it calls them.
pub(super) fn of_target(project: &Project, target: &str, config: &Config) -> Result<Twins, Failure> {
    let options = LoadOptions { target: Some(target.to_owned()), ..config.load_options("parse", &[]) };
    let other = project::load(&options)?;
    if other.warehouse_root() != project.warehouse_root() || other.engine != project.engine {
        let (here, there) = (&project.profile, &other.profile);
        let message = format!("the targets `{}` and `{}` are in different warehouses", here.target_name, there.target_name);
        let fault = Diagnostic::error("cli/other-warehouse", message).at(there.place.clone(), "this target");
        return Err(fault.help("tables are reused and promoted without copies, so both targets need the same `path` and `type`").into());
    }
    let relations: HashMap<RelationName, RelationName> = project
        .graph
        .nodes()
        .filter_map(|node| {
            let (own, twin) = (node.relation.clone()?, other.graph.node(&node.id)?.relation.clone()?);
            (own != twin).then_some((own, twin))
        })
        .collect();
    Ok(Twins { target: target.to_owned(), relations })
}
