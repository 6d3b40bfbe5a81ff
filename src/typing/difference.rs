//! Two versions of a project held against each other: nodes, columns and types that came, went or changed, and what they reach.
//!
//! A version is a typed project or the manifest of one. Rows are never looked at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value as Json, json};

use super::Typing;
use crate::{names::ResourceType, project::Project};

/// What a comparison needs of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeVersion {
    pub kind: String,
    pub name: String,
    /// Changes with the text of the node.
    pub checksum: String,
    /// In order; `None` where nobody knows them.
    pub columns: Option<Vec<(String, String)>>,
    pub parents: Vec<String>,
}

/// Nodes by unique id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    pub nodes: BTreeMap<String, NodeVersion>,
}

/// What users read: tests and the like only come along.
fn counts(kind: &str) -> bool {
    matches!(kind, "model" | "seed" | "snapshot" | "source" | "exposure")
}

impl Version {
    /// `manifest` is the project's own, for its checksums.
    pub fn of(project: &Project, typing: &Typing, manifest: &Json) -> Self {
        let mut version = Self::of_manifest(manifest, &Json::Null);
        for node in project.graph.nodes().filter(|n| n.kind != ResourceType::Test) {
            if let (Some(entry), Some(typed)) = (version.nodes.get_mut(&node.id.to_string()), typing.nodes.get(&node.id)) {
                entry.columns = Some(typed.columns.iter().map(|c| (c.name.clone(), c.data_type.clone())).collect());
            }
        }
        version
    }

    /// `lineage` is what `segue check` writes beside the manifest; without it nobody knows the columns.
    pub fn of_manifest(manifest: &Json, lineage: &Json) -> Self {
        let mut nodes = BTreeMap::new();
        for group in ["nodes", "sources", "exposures"] {
            for (id, entry) in manifest.get(group).and_then(Json::as_object).into_iter().flatten() {
                let text = |key: &str| entry.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
                let kind = text("resource_type");
                if !counts(&kind) {
                    continue;
                }
                let name = match kind.as_str() {
                    "source" => format!("{}.{}", text("source_name"), text("name")),
                    _ => text("name"),
                };
                let checksum = entry.get("checksum").and_then(|c| c.get("checksum")).and_then(Json::as_str).unwrap_or_default().to_owned();
                let parents = entry.get("depends_on").and_then(|d| d.get("nodes")).and_then(Json::as_array);
                let parents = parents.into_iter().flatten().filter_map(|p| p.as_str().map(str::to_owned)).collect();
                nodes.insert(id.clone(), NodeVersion { kind, name, checksum, columns: columns(lineage, id), parents });
            }
        }
        Self { nodes }
    }
}

fn columns(lineage: &Json, id: &str) -> Option<Vec<(String, String)>> {
    let text = |column: &Json, key: &str| column.get(key).and_then(Json::as_str).map(str::to_owned);
    let typed = lineage.get("nodes")?.get(id)?.get("columns")?.as_array()?;
    typed.iter().map(|c| Some((text(c, "name")?, text(c, "type")?))).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Added,
    Removed,
    /// Its text, its type.
    Changed,
}

impl Change {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnChange {
    pub column: String,
    pub change: Change,
    /// `(before, after)`, empty where it was or is not there.
    pub types: (String, String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodeChange {
    pub id: String,
    pub kind: String,
    pub name: String,
    pub change: Change,
    pub columns: Vec<ColumnChange>,
    /// Models and the like that are built on it, nearest first.
    pub below: Vec<String>,
    pub exposures: Vec<String>,
}

impl NodeChange {
    /// Whether readers may break: something went, or is of another type.
    pub fn is_breaking(&self) -> bool {
        self.change == Change::Removed || self.columns.iter().any(|c| c.change != Change::Added)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    pub nodes: Vec<NodeChange>,
}

pub fn difference(before: &Version, after: &Version) -> Difference {
    let ids: BTreeSet<&String> = before.nodes.keys().chain(after.nodes.keys()).collect();
    let (children, earlier) = (children(after), children(before));
    let mut nodes = vec![];
    for id in ids {
        let (old, new) = (before.nodes.get(id), after.nodes.get(id));
        let (change, columns) = match (old, new) {
            (None, Some(_)) => (Change::Added, vec![]),
            (Some(_), None) => (Change::Removed, vec![]),
            (Some(old), Some(new)) => {
                let columns = changed_columns(old, new);
                if old.checksum == new.checksum && columns.is_empty() {
                    continue;
                }
                (Change::Changed, columns)
            }
            (None, None) => continue,
        };
        let Some(shown) = new.or(old) else { continue };
        // what was built on a node that is gone is known from before
        let reached = below(id, if new.is_some() { &children } else { &earlier });
        let named = |wanted: bool| -> Vec<String> {
            let all = reached.iter().filter_map(|id| after.nodes.get(*id).or_else(|| before.nodes.get(*id)));
            all.filter(|n| (n.kind == "exposure") == wanted).map(|n| n.name.clone()).collect()
        };
        nodes.push(NodeChange {
            id: id.clone(),
            kind: shown.kind.clone(),
            name: shown.name.clone(),
            change,
            columns,
            below: named(false),
            exposures: named(true),
        });
    }
    nodes.sort_by(|a, b| (!a.is_breaking(), a.change, &a.id).cmp(&(!b.is_breaking(), b.change, &b.id)));
    Difference { nodes }
}

fn children(version: &Version) -> BTreeMap<&str, Vec<&str>> {
    let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, node) in &version.nodes {
        for parent in &node.parents {
            children.entry(parent).or_default().push(id);
        }
    }
    children
}

fn below<'a>(id: &str, children: &BTreeMap<&str, Vec<&'a str>>) -> Vec<&'a str> {
    let mut found: Vec<&str> = vec![];
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut queue: VecDeque<&str> = children.get(id).into_iter().flatten().copied().collect();
    while let Some(next) = queue.pop_front() {
        if seen.insert(next) {
            found.push(next);
            queue.extend(children.get(next).into_iter().flatten());
        }
    }
    found
}

fn changed_columns(old: &NodeVersion, new: &NodeVersion) -> Vec<ColumnChange> {
    let (Some(before), Some(after)) = (&old.columns, &new.columns) else { return vec![] };
    let (was, is): (BTreeMap<_, _>, BTreeMap<_, _>) = (before.iter().cloned().collect(), after.iter().cloned().collect());
    let gone = before.iter().filter(|(name, _)| !is.contains_key(name));
    let gone =
        gone.map(|(name, kind)| ColumnChange { column: name.clone(), change: Change::Removed, types: (kind.clone(), String::new()) });
    let rest = after.iter().filter_map(|(name, kind)| match was.get(name) {
        None => Some(ColumnChange { column: name.clone(), change: Change::Added, types: (String::new(), kind.clone()) }),
        Some(old) if old != kind => {
            Some(ColumnChange { column: name.clone(), change: Change::Changed, types: (old.clone(), kind.clone()) })
        }
        Some(_) => None,
    });
    gone.chain(rest).collect()
}

impl Difference {
    pub fn is_breaking(&self) -> bool {
        self.nodes.iter().any(NodeChange::is_breaking)
    }

    pub fn as_json(&self) -> Json {
        let column = |c: &ColumnChange| {
            let known = |t: &str| if t.is_empty() { Json::Null } else { json!(t) };
            json!({"column": c.column, "change": c.change.as_str(), "before": known(&c.types.0), "after": known(&c.types.1)})
        };
        let node = |n: &NodeChange| {
            json!({
                "unique_id": n.id,
                "change": n.change.as_str(),
                "breaking": n.is_breaking(),
                "columns": n.columns.iter().map(column).collect::<Vec<_>>(),
                "below": n.below,
                "exposures": n.exposures,
            })
        };
        json!({"breaking": self.is_breaking(), "nodes": self.nodes.iter().map(node).collect::<Vec<_>>()})
    }

    /// For a pull request.
    pub fn markdown(&self) -> String {
        if self.nodes.is_empty() {
            return "No model, seed, snapshot, source or exposure differs.".into();
        }
        let breaking = self.nodes.iter().filter(|n| n.is_breaking()).count();
        let mut lines =
            vec![format!("**{} nodes differ, {breaking} of them in a way that may break readers.**", self.nodes.len()), String::new()];
        lines.push("| node | change | columns | built on it | exposures |".into());
        lines.push("|---|---|---|---|---|".into());
        for node in &self.nodes {
            let mark = if node.is_breaking() { " (breaking)" } else { "" };
            let columns: Vec<String> = node.columns.iter().map(|c| shown(c, true)).collect();
            lines.push(format!(
                "| {} `{}` | {}{mark} | {} | {} | {} |",
                node.kind,
                node.name,
                node.change.as_str(),
                columns.join("<br>"),
                some(&node.below),
                some(&node.exposures),
            ));
        }
        lines.join("\n")
    }

    pub fn text(&self) -> String {
        if self.nodes.is_empty() {
            return "no differences".into();
        }
        let mut lines = vec![];
        for node in &self.nodes {
            let mark = if node.is_breaking() { ", may break readers" } else { "" };
            lines.push(format!("{} {} {}{mark}", node.change.as_str(), node.kind, node.name));
            lines.extend(node.columns.iter().map(|c| format!("  {}", shown(c, false))));
            if !node.below.is_empty() {
                lines.push(format!("  built on it: {}", node.below.join(", ")));
            }
            if !node.exposures.is_empty() {
                lines.push(format!("  exposures: {}", node.exposures.join(", ")));
            }
        }
        lines.join("\n")
    }
}

fn shown(change: &ColumnChange, code: bool) -> String {
    let name = if code { format!("`{}`", change.column) } else { change.column.clone() };
    match change.change {
        Change::Added => format!("+ {name} {}", change.types.1),
        Change::Removed => format!("- {name} {}", change.types.0),
        Change::Changed => format!("~ {name} {} -> {}", change.types.0, change.types.1),
    }
}

/// A few names, the number of the others.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let mut text = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(nodes: &[(&str, &str, &str, &[(&str, &str)], &[&str])]) -> Version {
        let node = |(kind, name, sum, columns, parents): &(&str, &str, &str, &[(&str, &str)], &[&str])| {
            let node = NodeVersion {
                kind: (*kind).into(),
                name: (*name).into(),
                checksum: (*sum).into(),
                columns: Some(columns.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect()),
                parents: parents.iter().map(|p| (*p).to_owned()).collect(),
            };
            ((*name).to_owned(), node)
        };
        Version { nodes: nodes.iter().map(node).collect() }
    }

    #[test]
    fn columns_and_readers_are_told() {
        let before = version(&[
            ("model", "a", "1", &[("ID", "NUMBER(38,0)"), ("X", "DATE")], &[]),
            ("model", "b", "1", &[("ID", "NUMBER(38,0)")], &["a"]),
            ("exposure", "board", "", &[], &["b"]),
            ("model", "old", "1", &[], &[]),
        ]);
        let after = version(&[
            ("model", "a", "2", &[("ID", "VARCHAR"), ("Y", "DATE")], &[]),
            ("model", "b", "1", &[("ID", "NUMBER(38,0)")], &["a"]),
            ("exposure", "board", "", &[], &["b"]),
            ("model", "new", "1", &[], &[]),
        ]);
        let found = difference(&before, &after);
        assert_eq!(
            found.text(),
            "removed model old, may break readers\nchanged model a, may break readers\n  - X DATE\n  ~ ID NUMBER(38,0) -> VARCHAR\n  + Y DATE\n  built on it: b\n  exposures: board\nadded model new"
        );
        assert!(found.is_breaking() && found.markdown().contains("| model `a` | changed (breaking) |"));
        assert_eq!(difference(&after, &after), Difference::default());
    }
}
