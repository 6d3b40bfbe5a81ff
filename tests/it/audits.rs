//! Audit before publish: a version whose tests fail is never served.

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox};

/// Nodes of every kind, each with a test, children, and one seed that decides whether the tests pass.
const SHOP: &str = "-- file: dbt_project.yml
name: shop
version: '1.0'
profile: shop
models:
  shop:
    +audit: true
seeds:
  shop:
    +audit: true
snapshots:
  shop:
    +audit: true
-- file: seeds/items.csv
id,price
1,10
2,20
-- file: models/plain.sql
{{ config(materialized='table') }}
select id, price from {{ ref('items') }}
-- file: models/shown.sql
{{ config(materialized='view') }}
select id, price from {{ ref('items') }}
-- file: models/grown.sql
{{ config(materialized='incremental', unique_key='id') }}
select id, price from {{ ref('items') }}
-- file: models/child.sql
{{ config(materialized='table') }}
select sum(price) as total from {{ ref('plain') }}
-- file: snapshots/s.sql
{% snapshot kept %}{{ config(unique_key='id', strategy='check', check_cols=['price'], target_schema='dev') }}
select id, price from {{ ref('items') }}
{% endsnapshot %}
-- file: models/schema.yml
models:
  - name: plain
    columns: [{name: price, data_tests: [not_null]}]
  - name: shown
    columns: [{name: price, data_tests: [not_null]}]
  - name: grown
    columns: [{name: price, data_tests: [not_null]}]
snapshots:
  - name: kept
    columns: [{name: price, data_tests: [not_null]}]
";

const BAD: &str = "id,price\n1,11\n2,20\n3,\n";
const GOOD: &str = "id,price\n1,11\n2,20\n3,30\n";
const NODES: [&str; 4] = ["plain", "shown", "grown", "kept"];

fn prices(sandbox: &Sandbox, relation: &str) -> Value {
    sandbox.rows(&format!("select id, price from {relation} order by id, price"))
}

fn status(sandbox: &Sandbox, name: &str) -> String {
    let results = sandbox.results();
    results.into_iter().find(|(n, _)| n == name).map_or_else(|| "none".into(), |(_, s)| s)
}

/// Whether nothing is left of what was staged.
fn is_clean(sandbox: &Sandbox) -> bool {
    std::fs::read_dir(sandbox.path().join("warehouse/.staged")).map_or(true, |d| d.count() == 0)
}

#[test]
fn what_fails_its_tests_is_not_served_and_can_be_looked_at() {
    let sandbox = Sandbox::new(SHOP);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(status(&sandbox, "not_null_plain_price"), "pass");
    let before: Vec<Value> = NODES.iter().map(|n| prices(&sandbox, &format!("dev.{n}"))).collect();
    sandbox.run(&["build"]).expect_code(0);
    let again = sandbox.json("target/run_results.json");
    let fresh =
        again["results"].as_array().expect("a list").iter().filter(|r| r["message"].as_str().is_some_and(|m| m.starts_with("fresh")));
    assert_eq!(fresh.count(), 9, "all but the snapshot: {again}");

    sandbox.write("seeds/items.csv", BAD);
    let ran = sandbox.run(&["build"]).expect_code(1);
    ran.expect_all(&["audit failed: 1 of 1 test (not_null_plain_price)", "SHOP.DEV__STAGED.PLAIN", "SHOP.DEV.PLAIN is as it was before"]);
    for (node, before) in NODES.iter().zip(&before).filter(|(n, _)| **n != "shown") {
        assert_eq!(prices(&sandbox, &format!("dev.{node}")), *before, "{node} is as it was");
        assert_eq!(status(&sandbox, node), "error", "{node}");
        assert_eq!(status(&sandbox, &format!("not_null_{node}_price")), "fail", "{node}");
        let staged = sandbox.rows(&format!("select count(*) as n from dev__staged.{node} where price is null"));
        assert_eq!(staged[0]["N"], 1, "{node}: the version that failed");
    }
    assert_eq!(status(&sandbox, "child"), "skipped");
    assert!(is_clean(&sandbox));

    // nothing is recorded of what failed: it is built, and fails, again
    sandbox.run(&["build"]).expect_code(1);
    assert_eq!(status(&sandbox, "plain"), "error");
    // its test can be run by hand over what failed
    let rows = sandbox.run(&["sql", "--file", "target/compiled/shop/models/schema.yml/not_null_plain_price.sql"]).expect_code(0);
    assert!(rows.out.contains('3') || rows.out.contains("NULL"), "{}", rows.out);

    sandbox.write("seeds/items.csv", GOOD);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(sandbox.rows("select total from dev.child")[0]["TOTAL"], 61);
    assert_eq!(prices(&sandbox, "dev.grown").as_array().map(Vec::len), Some(3));
    let gone = sandbox.run(&["sql", "select * from dev__staged.plain"]);
    assert_eq!(gone.code, Some(1), "what failed is of no more use: {gone:?}");
    sandbox.run(&["build", "--exclude", "kept"]).expect_code(0);
}

#[test]
fn a_first_version_that_fails_is_not_there() {
    let sandbox = Sandbox::new(SHOP);
    sandbox.write("seeds/items.csv", BAD);
    sandbox.run(&["build"]).expect_code(1).expect_all(&["SHOP.DEV.PLAIN does not exist yet"]);
    for node in NODES {
        let ran = sandbox.run(&["sql", &format!("select * from dev.{node}")]);
        assert_eq!(ran.code, Some(1), "{node}: {ran:?}");
    }
    // with `run`, too: the promise is the model's, not the command's
    sandbox.run(&["run", "--select", "plain"]).expect_code(1).expect_all(&["audit failed"]);
    assert_eq!(sandbox.run(&["sql", "select * from dev.plain"]).code, Some(1));
    // who excludes the test publishes without it
    sandbox.run(&["build", "--select", "plain", "--exclude", "not_null_plain_price"]).expect_code(0);
    assert_eq!(prices(&sandbox, "dev.plain").as_array().map(Vec::len), Some(3));
}

#[test]
fn warnings_do_not_block_and_a_seed_is_audited_too() {
    let sandbox = Sandbox::new(SHOP);
    sandbox.write(
        "seeds/schema.yml",
        "seeds:\n  - name: items\n    columns:\n      - name: price\n        data_tests: [{not_null: {config: {severity: warn}}}]\n      - name: id\n        data_tests: [unique]\n",
    );
    sandbox.write("models/schema.yml", "models: []\n");
    sandbox.write("seeds/items.csv", BAD);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(status(&sandbox, "not_null_items_price"), "warn");
    sandbox.write("seeds/items.csv", "id,price\n1,1\n1,2\n");
    sandbox.run(&["build"]).expect_code(1);
    assert_eq!((status(&sandbox, "items").as_str(), status(&sandbox, "plain").as_str()), ("error", "skipped"));
    assert_eq!(prices(&sandbox, "dev.items").as_array().map(Vec::len), Some(3));
    assert_eq!(prices(&sandbox, "dev__staged.items").as_array().map(Vec::len), Some(2));
}

#[test]
fn tests_over_others_see_what_is_published_there() {
    let sandbox = Sandbox::new(
        "-- file: models/customers.sql
{{ config(materialized='table', audit=true) }}
select column1 as id from values (1), (2)
-- file: models/orders.sql
{{ config(materialized='table', audit=true) }}
select column1 as id, column2 as customer from values (1, 1), (2, {{ var('customer', 2) }})
-- file: tests/no_more_than_customers.sql
select count(*) as n from {{ ref('orders') }} having count(*) > (select count(*) from {{ ref('customers') }})
-- file: models/schema.yml
models:
  - name: orders
    columns:
      - name: customer
        data_tests: [{relationships: {to: ref('customers'), field: id, config: {store_failures: true}}}]
",
    );
    sandbox.run(&["build"]).expect_code(0);
    let failed = sandbox.run(&["build", "--vars", "{customer: 7}"]).expect_code(1);
    failed.expect_all(&["relationships_orders_customer__id__ref_customers_", "1 of 2 tests"]);
    assert_eq!(sandbox.rows("select max(customer) as m from dev.orders")[0]["M"], 2);
    let stored = sandbox.run(&["sql", "show tables in schema dev_dbt_test__audit"]).expect_code(0);
    assert!(stored.out.to_lowercase().contains("relationships_orders"), "{}", stored.out);
}

#[test]
fn hooks_and_this_belong_to_the_version_that_is_audited() {
    let sandbox = Sandbox::new(
        "-- file: models/m.sql
{{ config(materialized='incremental', audit=true, post_hook=\"delete from {{ this }} where a is null\") }}
select {{ var('a', 1) }} as a
{% if is_incremental() %} where {{ var('a', 1) }} > (select max(a) from {{ this }}) {% endif %}
union all select null
-- file: models/schema.yml
models:
  - name: m
    columns: [{name: a, data_tests: [not_null, {accepted_values: {values: [1, 2], quote: false}}]}]
",
    );
    sandbox.run(&["build"]).expect_code(0);
    sandbox.run(&["build", "--vars", "{a: 2}"]).expect_code(0);
    sandbox.run(&["build", "--vars", "{a: 3}"]).expect_code(1);
    assert_eq!(sandbox.rows("select a from dev.m order by a"), serde_json::json!([{"A": 1}, {"A": 2}]));
    assert_eq!(sandbox.rows("select a from dev__staged.m order by a"), serde_json::json!([{"A": 1}, {"A": 2}, {"A": 3}]));
}

#[test]
fn microbatches_are_published_together() {
    let sandbox = Sandbox::new(
        "-- file: seeds/events.csv
at,n
2024-01-01 10:00:00,1
2024-01-02 10:00:00,2
-- file: seeds/schema.yml
seeds: [{name: events, config: {event_time: at}}]
-- file: models/daily.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', begin='2024-01-01', batch_size='day', audit=true) }}
select at, n from {{ ref('events') }}
-- file: models/schema.yml
models:
  - name: daily
    columns: [{name: n, data_tests: [unique]}]
",
    );
    let build = || -> Ran { sandbox.run(&["build", "--event-time-start", "2024-01-01", "--event-time-end", "2024-01-03"]) };
    build().expect_code(0);
    sandbox.write("seeds/events.csv", "at,n\n2024-01-01 10:00:00,5\n2024-01-02 10:00:00,5\n");
    build().expect_code(1);
    let n = |relation: &str| sandbox.rows(&format!("select n from {relation} order by n"));
    assert_eq!(n("dev.daily"), serde_json::json!([{"N": 1}, {"N": 2}]));
    assert_eq!(n("dev__staged.daily"), serde_json::json!([{"N": 5}, {"N": 5}]));
}
