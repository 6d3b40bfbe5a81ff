//! Date and time arithmetic: DATEADD, DATEDIFF, DATE_PART, DATE_TRUNC and the calendar functions (Snowflake
//! documentation, "Date & time functions").

use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, Timelike, Weekday};
use datafusion::{
    arrow::{
        array::{ArrayRef, Decimal128Array, Int64Array, StringArray},
        datatypes::FieldRef,
    },
    common::{Result, plan_err},
};

use super::{
    cast::{Failure, convert_in},
    date_part::{Part, Weeks, add, difference, extract, truncate},
    json::{integer, varchar},
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
};
use crate::dialect::{
    moment::{self, Stamp, day_name, month_name, out_of_range},
    types::Type,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("dateadd", Arity::Exactly(3), |c| added_type(c, 0, 2), dateadd),
    Function::new("datediff", Arity::Exactly(3), integer, datediff),
    Function::new("date_part", Arity::Exactly(2), integer, date_part),
    Function::new("date_trunc", Arity::Exactly(2), |c| Ok(temporal(c.types[1]).field(c.name)), date_trunc),
    Function::new("last_day", Arity::Between(1, 2), date, last_day),
    Function::new("next_day", Arity::Exactly(2), date, |r| neighbour(r, true)),
    Function::new("previous_day", Arity::Exactly(2), date, |r| neighbour(r, false)),
    Function::new("add_months", Arity::Exactly(2), |c| Ok(temporal(c.types[0]).field(c.name)), add_months),
    Function::new("months_between", Arity::Exactly(2), |c| Ok(MONTHS.field(c.name)), months_between),
    Function::new("dayname", Arity::Exactly(1), varchar, |r| {
        let t = stamps(r, 0)?;
        texts(r, |i| Ok(t[i].map(|t| day_name(t.wall.weekday()).to_owned())))
    }),
    Function::new("monthname", Arity::Exactly(1), varchar, |r| {
        let t = stamps(r, 0)?;
        texts(r, |i| Ok(t[i].map(|t| month_name(t.wall.month()).to_owned())))
    }),
    Function::new("time_slice", Arity::Between(3, 4), |c| Ok(temporal(c.types[0]).field(c.name)), time_slice),
    Function::new("__second_digits", Arity::Exactly(2), |c| Ok(temporal(c.types[0]).field(c.name)), fraction),
];

/// MONTHS_BETWEEN has six digits.
const MONTHS: Type = Type::Number { precision: 38, scale: 6 };

pub(super) fn date(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Date.field(call.name))
}

/// Text and numbers where a moment is wanted are timestamps.
pub(super) fn temporal(of: Type) -> Type {
    if of.is_moment() { of } else { Type::TimestampNtz }
}

/// A DATE stays a DATE unless a part of a day is added.
fn added_type(call: &CallTypes, part: usize, moment: usize) -> Result<FieldRef> {
    let Some(text) = call.text(part) else { return plan_err!("the date part of `{}` is a word or a string", call.name) };
    let part = Part::parse(&text)?;
    let base = temporal(call.types[moment]);
    Ok(if base == Type::Date && part.within_day() { Type::TimestampNtz } else { base }.field(call.name))
}

/// An argument as wall clocks; what is no date or time becomes a timestamp.
pub(super) fn stamps(r: &Rows, index: usize) -> Result<Vec<Option<Stamp>>> {
    let of = r.types[index];
    stamps_as(r, index, temporal(of))
}

pub(super) fn stamps_as(r: &Rows, index: usize, wanted: Type) -> Result<Vec<Option<Stamp>>> {
    let array = convert_in(&r.args[index], r.types[index], wanted, Failure::Error, r.settings)?;
    moment::read(&array, wanted, r.settings.timezone)
}

/// The part that each row names; mostly one for all.
pub(super) struct Parts {
    texts: StringArray,
    one: Option<Part>,
}

impl Parts {
    pub(super) fn of(r: &Rows, index: usize) -> Result<Self> {
        let texts = r.text(index)?;
        let mut names = texts.iter();
        let first = names.next().flatten();
        let one = match first {
            Some(text) if names.all(|n| n == first) => Some(Part::parse(text)?),
            _ => None,
        };
        Ok(Self { texts, one })
    }

    pub(super) fn get(&self, row: usize) -> Result<Option<Part>> {
        use datafusion::arrow::array::Array;
        match self.one {
            Some(part) => Ok(Some(part)),
            None if self.texts.is_null(row) => Ok(None),
            None => Part::parse(self.texts.value(row)).map(Some),
        }
    }
}

fn write(r: &Rows, f: impl Fn(usize) -> Result<Option<Stamp>>) -> Result<ArrayRef> {
    moment::write((0..r.rows).map(f).collect::<Result<Vec<_>>>()?, r.result)
}

fn whole_days<T>(of: Type, part: Part) -> Result<T> {
    fail(format!("{part:?} is not a part of a {of}").to_lowercase().replace("time(9)", "TIME"))
}

fn dateadd(r: &Rows) -> Result<ArrayRef> {
    use datafusion::arrow::array::Array;
    let (parts, n, of) = (Parts::of(r, 0)?, r.integers(1)?, temporal(r.types[2]));
    let t = stamps(r, 2)?;
    let (zone, exact) = (r.settings.timezone, r.settings.days_are_24h);
    write(r, |i| {
        let (Some(t), Some(part)) = (t[i], parts.get(i)?) else { return Ok(None) };
        if n.is_null(i) {
            return Ok(None);
        }
        let n = n.value(i);
        if of == Type::Time && !part.within_day() {
            return whole_days(of, part);
        }
        let of_days = exact && matches!(part, Part::Day | Part::Week);
        Ok(Some(match of {
            // hours are lengths of time, days are days of the calendar
            Type::TimestampLtz if part.within_day() || of_days => Stamp::at(add(t.utc(), part, n)?, zone),
            _ => t.moved(add(t.wall, part, n)?, of, zone),
        }))
    })
}

/// Both arguments on one scale.
fn pair(r: &Rows, a: usize, b: usize) -> Result<(Vec<Option<Stamp>>, Vec<Option<Stamp>>, Type)> {
    let (first, second) = (temporal(r.types[a]), temporal(r.types[b]));
    let textual = |i: usize| !r.types[i].is_moment();
    let wanted = match (first, second) {
        (Type::Time, Type::Time) => Type::Time,
        (Type::Time, _) if textual(b) => Type::Time,
        (_, Type::Time) if textual(a) => Type::Time,
        (Type::Time, _) | (_, Type::Time) => return fail(format!("a {first} and a {second} cannot be compared")),
        (Type::TimestampTz, Type::TimestampTz) => Type::TimestampTz,
        (x, y) if [x, y].iter().any(|t| matches!(t, Type::TimestampLtz | Type::TimestampTz)) => Type::TimestampLtz,
        (Type::Date, Type::Date) => Type::Date,
        _ => Type::TimestampNtz,
    };
    Ok((stamps_as(r, a, wanted)?, stamps_as(r, b, wanted)?, wanted))
}

fn datediff(r: &Rows) -> Result<ArrayRef> {
    let parts = Parts::of(r, 0)?;
    let (from, to, of) = pair(r, 1, 2)?;
    let weeks = Weeks::of(r.settings);
    let values = (0..r.rows).map(|i| {
        let (Some(a), Some(b), Some(part)) = (from[i], to[i], parts.get(i)?) else { return Ok(None) };
        if of == Type::Time && !part.within_day() {
            return whole_days(of, part);
        }
        if part.within_day() { difference(part, a.utc(), b.utc(), weeks) } else { difference(part, a.wall, b.wall, weeks) }.map(Some)
    });
    Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
}

fn date_part(r: &Rows) -> Result<ArrayRef> {
    let (parts, t, of) = (Parts::of(r, 0)?, stamps(r, 1)?, temporal(r.types[1]));
    let weeks = Weeks::of(r.settings);
    let values = (0..r.rows).map(|i| {
        let (Some(t), Some(part)) = (t[i], parts.get(i)?) else { return Ok(None) };
        if of == Type::Time && !part.within_day() {
            return whole_days(of, part);
        }
        extract(part, t.wall, t.offset, weeks).map(Some)
    });
    Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
}

fn date_trunc(r: &Rows) -> Result<ArrayRef> {
    let (parts, t, of) = (Parts::of(r, 0)?, stamps(r, 1)?, temporal(r.types[1]));
    let (weeks, zone) = (Weeks::of(r.settings), r.settings.timezone);
    write(r, |i| {
        let (Some(t), Some(part)) = (t[i], parts.get(i)?) else { return Ok(None) };
        if of == Type::Time && !part.within_day() {
            return whole_days(of, part);
        }
        let wall = truncate(t.wall, part, weeks)?;
        Ok(Some(match of {
            // within the hour, the offset stays: the second 01:30 of a day does not become the first
            Type::TimestampLtz if part.within_day() => Stamp { wall, ..t },
            _ => t.moved(wall, of, zone),
        }))
    })
}

fn map_dates(r: &Rows, f: impl Fn(usize, NaiveDate) -> Result<Option<NaiveDate>>) -> Result<ArrayRef> {
    let t = stamps(r, 0)?;
    write(r, |i| match t[i] {
        Some(t) => Ok(f(i, t.wall.date())?.map(|d| Stamp::plain(d.and_time(chrono::NaiveTime::MIN)))),
        None => Ok(None),
    })
}

fn last_day(r: &Rows) -> Result<ArrayRef> {
    let parts = if r.args.len() > 1 { Some(Parts::of(r, 1)?) } else { None };
    let weeks = Weeks::of(r.settings);
    map_dates(r, |i, d| {
        let part = match &parts {
            None => Part::Month,
            Some(parts) => match parts.get(i)? {
                None => return Ok(None),
                Some(part @ (Part::Year | Part::Quarter | Part::Month | Part::Week)) => part,
                Some(other) => {
                    return fail(format!("{other:?} is not a part that LAST_DAY takes").to_lowercase().replace("last_day", "LAST_DAY"));
                }
            },
        };
        let start = truncate(d.into(), part, weeks)?;
        Ok(add(start, part, 1)?.date().pred_opt())
    })
}

fn neighbour(r: &Rows, forward: bool) -> Result<ArrayRef> {
    let names = r.text(1)?;
    map_dates(r, |i, d| {
        use datafusion::arrow::array::Array;
        if names.is_null(i) {
            return Ok(None);
        }
        let name = names.value(i).trim().to_lowercase();
        let all = [
            ("monday", Weekday::Mon),
            ("tuesday", Weekday::Tue),
            ("wednesday", Weekday::Wed),
            ("thursday", Weekday::Thu),
            ("friday", Weekday::Fri),
            ("saturday", Weekday::Sat),
            ("sunday", Weekday::Sun),
        ];
        // the first two letters decide
        let Some((_, wanted)) = all.iter().find(|(full, _)| name.get(..2).is_some_and(|two| full.starts_with(two))) else {
            return fail(format!("'{}' is not a day of the week", names.value(i)));
        };
        let (have, wanted) = (d.weekday().num_days_from_monday(), wanted.num_days_from_monday());
        let distance = if forward { (wanted + 7 - have) % 7 } else { (have + 7 - wanted) % 7 };
        let distance = Days::new(if distance == 0 { 7 } else { distance.into() });
        if forward { d.checked_add_days(distance) } else { d.checked_sub_days(distance) }.ok_or_else(out_of_range).map(Some)
    })
}

fn is_last_day(d: NaiveDate) -> bool {
    d.succ_opt().is_none_or(|next| next.day() == 1)
}

fn add_months(r: &Rows) -> Result<ArrayRef> {
    use datafusion::arrow::array::Array;
    let (t, n, of) = (stamps(r, 0)?, r.integers(1)?, temporal(r.types[0]));
    if of == Type::Time {
        return whole_days(of, Part::Month);
    }
    let (weeks, zone) = (Weeks::of(r.settings), r.settings.timezone);
    write(r, |i| {
        let Some(t) = t[i].filter(|_| !n.is_null(i)) else { return Ok(None) };
        let mut moved = add(t.wall, Part::Month, n.value(i))?;
        // the last day of a month stays the last day
        if is_last_day(t.wall.date()) {
            let end = add(truncate(moved, Part::Month, weeks)?, Part::Month, 1)?.date() - Days::new(1);
            moved = end.and_time(moved.time());
        }
        Ok(Some(t.moved(moved, of, zone)))
    })
}

fn months_between(r: &Rows) -> Result<ArrayRef> {
    let (a, b, of) = pair(r, 0, 1)?;
    if of == Type::Time {
        return whole_days(of, Part::Month);
    }
    let weeks = Weeks::of(r.settings);
    let values = (0..r.rows).map(|i| {
        let (Some(a), Some(b)) = (a[i], b[i]) else { return Ok(None) };
        let (a, b) = (a.wall, b.wall);
        let whole = difference(Part::Month, b, a, weeks)?;
        if a.day() == b.day() || (is_last_day(a.date()) && is_last_day(b.date())) {
            return Ok(Some(i128::from(whole) * 1_000_000));
        }
        let in_month = |t: NaiveDateTime| f64::from(t.day()) + f64::from(t.num_seconds_from_midnight()) / 86_400.0;
        Ok(Some(((whole as f64 + (in_month(a) - in_month(b)) / 31.0) * 1e6).round() as i128))
    });
    Ok(Arc::new(values.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(38, 6)?))
}

fn time_slice(r: &Rows) -> Result<ArrayRef> {
    use datafusion::arrow::array::Array;
    let (t, lengths, parts, of) = (stamps(r, 0)?, r.integers(1)?, Parts::of(r, 2)?, temporal(r.types[0]));
    let ends = if r.args.len() > 3 { Some(r.text(3)?) } else { None };
    let (weeks, zone) = (Weeks::of(r.settings), r.settings.timezone);
    let origin = NaiveDateTime::default();
    write(r, |i| {
        let (Some(t), Some(part)) = (t[i], parts.get(i)?) else { return Ok(None) };
        let at_end = match ends.as_ref().filter(|e| !e.is_null(i)).map(|e| e.value(i).trim().to_lowercase()).as_deref() {
            None | Some("start") => 0,
            Some("end") => 1,
            Some(other) => return fail(format!("TIME_SLICE takes START or END, not '{other}'")),
        };
        if lengths.is_null(i) {
            return Ok(None);
        }
        let length = lengths.value(i);
        if length <= 0 {
            return fail("the length of TIME_SLICE is positive");
        }
        let fits = match of {
            Type::Date => !part.within_day(),
            Type::Time => part.within_day(),
            _ => true,
        };
        if !fits {
            return whole_days(of, part);
        }
        let slice = difference(part, origin, t.wall, weeks)?.div_euclid(length);
        let steps = (slice + at_end).checked_mul(length).ok_or_else(out_of_range)?;
        let start = add(truncate(origin, part, weeks)?, part, steps)?;
        Ok(Some(t.moved(start, of, zone)))
    })
}

/// The fraction of a second cut to a number of digits, as TIMESTAMP(3) and CURRENT_TIMESTAMP(3) do.
fn fraction(r: &Rows) -> Result<ArrayRef> {
    use datafusion::arrow::array::Array;
    let (t, digits) = (stamps(r, 0)?, r.integers(1)?);
    write(r, |i| {
        let Some(t) = t[i].filter(|_| !digits.is_null(i)) else { return Ok(None) };
        let unit = 10_u32.pow(9 - digits.value(i).clamp(0, 9) as u32);
        let nanos = t.wall.nanosecond() % 1_000_000_000;
        Ok(t.wall.with_nanosecond(nanos - nanos % unit).map(|wall| Stamp { wall, ..t }))
    })
}
