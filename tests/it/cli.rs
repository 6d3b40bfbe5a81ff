//! The command line as a user meets it: small projects, the real binary, what it prints, leaves and exits with.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const SHOP: &str = "\
-- file: seeds/items.csv
id,name,price
1,apple,1.50
2,pear,2.25
3,plum,0.75
-- file: models/stg_items.sql
select id, name, price from {{ ref('items') }}
-- file: models/marts/dear_items.sql
{{ config(materialized='table', tags=['daily']) }}
select name, price from {{ ref('stg_items') }} where price > {{ var('dear', 1) }} order by price desc
-- file: models/schema.yml
models:
  - name: stg_items
    columns:
      - name: id
        data_tests: [unique, not_null]
  - name: dear_items
    description: What costs much.
-- file: tests/no_free_items.sql
select * from {{ ref('dear_items') }} where price <= 0
";

#[test]
fn a_fresh_project_builds_at_once() {
    let sandbox = Sandbox::empty();
    sandbox.run(&["init", "music"]).expect_code(0).expect_all(&["cd music && segue build"]);
    let build = |sandbox: &Sandbox| sandbox.run(&["build", "--project-dir", "music"]);
    let first = build(&sandbox).expect_code(0).expect_all(&["OK    source file RAW_DATA.PLAYS", "10 rows", "WARN=0 ERROR=0 SKIP=0"]);
    assert!(first.err.is_empty(), "{}", first.err);
    // nothing new in the source, and nothing breaks
    build(&sandbox).expect_code(0).expect_all(&["NO-OP=1", "ERROR=0"]);
    sandbox.write("music/data/plays/2025-02-28.csv", "play_id,artist_id,song,seconds,played_at\n11,3,Low Tide,254,2025-02-28 07:00:00\n");
    build(&sandbox).expect_code(0);
    let shown = sandbox.run(&["show", "--project-dir", "music", "-s", "top_artists", "--output", "json", "-q"]).expect_code(0);
    let shown: Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(
        shown["show"][2],
        json!({"ARTIST": "Tomás Rey", "GENRE": "folk", "PLAYS": 3, "SONGS": 1, "MINUTES": 9.5, "LAST_PLAYED_ON": "2025-02-28"})
    );

    let before = sandbox.project_files();
    sandbox.run(&["init", "music"]).expect_code(2).expect_all(&["cli/not-empty", "nothing was written"]);
    sandbox.run(&["init", "my-music"]).expect_code(2).expect_all(&["cli/project-name", "segue init my_music"]);
    assert_eq!(before, sandbox.project_files());
}

#[test]
fn build_runs_everything_and_leaves_artifacts() {
    let shop = Sandbox::new(SHOP);
    shop.run(&["build"]).expect_code(0).expect_all(&["Found 1 seed, 2 models and 3 tests", "TOTAL=6"]);
    assert_eq!(
        shop.rows("select name, price from dev.dear_items"),
        json!([{"NAME": "pear", "PRICE": 2.25}, {"NAME": "apple", "PRICE": 1.5}])
    );
    let all = |status: &str, names: &[&str]| names.iter().map(|n| ((*n).to_owned(), status.to_owned())).collect::<Vec<_>>();
    let mut expected = all("success", &["dear_items", "items", "stg_items"]);
    expected.extend(all("pass", &["no_free_items", "not_null_stg_items_id", "unique_stg_items_id"]));
    expected.sort();
    assert_eq!(shop.results(), expected);
    let manifest = shop.json("target/manifest.json");
    assert_eq!(manifest["metadata"]["dbt_schema_version"], "https://schemas.getdbt.com/dbt/manifest/v12.json");
    let node = &manifest["nodes"]["model.shop.dear_items"];
    assert_eq!((&node["config"]["materialized"], &node["relation_name"]), (&json!("table"), &json!("SHOP.DEV.DEAR_ITEMS")));
    assert!(shop.read("target/compiled/shop/models/marts/dear_items.sql").contains("from SHOP.DEV.STG_ITEMS where price > 1"));
    assert!(shop.read("target/run/shop/models/marts/dear_items.sql").contains("STG_ITEMS"));

    // each verb does its part only
    for (args, total) in [
        (&["run"][..], 2),
        (&["test"], 3),
        (&["seed"], 1),
        (&["run", "--select", "dear_items"], 1),
        (&["build", "--exclude", "tag:daily+", "--resource-type", "model"], 1),
        (&["test", "--select", "nothing_like_it"], 0),
    ] {
        shop.run(args).expect_code(0);
        assert_eq!(shop.results().len(), total, "{args:?}");
    }
    shop.run(&["run", "--vars", "{dear: 2}"]).expect_code(0);
    assert_eq!(shop.rows("select count(*) as n from dev.dear_items"), json!([{"N": 1}]));
}

#[test]
fn a_failed_test_stops_what_is_below_it_and_nothing_else() {
    let shop = Sandbox::new(
        &SHOP.replace("data_tests: [unique, not_null]", "data_tests: [unique, not_null, {accepted_values: {arguments: {values: [1, 2]}}}]"),
    );
    shop.write("models/sibling.sql", "select 1 as one");
    let ran = shop.run(&["build"]).expect_code(1).expect_all(&["FAIL", "SKIP", "ERROR=1 SKIP=2", "check/failed", "--select"]);
    assert!(!ran.err.contains("Encountered an error"), "{}", ran.err);
    let results = shop.results();
    let status = |name: &str| results.iter().find(|(n, _)| n == name).map(|(_, s)| s.as_str());
    assert_eq!((status("dear_items"), status("sibling"), status("no_free_items")), (Some("skipped"), Some("success"), Some("skipped")));
    assert_eq!(shop.run(&["sql", "select * from dev.dear_items"]).code, Some(1), "never built");
}

#[test]
fn ls_names_what_is_chosen() {
    let shop = Sandbox::new(SHOP);
    for (args, expect) in [
        (&["ls", "--resource-type", "model"][..], "shop.marts.dear_items\nshop.stg_items\n"),
        (&["ls", "--output", "path", "-s", "tag:daily", "--resource-type", "model"], "models/marts/dear_items.sql\n"),
        (
            &["list", "--output", "name", "--select", "+dear_items", "--exclude", "items", "--resource-type", "model", "seed"],
            "dear_items\nstg_items\n",
        ),
        (
            &["ls", "--output", "json", "--output-keys", "name description", "-m", "dear_items", "--exclude-resource-type", "test"],
            "{\"name\":\"dear_items\",\"description\":\"What costs much.\"}\n",
        ),
        (&["ls", "-s", "items,stg_items"], ""),
    ] {
        assert_eq!(shop.run(args).expect_code(0).out, expect, "{args:?}");
    }
    assert!(!shop.path().join("warehouse").exists(), "ls opens no warehouse");
    shop.run(&["ls", "-s", "dear_item"]).expect_code(0).expect_all(&["did you mean `dear_items`?"]);
    shop.run(&["ls", "--resource-type", "modle"]).expect_code(2).expect_all(&["did you mean `model`?"]);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let shop = Sandbox::new(SHOP);
    for i in 0..2_000 {
        shop.write(&format!("models/many/a_model_with_a_rather_long_name_{i}.sql"), "select 1 as one");
    }
    let mut process = shop.command(&["ls"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    // dropped at once: the pipe closes
    BufReader::with_capacity(16, process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let mut err = String::new();
    process.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
    assert_eq!((process.wait().expect("it ends").code(), err.as_str()), (Some(0), ""));
}

#[test]
fn show_gives_rows_without_building() {
    let shop = Sandbox::new(SHOP);
    shop.run(&["seed"]).expect_code(0);
    // of a view that does not exist yet the model that reads it cannot be shown
    shop.run(&["show", "-s", "dear_items"]).expect_code(1).expect_all(&["STG_ITEMS", "--select +dear_items"]);
    shop.run(&["run", "-s", "stg_items"]).expect_code(0);
    let shown = shop.run(&["show", "-s", "dear_items", "--limit", "1", "--output", "csv"]).expect_code(0);
    assert_eq!(shown.out, "NAME,PRICE\npear,2.25\n");
    let shown = shop.run(&["show", "--inline", "select max(price) as dearest from {{ ref('items') }}", "--output", "json"]).expect_code(0);
    assert_eq!(serde_json::from_str::<Value>(&shown.out).expect("JSON"), json!({"show": [{"DEAREST": 2.25}]}));
    assert_eq!(shop.json("target/run_results.json")["results"][0]["unique_id"], "sql_operation.shop.inline_query");
    shop.run(&["show", "-s", "items"]).expect_code(0).expect_all(&["│ ID ┆ NAME", "│  1 ┆ apple"]);
    shop.run(&["show", "--inline", "select nope from {{ ref('items') }}"]).expect_code(2).expect_all(&[
        "Encountered an error:\nDatabase Error",
        "there is no column `NOPE`",
        "--inline:1:8",
    ]);
    shop.run(&["show"]).expect_code(2).expect_all(&["nothing was chosen"]);
    assert_eq!(shop.run(&["sql", "select * from dev.dear_items"]).code, Some(1), "nothing was built");
}

#[test]
fn sql_runs_statements_in_one_session() {
    let shop = Sandbox::new("");
    let script = "create table t (a int, b varchar); -- a ; in a comment\ninsert into t values (1, 'x;y'), (2, null);\nselect * from nowhere;\nselect a, b from t order by a;\n";
    let ran = shop.run_with(&["sql", "--output", "jsonl", "--keep-going", "-"], script).expect_code(1);
    let lines: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
    assert_eq!(lines.len(), 4, "one line for each statement: {}", ran.out);
    assert!(lines[2]["error"].as_str().expect("an error").contains("NOWHERE"));
    assert_eq!(lines[3], json!({"columns": ["A", "B"], "types": ["NUMBER(38,0)", "VARCHAR"], "rows": [[1, "x;y"], [2, null]]}));

    // without --keep-going the first fault ends it
    let ran = shop.run_with(&["sql", "--output", "jsonl", "-"], "select 1 as a; select nope; select 2 as b;").expect_code(1);
    assert_eq!(ran.out.lines().count(), 2);
    assert!(ran.err.contains("<stdin>:1:23"), "{}", ran.err);

    // of several statements `json` prints the rows of the last
    assert_eq!(shop.rows("update t set b = 'z' where a = 2; select b from t where a = 2"), json!([{"B": "z"}]));
    assert_eq!(shop.rows("select a from t where a > 5"), json!([]));
    assert_eq!(shop.rows("delete from t where a = 1"), json!([]));
    shop.write("script.sql", "select count(*) as n from t;\n");
    assert_eq!(shop.run(&["sql", "--file", "script.sql", "--output", "csv"]).expect_code(0).out, "N\n1\n");
    shop.run(&["sql"]).expect_code(2).expect_all(&["there is no statement"]);
    shop.run(&["sql", "--file", "missing.sql"]).expect_code(2).expect_all(&["missing.sql"]);
}

#[test]
fn compile_shows_the_sql_of_one_node() {
    let shop = Sandbox::new(SHOP);
    let ran = shop.run(&["compile", "-s", "dear_items", "--exclude-resource-type", "test"]).expect_code(0);
    assert!(
        ran.out.starts_with("select name, price from SHOP.DEV.STG_ITEMS")
            || ran.out.contains("\nselect name, price from SHOP.DEV.STG_ITEMS"),
        "{}",
        ran.out
    );
    assert_eq!(shop.results(), [("dear_items".to_owned(), "success".to_owned())]);
    shop.run(&["compile", "--target-path", "elsewhere"]).expect_code(0);
    assert!(
        shop.path().join("elsewhere/compiled/shop/models/stg_items.sql").is_file() && shop.path().join("elsewhere/manifest.json").is_file()
    );
    let inline = shop.run(&["compile", "--inline", "select * from {{ ref('items') }}"]).expect_code(0);
    assert_eq!(inline.out, "select * from SHOP.DEV.ITEMS\n");
}

#[test]
fn exit_codes_tell_a_wrong_invocation_from_a_failed_node() {
    let shop = Sandbox::new(SHOP);
    for (args, code, texts) in [
        (&["bild"][..], 2, &["error: unrecognized subcommand 'bild'", "Usage:"][..]),
        (&["run", "--no-such-flag"], 2, &["error: unexpected argument"]),
        (&["run", "--threads", "0"], 2, &["error:"]),
        (&["run", "--target", "prod"], 2, &["Encountered an error:\nRuntime Error", "no target `prod`", "`dev`"]),
        (&["run", "--profile", "shap"], 2, &["Encountered an error:", "did you mean `shop`?"]),
        (&["run", "--vars", "[1"], 2, &["Encountered an error:"]),
        (&["run", "--target", "odd"], 2, &["Encountered an error:"]),
        (&["--help"], 0, &["Examples:", "segue build"]),
        (&["build", "--help"], 0, &["Examples:", "--full-refresh", "--select"]),
        (&["--version"], 0, &["segue 0."]),
        (&["completions", "bash"], 0, &["complete -F"]),
    ] {
        let ran = shop.run(args);
        if args.contains(&"odd") && ran.code == Some(1) {
            // a warehouse that cannot be made is found out by the first node that writes
            continue;
        }
        ran.expect_code(code).expect_all(texts);
    }
    let nowhere = Sandbox::empty();
    nowhere.run(&["build"]).expect_code(2).expect_all(&["Encountered an error:\nRuntime Error", "dbt_project.yml", "segue init"]);
    let below = shop.path().join("models");
    nowhere
        .run(&["build", "--project-dir", below.to_str().expect("UTF-8")])
        .expect_code(2)
        .expect_all(&["there is one in", "--project-dir"]);
}

#[test]
fn global_flags_and_the_environment() {
    let shop = Sandbox::new(SHOP);
    shop.run(&["--quiet", "--threads", "1", "build"]).expect_code(0);
    assert_eq!(shop.run(&["build", "-q"]).expect_code(0).out, "");
    let debug = shop.run(&["run", "--debug", "--force", "-s", "stg_items"]).expect_code(0);
    assert!(debug.out.contains("[DEV.STG_ITEMS]") || debug.out.contains("select id, name, price"), "{}", debug.out);

    let logged = shop.run(&["--log-format", "json", "build"]).expect_code(0);
    let events: Vec<Value> = logged.out.lines().chain(logged.err.lines()).map(|l| serde_json::from_str(l).expect(l)).collect();
    assert!(
        events.iter().any(|e| e["info"]["name"] == "LogModelResult" && e["data"]["node_info"]["node_name"] == "dear_items"),
        "{events:?}"
    );
    shop.write("models/broken.sql", "select {{ ref('nothing') }}");
    let failed = shop.run(&["--log-format", "json", "build"]).expect_code(2);
    let events: Vec<Value> = failed.out.lines().chain(failed.err.lines()).map(|l| serde_json::from_str(l).expect(l)).collect();
    assert!(events.iter().any(|e| e["data"]["code"] == "graph/unknown-ref" && e["data"]["place"]["line"] == 1), "{events:?}");

    // the environment says what no flag says
    let away = Sandbox::empty().with_env("DBT_PROJECT_DIR", shop.path().to_str().expect("UTF-8")).with_env("DBT_TARGET", "nope");
    away.run(&["ls"]).expect_code(2).expect_all(&["no target `nope`"]);
    std::fs::remove_file(shop.path().join("models/broken.sql")).expect("there");
    away.run(&["ls", "--target", "dev"]).expect_code(0).expect_all(&["shop.stg_items"]);
}

#[test]
fn secrets_are_never_shown() {
    let shop = Sandbox::new("-- file: models/a.sql\n{{ log(\"it is \" ~ env_var('PLAIN'), info=True) }}select 1 as a\n")
        .with_env("DBT_ENV_SECRET_KEY", "hush-hush-99")
        .with_env("PLAIN", "the hush-hush-99 value");
    let ran = shop.run(&["build", "--debug"]).expect_code(0).expect_all(&["it is the ***** value"]);
    assert!(!ran.out.contains("hush-hush-99") && !ran.err.contains("hush-hush-99"));
}

#[test]
fn debug_tells_what_is_well() {
    let shop = Sandbox::new(SHOP);
    let ran = shop.run(&["debug"]).expect_code(0).expect_all(&["All checks passed!", "database: SHOP"]);
    assert!(!ran.out.contains("ERROR"), "{}", ran.out);
    shop.run(&["debug", "--target", "nopass"])
        .expect_code(1)
        .expect_all(&["does not have a target named 'nopass'", "profiles.yml file [ERROR"]);
    shop.write("dbt_project.yml", "name: shop\nprofile: shop\nmodels: 5\n");
    shop.run(&["debug"]).expect_code(1).expect_all(&["dbt_project.yml file [ERROR invalid]", "profiles.yml file [OK"]);
}

#[test]
fn clean_removes_what_segue_made_and_nothing_else() {
    let shop = Sandbox::new(SHOP);
    shop.run(&["run", "-s", "nothing"]).expect_code(0);
    shop.run(&["clean"]).expect_code(0);
    assert!(!shop.path().join("target").exists() && shop.path().join("models/stg_items.sql").exists());
    shop.run(&["clean"]).expect_code(0);
    for bad in ["models", ".", "models/marts"] {
        shop.write("dbt_project.yml", &format!("name: shop\nprofile: shop\nclean-targets: ['{bad}']\n"));
        shop.run(&["clean"]).expect_code(2).expect_all(&["may be removed"]);
        assert!(shop.path().join("models/marts/dear_items.sql").exists(), "{bad}");
    }
}

#[test]
fn incremental_models_take_what_is_new_and_start_over_when_told() {
    let shop = Sandbox::new(
        "-- file: models/inc.sql\n{{ config(materialized='incremental', unique_key='id') }}\nselect {{ var('id') }} as id, {{ var('v') }} as v\n",
    );
    let run = |vars: &str, more: &[&str]| {
        let args: Vec<&str> = ["run", "--vars", vars].into_iter().chain(more.iter().copied()).collect();
        shop.run(&args).expect_code(0);
        shop.rows("select id, v from dev.inc order by id")
    };
    assert_eq!(run("{id: 1, v: 1}", &[]), json!([{"ID": 1, "V": 1}]));
    assert_eq!(run("{id: 2, v: 1}", &[]), json!([{"ID": 1, "V": 1}, {"ID": 2, "V": 1}]));
    assert_eq!(run("{id: 1, v: 5}", &[]), json!([{"ID": 1, "V": 5}, {"ID": 2, "V": 1}]));
    assert_eq!(run("{id: 3, v: 0}", &["--full-refresh"]), json!([{"ID": 3, "V": 0}]));
}

#[test]
fn fail_fast_starts_nothing_more() {
    let shop = Sandbox::new("-- file: models/a.sql\nselect nope\n");
    for i in 0..6 {
        shop.write(&format!("models/b{i}.sql"), &format!("select {i} as i"));
    }
    shop.run(&["run", "-x", "--threads", "1", "-s", "a", "b0", "b1", "b2", "b3", "b4", "b5"]).expect_code(1);
    let results = shop.results();
    assert_eq!(results.len(), 7);
    assert!(results.iter().any(|(n, s)| n == "a" && s == "error") && results.iter().any(|(_, s)| s == "skipped"), "{results:?}");
    shop.run(&["run", "--threads", "1"]).expect_code(1);
    assert_eq!(shop.results().iter().filter(|(_, s)| s == "success").count(), 6);
}

#[test]
fn warnings_become_errors_when_asked_to() {
    let shop =
        Sandbox::new("-- file: models/a.sql\nselect 1 as a\n-- file: models/schema.yml\nmodels:\n  - name: a\n    descripton: typo\n");
    shop.run(&["run"]).expect_code(0).expect_all(&["project/unknown-key", "did you mean `description`?"]);
    shop.run(&["run", "--warn-error"]).expect_code(2).expect_all(&["error[project/unknown-key]", "--warn-error"]);
}

#[test]
fn simulations_write_files_and_streams() {
    let sandbox = Sandbox::empty();
    let args = ["simulate", "eventsim", "--users", "40", "--days", "2", "--seed", "7", "--out"];
    let with = |out: &str| -> Vec<String> { args.iter().map(|a| (*a).to_owned()).chain([out.to_owned()]).collect() };
    let run = |out: &str| sandbox.run(&with(out).iter().map(String::as_str).collect::<Vec<_>>()).expect_code(0);
    run("made/events.jsonl").expect_all(&["events of", "per second"]);
    let events = sandbox.read("made/events.jsonl");
    assert!(events.lines().count() > 100 && events.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()));
    assert_eq!(run("-").out, events, "the same seed gives the same bytes");

    sandbox.run(&["simulate", "charts", "--out", "charts", "--days", "1", "--end", "2025-02-27"]).expect_code(0);
    assert!(sandbox.path().join("charts/melon/2025-02-27.json").is_file());
    sandbox.run(&["simulate", "charts", "--out", "charts", "--days", "0"]).expect_code(2).expect_all(&["simulate/options"]);
    sandbox.write("bad.json", "{\"alpha\": -1}");
    sandbox.run(&["simulate", "eventsim", "--config", "bad.json"]).expect_code(2).expect_all(&["bad.json:1:"]);
}
