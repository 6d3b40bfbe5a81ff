//! What an invocation leaves in `target/`: `manifest.json` and `run_results.json`.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use chrono::Utc;
use serde_json::{Map, Value as Json, json};

use super::{args::Selecting, config::Config};
use crate::{
    diagnostic::{Diagnostic, Place},
    graph::Node,
    names::NodeId,
    project::Project,
    report::run_results::{self, RunResultsContext},
    run::{
        RunReport,
        event::{NodeLabel, NodeResult, Status},
    },
    state::manifest::{self, DocEntry, MacroEntry, ManifestContext, SemanticEntry},
    template::BUILTIN_PACKAGE,
};

/// The arguments as `run_results.json` shows them.
pub(super) fn arguments(verb: &str, selecting: &Selecting, more: Json, config: &Config) -> Map<String, Json> {
    let mut args = Map::from_iter([
        ("which".to_owned(), json!(verb)),
        ("select".to_owned(), json!(selecting.select)),
        ("exclude".to_owned(), json!(selecting.exclude)),
        ("vars".to_owned(), json!(config.vars.as_deref().unwrap_or("{}"))),
        ("target".to_owned(), json!(config.target)),
        ("profile".to_owned(), json!(config.profile)),
        ("project_dir".to_owned(), json!(config.project_dir)),
        ("profiles_dir".to_owned(), json!(config.profiles_dir)),
        ("fail_fast".to_owned(), json!(config.fail_fast)),
        ("quiet".to_owned(), json!(config.quiet)),
        ("invocation_command".to_owned(), json!(format!("segue {verb}"))),
    ]);
    if let Json::Object(more) = more {
        args.extend(more);
    }
    args
}

/// Writes both files.
pub(super) fn write(
    target: &Path,
    project: &Project,
    report: &RunReport,
    args: Map<String, Json>,
    config: &Config,
) -> Result<(), Diagnostic> {
    let compiled =
        report.results.iter().filter_map(|r| Some((r.node.id.clone(), (r.compiled_code.clone()?, r.compiled_path.clone())))).collect();
    write_manifest(target, project, compiled, config)?;
    let context = RunResultsContext {
        invocation: config.invocation.to_string(),
        started_at: config.now,
        generated_at: Utc::now(),
        env: config.custom_env.clone(),
        args,
    };
    run_results::write(target, report, &context)
}

pub(super) fn write_manifest(
    target: &Path,
    project: &Project,
    compiled: HashMap<NodeId, (String, Option<std::path::PathBuf>)>,
    config: &Config,
) -> Result<(), Diagnostic> {
    manifest::write_nodes(target, project.graph.nodes().chain(&project.disabled), &manifest_context(project, compiled, config))
}

/// The manifest as it would be written.
pub(super) fn manifest(project: &Project, compiled: HashMap<NodeId, (String, Option<std::path::PathBuf>)>, config: &Config) -> Json {
    manifest::of(project.graph.nodes().chain(&project.disabled), &manifest_context(project, compiled, config))
}

/// The manifest of some nodes alone.
pub(super) fn manifest_of(project: &Project, wanted: impl Fn(&Node) -> bool, config: &Config) -> Json {
    let context = manifest_context(project, HashMap::new(), config);
    manifest::of(project.graph.nodes().filter(|n| wanted(n)), &context)
}

fn manifest_context(
    project: &Project,
    compiled: HashMap<NodeId, (String, Option<std::path::PathBuf>)>,
    config: &Config,
) -> ManifestContext {
    ManifestContext {
        project: project.name.clone(),
        adapter: project.profile.type_.clone(),
        invocation: config.invocation.to_string(),
        started_at: config.now,
        generated_at: Utc::now(),
        env: config.custom_env.clone(),
        macros: macros(project),
        docs: docs(project),
        groups: project.groups.clone(),
        semantic: project
            .semantic
            .iter()
            .map(|s| SemanticEntry {
                key: s.key,
                package: s.package.clone(),
                name: s.name.clone(),
                path: s.path.clone(),
                original_path: s.original_path.clone(),
                value: s.value.clone(),
            })
            .collect(),
        compiled,
    }
}

/// Macros of the user's packages; the built-in ones have no file that a reader could open.
fn macros(project: &Project) -> Vec<MacroEntry> {
    let mut names = project.environment.macro_names();
    names.sort();
    names
        .iter()
        .filter_map(|full| {
            let (package, name) = full.split_once('.').filter(|(package, _)| *package != BUILTIN_PACKAGE)?;
            let place = project.environment.macro_place(full)?;
            let described = project.macros.iter().find(|m| m.name == name);
            Some(MacroEntry {
                package: package.to_owned(),
                name: name.to_owned(),
                path: place.file.path.clone(),
                sql: macro_text(&place),
                description: described.map(|m| m.description.text.clone()).unwrap_or_default(),
            })
        })
        .collect()
}

/// From the opening tag to the closing one.
fn macro_text(place: &Place) -> String {
    let text = place.file.text.as_str();
    let start = text[..place.range.start].rfind("{%").unwrap_or(0);
    let end = text[place.range.end..].match_indices("{%").find_map(|(at, _)| {
        let from = place.range.end + at;
        let tag = text[from + 2..].trim_start_matches(['-', '+']).trim_start();
        let closes = ["endmacro", "endtest", "enddata_test", "endmaterialization", "endsnapshot"].iter().any(|word| tag.starts_with(word));
        closes.then(|| text[from..].find("%}").map_or(text.len(), |close| from + close + 2))
    });
    text[start..end.unwrap_or(text.len())].to_owned()
}

fn docs(project: &Project) -> Vec<DocEntry> {
    let entry = |(name, contents): (&String, &String)| DocEntry {
        package: project.name.clone(),
        name: name.clone(),
        path: std::path::PathBuf::new(),
        contents: contents.clone(),
    };
    project.docs.iter().map(entry).collect()
}

/// The result of a node that was rendered, and perhaps asked for rows, but not built.
pub(super) fn rendered(node: &Node, what: &str, sql: &str, path: Option<std::path::PathBuf>) -> Arc<NodeResult> {
    let label = NodeLabel { id: node.id.clone(), kind: node.kind, what: what.to_owned(), name: node.name.clone() };
    result(label, sql, path)
}

/// The same of SQL that is in no file.
pub(super) fn inline(project: &Project, sql: &str) -> Arc<NodeResult> {
    let kind = crate::names::ResourceType::Operation;
    let id = NodeId::new(format!("sql_operation.{}.inline_query", project.name));
    result(NodeLabel { id, kind, what: "inline query".to_owned(), name: "inline_query".to_owned() }, sql, None)
}

/// The result of `run-operation`, well so far.
pub(super) fn operation(project: &Project, name: &str) -> NodeResult {
    let (package, name) = name.split_once('.').unwrap_or((&project.name, name));
    let id = NodeId::new(format!("macro.{package}.{name}"));
    let label = NodeLabel { id, kind: crate::names::ResourceType::Operation, what: "operation".into(), name: name.to_owned() };
    NodeResult { compiled_code: None, ..done(label, "", None) }
}

fn result(label: NodeLabel, sql: &str, path: Option<std::path::PathBuf>) -> Arc<NodeResult> {
    Arc::new(done(label, sql, path))
}

fn done(label: NodeLabel, sql: &str, path: Option<std::path::PathBuf>) -> NodeResult {
    NodeResult {
        node: Arc::new(label),
        status: Status::Success,
        message: String::new(),
        rows: None,
        failures: None,
        diagnostics: vec![],
        compiled_code: Some(sql.to_owned()),
        compiled_path: path,
        relation_name: None,
        thread: "MainThread".to_owned(),
        timing: vec![],
        elapsed: Duration::ZERO,
        adapter_response: Map::new(),
        heading: None,
        batches: None,
        fresh: false,
    }
}

/// A report of results that no run made.
pub(super) fn report(results: Vec<Arc<NodeResult>>, config: &Config) -> RunReport {
    let elapsed = (Utc::now() - config.now).to_std().unwrap_or_default();
    RunReport { results, exit_code: 0, elapsed, cancelled: false, fatal: None }
}
