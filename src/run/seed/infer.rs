//! What type the values of a column look like, by dbt's rules for seeds: the first type in the order integer, number,
//! date, timestamp, boolean that takes all values, else text. A column of nulls only is an integer column, as in dbt.
//!
//! Currency signs, group separators and per cent signs, which dbt's reader takes for numbers, are left as text here.

use super::column::{ColumnType, as_boolean, as_date, as_integer, as_number, as_timestamp};

pub(super) fn column<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ColumnType {
    type Check = fn(&str) -> bool;
    let mut open: Vec<(ColumnType, Check)> = vec![
        (ColumnType::Integer, |t| as_integer(t).is_some()),
        // whole numbers that no 64 bits hold
        (ColumnType::Number(38, 0), |t| is_whole(t) && t.trim().trim_start_matches(['+', '-']).len() <= 38),
        (ColumnType::Float, |t| as_number(t).is_some()),
        (ColumnType::Date, |t| as_date(t).is_some()),
        (ColumnType::Timestamp, |t| as_date(t).is_none() && as_timestamp(t).is_some()),
        (ColumnType::Boolean, |t| as_boolean(t).is_some()),
    ];
    for value in values.flatten() {
        open.retain(|(_, takes)| takes(value));
        if open.is_empty() {
            return ColumnType::Text(None);
        }
    }
    open.into_iter().next().map_or(ColumnType::Text(None), |(kind, _)| kind)
}

fn is_whole(text: &str) -> bool {
    let digits = text.trim().trim_start_matches(['+', '-']);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}
