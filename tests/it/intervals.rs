//! Models that are built interval by interval: what is missing or has other rows is built, and nothing else.

use std::fmt::Write;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// Years, so that no test runs over the end of an interval.
const PROJECT: &str = "-- file: seeds/schema.yml
seeds: [{name: events, config: {event_time: at}}]
-- file: models/yearly.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', begin='2020-01-01', batch_size='year') }}
select at, {{ var('factor', 1) }} * n as n, 12 / n as d from {{ ref('events') }}
";

fn events(rows: &[(i32, i64)]) -> String {
    let mut text = "at,n\n".to_owned();
    for (year, n) in rows {
        let _ = writeln!(text, "{year}-05-01 10:00:00,{n}");
    }
    text
}

fn rows(sandbox: &Sandbox) -> Value {
    sandbox.rows("select year(at) as y, n from dev.yearly order by at, n")
}

fn result(sandbox: &Sandbox) -> (String, String) {
    let results = sandbox.json("target/run_results.json");
    let all = results["results"].as_array().expect("a list");
    let one = all.iter().find(|r| r["unique_id"] == "model.shop.yearly").expect("the model");
    (one["status"].as_str().expect("a status").to_owned(), one["message"].as_str().expect("a message").to_owned())
}

/// The reasons that a plan gives for the model; empty when it is fresh.
fn planned(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let all: Vec<&str> = ["plan", "--output", "json"].iter().chain(args).copied().collect();
    let plan: Value = serde_json::from_str(&sandbox.run(&all).expect_code(0).out).expect("JSON");
    let node = plan["nodes"].as_array().expect("a list").iter().find(|n| n["unique_id"] == "model.shop.yearly").expect("the model").clone();
    node["reasons"].as_array().expect("a list").iter().map(|r| r.as_str().expect("a text").to_owned()).collect()
}

fn ok(message: &str) -> (String, String) {
    ("success".into(), message.into())
}

#[test]
fn only_what_is_missing_or_late_is_built() {
    let sandbox = Sandbox::new(PROJECT);
    sandbox.write("seeds/events.csv", &events(&[(2020, 1), (2021, 2), (2022, 3)]));
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(rows(&sandbox), json!([{"Y": 2020, "N": 1}, {"Y": 2021, "N": 2}, {"Y": 2022, "N": 3}]));
    assert_eq!(planned(&sandbox, &[]), Vec::<String>::new());
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(result(&sandbox), ok("fresh"));

    // one row of an old year is another one, and one came
    sandbox.write("seeds/events.csv", &events(&[(2020, 1), (2021, 4), (2022, 3), (2020, 6)]));
    sandbox.run(&["seed"]).expect_code(0);
    assert_eq!(planned(&sandbox, &[]), ["2 intervals have other input rows: 2020-01-01..2022-01-01"]);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(result(&sandbox), ok("SUCCESS 2"));
    assert_eq!(rows(&sandbox), json!([{"Y": 2020, "N": 1}, {"Y": 2020, "N": 6}, {"Y": 2021, "N": 4}, {"Y": 2022, "N": 3}]));

    // the same rows, written anew
    sandbox.run(&["seed", "--force"]).expect_code(0);
    assert_eq!(planned(&sandbox, &[]), Vec::<String>::new());
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(result(&sandbox), ok("fresh"));
}

#[test]
fn done_intervals_are_restated_on_demand() {
    let sandbox = Sandbox::new(PROJECT);
    sandbox.write("seeds/events.csv", &events(&[(2020, 1), (2021, 2), (2022, 3)]));
    sandbox.run(&["build"]).expect_code(0);
    let vars = ["--vars", "{factor: 2}"];
    let told = planned(&sandbox, &vars).join("; ");
    assert!(told.contains("SQL changed") && told.contains("2 intervals are within the lookback"), "{told}");
    sandbox.run(&["build", "--vars", "{factor: 2}"]).expect_code(0);
    assert_eq!(rows(&sandbox)[0], json!({"Y": 2020, "N": 1}), "what is done stays, as in dbt");
    let range = ["--vars", "{factor: 2}", "--event-time-start", "2020-01-01", "--event-time-end", "2022-01-01"];
    assert_eq!(planned(&sandbox, &range), ["2 intervals are restated: 2020-01-01..2022-01-01"]);
    let all: Vec<&str> = ["build"].iter().chain(&range).copied().collect();
    sandbox.run(&all).expect_code(0);
    assert_eq!(rows(&sandbox), json!([{"Y": 2020, "N": 2}, {"Y": 2021, "N": 4}, {"Y": 2022, "N": 3}]));
    sandbox.run(&["build", "--vars", "{factor: 2}"]).expect_code(0);
    assert_eq!(result(&sandbox), ok("fresh"));
    sandbox.run(&["build", "--vars", "{factor: 2}", "--full-refresh"]).expect_code(0);
    assert_eq!(rows(&sandbox)[2], json!({"Y": 2022, "N": 6}));
}

#[test]
fn a_failed_batch_is_missing_and_built_by_the_next_run() {
    let sandbox = Sandbox::new(PROJECT);
    sandbox.write("seeds/events.csv", &events(&[(2020, 1), (2021, 0), (2022, 3)]));
    sandbox.run(&["build"]).expect_code(1);
    assert_eq!(result(&sandbox).0, "partial success");
    assert_eq!(planned(&sandbox, &[]), ["1 interval is missing: 2021-01-01..2022-01-01"]);
    sandbox.run(&["build"]).expect_code(1);
    assert_eq!(rows(&sandbox), json!([{"Y": 2020, "N": 1}, {"Y": 2022, "N": 3}]));
    sandbox.write("seeds/events.csv", &events(&[(2020, 1), (2021, 2), (2022, 3)]));
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(result(&sandbox), ok("SUCCESS 1"));
    assert_eq!(rows(&sandbox)[1], json!({"Y": 2021, "N": 2}));

    // late rows outside of the range that is asked for are not forgotten
    sandbox.write("seeds/events.csv", &events(&[(2020, 4), (2021, 2), (2022, 6)]));
    sandbox.run(&["build", "--event-time-start", "2022-01-01", "--event-time-end", "2023-01-01"]).expect_code(0);
    assert_eq!(rows(&sandbox)[0], json!({"Y": 2020, "N": 1}));
    assert_eq!(planned(&sandbox, &[]), ["1 interval is missing: 2020-01-01..2021-01-01"]);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(rows(&sandbox), json!([{"Y": 2020, "N": 4}, {"Y": 2021, "N": 2}, {"Y": 2022, "N": 6}]));
}

#[test]
fn after_any_edits_the_table_is_that_of_a_build_from_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let sandbox = Sandbox::new(PROJECT);
    let mut all: Vec<(i32, i64)> = vec![(2020, 1)];
    for edit in 0..8 {
        match rng.random_range(0..4) {
            0 if all.len() > 1 => drop(all.swap_remove(rng.random_range(0..all.len()))),
            1 => {
                let at = rng.random_range(0..all.len());
                all[at].1 = rng.random_range(1..9);
            }
            _ => all.push((rng.random_range(2020..2026), rng.random_range(1..9))),
        }
        sandbox.write("seeds/events.csv", &events(&all));
        sandbox.run(&["build"]).expect_code(0);
        let expected = sandbox.rows("select year(at) as y, n from dev.events order by at, n");
        assert_eq!(rows(&sandbox), expected, "edit {edit}: {all:?}");
    }
}
