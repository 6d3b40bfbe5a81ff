//! A [`Project`] as what a run asks of it.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use serde_json::{Map, Value as Json};

use super::{Compile, CompiledNode, Introspection};
use crate::{
    diagnostic::{Diagnostics, Place},
    graph::Node,
    names::NodeId,
    project::Project,
};

/// Compiles nodes of a project, asking a warehouse where templates do.
pub struct ProjectSource {
    project: Arc<Project>,
    warehouse: Introspection,
    nodes: HashMap<NodeId, Arc<Node>>,
}

impl ProjectSource {
    pub fn new(project: Arc<Project>, warehouse: Introspection) -> Self {
        let nodes = project.graph.nodes().map(|n| (n.id.clone(), Arc::new(n.clone()))).collect();
        Self { project, warehouse, nodes }
    }
}

impl Compile for ProjectSource {
    fn node(&self, id: &NodeId) -> Option<Arc<Node>> {
        self.nodes.get(id).cloned()
    }

    fn compile(&self, id: &NodeId) -> Result<CompiledNode, Diagnostics> {
        let compiled = self.project.compile(id, &self.warehouse)?;
        Ok(CompiledNode { sql: compiled.sql, places: Arc::new(compiled.map), logs: compiled.logs, warnings: compiled.warnings })
    }

    /// `extra` is not seen by templates yet: `results` and `schemas` are undefined in on-run-end hooks.
    fn render(&self, id: Option<&NodeId>, template: &str, place: &Place, _: &Map<String, Json>) -> Result<String, Diagnostics> {
        Ok(self.project.render_text(template, place, id, &self.warehouse)?.sql)
    }

    fn seed_file(&self, node: &Node) -> PathBuf {
        self.project.absolute_path(node)
    }
}
