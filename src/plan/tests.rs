//! Plans of small graphs, written as text: `name < parent parent`, kind by prefix.

use std::{path::PathBuf, sync::Arc};

use indexmap::IndexMap;

use super::*;
use crate::{
    diagnostic::{Place, SourceFile},
    graph::{AdapterConfig, NodeConfig, SourceInfo, TestInfo},
};

/// A node with nothing but a name, a kind, a relation and its parents. `src_` are sources with adapters, `seed_`
/// seeds, `test_` tests, `eph_` ephemeral models, all else tables.
pub(crate) fn node(name: &str, parents: &[&str]) -> Node {
    let kind = kind_of(name);
    let file = SourceFile::new(format!("models/{name}.sql"), format!("select 1 as {name}\n"));
    let materialized = match kind {
        ResourceType::Model if name.starts_with("eph_") => "ephemeral",
        ResourceType::Test => "test",
        ResourceType::Seed => "seed",
        _ => "table",
    };
    let adapter = AdapterConfig { type_: "chart".into(), settings: IndexMap::new(), input: None, place: Place::start_of(&file) };
    Node {
        id: id(name),
        kind,
        name: name.into(),
        package: "p".into(),
        fqn: vec!["p".into(), name.into()],
        path: PathBuf::from(format!("{name}.sql")),
        original_file_path: PathBuf::from(format!("models/{name}.sql")),
        raw_code: file.text.clone(),
        patch: None,
        description: String::new(),
        columns: IndexMap::new(),
        config: NodeConfig { materialized: materialized.into(), ..NodeConfig::default() },
        tags: vec![],
        meta: IndexMap::new(),
        functions: vec![],
        this: None,
        relation: (kind != ResourceType::Test && materialized != "ephemeral").then(|| RelationName::parse_parts("db", "s", name)),
        alias: name.into(),
        refs: vec![],
        sources: vec![],
        depends_on: parents.iter().map(|p| id(p)).collect(),
        test: (kind == ResourceType::Test).then(|| TestInfo { generic: None, attached_to: parents.first().map(|p| id(p)), column: None }),
        source: (kind == ResourceType::Source).then(|| SourceInfo {
            source_name: "s".into(),
            table_name: name.into(),
            loader: String::new(),
            loaded_at_field: None,
            freshness: None,
            adapter: Some(adapter),
        }),
        extra: IndexMap::new(),
        file: Arc::clone(&file),
    }
}

fn kind_of(name: &str) -> ResourceType {
    match name.split('_').next() {
        Some("src") => ResourceType::Source,
        Some("seed") => ResourceType::Seed,
        Some("test") => ResourceType::Test,
        Some("snap") => ResourceType::Snapshot,
        Some("unit") => ResourceType::UnitTest,
        _ => ResourceType::Model,
    }
}

pub(crate) fn id(name: &str) -> NodeId {
    match kind_of(name) {
        ResourceType::Source => NodeId::of(ResourceType::Source, "p", &format!("s.{name}")),
        kind => NodeId::of(kind, "p", name),
    }
}

/// `a; b < a; test_b < b`
pub(crate) fn nodes(graph: &str) -> Vec<Node> {
    graph
        .split(';')
        .map(|line| {
            let (name, parents) = line.split_once('<').unwrap_or((line, ""));
            node(name.trim(), &parents.split_whitespace().collect::<Vec<_>>())
        })
        .collect()
}

fn show(graph: &str, select: &str, verb: Verb) -> String {
    let nodes = nodes(graph);
    let selected: HashSet<NodeId> = match select {
        "*" => nodes.iter().map(|n| n.id.clone()).collect(),
        names => names.split_whitespace().map(id).collect(),
    };
    let plan = Plan::new(&nodes, &selected, &PlanOptions::new(verb));
    let short = |i: usize| plan.steps[i].id.as_str().rsplit('.').next().unwrap_or_default().to_owned();
    (0..plan.steps.len())
        .map(|i| {
            let waits: Vec<String> = plan.steps[i].waits_for.iter().map(|&w| short(w)).collect();
            if waits.is_empty() { short(i) } else { format!("{} < {}", short(i), waits.join(" ")) }
        })
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn steps_and_what_they_wait_for() {
    for (what, graph, select, verb, expect) in [
        ("a chain", "a; b < a; c < b", "*", Verb::Run, "a; b < a; c < b"),
        ("ephemeral nodes are passed through", "a; eph_e < a; c < eph_e", "*", Verb::Build, "a; c < a"),
        ("so are unselected ones", "a; b < a; c < b", "a c", Verb::Run, "a; c < a"),
        ("children wait for tests", "a; test_a < a; b < a", "*", Verb::Build, "a; test_a < a; b < a test_a"),
        ("also below ephemeral ones", "a; test_a < a; eph_e < a; b < eph_e", "*", Verb::Build, "a; test_a < a; b < a test_a"),
        (
            "a test over two waits for both, blocks what is below both",
            "a; b; test_ab < a b; c < a; d < c b",
            "*",
            Verb::Build,
            "a; b; test_ab < a b; c < a; d < b test_ab c",
        ),
        (
            "no circle through a relationships test to a descendant",
            "a; b < a; test_ab < a b; c < b",
            "*",
            Verb::Build,
            "a; b < a; test_ab < a b; c < b test_ab",
        ),
        ("run has no tests", "a; test_a < a; b < a", "*", Verb::Run, "a; b < a"),
        ("test has only tests", "a; test_a < a; b < a; test_b < b", "*", Verb::Test, "test_a; test_b"),
        ("ingest has only sources", "src_s; a < src_s", "*", Verb::Ingest, "src_s"),
        ("sources come first", "src_s; test_s < src_s; a < src_s", "*", Verb::Build, "src_s; test_s < src_s; a < src_s test_s"),
        ("seeds", "seed_x; a < seed_x", "*", Verb::Seed, "seed_x"),
        ("tests that come late in the order still block", "a; b < a; test_a < a", "*", Verb::Build, "a; test_a < a; b < a test_a"),
    ] {
        assert_eq!(show(graph, select, verb), expect, "{what}");
    }
}

#[test]
fn audits_and_what_they_wait_for() {
    for (what, graph, audited, expect) in [
        ("its own test", "a; test_a < a; b < a", "a", "a audits test_a; test_a < a; b < a test_a"),
        ("not those of others", "a; test_a < a; b < a; test_b < b", "b", "a; test_a < a; b < a test_a audits test_b; test_b < b"),
        ("what else it reads comes first", "a; b; test_a < a b", "a", "b; a < b audits test_a; test_a < a b"),
        ("a test that reads what is below stays behind", "a; b < a; test_a < a b", "a", "a; b < a; test_a < a b"),
        (
            "two that read each other make no circle",
            "a; b; test_a < a b; test_b < b a",
            "a b",
            "b; a < b audits test_a; test_a < a b; test_b < a b",
        ),
    ] {
        let mut nodes = nodes(graph);
        for node in nodes.iter_mut().filter(|n| audited.split(' ').any(|a| a == n.name)) {
            node.config.all.insert("audit".into(), true.into());
        }
        let selected = nodes.iter().map(|n| n.id.clone()).collect();
        let plan = Plan::new(&nodes, &selected, &PlanOptions::new(Verb::Build));
        let name = |id: &NodeId| id.as_str().rsplit('.').next().unwrap_or_default().to_owned();
        let shown: Vec<String> = plan
            .steps
            .iter()
            .map(|s| {
                let mut waits: Vec<String> = s.waits_for.iter().map(|&w| name(&plan.steps[w].id)).collect();
                waits.sort();
                let waits = if waits.is_empty() { String::new() } else { format!(" < {}", waits.join(" ")) };
                let audits: Vec<String> = s.audits.iter().map(name).collect();
                let audits = if audits.is_empty() { String::new() } else { format!(" audits {}", audits.join(" ")) };
                format!("{}{waits}{audits}", name(&s.id))
            })
            .collect();
        assert_eq!(shown.join("; "), expect, "{what}");
    }
}

#[test]
fn heights_follow_the_longest_way() {
    let nodes = nodes("a; b < a; c < b; d < a");
    let selected = nodes.iter().map(|n| n.id.clone()).collect();
    let plan = Plan::new(&nodes, &selected, &PlanOptions::new(Verb::Run));
    assert_eq!(plan.steps.iter().map(|s| s.height).collect::<Vec<_>>(), [3, 2, 1, 1]);
}

#[test]
fn reasons() {
    let nodes = nodes("src_s; a; b");
    let selected = nodes.iter().map(|n| n.id.clone()).collect();
    let mut options = PlanOptions::new(Verb::Build);
    options.existing.insert(RelationName::parse_parts("db", "s", "a"));
    let reasons = |o: &PlanOptions| Plan::new(&nodes, &selected, o).steps.iter().map(|s| s.reason).collect::<Vec<_>>();
    assert_eq!(reasons(&options), [Reason::NewRows, Reason::Requested, Reason::FirstRun]);
    options.full_refresh = true;
    assert_eq!(reasons(&options), [Reason::NewRows, Reason::FullRefresh, Reason::FirstRun]);
}

#[test]
fn unit_tests_and_data_tests_of_one_model_do_not_wait_for_each_other() {
    let nodes = nodes("a; b < a; test_a < a; test_b < b; unit_b < b; c < b");
    let selected = nodes.iter().map(|n| n.id.clone()).collect();
    let plan = Plan::new(&nodes, &selected, &PlanOptions::new(Verb::Build));
    assert_eq!(plan.steps.len(), 6);
}

#[test]
fn unit_tests_are_steps() {
    let nodes = nodes("a; unit_a < a");
    let selected = nodes.iter().map(|n| n.id.clone()).collect();
    let plan = Plan::new(&nodes, &selected, &PlanOptions::new(Verb::Build));
    let steps: Vec<_> = plan.steps.iter().map(|s| s.id.clone()).collect();
    assert!(steps.contains(&id("unit_a")) && steps.len() == 2, "{steps:?}");
}
