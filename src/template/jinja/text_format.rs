//! Python's two ways to format: `'%s' % value` and `'{}'.format(value)`.

use super::{
    ast::Name,
    display,
    fault::{Eval, Fault},
    number, repr,
    value::Value,
};

const MAX_WIDTH: usize = 10_000;

pub(super) fn percent(format: &str, value: &Value) -> Eval<String> {
    let mut positional = match value {
        Value::Tuple(items) => items.to_vec(),
        other => vec![other.clone()],
    }
    .into_iter();
    let mapping = matches!(value, Value::Dict(_));
    let mut out = String::with_capacity(format.len());
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut key = None;
        if chars.peek() == Some(&'(') {
            chars.next();
            key = Some(chars.by_ref().take_while(|c| *c != ')').collect::<String>());
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '0' | '#')) {
            match flag {
                '-' => spec.align = Some('<'),
                '+' => spec.plus = true,
                '0' => spec.zero = true,
                _ => {}
            }
        }
        spec.width = digits(&mut chars)?;
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(digits(&mut chars)?.unwrap_or(0));
        }
        let Some(kind) = chars.next() else { return Err(Fault::kind("a format ends in the middle of `%`")) };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let arg = match &key {
            Some(key) => value.get(key).ok_or_else(|| Fault::kind(format!("the format names `{key}`, which is not given")))?,
            None => positional.next().ok_or_else(|| Fault::kind("not enough values for the format"))?,
        };
        if spec.align.is_none() {
            spec.align = Some('>');
        }
        match kind {
            's' => spec.kind = None,
            'r' => {
                out.push_str(&apply(&spec, &Value::text(repr(&arg)))?);
                continue;
            }
            'i' | 'u' => spec.kind = Some('d'),
            'd' | 'f' | 'F' | 'e' | 'g' | 'x' | 'X' | 'o' | 'c' => spec.kind = Some(kind),
            other => return Err(Fault::kind(format!("unknown format `%{other}`"))),
        }
        let arg = if spec.kind.is_none() { Value::text(display(&arg)) } else { arg };
        let arg = match (spec.kind, &arg) {
            (Some('d' | 'x' | 'X' | 'o'), Value::Float(f)) => Value::Int(*f as i64),
            _ => arg,
        };
        out.push_str(&apply(&spec, &arg)?);
    }
    if positional.next().is_some() && !mapping {
        return Err(Fault::kind("not all values are used by the format"));
    }
    Ok(out)
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Eval<Option<usize>> {
    let mut number = None;
    while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        number = Some(number.unwrap_or(0) * 10 + d as usize);
        if number > Some(MAX_WIDTH) {
            return Err(Fault::new("template/limit", format!("a format is wider than {MAX_WIDTH}")));
        }
    }
    Ok(number)
}

/// `{}`, `{0}`, `{name}`, `{name.key}`, `{0[key]}`, `{!r}`, `{:>8.2f}`, `{{`, `}}`.
pub(super) fn braces(format: &str, positional: &[Value], keyword: &[(Name, Value)]) -> Eval<String> {
    let mut out = String::with_capacity(format.len());
    let mut rest = format;
    let mut next = 0;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let end = rest.find('}').filter(|_| brace == "{").ok_or_else(|| Fault::kind("a single brace in a format"))?;
        let field = &rest[..end];
        rest = &rest[end + 1..];
        let (field, spec) = field.split_once(':').unwrap_or((field, ""));
        let (field, conversion) = field.split_once('!').unwrap_or((field, ""));
        let name_end = field.find(['.', '[']).unwrap_or(field.len());
        let (name, path) = field.split_at(name_end);
        let mut value = if name.is_empty() {
            next += 1;
            positional.get(next - 1).cloned()
        } else if let Ok(i) = name.parse::<usize>() {
            positional.get(i).cloned()
        } else {
            keyword.iter().find(|(n, _)| **n == *name).map(|(_, v)| v.clone())
        }
        .ok_or_else(|| Fault::kind(format!("the format needs a value for `{{{field}}}`")))?;
        for key in path.split(['.', '[']).map(|k| k.trim_end_matches(']')).filter(|k| !k.is_empty()) {
            let found = match &value {
                Value::List(items) => key.parse::<usize>().ok().and_then(|i| items.borrow().get(i).cloned()),
                Value::Tuple(items) => key.parse::<usize>().ok().and_then(|i| items.get(i).cloned()),
                other => other.get(key),
            };
            value = found.ok_or_else(|| Fault::kind(format!("the format names `{key}`, which is not there")))?;
        }
        if conversion == "r" {
            value = Value::text(repr(&value));
        } else if conversion == "s" {
            value = Value::text(display(&value));
        }
        out.push_str(&apply(&Spec::parse(spec)?, &value)?);
    }
    out.push_str(rest);
    Ok(out)
}

struct Spec {
    fill: char,
    align: Option<char>,
    plus: bool,
    zero: bool,
    thousands: Option<char>,
    width: Option<usize>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Default for Spec {
    fn default() -> Self {
        Self { fill: ' ', align: None, plus: false, zero: false, thousands: None, width: None, precision: None, kind: None }
    }
}

impl Spec {
    fn parse(text: &str) -> Eval<Self> {
        let mut spec = Self::default();
        let mut chars = text.chars().peekable();
        let is_align = |c: char| matches!(c, '<' | '>' | '^' | '=');
        let mut ahead = text.chars();
        let first = ahead.next();
        if ahead.next().is_some_and(is_align) {
            spec.fill = first.unwrap_or(' ');
            chars.next();
            spec.align = chars.next();
        } else {
            spec.align = chars.next_if(|c| is_align(*c));
        }
        if let Some(sign) = chars.next_if(|c| matches!(c, '+' | '-' | ' ')) {
            spec.plus = sign == '+';
        }
        chars.next_if_eq(&'#');
        spec.zero = chars.next_if_eq(&'0').is_some();
        spec.width = digits(&mut chars)?;
        spec.thousands = chars.next_if(|c| matches!(c, ',' | '_'));
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = digits(&mut chars)?;
        }
        spec.kind = chars.next();
        if chars.next().is_some() {
            return Err(Fault::kind(format!("the format `{text}` is not understood")));
        }
        Ok(spec)
    }
}

fn apply(spec: &Spec, value: &Value) -> Eval<String> {
    let number = number::as_float(value);
    let wrong = |kind: char| Fault::kind(format!("the format `{kind}` needs a number, not `{}`", value.type_name()));
    let float = |kind| number.ok_or_else(|| wrong(kind));
    let int = |kind| number::as_int(value).ok_or_else(|| wrong(kind));
    let precision = spec.precision.unwrap_or(6);
    let mut text = match spec.kind {
        None | Some('s') => {
            let text = display(value);
            match (spec.precision, value) {
                (Some(p), Value::Float(f)) => number::print_float(number::round(*f, p as i64)),
                (Some(p), _) => text.chars().take(p).collect(),
                (None, _) => text,
            }
        }
        Some('d') => int('d')?.to_string(),
        Some('x') => format!("{:x}", int('x')?),
        Some('X') => format!("{:X}", int('X')?),
        Some('o') => format!("{:o}", int('o')?),
        Some('b') => format!("{:b}", int('b')?),
        Some('c') => match value {
            Value::Str(s) => s.to_string(),
            _ => u32::try_from(int('c')?).ok().and_then(char::from_u32).map(String::from).ok_or_else(|| wrong('c'))?,
        },
        Some('f' | 'F') => format!("{:.precision$}", float('f')?),
        Some('%') => format!("{:.precision$}%", float('%')? * 100.0),
        Some('e') => {
            let text = format!("{:.precision$e}", float('e')?);
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        Some('g') => {
            let f = float('g')?;
            let text = number::print_float(number::round(f, (precision as i64 - 1 - f.abs().max(1e-300).log10().floor() as i64).max(0)));
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        }
        Some(other) => return Err(Fault::kind(format!("unknown format `{other}`"))),
    };
    if let Some(separator) = spec.thousands {
        let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
        let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |w| ("-", w));
        let mut grouped = String::new();
        for (i, c) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i) % 3 == 0 {
                grouped.push(separator);
            }
            grouped.push(c);
        }
        text = format!("{sign}{grouped}{}", fraction.map(|f| format!(".{f}")).unwrap_or_default());
    }
    if spec.plus && number.is_some_and(|n| n >= 0.0) {
        text.insert(0, '+');
    }
    let Some(width) = spec.width else { return Ok(text) };
    let missing = width.saturating_sub(text.chars().count());
    if spec.zero && number.is_some() && spec.align != Some('<') {
        let sign = usize::from(text.starts_with(['-', '+']));
        text.insert_str(sign, &"0".repeat(missing));
        return Ok(text);
    }
    Ok(pad(&text, missing, spec.align.unwrap_or(if number.is_some() { '>' } else { '<' }), spec.fill))
}

/// `align` is `<`, `>`, `^`.
pub(super) fn pad(text: &str, missing: usize, align: char, fill: char) -> String {
    let (left, right) = match align {
        '<' => (0, missing),
        '^' => (missing / 2, missing - missing / 2),
        _ => (missing, 0),
    };
    let repeat = |n: usize| std::iter::repeat_n(fill, n).collect::<String>();
    format!("{}{text}{}", repeat(left), repeat(right))
}
