//! Who may refer to a model: groups, `private` models of a group, `protected` models of a package with `restrict-access`
//! (dbt documentation, "Model access").

use std::collections::{HashMap, HashSet};

use super::reference::{Lookup, References};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    graph::Node,
    names::{NodeId, ResourceType, nearest},
};

const LEVELS: [&str; 3] = ["private", "protected", "public"];

/// What YAML says of groups and packages.
pub struct Rules<'a> {
    pub groups: HashSet<&'a str>,
    /// Packages that keep their protected models to themselves.
    pub restricted: HashSet<&'a str>,
}

/// Where YAML says it, or else the file.
fn declared(node: &Node) -> Place {
    node.patch.clone().unwrap_or_else(|| node.declared_at())
}

fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.extra.get(key).or_else(|| node.config.all.get(key)).and_then(|v| v.as_str())
}

/// Faults of groups and levels, and references that they forbid.
pub fn check(nodes: &[Node], references: &References, rules: &Rules<'_>, faults: &mut Diagnostics) {
    let mut guarded: HashMap<&NodeId, &Node> = HashMap::new();
    for node in nodes {
        if let Some(group) = text(node, "group").filter(|g| !rules.groups.contains(g)) {
            let fault = Diagnostic::error("project/unknown-group", format!("there is no group `{group}`")).at(declared(node), "");
            faults.push(match nearest(group, rules.groups.iter().copied()) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help("groups are declared in YAML files under `groups:`"),
            });
        }
        if node.kind != ResourceType::Model {
            continue;
        }
        match text(node, "access") {
            Some(level) if !LEVELS.contains(&level) => {
                let fault = Diagnostic::error("project/bad-access", format!("`{level}` is no level of access of `{}`", node.name));
                faults.push(fault.at(declared(node), "").help("levels are `private`, `protected` and `public`"));
            }
            Some("private") => {
                guarded.insert(&node.id, node);
            }
            Some("public") => {}
            _ if rules.restricted.contains(node.package.as_str()) => {
                guarded.insert(&node.id, node);
            }
            _ => {}
        }
    }
    if guarded.is_empty() {
        return;
    }
    for node in nodes {
        // tests of a model stand beside it, whatever they refer to
        let own = |target: &NodeId| {
            node.kind == ResourceType::UnitTest
                || node.test.as_ref().is_some_and(|t| t.generic.is_some() && t.attached_to.as_ref() == Some(target))
        };
        for call in &node.refs {
            let Lookup::Found(named) = references.node(call.package.as_deref(), &call.name, call.version.as_deref(), &node.package) else {
                continue;
            };
            let Some(target) = guarded.get(&named.id).filter(|_| !own(&named.id)) else { continue };
            let kept = match text(target, "access") {
                Some("private") if text(node, "group").is_none() || text(node, "group") != text(target, "group") => {
                    format!("private to the group `{}`", text(target, "group").unwrap_or_default())
                }
                _ if node.package != target.package && rules.restricted.contains(target.package.as_str()) => {
                    format!("kept within the package `{}`", target.package)
                }
                _ => continue,
            };
            faults.push(
                Diagnostic::error("graph/forbidden-ref", format!("`{}` may not refer to `{}`, which is {kept}", node.id, target.id))
                    .at(call.place.clone(), "referenced here")
                    .related(declared(target), "the model")
                    .help("put both into one group, or give the model another level of `access`"),
            );
        }
    }
}
