//! The command line as a user waits for it, beside plain DataFusion (and dbt, DuckDB, Spark where they are installed), in one run:
//!
//! `cargo bench --bench builds -- [parse | noop | small | tpch | events | all] [size]`
//!
//! | what | measured | size (default) |
//! |---|---|---|
//! | `parse` | `segue ls` and `segue parse`, cold and warm, of projects with two tests per model | models (100, 1,000, 10,000) |
//! | `noop` | `segue build` of models that are all fresh, `segue run` | models (1,000) |
//! | `small` | `segue run` of models of a few rows, beside the same SQL and a Parquet file each in plain DataFusion | models (1,000) |
//! | `tpch` | a DAG over tables like TPC-H's, beside the same SQL in plain DataFusion | scale factor (0.1) |
//! | `events` | listening events to sessions, days and charts, the same way | events (1,000,000) |
//!
//! Inputs are generated. Times are the best of three, taken in turns, so that a busy machine slows both sides; what counts
//! is the ratio. Memory is the greatest resident size of the process.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use datafusion::{
    common::TableReference,
    dataframe::DataFrameWriteOptions,
    prelude::{ParquetReadOptions, SessionConfig, SessionContext},
};

type Any<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 3;

fn main() -> Any<()> {
    let mut words = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let what = words.next().unwrap_or_else(|| "all".into());
    let size: Option<f64> = words.next().map(|s| s.parse()).transpose()?;
    let is = |name: &str| what == name || what == "all";
    let models = |default: usize| size.map_or(default, |s| s as usize);
    if is("parse") {
        let sizes = size.map_or(vec![100, 1_000, 10_000], |s| vec![s as usize]);
        sizes.into_iter().try_for_each(parse)?;
    }
    if is("noop") {
        noop(models(1_000))?;
    }
    if is("small") {
        small(models(1_000))?;
    }
    if is("tpch") {
        compare(&tpch(size.unwrap_or(0.1)))?;
    }
    if is("events") {
        compare(&events(size.unwrap_or(1e6) as u64))?;
    }
    Ok(())
}

/// How long a process took, and the most memory that it had.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    megabytes: f64,
}

impl Cost {
    fn least(self, other: Self) -> Self {
        if other.seconds < self.seconds { Self { megabytes: self.megabytes.max(other.megabytes), ..other } } else { self }
    }

    const MAX: Self = Self { seconds: f64::MAX, megabytes: 0.0 };
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>8.3} s {:>6.0} MB", self.seconds, self.megabytes)
    }
}

fn timed(command: &mut Command) -> Any<Cost> {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut kilobytes: f64 = 0.0;
    let code = loop {
        if let Some(code) = child.try_wait()? {
            break code;
        }
        // the high-water mark of the kernel: a look now and then misses only what the last moment added
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        kilobytes = kilobytes.max(mark.unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(2));
    };
    let cost = Cost { seconds: begun.elapsed().as_secs_f64(), megabytes: kilobytes / 1024.0 };
    if !code.success() {
        let mut text = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut text)?;
        }
        return Err(format!("{command:?} failed: {text}").into());
    }
    Ok(cost)
}

fn segue(folder: &Path, args: &[&str]) -> Any<Cost> {
    timed(Command::new(env!("CARGO_BIN_EXE_segue")).args(args).current_dir(folder))
}

/// A tool that may be there, with the answer to `--version`.
fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

const PROFILES: &str = "bench:\n  target: local\n  outputs:\n    local: {type: datafusion, path: warehouse, database: D, schema: S, threads: 4}\n    duck: {type: duckdb, path: bench.duckdb, schema: s, threads: 4}\n";

fn project(folder: &Path, materialized: &str) -> Any<()> {
    fs::create_dir_all(folder.join("macros"))?;
    fs::write(
        folder.join("dbt_project.yml"),
        format!("name: bench\nversion: '1'\nprofile: bench\nmodels:\n  bench:\n    +materialized: {materialized}\n"),
    )?;
    fs::write(folder.join("profiles.yml"), PROFILES)?;
    fs::write(folder.join("macros/cents.sql"), "{% macro cents(column) %}({{ column }} / 100){% endmacro %}\n")?;
    Ok(())
}

/// Layers of a hundred models, each reading two of the layer before; one YAML file per folder, two tests and a macro call each.
fn layers(folder: &Path, models: usize, tests: bool) -> Any<()> {
    project(folder, "table")?;
    for layer in 0..models.div_ceil(100) {
        let inner = folder.join(format!("models/l{layer}"));
        fs::create_dir_all(&inner)?;
        let mut yaml = "models:\n".to_owned();
        for n in (layer * 100)..((layer + 1) * 100).min(models) {
            fs::write(inner.join(format!("m{n}.sql")), layered(n, &|m| format!("{{{{ ref('m{m}') }}}}"), "{{ cents('300') }}"))?;
            write!(yaml, "- name: m{n}\n  description: Model {n}\n  columns:\n  - name: id\n    description: The key\n")?;
            if tests {
                yaml.push_str("    data_tests: [not_null, unique]\n");
            }
        }
        fs::write(inner.join("schema.yml"), yaml)?;
    }
    Ok(())
}

/// The SQL of the `n`th model.
fn layered(n: usize, named: &dyn Fn(usize) -> String, three: &str) -> String {
    let Some(before) = (n / 100).checked_sub(1) else {
        return format!("select {n} as ID, {three} as AMOUNT\n");
    };
    let parent = |k: usize| named(before * 100 + (n * 7 + k * 13) % 100);
    format!("select A.ID, A.AMOUNT + count(*) as AMOUNT from {} A cross join {} B group by A.ID, A.AMOUNT\n", parent(0), parent(1))
}

fn parse(models: usize) -> Any<()> {
    let folder = tempfile::tempdir()?;
    layers(folder.path(), models, true)?;
    let dbt = installed("dbt");
    let (mut cold, mut warm, mut edited, mut whole, mut theirs) = (Cost::MAX, Cost::MAX, Cost::MAX, Cost::MAX, Cost::MAX);
    for round in 0..ROUNDS {
        cold = cold.least(segue(folder.path(), &["ls", "-q", "--no-partial-parse"])?);
        segue(folder.path(), &["ls", "-q"])?;
        warm = warm.least(segue(folder.path(), &["ls", "-q"])?);
        fs::write(folder.path().join("models/l0/m0.sql"), format!("select {round} as ID, 1 as AMOUNT"))?;
        edited = edited.least(segue(folder.path(), &["ls", "-q"])?);
        whole = whole.least(segue(folder.path(), &["parse", "-q", "--no-partial-parse"])?);
        if dbt {
            let mut command = Command::new("dbt");
            command.args(["-q", "parse", "--no-partial-parse", "--target", "duck", "--profiles-dir", "."]);
            theirs = theirs.least(timed(command.current_dir(folder.path()))?);
        }
    }
    println!("parse {models:>6}: cold        {cold}");
    println!("parse {models:>6}: warm        {warm}   {:.2} of cold", warm.seconds / cold.seconds);
    println!("parse {models:>6}: one edited  {edited}   {:.2} of cold", edited.seconds / cold.seconds);
    println!("parse {models:>6}: + manifest  {whole}   {:.2} of cold", whole.seconds / cold.seconds);
    if dbt {
        println!("parse {models:>6}: dbt         {theirs}   {:.1} times as long", theirs.seconds / whole.seconds);
    }
    Ok(())
}

fn noop(models: usize) -> Any<()> {
    for (verb, tests) in [("run", false), ("build", true)] {
        let folder = tempfile::tempdir()?;
        layers(folder.path(), models, tests)?;
        let first = segue(folder.path(), &[verb, "-q"])?;
        segue(folder.path(), &[verb, "-q"])?;
        let mut again = Cost::MAX;
        for _ in 0..ROUNDS {
            again = again.least(segue(folder.path(), &[verb, "-q"])?);
        }
        let what = if tests { format!("{models} models, {} tests", models * 2) } else { format!("{models} models") };
        println!("no-op {verb:<6} {what}: {again}   {:.3} of the first", again.seconds / first.seconds);
    }
    Ok(())
}

fn small(models: usize) -> Any<()> {
    let folder = tempfile::tempdir()?;
    layers(folder.path(), models, false)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mut ours, mut plain) = (Cost::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        ours = ours.least(segue(folder.path(), &["run", "-q", "--force"])?);
        let output = tempfile::tempdir()?;
        let begun = Instant::now();
        runtime.block_on(async {
            let context = SessionContext::new_with_config(upper_case());
            for layer in 0..models.div_ceil(100) {
                let mut running = tokio::task::JoinSet::new();
                for n in (layer * 100)..((layer + 1) * 100).min(models) {
                    if running.len() >= 4 {
                        running.join_next().await.transpose().map_err(|e| e.to_string())?.transpose()?;
                    }
                    let path = output.path().join(format!("m{n}.parquet"));
                    let sql = layered(n, &|m| format!("M{m}"), "(300 / 100)");
                    running.spawn(publish(context.clone(), format!("M{n}"), sql, path));
                }
                while let Some(ended) = running.join_next().await {
                    ended.map_err(|e| e.to_string())??;
                }
            }
            Ok::<_, String>(())
        })?;
        plain = plain.min(begun.elapsed().as_secs_f64());
    }
    let over = (ours.seconds - plain) / models as f64 * 1000.0;
    println!("small {models:>6} models: {ours}   plain {plain:>8.3} s   {over:.2} ms more per model");
    Ok(())
}

/// One statement to one Parquet file, readable under a name from then on.
async fn publish(context: SessionContext, name: String, sql: String, path: PathBuf) -> Result<(), String> {
    let fail = |e: datafusion::error::DataFusionError| format!("{sql}: {e}");
    let path = path.display().to_string();
    let frame = context.sql(&sql).await.map_err(fail)?;
    frame.write_parquet(&path, DataFrameWriteOptions::new().with_single_file_output(true), Some(zstd())).await.map_err(fail)?;
    let frame = context.read_parquet(path, ParquetReadOptions::default()).await.map_err(fail)?;
    context.register_table(TableReference::bare(&*name), frame.into_view()).map_err(fail)?;
    Ok(())
}

fn zstd() -> datafusion::config::TableParquetOptions {
    let mut options = datafusion::config::TableParquetOptions::default();
    options.global.compression = Some("zstd(1)".into());
    options
}

/// Names are taken as they are written, so that one text means the same on both sides.
fn upper_case() -> SessionConfig {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.enable_ident_normalization = false;
    config
}

/// Tables, and what is made of them; both in the order in which they are made.
struct Case {
    name: String,
    tables: Vec<(&'static str, String)>,
    models: Vec<(&'static str, &'static str)>,
}

/// Shapes and shares of TPC-H's tables, values by arithmetic: the same on every machine.
fn tpch(scale: f64) -> Case {
    let rows = |n: f64| (n * scale) as u64;
    let (customers, orders, items) = (rows(150_000.0).max(10), rows(1_500_000.0).max(100), rows(6_000_000.0).max(400));
    let made = |columns: &str, rows: u64| format!("select {columns} from (select seq4() as n from table(generator(rowcount => {rows})))");
    let tables = vec![
        ("CUSTOMER", made("n as CUSTKEY, 'c' || n as NAME, n % 25 as NATIONKEY, 's' || (n % 5) as SEGMENT", customers)),
        (
            "ORDERS",
            made(
                &format!(
                    "n as ORDERKEY, (n * 7919) % {customers} as CUSTKEY, dateadd(day, n % 2406, '1992-01-01'::date) as ORDERDATE, 'p' || (n % 5) as PRIORITY"
                ),
                orders,
            ),
        ),
        (
            "LINEITEM",
            made(
                &format!(
                    "(n * 31) % {orders} as ORDERKEY, n % 200003 as PARTKEY, n % 10007 as SUPPKEY, 1 + n % 50 as QUANTITY, 900 + (n * 37) % 104050 as PRICE, n % 11 as DISCOUNT, n % 9 as TAX, case n % 4 when 0 then 'A' when 1 then 'R' else 'N' end as FLAG, dateadd(day, (n * 13) % 2526, '1992-01-02'::date) as SHIPDATE"
                ),
                items,
            ),
        ),
    ];
    let models = vec![
        (
            "PRICING",
            "select FLAG, count(*) as N, sum(QUANTITY) as QUANTITY, sum(PRICE) as PRICE, sum(PRICE * (100 - DISCOUNT)) as CHARGED from LINEITEM where SHIPDATE <= '1998-09-02' group by FLAG order by FLAG",
        ),
        (
            "ENRICHED",
            "select L.ORDERKEY, O.CUSTKEY, O.ORDERDATE, L.PARTKEY, L.SUPPKEY, L.PRICE * (100 - L.DISCOUNT) as REVENUE, L.SHIPDATE from LINEITEM L join ORDERS O on O.ORDERKEY = L.ORDERKEY",
        ),
        (
            "SHIPPING",
            "select E.ORDERKEY, E.ORDERDATE, sum(E.REVENUE) as REVENUE from ENRICHED E join CUSTOMER C on C.CUSTKEY = E.CUSTKEY where C.SEGMENT = 's1' and E.ORDERDATE < '1995-03-15' and E.SHIPDATE > '1995-03-15' group by E.ORDERKEY, E.ORDERDATE",
        ),
        (
            "NATIONS",
            "select C.NATIONKEY, date_trunc('month', E.ORDERDATE) as MONTH, sum(E.REVENUE) as REVENUE, count(distinct E.SUPPKEY) as SUPPLIERS from ENRICHED E join CUSTOMER C on C.CUSTKEY = E.CUSTKEY group by C.NATIONKEY, date_trunc('month', E.ORDERDATE)",
        ),
        (
            "LATEST",
            "select CUSTKEY, ORDERKEY, ORDERDATE from (select CUSTKEY, ORDERKEY, ORDERDATE, row_number() over (partition by CUSTKEY order by ORDERDATE desc, ORDERKEY) as R from ORDERS) T where R <= 3",
        ),
    ];
    Case { name: format!("tpch {scale}"), tables, models }
}

fn events(count: u64) -> Case {
    let tables = vec![(
        "EVENTS",
        format!(
            "select n as ID, (n * 7919) % {users} as USER_ID, (n * 31) % 20011 as SONG_ID, 's' || (n % 97) as ARTIST, dateadd(second, (n * 11) % 2592000, '2025-01-01'::timestamp) as PLAYED_AT, 30 + n % 400 as SECONDS from (select seq4() as n from table(generator(rowcount => {count})))",
            users = (count / 100).max(10)
        ),
    )];
    let models = vec![
        (
            "SESSIONS",
            "select USER_ID, ID, PLAYED_AT, SECONDS, lag(PLAYED_AT) over (partition by USER_ID order by PLAYED_AT, ID) as BEFORE from EVENTS",
        ),
        (
            "DAYS",
            "select USER_ID, date_trunc('day', PLAYED_AT) as DAY, count(*) as PLAYS, sum(SECONDS) as SECONDS from SESSIONS group by USER_ID, date_trunc('day', PLAYED_AT)",
        ),
        (
            "CHARTS",
            "select DAY, ARTIST, PLAYS, PLACE from (select DAY, ARTIST, PLAYS, row_number() over (partition by DAY order by PLAYS desc, ARTIST) as PLACE from (select date_trunc('day', PLAYED_AT) as DAY, ARTIST, count(*) as PLAYS from EVENTS group by date_trunc('day', PLAYED_AT), ARTIST) A) B where PLACE <= 10",
        ),
        ("LISTENERS", "select ARTIST, count(distinct USER_ID) as LISTENERS, count(*) as PLAYS from EVENTS group by ARTIST"),
    ];
    Case { name: format!("events {count}"), tables, models }
}

fn compare(case: &Case) -> Any<()> {
    let folder = tempfile::tempdir()?;
    let models = folder.path().join("models");
    project(folder.path(), "table")?;
    fs::create_dir_all(&models)?;
    let names: Vec<&str> = case.tables.iter().map(|(n, _)| *n).chain(case.models.iter().map(|(n, _)| *n)).collect();
    for (name, sql) in &case.tables {
        fs::write(models.join(format!("{}.sql", name.to_lowercase())), format!("{{{{ config(tags=['input']) }}}}\n{sql}\n"))?;
    }
    for (name, sql) in &case.models {
        // words that are tables become references
        let text: Vec<String> = sql
            .split(' ')
            .map(|w| if names.contains(&w) { format!("{{{{ ref('{}') }}}}", w.to_lowercase()) } else { w.to_owned() })
            .collect();
        fs::write(
            models.join(format!("{}.sql", name.to_lowercase())),
            format!("{{{{ config(tags=['measured']) }}}}\n{}\n", text.join(" ")),
        )?;
    }
    let made = segue(folder.path(), &["run", "-q", "--select", "tag:input"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let duck = installed("duckdb");
    let (mut ours, mut plain, mut ducks) = (Cost::MAX, f64::MAX, Cost::MAX);
    for _ in 0..ROUNDS {
        ours = ours.least(segue(folder.path(), &["run", "-q", "--force", "--select", "tag:measured"])?);
        let output = tempfile::tempdir()?;
        let begun = Instant::now();
        runtime.block_on(async {
            let context = SessionContext::new_with_config(upper_case());
            for (name, _) in &case.tables {
                let files = data_files(folder.path(), name)?;
                let frame = context.read_parquet(files, ParquetReadOptions::default()).await?;
                context.register_table(TableReference::bare(*name), frame.into_view())?;
            }
            for (name, sql) in &case.models {
                publish(context.clone(), (*name).to_owned(), (*sql).to_owned(), output.path().join(format!("{name}.parquet"))).await?;
            }
            Ok::<_, Box<dyn Error>>(())
        })?;
        plain = plain.min(begun.elapsed().as_secs_f64());
        if duck {
            let mut script = String::new();
            for (name, _) in &case.tables {
                write!(script, "create view {name} as select * from read_parquet({:?});", data_files(folder.path(), name)?)?;
            }
            for (name, sql) in &case.models {
                write!(script, "create table {name} as {sql};")?;
            }
            ducks = ducks.least(timed(Command::new("duckdb").arg(output.path().join("bench.duckdb")).arg("-c").arg(script))?);
        }
    }
    println!("{:<16} inputs made in {:.1} s", case.name, made.seconds);
    println!("{:<16} {ours}   plain {plain:>8.3} s   ratio {:.3}", case.name, ours.seconds / plain);
    if duck {
        println!("{:<16} duckdb {ducks}   {:.2} of segue", case.name, ducks.seconds / ours.seconds);
    }
    Ok(())
}

fn data_files(project: &Path, table: &str) -> Any<Vec<String>> {
    let folder = project.join("warehouse/D/S").join(table);
    let mut files = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "parquet") {
            files.push(path.display().to_string());
        }
    }
    files.sort();
    Ok(files)
}
