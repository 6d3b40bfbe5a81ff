//! Python's `datetime`, `date`, `timedelta` and `pytz.timezone` over chrono.

use std::{cmp::Ordering, fmt::Write};

use chrono::{
    DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc,
    format::{Parsed, StrftimeItems},
};
use chrono_tz::Tz;

use super::super::jinja::{Args, Eval, Expect, Fault, Machine, Object, Value, ast::Operator, display};

pub(in crate::template) fn date(d: NaiveDate) -> Value {
    Value::object(Date(d))
}

pub(in crate::template) fn datetime(t: NaiveDateTime) -> Value {
    Value::object(Stamp { local: t, zone: None })
}

pub(in crate::template) fn aware(t: DateTime<Utc>) -> Value {
    Value::object(Stamp { local: t.naive_utc(), zone: Some(Tz::UTC) })
}

pub(super) fn zone(name: &str) -> Option<Value> {
    name.parse().ok().map(|tz| Value::object(Zone(tz)))
}

pub(super) fn call(module: &'static str, name: &str, args: &mut Args) -> Eval<Option<Value>> {
    Ok(Some(match (module, name) {
        ("datetime", "datetime") => {
            let parts = args.bind_required::<3, 8>(name, ["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"])?;
            let int = |i: usize| parts[i].as_ref().map_or(Ok(0), |v| v.expect_int("an argument of `datetime`"));
            let day = calendar_day(int(0)?, int(1)?, int(2)?)?;
            let time = NaiveTime::from_hms_micro_opt(small(int(3)?), small(int(4)?), small(int(5)?), small(int(6)?))
                .ok_or_else(|| Fault::kind("there is no such time of day"))?;
            let zone = parts[7].as_ref().and_then(|z| z.downcast::<Zone>()).map(|z| z.0);
            Value::object(Stamp { local: day.and_time(time), zone })
        }
        ("datetime", "date") => {
            let [y, m, d] = args.bind_required::<3, 3>(name, ["year", "month", "day"])?;
            let int = |v: Option<Value>| v.unwrap_or(Value::None).expect_int("an argument of `date`");
            date(calendar_day(int(y)?, int(m)?, int(d)?)?)
        }
        ("datetime", "timedelta") => {
            let parts = args.bind(name, ["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"])?;
            let units = [86_400e6, 1e6, 1.0, 1e3, 60e6, 3_600e6, 7.0 * 86_400e6];
            let mut micros = 0.0;
            for (part, unit) in parts.into_iter().flatten_with(units) {
                micros += match part {
                    Value::Int(i) => i as f64,
                    Value::Float(f) => f,
                    other => return Err(Fault::kind(format!("`timedelta` needs numbers, not `{}`", other.type_name()))),
                } * unit;
            }
            if !micros.is_finite() || micros.abs() > 9e18 {
                return Err(Fault::kind("the `timedelta` is too long"));
            }
            Value::object(Delta(Duration::microseconds(micros.round() as i64)))
        }
        ("datetime.datetime", "now" | "today") => {
            let [tz] = args.bind(name, ["tz"])?;
            let now = Utc::now();
            match tz.as_ref().and_then(|z| z.downcast::<Zone>()) {
                Some(Zone(tz)) => Value::object(Stamp { local: now.with_timezone(tz).naive_local(), zone: Some(*tz) }),
                None => datetime(chrono::Local::now().naive_local()),
            }
        }
        ("datetime.datetime", "utcnow") => datetime(Utc::now().naive_utc()),
        ("datetime.date", "today") => date(chrono::Local::now().date_naive()),
        ("datetime.datetime", "strptime") => {
            let [text, format] = args.bind_required::<2, 2>(name, ["date_string", "format"])?;
            let (text, format) = (display(&text.unwrap_or(Value::None)), display(&format.unwrap_or(Value::None)));
            datetime(parse(&text, &format)?)
        }
        ("datetime.datetime", "fromisoformat") => {
            let text = args.single(name, "date_string")?;
            let text = text.expect_str("the argument")?;
            match DateTime::parse_from_rfc3339(text) {
                Ok(t) => Value::object(Stamp { local: t.naive_utc(), zone: Some(Tz::UTC) }),
                Err(_) => datetime(iso(text)?),
            }
        }
        ("datetime.date", "fromisoformat") => {
            let text = args.single(name, "date_string")?;
            date(iso(text.expect_str("the argument")?)?.date())
        }
        ("datetime.datetime", "fromtimestamp" | "utcfromtimestamp") => {
            let seconds = match args.bind_required::<1, 2>(name, ["timestamp", "tz"])?.into_iter().next().flatten() {
                Some(Value::Float(f)) => f,
                Some(other) => other.expect_int("the timestamp")? as f64,
                None => 0.0,
            };
            let stamp =
                DateTime::from_timestamp_micros((seconds * 1e6) as i64).ok_or_else(|| Fault::kind("the timestamp is out of range"))?;
            datetime(stamp.naive_utc())
        }
        ("datetime.datetime", "combine") => {
            let [day, _] = args.bind_required::<1, 2>(name, ["date", "time"])?;
            match day.as_ref().and_then(|d| d.downcast::<Date>()) {
                Some(Date(d)) => datetime(d.and_time(NaiveTime::MIN)),
                None => return Err(Fault::kind("`combine` needs a date")),
            }
        }
        ("pytz", "timezone") => {
            let name = args.single(name, "zone")?;
            let name = name.expect_str("the time zone")?;
            zone(name).ok_or_else(|| Fault::kind(format!("there is no time zone `{name}`")))?
        }
        _ => return Ok(None),
    }))
}

/// Pairs of given arguments with their units.
trait FlattenWith {
    fn flatten_with(self, units: [f64; 7]) -> impl Iterator<Item = (Value, f64)>;
}

impl<I: Iterator<Item = Option<Value>>> FlattenWith for I {
    fn flatten_with(self, units: [f64; 7]) -> impl Iterator<Item = (Value, f64)> {
        self.zip(units).filter_map(|(v, u)| v.map(|v| (v, u)))
    }
}

fn small(i: i64) -> u32 {
    u32::try_from(i).unwrap_or(u32::MAX)
}

fn calendar_day(y: i64, m: i64, d: i64) -> Eval<NaiveDate> {
    i32::try_from(y)
        .ok()
        .and_then(|y| NaiveDate::from_ymd_opt(y, small(m), small(d)))
        .ok_or_else(|| Fault::kind(format!("there is no day {y}-{m}-{d}")))
}

/// What the format leaves out is that of the first of January 1900, as in Python.
fn parse(text: &str, format: &str) -> Eval<NaiveDateTime> {
    // Python's %f is microseconds
    let chrono_format = format.replace(".%f", "%.f").replace("%f", "%6f");
    let mut parsed = Parsed::new();
    let wrong = || Fault::kind(format!("`{text}` does not match the format `{format}`"));
    chrono::format::parse(&mut parsed, text, StrftimeItems::new(&chrono_format)).map_err(|_| wrong())?;
    if let Ok(stamp) = parsed.to_naive_datetime_with_offset(0) {
        return Ok(stamp);
    }
    let day = parsed.to_naive_date().or_else(|_| {
        let has_year = parsed.year().is_some() || parsed.year_mod_100().is_some();
        if !has_year {
            parsed.set_year(1900)?;
        }
        if parsed.month().is_none() && parsed.ordinal().is_none() {
            parsed.set_month(1)?;
        }
        if parsed.day().is_none() && parsed.ordinal().is_none() {
            parsed.set_day(1)?;
        }
        parsed.to_naive_date()
    });
    let time = match (parsed.hour_div_12(), parsed.hour_mod_12(), parsed.minute()) {
        (None, None, None) => NaiveTime::MIN,
        (_, _, None) => {
            let _ = parsed.set_minute(0);
            parsed.to_naive_time().map_err(|_| wrong())?
        }
        _ => parsed.to_naive_time().map_err(|_| wrong())?,
    };
    Ok(day.map_err(|_| wrong())?.and_time(time))
}

fn iso(text: &str) -> Eval<NaiveDateTime> {
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
        if let Ok(t) = NaiveDateTime::parse_from_str(text, format) {
            return Ok(t);
        }
    }
    text.parse::<NaiveDate>().map(|d| d.and_time(NaiveTime::MIN)).map_err(|_| Fault::kind(format!("`{text}` is not an ISO date")))
}

fn strftime(stamp: NaiveDateTime, format: &str) -> Eval<Value> {
    let chrono_format = format.replace("%f", "%6f");
    let mut out = String::new();
    // an unknown format, or one that needs a zone, is an error of `write!`, where `to_string` would panic
    match write!(out, "{}", stamp.format_with_items(StrftimeItems::new(&chrono_format))) {
        Ok(()) => Ok(Value::text(out)),
        Err(_) => Err(Fault::kind(format!("the format `{format}` is not understood"))),
    }
}

fn out_of_range() -> Fault {
    Fault::kind("the date is out of range")
}

#[derive(Clone, PartialEq)]
struct Date(NaiveDate);

#[derive(Clone, PartialEq)]
struct Stamp {
    local: NaiveDateTime,
    zone: Option<Tz>,
}

#[derive(Clone, PartialEq)]
struct Delta(Duration);

struct Zone(Tz);

impl Stamp {
    /// Seconds from UTC, for printing.
    fn offset(&self) -> Option<String> {
        use chrono::Offset;
        let offset = self.zone?.offset_from_local_datetime(&self.local).earliest()?.fix().local_minus_utc();
        let sign = if offset < 0 { '-' } else { '+' };
        Some(format!("{sign}{:02}:{:02}", offset.abs() / 3600, offset.abs() / 60 % 60))
    }

    fn utc(&self) -> Option<NaiveDateTime> {
        match self.zone {
            None => Some(self.local),
            Some(zone) => zone.from_local_datetime(&self.local).earliest().map(|t| t.naive_utc()),
        }
    }

    fn iso(&self, separator: char) -> String {
        let fraction = if self.local.nanosecond() > 0 { format!(".{:06}", self.local.nanosecond() / 1000) } else { String::new() };
        let base = self.local.format("%H:%M:%S");
        format!("{}{separator}{base}{fraction}{}", self.local.date(), self.offset().unwrap_or_default())
    }
}

fn day_attribute(d: NaiveDate, name: &str) -> Option<Value> {
    Some(Value::Int(match name {
        "year" => i64::from(d.year()),
        "month" => i64::from(d.month()),
        "day" => i64::from(d.day()),
        _ => return None,
    }))
}

fn day_method(d: NaiveDate, name: &str) -> Option<Value> {
    Some(match name {
        "weekday" => Value::Int(i64::from(d.weekday().num_days_from_monday())),
        "isoweekday" => Value::Int(i64::from(d.weekday().number_from_monday())),
        "isocalendar" => {
            let week = d.iso_week();
            let parts = [i64::from(week.year()), i64::from(week.week()), i64::from(d.weekday().number_from_monday())];
            Value::tuple(parts.into_iter().map(Value::Int).collect())
        }
        "toordinal" => Value::Int(i64::from(d.num_days_from_ce())),
        _ => return None,
    })
}

/// `replace(year=, ...)` of the day's parts.
fn replaced_day(d: NaiveDate, args: &mut Args) -> Eval<NaiveDate> {
    let mut part = |name: &str, now: i64| args.take_keyword(name).map_or(Ok(now), |v| v.expect_int(name));
    calendar_day(part("year", i64::from(d.year()))?, part("month", i64::from(d.month()))?, part("day", i64::from(d.day()))?)
}

impl Object for Date {
    fn type_name(&self) -> &'static str {
        "date"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        Ok(day_attribute(self.0, name))
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        Ok(match name {
            "strftime" => {
                let format = args.single(name, "format")?;
                let midnight = self.0.and_time(NaiveTime::MIN);
                Some(strftime(midnight, format.expect_str("the format")?)?)
            }
            "isoformat" => Some(Value::text(self.display())),
            "replace" => Some(date(replaced_day(self.0, args)?)),
            _ => day_method(self.0, name),
        })
    }

    fn display(&self) -> String {
        self.0.to_string()
    }

    fn repr(&self) -> String {
        format!("datetime.date({}, {}, {})", self.0.year(), self.0.month(), self.0.day())
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.downcast::<Self>() == Some(self)
    }

    fn compare(&self, other: &dyn Object) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast::<Self>()?.0))
    }

    fn arithmetic(&self, operator: Operator, other: &Value, swapped: bool) -> Option<Eval<Value>> {
        let shift = |d: Duration| Some(self.0.checked_add_signed(d).map(date).ok_or_else(out_of_range));
        match (operator, other.downcast::<Delta>(), other.downcast::<Self>()) {
            (Operator::Add, Some(Delta(d)), _) => shift(Duration::days(d.num_days())),
            (Operator::Subtract, Some(Delta(d)), _) if !swapped => shift(-Duration::days(d.num_days())),
            (Operator::Subtract, _, Some(o)) if !swapped => Some(Ok(Value::object(Delta(self.0.signed_duration_since(o.0))))),
            _ => None,
        }
    }
}

impl Object for Stamp {
    fn type_name(&self) -> &'static str {
        "datetime"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        Ok(match name {
            "hour" => Some(Value::Int(i64::from(self.local.hour()))),
            "minute" => Some(Value::Int(i64::from(self.local.minute()))),
            "second" => Some(Value::Int(i64::from(self.local.second()))),
            "microsecond" => Some(Value::Int(i64::from(self.local.nanosecond() / 1000))),
            "tzinfo" => Some(self.zone.map_or(Value::None, |z| Value::object(Zone(z)))),
            _ => day_attribute(self.local.date(), name),
        })
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        Ok(match name {
            "strftime" => {
                let format = args.single(name, "format")?;
                // %z and %Z exist only with a zone
                let zone = self.offset().unwrap_or_default().replace(':', "");
                let named = self.zone.map_or("", |z| z.name());
                let format = format.expect_str("the format")?.replace("%z", &zone).replace("%Z", named);
                Some(strftime(self.local, &format)?)
            }
            "isoformat" => Some(Value::text(self.iso('T'))),
            "date" => Some(date(self.local.date())),
            "time" => Some(Value::text(self.local.time().to_string())),
            "timestamp" => {
                let utc = self.utc().ok_or_else(out_of_range)?.and_utc();
                Some(Value::Float(utc.timestamp_micros() as f64 / 1e6))
            }
            "astimezone" => {
                let target = args.single(name, "tz")?;
                let Some(Zone(zone)) = target.downcast::<Zone>() else { return Err(Fault::kind("`astimezone` needs a time zone")) };
                let utc = self.utc().ok_or_else(out_of_range)?;
                Some(Value::object(Self { local: zone.from_utc_datetime(&utc).naive_local(), zone: Some(*zone) }))
            }
            "replace" => {
                let zone = match args.take_keyword("tzinfo") {
                    Some(z) => z.downcast::<Zone>().map(|z| z.0),
                    None => self.zone,
                };
                let day = replaced_day(self.local.date(), args)?;
                let mut part = |name: &str, now: u32| args.take_keyword(name).map_or(Ok(now), |v| v.expect_int(name).map(small));
                let time = self.local.time();
                let (h, m, s) = (part("hour", time.hour())?, part("minute", time.minute())?, part("second", time.second())?);
                let micro = part("microsecond", time.nanosecond() / 1000)?;
                let time = NaiveTime::from_hms_micro_opt(h, m, s, micro).ok_or_else(|| Fault::kind("there is no such time of day"))?;
                Some(Value::object(Self { local: day.and_time(time), zone }))
            }
            _ => day_method(self.local.date(), name),
        })
    }

    fn display(&self) -> String {
        self.iso(' ')
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.downcast::<Self>().is_some_and(|o| self.utc() == o.utc() && self.zone.is_some() == o.zone.is_some())
    }

    fn compare(&self, other: &dyn Object) -> Option<Ordering> {
        let other = other.downcast::<Self>()?;
        // Python refuses to compare times with and without a zone
        (self.zone.is_some() == other.zone.is_some()).then(|| self.utc()?.partial_cmp(&other.utc()?)).flatten()
    }

    fn arithmetic(&self, operator: Operator, other: &Value, swapped: bool) -> Option<Eval<Value>> {
        let shift = |d: Duration| {
            let moved = self.local.checked_add_signed(d);
            Some(moved.map(|local| Value::object(Self { local, zone: self.zone })).ok_or_else(out_of_range))
        };
        match (operator, other.downcast::<Delta>(), other.downcast::<Self>()) {
            (Operator::Add, Some(Delta(d)), _) => shift(*d),
            (Operator::Subtract, Some(Delta(d)), _) if !swapped => shift(-*d),
            (Operator::Subtract, _, Some(o)) if !swapped => {
                Some(self.utc().zip(o.utc()).map(|(a, b)| Value::object(Delta(a - b))).ok_or_else(out_of_range))
            }
            _ => None,
        }
    }
}

impl Object for Delta {
    fn type_name(&self) -> &'static str {
        "timedelta"
    }

    fn get_attr(&self, _: &mut Machine<'_>, name: &str) -> Eval<Option<Value>> {
        let micros = self.0.num_microseconds().unwrap_or(i64::MAX);
        Ok(Some(Value::Int(match name {
            "days" => micros.div_euclid(86_400_000_000),
            "seconds" => micros.rem_euclid(86_400_000_000) / 1_000_000,
            "microseconds" => micros.rem_euclid(1_000_000),
            _ => return Ok(None),
        })))
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, _: &mut Args) -> Eval<Option<Value>> {
        Ok((name == "total_seconds").then(|| Value::Float(self.0.num_microseconds().unwrap_or(i64::MAX) as f64 / 1e6)))
    }

    fn display(&self) -> String {
        let micros = self.0.num_microseconds().unwrap_or(i64::MAX);
        let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
        let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
        let clock = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        let clock = if fraction > 0 { format!("{clock}.{fraction:06}") } else { clock };
        match days {
            0 => clock,
            1 | -1 => format!("{days} day, {clock}"),
            _ => format!("{days} days, {clock}"),
        }
    }

    fn is_true(&self) -> bool {
        !self.0.is_zero()
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.downcast::<Self>() == Some(self)
    }

    fn compare(&self, other: &dyn Object) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast::<Self>()?.0))
    }

    fn arithmetic(&self, operator: Operator, other: &Value, _: bool) -> Option<Eval<Value>> {
        let delta = |d: Option<Duration>| Some(d.map(|d| Value::object(Self(d))).ok_or_else(out_of_range));
        match (operator, other) {
            (Operator::Multiply, Value::Int(n)) => delta(i32::try_from(*n).ok().and_then(|n| self.0.checked_mul(n))),
            (Operator::Add, o) => delta(self.0.checked_add(&o.downcast::<Self>()?.0)),
            (Operator::Subtract, o) => delta(self.0.checked_sub(&o.downcast::<Self>()?.0)),
            _ => None,
        }
    }
}

impl Object for Zone {
    fn type_name(&self) -> &'static str {
        "timezone"
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        match name {
            "localize" => {
                let stamp = args.single(name, "dt")?;
                let Some(stamp) = stamp.downcast::<Stamp>() else { return Err(Fault::kind("`localize` needs a datetime")) };
                Ok(Some(Value::object(Stamp { local: stamp.local, zone: Some(self.0) })))
            }
            _ => Ok(None),
        }
    }

    fn display(&self) -> String {
        self.0.name().to_owned()
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.downcast::<Self>().is_some_and(|z| z.0 == self.0)
    }
}
