//! What is known of the project at one moment: the last version of it that could be read, with its types.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    graph::Node,
    lineage::Way,
    names::{Identifier, NodeId, ResourceType},
    project::{Project, reference::Call},
    template::MacroFacts,
    typing::Typing,
};

/// A column as a user would write it.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) data_type: Option<String>,
    pub(super) description: String,
    pub(super) node: Option<NodeId>,
    /// As it is stored.
    stored: String,
}

impl Known {
    /// The same values under another name: what is known of them stays, but that name is not stored anywhere.
    pub(super) fn renamed(self, name: String) -> Self {
        let stored = if same(&self.stored, &name) { self.stored } else { String::new() };
        Self { name, stored, ..self }
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        if self.stored.is_empty() { self.name.eq_ignore_ascii_case(name) } else { same(&self.stored, name) }
    }
}

/// Whether a name as written means the stored one. Case is forgiven: while somebody types, a near one is better than none.
fn same(stored: &str, written: &str) -> bool {
    Identifier::parse(written).as_str() == stored || stored.eq_ignore_ascii_case(written.trim_matches('"'))
}

/// A stored name as SQL has it.
fn spelled(stored: &str) -> String {
    let spelled = Identifier::exact(stored).to_string();
    if spelled == stored { stored.to_lowercase() } else { spelled }
}

#[derive(Default)]
pub(super) struct Snapshot {
    /// The folder of `dbt_project.yml`.
    pub(super) root: PathBuf,
    pub(super) project: Option<Arc<Project>>,
    pub(super) typing: Arc<Typing>,
    pub(super) macros: Arc<Vec<MacroFacts>>,
}

impl Snapshot {
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.project.iter().flat_map(|p| p.graph.nodes())
    }

    fn root_name(&self) -> &str {
        self.project.as_ref().map_or("", |p| &p.name)
    }

    pub(super) fn node(&self, id: &NodeId) -> Option<&Node> {
        self.project.as_ref()?.graph.node(id)
    }

    /// What `ref()` can name, the root project's first.
    pub(super) fn referable(&self) -> Vec<&Node> {
        let kinds = [ResourceType::Model, ResourceType::Seed, ResourceType::Snapshot];
        let mut all: Vec<&Node> = self.nodes().filter(|n| kinds.contains(&n.kind)).collect();
        all.sort_by_key(|n| (n.package != self.root_name(), n.name.clone()));
        all
    }

    pub(super) fn called(&self, call: &Call) -> Option<&Node> {
        match call {
            Call::Ref { package, name } => self.referenced(package.as_deref(), name),
            Call::Source { source, table } => self.source(source, table),
        }
    }

    pub(super) fn referenced(&self, package: Option<&str>, name: &str) -> Option<&Node> {
        let named: Vec<&Node> = self.referable().into_iter().filter(|n| n.name == name && package.is_none_or(|p| n.package == p)).collect();
        // without a version the latest is meant
        let latest = |n: &&&Node| n.extra.get("version").is_none() || n.extra.get("version") == n.extra.get("latest_version");
        named.iter().find(latest).or(named.first()).copied()
    }

    pub(super) fn source(&self, source: &str, table: &str) -> Option<&Node> {
        self.nodes().find(|n| n.source.as_ref().is_some_and(|s| s.source_name == source && s.table_name == table))
    }

    pub(super) fn function(&self, name: &str) -> Option<&Node> {
        self.nodes().find(|n| n.kind == ResourceType::Function && n.name == name)
    }

    /// A relation by the last part of its name.
    pub(super) fn table(&self, name: &str) -> Option<&Node> {
        self.nodes().find(|n| n.relation.as_ref().is_some_and(|r| r.name.as_str().eq_ignore_ascii_case(name)))
    }

    /// The model, test, snapshot or analysis that a file holds.
    pub(super) fn of_file(&self, path: &Path) -> Option<&Node> {
        let shown = path.strip_prefix(&self.root).unwrap_or(path);
        let yaml = |n: &Node| n.file.path().extension().is_some_and(|e| e == "yml" || e == "yaml");
        self.nodes().find(|n| n.file.path() == shown && !yaml(n))
    }

    /// A path of a diagnostic or node, absolute.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Columns with types where they are known, with descriptions where YAML has them.
    pub(super) fn columns(&self, node: &Node) -> Vec<Known> {
        let described = |stored: &str| node.columns.values().find(|c| same(stored, &c.name));
        match self.typing.nodes.get(&node.id) {
            Some(typed) => typed
                .columns
                .iter()
                .map(|c| Known {
                    name: spelled(&c.name),
                    data_type: Some(c.data_type.clone()),
                    description: described(&c.name).map(|d| d.description.clone()).unwrap_or_default(),
                    node: Some(node.id.clone()),
                    stored: c.name.clone(),
                })
                .collect(),
            None => node
                .columns
                .values()
                .map(|c| Known {
                    name: c.name.clone(),
                    data_type: c.data_type.clone(),
                    description: c.description.clone(),
                    node: Some(node.id.clone()),
                    stored: if c.quote == Some(true) { c.name.clone() } else { Identifier::parse(&c.name).as_str().to_owned() },
                })
                .collect(),
        }
    }

    /// `node.column (how)` for what a column comes from; filters are left out.
    pub(super) fn origins(&self, id: &NodeId, known: &Known) -> Vec<String> {
        let Some(typed) = self.typing.nodes.get(id) else { return vec![] };
        let own = typed.lineage.columns.iter().find(|(name, _)| *name == known.stored);
        let shown = own.into_iter().flat_map(|(_, origins)| origins.iter()).filter(|(_, way)| **way != Way::Filter).map(|(origin, way)| {
            let owner = self.typing.owner(&origin.relation).and_then(|id| self.node(id));
            let owner = owner.map_or_else(|| origin.relation.to_string(), |n| n.name.clone());
            format!("`{owner}.{}` ({})", spelled(&origin.column), way.as_str())
        });
        shown.collect()
    }

    /// A macro as a template of the root project calls it: `name` or `package.name`.
    pub(super) fn find_macro(&self, qualifier: Option<&str>, name: &str) -> Option<&MacroFacts> {
        let mut named: Vec<&MacroFacts> =
            self.macros.iter().filter(|m| m.name == name && qualifier.is_none_or(|q| m.package == q)).collect();
        named.sort_by_key(|m| (m.package != self.root_name(), m.is_builtin, m.package.clone()));
        named.first().copied()
    }
}
