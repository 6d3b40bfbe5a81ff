//! Snowflake's date and time formats (documentation, "Date and time input and output formats"): compiled once, then
//! used to print and to read.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

use super::{Parsed, Stamp};
use crate::dialect::types::Type;

/// The first year of the hundred that two-digit years mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Century(pub i32);

impl Default for Century {
    fn default() -> Self {
        Self(1970)
    }
}

impl Century {
    fn year(self, two: u32) -> i32 {
        let base = self.0 - self.0.rem_euclid(100) + two as i32;
        if base < self.0 { base + 100 } else { base }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    Year4,
    Year2,
    /// `MM`
    Month,
    /// `MON`
    MonthShort,
    /// `MMMM`
    MonthLong,
    Day,
    /// `DY`
    Weekday,
    Hour24,
    Hour12,
    /// `AM` or `PM`
    Meridian,
    Minute,
    Second,
    /// Digits.
    Fraction(u8),
    /// `TZH:TZM`
    ZoneColon,
    /// `TZHTZM`
    Zone,
    ZoneHour,
    ZoneMinute,
    Literal(String),
}

/// A format, or AUTO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    Auto,
    Elements(Elements),
}

/// What a format is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements(Vec<Element>);

/// Longer spellings before their beginnings.
const SPELLINGS: &[(&str, Element)] = &[
    ("TZH:TZM", Element::ZoneColon),
    ("TZHTZM", Element::Zone),
    ("TZISO", Element::ZoneColon),
    ("TZH", Element::ZoneHour),
    ("TZM", Element::ZoneMinute),
    ("YYYY", Element::Year4),
    ("UUUU", Element::Year4),
    ("YY", Element::Year2),
    ("MMMM", Element::MonthLong),
    ("MON", Element::MonthShort),
    ("MM", Element::Month),
    ("MI", Element::Minute),
    ("DD", Element::Day),
    ("DY", Element::Weekday),
    ("HH24", Element::Hour24),
    ("HH12", Element::Hour12),
    ("HH", Element::Hour24),
    ("AM", Element::Meridian),
    ("PM", Element::Meridian),
    ("SS", Element::Second),
];

impl Format {
    /// Never fails: what is no element stands for itself.
    pub fn parse(text: &str) -> Self {
        if text.trim().eq_ignore_ascii_case("auto") {
            return Self::Auto;
        }
        let mut elements: Vec<Element> = vec![];
        let mut rest = text;
        let literal = |elements: &mut Vec<Element>, text: &str| match elements.last_mut() {
            Some(Element::Literal(before)) => before.push_str(text),
            _ => elements.push(Element::Literal(text.to_owned())),
        };
        'next: while let Some(c) = rest.chars().next() {
            if c == '"' {
                let inner = &rest[1..];
                let end = inner.find('"').unwrap_or(inner.len());
                literal(&mut elements, &inner[..end]);
                rest = inner.get(end + 1..).unwrap_or("");
                continue;
            }
            if let Some(after) = strip(rest, "FF") {
                let digit = after.chars().next().and_then(|c| c.to_digit(10));
                elements.push(Element::Fraction(digit.unwrap_or(9) as u8));
                rest = if digit.is_some() { &after[1..] } else { after };
                continue;
            }
            for (spelling, element) in SPELLINGS {
                if let Some(after) = strip(rest, spelling) {
                    elements.push(element.clone());
                    rest = after;
                    continue 'next;
                }
            }
            literal(&mut elements, &rest[..c.len_utf8()]);
            rest = &rest[c.len_utf8()..];
        }
        Self::Elements(Elements(elements))
    }
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// `Jan`
pub fn month_name(month: u32) -> &'static str {
    MONTHS.get(month as usize - 1).map_or("", |m| &m[..3])
}

/// `Mon`
pub fn day_name(day: Weekday) -> &'static str {
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][day.num_days_from_monday() as usize]
}

/// The month that a name begins with, by at least three letters, and how many bytes were read.
pub(super) fn month_at(text: &str) -> Option<(u32, usize)> {
    MONTHS.iter().enumerate().find_map(|(i, name)| {
        let length = if strip(text, name).is_some() { name.len() } else { 3 };
        strip(text, &name[..length]).map(|_| (i as u32 + 1, length))
    })
}

/// How many bytes the name of a day takes at the beginning.
pub(super) fn weekday_at(text: &str) -> Option<usize> {
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
        .iter()
        .find_map(|name| strip(text, name).map(|_| name.len()).or_else(|| strip(text, &name[..3]).map(|_| 3)))
}

impl Elements {
    pub fn print(&self, stamp: Stamp, of: Type) -> String {
        use std::fmt::Write;
        let t = stamp.wall;
        let mut out = String::with_capacity(24);
        let zoned = matches!(of, Type::TimestampLtz | Type::TimestampTz);
        let minutes = stamp.offset.div_euclid(60);
        let sign = if minutes < 0 { '-' } else { '+' };
        let (zone_hours, zone_minutes) = (minutes.abs() / 60, minutes.abs() % 60);
        for element in &self.0 {
            // writing to a string cannot fail
            let _ = match element {
                Element::Year4 => write!(out, "{:04}", t.year()),
                Element::Year2 => write!(out, "{:02}", t.year().rem_euclid(100)),
                Element::Month => write!(out, "{:02}", t.month()),
                Element::MonthShort => out.write_str(month_name(t.month())),
                Element::MonthLong => out.write_str(MONTHS[t.month0() as usize]),
                Element::Day => write!(out, "{:02}", t.day()),
                Element::Weekday => out.write_str(day_name(t.weekday())),
                Element::Hour24 => write!(out, "{:02}", t.hour()),
                Element::Hour12 => write!(out, "{:02}", t.hour12().1),
                Element::Meridian => out.write_str(if t.hour() < 12 { "AM" } else { "PM" }),
                Element::Minute => write!(out, "{:02}", t.minute()),
                Element::Second => write!(out, "{:02}", t.second()),
                Element::Fraction(0) => {
                    if out.ends_with('.') {
                        out.pop();
                    }
                    Ok(())
                }
                Element::Fraction(n) => {
                    let digits = format!("{:09}", t.nanosecond() % 1_000_000_000);
                    out.write_str(&digits[..usize::from(*n).min(9)])
                }
                Element::ZoneColon | Element::Zone | Element::ZoneHour if !zoned => out.write_str("Z"),
                Element::ZoneMinute if !zoned => Ok(()),
                Element::ZoneColon => write!(out, "{sign}{zone_hours:02}:{zone_minutes:02}"),
                Element::Zone => write!(out, "{sign}{zone_hours:02}{zone_minutes:02}"),
                Element::ZoneHour => write!(out, "{sign}{zone_hours:02}"),
                Element::ZoneMinute => write!(out, "{zone_minutes:02}"),
                Element::Literal(text) => out.write_str(text),
            };
        }
        out
    }

    pub fn read(&self, text: &str, century: Century) -> Option<Parsed> {
        let mut rest = text.trim();
        let (mut year, mut month, mut day) = (1970, 1, 1);
        let (mut hour, mut minute, mut second, mut nanos) = (0, 0, 0, 0);
        let (mut afternoon, mut twelve) = (None, false);
        let (mut zone_hour, mut zone_minute, mut negative, mut zoned) = (0_u32, 0_u32, false, false);
        for (i, element) in self.0.iter().enumerate() {
            match element {
                Element::Literal(wanted) => {
                    for c in wanted.chars() {
                        if c.is_whitespace() {
                            rest = rest.trim_start();
                        } else if let Some(after) = rest
                            .strip_prefix(c)
                            .or_else(|| rest.chars().next().filter(|r| r.eq_ignore_ascii_case(&c)).map(|r| &rest[r.len_utf8()..]))
                        {
                            rest = after;
                        } else if c == '.' && matches!(self.0.get(i + 1), Some(Element::Fraction(_))) {
                            // a fraction may be left out together with its point
                        } else {
                            return None;
                        }
                    }
                }
                Element::Year4 => {
                    let negative_year = rest.starts_with('-') && matches!(self.0.first(), Some(Element::Year4)) && i == 0;
                    year = number(&mut rest, 4, negative_year)? as i32;
                }
                Element::Year2 => {
                    let before = rest.len();
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let wanted = if digits >= 4 && self.follows_digits(i) { 2 } else { digits.min(4) };
                    let n = number(&mut rest, wanted.max(1), false)?;
                    year = if before - rest.len() <= 2 { century.year(n) } else { n as i32 };
                }
                Element::Month => month = number(&mut rest, 2, false)?,
                Element::MonthShort | Element::MonthLong => {
                    let (m, length) = month_at(rest)?;
                    // `MON` takes three letters, and the whole name where that stands there
                    (month, rest) = (m, &rest[length..]);
                }
                Element::Day => day = number(&mut rest, 2, false)?,
                Element::Weekday => rest = &rest[weekday_at(rest)?..],
                Element::Hour24 => hour = number(&mut rest, 2, false)?,
                Element::Hour12 => (hour, twelve) = (number(&mut rest, 2, false)?, true),
                Element::Meridian => {
                    rest = rest.trim_start();
                    afternoon = Some(strip(rest, "PM").is_some());
                    rest = strip(rest, "PM").or_else(|| strip(rest, "AM"))?;
                }
                Element::Minute => minute = number(&mut rest, 2, false)?,
                Element::Second => second = number(&mut rest, 2, false)?,
                Element::Fraction(_) => {
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count().min(9);
                    nanos = format!("{:0<9}", &rest[..digits]).parse().ok()?;
                    rest = &rest[digits..];
                }
                Element::ZoneColon | Element::Zone | Element::ZoneHour => {
                    rest = rest.trim_start();
                    zoned = true;
                    if let Some(after) = strip(rest, "Z") {
                        rest = after;
                        continue;
                    }
                    negative = rest.starts_with('-');
                    rest = rest.strip_prefix(['+', '-'])?;
                    zone_hour = number(&mut rest, 2, false)?;
                    if *element != Element::ZoneHour {
                        rest = rest.strip_prefix(':').unwrap_or(rest);
                        if rest.starts_with(|c: char| c.is_ascii_digit()) {
                            zone_minute = number(&mut rest, 2, false)?;
                        }
                    }
                }
                Element::ZoneMinute => zone_minute = number(&mut rest, 2, false)?,
            }
        }
        if !rest.trim().is_empty() {
            return None;
        }
        if twelve {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if afternoon == Some(true) { 12 } else { 0 };
        } else if afternoon == Some(true) && hour < 12 {
            hour += 12;
        }
        let offset = ((zone_hour * 60 + zone_minute) * 60) as i32;
        if zone_hour > 23 || zone_minute > 59 {
            return None;
        }
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?;
        Some(Parsed { wall: NaiveDateTime::new(date, time), offset: zoned.then_some(if negative { -offset } else { offset }) })
    }

    fn follows_digits(&self, at: usize) -> bool {
        matches!(
            self.0.get(at + 1),
            Some(Element::Month | Element::Day | Element::Hour24 | Element::Hour12 | Element::Minute | Element::Second)
        )
    }
}

/// Up to `most` digits, at least one.
fn number(rest: &mut &str, most: usize, sign: bool) -> Option<u32> {
    let text = if sign { return None } else { *rest };
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let (head, tail) = text.split_at(digits);
    *rest = tail;
    head.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(format: &str) -> Elements {
        match Format::parse(format) {
            Format::Elements(e) => e,
            Format::Auto => panic!("{format} is not AUTO"),
        }
    }

    #[test]
    fn printing() {
        let stamp = Stamp {
            wall: NaiveDate::from_ymd_opt(2024, 4, 5).and_then(|d| d.and_hms_nano_opt(13, 2, 3, 123_456_789)).expect("a moment"),
            offset: -7 * 3600,
        };
        for (format, wanted) in [
            ("mm/dd/yyyy, hh24:mi hours", "04/05/2024, 13:02 hours"),
            ("mon dd, yyyy", "Apr 05, 2024"),
            ("DY MMMM DD YY", "Fri April 05 24"),
            ("HH12:MI:SS AM", "01:02:03 PM"),
            ("YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM", "2024-04-05 13:02:03.123 -0700"),
            ("SS.FF9 TZH:TZM", "03.123456789 -07:00"),
            ("SS.FF0", "03"),
            ("SS.FF", "03.123456789"),
            ("YYYY\"T\"MM\"MM\"", "2024T04MM"),
        ] {
            assert_eq!(elements(format).print(stamp, Type::TimestampTz), wanted, "{format}");
        }
    }

    #[test]
    fn reading() {
        for (format, text, wanted) in [
            ("dd/mm/yyyy", "3/4/2024", Some("2024-04-03 00:00:00")),
            ("YYYYMMDD", "20240403", Some("2024-04-03 00:00:00")),
            ("DD-MON-YYYY HH12:MI:SS PM", "03-apr-2024 12:01:02 am", Some("2024-04-03 00:01:02")),
            ("MMMM DD, YY", "March 5, 69", Some("2069-03-05 00:00:00")),
            ("MM/DD/YY", "03/05/71", Some("1971-03-05 00:00:00")),
            ("YYYY-MM-DD HH24:MI:SS.FF", "2024-01-02 03:04:05.5", Some("2024-01-02 03:04:05.500")),
            ("YYYY-MM-DD", "2024-13-01", None),
            ("YYYY-MM-DD", "2024-01-01x", None),
        ] {
            let read = elements(format).read(text, Century::default()).map(|p| p.wall.format("%Y-%m-%d %H:%M:%S%.f").to_string());
            assert_eq!(read.as_deref(), wanted, "{format} {text}");
        }
        let zoned = elements("YYYY-MM-DD HH24:MI TZHTZM").read("2024-01-02 03:04 +0530", Century::default()).expect("read");
        assert_eq!(zoned.offset, Some(19_800));
    }
}
