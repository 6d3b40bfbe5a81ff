//! Arithmetic against Snowflake's documented rules ("Arithmetic operators", "Scale and precision in arithmetic
//! operations"), over random operands; every type written to a table and read back.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tests::{engine, script, shown};
use crate::{
    dialect::types::Type,
    engine::{Engine, value},
};

#[derive(Clone, Copy, Debug)]
struct Operand {
    precision: i32,
    scale: i32,
    /// Without its decimal point.
    digits: i128,
}

impl Operand {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let precision = rng.random_range(1..=13);
        let scale = rng.random_range(0..=precision.min(9));
        let bound = 10_i128.pow(precision as u32);
        Self { precision, scale, digits: rng.random_range(1 - bound..bound) }
    }

    fn leading(self) -> i32 {
        self.precision - self.scale
    }

    fn sql(self) -> String {
        format!("'{}'::number({},{})", decimal(self.digits, self.scale), self.precision, self.scale)
    }
}

fn decimal(digits: i128, scale: i32) -> String {
    if scale == 0 {
        return digits.to_string();
    }
    let sign = if digits < 0 { "-" } else { "" };
    let text = format!("{:0width$}", digits.abs(), width = scale as usize + 1);
    let (whole, fraction) = text.split_at(text.len() - scale as usize);
    format!("{sign}{whole}.{fraction}")
}

/// Half away from zero.
fn divided(a: i128, b: i128) -> i128 {
    let quotient = a / b;
    if (a % b).abs() * 2 >= b.abs() { quotient + a.signum() * b.signum() } else { quotient }
}

fn at_scale(digits: i128, from: i32, to: i32) -> i128 {
    if to >= from { digits * 10_i128.pow((to - from) as u32) } else { divided(digits, 10_i128.pow((from - to) as u32)) }
}

/// Precision, scale and digits of the documented result.
fn documented(a: Operand, op: char, b: Operand) -> (i32, i32, i128) {
    let (leading, scale, digits) = match op {
        '+' | '-' => {
            let scale = a.scale.max(b.scale);
            let (x, y) = (at_scale(a.digits, a.scale, scale), at_scale(b.digits, b.scale, scale));
            (a.leading().max(b.leading()) + 1, scale, if op == '+' { x + y } else { x - y })
        }
        '*' => {
            let scale = (a.scale + b.scale).min(a.scale.max(b.scale).max(12));
            (a.leading() + b.leading(), scale, at_scale(a.digits * b.digits, a.scale + b.scale, scale))
        }
        _ => {
            let scale = a.scale.max((a.scale + 6).min(12));
            let shift = scale + b.scale - a.scale;
            (a.leading() + b.scale, scale, divided(a.digits * 10_i128.pow(shift as u32), b.digits))
        }
    };
    ((leading + scale).min(38), scale, digits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arithmetic_follows_the_documented_rules() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let mut session = engine.session();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..6 {
        let cases: Vec<(Operand, char, Operand)> = (0..100)
            .map(|_| {
                let (a, mut b) = (Operand::random(&mut rng), Operand::random(&mut rng));
                let op = ['+', '-', '*', '/'][rng.random_range(0..4)];
                if b.digits == 0 {
                    b.digits = 1;
                }
                (a, op, b)
            })
            .collect();
        let list: Vec<String> = cases.iter().enumerate().map(|(i, (a, op, b))| format!("{} {op} {} as c{i}", a.sql(), b.sql())).collect();
        // from a table too: constants are folded, columns are not
        session.execute(&format!("create or replace table t as select {}", list.join(", "))).await.expect("computes");
        let outcome = session.execute("select * from t").await.expect("reads");
        for (i, (a, op, b)) in cases.into_iter().enumerate() {
            let (precision, scale, digits) = documented(a, op, b);
            let field = outcome.schema.field(i);
            let text = value::of(outcome.batches[0].column(i), field, 0).text();
            let what = format!("{} {op} {}", a.sql(), b.sql());
            assert_eq!(text.as_deref(), Some(decimal(digits, scale).as_str()), "{what}");
            let Type::Number { precision: found, scale: s } = Type::of(field) else { panic!("{what} is {field}") };
            assert_eq!((i32::from(found), i32::from(s)), (precision, scale), "type of {what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_comes_back_from_tables_and_views() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let mut session = engine.session();
    for (expression, of, text) in [
        ("1234567890123456789012345678901234567::number(37,0)", "NUMBER(37,0)", "1234567890123456789012345678901234567"),
        ("1234567890123456789012::number(22,0)", "NUMBER(22,0)", "1234567890123456789012"),
        ("7::number(5,0)", "NUMBER(5,0)", "7"),
        ("-1.50::number(10,2)", "NUMBER(10,2)", "-1.50"),
        ("0.1::number(38,37)", "NUMBER(38,37)", "0.1000000000000000000000000000000000000"),
        ("1.5::float", "FLOAT", "1.5"),
        ("'NaN'::float", "FLOAT", "NaN"),
        ("'음악 \\\\ ''x'''", "VARCHAR", "음악 \\ 'x'"),
        ("''", "VARCHAR", ""),
        ("true", "BOOLEAN", "true"),
        ("to_binary('00ff', 'HEX')", "BINARY", "00FF"),
        ("'2024-02-29'::date", "DATE", "2024-02-29"),
        ("'0001-01-01'::date", "DATE", "0001-01-01"),
        ("'9999-12-31'::date", "DATE", "9999-12-31"),
        ("'23:59:59.123456'::time", "TIME(9)", "23:59:59"),
        ("'2024-03-10 02:30:00.123456'::timestamp_ntz", "TIMESTAMP_NTZ(9)", "2024-03-10 02:30:00.123"),
        ("'2024-03-10 02:30:00.123 +0900'::timestamp_tz", "TIMESTAMP_TZ(9)", "2024-03-10 02:30:00.123 +0900"),
        ("parse_json('{\"b\": [1, 2.50, null], \"a\": \"x\"}')", "VARIANT", "{\"a\":\"x\",\"b\":[1,2.5,null]}"),
        ("to_variant('2024-01-01'::date)", "VARIANT", "2024-01-01"),
        ("parse_json('null')", "VARIANT", "null"),
        ("array_construct(1, 'a', null)", "ARRAY", "[1,\"a\",undefined]"),
        ("object_construct('k', 1)", "OBJECT", "{\"k\":1}"),
        ("null::date", "DATE", "NULL"),
        ("null::variant", "VARIANT", "NULL"),
    ] {
        let statements = format!(
            "create or replace table t as select {expression} as x; create or replace table u (x {of}); insert into u select x from t;
             create or replace view v as select x from u; select x from v"
        );
        let direct = session.execute(&format!("select {expression} as x")).await.unwrap_or_else(|e| panic!("{expression}: {e:?}"));
        let outcome = script(session.as_mut(), &statements).await.unwrap_or_else(|e| panic!("{expression}: {e:?}"));
        assert_eq!(shown(&outcome), shown(&direct), "{expression}");
        assert_eq!(Type::of(outcome.schema.field(0)), Type::of(direct.schema.field(0)), "{expression}");
        let name = Type::of(outcome.schema.field(0)).to_string();
        assert!(name == of || expression.contains("(38,0)"), "{expression}: {name}");
        if !expression.contains("undefined") && !expression.contains("array_construct") {
            assert_eq!(shown(&outcome).to_lowercase(), text.to_lowercase(), "{expression}");
        }
    }
}
