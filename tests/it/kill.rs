//! `kill -9` in a build that takes in a chart and builds tables, an incremental model and a view: what is left is for
//! each table the state before or the state after, and the next build ends where an undisturbed one does.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::sandbox::Sandbox;

const LAST_DAY: &str = "{run_date: 2025-02-10}";
const DAY_BEFORE: &str = "{run_date: 2025-02-09}";

fn project() -> Sandbox {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recordings/charts");
    let sandbox = Sandbox::new(
        "-- file: seeds/services.csv
source,size
melon,100
bugs,100
-- file: models/songs.sql
{{ config(materialized='table') }}
select source, \"DATE\" as day, rank, title, artist from {{ source('charts', 'melon') }}
union all
select source, \"DATE\" as day, rank, title, artist from {{ source('charts', 'bugs') }}
-- file: models/days.sql
{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key=['source', 'day']) }}
select source, day, count(*) as songs, count(distinct artist) as artists from {{ ref('songs') }}
{% if is_incremental() %}
where day >= (select max(day) from {{ this }})
{% endif %}
group by source, day
-- file: models/best.sql
{{ config(materialized='incremental', unique_key='title') }}
select title, min(rank) as best from {{ ref('songs') }} group by title
-- file: models/complete.sql
{{ config(materialized='view') }}
select d.source, d.day, d.songs from {{ ref('days') }} d join {{ ref('services') }} s on s.source = d.source
-- file: models/summary.sql
{{ config(materialized='table') }}
select source, count(*) as days, sum(songs) as songs from {{ ref('complete') }} group by source
-- file: models/schema.yml
models:
  - name: days
    columns:
      - name: songs
        data_tests: [not_null]
",
    );
    let table =
        |name: &str| format!("      - {{name: {name}, adapter: {{type: chart, provider: {name}, replay: '{}'}}}}\n", recordings.display());
    sandbox.write(
        "sources.yml",
        &format!("version: 2\nsources:\n  - name: charts\n    schema: RAW\n    tables:\n{}{}", table("melon"), table("bugs")),
    );
    sandbox
}

/// Every table and view; of what is landed all but the moment of its landing.
const QUERIES: [&str; 8] = [
    "select * from dev.services order by 1",
    "select source, \"DATE\", rank, title, artist, last_pos, image from raw.melon order by 2, 3",
    "select source, \"DATE\", rank, title, artist, last_pos, image from raw.bugs order by 2, 3",
    "select * from dev.songs order by source, day, rank",
    "select * from dev.days order by source, day",
    "select * from dev.best order by title",
    "select * from dev.complete order by source, day",
    "select * from dev.summary order by source",
];

/// The answer to each query, `None` where there is no table yet. Any other error is a fault.
fn contents(sandbox: &Sandbox) -> Vec<Option<String>> {
    let ran = sandbox.run(&["sql", "--output", "jsonl", "--keep-going", &QUERIES.join(";\n")]);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
    let lines: Vec<Option<String>> = ran
        .out
        .lines()
        .map(|line| {
            assert!(!line.starts_with("{\"error\"") || line.contains("there is no table or view"), "{line}");
            (!line.starts_with("{\"error\"")).then(|| line.to_owned())
        })
        .collect();
    assert_eq!(lines.len(), QUERIES.len(), "{ran:?}");
    lines
}

fn build(vars: &str) -> [&str; 3] {
    ["build", "--vars", vars]
}

fn start(sandbox: &Sandbox) -> Child {
    let mut command: Command = sandbox.command(&build(LAST_DAY));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// A view has no state of its own: while what it reads changes it may show any mixture of whole versions.
fn is_view(query: &str) -> bool {
    query.contains("dev.complete")
}

#[track_caller]
fn before_or_after(now: &[Option<String>], before: &[Option<String>], after: &[Option<String>], when: &str) {
    for (i, query) in QUERIES.iter().enumerate().filter(|(_, q)| !is_view(q)) {
        assert!(now[i] == before[i] || now[i] == after[i], "{when}: `{query}` gives neither the old nor the new rows: {:?}", now[i]);
    }
}

/// Ten kills; `held` is what each build starts from.
fn kill_and_build_again(held: Option<&str>, seed: u64) {
    let prepared = || {
        let sandbox = project();
        if let Some(vars) = held {
            sandbox.run(&build(vars)).expect_code(0);
        }
        sandbox
    };
    let undisturbed = prepared();
    let before = contents(&undisturbed);
    let begun = Instant::now();
    undisturbed.run(&build(LAST_DAY)).expect_code(0);
    let whole = begun.elapsed();
    let after = contents(&undisturbed);
    assert!(after.iter().all(Option::is_some), "{after:?}");
    assert_ne!(before, after);

    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut disturbed = 0;
    for i in 0..10_u32 {
        let sandbox = prepared();
        // one moment in each tenth of the build. Waiting is the moment itself here, it synchronises nothing: whatever
        // the build has come to by then, the checks below hold.
        let moment: Duration = whole.mul_f64((f64::from(i) + chance.random::<f64>()) / 10.0);
        let mut process = start(&sandbox);
        std::thread::sleep(moment);
        process.kill().expect("it can be killed, or has ended");
        disturbed += u32::from(!process.wait().expect("it ends").success());
        let when = format!("killed after {moment:?} of {whole:?}");
        before_or_after(&contents(&sandbox), &before, &after, &when);
        sandbox.run(&build(LAST_DAY)).expect_code(0);
        assert_eq!(contents(&sandbox), after, "{when}, then built again");
    }
    // a machine that is suddenly quicker may finish some builds in time; not the earliest ones
    assert!(disturbed > 0, "no build was disturbed");
}

#[test]
fn a_first_build_that_is_killed() {
    kill_and_build_again(None, 20_250_210);
}

#[test]
fn a_further_build_that_is_killed() {
    kill_and_build_again(Some(DAY_BEFORE), 20_250_227);
}

#[test]
fn readers_of_a_running_build_see_whole_tables() {
    let sandbox = project();
    sandbox.run(&build(DAY_BEFORE)).expect_code(0);
    let before = contents(&sandbox);
    let mut process = start(&sandbox);
    let mut seen = vec![];
    let status = loop {
        seen.push(contents(&sandbox));
        if let Some(status) = process.try_wait().expect("it can be asked") {
            break status;
        }
    };
    assert!(status.success(), "{status}");
    let after = contents(&sandbox);
    for now in &seen {
        before_or_after(now, &before, &after, "while building");
    }
}
