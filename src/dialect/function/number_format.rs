//! Numbers with a format: TO_VARCHAR(number, format), TO_NUMBER(text, format) (Snowflake documentation, "SQL format
//! models": fixed-position and text-minimal numeric models).

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, StringArray},
        datatypes::{Decimal128Type, FieldRef, Float64Type},
    },
    common::{Result, plan_err},
};

use super::{
    cast::{Failure, convert_in, number_array, rescale},
    scalar::{Arity, CallTypes, Function, Rows, fail},
};
use crate::dialect::types::Type;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("__to_number", Arity::Exactly(3), target, |r| read(r, Failure::Error)),
    Function::new("__try_to_number", Arity::Exactly(3), target, |r| read(r, Failure::Null)),
];

fn target(call: &CallTypes) -> Result<FieldRef> {
    match call.text(2).map(|t| Type::parse(&t)) {
        Some(Ok(t)) => Ok(t.field(call.name)),
        _ => plan_err!("the target of TO_NUMBER is a type"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Minimal {
    /// `TM`: whichever is shorter.
    Any,
    /// `TM9`
    Fixed,
    /// `TME`
    Scientific,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    Literal(String),
    /// `0` (true) or `9`
    Digit(bool),
    /// `.` or `D`
    Point,
    /// `,` or `G`
    Group,
    Currency,
    /// `S`
    Sign,
    /// `MI`
    Minus,
    /// `X`; upper case or lower case
    Hex(bool),
    /// `B`
    BlankZero,
    /// `EE`, `EEE`...: digits of the exponent, upper case
    Exponent(usize, bool),
    Minimal(Minimal, bool),
}

#[derive(Clone, Debug)]
struct Model {
    elements: Vec<Element>,
    fill: bool,
}

impl Model {
    fn parse(text: &str) -> Option<Self> {
        let mut model = Self { elements: vec![], fill: true };
        let mut rest = text;
        let mut numeric = false;
        while let Some(c) = rest.chars().next() {
            let head = |n: usize| rest.get(..n).unwrap_or("").to_uppercase();
            let (element, length) = match c {
                '"' => {
                    let end = rest[1..].find('"')?;
                    (Element::Literal(rest[1..=end].to_owned()), end + 2)
                }
                _ if head(2) == "FM" => {
                    model.fill = !model.fill;
                    rest = &rest[2..];
                    continue;
                }
                _ if head(3) == "TM9" => (Element::Minimal(Minimal::Fixed, true), 3),
                _ if head(3) == "TME" => (Element::Minimal(Minimal::Scientific, rest.as_bytes()[2] == b'E'), 3),
                _ if head(2) == "TM" => (Element::Minimal(Minimal::Any, true), 2),
                _ if head(2) == "MI" => (Element::Minus, 2),
                '0' | '9' => (Element::Digit(c == '0'), 1),
                '.' if numeric || rest[1..].starts_with(['0', '9']) => (Element::Point, 1),
                'D' | 'd' => (Element::Point, 1),
                ',' if numeric => (Element::Group, 1),
                'G' | 'g' => (Element::Group, 1),
                '$' => (Element::Currency, 1),
                'S' | 's' => (Element::Sign, 1),
                'B' | 'b' => (Element::BlankZero, 1),
                'X' | 'x' => (Element::Hex(c == 'X'), 1),
                'E' | 'e' => {
                    let count = rest.bytes().take_while(|b| b.eq_ignore_ascii_case(&b'e')).count();
                    if !(2..=5).contains(&count) {
                        return None;
                    }
                    (Element::Exponent(count - 1, c == 'E'), count)
                }
                ' ' | ',' | '.' | ';' | ':' | '-' | '=' | '/' | '(' | ')' => (Element::Literal(c.to_string()), 1),
                _ => return None,
            };
            numeric |= matches!(element, Element::Digit(_) | Element::Hex(_));
            model.elements.push(element);
            rest = &rest[length..];
        }
        Some(model)
    }

    fn has(&self, wanted: impl Fn(&Element) -> bool) -> bool {
        self.elements.iter().any(wanted)
    }

    fn minimal(&self) -> Option<(Minimal, bool)> {
        self.elements.iter().find_map(|e| if let Element::Minimal(m, upper) = e { Some((*m, *upper)) } else { None })
    }

    fn hex_digits(&self) -> usize {
        self.elements.iter().filter(|e| matches!(e, Element::Hex(_))).count()
    }

    /// Digit positions before and after the point.
    fn digits(&self) -> (usize, usize) {
        let point = self.elements.iter().position(|e| *e == Element::Point).unwrap_or(self.elements.len());
        let count = |part: &[Element]| part.iter().filter(|e| matches!(e, Element::Digit(_))).count();
        (count(&self.elements[..point]), count(&self.elements[point..]))
    }

    fn print(&self, value: &Decimal) -> Option<String> {
        if let Some((how, upper)) = self.minimal() {
            let text = value.minimal(how, upper);
            let explicit = self.has(|e| *e == Element::Sign) && !value.negative;
            return Some(self.around(&if explicit { format!("+{text}") } else { text }));
        }
        if self.has(|e| matches!(e, Element::Hex(_))) {
            return self.print_hex(value);
        }
        let (before, after) = self.digits();
        let exponent = self.elements.iter().find_map(|e| if let Element::Exponent(n, upper) = e { Some((*n, *upper)) } else { None });
        let (value, power) = match exponent {
            Some(_) => value.scaled_to(before.max(1) as i32),
            None => (value.clone(), 0),
        };
        let rounded = rescale(value.unscaled, value.scale, i8::try_from(after).ok()?)?;
        let text = format!("{rounded:0>width$}", width = after + 1);
        let (whole, fraction) = text.split_at(text.len() - after);
        let whole = whole.trim_start_matches('0');
        let negative = value.negative && (rounded != 0 || value.unscaled != 0);
        let overflow = whole.len() > before;
        let whole: Vec<char> = if overflow { vec!['#'; before] } else { format!("{whole:0>before$}").chars().collect() };
        let fraction: Vec<char> = if overflow { vec!['#'; after] } else { fraction.chars().collect() };
        let significant = if overflow { 0 } else { whole.iter().position(|c| *c != '0').unwrap_or(before) };
        // the first digit that is printed: what leads with 0 in the model, or the first that counts
        let forced = self.leading().iter().position(|zero| *zero).unwrap_or(before);
        let blank_zero = self.has(|e| *e == Element::BlankZero);
        let last = if blank_zero || before == 0 { before } else { before - 1 };
        let first = significant.min(forced).min(last);
        let zero = rounded == 0;
        if zero && blank_zero && after == 0 && forced == before {
            let width = self.elements.iter().filter(|e| matches!(e, Element::Digit(_) | Element::Group | Element::Currency)).count() + 1;
            return Some(self.around(&if self.fill { " ".repeat(width) } else { String::new() }));
        }
        let has_sign = self.has(|e| matches!(e, Element::Sign | Element::Minus));
        let implicit = if has_sign { None } else { Some(if negative { '-' } else { ' ' }) };
        let currency = self.has(|e| *e == Element::Currency);
        let mut out = String::new();
        let (mut position, mut after_point, mut started) = (0, 0, false);
        let start = |out: &mut String, started: &mut bool| {
            if !*started {
                *started = true;
                if let Some(sign) = implicit.filter(|s| *s == '-' || self.fill) {
                    out.push(sign);
                }
                if currency {
                    out.push('$');
                }
            }
        };
        let mut in_fraction = false;
        for element in &self.elements {
            match element {
                Element::Literal(text) => out.push_str(text),
                Element::Digit(_) if in_fraction => {
                    start(&mut out, &mut started);
                    out.push(fraction.get(after_point).copied().unwrap_or('0'));
                    after_point += 1;
                }
                Element::Digit(_) => {
                    if position >= first {
                        start(&mut out, &mut started);
                        out.push(whole[position]);
                    } else if self.fill {
                        out.push(' ');
                    }
                    position += 1;
                }
                Element::Group => {
                    if position > first || overflow {
                        out.push(',');
                    } else if self.fill {
                        out.push(' ');
                    }
                }
                Element::Point => {
                    in_fraction = true;
                    start(&mut out, &mut started);
                    out.push('.');
                }
                Element::Sign => out.push(if negative { '-' } else { '+' }),
                Element::Minus if negative => out.push('-'),
                Element::Minus => out.push_str(if self.fill { " " } else { "" }),
                Element::Exponent(width, upper) => {
                    let sign = if power < 0 { '-' } else { '+' };
                    out.push_str(&format!("{}{sign}{:0>width$}", if *upper { 'E' } else { 'e' }, power.abs()));
                }
                Element::Currency | Element::BlankZero | Element::Hex(_) | Element::Minimal(..) => {}
            }
        }
        if !self.fill {
            // 9s behind the point leave no zeros at the end
            let trailing = self.trailing_nines();
            for _ in 0..trailing {
                if out.ends_with('0') && in_fraction {
                    out.pop();
                } else {
                    break;
                }
            }
        }
        Some(out)
    }

    /// Whether each digit position before the point is a `0`.
    fn leading(&self) -> Vec<bool> {
        let point = self.elements.iter().position(|e| *e == Element::Point).unwrap_or(self.elements.len());
        self.elements[..point].iter().filter_map(|e| if let Element::Digit(zero) = e { Some(*zero) } else { None }).collect()
    }

    fn trailing_nines(&self) -> usize {
        match self.elements.last() {
            Some(Element::Digit(_)) => self.elements.iter().rev().take_while(|e| **e == Element::Digit(false)).count(),
            _ => 0,
        }
    }

    /// Literals before and after the number.
    fn around(&self, number: &str) -> String {
        let mut out = String::new();
        let mut written = false;
        for element in &self.elements {
            match element {
                Element::Literal(text) => out.push_str(text),
                _ if !written => {
                    out.push_str(number);
                    written = true;
                }
                _ => {}
            }
        }
        out
    }

    fn print_hex(&self, value: &Decimal) -> Option<String> {
        let digits = self.elements.iter().filter(|e| matches!(e, Element::Hex(_) | Element::Digit(_))).count();
        let upper = self.has(|e| *e == Element::Hex(true));
        let whole = rescale(value.signed(), value.scale, 0)?;
        let signed = self.has(|e| *e == Element::Sign);
        let magnitude = if signed || whole >= 0 {
            whole.unsigned_abs()
        } else {
            // two's complement in as many digits as there are
            let bits = (digits * 4).min(127) as u32;
            ((1_i128 << bits) + whole) as u128
        };
        let text = if upper { format!("{magnitude:X}") } else { format!("{magnitude:x}") };
        if text.len() > digits {
            return Some(self.around(&"#".repeat(digits)));
        }
        let zeros = self.elements.iter().find_map(|e| match e {
            Element::Digit(zero) => Some(*zero),
            Element::Hex(_) => Some(false),
            _ => None,
        });
        let padded = if zeros == Some(true) {
            format!("{text:0>digits$}")
        } else if self.fill {
            format!("{text:>digits$}")
        } else {
            text
        };
        Some(self.around(&if signed { format!("{}{padded}", if whole < 0 { '-' } else { '+' }) } else { padded }))
    }

    /// Text as an unscaled number with its scale.
    fn read(&self, text: &str) -> Option<(i128, i8)> {
        let text = text.trim();
        let mut rest = text;
        for element in &self.elements {
            match element {
                Element::Literal(wanted) => rest = rest.trim_start().strip_prefix(wanted.trim())?,
                _ => break,
            }
        }
        for element in self.elements.iter().rev() {
            match element {
                Element::Literal(wanted) => rest = rest.trim_end().strip_suffix(wanted.trim())?,
                _ => break,
            }
        }
        let mut negative = false;
        let mut signed = false;
        let mut body = rest.trim();
        if let Some(after) = body.strip_prefix(['-', '+']) {
            (negative, signed, body) = (body.starts_with('-'), true, after.trim_start());
        }
        if let Some(after) = body.strip_prefix('$') {
            if !self.has(|e| *e == Element::Currency) {
                return None;
            }
            body = after.trim_start();
            if let Some(after) = body.strip_prefix(['-', '+']).filter(|_| !signed) {
                (negative, signed, body) = (body.starts_with('-'), true, after.trim_start());
            }
        } else if self.has(|e| *e == Element::Currency) && self.has(|e| *e == Element::Literal("$".into())) {
            return None;
        }
        if let Some(before) = body.strip_suffix(['-', '+']).filter(|_| !signed && self.has(|e| matches!(e, Element::Sign | Element::Minus)))
        {
            (negative, body) = (body.ends_with('-'), before.trim_end());
        }
        let sign = if negative { -1 } else { 1 };
        if self.has(|e| matches!(e, Element::Hex(_))) {
            let room = self.hex_digits() + self.digits().0;
            let value = i128::from_str_radix(body, 16).ok().filter(|_| body.len() <= room && !body.starts_with(['-', '+']))?;
            return Some((sign * value, 0));
        }
        if self.minimal().is_some() {
            let (value, scale) = decimal(body)?;
            return Some((sign * value, scale));
        }
        let (mantissa, exponent) = match body.find(['e', 'E']) {
            Some(at) if self.has(|e| matches!(e, Element::Exponent(..))) => (&body[..at], body[at + 1..].parse::<i32>().ok()?),
            Some(_) => return None,
            None => (body, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let groups = self.has(|e| *e == Element::Group);
        if whole.contains(',') && !groups {
            return None;
        }
        if mantissa.contains('.') && !self.has(|e| *e == Element::Point) {
            return None;
        }
        let whole: String = whole.chars().filter(|c| *c != ',').collect();
        let (before, after) = self.digits();
        if whole.trim_start_matches('0').len() > before || fraction.len() > after || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (value, scale) = decimal(&format!("{whole}.{fraction}e{exponent}"))?;
        Some((sign * value, scale))
    }
}

/// A number in digits with point and exponent.
fn decimal(text: &str) -> Option<(i128, i8)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if (whole.is_empty() && fraction.is_empty()) || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()? - exponent;
    if scale < 0 {
        return Some((value.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?, 0));
    }
    Some((value, i8::try_from(scale).ok()?))
}

/// An exact number: digits without sign.
#[derive(Clone, Debug)]
struct Decimal {
    negative: bool,
    unscaled: i128,
    scale: i8,
}

impl Decimal {
    fn signed(&self) -> i128 {
        if self.negative { -self.unscaled } else { self.unscaled }
    }

    /// With `digits` digits before the point, and the power of ten that makes up for it.
    fn scaled_to(&self, digits: i32) -> (Self, i32) {
        if self.unscaled == 0 {
            return (self.clone(), 0);
        }
        let have = self.unscaled.ilog10() as i32 + 1 - i32::from(self.scale);
        let power = have - digits;
        (Self { scale: i8::try_from(i32::from(self.scale) + power).unwrap_or(self.scale), ..self.clone() }.positive_scale(), power)
    }

    fn positive_scale(self) -> Self {
        if self.scale >= 0 {
            return self;
        }
        match 10_i128.checked_pow(self.scale.unsigned_abs().into()).and_then(|p| self.unscaled.checked_mul(p)) {
            Some(unscaled) => Self { unscaled, scale: 0, ..self },
            None => self,
        }
    }

    fn minimal(&self, how: Minimal, upper: bool) -> String {
        let sign = if self.negative { "-" } else { "" };
        let fixed = format!("{sign}{}", super::value::decimal_text(self.unscaled, self.scale));
        if how == Minimal::Fixed {
            return fixed;
        }
        let e = if upper { 'E' } else { 'e' };
        let digits = self.unscaled.to_string();
        let power = if self.unscaled == 0 { 0 } else { digits.len() as i32 - 1 - i32::from(self.scale) };
        let trimmed = digits.trim_end_matches('0');
        let mantissa = match trimmed.len() {
            0 => "0".to_owned(),
            1 => trimmed.to_owned(),
            _ => format!("{}.{}", &trimmed[..1], &trimmed[1..]),
        };
        let scientific = format!("{sign}{mantissa}{e}{power}");
        if how == Minimal::Scientific || scientific.len() < fixed.len() { scientific } else { fixed }
    }

    fn of_float(v: f64) -> Option<Self> {
        if !v.is_finite() {
            return None;
        }
        let text = format!("{:e}", v.abs());
        let (unscaled, scale) = decimal(&text)?;
        Some(Self { negative: v < 0.0, unscaled, scale })
    }
}

/// The models that an argument names; `None` where it is no numeric model.
fn models(formats: &StringArray) -> Result<Vec<Option<Model>>> {
    let mut last: Option<(&str, Model)> = None;
    formats
        .iter()
        .map(|text| {
            let Some(text) = text else { return Ok(None) };
            if let Some((known, model)) = &last
                && *known == text
            {
                return Ok(Some(model.clone()));
            }
            let Some(model) = Model::parse(text) else { return fail(format!("'{text}' is not a numeric format")) };
            last = Some((text, model.clone()));
            Ok(Some(model))
        })
        .collect()
}

/// TO_VARCHAR(number, format).
pub(super) fn print(r: &Rows) -> Result<ArrayRef> {
    let formats = r.text(1)?;
    let models = models(&formats)?;
    let plain = r.text(0)?;
    let numbers: Vec<Option<Decimal>> = match r.types[0] {
        Type::Number { scale, .. } => {
            let wide = Type::Number { precision: 38, scale: scale.max(1) };
            let array = convert_in(&r.args[0], r.types[0], wide, Failure::Error, r.settings)?;
            let shrink = |v: i128| if scale == 0 { v / 10 } else { v };
            array
                .as_primitive::<Decimal128Type>()
                .iter()
                .map(|v| v.map(shrink).map(|v| Decimal { negative: v < 0, unscaled: v.abs(), scale }))
                .collect()
        }
        of => {
            let array = convert_in(&r.args[0], of, Type::Float, Failure::Error, r.settings)?;
            array.as_primitive::<Float64Type>().iter().map(|v| v.and_then(Decimal::of_float)).collect()
        }
    };
    let texts = models.into_iter().enumerate().map(|(i, model)| {
        if plain.is_null(i) {
            return Ok(None);
        }
        match (model, &numbers[i]) {
            (None, _) => Ok(None),
            // an empty format is the default
            (Some(model), _) if model.elements.is_empty() => Ok(Some(plain.value(i).to_owned())),
            (Some(model), Some(number)) => match model.print(number) {
                Some(text) => Ok(Some(text)),
                None => fail(format!("the number {} cannot be printed as '{}'", plain.value(i), formats.value(i))),
            },
            // inf and NaN have no digits
            (Some(_), None) => Ok(Some(plain.value(i).to_owned())),
        }
    });
    Ok(Arc::new(StringArray::from(texts.collect::<Result<Vec<_>>>()?)))
}

/// TO_NUMBER(text, format, target).
fn read(r: &Rows, failure: Failure) -> Result<ArrayRef> {
    let Type::Number { precision, scale } = r.result else { return fail("the target of TO_NUMBER is a number") };
    let (texts, formats) = (r.text(0)?, r.text(1)?);
    let models = models(&formats)?;
    let values = models.into_iter().enumerate().map(|(i, model)| {
        let Some(model) = model.filter(|_| !texts.is_null(i)) else { return Ok(None) };
        let value = model.read(texts.value(i)).and_then(|(v, from)| rescale(v, from, scale));
        match value {
            None if failure == Failure::Error => {
                fail(format!("the text '{}' is not a number in the format '{}'", texts.value(i), formats.value(i)))
            }
            value => Ok(value),
        }
    });
    number_array(values.collect::<Result<Vec<_>>>()?, precision, scale, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &str, value: &str) -> String {
        let (unscaled, scale) = decimal(value.trim_start_matches('-')).expect(value);
        Model::parse(format).expect(format).print(&Decimal { negative: value.starts_with('-'), unscaled, scale }).expect(format)
    }

    #[test]
    fn numbers_print_in_models() {
        for (format, value, wanted) in [
            ("99.0", "-12.391", "-12.4"),
            ("\">\"$99.0\"<\"", "-12.391", ">-$12.4<"),
            ("\">\"B9,999.0\"<\"", "-12.391", ">   -12.4<"),
            ("\">\"B9,999.0\"<\"", "0.000", ">      .0<"),
            ("\">\"B9,999.0\"<\"", "3987.000", "> 3,987.0<"),
            ("\">\"$99.0\"<\"", "3987.000", "> $##.#<"),
            ("TME", "-12.391", "-1.2391E1"),
            ("TME", "0.000", "0E0"),
            ("TM9", "3987.000", "3987.000"),
            ("\">\"0XXX\"<\"", "-12.391", ">FFF4<"),
            ("\">\"S0XXX\"<\"", "-12.391", ">-000C<"),
            ("\">\"0XXX\"<\"", "3987.000", ">0F93<"),
            ("999", "5", "   5"),
            ("000", "5", " 005"),
            ("FM999", "5", "5"),
            ("FM999.99", "5.5", "5.5"),
            ("FM999.00", "5.5", "5.50"),
            ("S999", "5", "+  5"),
            ("999MI", "-5", "  5-"),
            ("9.99EEEE", "1234.5", " 1.23E+003"),
            ("$9,999.99", "1234.567", " $1,234.57"),
        ] {
            assert_eq!(shown(format, value), wanted, "{format} {value}");
        }
    }

    #[test]
    fn numbers_are_read_in_models() {
        for (format, text, wanted) in [
            ("99.9", "-12.3", Some((-123, 1))),
            ("99.9", "- 0.1", Some((-1, 1))),
            ("9,999.99", "3,741.72", Some((374_172, 2))),
            ("$9,999.99", "$3,741.72", Some((374_172, 2))),
            ("XXX", "ae5", Some((2789, 0))),
            ("XX", "ae5", None),
            ("TM9", "- 0.1", Some((-1, 1))),
            ("99.9", "123.4", None),
            ("999", "1,2", None),
        ] {
            assert_eq!(Model::parse(format).expect(format).read(text), wanted, "{format} {text}");
        }
        assert!(Model::parse("hello").is_none());
    }
}
