//! Two targets of one warehouse: what one has built the other takes over, and gives back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const SHOP: &str = "-- file: profiles.yml
shop:
  target: dev
  outputs:
    dev: {type: datafusion, path: warehouse, database: SHOP, schema: DEV, threads: 2, reuse: prod}
    prod: {type: datafusion, path: warehouse, database: SHOP, schema: PROD, threads: 2}
    away: {type: datafusion, path: elsewhere, database: SHOP, schema: PROD, threads: 2}
-- file: seeds/prices.csv
id,price
1,10
2,20
-- file: models/staged.sql
{{ config(materialized='view') }}
select id, price from {{ ref('prices') }}
-- file: models/total.sql
{{ config(materialized='table') }}
select sum(price) as total from {{ ref('staged') }}
-- file: models/twice.sql
{{ config(materialized='table') }}
select 2 * total as twice from {{ ref('total') }}
-- file: models/grown.sql
{{ config(materialized='incremental', unique_key='id') }}
select id, price from {{ ref('staged') }}
{% if is_incremental() %} where id >= (select max(id) from {{ this }}) {% endif %}
-- file: models/named.sql
{{ config(materialized='table') }}
select '{{ target.name }}' as target
-- file: models/schema.yml
models:
- name: total
  columns: [{name: total, data_tests: [not_null]}]
";

fn build(sandbox: &Sandbox, args: &[&str]) -> BTreeMap<String, String> {
    let all: Vec<&str> = ["build"].iter().chain(args).copied().collect();
    sandbox.run(&all).expect_code(0);
    let results = sandbox.json("target/run_results.json");
    let all = results["results"].as_array().expect("a list").iter();
    all.map(|r| {
        let name = r["unique_id"].as_str().expect("an id").split('.').nth(2).expect("a name").to_owned();
        (name, r["message"].as_str().unwrap_or_default().to_owned())
    })
    .collect()
}

fn reused(told: &BTreeMap<String, String>) -> Vec<&str> {
    told.iter().filter(|(_, m)| m.starts_with("REUSED ")).map(|(n, _)| n.as_str()).collect()
}

#[test]
fn a_new_environment_takes_over_what_is_the_same() {
    let sandbox = Sandbox::new(SHOP);
    assert_eq!(reused(&build(&sandbox, &["--target", "prod"])), Vec::<&str>::new());
    let plan = sandbox.run(&["plan"]).expect_code(0).out;
    assert!(plan.contains("reused from SHOP.PROD.TOTAL") && plan.contains("reused from SHOP.PROD.TWICE"), "{plan}");
    let told = build(&sandbox, &[]);
    assert_eq!(reused(&told), ["grown", "prices", "total", "twice"], "{told:?}");
    assert_eq!(sandbox.rows("select twice from dev.twice"), json!([{"TWICE": 60}]));
    assert_eq!(sandbox.rows("select target from dev.named"), json!([{"TARGET": "dev"}]), "another query is another table");
    let again = build(&sandbox, &[]);
    assert!(again.values().all(|m| m.starts_with("fresh")), "{again:?}");

    // a change here is built here, with what is below; what is beside is still reused
    sandbox.write("models/total.sql", "{{ config(materialized='table') }}\nselect sum(price) + 1 as total from {{ ref('staged') }}\n");
    let told = build(&sandbox, &[]);
    assert_eq!(reused(&told), Vec::<&str>::new());
    assert!(told["grown"].starts_with("fresh"), "{told:?}");
    assert_eq!(sandbox.rows("select twice from dev.twice"), json!([{"TWICE": 62}]));
    assert_eq!(sandbox.rows("select twice from prod.twice"), json!([{"TWICE": 60}]), "the other does not notice");

    // tables that share files go their own ways
    sandbox.run(&["sql", "delete from prod.grown"]).expect_code(0);
    assert_eq!(sandbox.rows("select count(*) as n from dev.grown"), json!([{"N": 2}]));
}

#[test]
fn what_the_other_has_made_of_other_rows_is_not_taken_over() {
    let sandbox = Sandbox::new(SHOP);
    build(&sandbox, &["--target", "prod"]);
    sandbox.write("seeds/prices.csv", "id,price\n1,10\n2,20\n3,30\n");
    let told = build(&sandbox, &[]);
    assert_eq!(reused(&told), Vec::<&str>::new(), "{told:?}");
    assert_eq!(sandbox.rows("select total from dev.total"), json!([{"TOTAL": 60}]));
    // changed by hand there: nobody knows what it is
    sandbox.write("seeds/prices.csv", "id,price\n1,10\n2,20\n");
    sandbox.run(&["sql", "update prod.total set total = 7"]).expect_code(0);
    build(&sandbox, &[]);
    assert_eq!(sandbox.rows("select total from dev.total"), json!([{"TOTAL": 30}]));
}

#[test]
fn a_verified_environment_is_promoted_by_switching() {
    let sandbox = Sandbox::new(SHOP);
    build(&sandbox, &["--target", "prod"]);
    build(&sandbox, &[]);
    sandbox.write("models/total.sql", "{{ config(materialized='table') }}\nselect sum(price) + 1 as total from {{ ref('staged') }}\n");
    let open = sandbox.run(&["promote", "--exclude", "named"]);
    assert_eq!(open.code, Some(2), "{open:?}");
    open.expect_all(&["run/not-verified", "SQL changed"]);
    build(&sandbox, &[]);
    let dry = sandbox.run(&["promote", "--exclude", "named", "--dry-run"]).expect_code(0).out;
    assert!(
        dry.contains("table SHOP.PROD.TOTAL  replaced, from SHOP.DEV.TOTAL") && dry.contains("2 relations of `prod` would be switched"),
        "{dry}"
    );
    assert_eq!(sandbox.rows("select twice from prod.twice"), json!([{"TWICE": 60}]), "nothing was done");
    sandbox.run(&["promote", "--exclude", "named"]).expect_code(0);
    assert_eq!(sandbox.rows("select twice from prod.twice"), json!([{"TWICE": 62}]));
    let again = sandbox.run(&["promote", "--exclude", "named"]).expect_code(0).out;
    assert!(again.contains("has all of it already"), "{again}");
    // the other target finds it fresh, and goes on from there
    let told = build(&sandbox, &["--target", "prod"]);
    assert!(told["total"].starts_with("fresh") && told["twice"].starts_with("fresh"), "{told:?}");
    sandbox.write("seeds/prices.csv", "id,price\n1,10\n2,20\n3,30\n");
    build(&sandbox, &["--target", "prod"]);
    assert_eq!(sandbox.rows("select twice from prod.twice"), json!([{"TWICE": 122}]));
    assert_eq!(sandbox.rows("select twice from dev.twice"), json!([{"TWICE": 62}]));
}

#[test]
fn a_first_promotion_makes_everything() {
    let sandbox = Sandbox::new(SHOP);
    build(&sandbox, &[]);
    sandbox.run(&["promote"]).expect_code(0).expect_all(&["view SHOP.PROD.STAGED  new", "6 relations of `prod` switched"]);
    assert_eq!(sandbox.rows("select id, price from prod.staged order by id"), json!([{"ID": 1, "PRICE": 10}, {"ID": 2, "PRICE": 20}]));
    sandbox.run(&["sql", "drop schema dev"]).expect_code(0);
    let rows: Value = sandbox.rows("select count(*) as n from prod.staged join prod.grown using (id)");
    assert_eq!(rows, json!([{"N": 2}]), "nothing of it needs the other environment");
    let told = build(&sandbox, &["--target", "prod"]);
    for node in ["prices", "staged", "total", "twice", "grown"] {
        assert!(told[node].starts_with("fresh"), "{node}: {told:?}");
    }
}

#[test]
fn what_cannot_be_promoted_is_told() {
    let sandbox = Sandbox::new(SHOP);
    build(&sandbox, &[]);
    for (args, code) in [
        (vec!["promote", "--to", "away"], "cli/other-warehouse"),
        (vec!["promote", "--to", "dev"], "cli/no-target"),
        (vec!["promote", "--target", "prod"], "cli/no-target"),
    ] {
        let ran = sandbox.run(&args);
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        ran.expect_all(&[code]);
    }
}
