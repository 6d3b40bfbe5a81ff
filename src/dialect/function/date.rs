//! Date and time arithmetic: DATEADD, DATEDIFF, DATE_TRUNC, parts, constructors (Snowflake documentation, "Date & time
//! functions"). Weeks begin on Monday and week 1 holds the year's first Thursday (WEEK_START = 0, WEEK_OF_YEAR_POLICY = 0).

use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Weekday};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMicrosecondArray},
        compute::cast,
        datatypes::{Date32Type, FieldRef, TimestampMicrosecondType},
    },
    common::{DataFusionError, Result, plan_err},
};

use super::{
    cast::{Failure, convert},
    json::{integer, varchar},
    scalar::{Arity, CallTypes, Function, Rows, fail, texts},
    value::days,
};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("dateadd", Arity::Exactly(3), |c| added_type(c, 0, 2), dateadd),
    Function::new("datediff", Arity::Exactly(3), integer, datediff),
    Function::new("date_part", Arity::Exactly(2), integer, date_part),
    Function::new("date_trunc", Arity::Exactly(2), |c| Ok(temporal(c.types[1]).field(c.name)), date_trunc),
    Function::new("last_day", Arity::Between(1, 2), date, |r| {
        let parts = if r.args.len() > 1 { Some(r.text(1)?) } else { None };
        map_date(r, 0, |i, d| {
            let part = Part::parse(parts.as_ref().map_or("month", |p| p.value(i)))?;
            let start = truncate(d.and_time(NaiveTime::MIN), part)?;
            Ok(add(start, part, 1)?.date() - Days::new(1))
        })
    }),
    Function::new("next_day", Arity::Exactly(2), date, |r| neighbour(r, true)),
    Function::new("previous_day", Arity::Exactly(2), date, |r| neighbour(r, false)),
    Function::new("add_months", Arity::Exactly(2), |c| Ok(temporal(c.types[0]).field(c.name)), add_months),
    Function::new("months_between", Arity::Exactly(2), |c| Ok(Type::Float.field(c.name)), months_between),
    Function::new("dayname", Arity::Exactly(1), varchar, |r| {
        let t = stamps(r, 0)?;
        texts(r, |i| Ok(moment(&t, i)?.map(|t| t.format("%a").to_string())))
    }),
    Function::new("monthname", Arity::Exactly(1), varchar, |r| {
        let t = stamps(r, 0)?;
        texts(r, |i| Ok(moment(&t, i)?.map(|t| t.format("%b").to_string())))
    }),
    Function::new("date_from_parts", Arity::Exactly(3), date, from_parts),
    Function::new("datefromparts", Arity::Exactly(3), date, from_parts),
    Function::new("timestamp_ntz_from_parts", Arity::Between(6, 7), timestamp, timestamp_from_parts),
    Function::new("timestamp_from_parts", Arity::Between(6, 7), timestamp, timestamp_from_parts),
    Function::new("time_slice", Arity::Between(3, 4), |c| Ok(temporal(c.types[0]).field(c.name)), time_slice),
    Function::new("__now", Arity::Exactly(0), timestamp, |r| {
        Ok(Arc::new(TimestampMicrosecondArray::from(vec![chrono::Utc::now().timestamp_micros(); r.rows])))
    })
    .volatile(),
];

fn date(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::Date.field(call.name))
}

fn timestamp(call: &CallTypes) -> Result<FieldRef> {
    Ok(Type::TimestampNtz.field(call.name))
}

/// Text and numbers where a moment is wanted are timestamps.
fn temporal(of: Type) -> Type {
    match of {
        Type::Date | Type::TimestampTz => of,
        _ => Type::TimestampNtz,
    }
}

/// A DATE stays a DATE unless a part of a day is added.
fn added_type(call: &CallTypes, part: usize, moment: usize) -> Result<FieldRef> {
    let Some(text) = call.text(part) else { return plan_err!("the date part of `{}` is a word or a string", call.name) };
    let part = Part::parse(&text)?;
    let base = temporal(call.types[moment]);
    Ok(if base == Type::Date && part.within_day() { Type::TimestampNtz } else { base }.field(call.name))
}

/// A date part with all of its spellings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    Quarter,
    Month,
    Week,
    WeekIso,
    YearOfWeek,
    Day,
    DayOfWeek,
    DayOfWeekIso,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    EpochSecond,
    EpochMillisecond,
    EpochMicrosecond,
    EpochNanosecond,
}

impl Part {
    pub(super) fn parse(text: &str) -> Result<Self> {
        Ok(match text.to_lowercase().trim() {
            "year" | "y" | "yy" | "yyy" | "yyyy" | "yr" | "years" | "yrs" => Self::Year,
            "quarter" | "q" | "qtr" | "qtrs" | "quarters" => Self::Quarter,
            "month" | "mm" | "mon" | "mons" | "months" => Self::Month,
            "week" | "w" | "wk" | "weekofyear" | "woy" | "wy" | "weeks" => Self::Week,
            "weekiso" | "week_iso" | "weekofyeariso" | "weekofyear_iso" => Self::WeekIso,
            "yearofweek" | "yearofweekiso" => Self::YearOfWeek,
            "day" | "d" | "dd" | "days" | "dayofmonth" => Self::Day,
            "dayofweek" | "weekday" | "dow" | "dw" => Self::DayOfWeek,
            "dayofweekiso" | "dayofweek_iso" | "weekday_iso" | "dow_iso" | "dw_iso" => Self::DayOfWeekIso,
            "dayofyear" | "yearday" | "doy" | "dy" => Self::DayOfYear,
            "hour" | "h" | "hh" | "hr" | "hours" | "hrs" => Self::Hour,
            "minute" | "m" | "mi" | "min" | "minutes" | "mins" => Self::Minute,
            "second" | "s" | "sec" | "seconds" | "secs" => Self::Second,
            "millisecond" | "ms" | "msec" | "milliseconds" => Self::Millisecond,
            "microsecond" | "us" | "usec" | "microseconds" => Self::Microsecond,
            "nanosecond" | "ns" | "nsec" | "nanosec" | "nanoseconds" => Self::Nanosecond,
            "epoch_second" | "epoch" | "epoch_seconds" => Self::EpochSecond,
            "epoch_millisecond" | "epoch_milliseconds" => Self::EpochMillisecond,
            "epoch_microsecond" | "epoch_microseconds" => Self::EpochMicrosecond,
            "epoch_nanosecond" | "epoch_nanoseconds" => Self::EpochNanosecond,
            other => return fail(format!("'{other}' is not a date part")),
        })
    }

    fn within_day(self) -> bool {
        matches!(self, Self::Hour | Self::Minute | Self::Second | Self::Millisecond | Self::Microsecond | Self::Nanosecond)
    }
}

/// A moment column as timestamps; text is parsed.
fn stamps(r: &Rows, index: usize) -> Result<TimestampMicrosecondArray> {
    let of = r.types[index];
    let array = match of {
        Type::TimestampNtz => r.args[index].clone(),
        Type::TimestampTz => cast(&r.args[index], &Type::TimestampNtz.arrow())?,
        _ => convert(&r.args[index], of, Type::TimestampNtz, Failure::Error)?,
    };
    let array = cast(&array, &Type::TimestampNtz.arrow())?;
    Ok(array.as_primitive::<TimestampMicrosecondType>().clone())
}

fn moment(stamps: &TimestampMicrosecondArray, row: usize) -> Result<Option<NaiveDateTime>> {
    if stamps.is_null(row) {
        return Ok(None);
    }
    from_micros(stamps.value(row)).map(Some)
}

fn from_micros(micros: i64) -> Result<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros)
        .map(|t| t.naive_utc())
        .ok_or_else(|| DataFusionError::Execution("a timestamp is out of range".into()))
}

/// Timestamps back in the layout of the result.
fn finish(r: &Rows, values: Vec<Option<i64>>) -> Result<ArrayRef> {
    match r.result {
        Type::Date => Ok(Arc::new(values.into_iter().map(|v| v.map(|v| v.div_euclid(86_400_000_000) as i32)).collect::<Date32Array>())),
        Type::TimestampTz => Ok(Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))),
        _ => Ok(Arc::new(TimestampMicrosecondArray::from(values))),
    }
}

fn map_date(r: &Rows, index: usize, f: impl Fn(usize, NaiveDate) -> Result<NaiveDate>) -> Result<ArrayRef> {
    let t = stamps(r, index)?;
    let values = (0..r.rows).map(|i| moment(&t, i)?.map(|t| f(i, t.date())).transpose().map(|d| d.and_then(days)));
    Ok(Arc::new(values.collect::<Result<Date32Array>>()?))
}

fn out_of_range() -> DataFusionError {
    DataFusionError::Execution("a date is out of range".into())
}

pub(super) fn add(t: NaiveDateTime, part: Part, n: i64) -> Result<NaiveDateTime> {
    let months = |n: i64| -> Result<NaiveDateTime> {
        let count = Months::new(u32::try_from(n.unsigned_abs()).map_err(|_| out_of_range())?);
        if n >= 0 { t.checked_add_months(count) } else { t.checked_sub_months(count) }.ok_or_else(out_of_range)
    };
    let delta = |d: Option<TimeDelta>| d.and_then(|d| t.checked_add_signed(d)).ok_or_else(out_of_range);
    match part {
        Part::Year | Part::YearOfWeek => months(n.checked_mul(12).ok_or_else(out_of_range)?),
        Part::Quarter => months(n.checked_mul(3).ok_or_else(out_of_range)?),
        Part::Month => months(n),
        Part::Week | Part::WeekIso => delta(TimeDelta::try_weeks(n)),
        Part::Day | Part::DayOfWeek | Part::DayOfWeekIso | Part::DayOfYear => delta(TimeDelta::try_days(n)),
        Part::Hour => delta(TimeDelta::try_hours(n)),
        Part::Minute => delta(TimeDelta::try_minutes(n)),
        Part::Second | Part::EpochSecond => delta(TimeDelta::try_seconds(n)),
        Part::Millisecond | Part::EpochMillisecond => delta(TimeDelta::try_milliseconds(n)),
        Part::Microsecond | Part::EpochMicrosecond => delta(Some(TimeDelta::microseconds(n))),
        Part::Nanosecond | Part::EpochNanosecond => delta(Some(TimeDelta::nanoseconds(n))),
    }
}

pub(super) fn truncate(t: NaiveDateTime, part: Part) -> Result<NaiveDateTime> {
    let date = t.date();
    let day = |d: Option<NaiveDate>| d.map(|d| d.and_time(NaiveTime::MIN)).ok_or_else(out_of_range);
    match part {
        Part::Year => day(date.with_day(1).and_then(|d| d.with_month(1))),
        Part::Quarter => day(date.with_day(1).and_then(|d| d.with_month((d.month0() / 3) * 3 + 1))),
        Part::Month => day(date.with_day(1)),
        Part::Week | Part::WeekIso => day(Some(date - Days::new(u64::from(date.weekday().num_days_from_monday())))),
        Part::Day | Part::DayOfWeek | Part::DayOfWeekIso | Part::DayOfYear => day(Some(date)),
        Part::YearOfWeek => day(NaiveDate::from_isoywd_opt(date.iso_week().year(), 1, Weekday::Mon)),
        Part::Hour => Ok(date.and_time(NaiveTime::from_hms_opt(t.hour(), 0, 0).ok_or_else(out_of_range)?)),
        Part::Minute => Ok(date.and_time(NaiveTime::from_hms_opt(t.hour(), t.minute(), 0).ok_or_else(out_of_range)?)),
        Part::Second | Part::EpochSecond => t.with_nanosecond(0).ok_or_else(out_of_range),
        Part::Millisecond | Part::EpochMillisecond => t.with_nanosecond(t.nanosecond() / 1_000_000 * 1_000_000).ok_or_else(out_of_range),
        Part::Microsecond | Part::EpochMicrosecond => t.with_nanosecond(t.nanosecond() / 1000 * 1000).ok_or_else(out_of_range),
        Part::Nanosecond | Part::EpochNanosecond => Ok(t),
    }
}

fn dateadd(r: &Rows) -> Result<ArrayRef> {
    let (parts, n, t) = (r.text(0)?, r.integers(1)?, stamps(r, 2)?);
    let mut part = None;
    let values = (0..r.rows).map(|i| {
        if n.is_null(i) || parts.is_null(i) {
            return Ok(None);
        }
        let part = match part {
            Some(p) => p,
            None => *part.insert(Part::parse(parts.value(i))?),
        };
        moment(&t, i)?.map(|t| add(t, part, n.value(i)).map(|t| t.and_utc().timestamp_micros())).transpose()
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    finish(r, values)
}

/// Boundaries crossed, not time elapsed.
fn difference(part: Part, from: NaiveDateTime, to: NaiveDateTime) -> Result<i64> {
    let months = |t: NaiveDateTime| i64::from(t.year()) * 12 + i64::from(t.month0());
    let micros = |t: NaiveDateTime| t.and_utc().timestamp_micros();
    let per = |unit: i64| micros(to).div_euclid(unit) - micros(from).div_euclid(unit);
    Ok(match part {
        Part::Year => i64::from(to.year()) - i64::from(from.year()),
        Part::YearOfWeek => i64::from(to.iso_week().year()) - i64::from(from.iso_week().year()),
        Part::Quarter => months(to).div_euclid(3) - months(from).div_euclid(3),
        Part::Month => months(to) - months(from),
        Part::Week | Part::WeekIso => (truncate(to, Part::Week)? - truncate(from, Part::Week)?).num_days() / 7,
        Part::Day | Part::DayOfWeek | Part::DayOfWeekIso | Part::DayOfYear => per(86_400_000_000),
        Part::Hour => per(3_600_000_000),
        Part::Minute => per(60_000_000),
        Part::Second | Part::EpochSecond => per(1_000_000),
        Part::Millisecond | Part::EpochMillisecond => per(1000),
        Part::Microsecond | Part::EpochMicrosecond => per(1),
        Part::Nanosecond | Part::EpochNanosecond => per(1) * 1000,
    })
}

fn datediff(r: &Rows) -> Result<ArrayRef> {
    let (parts, from, to) = (r.text(0)?, stamps(r, 1)?, stamps(r, 2)?);
    let values = (0..r.rows).map(|i| {
        let (Some(a), Some(b)) = (moment(&from, i)?, moment(&to, i)?) else { return Ok(None) };
        difference(Part::parse(parts.value(i))?, a, b).map(Some)
    });
    Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
}

fn extract(part: Part, t: NaiveDateTime) -> i64 {
    let utc = t.and_utc();
    match part {
        Part::Year => i64::from(t.year()),
        Part::Quarter => i64::from(t.month0() / 3 + 1),
        Part::Month => i64::from(t.month()),
        Part::Week | Part::WeekIso => i64::from(t.iso_week().week()),
        Part::YearOfWeek => i64::from(t.iso_week().year()),
        Part::Day => i64::from(t.day()),
        Part::DayOfWeek => i64::from(t.weekday().num_days_from_sunday()),
        Part::DayOfWeekIso => i64::from(t.weekday().number_from_monday()),
        Part::DayOfYear => i64::from(t.ordinal()),
        Part::Hour => i64::from(t.hour()),
        Part::Minute => i64::from(t.minute()),
        Part::Second => i64::from(t.second()),
        Part::Millisecond => i64::from(t.nanosecond() / 1_000_000),
        Part::Microsecond => i64::from(t.nanosecond() / 1000),
        Part::Nanosecond => i64::from(t.nanosecond()),
        Part::EpochSecond => utc.timestamp(),
        Part::EpochMillisecond => utc.timestamp_millis(),
        Part::EpochMicrosecond => utc.timestamp_micros(),
        Part::EpochNanosecond => utc.timestamp_micros().saturating_mul(1000),
    }
}

fn date_part(r: &Rows) -> Result<ArrayRef> {
    let (parts, t) = (r.text(0)?, stamps(r, 1)?);
    let values = (0..r.rows).map(|i| {
        Ok(match moment(&t, i)? {
            Some(t) => Some(extract(Part::parse(parts.value(i))?, t)),
            None => None,
        })
    });
    Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
}

fn date_trunc(r: &Rows) -> Result<ArrayRef> {
    let (parts, t) = (r.text(0)?, stamps(r, 1)?);
    let values = (0..r.rows)
        .map(|i| moment(&t, i)?.map(|t| truncate(t, Part::parse(parts.value(i))?).map(|t| t.and_utc().timestamp_micros())).transpose())
        .collect::<Result<Vec<_>>>()?;
    finish(r, values)
}

fn neighbour(r: &Rows, forward: bool) -> Result<ArrayRef> {
    let names = r.text(1)?;
    map_date(r, 0, |i, d| {
        let wanted: Weekday = match names.value(i).trim().to_lowercase().get(..2) {
            Some("mo") => Weekday::Mon,
            Some("tu") => Weekday::Tue,
            Some("we") => Weekday::Wed,
            Some("th") => Weekday::Thu,
            Some("fr") => Weekday::Fri,
            Some("sa") => Weekday::Sat,
            Some("su") => Weekday::Sun,
            _ => return fail(format!("'{}' is not a day of the week", names.value(i))),
        };
        let step = |d: NaiveDate| if forward { d.succ_opt() } else { d.pred_opt() };
        let mut day = step(d).ok_or_else(out_of_range)?;
        while day.weekday() != wanted {
            day = step(day).ok_or_else(out_of_range)?;
        }
        Ok(day)
    })
}

fn add_months(r: &Rows) -> Result<ArrayRef> {
    let (t, n) = (stamps(r, 0)?, r.integers(1)?);
    let values = (0..r.rows).map(|i| {
        let Some(t) = moment(&t, i)? else { return Ok(None) };
        if n.is_null(i) {
            return Ok(None);
        }
        let mut moved = add(t, Part::Month, n.value(i))?;
        // the last day of a month stays the last day
        if t.date().succ_opt().is_some_and(|next| next.day() == 1) {
            let end = add(truncate(moved, Part::Month)?, Part::Month, 1)?.date() - Days::new(1);
            moved = end.and_time(moved.time());
        }
        Ok(Some(moved.and_utc().timestamp_micros()))
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    finish(r, values)
}

fn months_between(r: &Rows) -> Result<ArrayRef> {
    let (a, b) = (stamps(r, 0)?, stamps(r, 1)?);
    let last = |d: NaiveDate| d.succ_opt().is_some_and(|n| n.day() == 1);
    let values = (0..r.rows).map(|i| {
        let (Some(a), Some(b)) = (moment(&a, i)?, moment(&b, i)?) else { return Ok(None) };
        let whole = difference(Part::Month, b, a)? as f64;
        if a.day() == b.day() || (last(a.date()) && last(b.date())) {
            return Ok(Some(whole));
        }
        let in_month = |t: NaiveDateTime| f64::from(t.day()) + f64::from(t.num_seconds_from_midnight()) / 86_400.0;
        Ok(Some(((whole + (in_month(a) - in_month(b)) / 31.0) * 1e6).round() / 1e6))
    });
    Ok(Arc::new(values.collect::<Result<datafusion::arrow::array::Float64Array>>()?))
}

fn from_parts(r: &Rows) -> Result<ArrayRef> {
    let (y, m, d) = (r.integers(0)?, r.integers(1)?, r.integers(2)?);
    let values = (0..r.rows).map(|i| {
        if y.is_null(i) || m.is_null(i) || d.is_null(i) {
            return Ok(None);
        }
        let start = NaiveDate::from_ymd_opt(i32::try_from(y.value(i)).map_err(|_| out_of_range())?, 1, 1).ok_or_else(out_of_range)?;
        let month = add(start.and_time(NaiveTime::MIN), Part::Month, m.value(i) - 1)?;
        Ok(days(add(month, Part::Day, d.value(i) - 1)?.date()))
    });
    Ok(Arc::new(values.collect::<Result<Date32Array>>()?))
}

fn timestamp_from_parts(r: &Rows) -> Result<ArrayRef> {
    let dates = from_parts(r)?;
    let dates = dates.as_primitive::<Date32Type>();
    let columns = (3..r.args.len()).map(|i| r.integers(i)).collect::<Result<Vec<_>>>()?;
    let values = (0..r.rows).map(|i| {
        if dates.is_null(i) || columns.iter().any(|c| c.is_null(i)) {
            return Ok(None);
        }
        let seconds = columns[0].value(i) * 3600 + columns[1].value(i) * 60 + columns[2].value(i);
        let nanos = columns.get(3).map_or(0, |c| c.value(i));
        Ok(Some(i64::from(dates.value(i)) * 86_400_000_000 + seconds * 1_000_000 + nanos / 1000))
    });
    Ok(Arc::new(TimestampMicrosecondArray::from(values.collect::<Result<Vec<_>>>()?)))
}

fn time_slice(r: &Rows) -> Result<ArrayRef> {
    let (t, lengths, parts) = (stamps(r, 0)?, r.integers(1)?, r.text(2)?);
    let ends = if r.args.len() > 3 { Some(r.text(3)?) } else { None };
    let origin = NaiveDateTime::default();
    let values = (0..r.rows).map(|i| {
        let Some(t) = moment(&t, i)? else { return Ok(None) };
        let (part, length) = (Part::parse(parts.value(i))?, lengths.value(i));
        if length <= 0 {
            return fail("the length of TIME_SLICE is positive");
        }
        let slice = difference(part, origin, t)?.div_euclid(length);
        let at_end = ends.as_ref().is_some_and(|e| e.value(i).eq_ignore_ascii_case("end"));
        let start = truncate(add(truncate(origin, part)?, part, (slice + i64::from(at_end)) * length)?, part)?;
        Ok(Some(start.and_utc().timestamp_micros()))
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    finish(r, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(text: &str) -> NaiveDateTime {
        from_micros(super::super::value::parse_timestamp(text).expect(text)).expect(text)
    }

    #[test]
    fn differences_count_boundaries() {
        for (part, a, b, wanted) in [
            ("year", "2023-12-31", "2024-01-01", 1),
            ("month", "2024-01-31", "2024-02-01", 1),
            ("week", "2025-02-23", "2025-02-24", 1),
            ("day", "2024-01-01 23:59:59", "2024-01-02 00:00:00", 1),
            ("hour", "2024-01-01 00:59:59", "2024-01-01 01:00:00", 1),
            ("quarter", "2024-03-31", "2024-01-01", 0),
            ("day", "2024-01-02", "2024-01-01", -1),
        ] {
            assert_eq!(difference(Part::parse(part).expect(part), t(a), t(b)).expect(part), wanted, "{part} {a} {b}");
        }
    }

    #[test]
    fn truncation_and_weeks() {
        assert_eq!(truncate(t("2025-02-27 11:30:00"), Part::Week).expect("ok"), t("2025-02-24"));
        assert_eq!(extract(Part::WeekIso, t("2024-12-30")), 1);
        assert_eq!(extract(Part::YearOfWeek, t("2024-12-30")), 2025);
        assert_eq!(add(t("2024-01-31"), Part::Month, 1).expect("ok"), t("2024-02-29"));
    }
}
