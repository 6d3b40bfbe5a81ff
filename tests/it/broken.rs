//! Broken projects, one fault each: `check` finds exactly that fault, at exactly that place, and never panics.
//!
//! `¦` in a file marks where the fault begins; it is taken out before the project is written. Faults without a mark are of
//! the file as a whole.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use crate::sandbox::Sandbox;

/// What every project stands on.
const BASE: &str = "\
-- file: seeds/items.csv
id,name,price,sold_on
1,apple,1.50,2025-01-01
2,pear,2.25,2025-01-02
-- file: models/stg.sql
select id, name, price, sold_on from {{ ref('items') }}
-- file: models/sources.yml
sources:
  - name: raw
    tables:
      - name: plays
        columns:
          - {name: play_id, data_type: integer}
          - {name: song, data_type: varchar}
          - {name: seconds, data_type: 'number(10,2)'}
          - {name: at, data_type: timestamp_ntz}
          - {name: tags, data_type: array}
-- file: models/plays.sql
select * from {{ source('raw', 'plays') }}
";

const BROKEN: &[(&str, &str)] = &[
    // --- names of columns
    ("sql/unknown-column", "-- file: models/a.sql\nselect ¦prise from {{ ref('stg') }}\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect s.¦nope from {{ ref('stg') }} s\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect id\nfrom {{ ref('stg') }}\nwhere ¦pryce > 1\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect id, count(*) as n\nfrom {{ ref('stg') }}\ngroup by id, ¦colour\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect id from {{ ref('stg') }}\norder by ¦missing\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect a.id from {{ ref('stg') }} a join {{ ref('items') }} b on a.id = b.¦idd\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nwith c as (select id from {{ ref('stg') }})\nselect id, ¦price from c\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect sum(¦amount) as total from {{ ref('stg') }}\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect row_number() over (partition by ¦shop order by id) as n from {{ ref('stg') }}\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect case when ¦state = 1 then 2 end as x from {{ ref('stg') }}\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect (select max(¦pricee) from {{ ref('items') }}) as m\n"),
    (
        "sql/unknown-column",
        "-- file: models/a.sql\nselect id from {{ ref('stg') }} where id in (select ¦item_id from {{ ref('plays') }})\n",
    ),
    ("sql/unknown-column", "-- file: models/a.sql\nselect ¦sing from {{ source('raw', 'plays') }}\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect f.¦val from {{ ref('plays') }} p, lateral flatten(input => p.tags) f\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect id from {{ ref('stg') }} qualify row_number() over (order by ¦rang) = 1\n"),
    (
        "sql/unknown-column",
        "-- file: models/a.sql\nselect id as a from {{ ref('stg') }}\n-- file: models/b.sql\nselect ¦id from {{ ref('a') }}\n",
    ),
    ("sql/unknown-column", "-- file: models/a.sql\nselect name from {{ ref('stg') }}\nunion all\nselect ¦title from {{ ref('stg') }}\n"),
    ("sql/unknown-column", "-- file: models/a.sql\nselect id, max(price) as p from {{ ref('stg') }} group by id having max(¦cost) > 1\n"),
    (
        "sql/unknown-column",
        "-- file: models/a.sql\n{{ config(materialized='ephemeral') }}\nselect ¦gone from {{ ref('stg') }}\n-- file: models/b.sql\nselect 1 as one from {{ ref('a') }}\n",
    ),
    // --- through macros and loops
    (
        "sql/unknown-column",
        "-- file: macros/m.sql\n{% macro cents(column) %}({{ column }} * 100){% endmacro %}\n-- file: models/a.sql\nselect\n    id,\n    {{ ¦cents('pris') }} as cents\nfrom {{ ref('stg') }}\n",
    ),
    (
        "sql/unknown-column",
        "-- file: models/a.sql\nselect id\n{% for c in ['name', 'colour'] %}\n  , {{ ¦c }} as {{ c }}_x\n{% endfor %}\nfrom {{ ref('stg') }}\n",
    ),
    ("sql/unknown-column", "-- file: models/a.sql\n{% set column = 'prix' %}\nselect {{ ¦column }} from {{ ref('stg') }}\n"),
    // --- ambiguous and repeated
    ("sql/ambiguous-column", "-- file: models/a.sql\nselect ¦name from {{ ref('stg') }} a join {{ ref('items') }} b on a.id = b.id\n"),
    (
        "sql/ambiguous-column",
        "-- file: models/a.sql\nselect a.id from {{ ref('stg') }} a join {{ ref('items') }} b on a.id = b.id where ¦price > 1\n",
    ),
    ("sql/duplicate-column", "-- file: models/a.sql\nselect id as x, name as x from {{ ref('stg') }}\n"),
    // --- relations and functions
    ("sql/unknown-table", "-- file: models/a.sql\nselect * from ¦nowhere\n"),
    ("sql/unknown-table", "-- file: models/a.sql\nwith c as (select 1 as x)\nselect * from ¦d\n"),
    ("sql/unknown-table", "-- file: models/a.sql\nselect id from {{ ref('stg') }} where exists (select 1 from ¦other)\n"),
    ("sql/unknown-function", "-- file: models/a.sql\nselect ¦uper(name) as n from {{ ref('stg') }}\n"),
    ("sql/unknown-function", "-- file: models/a.sql\nselect id,\n  ¦my_function(id) as x\nfrom {{ ref('stg') }}\n"),
    // --- syntax
    ("sql/syntax", "-- file: models/a.sql\nselect id from {{ ref('stg') }} s ¦whre id = 1\n"),
    ("sql/syntax", "-- file: models/a.sql\nselect id name ¦price from {{ ref('stg') }}\n"),
    ("sql/syntax", "-- file: models/a.sql\nselect (id + 1 ¦as x from {{ ref('stg') }}\n"),
    ("sql/syntax", "-- file: models/a.sql\nselect id from {{ ref('stg') }} ¦group id\n"),
    // --- templates
    ("template/syntax", "-- file: models/a.sql\nselect 1 as x ¦{% if true \n"),
    ("template/undefined", "-- file: models/a.sql\nselect {{ ¦nope() }} as x\n"),
    ("graph/unknown-ref", "-- file: models/a.sql\nselect * from {{ ref(¦'stgg') }}\n"),
    ("graph/unknown-source", "-- file: models/a.sql\nselect * from {{ source('raw', ¦'playz') }}\n"),
    ("graph/unknown-source", "-- file: models/a.sql\nselect * from {{ source('row', ¦'plays') }}\n"),
    ("graph/cycle", "-- file: models/a.sql\nselect * from {{ ref(¦'b') }}\n-- file: models/b.sql\nselect * from {{ ref('a') }}\n"),
    // --- YAML
    ("project/wrong-type", "-- file: models/s.yml\nmodels:\n  - name: stg\n    columns: ¦3\n"),
    (
        "project/unknown-test",
        "-- file: models/s.yml\nmodels:\n  - name: stg\n    columns:\n      - name: id\n        data_tests: [¦uniqe]\n",
    ),
    ("yaml/duplicate-key", "-- file: models/s.yml\nmodels:\n  - name: stg\n    ¦name: b\n"),
    ("project/duplicate-entry", "-- file: models/s.yml\nmodels:\n  - name: stg\n  - name: ¦stg\n"),
    // --- what is promised
    (
        "check/contract",
        "-- file: models/a.sql\nselect id, name from {{ ref('stg') }}\n-- file: models/s.yml\nmodels:\n  - name: a\n    config: {contract: {enforced: true}}\n    columns:\n      - {name: id, data_type: integer}\n      - {name: ¦title, data_type: varchar}\n      - {name: name, data_type: varchar}\n",
    ),
    (
        "check/contract",
        "-- file: models/a.sql\nselect id, name from {{ ref('stg') }}\n-- file: models/s.yml\nmodels:\n  - name: a\n    config: {contract: {enforced: true}}\n    columns:\n      - {name: id, data_type: integer}\n      - {name: ¦name, data_type: date}\n",
    ),
    (
        "check/contract",
        "-- file: models/a.sql\nselect id, name from {{ ref('stg') }}\n-- file: models/s.yml\nmodels:\n  - name: ¦a\n    config: {contract: {enforced: true}}\n    columns:\n      - {name: id, data_type: integer}\n",
    ),
    (
        "check/unit-test",
        "-- file: models/u.yml\nunit_tests:\n  - name: t\n    model: stg\n    given:\n      - input: ref('items')\n        rows:\n          - {id: 1, ¦nam: x}\n    expect:\n      rows: [{id: 1}]\n",
    ),
    (
        "check/unit-test",
        "-- file: models/u.yml\nunit_tests:\n  - name: t\n    model: stg\n    given:\n      - input: ref('items')\n        rows: [{id: 1}]\n    expect:\n      rows:\n        - {¦idd: 1}\n",
    ),
    (
        "check/unit-test",
        "-- file: models/u.yml\nunit_tests:\n  - name: t\n    model: stg\n    given:\n      - input: ¦ref('plays')\n        rows: [{song: x}]\n    expect:\n      rows: [{id: 1}]\n",
    ),
    (
        "check/unit-test",
        "-- file: models/u.yml\nunit_tests:\n  - name: t\n    model: stg\n    given:\n      - input: ref('items')\n        format: csv\n        rows: |\n          id,¦prize\n          1,2\n    expect:\n      rows: [{id: 1}]\n",
    ),
    // --- tests
    (
        "sql/unknown-column",
        "-- file: models/s.yml\nmodels:\n  - name: stg\n    columns:\n      - name: identity\n        data_tests: [¦not_null]\n-- file: dbt_project.yml\nname: shop\nversion: '1.0'\nprofile: shop\nchecks: {undeclared-column: off}\n",
    ),
    ("sql/unknown-column", "-- file: tests/t.sql\nselect * from {{ ref('stg') }} where ¦cost < 0\n"),
    // --- incremental models on top of themselves
    (
        "sql/unknown-column",
        "-- file: models/a.sql\n{{ config(materialized='incremental') }}\nselect id, sold_on from {{ ref('stg') }}\n{% if is_incremental() %}\nwhere sold_on > (select max(¦day) from {{ this }})\n{% endif %}\n",
    ),
    // --- what a project demands
    (
        "check/missing-description",
        "-- file: dbt_project.yml\nname: shop\nversion: '1.0'\nprofile: shop\nmodels: {shop: {+enabled: true}}\nchecks: {missing-description: error}\n-- file: models/s.yml\nmodels:\n  - {name: stg, description: Items.}\n  - {name: ¦plays}\n",
    ),
    (
        "check/missing-test",
        "-- file: dbt_project.yml\nname: shop\nversion: '1.0'\nprofile: shop\nchecks: {missing-test: error}\n-- file: models/s.yml\nmodels:\n  - {name: stg, data_tests: [{not_null: {column_name: id}}]}\n  - {name: ¦plays}\n",
    ),
    (
        "check/unused-source",
        "-- file: dbt_project.yml\nname: shop\nversion: '1.0'\nprofile: shop\nchecks: {unused-source: error}\n-- file: models/more.yml\nsources:\n  - name: more\n    tables:\n      - name: ¦unread\n",
    ),
    (
        "check/undeclared-column",
        "-- file: dbt_project.yml\nname: shop\nversion: '1.0'\nprofile: shop\nchecks: {undeclared-column: error}\n-- file: models/s.yml\nmodels:\n  - name: stg\n    columns:\n      - name: ¦nome\n",
    ),
    ("check/unknown-rule", "-- file: dbt_project.yml\nname: shop\nversion: '1.0'\nprofile: shop\nchecks:\n  ¦unused-sources: error\n"),
    ("check/unknown-level", "-- file: dbt_project.yml\nname: shop\nversion: '1.0'\nprofile: shop\nchecks:\n  ¦unused-source: fatal\n"),
    (
        "check/direct-reference",
        "-- file: dbt_project.yml\nname: shop\nversion: '1.0'\nprofile: shop\nchecks: {direct-reference: error}\n-- file: models/a.sql\n¦select id from dev.items\n",
    ),
    // --- types
    ("sql/arguments", "-- file: models/a.sql\nselect id, ¦array_agg(name, id, 3, 4) as x from {{ ref('stg') }}\n"),
    ("sql/plan", "-- file: models/a.sql\n¦select id, name from {{ ref('stg') }}\nunion all\nselect id from {{ ref('stg') }}\n"),
];

/// The files without the mark, and `path:line:column` of it.
fn marked(files: &str) -> (String, Option<String>) {
    let mut path = "";
    let mut line = 0;
    for text in files.lines() {
        match text.strip_prefix("-- file: ") {
            Some(next) => (path, line) = (next, 0),
            None => line += 1,
        }
        if let Some(at) = text.find('¦') {
            return (files.replace('¦', ""), Some(format!("{path}:{line}:{}", text[..at].chars().count() + 1)));
        }
    }
    (files.to_owned(), None)
}

fn fault(code: &str, files: &str) -> Option<String> {
    let (files, place) = marked(files);
    let sandbox = Sandbox::new(&format!("{BASE}{files}"));
    let ran = sandbox.run(&["check", "--output", "json"]);
    let told = |why: &str| Some(format!("{why}: expected {code} at {place:?} in\n{files}\n{}\n{}", ran.out, ran.err));
    if ran.err.contains("panicked") || !matches!(ran.code, Some(1 | 2)) {
        return told(&format!("exit code {:?}", ran.code));
    }
    let Ok(report) = serde_json::from_str::<Value>(&ran.out) else { return told("no JSON") };
    let errors: Vec<&Value> = report["findings"].as_array().into_iter().flatten().filter(|f| f["severity"] == "error").collect();
    let [error] = errors.as_slice() else { return told("not exactly one error") };
    let found = format!("{}:{}:{}", error["place"]["file"].as_str().unwrap_or_default(), error["place"]["line"], error["place"]["column"]);
    if error["code"] != code {
        return told("another code");
    }
    match place {
        Some(ref place) if found != *place => told(&format!("another place, {found}")),
        _ => None,
    }
}

#[test]
fn each_broken_project_has_its_one_fault_at_its_place() {
    assert!(BROKEN.len() >= 60, "{}", BROKEN.len());
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((code, files)) = BROKEN.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(told) = fault(code, files) {
                        faults.lock().expect("no panic").push(told);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().expect("no panic");
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), BROKEN.len(), faults.join("\n---\n"));
}
