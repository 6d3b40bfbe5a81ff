//! Bad input of every kind: one clear message with its place, the right exit code, no panic, no partial table, and the
//! other branches still build.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
};

use serde_json::json;

use crate::sandbox::Sandbox;

/// A branch that has nothing to do with the fault.
const SIBLING: &str = "-- file: models/sibling.sql\nselect 1 as one\n";

/// A project that cannot be loaded: exit code 2, and nothing is built.
#[track_caller]
fn unloadable(files: &str, texts: &[&str]) {
    let sandbox = Sandbox::new(&format!("{SIBLING}{files}"));
    sandbox.run(&["build"]).expect_code(2).expect_all(&["Encountered an error:"]).expect_all(texts);
    assert!(!sandbox.path().join("warehouse").exists(), "nothing is built of a wrong project");
}

/// A node that fails: exit code 1, its table is not there, its sibling is.
#[track_caller]
fn failing(files: &str, table: &str, texts: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new(&format!("{SIBLING}{files}"));
    sandbox.run(&["build"]).expect_code(1).expect_all(texts);
    assert_eq!(sandbox.rows("select one from dev.sibling"), json!([{"ONE": 1}]));
    let table = sandbox.run(&["sql", &format!("select * from {table}")]);
    assert_eq!(table.code, Some(1), "no partial table: {table:?}");
    sandbox
}

#[test]
fn wrong_yaml() {
    unloadable(
        "-- file: models/s.yml\nmodels:\n  - name: sibling\n    columns: 3\n",
        &["Parsing Error", "`columns` must be a list, not a number", "models/s.yml:3:14", "^"],
    );
    unloadable("-- file: models/s.yml\nmodels:\n  - name: [sibling\n", &["Parsing Error", "models/s.yml:"]);
    unloadable("-- file: models/s.yml\nmodels:\n  - name: a\n    name: b\n", &["stands twice", "models/s.yml:3:5"]);
    // an unknown key is likely a typo, but may be somebody else's
    let sandbox = Sandbox::new(&format!("{SIBLING}-- file: models/s.yml\nmodels:\n  - name: sibling\n    descripton: x\n"));
    sandbox.run(&["build"]).expect_code(0).expect_all(&["warning", "models/s.yml:3:5", "did you mean `description`?"]);
}

#[test]
fn all_faults_of_a_project_are_told_together() {
    unloadable(
        "-- file: models/a.sql\nselect * from {{ ref('b1') }}\n-- file: models/b.sql\nselect {{ nope() }}\n-- file: models/s.yml\nmodels:\n  - name: sibling\n    columns: 3\n",
        &["models/a.sql:1:22", "models/b.sql:1:11", "models/s.yml:3:14", "3 errors"],
    );
}

#[test]
fn wrong_references() {
    unloadable(
        "-- file: models/a.sql\nselect *\nfrom {{ ref('sibbling') }} s\n",
        &["Compilation Error", "no model or seed is named `sibbling`", "models/a.sql:2:13", "sibling"],
    );
    unloadable("-- file: models/a.sql\nselect * from {{ source('x', 'y') }}\n", &["graph/unknown-source", "models/a.sql:1:"]);
    unloadable(
        "-- file: models/a.sql\nselect * from {{ ref('b') }}\n-- file: models/b.sql\nselect * from {{ ref('a') }}\n",
        &["models need each other in a circle", "a -> b -> a", "models/a.sql:1:22", "models/b.sql:1:22"],
    );
}

#[test]
fn wrong_templates() {
    unloadable(
        "-- file: macros/m.sql\n{% macro forever() %}{{ forever() }}{% endmacro %}\n-- file: models/a.sql\nselect {{ forever() }}\n",
        &["deep", "macros/m.sql:1:", "models/a.sql:1:"],
    );
    unloadable("-- file: models/a.sql\n{% if true %}\nselect 1 as a\n", &["template/syntax", "models/a.sql:1:"]);
    unloadable("-- file: models/a.sql\n{% for i in range(100000000000) %}x{% endfor %}\n", &["models/a.sql:1:"]);
    // a variable may be set for one command only, so dbt asks for it when the node is compiled
    failing("-- file: models/a.sql\nselect '{{ var('missing') }}' as a\n", "dev.a", &["`missing`", "models/a.sql:1:12", "--vars"]);
}

#[test]
fn wrong_sql() {
    failing(
        "-- file: models/a.sql\n{{ config(materialized='table') }}\nselect *\nfrom {{ ref('sibling') }} whre one\n",
        "dev.a",
        &["SQL syntax", "models/a.sql:3:"],
    );
    failing(
        "-- file: models/a.sql\n{{ config(materialized='table') }}\nselect nope from {{ ref('sibling') }}\n",
        "dev.a",
        &["there is no column `NOPE`", "models/a.sql:2:8", "there are: `ONE`"],
    );
    failing(
        "-- file: models/a.sql\n{{ config(materialized='table') }}\nselect 1 / (one - 1) as x from {{ ref('sibling') }}\n",
        "dev.a",
        &["division by zero", "models/a.sql"],
    );
    failing(
        "-- file: models/a.sql\n{{ config(materialized='table') }}\nselect cast('x' as integer) as x\n",
        "dev.a",
        &["'x'", "models/a.sql"],
    );
    failing("-- file: models/a.sql\n{{ config(materialized='table') }}\nselect no_such_function(1) as x\n", "dev.a", &["models/a.sql:2:8"]);
}

#[test]
fn wrong_seeds() {
    failing("-- file: seeds/s.csv\na,b\n1,2\n3\n", "dev.s", &["seeds/s.csv:3:1", "a row has"]);
    failing("-- file: seeds/s.csv\na,b\n1,\"open\n", "dev.s", &["never closed", "seeds/s.csv:2:"]);
    failing(
        "-- file: seeds/s.csv\na\nx\n-- file: seeds/s.yml\nseeds:\n  - name: s\n    config: {column_types: {a: integer}}\n",
        "dev.s",
        &["seeds/s.csv:2:1"],
    );
    failing("-- file: seeds/s.csv\n", "dev.s", &["seeds/s.csv"]);
}

/// A chart source with these settings, and a model that reads it.
fn chart(settings: &str) -> String {
    format!(
        "-- file: models/sources.yml\nsources:\n  - name: charts\n    schema: RAW\n    tables:\n      - name: bugs\n        adapter: {{type: chart, provider: bugs, {settings}}}\n-- file: models/a.sql\nselect * from {{{{ source('charts', 'bugs') }}}}\n"
    )
}

#[test]
fn a_truncated_response() {
    let sandbox = failing(
        &format!("{}-- file: recorded/bugs.json\n{{\"list\": [{{\"track_title\": \"x\", \"art\n", chart("replay: recorded")),
        "dev.a",
        &["ERROR", "bugs", "SKIP"],
    );
    let results = sandbox.results();
    assert!(results.contains(&("a".to_owned(), "skipped".to_owned())), "{results:?}");
    // what came is kept, for the day when the parser is mended
    assert_eq!(sandbox.rows("select count(*) as n from shop.raw.bugs__raw"), json!([{"N": 1}]));
}

/// Answers every request with these bytes, or never.
fn server(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let mut held = vec![];
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            match answer {
                Some(answer) => {
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = stream.write_all(answer.as_bytes());
                }
                None => held.push(stream),
            }
        }
    });
    address
}

#[test]
fn a_service_that_fails() {
    let quick = "retries: 1, backoff_s: 0.05, timeout_s: 1, connect_timeout_s: 1, read_timeout_s: 1";
    let cases = [
        (Some("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops"), &["500"][..]),
        (Some("HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), &["429"]),
        (Some("HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{\"list\""), &["broke off"]),
        (None, &["in time"]),
    ];
    // at once: retries wait
    std::thread::scope(|scope| {
        for (answer, texts) in cases {
            scope.spawn(move || {
                let address = server(answer);
                failing(&chart(&format!("base_url: '{address}', {quick}")), "dev.a", &[texts, &["bugs", "SKIP"]].concat());
            });
        }
    });
}

#[test]
fn a_warehouse_that_cannot_be_used() {
    // a file stands where the folder should be: what root and an ordinary user alike cannot write into
    let sandbox = Sandbox::new(&format!("{SIBLING}-- file: models/t.sql\n{{{{ config(materialized='table') }}}}\nselect 1 as a\n"));
    sandbox.write("warehouse", "not a folder");
    let ran = sandbox.run(&["build"]);
    assert!(matches!(ran.code, Some(1 | 2)) && !ran.err.contains("panicked"), "{ran:?}");
    assert!(ran.out.contains("warehouse") || ran.err.contains("warehouse"), "{ran:?}");
    assert_eq!(sandbox.read("warehouse"), "not a folder");
}

#[test]
fn a_warehouse_of_a_newer_version() {
    let sandbox = Sandbox::new(
        "-- file: models/t.sql\n{{ config(materialized='table') }}\nselect 1 as a\n-- file: models/u.sql\nselect * from {{ ref('t') }}\n",
    );
    sandbox.run(&["build"]).expect_code(0);
    let log = sandbox.project_files().into_iter().find(|p| p.ends_with("_delta_log/00000000000000000000.json")).expect("a log");
    let log: PathBuf = sandbox.path().join(log);
    let text = std::fs::read_to_string(&log).expect("text");
    let newer = regex::Regex::new(r#""min(Reader|Writer)Version":\d+"#).expect("a pattern").replace_all(&text, "\"min${1}Version\":99");
    assert_ne!(text, newer);
    std::fs::write(&log, newer.as_bytes()).expect("written");
    sandbox.run(&["sql", "select * from dev.t"]).expect_code(1).expect_all(&["newer"]);
    sandbox.run(&["build", "--force", "-s", "u"]).expect_code(1).expect_all(&["newer"]);

    // the warehouse as a whole has a version of its own
    let mark = sandbox.path().join("warehouse/segue.json");
    std::fs::write(&mark, "{\"format\": 99}").expect("written");
    sandbox.run(&["build"]).expect_code(2).expect_all(&["engine/newer-warehouse", "format 99", "profiles.yml"]);
    assert_eq!(std::fs::read_to_string(&mark).expect("there"), "{\"format\": 99}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let sandbox = Sandbox::empty();
    let ran = sandbox.run(&["simulate", "eventsim", "--users", "20", "--days", "1", "--out", "/dev/full"]);
    ran.expect_code(1).expect_all(&["simulate/io", "free some space"]);
}
