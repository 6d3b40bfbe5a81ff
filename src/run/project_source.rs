//! A [`Project`] as what a run asks of it.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use serde_json::{Map, Value as Json};

use super::{
    Compile, CompiledNode, Introspection,
    compile::{QueryComment, Text},
};
use crate::{
    diagnostic::{Diagnostics, Place},
    engine::Engine,
    graph::Node,
    names::{Identifier, NodeId, RelationName, SchemaName},
    project::{Project, World},
    template::{ColumnFacts, MacroCall, RelationFacts, ResultTable, Returned, Warehouse},
};

/// Told of every statement that a template sends, and for which node.
pub type StatementListener = Arc<dyn Fn(Option<&NodeId>, &str) + Send + Sync>;

/// Compiles nodes of a project, asking a warehouse where templates do.
pub struct ProjectSource {
    project: Arc<Project>,
    warehouse: Introspection,
    nodes: Arc<HashMap<NodeId, Arc<Node>>>,
    listener: Option<StatementListener>,
}

impl ProjectSource {
    pub fn new(project: Arc<Project>, warehouse: Introspection) -> Self {
        let nodes: HashMap<_, _> = project.graph.nodes().map(|n| (n.id.clone(), Arc::new(n.clone()))).collect();
        Self { project, warehouse, nodes: Arc::new(nodes), listener: None }
    }

    pub fn with_listener(mut self, listener: StatementListener) -> Self {
        self.listener = Some(listener);
        self
    }

    fn heard<'a>(&'a self, node: Option<&'a NodeId>) -> Heard<'a> {
        Heard { source: self, node }
    }
}

/// The warehouse as one node asks it: what is sent is told to the listener, with the query comment.
struct Heard<'a> {
    source: &'a ProjectSource,
    node: Option<&'a NodeId>,
}

impl Warehouse for Heard<'_> {
    fn relation(&self, name: &RelationName) -> Result<Option<RelationFacts>, String> {
        self.source.warehouse.relation(name)
    }

    fn relations(&self, schema: &SchemaName) -> Result<Vec<(RelationName, RelationFacts)>, String> {
        self.source.warehouse.relations(schema)
    }

    fn columns(&self, name: &RelationName) -> Result<Vec<ColumnFacts>, String> {
        self.source.warehouse.columns(name)
    }

    fn query(&self, sql: &str) -> Result<ResultTable, String> {
        if let Some(listener) = &self.source.listener {
            let comment = self.source.comment(self.node).ok().flatten();
            listener(self.node, &comment.map_or_else(|| sql.to_owned(), |c| c.with(sql)));
        }
        self.source.warehouse.query(sql)
    }
}

impl Compile for ProjectSource {
    fn node(&self, id: &NodeId) -> Option<Arc<Node>> {
        self.nodes.get(id).cloned()
    }

    fn over(&self, engine: &Arc<dyn Engine>) -> Arc<dyn Compile> {
        Arc::new(Self {
            project: Arc::clone(&self.project),
            warehouse: self.warehouse.over(Arc::clone(engine)),
            nodes: Arc::clone(&self.nodes),
            listener: self.listener.clone(),
        })
    }

    fn compile_in(&self, id: &NodeId, world: &World) -> Result<CompiledNode, Diagnostics> {
        let compiled = self.project.compile_in(id, world, &self.heard(Some(id)))?;
        Ok(CompiledNode {
            sql: compiled.sql,
            places: Arc::new(compiled.map),
            logs: compiled.logs,
            warnings: compiled.warnings,
            header: compiled.header,
        })
    }

    fn render(&self, id: Option<&NodeId>, template: &str, place: &Place, variables: &Map<String, Json>) -> Result<Text, Diagnostics> {
        let world = World::with(variables.clone());
        let rendered = self.project.render_text(template, place, id, &world, &self.heard(id))?;
        Ok(Text { sql: rendered.sql, logs: rendered.logs })
    }

    fn call(&self, id: Option<&NodeId>, call: &MacroCall, variables: &Map<String, Json>) -> Result<Returned, Diagnostics> {
        self.project.call_macro(call, id, &World::with(variables.clone()), &self.heard(id))
    }

    fn materialization(&self, node: &Node) -> Option<String> {
        self.project.environment.materialization(&node.config.materialized, &node.package)
    }

    fn comment(&self, id: Option<&NodeId>) -> Result<Option<QueryComment>, Diagnostics> {
        let comment = self.project.query_comment(id)?;
        Ok(comment.map(|(text, append)| QueryComment { text, append }))
    }

    fn written(&self, schema: &SchemaName) -> (String, String) {
        let profile = &self.project.profile;
        (written(&schema.database, &profile.database), written(&schema.schema, &profile.schema))
    }

    fn seed_file(&self, node: &Node) -> PathBuf {
        self.project.absolute_path(node)
    }
}

/// The name with as much of the profile's spelling as it begins with.
fn written(stored: &Identifier, profile: &str) -> String {
    let name = stored.as_str();
    match (stored.is_bare(), name.get(..profile.len())) {
        (true, Some(start)) if start.eq_ignore_ascii_case(profile) => format!("{profile}{}", name[profile.len()..].to_lowercase()),
        (true, _) => name.to_lowercase(),
        (false, _) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_in_the_profile() {
        for (stored, profile, expect) in
            [("DEV", "dev", "dev"), ("Dev_X", "dev", "Dev_X"), ("DEV_MARTS", "Dev", "Dev_marts"), ("OTHER", "dev", "other")]
        {
            assert_eq!(written(&Identifier::exact(stored), profile), expect);
        }
    }
}
