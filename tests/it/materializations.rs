//! How models are written and how verdicts of data tests count: incremental strategies, ephemeral models, severities,
//! stored failures.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

fn status(sandbox: &Sandbox, name: &str) -> Option<String> {
    sandbox.results().into_iter().find(|(n, _)| n == name).map(|(_, s)| s)
}

/// Two runs, the second with other rows, and what is held after each.
#[test]
fn each_incremental_strategy_does_its_own() {
    let rows = |pairs: &[(i64, &str)]| Value::Array(pairs.iter().map(|(id, v)| json!({"ID": id, "V": v})).collect());
    for (config, expect) in [
        ("incremental_strategy='append'", &[(1, "old"), (2, "new"), (2, "old"), (3, "new")][..]),
        // without a key there is nothing to merge on
        ("", &[(1, "old"), (2, "new"), (2, "old"), (3, "new")]),
        ("incremental_strategy='merge', unique_key='id'", &[(1, "old"), (2, "new"), (3, "new")]),
        ("unique_key=['id', 'k']", &[(1, "old"), (2, "new"), (3, "new")]),
        ("incremental_strategy='delete+insert', unique_key='id'", &[(1, "old"), (2, "new"), (3, "new")]),
        // the group goes as a whole
        ("incremental_strategy='delete+insert', unique_key='k'", &[(2, "new"), (3, "new")]),
    ] {
        let sandbox = Sandbox::new("");
        sandbox.write(
            "models/m.sql",
            &format!(
                "{{{{ config(materialized='incremental', {config}) }}}}\n\
                 {{% if is_incremental() %}}\nselect 2 as id, 0 as k, 'new' as v union all select 3, 0, 'new'\n\
                 {{% else %}}\nselect 1 as id, 0 as k, 'old' as v union all select 2, 0, 'old'\n{{% endif %}}\n"
            ),
        );
        let held = || sandbox.rows("select id, v from dev.m order by id, v");
        sandbox.run(&["run"]).expect_code(0);
        assert_eq!(held(), rows(&[(1, "old"), (2, "old")]), "{config}: first");
        sandbox.run(&["run"]).expect_code(0);
        assert_eq!(held(), rows(expect), "{config}: second");
        sandbox.run(&["run", "--full-refresh"]).expect_code(0);
        assert_eq!(held(), rows(&[(1, "old"), (2, "old")]), "{config}: full refresh");
    }
}

#[test]
fn ephemeral_models_are_part_of_their_readers() {
    let sandbox = Sandbox::new(
        "-- file: models/inner.sql
{{ config(materialized='ephemeral') }}
select 1 as a union all select 2
-- file: models/middle.sql
{{ config(materialized='ephemeral') }}
with inner_rows as (select a from {{ ref('inner') }}) select a + 1 as a from inner_rows
-- file: models/outer.sql
{{ config(materialized='table') }}
with rows_of_it as (select a from {{ ref('middle') }}) select sum(a) as total from rows_of_it
",
    );
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(sandbox.rows("select total from dev.outer"), json!([{"TOTAL": 5}]));
    assert_eq!(status(&sandbox, "inner"), None, "it is no result of its own");
    for name in ["inner", "middle"] {
        sandbox.run(&["sql", &format!("select * from dev.{name}")]).expect_code(1);
    }
}

#[test]
fn a_warning_lets_children_build_and_failures_can_be_kept() {
    let sandbox = Sandbox::new(
        "-- file: models/base.sql
{{ config(materialized='table') }}
select column1 as id, column2 as v from values (1, 'a'), (1, 'b'), (2, null), (3, null), (4, null)
-- file: models/child.sql
select count(*) as n from {{ ref('base') }}
-- file: models/schema.yml
models:
  - name: base
    columns:
      - name: id
        data_tests:
          - unique: {config: {severity: warn, store_failures: true, schema: kept, alias: twice}}
      - name: v
        data_tests:
          - not_null: {config: {warn_if: '>1', error_if: '>5'}}
          - accepted_values: {arguments: {values: [a]}, config: {where: \"v is not null and v <> 'b'\"}}
",
    );
    sandbox.run(&["build"]).expect_code(0).expect_all(&["WARN=2 ERROR=0 SKIP=0"]);
    assert_eq!(status(&sandbox, "child").as_deref(), Some("success"));
    assert_eq!(status(&sandbox, "unique_base_id").as_deref(), Some("warn"));
    assert_eq!(status(&sandbox, "not_null_base_v").as_deref(), Some("warn"));
    assert_eq!(status(&sandbox, "accepted_values_base_v__a").as_deref(), Some("pass"));
    assert_eq!(sandbox.rows("select unique_field, n_records from dev_kept.twice"), json!([{"UNIQUE_FIELD": 1, "N_RECORDS": 2}]));
    sandbox.run(&["--warn-error", "build"]).expect_code(1);
}

#[test]
fn what_is_piped_has_no_escape_sequences() {
    let sandbox = Sandbox::new("-- file: models/a.sql\nselect nope\n-- file: models/b.sql\nselect 1 as one\n");
    for args in [&["build"][..], &["ls"], &["show", "-s", "b"], &["sql", "select 1"], &["debug"], &["run", "-t", "prod"]] {
        // without NO_COLOR: that nobody watches is reason enough
        let done = sandbox.command(args).env_remove("NO_COLOR").output().expect("it runs");
        assert!(!done.stdout.contains(&0x1b) && !done.stderr.contains(&0x1b), "{args:?}: {done:?}");
    }
}

#[test]
fn unit_tests_know_the_types_of_what_was_never_built() {
    let sandbox = Sandbox::new(
        "-- file: seeds/days.csv
id,day
1,2024-02-28
-- file: models/stg.sql
select id, day, (id * 1.25)::number(10, 2) as price from {{ ref('days') }}
-- file: models/top.sql
select id, day + 1 as next_day, price * 2 as double_price from {{ ref('stg') }}
-- file: models/u.yml
unit_tests:
  - name: types_are_those_of_the_query
    model: top
    given:
      - input: ref('stg')
        rows:
          - {id: 1, day: '2024-02-28', price: '2.50'}
          - {id: 2, day: '2023-02-28'}
    expect:
      rows:
        - {id: 1, next_day: '2024-02-29', double_price: 5.00}
        - {id: 2, next_day: '2023-03-01', double_price: null}
  - name: no_rows
    model: top
    given:
      - input: ref('stg')
        rows: []
    expect:
      rows: []
",
    );
    sandbox.run(&["test", "--select", "test_type:unit"]).expect_code(0).expect_all(&["PASS=2"]);
    sandbox.write(
        "models/u.yml",
        "unit_tests:\n  - name: t\n    model: top\n    given:\n      - input: ref('stg')\n        rows: [{idd: 1}]\n    expect: {rows: []}\n",
    );
    sandbox.run(&["test", "--select", "test_type:unit"]).expect_code(1).expect_all(&["Invalid column name: 'idd'"]);
}
