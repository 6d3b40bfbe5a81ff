//! The function library through the engine: arithmetic by Snowflake's rules, and every registered name.

use super::{LocalEngine, LocalOptions};
use crate::{
    dialect::function,
    engine::{Engine, EngineError, value},
};

fn engine(folder: &tempfile::TempDir) -> LocalEngine {
    let options = LocalOptions { path: "warehouse".into(), database: "db".into(), schema: "s".into(), memory_limit: None, user: None };
    LocalEngine::open(folder.path(), &options).expect("opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arithmetic_has_snowflakes_types_and_values() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    for (expression, of, shown) in [
        ("1::number(10,2) + 2::number(10,2)", "NUMBER(11,2)", "3.00"),
        ("1::number(38,0) + 1", "NUMBER(38,0)", "2"),
        ("1.5::number(10,2) * 2.25::number(10,4)", "NUMBER(20,6)", "3.375000"),
        ("1.123456789::number(20,9) * 1.1::number(10,9)", "NUMBER(24,12)", "1.235802467900"),
        ("1 / 3", "NUMBER(7,6)", "0.333333"),
        ("2 / 3::number(38,0)", "NUMBER(7,6)", "0.666667"),
        ("-2 / 3::number(38,0)", "NUMBER(7,6)", "-0.666667"),
        ("10.127::number(10,3) / 3.1::number(4,2)", "NUMBER(18,9)", "3.266774194"),
        ("7.5 % 2", "NUMBER(2,1)", "1.5"),
        ("9223372036854775807 + 1", "NUMBER(20,0)", "9223372036854775808"),
        ("1::number(18,0) * 1::number(18,0)", "NUMBER(36,0)", "1"),
        ("1.5::float * 2", "FLOAT", "3"),
        ("round(2.567, 1)", "NUMBER(3,1)", "2.6"),
        ("round(2.5, 0, 'HALF_TO_EVEN')", "NUMBER(38,0)", "2"),
        ("factorial(33)", "NUMBER(37,0)", "8683317618811886495518194401280000000"),
        ("'5' + 1", "NUMBER(38,5)", "6.00000"),
        ("null + 1", "NUMBER(38,0)", "NULL"),
    ] {
        let sql = format!("select {expression} as x");
        let outcome = engine.session().execute(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let (field, column) = (outcome.schema.field(0), outcome.batches[0].column(0));
        let text = value::of(column, field, 0).text().unwrap_or_else(|| "NULL".into());
        let name = value::type_name(field);
        // the precision of small integers is not shown
        let name = if of == "NUMBER(38,0)" || name != "NUMBER(38,0)" { name } else { of.to_owned() };
        assert_eq!((name.as_str(), text.as_str()), (of, shown), "{expression}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_and_products_never_wrap() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let from = "from (select 9223372036854775807::int as a union all select 9223372036854775807::int)";
    for at in ["a + a", "a * a", "sum(a)"] {
        let sql = format!("select {at} as x {from}");
        let error = engine.session().execute(&sql).await.expect_err(at);
        let place = error.at.as_ref().map_or("", |r| &sql[r.clone()]);
        assert_eq!(error.code, "sql/overflow", "{error:?}");
        assert!(place.len() > 2 && at.starts_with(place), "`{place}` of `{at}`");
    }
    let error = engine.session().execute("select 1 / (1 - 1)").await.expect_err("by zero");
    assert_eq!(error.code, "sql/division-by-zero");
}

/// A name that is registered runs with one of the documented forms of arguments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_registered_function_runs() {
    const FORMS: &[&str] = &[
        "",
        "a",
        "s",
        "j",
        "o",
        "d",
        "x",
        "h",
        "tk",
        "a, a",
        "s, s",
        "s, a",
        "j, a",
        "j, j",
        "o, s",
        "s, 'en-ci'",
        "s, 'INET'",
        "s, 'ZLIB'",
        "st, 0.5",
        "x, 'SNAPPY'",
        "d, d",
        "'day', d",
        "d, 'monday'",
        "s, s, s",
        "s, a, a",
        "a, a, a",
        "j, a, a",
        "o, s, a",
        "'day', a, d",
        "'day', d, d",
        "d, a, 'day'",
        "a, 0, 10, 5",
        "s, a, a, s",
        "a, a, a, a, a, a",
        "'UTC', d",
        "d, 'YYYY'",
        "2, 10",
    ];
    let from = "from (select 1 as a, 'QQ==' as s, [1,2] as j, {'k': 1} as o, '2024-01-01'::timestamp_ntz as d, \
                hex_decode_binary('00014100000000000000') as x, hll_accumulate(1) as h, approx_percentile_accumulate(1) as st, \
                approx_top_k_accumulate(1, 2) as tk)";
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let mut session = engine.session();
    let mut faults = vec![];
    for name in function::names().filter(|n| !n.starts_with("__")) {
        let over = if name.starts_with("conditional_") { " over (order by a)" } else { "" };
        let mut last = None;
        for form in FORMS {
            match session.execute(&format!("select {name}({form}){over} {from}")).await {
                Ok(_) => {
                    last = None;
                    break;
                }
                // the first form that fits but for its values tells more than the last that does not fit
                Err(e) => last = last.filter(|l: &EngineError| l.code == "sql/value").or(Some(e)),
            }
        }
        // what takes other arguments than these says so by name
        faults.extend(
            last.filter(|e| !matches!(e.code, "sql/value" | "sql/arguments" | "sql/unsupported")).map(|e| format!("{name}: {e:?}")),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
