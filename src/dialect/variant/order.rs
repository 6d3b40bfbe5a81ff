//! Comparison of values: numbers by size whatever their kind, timestamps by instant, objects and arrays by their parts.
//!
//! Values of different kinds are ordered by kind. Snowflake documents no order among them.

use std::cmp::Ordering;

use super::{Kind, kind, scan, tagged};

fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Boolean => 1,
        Kind::Integer | Kind::Decimal | Kind::Double => 2,
        Kind::Date | Kind::TimestampNtz | Kind::TimestampLtz | Kind::TimestampTz => 3,
        Kind::Time => 4,
        Kind::Varchar => 5,
        Kind::Binary => 6,
        Kind::Array => 7,
        Kind::Object => 8,
        Kind::Null => 9,
    }
}

/// Total order. JSON null comes last.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (ka, kb) = (kind(a), kind(b));
    let ranks = rank(ka).cmp(&rank(kb));
    if ranks != Ordering::Equal || a == b {
        return ranks;
    }
    match ka {
        Kind::Integer | Kind::Decimal | Kind::Double => compare_numbers(a, b),
        Kind::Varchar => match (scan::string_of(a), scan::string_of(b)) {
            (Some(x), Some(y)) => x.cmp(&y),
            _ => a.cmp(b),
        },
        Kind::Date | Kind::TimestampNtz | Kind::TimestampLtz | Kind::TimestampTz => instant(a).cmp(&instant(b)).then_with(|| a.cmp(b)),
        Kind::Array => {
            let (mut x, mut y) = (scan::elements(a).into_iter().flatten(), scan::elements(b).into_iter().flatten());
            loop {
                match (x.next(), y.next()) {
                    (None, None) => return Ordering::Equal,
                    (None, Some(_)) => return Ordering::Less,
                    (Some(_), None) => return Ordering::Greater,
                    (Some(x), Some(y)) => match compare(x, y) {
                        Ordering::Equal => {}
                        other => return other,
                    },
                }
            }
        }
        Kind::Object => {
            let (mut x, mut y) = (scan::members(a).into_iter().flatten(), scan::members(b).into_iter().flatten());
            loop {
                match (x.next(), y.next()) {
                    (None, None) => return Ordering::Equal,
                    (None, Some(_)) => return Ordering::Less,
                    (Some(_), None) => return Ordering::Greater,
                    (Some((kx, x)), Some((ky, y))) => match scan::compare_keys(kx, ky).then_with(|| compare(x, y)) {
                        Ordering::Equal => {}
                        other => return other,
                    },
                }
            }
        }
        _ => a.cmp(b),
    }
}

/// Whether two values are equal: `5` and `5e0` are.
pub fn equal(a: &str, b: &str) -> bool {
    a == b || compare(a, b) == Ordering::Equal
}

fn compare_numbers(a: &str, b: &str) -> Ordering {
    if let (Ok(x), Ok(y)) = (a.parse::<i64>(), b.parse::<i64>()) {
        return x.cmp(&y);
    }
    let (x, y) = (float(a), float(b));
    x.total_cmp(&y).then_with(|| exact(a).cmp(&exact(b)))
}

fn float(text: &str) -> f64 {
    let v = match tagged(text) {
        Some((_, "NaN")) => f64::NAN,
        Some((_, content)) => content.parse().unwrap_or(f64::NAN),
        None => text.parse().unwrap_or(f64::NAN),
    };
    // -0.0 is 0
    v + 0.0
}

/// Of numbers that are the same float: whole part, fraction.
fn exact(text: &str) -> (i128, String) {
    let plain =
        if text.contains(['e', 'E']) { text.parse::<f64>().map_or_else(|_| text.to_owned(), |v| format!("{v}")) } else { text.to_owned() };
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    (whole.parse().unwrap_or_default(), fraction.to_owned())
}

/// Seconds and nanoseconds since the epoch; local times count as UTC.
fn instant(text: &str) -> (i64, u32) {
    let Some((_, content)) = tagged(text) else { return (0, 0) };
    if let Ok(t) = chrono::DateTime::parse_from_str(content, "%Y-%m-%d %H:%M:%S%.f %z") {
        return (t.timestamp(), t.timestamp_subsec_nanos());
    }
    if let Ok(t) = chrono::NaiveDateTime::parse_from_str(content, "%Y-%m-%d %H:%M:%S%.f") {
        return (t.and_utc().timestamp(), t.and_utc().timestamp_subsec_nanos());
    }
    let date = chrono::NaiveDate::parse_from_str(content, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0));
    (date.map_or(0, |t| t.and_utc().timestamp()), 0)
}

/// Bytes that compare as the value does, for sorting, grouping and joining by VARIANT.
pub fn key(text: &str) -> Vec<u8> {
    let kind = kind(text);
    let mut out = vec![rank(kind)];
    match kind {
        Kind::Integer | Kind::Decimal | Kind::Double => {
            let bits = float(text).to_bits();
            let sortable = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
            out.extend(sortable.to_be_bytes());
            let (whole, fraction) = exact(text);
            out.extend(((whole as u128) ^ (1 << 127)).to_be_bytes());
            out.extend(fraction.as_bytes());
        }
        Kind::Varchar => out.extend(scan::string_of(text).unwrap_or_default().as_bytes()),
        Kind::Date | Kind::TimestampNtz | Kind::TimestampLtz | Kind::TimestampTz => {
            let (seconds, nanos) = instant(text);
            out.extend(((seconds as u64) ^ (1 << 63)).to_be_bytes());
            out.extend(nanos.to_be_bytes());
        }
        _ => out.extend(text.as_bytes()),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_by_what_they_are() {
        let ordered = [
            "false",
            "true",
            "-1e3",
            "-2",
            "0",
            "1.5",
            "2",
            "10",
            "1e300",
            "\"\"",
            "\"a\"",
            "\"b\"",
            "[1,2]",
            "[1,10]",
            "{\"a\":1}",
            "null",
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
                if !a.starts_with('[') || !b.starts_with('[') {
                    assert_eq!(key(a).cmp(&key(b)), i.cmp(&j), "{a} {b}");
                }
            }
        }
        for (a, b) in [("5", "5e0"), ("0.1", "1e-1"), ("[5]", "[5e0]"), ("{\"a\":2}", "{\"a\":2e0}")] {
            assert!(equal(a, b), "{a} {b}");
        }
        assert_eq!(key("5"), key("5e0"));
        assert_ne!(key("9007199254740993"), key("9007199254740992"));
    }
}
