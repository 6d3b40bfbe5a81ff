//! Files and YAML entries to nodes: configuration merged, the text collected, the relation named. References are not bound yet.

use std::{collections::HashMap, ops::Range, path::PathBuf, sync::Arc};

use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value as Json};

use super::{
    config::{ConfigItem, Merged},
    package::{Package, ResourceFile, fqn},
    project_file::Quoting,
    properties::{ColumnProperties, NodeProperties, TestProperties, Text},
    reference::{Call, State},
    relation::Namer,
    version::Version,
    yaml::has_template,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place, SourceFile},
    graph::{Column, Node, NodeConfig},
    names::{NodeId, RelationName, ResourceType},
    template::{Collected, Environment, NodeContext, jinja::named_blocks},
};

/// Where a node's template stands when it is not the whole of its file.
#[derive(Clone, Debug)]
pub enum Body {
    /// Inside the file, e.g. a snapshot block.
    Range(Range<usize>),
    /// Written by segue for an entry that stands here.
    Text(Place),
}

/// What a file holds, before anything is evaluated.
#[derive(Clone, Debug)]
pub struct Blueprint {
    pub package: usize,
    pub kind: ResourceType,
    pub name: String,
    pub fqn: Vec<String>,
    pub path: PathBuf,
    pub original_path: PathBuf,
    pub file: Arc<SourceFile>,
    pub body: Option<Body>,
    pub raw_code: String,
    /// Of a model with versions.
    pub version: Option<Version>,
}

/// A node on its way; `node` exists even when it has faults, so that references to it are not faults too.
#[derive(Debug)]
pub struct Draft {
    /// Boxed: drafts are moved about on their way to the graph, and a node is large.
    pub node: Box<Node>,
    pub state: State,
    pub body: Option<Body>,
    /// Tests that YAML declares on it, with the column they look at.
    pub tests: Vec<(Option<Column>, TestProperties)>,
    pub faults: Diagnostics,
    /// Its template looked at what is another thing in each invocation: the clock, flags.
    pub varies: bool,
}

/// The nodes that a file stands for: one, or one for each `{% snapshot %}` block.
pub fn blueprints(package: usize, name: &str, file: &ResourceFile, faults: &mut Diagnostics) -> Vec<Blueprint> {
    let stem = file.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let one = |name_parts: &[&str], body: Option<Body>, raw: &str| Blueprint {
        package,
        kind: file.kind,
        name: name_parts.last().map(|n| (*n).to_owned()).unwrap_or_default(),
        fqn: fqn(name, &file.path, name_parts),
        path: file.path.clone(),
        original_path: file.original_path.clone(),
        file: file.file.clone(),
        body,
        raw_code: raw.to_owned(),
        version: None,
    };
    let text = file.file.text.as_str();
    if file.kind != ResourceType::Snapshot {
        return vec![one(&[&stem], None, text.trim())];
    }
    match named_blocks(&file.file, "snapshot") {
        Ok(blocks) => {
            if blocks.is_empty() && !text.trim().is_empty() {
                let fault = Diagnostic::warning("project/no-snapshot", "this file has no `{% snapshot name %}` block");
                faults.push(fault.at(Place::start_of(&file.file), "ignored"));
            }
            blocks
                .iter()
                .map(|b| one(&[&stem, &b.name], Some(Body::Range(b.body.clone())), text.get(b.body.clone()).unwrap_or("")))
                .collect()
        }
        Err(fault) => {
            faults.push(*fault);
            vec![]
        }
    }
}

/// YAML entries of nodes by package, kind and name.
pub type Patches<'a> = HashMap<(usize, ResourceType, &'a str), &'a NodeProperties>;

/// Everything that drafting asks.
pub struct Drafting<'a> {
    pub environment: &'a Environment,
    pub packages: &'a [Package],
    pub namer: Namer<'a>,
    pub patches: Patches<'a>,
    pub store_failures: bool,
}

impl Drafting<'_> {
    pub fn draft(&self, blueprint: &Blueprint) -> Draft {
        let mut faults = Diagnostics::default();
        let package = self.packages[blueprint.package].name();
        let entry = |kind: ResourceType| self.patches.get(&(blueprint.package, kind, blueprint.name.as_str())).copied();
        let patch = entry(blueprint.kind).or_else(|| match blueprint.kind {
            // models, seeds and snapshots share one space of names, so an entry under a wrong key can mean nothing else
            ResourceType::Seed | ResourceType::Snapshot => entry(ResourceType::Model),
            _ => None,
        });
        let mut merged = self.folder_config(blueprint.package, blueprint.kind, &blueprint.fqn);
        if let Some(patch) = patch {
            merged.add_all(&patch.config);
        }
        if let Some(version) = &blueprint.version {
            merged.add_all(&version.config);
        }
        let alias = blueprint.version.as_ref().map_or_else(|| blueprint.name.clone(), |v| v.alias(&blueprint.name));
        let mut context = NodeContext::new(blueprint.kind, package, blueprint.name.as_str());
        context.config = Arc::new(merged.values());
        let start = Place::start_of(&blueprint.file);
        if matches!(blueprint.kind, ResourceType::Model | ResourceType::Snapshot) {
            // `this` while collecting knows what is configured outside the file, as in dbt
            let early = merged.resolve(blueprint.kind, &mut Diagnostics::default());
            context.this = self.namer.name(&early, &alias, self.quoting(), &context, &blueprint.fqn, &start).ok().map(|(r, _)| r);
        }
        let mut state = State::Enabled;
        let collected = match self.collect(blueprint, &context) {
            Ok(collected) => collected,
            Err(more) => {
                if merged.is_enabled() {
                    faults.extend(more);
                }
                state = State::Broken;
                Collected::default()
            }
        };
        let mut varies = collected.varies;
        for (key, (value, place)) in collected.config {
            merged.add(&key, value, place);
        }
        let config = merged.resolve(blueprint.kind, &mut faults);
        if !config.enabled {
            state = State::Disabled;
        }
        let mut node = self.node(blueprint, package, config);
        node.refs = collected.refs;
        node.sources = collected.sources;
        node.functions = collected.functions;
        varies |= self.hook_references(&mut node, &context, &start, &mut faults);
        faults.0.extend(collected.warnings);
        let mut tests = vec![];
        if let Some(patch) = patch {
            node.patch = Some(patch.place.clone());
            node.description = self.text(&patch.description, &mut faults);
            node.extra.extend(patch.extra.clone());
            node.columns = self.columns(&patch.columns, &mut faults);
            tests = declared_tests(&patch.tests, &patch.columns);
            foreign_keys(&mut node, &patch.place);
        }
        if let Some(version) = &blueprint.version {
            version.mark(&mut node, alias);
        }
        if state == State::Enabled {
            self.relate(&mut node, &mut faults, &mut state);
        }
        Draft { node: Box::new(node), state, body: blueprint.body.clone(), tests, faults, varies }
    }

    /// What hooks refer to must be there before the node; a seed comes before everything else. Whether that varies is the answer.
    fn hook_references(&self, node: &mut Node, context: &NodeContext, place: &Place, faults: &mut Diagnostics) -> bool {
        let mut varies = false;
        let hooks = node.config.pre_hook.iter().chain(&node.config.post_hook);
        for hook in hooks.filter(|h| h.sql.contains("ref(") || h.sql.contains("source(")).map(|h| h.sql.clone()).collect::<Vec<_>>() {
            // what cannot be evaluated now is told when the hook runs
            let Ok(found) = self.environment.collect_text(&hook, place, context) else { continue };
            varies |= found.varies;
            if node.kind == ResourceType::Seed && !(found.refs.is_empty() && found.sources.is_empty()) {
                let message = format!("Seeds cannot depend on other nodes: a hook of `{}` refers to one", node.name);
                faults.push(Diagnostic::error("project/seed-hook", message).at(place.clone(), "this seed"));
                continue;
            }
            node.refs.extend(found.refs.into_iter().filter(|r| r.name != node.name));
            node.sources.extend(found.sources);
        }
        varies
    }

    fn collect(&self, blueprint: &Blueprint, context: &NodeContext) -> Result<Collected, Diagnostics> {
        let is_sql = blueprint.path.extension().is_none_or(|e| e.eq_ignore_ascii_case("sql"));
        if blueprint.kind == ResourceType::Seed || (blueprint.kind == ResourceType::Function && !is_sql) {
            return Ok(Collected::default());
        }
        match &blueprint.body {
            Some(Body::Text(place)) => self.environment.collect_text(&blueprint.raw_code, place, context),
            Some(Body::Range(range)) => self.environment.collect(&blueprint.file, range.clone(), context),
            None => self.environment.collect(&blueprint.file, 0..blueprint.file.text.trim_end().len(), context),
        }
    }

    /// Folder trees: the package's own, then the root project's, which overrides it.
    pub fn folder_config(&self, package: usize, kind: ResourceType, fqn: &[String]) -> Merged {
        let mut merged = Merged::default();
        let packages = if package == 0 { vec![0] } else { vec![package, 0] };
        for tree in packages.into_iter().filter_map(|p| self.packages[p].file.configs.get(&kind)) {
            tree.apply(fqn, &mut merged);
        }
        merged
    }

    pub fn quoting(&self) -> Quoting {
        self.packages.first().map(|p| p.file.quoting).unwrap_or_default()
    }

    fn node(&self, blueprint: &Blueprint, package: &str, config: NodeConfig) -> Node {
        blank_node(
            NodeId::of(
                blueprint.kind,
                package,
                &blueprint.version.as_ref().map_or_else(|| blueprint.name.clone(), |v| v.id(&blueprint.name)),
            ),
            blueprint.kind,
            blueprint.name.clone(),
            package.to_owned(),
            blueprint.fqn.clone(),
            &blueprint.file,
            config,
        )
        .with_files(blueprint.path.clone(), blueprint.original_path.clone(), blueprint.raw_code.clone())
    }

    /// Names the node's table, if it has one.
    pub fn relate(&self, node: &mut Node, faults: &mut Diagnostics, state: &mut State) {
        let mut config = node.config.clone();
        let stored = match node.kind {
            ResourceType::Model => !node.is_ephemeral(),
            ResourceType::Seed | ResourceType::Snapshot | ResourceType::Function => true,
            ResourceType::Test => config.store_failures.unwrap_or(self.store_failures),
            _ => false,
        };
        if node.kind == ResourceType::Test && config.schema.is_none() {
            // dbt documentation, "store_failures": results go to a schema of their own
            config.schema = Some("dbt_test__audit".into());
        }
        if let Some(alias) = &config.alias {
            node.alias = alias.clone();
        }
        let mut context = NodeContext::new(node.kind, node.package.as_str(), node.name.as_str());
        context.unique_id = node.id.to_string();
        context.config = Arc::new(node.config.all.clone());
        context.model = Arc::new(Map::from_iter([
            ("path".to_owned(), Json::from(node.path.to_string_lossy())),
            ("original_file_path".to_owned(), Json::from(node.original_file_path.to_string_lossy())),
        ]));
        let place = Place::start_of(&node.file);
        if node.kind == ResourceType::Snapshot
            && let Some(relation) = self.snapshot_target(&config, &node.alias)
        {
            node.this = Some(relation.clone());
            node.relation = Some(relation);
            return;
        }
        match self.namer.name(&config, &node.alias, self.quoting(), &context, &node.fqn, &place) {
            Ok((relation, alias)) => {
                node.alias = alias;
                node.relation = stored.then(|| relation.clone());
                node.this = Some(relation);
            }
            Err(more) => {
                faults.extend(more);
                *state = State::Broken;
            }
        }
    }

    /// `target_schema` of a snapshot is the schema itself: `generate_schema_name` is not asked (dbt documentation, "target_schema").
    fn snapshot_target(&self, config: &NodeConfig, alias: &str) -> Option<RelationName> {
        let text = |key: &str| config.all.get(key).and_then(Json::as_str).filter(|t| !t.is_empty());
        let schema = text("target_schema").filter(|_| text("schema").is_none())?;
        let target = self.environment.context();
        let database = text("target_database").or_else(|| target.target.get("database").and_then(Json::as_str)).unwrap_or_default();
        Some(super::relation::relation(database, schema, alias, self.quoting()))
    }

    pub fn columns(&self, columns: &[ColumnProperties], faults: &mut Diagnostics) -> IndexMap<String, Column> {
        let column = |c: &ColumnProperties, faults: &mut Diagnostics| {
            let column = Column { description: self.text(&c.description, faults), ..c.column.clone() };
            (column.name.clone(), column)
        };
        columns.iter().map(|c| column(c, faults)).collect()
    }

    /// A description; `{{ doc('x') }}` becomes the block's text.
    pub fn text(&self, text: &Text, faults: &mut Diagnostics) -> String {
        let Some(place) = text.place.as_ref().filter(|_| has_template(&text.text)) else { return text.text.clone() };
        match self.environment.render_yaml_text(&text.text, place) {
            Ok(Json::String(rendered)) => rendered,
            Ok(other) => other.to_string(),
            Err(more) => {
                faults.extend(more);
                text.text.clone()
            }
        }
    }

    /// Configuration whose texts were left alone when the file was read.
    pub fn rendered(&self, items: &[ConfigItem], faults: &mut Diagnostics) -> Vec<ConfigItem> {
        let render = |item: &ConfigItem, faults: &mut Diagnostics| {
            let text = item.value.as_str().filter(|t| has_template(t))?;
            match self.environment.render_yaml_text(text, &item.place) {
                Ok(value) => Some(ConfigItem { value, ..item.clone() }),
                Err(more) => {
                    faults.extend(more);
                    None
                }
            }
        };
        items.iter().map(|item| render(item, faults).unwrap_or_else(|| item.clone())).collect()
    }
}

/// Tests on the node itself, then those of its columns.
pub fn declared_tests(own: &[TestProperties], columns: &[ColumnProperties]) -> Vec<(Option<Column>, TestProperties)> {
    let of_columns = columns.iter().flat_map(|c| c.tests.iter().map(|t| (Some(c.column.clone()), t.clone())));
    own.iter().map(|t| (None, t.clone())).chain(of_columns).collect()
}

/// A node with nothing but its name, configuration and what follows from them.
pub fn blank_node(
    id: NodeId,
    kind: ResourceType,
    name: String,
    package: String,
    fqn: Vec<String>,
    file: &Arc<SourceFile>,
    config: NodeConfig,
) -> Node {
    let strings = |value: Option<&Json>| -> IndexSet<String> {
        value
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(|t| t.as_str().map(str::to_owned).or_else(|| Some(t.to_string())))
            .collect()
    };
    Node {
        tags: strings(config.all.get("tags")).into_iter().collect(),
        meta: config.all.get("meta").and_then(Json::as_object).map(|m| m.clone().into_iter().collect()).unwrap_or_default(),
        alias: config.alias.clone().unwrap_or_else(|| name.clone()),
        id,
        kind,
        name,
        package,
        fqn,
        path: PathBuf::new(),
        original_file_path: file.path().to_owned(),
        file: file.clone(),
        raw_code: String::new(),
        patch: None,
        description: String::new(),
        columns: IndexMap::new(),
        config,
        functions: vec![],
        this: None,
        relation: None,
        refs: vec![],
        sources: vec![],
        depends_on: vec![],
        test: None,
        source: None,
        extra: IndexMap::new(),
    }
}

impl Node {
    fn with_files(mut self, path: PathBuf, original: PathBuf, raw_code: String) -> Self {
        (self.path, self.original_file_path, self.raw_code) = (path, original, raw_code);
        self
    }
}

/// Tables that `to:` of foreign keys names are there before the node (dbt documentation, "constraints").
fn foreign_keys(node: &mut Node, place: &Place) {
    let of_columns = node.columns.values().filter_map(|c| c.extra.get("constraints"));
    let all = of_columns.chain(node.extra.get("constraints")).filter_map(Json::as_array).flatten();
    let calls: Vec<Call> = all.filter_map(|c| Call::parse(c.get("to")?.as_str()?)).collect();
    for call in calls {
        call.note(place.clone(), node);
    }
}
