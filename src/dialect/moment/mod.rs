//! Dates, times and timestamps as values: wall clocks with their offset from UTC, their formats, their text.
//!
//! | Snowflake | Arrow layout | field metadata `segue.type` |
//! |---|---|---|
//! | DATE | Date32 | |
//! | TIME | Utf8, `13:30:00.123456789`, always 18 characters | `TIME` |
//! | TIMESTAMP_NTZ | Timestamp(us) | |
//! | TIMESTAMP_LTZ | Timestamp(us, "UTC"), shown in the session's TIMEZONE | |
//! | TIMESTAMP_TZ | Utf8, `2024-01-31T21:30:00.123000Z-0800`: the instant in UTC, then the offset | `TIMESTAMP_TZ` |
//!
//! The texts have a fixed width, so that their order is the order of the values: files prune by it, MIN, MAX and ORDER
//! BY need nothing of their own. Two TIMESTAMP_TZ of one instant but different offsets are different texts; comparisons
//! are therefore planned over the instants ([`operator`]). A packed number was the other way: it is smaller, but shows
//! as a meaningless number wherever Arrow or Delta tools read the table, and Delta has no type for a time of day at all.

mod detect;
mod format;
pub mod operator;

use std::sync::Arc;

use chrono::{DateTime, Datelike, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, Date32Array, StringArray, TimestampMicrosecondArray},
        compute::cast,
        datatypes::{Date32Type, Time64NanosecondType, TimeUnit, TimestampMicrosecondType},
    },
    common::{DataFusionError, Result},
};

pub use detect::{epoch_text, parse_auto, parse_auto_time};
pub use format::{Century, Format, day_name, month_name};

use super::types::Type;

/// Field metadata value of a TIME column.
pub const TIME_TAG: &str = "TIME";
/// Field metadata value of a TIMESTAMP_TZ column.
pub const TZ_TAG: &str = "TIMESTAMP_TZ";

/// A wall clock and its offset from UTC in seconds (0 where the type has none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub wall: NaiveDateTime,
    pub offset: i32,
}

/// What text says: a wall clock, and an offset if it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub wall: NaiveDateTime,
    pub offset: Option<i32>,
}

impl Stamp {
    pub fn plain(wall: NaiveDateTime) -> Self {
        Self { wall, offset: 0 }
    }

    /// An instant as a zone's clocks show it.
    pub fn at(utc: NaiveDateTime, zone: Tz) -> Self {
        let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
        Self { wall: shifted(utc, offset), offset }
    }

    /// A wall clock read in a zone: of two instants the first, of none the one after the gap.
    pub fn local(wall: NaiveDateTime, zone: Tz) -> Self {
        match zone.offset_from_local_datetime(&wall) {
            MappedLocalTime::Single(o) | MappedLocalTime::Ambiguous(o, _) => Self { wall, offset: o.fix().local_minus_utc() },
            MappedLocalTime::None => {
                // the clocks jump forward here: the offset from before the jump, then normalised
                let before = zone.offset_from_utc_datetime(&shifted(wall, -86_400)).fix().local_minus_utc();
                Self::at(shifted(wall, -before), zone)
            }
        }
    }

    pub fn utc(self) -> NaiveDateTime {
        shifted(self.wall, -self.offset)
    }

    pub fn with_offset(utc: NaiveDateTime, offset: i32) -> Self {
        Self { wall: shifted(utc, offset), offset }
    }

    /// As a value of another type.
    pub fn converted(self, from: Type, to: Type, zone: Tz) -> Self {
        match (from, to) {
            (Type::TimestampTz, Type::TimestampLtz) => Self::at(self.utc(), zone),
            (Type::TimestampLtz, Type::TimestampTz) => self,
            (Type::TimestampTz, Type::TimestampTz) | (Type::TimestampLtz, Type::TimestampLtz) => self,
            (_, Type::TimestampLtz | Type::TimestampTz) => Self::local(self.wall, zone),
            (_, Type::Date) => Self::plain(self.wall.date().and_time(NaiveTime::MIN)),
            (_, Type::Time) => Self::plain(epoch().and_time(self.wall.time())),
            _ => Self::plain(self.wall),
        }
    }

    /// The same type with another wall clock.
    pub fn moved(self, wall: NaiveDateTime, of: Type, zone: Tz) -> Self {
        match of {
            Type::TimestampLtz => Self::local(wall, zone),
            Type::TimestampTz => Self { wall, ..self },
            _ => Self::plain(wall),
        }
    }
}

impl Parsed {
    pub fn stamp(self, to: Type, zone: Tz) -> Stamp {
        match (to, self.offset) {
            (Type::TimestampTz, Some(offset)) => Stamp { wall: self.wall, offset },
            (Type::TimestampLtz, Some(offset)) => Stamp::at(shifted(self.wall, -offset), zone),
            (Type::TimestampLtz | Type::TimestampTz, None) => Stamp::local(self.wall, zone),
            _ => Stamp::plain(self.wall).converted(Type::TimestampNtz, to, zone),
        }
    }
}

fn epoch() -> NaiveDate {
    NaiveDate::default()
}

fn shifted(t: NaiveDateTime, seconds: i32) -> NaiveDateTime {
    t.checked_add_signed(TimeDelta::seconds(seconds.into())).unwrap_or(t)
}

pub fn out_of_range() -> DataFusionError {
    DataFusionError::Execution("a date or timestamp is out of range".into())
}

/// Days since the epoch.
pub fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - 719_163
}

pub fn date_of(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(719_163)?)
}

fn from_micros(micros: i64) -> Result<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc()).ok_or_else(out_of_range)
}

/// The stored text of a TIME.
pub fn time_text(time: NaiveTime) -> String {
    format!("{:02}:{:02}:{:02}.{:09}", time.hour(), time.minute(), time.second(), time.nanosecond() % 1_000_000_000)
}

/// From the stored text of a TIME.
pub fn time_of(text: &str) -> Option<NaiveTime> {
    let b = text.as_bytes();
    if b.len() != 18 || b[2] != b':' || b[5] != b':' || b[8] != b'.' {
        return None;
    }
    NaiveTime::from_hms_nano_opt(digits(&b[0..2])?, digits(&b[3..5])?, digits(&b[6..8])?, digits(&b[9..18])?)
}

/// The stored text of a TIMESTAMP_TZ.
pub fn tz_text(stamp: Stamp) -> String {
    let utc = stamp.utc();
    let minutes = stamp.offset.div_euclid(60);
    format!(
        "{}.{:06}Z{}{:02}{:02}",
        utc.format("%Y-%m-%dT%H:%M:%S"),
        utc.nanosecond() % 1_000_000_000 / 1000,
        if minutes < 0 { '-' } else { '+' },
        minutes.abs() / 60,
        minutes.abs() % 60
    )
}

/// From the stored text of a TIMESTAMP_TZ.
pub fn tz_of(text: &str) -> Option<Stamp> {
    let b = text.as_bytes();
    if b.len() != 32 || b[26] != b'Z' {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(digits(&b[0..4])? as i32, digits(&b[5..7])?, digits(&b[8..10])?)?;
    let utc = date.and_hms_micro_opt(digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?, digits(&b[20..26])?)?;
    let minutes = (digits(&b[28..30])? * 60 + digits(&b[30..32])?) as i32;
    let sign = match b[27] {
        b'-' => -1,
        b'+' => 1,
        _ => return None,
    };
    Some(Stamp::with_offset(utc, sign * minutes * 60))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

/// A TIME column of another Arrow layout in ours.
pub fn stored_times(array: &ArrayRef) -> Result<ArrayRef> {
    let nanos = cast(array, &DataType::Time64(TimeUnit::Nanosecond))?;
    let texts: StringArray = nanos
        .as_primitive::<Time64NanosecondType>()
        .iter()
        .map(|n| {
            let n = u64::try_from(n?).ok()?;
            NaiveTime::from_num_seconds_from_midnight_opt((n / 1_000_000_000) as u32, (n % 1_000_000_000) as u32).map(time_text)
        })
        .collect();
    Ok(Arc::new(texts))
}

/// A column of a date or time type, in the layout of that type, as wall clocks.
pub fn read(array: &ArrayRef, of: Type, zone: Tz) -> Result<Vec<Option<Stamp>>> {
    let broken = |what: &str, text: &str| DataFusionError::Execution(format!("a stored {what} is damaged: `{text}`"));
    match of {
        Type::Date => array
            .as_primitive::<Date32Type>()
            .iter()
            .map(|d| d.map(|d| date_of(d).map(|d| Stamp::plain(d.and_time(NaiveTime::MIN))).ok_or_else(out_of_range)).transpose())
            .collect(),
        Type::TimestampNtz => array
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .map(|t| t.map(|t| from_micros(t).map(Stamp::plain)).transpose())
            .collect(),
        Type::TimestampLtz => array
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .map(|t| t.map(|t| from_micros(t).map(|t| Stamp::at(t, zone))).transpose())
            .collect(),
        Type::TimestampTz => {
            array.as_string::<i32>().iter().map(|t| t.map(|t| tz_of(t).ok_or_else(|| broken("TIMESTAMP_TZ", t))).transpose()).collect()
        }
        Type::Time => array
            .as_string::<i32>()
            .iter()
            .map(|t| t.map(|t| time_of(t).map(|t| Stamp::plain(epoch().and_time(t))).ok_or_else(|| broken("TIME", t))).transpose())
            .collect(),
        other => Err(DataFusionError::Internal(format!("a column of type {other} was read as dates"))),
    }
}

/// Wall clocks in the layout of their type.
pub fn write(stamps: Vec<Option<Stamp>>, of: Type) -> Result<ArrayRef> {
    let years = |t: NaiveDateTime| if (0..=9999).contains(&t.year()) { Ok(t) } else { Err(out_of_range()) };
    Ok(match of {
        Type::Date => Arc::new(
            stamps.into_iter().map(|s| s.map(|s| years(s.wall).map(|w| days(w.date()))).transpose()).collect::<Result<Date32Array>>()?,
        ),
        Type::TimestampNtz => {
            let micros = stamps.into_iter().map(|s| s.map(|s| years(s.wall).map(|w| w.and_utc().timestamp_micros())).transpose());
            Arc::new(micros.collect::<Result<TimestampMicrosecondArray>>()?)
        }
        Type::TimestampLtz => {
            let micros = stamps.into_iter().map(|s| s.map(|s| years(s.wall).map(|_| s.utc().and_utc().timestamp_micros())).transpose());
            Arc::new(micros.collect::<Result<TimestampMicrosecondArray>>()?.with_timezone("UTC"))
        }
        Type::TimestampTz => {
            let texts = stamps.into_iter().map(|s| s.map(|s| years(s.utc()).map(|_| tz_text(s))).transpose());
            Arc::new(texts.collect::<Result<StringArray>>()?)
        }
        Type::Time => Arc::new(stamps.into_iter().map(|s| s.map(|s| time_text(s.wall.time()))).collect::<StringArray>()),
        other => return Err(DataFusionError::Internal(format!("dates cannot be written as {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").expect(text)
    }

    #[test]
    fn stored_texts_read_back_and_sort_by_instant() {
        let a = Stamp { wall: wall("2024-01-31 13:30:00.123"), offset: -8 * 3600 };
        assert_eq!(tz_text(a), "2024-01-31T21:30:00.123000Z-0800");
        assert_eq!(tz_of(&tz_text(a)), Some(a));
        let b = Stamp { wall: wall("2024-01-31 22:00:00"), offset: 3600 };
        assert!(tz_text(b) < tz_text(a), "21:00 UTC is before 21:30 UTC");
        let t = NaiveTime::from_hms_nano_opt(1, 2, 3, 4).expect("a time");
        assert_eq!(time_text(t), "01:02:03.000000004");
        assert_eq!(time_of(&time_text(t)), Some(t));
        assert_eq!(tz_of("nonsense"), None);
    }

    #[test]
    fn clocks_of_zones() {
        let la = Tz::America__Los_Angeles;
        assert_eq!(Stamp::local(wall("2024-07-01 00:00:00"), la).offset, -7 * 3600);
        assert_eq!(Stamp::local(wall("2024-01-01 00:00:00"), la).offset, -8 * 3600);
        // 02:30 does not exist on this day: an hour later
        assert_eq!(Stamp::local(wall("2024-03-10 02:30:00"), la).wall, wall("2024-03-10 03:30:00"));
        let tz = Stamp { wall: wall("2024-01-01 12:00:00"), offset: 0 };
        assert_eq!(tz.converted(Type::TimestampTz, Type::TimestampLtz, la).wall, wall("2024-01-01 04:00:00"));
        assert_eq!(tz.converted(Type::TimestampTz, Type::TimestampNtz, la).wall, wall("2024-01-01 12:00:00"));
        assert_eq!(Stamp::plain(wall("2024-01-01 12:00:00")).converted(Type::TimestampNtz, Type::TimestampTz, la).offset, -8 * 3600);
    }
}
