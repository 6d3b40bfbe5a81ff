//! Queries of the local engine beside the same queries in plain DataFusion over the same Parquet files, in one run:
//! `cargo bench --bench queries -- [rows]` prints, of each, the best of five wall times and their ratio.
//!
//! The budget on the design page: a ratio of at most 1.05 for a big model, 1.1 for a query. A semi-structured query
//! has no plain counterpart: it is set beside the same aggregation over a column that was extracted before.

use std::{error::Error, path::Path, time::Instant};

use datafusion::{
    arrow::record_batch::RecordBatch,
    prelude::{ParquetReadOptions, SessionConfig, SessionContext},
};
use segue::engine::{
    Engine,
    datafusion::{LocalEngine, LocalOptions},
};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;

/// What is measured: a name, the query of the engine, the same in plain DataFusion.
const QUERIES: [(&str, &str, &str); 4] = [
    (
        "scan, filter, aggregate",
        "select grp, count(*) as n, sum(val) as s, max(price) as m from bench.facts where val % 10 < 5 group by grp order by grp",
        r#"select "GRP", count(*) as n, sum("VAL") as s, max("PRICE") as m from facts where "VAL" % 10 < 5 group by "GRP" order by "GRP""#,
    ),
    (
        "join",
        "select d.name, sum(f.val) as s from bench.facts f join bench.dims d on d.id = f.dim group by d.name order by d.name",
        r#"select d."NAME", sum(f."VAL") as s from facts f join dims d on d."ID" = f."DIM" group by d."NAME" order by d."NAME""#,
    ),
    (
        "window",
        "select count(*) as n from (select id from bench.facts qualify row_number() over (partition by dim order by val desc, id) <= 3)",
        r#"select count(*) as n from (select "ID", row_number() over (partition by "DIM" order by "VAL" desc, "ID") as r from facts) where r <= 3"#,
    ),
    (
        "semi-structured",
        "select payload:artist.name::varchar as a, sum(payload:plays::integer) as s from bench.facts group by 1 order by 1",
        r#"select "GRP", sum("VAL") as s from facts group by "GRP" order by "GRP""#,
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    let rows: u64 = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(10_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(rows))
}

async fn run(rows: u64) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let options = LocalOptions { path: "warehouse".into(), database: "B".into(), schema: "BENCH".into(), memory_limit: None, user: None };
    let engine = LocalEngine::open(folder.path(), &options)?;
    let mut session = engine.session();
    let made = Instant::now();
    let facts = format!(
        "create table bench.facts as select id, id % 1000 as dim, 'g' || (id % 97)::varchar as grp, (id * 7919) % 100003 as val,
         ((id % 10007) / 100)::number(12, 2) as price,
         parse_json('{{\"artist\": {{\"name\": \"a' || (id % 97)::varchar || '\"}}, \"plays\": ' || (id % 13)::varchar || ', \"tags\": [1, 2]}}') as payload
         from (select seq4() as id from table(generator(rowcount => {rows})))"
    );
    session.execute("create schema if not exists bench").await?;
    session.execute(&facts).await?;
    session
        .execute(
            "create table bench.dims as select seq4() as id, 'd' || (seq4() % 50)::varchar as name from table(generator(rowcount => 1000))",
        )
        .await?;
    println!("{rows} rows made in {:.1} s", made.elapsed().as_secs_f64());

    let plain = SessionContext::new_with_config(SessionConfig::new().with_batch_size(8192));
    for table in ["facts", "dims"] {
        let path = engine.root().join("B/BENCH").join(table.to_uppercase());
        let files = data_files(&path)?;
        plain.register_table(table, plain.read_parquet(files, ParquetReadOptions::default()).await?.into_view())?;
    }
    for (name, ours, theirs) in QUERIES {
        let (mut best, mut best_plain) = (f64::MAX, f64::MAX);
        // in turns, so that a busy machine slows both
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let outcome = session.execute(ours).await?;
            best = best.min(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            let answer = plain.sql(theirs).await?.collect().await?;
            best_plain = best_plain.min(begun.elapsed().as_secs_f64());
            let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            assert_eq!(count(&outcome.batches), count(&answer), "{name}: both give the same number of rows");
        }
        println!("{name:<24} {best:>8.3} s   plain {best_plain:>8.3} s   ratio {:>6.3}", best / best_plain);
    }
    Ok(())
}

fn data_files(table: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = vec![];
    for entry in std::fs::read_dir(table)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "parquet") {
            files.push(path.display().to_string());
        }
    }
    files.sort();
    Ok(files)
}
