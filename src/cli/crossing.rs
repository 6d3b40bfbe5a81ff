//! `+engine`: which nodes are built where, and both engines opened for them.

use std::{collections::HashMap, sync::Arc};

use super::{
    message::Failure,
    workspace::{local, snowflake},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    engine::{
        Engine,
        crossing::{CrossingEngine, Side},
    },
    graph::Node,
    names::{Identifier, RelationName, SchemaName, nearest},
    project::Project,
};

const ENGINES: [&str; 2] = ["datafusion", "snowflake"];

/// Whether any node is built by another engine than the target's. `--local` puts all of them on the local one.
pub(super) fn crosses(project: &Project) -> bool {
    let is_local_by_flag = project.engine != project.profile.type_;
    !is_local_by_flag && project.graph.nodes().any(|n| wanted(n).is_some_and(|e| !e.eq_ignore_ascii_case(&project.engine)))
}

fn wanted(node: &Node) -> Option<&str> {
    node.config.all.get("engine").and_then(serde_json::Value::as_str)
}

pub(super) fn engine(project: &Project) -> Result<Arc<dyn Engine>, Failure> {
    Ok(Arc::new(open(project)?))
}

/// Both engines: the target's own, and the other one by what the target says of it.
pub(super) fn open(project: &Project) -> Result<CrossingEngine, Failure> {
    let profile = &project.profile;
    let home = Side::parse(&project.engine).unwrap_or(Side::Local);
    let mut places: HashMap<RelationName, Side> = HashMap::new();
    let mut faults = Diagnostics::default();
    for node in project.graph.nodes() {
        let side = match wanted(node) {
            None => home,
            Some(text) => match Side::parse(text) {
                Some(side) => side,
                None => {
                    let fault = Diagnostic::error("project/unknown-engine", format!("there is no engine `{text}`"));
                    let help = match nearest(text, ENGINES) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "engines are `datafusion` and `snowflake`".to_owned(),
                    };
                    faults.push(fault.at(node.patch.clone().unwrap_or_else(|| Place::start_of(&node.file)), "").help(help));
                    home
                }
            },
        };
        if let Some(relation) = &node.relation {
            places.insert(relation.clone(), side);
        }
    }
    if faults.has_errors() {
        return Err(faults.into());
    }
    let remote = match home {
        Side::Snowflake => snowflake(project, &profile.settings)?,
        Side::Local => {
            let Some(serde_json::Value::Object(keys)) = profile.settings.get("snowflake") else {
                let node = project.graph.nodes().find(|n| wanted(n).is_some_and(|e| e.eq_ignore_ascii_case("snowflake")));
                let who = node.map_or_else(String::new, |n| format!("`{}` is to be built by Snowflake, but ", n.name));
                let message = format!("{who}the target `{}` says nothing of how to reach it", profile.target_name);
                let fault = Diagnostic::error("project/no-snowflake", message).at(profile.place.clone(), "this target");
                return Err(fault.help("give it a mapping `snowflake:` with the keys of a Snowflake target, or run with `--local`").into());
            };
            let mut settings: indexmap::IndexMap<String, serde_json::Value> = keys.clone().into_iter().collect();
            for (key, value) in [("database", &profile.database), ("schema", &profile.schema)] {
                settings.entry(key.to_owned()).or_insert_with(|| value.as_str().into());
            }
            snowflake(project, &settings)?
        }
    };
    let schema = SchemaName::new(Identifier::parse(&profile.database), Identifier::parse(&profile.schema));
    Ok(CrossingEngine::new(local(project)?, remote, home, places, schema))
}
