//! `docs generate`: what the warehouse knows of the project's relations, as dbt's `catalog.json`; the manifest beside it, and a page
//! for people.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value as Json, json};

use crate::{
    cli::{
        args::Selecting,
        artifacts,
        config::Config,
        message::{self, Failure},
        typed,
        workspace::{Workspace, chosen, load, target_folder},
    },
    diagnostic::Diagnostics,
    engine::{Outcome, value},
    graph::Node,
    names::{NodeId, RelationName, ResourceType, SchemaName},
    project::Project,
    serve,
    state::{manifest::DBT_VERSION, write_atomically},
};

pub(super) fn run(selecting: &Selecting, compile: bool, empty: bool, config: &Config) -> Result<i32, Failure> {
    let project = load("docs generate", &[], config)?;
    let target = target_folder(&project, config);
    let workspace = Workspace::open(project.clone())?;
    let mut shown = HashMap::new();
    if compile {
        let warehouse = workspace.introspection();
        let (mut compiled, mut faults) = (HashMap::new(), Diagnostics::default());
        for node in project.graph.nodes().filter(|n| matches!(n.kind, ResourceType::Model | ResourceType::Test | ResourceType::Snapshot)) {
            match project.compile(&node.id, &warehouse) {
                Ok(rendered) => {
                    if node.kind != ResourceType::Test {
                        shown.insert(node.id.clone(), rendered.sql.clone());
                    }
                    compiled.insert(node.id.clone(), (rendered.sql, None));
                }
                Err(more) => faults.extend(more),
            }
        }
        if faults.has_errors() {
            return Err(faults.into());
        }
        artifacts::write_manifest(&target, &project, compiled, config)?;
    }
    copy_assets(&project, &target)?;
    let nodes: Vec<&Node> = match empty {
        true => vec![],
        false => {
            let selection = chosen(&project, selecting, config)?;
            selection.nodes.iter().filter_map(|id| project.graph.node(id)).filter(|n| described(n)).collect()
        }
    };
    let catalog = catalog(&workspace, &nodes, config)?;
    write_atomically(&target.join("catalog.json"), catalog.to_string().as_bytes())?;
    message::note(&format!("Catalog written to {}", target.join("catalog.json").display()), config);
    let typing = typed::of(&project)?;
    let generated_at = config.now.format("%Y-%m-%d %H:%M UTC").to_string();
    let page = serve::page(&serve::Facts { project: &project, typing: &typing, compiled: &shown, generated_at });
    write_atomically(&target.join("index.html"), page.as_bytes())?;
    message::note(&format!("Page written to {}", target.join("index.html").display()), config);
    Ok(0)
}

fn described(node: &Node) -> bool {
    let kind = matches!(node.kind, ResourceType::Model | ResourceType::Seed | ResourceType::Snapshot | ResourceType::Source);
    kind && node.relation.is_some()
}

/// Files that documentation shows go where it looks for them.
fn copy_assets(project: &Project, target: &std::path::Path) -> Result<(), Failure> {
    for folder in &project.root_package().file.folders.assets {
        let from = project.root.join(folder);
        if from.is_dir() {
            copy(&from, &target.join(folder))
                .map_err(|e| crate::diagnostic::Diagnostic::error("cli/assets", format!("the folder `{folder}` cannot be copied: {e}")))?;
        }
    }
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

/// One row of the information schema.
type Row = HashMap<String, value::Value>;

fn catalog(workspace: &Workspace, nodes: &[&Node], config: &Config) -> Result<Json, Failure> {
    let mut by_name: BTreeMap<(String, String, String), Vec<NodeId>> = BTreeMap::new();
    let key = |r: &RelationName| (r.database.as_str().to_owned(), r.schema.as_str().to_owned(), r.name.as_str().to_owned());
    for node in nodes {
        if let Some(relation) = &node.relation {
            by_name.entry(key(relation)).or_default().push(node.id.clone());
        }
    }
    let schemas: HashSet<SchemaName> = nodes.iter().filter_map(|n| n.relation.as_ref()).map(RelationName::schema_name).collect();
    let (mut found, mut errors) = (BTreeMap::new(), vec![]);
    for schema in schemas {
        match describe(workspace, &schema) {
            Ok(tables) => found.extend(tables),
            // one schema that cannot be read leaves the others readable
            Err(message) => errors.push(format!("{schema}: {message}")),
        }
    }
    let (mut models, mut sources) = (Map::new(), Map::new());
    for (name, table) in found {
        for id in by_name.get(&name).into_iter().flatten() {
            let mut entry = table.clone();
            entry["unique_id"] = json!(id.as_str());
            let group = if id.as_str().starts_with("source.") { &mut sources } else { &mut models };
            group.insert(id.to_string(), entry);
        }
    }
    Ok(json!({
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/catalog/v1.json",
            "dbt_version": DBT_VERSION,
            "generated_at": Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            "invocation_id": config.invocation.to_string(),
            "invocation_started_at": config.now.to_rfc3339_opts(SecondsFormat::Micros, true),
            "env": config.custom_env,
        },
        "nodes": models,
        "sources": sources,
        "errors": if errors.is_empty() { Json::Null } else { json!(errors) },
    }))
}

type Tables = BTreeMap<(String, String, String), Json>;

fn describe(workspace: &Workspace, schema: &SchemaName) -> Result<Tables, String> {
    let text = |s: &str| s.replace('\\', "\\\\").replace('\'', "''");
    let view = |name: &str| {
        let sql =
            format!("select * from {}.information_schema.{name} where table_schema = '{}'", schema.database, text(schema.schema.as_str()));
        workspace.runtime.block_on(workspace.engine.session().execute(&sql)).map(|o| rows(&o)).map_err(|e| e.message)
    };
    let string = |row: &Row, name: &str| match row.get(name) {
        Some(value::Value::Text(text)) if !text.is_empty() => json!(text),
        _ => Json::Null,
    };
    let plain = |row: &Row, name: &str| string(row, name).as_str().unwrap_or_default().to_owned();
    let mut tables = Tables::new();
    for row in view("tables")? {
        let name = plain(&row, "table_name");
        let entry = json!({
            "unique_id": Json::Null,
            "metadata": {
                "type": string(&row, "table_type"),
                "schema": schema.schema.as_str(),
                "name": name,
                "database": schema.database.as_str(),
                "comment": string(&row, "comment"),
                "owner": string(&row, "table_owner"),
            },
            "columns": {},
            "stats": {
                "has_stats": {
                    "id": "has_stats",
                    "label": "Has Stats?",
                    "value": false,
                    "include": false,
                    "description": "Indicates whether there are statistics for this table",
                },
            },
        });
        tables.insert((schema.database.as_str().to_owned(), schema.schema.as_str().to_owned(), name), entry);
    }
    for row in view("columns")? {
        let key = (schema.database.as_str().to_owned(), schema.schema.as_str().to_owned(), plain(&row, "table_name"));
        let Some(entry) = tables.get_mut(&key) else { continue };
        let name = plain(&row, "column_name");
        let index = match row.get("ordinal_position") {
            Some(value::Value::Integer(n)) => *n,
            Some(value::Value::Number(n)) => n.parse().unwrap_or_default(),
            _ => 0,
        };
        entry["columns"][&name] =
            json!({"type": string(&row, "data_type"), "index": index, "name": name, "comment": string(&row, "comment")});
    }
    Ok(tables)
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let fields = outcome.schema.fields();
    let mut rows = vec![];
    for batch in &outcome.batches {
        for at in 0..batch.num_rows() {
            let row = fields.iter().zip(batch.columns()).map(|(f, c)| (f.name().to_lowercase(), value::of(c, f, at)));
            rows.push(row.collect());
        }
    }
    rows
}
