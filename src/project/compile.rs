//! A node to the SQL that a warehouse runs: its template rendered, the CTEs of ephemeral models put in front.
//!
//! References that the graph does not know of are refused: the node might run before what it reads.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::{Project, draft::Body, reference::Lookup};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    graph::{Node, TestSeverity},
    names::{NodeId, RelationName, ResourceType},
    template::{
        LogLine, MacroCall, NodeContext, RefError, Rendered, Resolved, Resolver, Returned, Rows, SourceMap, Substitutes, TestCall,
        Warehouse, cte_name, with_ctes,
    },
};

/// A node's SQL and where each piece of it comes from.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    pub sql: String,
    pub map: SourceMap,
    /// Ephemeral models in it, each after those it builds on: `(name of the CTE, its SQL)`, as the manifest's `extra_ctes`.
    pub ctes: Vec<(NodeId, String)>,
    /// `package.name`, in order of first call.
    pub macros: Vec<String>,
    /// What is for the screen and what is for the log.
    pub logs: Vec<LogLine>,
    pub warnings: Diagnostics,
    /// `sql_header` as the rendering set it, or as configured.
    pub header: Option<String>,
}

/// What differs from the ordinary while a text is rendered.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// `None`: what the invocation says.
    pub rows: Option<Rows>,
    pub substitutes: Option<Arc<Substitutes>>,
    /// Names that exist in this rendering alone.
    pub variables: Arc<Map<String, Json>>,
}

impl World {
    pub fn with(variables: Map<String, Json>) -> Self {
        Self { variables: Arc::new(variables), ..Self::default() }
    }
}

impl Project {
    /// The SQL of a model, test, snapshot or analysis.
    pub fn compile(&self, id: &NodeId, warehouse: &dyn Warehouse) -> Result<Compiled, Diagnostics> {
        self.compile_in(id, &World::default(), warehouse)
    }

    /// The same in a world of one's own: a batch, a unit test.
    pub fn compile_in(&self, id: &NodeId, world: &World, warehouse: &dyn Warehouse) -> Result<Compiled, Diagnostics> {
        let Some(node) = self.graph.node(id) else {
            return Err(Diagnostic::error("project/unknown-node", format!("there is no node `{id}`")).into());
        };
        let rendered = self.render_node(node, world, warehouse)?;
        self.complete(rendered, warehouse)
    }

    /// SQL that is in no file (`show --inline`). It may name every node.
    pub fn compile_inline(&self, sql: &str, warehouse: &dyn Warehouse) -> Result<Compiled, Diagnostics> {
        let file = SourceFile::new("--inline", sql);
        let context = NodeContext::new(ResourceType::Analysis, self.name.as_str(), "inline_query");
        let resolver = Bound { project: self, node: None, package: &self.name, warehouse };
        let rendered = self.environment.render(&file, 0..file.text.len(), &context, &resolver, warehouse)?;
        self.complete(rendered, warehouse)
    }

    /// A text around a node or a run: a hook. `place` is where it was written, `node` whose `this` and `model` it sees.
    pub fn render_text(
        &self,
        text: &str,
        place: &Place,
        node: Option<&NodeId>,
        world: &World,
        warehouse: &dyn Warehouse,
    ) -> Result<Rendered, Diagnostics> {
        let context = self.context_of(node, world);
        // hooks run beside their node, so that a reference orders nothing: any is allowed
        let resolver = Bound { project: self, node: None, package: &context.package, warehouse };
        self.environment.render_text(text, place, &context, &resolver, warehouse)
    }

    /// A macro by name, in the context of a node or of the project (`run-operation`).
    pub fn call_macro(
        &self,
        call: &MacroCall,
        node: Option<&NodeId>,
        world: &World,
        warehouse: &dyn Warehouse,
    ) -> Result<Returned, Diagnostics> {
        let context = self.context_of(node, world);
        let resolver = Bound { project: self, node: None, package: &context.package, warehouse };
        let place = node.and_then(|id| self.graph.node(id)).map(|n| Place::start_of(&n.file));
        self.environment.call_macro(call, place.as_ref(), &context, &resolver, warehouse)
    }

    fn context_of(&self, node: Option<&NodeId>, world: &World) -> NodeContext {
        let mut context = match node.and_then(|id| self.graph.node(id)) {
            Some(node) => self.node_context(node),
            None => NodeContext::new(ResourceType::Operation, self.name.as_str(), "hook"),
        };
        context.variables = Arc::clone(&world.variables);
        if let Some(code) = world.variables.get("sql").filter(|c| c.is_string()) {
            let model = Arc::make_mut(&mut context.model);
            model.insert("compiled_code".into(), code.clone());
            model.insert("compiled".into(), Json::Bool(true));
        }
        context
    }

    /// What templates see of a node: `this`, `model`, `config`.
    pub fn node_context(&self, node: &Node) -> NodeContext {
        let mut context = NodeContext::new(node.kind, node.package.as_str(), node.name.as_str());
        context.unique_id = node.id.to_string();
        context.this = node.this.clone().or_else(|| node.relation.clone());
        if matches!(node.kind, ResourceType::Model | ResourceType::Snapshot) {
            context.rows = self.rows.clone();
        }
        context.config = Arc::new(node.config.all.clone());
        context.model = Arc::new(model(node));
        context
    }

    fn render_node(&self, node: &Node, world: &World, warehouse: &dyn Warehouse) -> Result<Rendered, Diagnostics> {
        let mut context = self.node_context(node);
        context.variables = Arc::clone(&world.variables);
        context.substitutes = world.substitutes.clone();
        if let Some(rows) = &world.rows {
            context.rows = rows.clone();
        }
        let resolver = Bound { project: self, node: Some(node), package: &node.package, warehouse };
        let generic = node.test.as_ref().and_then(|t| t.generic.as_ref().map(|g| (g, t.attached_to.as_ref())));
        match node.kind {
            ResourceType::Test if let Some((generic, attached)) = generic => {
                let tested = attached.and_then(|id| self.graph.node(id));
                let model = match tested.map(|n| (n, &n.source)) {
                    Some((_, Some(s))) => format!("source('{}', '{}')", s.source_name, s.table_name),
                    Some((n, None)) => format!("ref('{}', '{}')", n.package, n.name),
                    None => String::new(),
                };
                let mut arguments = generic.arguments.clone();
                arguments.shift_remove("model");
                let place = node.declared_at();
                let call = TestCall { name: generic.name.clone(), model, arguments, place };
                self.environment.render_test(&call, &context, &resolver, warehouse)
            }
            ResourceType::Model | ResourceType::Test | ResourceType::Snapshot | ResourceType::Analysis | ResourceType::Function => {
                match self.bodies.get(&node.id) {
                    Some(Body::Text(place)) => self.environment.render_text(&node.raw_code, place, &context, &resolver, warehouse),
                    Some(Body::Range(range)) => self.environment.render(&node.file, range.clone(), &context, &resolver, warehouse),
                    None => self.environment.render(&node.file, 0..node.file.text.trim_end().len(), &context, &resolver, warehouse),
                }
            }
            kind => {
                let fault = Diagnostic::error("project/no-sql", format!("the {kind} `{}` has no SQL", node.name));
                Err(fault.at(node.declared_at(), "declared here").into())
            }
        }
    }

    fn complete(&self, rendered: Rendered, warehouse: &dyn Warehouse) -> Result<Compiled, Diagnostics> {
        let mut compiled = Compiled { macros: rendered.macros_used.clone(), logs: rendered.logs.clone(), ..Compiled::default() };
        compiled.warnings.0.extend(rendered.warnings.iter().cloned());
        compiled.header = rendered.header.clone();
        let mut ctes: Vec<(String, String)> = vec![];
        for name in &rendered.ephemerals {
            self.add_cte(name, &mut ctes, &mut compiled, warehouse)?;
        }
        let whole = with_ctes(rendered, &ctes);
        (compiled.sql, compiled.map) = (whole.sql, whole.map);
        Ok(compiled)
    }

    /// Depth first, so that a CTE stands after those it names. The graph has no cycle, so this ends.
    fn add_cte(
        &self,
        name: &str,
        ctes: &mut Vec<(String, String)>,
        compiled: &mut Compiled,
        warehouse: &dyn Warehouse,
    ) -> Result<(), Diagnostics> {
        if ctes.iter().any(|(n, _)| n == name) {
            return Ok(());
        }
        let found = match self.references.node(None, name, None, &self.name) {
            Lookup::Found(named) => self.graph.node(&named.id),
            _ => None,
        };
        let Some(node) = found else {
            return Err(Diagnostic::error("graph/unknown-ref", format!("no ephemeral model is named `{name}`")).into());
        };
        let rendered = self.render_node(node, &World::default(), warehouse)?;
        for inner in &rendered.ephemerals {
            self.add_cte(inner, ctes, compiled, warehouse)?;
        }
        for used in rendered.macros_used {
            if !compiled.macros.contains(&used) {
                compiled.macros.push(used);
            }
        }
        compiled.logs.extend(rendered.logs);
        compiled.warnings.0.extend(rendered.warnings);
        compiled.ctes.push((node.id.clone(), format!(" {} as (\n{}\n)", cte_name(name), rendered.sql.trim_end())));
        ctes.push((name.to_owned(), rendered.sql.trim_end().to_owned()));
        Ok(())
    }

    fn relation_of(&self, node: &Node, warehouse: &dyn Warehouse) -> Result<Resolved, RefError> {
        if node.is_ephemeral() {
            return Ok(Resolved::Ephemeral { name: node.name.clone() });
        }
        let kind = match node.config.materialized.as_str() {
            "view" => "view",
            "table" | "incremental" | "seed" | "snapshot" => "table",
            _ => "",
        };
        let Some(name) = node.relation.clone() else {
            let message = format!("`{}` has no table", node.id);
            return Err(RefError { code: "graph/no-relation", message, help: None });
        };
        let event_time = node.config.all.get("event_time").and_then(Json::as_str).map(str::to_owned);
        let name = self.deferred.get().and_then(|d| d.instead_of(&node.id, &name, warehouse)).unwrap_or(name);
        Ok(Resolved::Relation { name, kind: kind.to_owned(), event_time })
    }
}

/// The graph's answers for one node.
struct Bound<'a> {
    project: &'a Project,
    /// Whose references must be edges; `None` allows all.
    node: Option<&'a Node>,
    package: &'a str,
    warehouse: &'a dyn Warehouse,
}

impl<'a> Bound<'a> {
    fn checked(&self, id: &NodeId, call: &str) -> Result<&'a Node, RefError> {
        let unknown = || RefError { code: "graph/unknown-ref", message: format!("`{id}` is not in the graph"), help: None };
        let target = self.project.graph.node(id).ok_or_else(unknown)?;
        if let Some(node) = self.node
            && &node.id != id
            && !node.depends_on.contains(id)
        {
            return Err(RefError {
                code: "graph/undeclared-ref",
                message: format!("`{}` reads `{}`, which was not known when the graph was made", node.name, target.name),
                help: Some(format!("the reference stands where only running reaches it; add the line `-- depends_on: {{{{ {call} }}}}`")),
            });
        }
        Ok(target)
    }
}

impl Resolver for Bound<'_> {
    fn resolve_ref(&self, package: Option<&str>, name: &str, version: Option<&str>) -> Result<Resolved, RefError> {
        match self.project.references.node(package, name, version, self.package) {
            Lookup::Found(named) => self.project.relation_of(self.checked(&named.id, &format!("ref('{name}')"))?, self.warehouse),
            Lookup::Disabled(named) => {
                Err(RefError { code: "graph/disabled-ref", message: format!("`{}` is disabled", named.id), help: None })
            }
            Lookup::Broken | Lookup::Unknown => {
                let (message, help) = self.project.references.explain_ref(package, name);
                Err(RefError { code: "graph/unknown-ref", message, help })
            }
        }
    }

    fn resolve_function(&self, package: Option<&str>, name: &str) -> Result<RelationName, RefError> {
        let unknown = || {
            let (message, help) = self.project.references.unknown_function(name);
            RefError { code: "graph/unknown-function", message, help }
        };
        match self.project.references.function(package, name, self.package) {
            Lookup::Found(named) => self.checked(&named.id, &format!("function('{name}')"))?.relation.clone().ok_or_else(unknown),
            _ => Err(unknown()),
        }
    }

    fn resolve_source(&self, source: &str, table: &str) -> Result<Resolved, RefError> {
        match self.project.references.source(source, table, self.package) {
            Lookup::Found(named) => {
                let node = self.checked(&named.id, &format!("source('{source}', '{table}')"))?;
                let none = || RefError { code: "graph/no-relation", message: format!("`{}` has no table", node.id), help: None };
                let event_time = node.config.all.get("event_time").and_then(Json::as_str).map(str::to_owned);
                Ok(Resolved::Relation { name: node.relation.clone().ok_or_else(none)?, kind: String::new(), event_time })
            }
            Lookup::Disabled(named) => {
                Err(RefError { code: "graph/disabled-ref", message: format!("`{}` is disabled", named.id), help: None })
            }
            Lookup::Broken | Lookup::Unknown => {
                let (message, help) = self.project.references.explain_source(source, table);
                Err(RefError { code: "graph/unknown-source", message, help })
            }
        }
    }

    fn graph(&self) -> Map<String, Json> {
        let (mut nodes, mut sources, mut exposures) = (Map::new(), Map::new(), Map::new());
        for node in self.project.graph.nodes() {
            let mut entry = model(node);
            entry.insert("unique_id".into(), json!(node.id.as_str()));
            entry.insert("name".into(), json!(node.name));
            entry.insert("resource_type".into(), json!(node.kind.as_str()));
            entry.insert("package_name".into(), json!(node.package));
            entry.insert("config".into(), json!(node.config.all));
            let group = match node.kind {
                ResourceType::Source => &mut sources,
                ResourceType::Exposure => &mut exposures,
                _ => &mut nodes,
            };
            group.insert(node.id.to_string(), Json::Object(entry));
        }
        [("nodes", nodes), ("sources", sources), ("exposures", exposures)]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), Json::Object(v)))
            .collect()
    }
}

/// `model` of a template, in the manifest's words.
pub(super) fn model(node: &Node) -> Map<String, Json> {
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let columns: Map<String, Json> = node
        .columns
        .values()
        .map(|c| {
            let entry = json!({
                "name": c.name, "description": c.description, "data_type": c.data_type, "quote": c.quote, "tags": c.tags, "meta": c.meta,
            });
            (c.name.clone(), entry)
        })
        .collect();
    let relation = node.relation.as_ref();
    let mut model = Map::from_iter([
        ("unique_id".to_owned(), json!(node.id.as_str())),
        ("name".to_owned(), json!(node.name)),
        ("package_name".to_owned(), json!(node.package)),
        ("resource_type".to_owned(), json!(node.kind.as_str())),
        ("config".to_owned(), json!(node.config.all)),
        ("alias".to_owned(), json!(node.alias)),
        ("database".to_owned(), json!(relation.map(|r| r.database.as_str()))),
        ("schema".to_owned(), json!(relation.map(|r| r.schema.as_str()))),
        ("relation_name".to_owned(), json!(relation.map(ToString::to_string))),
        ("fqn".to_owned(), json!(node.fqn)),
        ("path".to_owned(), json!(text(&node.path))),
        ("original_file_path".to_owned(), json!(text(&node.original_file_path))),
        ("description".to_owned(), json!(node.description)),
        ("columns".to_owned(), Json::Object(columns)),
        ("tags".to_owned(), json!(node.tags)),
        ("meta".to_owned(), json!(node.meta)),
        ("raw_code".to_owned(), json!(node.raw_code)),
        ("depends_on".to_owned(), json!({"nodes": node.depends_on, "macros": []})),
        ("refs".to_owned(), node.refs.iter().map(|r| json!({"name": r.name, "package": r.package, "version": r.version})).collect()),
        ("sources".to_owned(), node.sources.iter().map(|s| json!([s.source, s.table])).collect()),
    ]);
    if let Some(source) = &node.source {
        model.insert("source_name".into(), json!(source.source_name));
        model.insert("identifier".into(), json!(node.alias));
        model.insert("loader".into(), json!(source.loader));
    }
    if let Some(generic) = node.test.as_ref().and_then(|t| t.generic.as_ref()) {
        model.insert("test_metadata".into(), json!({"name": generic.name, "kwargs": generic.arguments}));
        model.insert("severity".into(), json!(if node.config.severity == TestSeverity::Warn { "warn" } else { "error" }));
    }
    for (key, value) in &node.extra {
        model.entry(key.clone()).or_insert_with(|| value.clone());
    }
    model
}
