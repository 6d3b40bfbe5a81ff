//! AUTO: text whose format is found by looking at it (Snowflake documentation, "Date and time input and output
//! formats", "Supported formats for AUTO detection").

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use super::{Parsed, Stamp, format::month_at, format::weekday_at};
use crate::dialect::settings::zone;

/// A date, or a date and a time, with an offset or without; or whole numbers of seconds, milliseconds, microseconds or
/// nanoseconds since the epoch.
pub fn parse_auto(text: &str) -> Option<Parsed> {
    let text = text.trim();
    if let Some(wall) = epoch_text(text) {
        return Some(Parsed { wall, offset: None });
    }
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return internet(text);
    }
    let (date, rest) = date(text)?;
    clock(date, rest)
}

/// A time of day; the date of a timestamp is left out.
pub fn parse_auto_time(text: &str) -> Option<NaiveTime> {
    let text = text.trim();
    if let Some(moment) = epoch_text(text) {
        return Some(moment.time());
    }
    if let Some((time, rest)) = time(text) {
        return (rest.trim().is_empty() || offset(rest).is_some()).then_some(time);
    }
    parse_auto(text).map(|p| p.wall.time())
}

/// Whole numbers: by magnitude seconds, milliseconds, microseconds, nanoseconds.
pub fn epoch_text(text: &str) -> Option<NaiveDateTime> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: i64 = text.parse().ok()?;
    let utc = match n.unsigned_abs() {
        0..31_536_000_000 => DateTime::from_timestamp(n, 0),
        31_536_000_000..31_536_000_000_000 => DateTime::from_timestamp_millis(n),
        31_536_000_000_000..31_536_000_000_000_000 => DateTime::from_timestamp_micros(n),
        _ => Some(DateTime::from_timestamp_nanos(n)),
    };
    utc.map(|t| t.naive_utc())
}

/// `YYYY-MM-DD`, `YYYY/MM/DD`, `DD-MON-YYYY`, `MM/DD/YYYY`, and what follows.
fn date(text: &str) -> Option<(NaiveDate, &str)> {
    let (first, length, rest) = number(text, 5)?;
    let separator = rest.chars().next()?;
    if !matches!(separator, '-' | '/') {
        return None;
    }
    let rest = &rest[1..];
    if length >= 4 {
        let (month, _, rest) = number(rest, 2)?;
        let (day, _, rest) = number(rest.strip_prefix(separator)?, 2)?;
        return Some((NaiveDate::from_ymd_opt(first as i32, month, day)?, rest));
    }
    if separator == '/' {
        let (day, _, rest) = number(rest, 2)?;
        let (year, length, rest) = number(rest.strip_prefix('/')?, 4)?;
        return (length == 4).then_some((NaiveDate::from_ymd_opt(year as i32, first, day)?, rest));
    }
    let (month, letters) = month_at(rest)?;
    let (year, length, rest) = number(rest[letters..].strip_prefix('-')?, 4)?;
    (length == 4).then_some((NaiveDate::from_ymd_opt(year as i32, month, first)?, rest))
}

/// What may follow a date: nothing, or a time and an offset.
fn clock(date: NaiveDate, rest: &str) -> Option<Parsed> {
    if rest.trim().is_empty() {
        return Some(Parsed { wall: date.and_time(NaiveTime::MIN), offset: None });
    }
    let rest = rest.strip_prefix(['T', 't']).or_else(|| rest.strip_prefix(char::is_whitespace).map(str::trim_start))?;
    let (time, rest) = time(rest)?;
    let wall = date.and_time(time);
    Some(Parsed { wall, offset: zone_of(rest, wall)? })
}

/// `None` for what is no offset, `Some(None)` for nothing.
#[allow(clippy::option_option)]
fn zone_of(rest: &str, wall: NaiveDateTime) -> Option<Option<i32>> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Some(None);
    }
    if let Some(seconds) = offset(rest) {
        return Some(Some(seconds));
    }
    zone(rest).map(|z| Some(Stamp::local(wall, z).offset))
}

/// `Z`, `+01:00`, `+0100`, `+01`, ` -8`
fn offset(text: &str) -> Option<i32> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("gmt") {
        return Some(0);
    }
    let (negative, digits) = (text.starts_with('-'), text.strip_prefix(['+', '-'])?);
    let (hours, _, rest) = number(digits, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes = if rest.is_empty() {
        0
    } else {
        let (minutes, length, rest) = number(rest, 2)?;
        if length != 2 || !rest.is_empty() {
            return None;
        }
        minutes
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    (hours <= 23 && minutes <= 59).then_some(if negative { -seconds } else { seconds })
}

/// `HH24[:MI[:SS[.FF]]] [AM|PM]`, and what follows.
fn time(text: &str) -> Option<(NaiveTime, &str)> {
    let (mut hour, _, mut rest) = number(text, 2)?;
    let (mut minute, mut second, mut nanos) = (0, 0, 0);
    // an hour alone is a time only after a date's `T` or blank; the callers see to that
    if let Some(after) = rest.strip_prefix(':') {
        (minute, _, rest) = number(after, 2)?;
        if let Some(after) = rest.strip_prefix(':') {
            (second, _, rest) = number(after, 2)?;
            if let Some(after) = rest.strip_prefix('.') {
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                if digits > 9 {
                    return None;
                }
                nanos = format!("{:0<9}", &after[..digits]).parse().ok()?;
                rest = &after[digits..];
            }
        }
    } else if !rest.is_empty() && !rest.starts_with(['+', '-', 'Z', 'z', ' ']) {
        return None;
    }
    let trimmed = rest.trim_start();
    let half = trimmed.get(..2).map(str::to_ascii_uppercase);
    if let Some(half @ ("AM" | "PM")) = half.as_deref() {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if half == "PM" { 12 } else { 0 };
        rest = &trimmed[2..];
    }
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?, rest))
}

/// `Thu, 21 Dec 2000 16:01:07 +0200`, `Mon Jul 08 18:09:51 +0000 2013`
fn internet(text: &str) -> Option<Parsed> {
    let rest = text[weekday_at(text)?..].trim_start();
    let rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    if let Some((month, letters)) = month_at(rest) {
        let (day, _, rest) = number(rest[letters..].trim_start(), 2)?;
        let (time, rest) = time(rest.trim_start())?;
        let (zone, year) = rest.trim().rsplit_once(' ').map_or(("", rest.trim()), |(zone, year)| (zone.trim(), year));
        let date = NaiveDate::from_ymd_opt(year.parse().ok()?, month, day)?;
        let wall = date.and_time(time);
        return Some(Parsed { wall, offset: zone_of(zone, wall)? });
    }
    let (day, _, rest) = number(rest, 2)?;
    let rest = rest.trim_start();
    let (month, letters) = month_at(rest)?;
    let (year, length, rest) = number(rest[letters..].trim_start(), 4)?;
    if length != 4 {
        return None;
    }
    clock(NaiveDate::from_ymd_opt(year as i32, month, day)?, rest)
}

fn number(text: &str, most: usize) -> Option<(u32, usize, &str)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    Some((text[..digits].parse().ok()?, digits, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_found() {
        for (text, wanted, offset) in [
            ("2024-01-31", "2024-01-31 00:00:00", None),
            ("03-April-2024", "2024-04-03 00:00:00", None),
            ("17-DEC-1980", "1980-12-17 00:00:00", None),
            ("12/17/1980", "1980-12-17 00:00:00", None),
            ("2024-04-08T23:39:20.123-07:00", "2024-04-08 23:39:20.123", Some(-25_200)),
            ("2024-05-09 08:50:57.891 -0700", "2024-05-09 08:50:57.891", Some(-25_200)),
            ("2024-04-05 12:00:00 +02:00", "2024-04-05 12:00:00", Some(7200)),
            ("2013-04-28T20", "2013-04-28 20:00:00", None),
            ("2013-04-28 20:57+07:00", "2013-04-28 20:57:00", Some(25_200)),
            ("2013-04-28T20:57:01Z", "2013-04-28 20:57:01", Some(0)),
            ("Thu, 21 Dec 2000 04:01:07 PM +0200", "2000-12-21 16:01:07", Some(7200)),
            ("Thu, 21 Dec 2000 16:01:07.123456789", "2000-12-21 16:01:07.123456789", None),
            ("Mon Jul 08 18:09:51 +0000 2013", "2013-07-08 18:09:51", Some(0)),
            ("2/18/2008 02:36:48", "2008-02-18 02:36:48", None),
            ("1234567890", "2009-02-13 23:31:30", None),
            ("1234567890123", "2009-02-13 23:31:30.123", None),
        ] {
            let parsed = parse_auto(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(parsed.wall.format("%Y-%m-%d %H:%M:%S%.f").to_string(), wanted, "{text}");
            assert_eq!(parsed.offset, offset, "{text}");
        }
        for text in ["", "Invalid", "2024-13-01", "2024-01-01 25:00:00", "2024-01-01 10:00:00 nowhere", "12:30", "1/2"] {
            assert_eq!(parse_auto(text), None, "{text}");
        }
        for (text, wanted) in
            [("12:30", "12:30:00"), ("12:30:01.5", "12:30:01.500"), ("01:02 PM", "13:02:00"), ("23:59:59+01:00", "23:59:59")]
        {
            assert_eq!(parse_auto_time(text).map(|t| t.format("%H:%M:%S%.f").to_string()).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(parse_auto_time("Invalid"), None);
        assert_eq!(parse_auto_time("25:00"), None);
    }
}
