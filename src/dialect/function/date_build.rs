//! Dates and times from their parts, and moved between time zones (Snowflake documentation, "DATE_FROM_PARTS",
//! "TIMESTAMP_FROM_PARTS", "CONVERT_TIMEZONE").

use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, Int64Array, StringArray},
        datatypes::{FieldRef, TimestampMicrosecondType},
    },
    common::{Result, plan_err},
};

use super::{
    date::{date, stamps_as, temporal},
    date_part::{Part, add},
    scalar::{Arity, CallTypes, Function, Rows, fail},
};
use crate::dialect::{
    moment::{self, Stamp, out_of_range, parse_auto},
    settings::zone,
    types::Type,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("date_from_parts", Arity::Exactly(3), date, date_from_parts),
    Function::new("time_from_parts", Arity::Between(3, 4), |c| Ok(Type::Time.field(c.name)), time_from_parts),
    Function::new("timestamp_ntz_from_parts", Arity::Between(2, 7), |c| Ok(Type::TimestampNtz.field(c.name)), timestamp_from_parts),
    Function::new("timestamp_ltz_from_parts", Arity::Between(2, 7), |c| Ok(Type::TimestampLtz.field(c.name)), timestamp_from_parts),
    Function::new("timestamp_tz_from_parts", Arity::Between(2, 8), |c| Ok(Type::TimestampTz.field(c.name)), timestamp_from_parts),
    Function::new("convert_timezone", Arity::Between(2, 3), converted_type, convert_timezone),
    Function::new(
        "__instant",
        Arity::Exactly(1),
        |c| Ok(Type::TimestampLtz.field(c.name)),
        |r| {
            let micros = r.integers(0)?;
            Ok(Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>().with_timezone("UTC")))
        },
    ),
];

/// Whole numbers of some arguments; a row is NULL when one of them is.
struct Columns(Vec<Int64Array>);

impl Columns {
    fn of(r: &Rows, range: std::ops::Range<usize>) -> Result<Self> {
        Ok(Self(range.filter(|i| *i < r.args.len()).map(|i| r.integers(i)).collect::<Result<_>>()?))
    }

    fn row(&self, i: usize) -> Option<Vec<i64>> {
        self.0.iter().map(|c| (!c.is_null(i)).then(|| c.value(i))).collect()
    }
}

/// Months and days beyond their ranges go into the years and months around.
fn date_of(year: i64, month: i64, day: i64) -> Result<NaiveDateTime> {
    let start = NaiveDate::from_ymd_opt(i32::try_from(year).map_err(|_| out_of_range())?, 1, 1).ok_or_else(out_of_range)?;
    let month = add(start.and_time(NaiveTime::MIN), Part::Month, month.checked_sub(1).ok_or_else(out_of_range)?)?;
    add(month, Part::Day, day.checked_sub(1).ok_or_else(out_of_range)?)
}

/// Hours, minutes, seconds, nanoseconds beyond their ranges count all the same.
fn length_of(parts: &[i64]) -> Result<TimeDelta> {
    let unit = [3_600_000_000_000_i128, 60_000_000_000, 1_000_000_000, 1];
    let nanos: i128 = parts.iter().zip(unit).map(|(n, unit)| i128::from(*n) * unit).sum();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).map_err(|_| out_of_range())?;
    TimeDelta::new(seconds, nanos.rem_euclid(1_000_000_000) as u32).ok_or_else(out_of_range)
}

fn date_from_parts(r: &Rows) -> Result<ArrayRef> {
    let columns = Columns::of(r, 0..3)?;
    let dates = (0..r.rows).map(|i| columns.row(i).map(|p| date_of(p[0], p[1], p[2]).map(Stamp::plain)).transpose());
    moment::write(dates.collect::<Result<_>>()?, Type::Date)
}

fn time_from_parts(r: &Rows) -> Result<ArrayRef> {
    let columns = Columns::of(r, 0..4)?;
    let times = (0..r.rows).map(|i| {
        let Some(parts) = columns.row(i) else { return Ok(None) };
        NaiveDateTime::default().checked_add_signed(length_of(&parts)?).ok_or_else(out_of_range).map(|t| Some(Stamp::plain(t)))
    });
    moment::write(times.collect::<Result<_>>()?, Type::Time)
}

fn timestamp_from_parts(r: &Rows) -> Result<ArrayRef> {
    if r.args.len() == 2 {
        if r.result == Type::TimestampTz {
            return fail("TIMESTAMP_TZ_FROM_PARTS takes 6 to 8 arguments, 2 were given");
        }
        let (dates, times) = (stamps_as(r, 0, Type::Date)?, stamps_as(r, 1, Type::Time)?);
        let both = dates.into_iter().zip(times).map(|(d, t)| {
            let wall = NaiveDateTime::new(d?.wall.date(), t?.wall.time());
            Some(Stamp::plain(wall).converted(Type::TimestampNtz, r.result, r.settings.timezone))
        });
        return moment::write(both.collect(), r.result);
    }
    if r.args.len() < 6 {
        return fail(format!("a timestamp is made from 2, or from 6 or more parts, {} were given", r.args.len()));
    }
    let columns = Columns::of(r, 0..7)?;
    let zones = if r.args.len() > 7 { Some(r.text(7)?) } else { None };
    let stamps = (0..r.rows).map(|i| {
        let Some(p) = columns.row(i) else { return Ok(None) };
        let wall = date_of(p[0], p[1], p[2])?.checked_add_signed(length_of(&p[3..])?).ok_or_else(out_of_range)?;
        let own = match &zones {
            None => r.settings.timezone,
            Some(zones) if zones.is_null(i) => return Ok(None),
            Some(zones) => known_zone(zones.value(i))?,
        };
        Ok(Some(match r.result {
            Type::TimestampTz => Stamp::local(wall, own),
            to => Stamp::plain(wall).converted(Type::TimestampNtz, to, r.settings.timezone),
        }))
    });
    moment::write(stamps.collect::<Result<_>>()?, r.result)
}

fn known_zone(name: &str) -> Result<chrono_tz::Tz> {
    zone(name.trim()).map_or_else(|| fail(format!("'{name}' is not a time zone")), Ok)
}

/// A zone for each row; mostly one for all.
struct Zones {
    names: StringArray,
    one: Option<chrono_tz::Tz>,
}

impl Zones {
    fn of(r: &Rows, index: usize) -> Result<Self> {
        let names = r.text(index)?;
        let mut all = names.iter();
        let first = all.next().flatten();
        let one = match first {
            Some(name) if all.all(|n| n == first) => Some(known_zone(name)?),
            _ => None,
        };
        Ok(Self { names, one })
    }

    fn get(&self, row: usize) -> Result<Option<chrono_tz::Tz>> {
        match self.one {
            Some(zone) => Ok(Some(zone)),
            None if self.names.is_null(row) => Ok(None),
            None => known_zone(self.names.value(row)).map(Some),
        }
    }
}

/// With a source zone wall clocks go to wall clocks; without one the result says its offset.
fn converted_type(call: &CallTypes) -> Result<FieldRef> {
    if call.types.len() == 2 {
        return Ok(Type::TimestampTz.field(call.name));
    }
    match call.types[2] {
        of @ (Type::TimestampLtz | Type::TimestampTz | Type::Time) => {
            plan_err!("CONVERT_TIMEZONE with a source time zone takes a TIMESTAMP_NTZ, not a {of}; leave the source time zone out")
        }
        _ => Ok(Type::TimestampNtz.field(call.name)),
    }
}

fn convert_timezone(r: &Rows) -> Result<ArrayRef> {
    if r.args.len() == 3 {
        let (sources, targets) = (Zones::of(r, 0)?, Zones::of(r, 1)?);
        if r.types[2] == Type::Varchar {
            let texts = r.text(2)?;
            if texts.iter().flatten().any(|t| parse_auto(t).is_some_and(|p| p.offset.is_some())) {
                return fail("CONVERT_TIMEZONE with a source time zone takes a timestamp without an offset");
            }
        }
        let walls = stamps_as(r, 2, Type::TimestampNtz)?;
        let moved = walls.into_iter().enumerate().map(|(i, t)| {
            let (Some(t), Some(source), Some(target)) = (t, sources.get(i)?, targets.get(i)?) else { return Ok(None) };
            Ok(Some(Stamp::plain(Stamp::at(Stamp::local(t.wall, source).utc(), target).wall)))
        });
        return moment::write(moved.collect::<Result<_>>()?, Type::TimestampNtz);
    }
    let targets = Zones::of(r, 0)?;
    // text keeps the offset that it names
    let wanted = match r.types[1] {
        Type::Varchar | Type::Semi(_) => Type::TimestampTz,
        of => temporal(of),
    };
    let stamps = stamps_as(r, 1, wanted)?;
    let moved = stamps.into_iter().enumerate().map(|(i, t)| {
        let (Some(t), Some(target)) = (t, targets.get(i)?) else { return Ok(None) };
        let instant = t.converted(wanted, Type::TimestampTz, r.settings.timezone);
        Ok(Some(Stamp::at(instant.utc(), target)))
    });
    moment::write(moved.collect::<Result<_>>()?, Type::TimestampTz)
}
