//! What was typed before: a node whose text, configuration, macros and parents' columns are the same has the same types.
//!
//! Only nodes that are well are remembered: faults have places, which move with every edit. A node that asked for more than its
//! parents (a relation by its name, the whole graph) is typed every time.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use datafusion::{arrow::datatypes::SchemaRef, common::tree_node::TreeNodeRecursion, logical_expr::LogicalPlan};
use parking_lot::Mutex;

use super::{State, Tools};
use crate::{
    engine::datafusion::scanned,
    graph::Node,
    names::{NodeId, RelationName, ResourceType, SchemaName},
    project::Project,
};

/// Nodes as they were typed; shared by the runs of one process.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<NodeId, Remembered>>);

#[derive(Clone, Debug)]
struct Remembered {
    key: u64,
    /// Macros that it called, and the digest of their files.
    macros: Vec<String>,
    files: u64,
    state: State,
    schema: Option<SchemaRef>,
}

/// What a node's typing asked for, noted on the way.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) macros: Vec<String>,
    /// Relations that its plans read.
    pub(super) reads: HashSet<RelationName>,
    /// Relations that its template asked about.
    pub(super) asked: HashSet<RelationName>,
}

impl Trace {
    pub(super) fn plan(&mut self, plan: &LogicalPlan, home: &SchemaName) {
        // a walk that only looks cannot fail
        let _ = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                self.reads.extend(scanned(&scan.table_name, home));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
}

/// One run's view of the memory.
pub(super) struct Recall<'a> {
    project: &'a Project,
    tools: &'a Tools,
    /// Digests of macro files, by `package.name`.
    files: HashMap<String, u64>,
    /// What all nodes share: variables, target, names of macros.
    common: u64,
    /// Of the nodes of this run, for those that hold their text in theirs.
    keys: Mutex<HashMap<NodeId, u64>>,
}

fn digest(parts: &[&dyn AsBytes]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.iter().for_each(|p| p.feed(&mut hasher));
    hasher.finish()
}

/// Whatever can be fed to a digest.
trait AsBytes {
    fn feed(&self, hasher: &mut DefaultHasher);
}

impl<T: Hash> AsBytes for T {
    fn feed(&self, hasher: &mut DefaultHasher) {
        self.hash(hasher);
    }
}

impl<'a> Recall<'a> {
    pub(super) fn new(project: &'a Project, tools: &'a Tools) -> Self {
        let mut files = HashMap::new();
        let mut names: Vec<String> = vec![];
        // several macros stand in one file
        let mut known: HashMap<*const crate::diagnostic::SourceFile, u64> = HashMap::new();
        for facts in project.environment.macros() {
            let file = *known.entry(Arc::as_ptr(&facts.place.file)).or_insert_with(|| digest(&[&facts.place.file.text.as_str()]));
            let name = format!("{}.{}", facts.package, facts.name);
            names.push(name.clone());
            files.insert(name, file);
        }
        names.sort_unstable();
        let context = project.environment.context();
        let said = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {} {:?}",
            context.vars,
            context.package_vars,
            context.cli_vars,
            context.target,
            context.flags,
            context.dispatch,
            context.engine,
            project.rows
        );
        Self { project, tools, files, common: digest(&[&names, &said]), keys: Mutex::default() }
    }

    /// Everything that decides a node's types but its macros; `None` for what is typed every time.
    pub(super) fn key(&self, node: &Node, above: &dyn Fn(&NodeId) -> Option<State>) -> Option<u64> {
        if !matches!(node.kind, ResourceType::Model | ResourceType::Test | ResourceType::Analysis) {
            return None;
        }
        let mut parents = vec![];
        for id in &node.depends_on {
            let parent = self.project.graph.node(id)?;
            let inlined = if parent.is_ephemeral() { Some(*self.keys.lock().get(id)?) } else { None };
            let Some(State::Typed(typed)) = above(id) else { return None };
            let columns: Vec<(&str, &str)> = typed.columns.iter().map(|c| (c.name.as_str(), c.data_type.as_str())).collect();
            parents.push((id.to_string(), parent.relation.as_ref().map(ToString::to_string), inlined, digest(&[&columns])));
        }
        let generic = node.test.as_ref().is_some_and(|t| t.generic.is_some());
        let text = if generic { "" } else { node.file.text.as_str() };
        let said = format!("{:?} {:?} {:?} {:?}", node.config.all, node.columns, node.test, node.relation);
        let key = digest(&[&self.common, &node.id.to_string(), &node.raw_code, &text, &said, &parents]);
        self.keys.lock().insert(node.id.clone(), key);
        Some(key)
    }

    fn digest_of(&self, macros: &[String]) -> Option<u64> {
        let files: Option<Vec<u64>> = macros.iter().map(|name| self.files.get(name).copied()).collect();
        Some(digest(&[&files?]))
    }

    /// The node's state, if nothing has changed since it was typed.
    pub(super) fn get(&self, node: &Node, key: Option<u64>) -> Option<State> {
        let held = self.tools.memory.0.lock();
        let known = held.get(&node.id).filter(|k| Some(k.key) == key)?;
        if self.digest_of(&known.macros) != Some(known.files) {
            return None;
        }
        if let (Some(relation), Some(schema)) = (&node.relation, &known.schema) {
            self.tools.drafting.describe(relation, Arc::clone(schema));
        }
        Some(known.state.clone())
    }

    /// Keeps what was found, if it depends on nothing but the key.
    pub(super) fn keep(&self, node: &Node, key: Option<u64>, state: &State, is_clean: bool, trace: Trace) {
        let mut held = self.tools.memory.0.lock();
        held.remove(&node.id);
        let (Some(key), true, State::Typed(_)) = (key, is_clean, state) else { return };
        // what an ephemeral parent reads stands in this node's query
        let mut near: HashSet<&RelationName> = HashSet::new();
        let mut open: Vec<&Node> = vec![node];
        while let Some(next) = open.pop() {
            near.extend(&next.relation);
            let parents = next.depends_on.iter().filter_map(|id| self.project.graph.node(id));
            for parent in parents {
                near.extend(&parent.relation);
                if parent.is_ephemeral() {
                    open.push(parent);
                }
            }
        }
        let graphic = |text: &str| text.contains("graph");
        let asks_all = graphic(&node.raw_code)
            || self
                .project
                .environment
                .macros()
                .any(|m| !m.is_builtin && trace.macros.contains(&format!("{}.{}", m.package, m.name)) && graphic(&m.place.file.text));
        if asks_all || !trace.reads.iter().chain(&trace.asked).all(|r| near.contains(r)) {
            return;
        }
        let Some(files) = self.digest_of(&trace.macros) else { return };
        let schema = node.relation.as_ref().filter(|_| node.kind == ResourceType::Model).and_then(|r| self.tools.drafting.columns(r));
        held.insert(node.id.clone(), Remembered { key, macros: trace.macros, files, state: state.clone(), schema });
    }
}
