//! Whole projects in one string each.

use std::path::Path;

use super::*;
use crate::{diagnostic::Diagnostic, template::NoWarehouse};

const BASE: &str = "-- file: dbt_project.yml\nname: shop\nprofile: shop\n-- file: profiles.yml\nshop:\n  target: dev\n  outputs:\n    dev: {type: datafusion, database: db, schema: dev}\n";

/// A project of these files; `dbt_project.yml` and `profiles.yml` are plain ones unless given.
fn project(text: &str) -> Result<Project, Diagnostics> {
    let root = Path::new("/shop");
    let mut options = LoadOptions::new(root);
    options.files = Files::from_text(root, &format!("{BASE}{text}"));
    options.env = Arc::new(|name| (name == "KEY").then(|| "secret".to_owned()));
    load(&options)
}

fn show(d: &Diagnostic) -> String {
    let place = d.place.as_ref().map(|p| format!("{p} ")).unwrap_or_default();
    let help = d.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
    format!("{place}[{}] {}{help}", d.code, d.message)
}

fn faults(text: &str) -> Vec<String> {
    match project(text) {
        Ok(project) => project.warnings.0.iter().map(show).collect(),
        Err(faults) => faults.0.iter().map(show).collect(),
    }
}

fn good(text: &str) -> Project {
    project(text).unwrap_or_else(|faults| panic!("{:#?}", faults.0.iter().map(show).collect::<Vec<_>>()))
}

fn node<'a>(project: &'a Project, name: &str) -> &'a Node {
    project.graph.nodes().find(|n| n.name == name).unwrap_or_else(|| panic!("no {name} among {:?}", project.graph.order()))
}

fn sql(project: &Project, name: &str) -> String {
    let compiled = project.compile(&node(project, name).id, &NoWarehouse);
    compiled.unwrap_or_else(|f| panic!("{:?}", f.0.iter().map(show).collect::<Vec<_>>())).sql
}

#[test]
fn a_project_becomes_a_graph_and_sql() {
    let shop = good(
        "-- file: models/staging/stg.sql\nselect * from {{ source('raw', 'orders') }}\n\
         -- file: models/marts/top.sql\n{{ config(materialized='table', tags=['x']) }}\nselect * from {{ ref('mid') }} join {{ ref('codes') }}\n\
         -- file: models/marts/mid.sql\n{{ config(materialized='ephemeral') }}select * from {{ ref('stg') }}\n\
         -- file: models/schema.yml\nmodels:\n- name: top\n  description: \"{{ doc('top') }}\"\n  config: {schema: gold, tags: y}\n  columns:\n  - name: id\n    data_tests: [not_null, unique]\n\
         -- file: models/docs.md\n{% docs top %}\nThe top.\n{% enddocs %}\n\
         -- file: sources.yml\nsources:\n- name: raw\n  schema: landing\n  tables:\n  - name: orders\n    data_tests:\n    - relationships: {to: ref('codes'), field: id}\n\
         -- file: seeds/codes.csv\nid\n1\n-- file: tests/no_holes.sql\nselect 1 from {{ ref('top') }} where false\n-- file: tests/it/main.rs\nfn main() {}\n\
         -- file: tests/it/fixture/dbt_project.yml\nname: other\n-- file: tests/it/fixture/models/stg.sql\nselect 1\n\
         -- file: snapshots/s.sql\n{% snapshot snap %}{{ config(strategy='check', unique_key='id', check_cols='all') }}select * from {{ ref('stg') }}{% endsnapshot %}\n\
         -- file: analyses/look.sql\nselect count(*) from {{ ref('top') }}\n",
    );
    assert_eq!(shop.warnings.0.iter().map(show).collect::<Vec<_>>(), Vec::<String>::new());
    let ids: Vec<&str> = shop.graph.nodes().map(|n| n.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "source.shop.raw.orders",
            "seed.shop.codes",
            "model.shop.mid",
            "model.shop.top",
            "model.shop.stg",
            "snapshot.shop.snap",
            "analysis.shop.look",
            "test.shop.no_holes",
            "test.shop.source_relationships_raw_orders_id__ref_codes_.0b79911d08",
            "test.shop.not_null_top_id.3ee01839e9",
            "test.shop.unique_top_id.737ee9651c",
        ]
    );
    let top = node(&shop, "top");
    assert_eq!(top.relation.as_ref().map(ToString::to_string), Some("DB.DEV_GOLD.TOP".into()));
    assert_eq!((top.tags.join(" "), top.description.as_str()), ("y x".into(), "The top."));
    assert_eq!(
        sql(&shop, "top").trim(),
        "with __dbt__cte__mid as (\nselect * from DB.DEV.STG\n)\n\nselect * from __dbt__cte__mid join DB.DEV.CODES"
    );
    assert_eq!(sql(&shop, "stg").trim(), "select * from DB.LANDING.ORDERS");
    assert_eq!(sql(&shop, "snap").trim(), "select * from DB.DEV.STG");
    assert!(sql(&shop, "not_null_top_id").contains("DB.DEV_GOLD.TOP"));
    let related = shop.graph.nodes().find(|n| n.name.starts_with("source_relationships")).expect("there");
    assert_eq!(related.depends_on.len(), 2);
    assert_eq!(shop.compile_inline("select 1 from {{ ref('top') }}", &NoWarehouse).expect("fine").sql, "select 1 from DB.DEV_GOLD.TOP");
    let inline = shop.compile_inline("select 1 from {{ ref('tob') }}", &NoWarehouse).expect_err("unknown");
    assert_eq!(
        show(&inline.0[0]),
        "--inline:1:22 [graph/unknown-ref] no model or seed is named `tob` (a model named `top` exists in models/marts)"
    );
}

#[test]
fn configuration_comes_in_layers() {
    let text = "-- file: dbt_project.yml\nname: shop\nprofile: shop\nvars: {kind: table}\nmodels:\n  +tags: all\n  shop:\n    +materialized: \"{{ var('kind') }}\"\n    +pre-hook: \"select {{ this }}\"\n    marts:\n      +schema: gold\n      +enabled: \"{{ target.name == 'dev' }}\"\n    off: {+enabled: false}\n    typo: {+enabled: false}\n\
                -- file: models/marts/a.sql\nselect 1\n-- file: models/marts/b.sql\n{{ config(materialized='view', pre_hook='x') }}select 1\n-- file: models/off/c.sql\nselect 1\n\
                -- file: models/marts/a.yml\nmodels:\n- name: a\n  config: {materialized: incremental, unique_key: id, meta: {owner: me}}\n";
    let shop = good(text);
    let (a, b) = (node(&shop, "a"), node(&shop, "b"));
    assert_eq!((a.config.materialized.as_str(), &a.config.unique_key[..]), ("incremental", &["id".to_owned()][..]));
    assert_eq!(a.tags, ["all"]);
    assert_eq!((b.config.materialized.as_str(), b.config.pre_hook.len()), ("view", 2));
    assert_eq!(b.config.pre_hook[0].sql, "select {{ this }}");
    assert_eq!(shop.disabled.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(
        shop.warnings.0.iter().map(show).collect::<Vec<_>>(),
        ["dbt_project.yml:13:5 [project/unused-config] the configuration of models for `shop.typo` applies to nothing"]
    );
}

#[test]
fn own_macros_name_relations() {
    let shop = good(
        "-- file: macros/names.sql\n{% macro generate_schema_name(custom_schema_name, node) %}{{ custom_schema_name or target.schema }}_{{ node.resource_type }}{% endmacro %}\n\
         -- file: models/a.sql\n{{ config(schema='raw_data') }}select 1\n-- file: models/b.sql\nselect 1\n",
    );
    let name = |n| node(&shop, n).relation.as_ref().map(ToString::to_string).unwrap_or_default();
    assert_eq!((name("a"), name("b")), ("DB.RAW_DATA_MODEL.A".into(), "DB.DEV_MODEL.B".into()));
}

#[test]
fn sources_with_adapters() {
    let shop = good(
        "-- file: models/artists.sql\nselect 1\n-- file: sources.yml\nsources:\n- name: s\n  tables:\n  - name: t\n    adapter: {type: spotify_api, token: \"{{ env_var('KEY') }}\", input: \"ref('artists')\", limit: 3}\n",
    );
    let adapter = node(&shop, "t").source.as_ref().and_then(|s| s.adapter.as_ref()).expect("there");
    assert_eq!(adapter.input.as_ref().map(NodeId::as_str), Some("model.shop.artists"));
    assert_eq!(serde_json::to_string(&adapter.settings).expect("json"), r#"{"token":"secret","limit":3}"#);
    assert_eq!(shop.graph.order().iter().map(NodeId::as_str).collect::<Vec<_>>(), ["model.shop.artists", "source.shop.s.t"]);
}

#[test]
fn all_faults_come_together() {
    let text = "-- file: dbt_project.yml\nname: shop\nprofile: shop\nmodel-path: [x]\nmodels: {+enabled: maybe}\n\
                -- file: models/a.sql\nselect * from {{ ref('stg_chart') }}\n-- file: models/stg_charts.sql\nselect * from {{ source('raw', 'order') }} {{ source('rew', 'x') }}\n\
                -- file: models/off.sql\n{{ config(enabled=false) }}select 1\n-- file: models/uses_off.sql\nselect * from {{ ref('off') }}\n\
                -- file: models/broken.sql\nselect {{ 1 + }}\n-- file: models/uses_broken.sql\nselect * from {{ ref('broken') }}\n\
                -- file: models/x.yml\nmodels:\n- name: stg_chrts\n- name: a\n  columns:\n  - name: c\n    tests: [not_nul]\nsources:\n- name: raw\n  tables: [{name: orders}]\n";
    assert_eq!(
        faults(text),
        [
            "dbt_project.yml:3:1 [project/unknown-key] `dbt_project.yml` has no key `model-path` (did you mean `model-paths`?)",
            "dbt_project.yml:4:20 [project/bad-config] the config `enabled` must be true or false, not `\"maybe\"`",
            "models/a.sql:1:22 [graph/unknown-ref] no model or seed is named `stg_chart` (a model named `stg_charts` exists in models)",
            "models/broken.sql:1:15 [template/syntax] unexpected end of variable block",
            "models/stg_charts.sql:1:32 [graph/unknown-source] the source `raw` has no table `order` (did you mean `orders`?)",
            "models/stg_charts.sql:1:61 [graph/unknown-source] there is no source `rew` (sources are `raw`)",
            "models/uses_off.sql:1:22 [graph/disabled-ref] `model.shop.off` is disabled (enable it, or remove the reference)",
            "models/x.yml:2:9 [project/unmatched-entry] there is no model named `stg_chrts` (did you mean `stg_charts`?)",
            "models/x.yml:6:13 [project/unknown-test] there is no data test `not_nul` (did you mean `not_null`?)",
        ]
    );
}

#[test]
fn cycles_are_told_with_their_places() {
    let text = "-- file: models/a.sql\nselect * from {{ ref('b') }}\n-- file: models/b.sql\nselect * from {{ ref('a') }}\n";
    assert_eq!(
        faults(text),
        ["models/a.sql:1:22 [graph/cycle] models need each other in a circle: a -> b -> a (remove one of these references)"]
    );
}

#[test]
fn names_are_unique() {
    let text = "-- file: models/x/a.sql\nselect 1\n-- file: models/y/a.sql\nselect 1\n-- file: seeds/b.csv\nid\n-- file: models/b.sql\nselect 1\n\
                -- file: models/c.sql\n{{ config(alias='same') }}select 1\n-- file: models/d.sql\n{{ config(alias='SAME') }}select 1\n";
    let got = faults(text);
    let codes: Vec<&str> = got.iter().filter_map(|f| f.split(['[', ']']).nth(1)).collect();
    assert_eq!(codes, ["graph/duplicate-name", "graph/duplicate-relation", "graph/duplicate-relation", "graph/duplicate-name"], "{got:#?}");
}

#[test]
fn undeclared_references_are_refused() {
    let shop = good("-- file: models/a.sql\n{% if execute %}select * from {{ ref('b') }}{% endif %}\n-- file: models/b.sql\nselect 1\n");
    let faults = shop.compile(&node(&shop, "a").id, &NoWarehouse).expect_err("refused");
    assert!(show(&faults.0[0]).contains("models/a.sql:1:38 [graph/undeclared-ref]"), "{}", show(&faults.0[0]));
}

#[test]
fn packages_bring_models_and_macros() {
    let shop = good(
        "-- file: dbt_packages/tools/dbt_project.yml\nname: tools\nmodels: {tools: {+materialized: table}}\n\
         -- file: dbt_packages/tools/macros/m.sql\n{% macro one() %}1{% endmacro %}\n-- file: dbt_packages/tools/models/t.sql\nselect {{ one() }}\n\
         -- file: models/a.sql\nselect {{ tools.one() }} from {{ ref('tools', 't') }}\n",
    );
    assert_eq!(node(&shop, "t").config.materialized, "table");
    assert_eq!(sql(&shop, "a").trim(), "select 1 from DB.DEV.T");
    assert_eq!(node(&shop, "t").file.path().to_string_lossy(), "dbt_packages/tools/models/t.sql");
}

#[test]
fn hostile_input_is_a_message() {
    for (text, code) in [
        ("-- file: dbt_project.yml\n[\n", "yaml/syntax"),
        ("-- file: dbt_project.yml\n- x\n", "project/wrong-type"),
        ("-- file: dbt_project.yml\nname: a b\nprofile: shop\n", "project/bad-name"),
        ("-- file: dbt_project.yml\nname: shop\nprofile: nope\n", "project/unknown-profile"),
        ("-- file: profiles.yml\nshop: {outputs: {dev: {type: mysql}}, target: dev}\n", "project/unknown-type"),
        ("-- file: models/a.yml\nmodels: 3\n", "project/wrong-type"),
        ("-- file: models/a.yml\nmodels: [{name: [1]}]\n", "project/wrong-type"),
        ("-- file: macros/a.sql\n{% macro a() %}\n", "template/syntax"),
        ("-- file: macros/a.sql\n{% macro a() %}{{ a() }}{% endmacro %}\n-- file: models/a.sql\n{{ a() }}\n", "template/recursion"),
        ("-- file: snapshots/a.sql\n{% snapshot a %}\n", "template/syntax"),
        ("-- file: models/a.sql\nselect {{ env_var('NOPE') }}\n", "template/env-var"),
    ] {
        let got = faults(text);
        assert!(got.iter().any(|f| f.contains(code)), "{text}: {got:#?}");
    }
    assert!(good("").graph.is_empty());
}

#[test]
fn private_models_are_for_their_group() {
    const GROUPS: &str = "-- file: models/groups.yml\ngroups:\n- name: money\n  owner: {name: m}\nmodels:\n- name: secret\n  access: private\n  group: money\n\
         - name: inside\n  config: {group: money}\n- name: odd\n  access: hidden\n- name: lost\n  group: mony\n\
         -- file: models/secret.sql\nselect 1 as a\n-- file: models/inside.sql\nselect * from {{ ref('secret') }}\n";
    assert_eq!(
        faults(&format!(
            "{GROUPS}-- file: models/outside.sql\nselect * from {{{{ ref('secret') }}}}\n-- file: models/odd.sql\nselect 1\n-- file: models/lost.sql\nselect 1\n"
        )),
        [
            "models/groups.yml:10:9 [project/bad-access] `hidden` is no level of access of `odd` (levels are `private`, `protected` and `public`)",
            "models/groups.yml:12:9 [project/unknown-group] there is no group `mony` (did you mean `money`?)",
            "models/outside.sql:1:22 [graph/forbidden-ref] `model.shop.outside` may not refer to `model.shop.secret`, which is private to the group `money` \
             (put both into one group, or give the model another level of `access`)",
        ]
    );
}

#[test]
fn rows_of_unit_tests_may_lie_in_files() {
    const TEST: &str = "-- file: models/m.sql\nselect * from {{ ref('p') }}\n-- file: models/p.sql\nselect 1 as a\n-- file: tests/fixtures/rows.csv\na\n1\n\
         -- file: tests/fixtures/deep/wanted.sql\nselect 1 as a\n-- file: models/u.yml\nunit_tests:\n- name: u\n  model: m\n  given:\n";
    let shop = good(&format!("{TEST}  - {{input: ref('p'), format: csv, fixture: rows}}\n  expect: {{format: sql, fixture: wanted}}\n"));
    let unit = node(&shop, "u");
    assert_eq!(unit.extra["given"][0]["rows"], "a\n1\n");
    assert_eq!(unit.extra["expect"]["rows"], "select 1 as a\n");
    assert_eq!(
        faults(&format!("{TEST}  - {{input: ref('p'), format: csv, fixture: row}}\n  expect: {{rows: []}}\n")),
        ["models/u.yml:2:9 [project/fixture] there is no fixture `row.csv` (there is `rows.csv`)"]
    );
}
