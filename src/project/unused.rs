//! What is written and has no effect: YAML entries that describe nothing, folders of configuration without nodes.

use std::collections::HashSet;

use super::{draft::Draft, harvest::ReadProperties, package::Package};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    names::{ResourceType, nearest},
};

/// Entries that describe nothing.
pub(super) fn entries(properties: &[ReadProperties<'_>], drafts: &[&Draft], faults: &mut Diagnostics) {
    let names: HashSet<(ResourceType, &str)> = drafts.iter().map(|d| (d.node.kind, d.node.name.as_str())).collect();
    for node in properties.iter().flat_map(|r| &r.found.nodes).filter(|n| !names.contains(&(n.kind, n.name.as_str()))) {
        let warning = Diagnostic::warning("project/unmatched-entry", format!("there is no {} named `{}`", node.kind, node.name))
            .at(node.place.clone(), "this entry describes nothing");
        let other = names.iter().filter(|(_, name)| *name == node.name).map(|(kind, _)| *kind).min();
        faults.push(match other {
            Some(kind) => warning.help(format!("a {kind} has this name; its entry belongs under another key")),
            None => match nearest(&node.name, names.iter().filter(|(k, _)| *k == node.kind).map(|(_, n)| *n)) {
                Some(near) => warning.help(format!("did you mean `{near}`?")),
                None => warning,
            },
        });
    }
}

/// Folders of configuration in the root project that no node lies in.
pub(super) fn configs(root: &Package, drafts: &[Draft], faults: &mut Diagnostics) {
    for (kind, tree) in &root.file.configs {
        let fqns: HashSet<&[String]> =
            drafts.iter().filter(|d| d.node.kind == *kind).flat_map(|d| (1..=d.node.fqn.len()).map(|n| &d.node.fqn[..n])).collect();
        let owned = |path: &[&str]| fqns.contains(&path.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()[..]);
        let mut found = vec![];
        tree.unused(&owned, &mut vec![], &mut found);
        for (place, path) in found {
            let message = format!("the configuration of {kind}s for `{path}` applies to nothing");
            faults.push(Diagnostic::warning("project/unused-config", message).at(place, "no such folder or node"));
        }
    }
}
