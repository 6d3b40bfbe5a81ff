//! What a project demands of itself beyond SQL that fits, and how bad each finding is: `checks:` in `dbt_project.yml`.

use std::collections::{BTreeMap, HashSet};

use super::{Typing, column_place};
use crate::{
    diagnostic::{Diagnostic, Severity},
    graph::Node,
    names::{NodeId, ResourceType, nearest},
    project::Project,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Off,
    Warn,
    Error,
}

/// Names of rules, what holds when nothing is said, and what each asks for. The code of a finding is `check/<name>`.
const RULES: [(&str, Level, &str); 9] = [
    ("contract", Level::Error, "the query gives what the contract promises"),
    ("unit-test", Level::Error, "rows of unit tests name columns that are there"),
    ("undeclared-column", Level::Warn, "columns that YAML describes are in the query"),
    ("unused-source", Level::Warn, "something reads the source"),
    ("direct-reference", Level::Warn, "relations of the project are named by ref() or source()"),
    ("missing-description", Level::Off, "models have a description"),
    ("missing-column-description", Level::Off, "columns of models have a description"),
    ("missing-test", Level::Off, "models have a test"),
    ("untyped", Level::Off, "columns are known before anything is built"),
];

/// How bad findings are.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    levels: BTreeMap<String, Level>,
    /// Entries that mean nothing.
    pub faults: Vec<Diagnostic>,
}

impl Rules {
    /// `checks:` of the root project. Codes of any stage may be named too (`sql/ambiguous-column: warn`).
    pub fn of(project: &Project) -> Self {
        let mut rules = Self::default();
        for (name, level, place) in &project.root_package().file.checks {
            let known = name.contains('/') || RULES.iter().any(|(n, ..)| n == name);
            let level = match level.as_str() {
                "off" | "ignore" | "none" => Some(Level::Off),
                "warn" | "warning" => Some(Level::Warn),
                "error" | "fail" => Some(Level::Error),
                _ => None,
            };
            match (known, level) {
                (true, Some(level)) => drop(rules.levels.insert(name.clone(), level)),
                (false, _) => {
                    let fault = Diagnostic::error("check/unknown-rule", format!("there is no check `{name}`")).at(place.clone(), "");
                    rules.faults.push(match nearest(name, RULES.iter().map(|(n, ..)| *n)) {
                        Some(near) => fault.help(format!("did you mean `{near}`?")),
                        None => fault.help(format!("there are `{}`", RULES.map(|(n, ..)| n).join("`, `"))),
                    });
                }
                (true, None) => rules
                    .faults
                    .push(Diagnostic::error("check/unknown-level", format!("`{name}` is `off`, `warn` or `error`")).at(place.clone(), "")),
            }
        }
        rules
    }

    fn level(&self, code: &str) -> Option<Level> {
        let short = code.strip_prefix("check/").unwrap_or(code);
        let said = self.levels.get(code).or_else(|| self.levels.get(short)).copied();
        said.or_else(|| RULES.iter().find(|(name, ..)| code.strip_prefix("check/") == Some(*name)).map(|(_, level, _)| *level))
    }

    fn is_on(&self, rule: &str) -> bool {
        self.level(&format!("check/{rule}")) != Some(Level::Off)
    }
}

pub(super) fn apply(project: &Project, typing: &mut Typing, rules: &Rules) {
    let own = |n: &&Node| n.package == project.name;
    let mut found = rules.faults.clone();
    for node in project.graph.nodes().filter(own) {
        match node.kind {
            ResourceType::Source if rules.is_on("unused-source") && !is_read(project, &node.id) => {
                found.push(
                    Diagnostic::warning("check/unused-source", format!("nothing reads the source `{}`", node.name))
                        .at(node.declared_at(), "declared here"),
                );
            }
            ResourceType::Model => model(project, typing, rules, node, &mut found),
            _ => {}
        }
    }
    if rules.is_on("untyped") {
        for (id, why) in typing.untyped.iter().filter(|(_, why)| !why.is_empty()) {
            if let Some(node) = project.graph.node(id).filter(own) {
                let message = format!("the columns of `{}` are not known before it is built: {why}", node.name);
                found.push(Diagnostic::warning("check/untyped", message).at(node.declared_at(), ""));
            }
        }
    }
    typing.findings.0.extend(found);
    typing.findings.0.retain_mut(|finding| match rules.level(finding.code) {
        Some(Level::Off) => false,
        Some(level) => {
            finding.severity = if level == Level::Error { Severity::Error } else { Severity::Warning };
            true
        }
        None => true,
    });
}

/// By anything but tests.
fn is_read(project: &Project, id: &NodeId) -> bool {
    project.graph.children(id).any(|c| !matches!(c.kind, ResourceType::Test | ResourceType::UnitTest))
}

fn model(project: &Project, typing: &Typing, rules: &Rules, node: &Node, found: &mut Vec<Diagnostic>) {
    if rules.is_on("missing-description") && node.description.trim().is_empty() {
        let message = format!("the model `{}` has no description", node.name);
        found.push(
            Diagnostic::warning("check/missing-description", message).at(node.patch.clone().unwrap_or_else(|| node.declared_at()), ""),
        );
    }
    if rules.is_on("missing-test") && project.graph.tests_of(&node.id).next().is_none() {
        let message = format!("the model `{}` has no test", node.name);
        found.push(Diagnostic::warning("check/missing-test", message).at(node.patch.clone().unwrap_or_else(|| node.declared_at()), ""));
    }
    let Some(typed) = typing.nodes.get(&node.id) else { return };
    let same = |column: &crate::graph::Column, name: &str| {
        if column.quote == Some(true) { column.name == name } else { column.name.eq_ignore_ascii_case(name) }
    };
    let enforced = node.config.all.get("contract").and_then(|c| c.get("enforced")).and_then(serde_json::Value::as_bool) == Some(true);
    if rules.is_on("undeclared-column") && !enforced {
        for column in node.columns.values().filter(|c| !typed.columns.iter().any(|t| same(c, &t.name))) {
            let message = format!("`{}` has no column `{}`", node.name, column.name);
            let finding = Diagnostic::warning("check/undeclared-column", message).at(column_place(node, &column.name), "described here");
            let known: Vec<String> = typed.columns.iter().map(|c| c.name.to_lowercase()).collect();
            found.push(match nearest(&column.name.to_lowercase(), known.iter().map(String::as_str)) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding,
            });
        }
    }
    if rules.is_on("missing-column-description") {
        for column in &typed.columns {
            if !node.columns.values().any(|c| same(c, &column.name) && !c.description.trim().is_empty()) {
                let message = format!("the column `{}` of `{}` has no description", column.name, node.name);
                found.push(
                    Diagnostic::warning("check/missing-column-description", message)
                        .at(node.patch.clone().unwrap_or_else(|| node.declared_at()), ""),
                );
            }
        }
    }
    if rules.is_on("direct-reference") {
        let mut told = HashSet::new();
        let read = typed.lineage.columns.iter().flat_map(|(_, origins)| origins.keys()).chain(typed.lineage.filters.keys());
        for origin in read {
            let Some(owner) = typing.owner(&origin.relation).filter(|o| **o != node.id && !above(project, node, o)) else { continue };
            if told.insert(owner.clone()) {
                let message = format!("`{}` reads `{}` by its name, so nothing says that it is built first", node.name, origin.relation);
                let help = match project.graph.node(owner).and_then(|n| n.source.as_ref()) {
                    Some(s) => format!("write {{{{ source('{}', '{}') }}}}", s.source_name, s.table_name),
                    None => format!("write {{{{ ref('{}') }}}}", project.graph.node(owner).map_or("", |n| &n.name)),
                };
                found.push(Diagnostic::warning("check/direct-reference", message).at(node.declared_at(), "").help(help));
            }
        }
    }
}

/// Whether the graph says that the node needs the other one, through ephemeral models too.
fn above(project: &Project, node: &Node, other: &NodeId) -> bool {
    node.depends_on
        .iter()
        .any(|id| id == other || project.graph.node(id).is_some_and(|parent| parent.is_ephemeral() && above(project, parent, other)))
}
