//! A graph in one string: `a`, `b < a`, `t? < b` (a test), `src! ` (a source), with `#tag` and `@folder` as wanted.

use super::*;
use crate::diagnostic::SourceFile;

/// Lines of `name[?|!] [#tag]... [in/folder] [< parent ...]`.
pub(crate) fn graph(text: &str) -> Result<Graph, Diagnostics> {
    let lines: Vec<(&str, &str)> = text.split(';').map(|l| l.split_once('<').unwrap_or((l, ""))).collect();
    let id = |name: &str| match name.strip_suffix(['?', '!']) {
        Some(n) if name.ends_with('?') => NodeId::of(ResourceType::Test, "p", n),
        Some(n) => NodeId::of(ResourceType::Source, "p", &format!("s.{n}")),
        None => NodeId::of(ResourceType::Model, "p", name),
    };
    let nodes = lines.iter().map(|(head, parents)| {
        let mut words = head.split_whitespace();
        let full = words.next().unwrap_or_default();
        let name = full.trim_end_matches(['?', '!']);
        let words: Vec<&str> = words.collect();
        let folder = words.iter().find_map(|w| w.strip_prefix("in/")).unwrap_or("");
        let mut fqn = vec!["p".to_owned()];
        fqn.extend(folder.split('/').filter(|f| !f.is_empty()).map(str::to_owned));
        fqn.push(name.to_owned());
        let id = id(full);
        let kind = ResourceType::parse(id.as_str().split('.').next().unwrap_or("")).expect("a kind");
        let path = format!("models/{folder}/{name}.sql").replace("//", "/");
        let raw: String = parents.split_whitespace().map(|p| format!("{{{{ ref('{p}') }}}}\n")).collect();
        let file = SourceFile::new(&path, raw.clone());
        Node {
            kind,
            name: name.to_owned(),
            package: "p".into(),
            fqn,
            path: path.trim_start_matches("models/").into(),
            original_file_path: path.into(),
            raw_code: raw.clone(),
            patch: None,
            description: String::new(),
            columns: IndexMap::new(),
            config: NodeConfig::default(),
            tags: words.iter().filter_map(|w| w.strip_prefix('#')).map(str::to_owned).collect(),
            meta: IndexMap::new(),
            functions: vec![],
            this: None,
            relation: (kind == ResourceType::Model).then(|| RelationName::parse_parts("d", "s", name)),
            alias: name.to_owned(),
            refs: parents
                .split_whitespace()
                .filter_map(|p| {
                    let at = raw.find(&format!("'{p}'"))?;
                    Some(RefCall { package: None, name: p.into(), version: None, place: Place::new(&file, at..at + p.len() + 2) })
                })
                .collect(),
            sources: vec![],
            depends_on: parents.split_whitespace().map(self::tests::id_of).collect(),
            test: (kind == ResourceType::Test).then(|| TestInfo { generic: None, attached_to: None, column: None }),
            source: (kind == ResourceType::Source).then(|| SourceInfo {
                source_name: "s".into(),
                table_name: name.to_owned(),
                loader: String::new(),
                loaded_at_field: None,
                freshness: None,
                adapter: None,
            }),
            extra: IndexMap::new(),
            file,
            id,
        }
    });
    Graph::new(nodes.collect())
}

fn id_of(name: &str) -> NodeId {
    match name.strip_suffix('!') {
        Some(n) => NodeId::of(ResourceType::Source, "p", &format!("s.{n}")),
        None => NodeId::of(ResourceType::Model, "p", name),
    }
}

fn names(ids: impl IntoIterator<Item = NodeId>) -> String {
    let short = |id: NodeId| id.as_str().rsplit('.').next().unwrap_or_default().to_owned();
    ids.into_iter().map(short).collect::<Vec<_>>().join(" ")
}

const SHOP: &str = "raw! ; stg #nightly in/staging < raw! ; other in/staging ; mid in/marts < stg other ; top #nightly #gold in/marts < mid ; \
                    t_stg? < stg ; t_both? < stg top";

#[test]
fn order_is_topological_and_stable() {
    for (text, expect) in [("b < a; a; c", "a b c"), ("c; b; a", "c b a"), ("z < y; y < x; x; a < x", "x y z a")] {
        assert_eq!(names(graph(text).expect("a graph").order().iter().cloned()), expect);
    }
}

#[test]
fn reach_is_limited_by_depth() {
    let graph = graph("a; b < a; c < b; d < c a").expect("a graph");
    assert_eq!(names(graph.descendants(&id_of("a"), None)), "b d c");
    assert_eq!(names(graph.descendants(&id_of("a"), Some(1))), "b d");
    assert_eq!(names(graph.ancestors(&id_of("d"), Some(1))), "a c");
    assert_eq!(names(graph.ancestors(&id_of("a"), None)), "");
}

#[test]
fn a_cycle_is_told_with_its_path_and_places() {
    let faults = graph("a < c; b < a; c < b; x < a").expect_err("a cycle").0;
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].message, "models need each other in a circle: a -> c -> b -> a");
    assert_eq!(faults[0].place.as_ref().map(ToString::to_string), Some("models/a.sql:1:8".into()));
    assert_eq!(faults[0].related.len(), 2);
    let own = graph("a < a").expect_err("a cycle").0;
    assert_eq!(own[0].message, "models need each other in a circle: a -> a");
}

#[test]
fn one_relation_has_one_writer() {
    let mut nodes: Vec<Node> = graph("a; b").expect("a graph").nodes().cloned().collect();
    nodes[1].relation = nodes[0].relation.clone();
    nodes.push(nodes[0].clone());
    let faults = Graph::new(nodes).expect_err("duplicates").0;
    let codes: Vec<&str> = faults.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["graph/duplicate-name", "graph/duplicate-relation"]);
}

#[test]
fn selection_follows_dbt() {
    let graph = graph(SHOP).expect("a graph");
    let check = |select: &[&str], exclude: &[&str], indirect, expect: &str| {
        let args = SelectionArgs {
            select: select.iter().map(|s| s.to_string()).collect(),
            exclude: exclude.iter().map(|s| s.to_string()).collect(),
            indirect,
            ..SelectionArgs::default()
        };
        let got = super::select(&graph, &args).expect("a selection");
        assert_eq!(names(got.nodes), expect, "{select:?} without {exclude:?}");
    };
    use IndirectSelection::*;
    check(&[], &[], Eager, "raw stg other mid top t_stg t_both");
    check(&["stg"], &[], Eager, "stg t_stg t_both");
    check(&["stg"], &[], Cautious, "stg t_stg");
    check(&["stg"], &[], Empty, "stg");
    check(&["stg top"], &[], Cautious, "stg top t_stg t_both");
    check(&["top"], &[], Buildable, "top t_both");
    check(&["+mid"], &[], Empty, "raw stg other mid");
    check(&["1+mid"], &[], Empty, "stg other mid");
    check(&["stg+1"], &[], Empty, "stg mid t_stg t_both");
    check(&["@other"], &[], Empty, "raw stg other mid top t_both");
    check(&["tag:nightly,tag:gold"], &[], Empty, "top");
    check(&["staging", "top"], &[], Empty, "stg other top");
    check(&["path:models/marts"], &[], Empty, "mid top");
    check(&["models/staging/*.sql"], &[], Empty, "stg other");
    check(&["m*", "p.marts.t*"], &[], Empty, "mid top");
    check(&["source:s.raw+1"], &[], Empty, "raw stg");
    check(&["resource_type:test"], &["t_both"], Eager, "t_stg");
    check(&["test_type:singular"], &[], Eager, "t_stg t_both");
    check(&["top.sql"], &[], Empty, "top");
    check(&["*"], &["stg"], Eager, "raw other mid top");
    check(&["package:this"], &[], Eager, "");
    check(&["config.enabled:nothing"], &[], Eager, "");
}

#[test]
fn selection_says_what_it_did_not_find() {
    let graph = graph(SHOP).expect("a graph");
    for (select, expect) in [
        ("stgg", "warning `stgg` selects nothing; did you mean `stg`?"),
        ("raw", "warning `raw` selects nothing; a source is selected by `source:s.raw`"),
        ("tagg:nightly", "error there is no selection method `tagg:`; did you mean `tag:nightly`?"),
        ("stg,top", "warning `stg,top` selects nothing: no node meets all of its criteria; "),
        ("resource_type:modle", "error there is no resource type `modle`; did you mean `model`?"),
        ("@stg+", "error `@stg+` mixes `@` with `+`; `@x` already takes the children of x and all that these need"),
    ] {
        let args = SelectionArgs { select: vec![select.into()], indirect: IndirectSelection::Empty, ..SelectionArgs::default() };
        let (faults, word) = match super::select(&graph, &args) {
            Ok(selection) => (selection.warnings, "warning"),
            Err(faults) => (faults, "error"),
        };
        let first = &faults.0[0];
        assert_eq!(format!("{word} {}; {}", first.message, first.help.as_deref().unwrap_or("")), expect);
    }
}
