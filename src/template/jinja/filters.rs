//! `value | name(args)`: Jinja's built-in filters. What is not known here is asked of the host (dbt's `as_number`...).

use std::sync::Arc;

use indexmap::IndexSet;

use super::{
    arguments::{Args, Expect},
    ast::{Name, Operator},
    display,
    fault::{Eval, Fault},
    machine::Machine,
    methods::{self, capitalize, title, trim},
    number, operators, predicates, repr, text_format,
    value::{Key, Value},
};
use crate::names::nearest;

const NAMES: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "format",
    "forceescape",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(super) fn apply(machine: &mut Machine<'_>, name: &str, value: &Value, args: &mut Args) -> Eval<Value> {
    let text = |t: String| Ok(Value::text(t));
    match name {
        "default" | "d" => {
            let [default, boolean] = args.bind(name, ["default_value", "boolean"])?;
            let missing = value.is_undefined() || (boolean.is_some_and(|b| b.is_true()) && !value.is_true());
            Ok(if missing { default.unwrap_or_else(|| Value::text("")) } else { value.clone() })
        }
        "upper" => text(display(value).to_uppercase()),
        "lower" => text(display(value).to_lowercase()),
        "capitalize" => text(capitalize(&display(value))),
        "title" => text(title(&display(value))),
        "string" | "safe" => Ok(if let Value::Str(_) = value { value.clone() } else { Value::text(display(value)) }),
        "pprint" => text(repr(value)),
        "escape" | "e" | "forceescape" => text(
            display(value).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&#34;"),
        ),
        "trim" => {
            let [chars] = args.bind(name, ["chars"])?;
            text(trim(&display(value), chars.as_ref(), true, true)?.to_owned())
        }
        "replace" => {
            let [old, new, count] = args.bind_required::<2, 3>(name, ["old", "new", "count"])?;
            let (old, new) = (display(&old.unwrap_or(Value::None)), display(&new.unwrap_or(Value::None)));
            let count = count.filter(|c| !c.is_none()).map(|c| c.expect_int("`count`")).transpose()?;
            let subject = display(value);
            if old.is_empty() && subject.len().saturating_mul(new.len()) > 16 << 20 {
                return Err(Fault::new("template/limit", "the replaced text would be too long"));
            }
            text(match count.and_then(|c| usize::try_from(c).ok()) {
                Some(count) => subject.replacen(&old, &new, count),
                None => subject.replace(&old, &new),
            })
        }
        "center" => {
            let [width] = args.bind(name, ["width"])?;
            let width = width.map_or(Ok(80), |w| w.expect_int("the width"))?.clamp(0, 1 << 20) as usize;
            let subject = display(value);
            text(text_format::pad(&subject, width.saturating_sub(subject.chars().count()), '^', ' '))
        }
        "format" => {
            let values = Value::tuple(std::mem::take(&mut args.positional));
            let keyword = std::mem::take(&mut args.keyword);
            let values =
                if keyword.is_empty() { values } else { Value::dict(keyword.into_iter().map(|(n, v)| (Key::text(n), v)).collect()) };
            text_format::percent(&display(value), &values).map(Value::text)
        }
        "indent" => {
            let [width, first, blank] = args.bind(name, ["width", "first", "blank"])?;
            let indent = match width {
                None => " ".repeat(4),
                Some(Value::Str(s)) => s.to_string(),
                Some(w) => " ".repeat(w.expect_int("the width")?.clamp(0, 10_000) as usize),
            };
            let (first, blank) = (first.is_some_and(|f| f.is_true()), blank.is_some_and(|b| b.is_true()));
            let mut out = String::new();
            for (i, line) in display(value).split('\n').enumerate() {
                if i > 0 {
                    out.push('\n');
                }
                if (i > 0 || first) && (blank || !line.trim().is_empty()) {
                    out.push_str(&indent);
                }
                out.push_str(line);
            }
            text(out)
        }
        "truncate" => {
            let [length, kill, end, leeway] = args.bind(name, ["length", "killwords", "end", "leeway"])?;
            let length = length.map_or(Ok(255), |l| l.expect_int("the length"))?.max(0) as usize;
            let leeway = leeway.map_or(Ok(5), |l| l.expect_int("`leeway`"))?.max(0) as usize;
            let end = end.map_or_else(|| "...".to_owned(), |e| display(&e));
            let subject = display(value);
            if subject.chars().count() <= length + leeway {
                return text(subject);
            }
            let cut: String = subject.chars().take(length.saturating_sub(end.chars().count())).collect();
            let cut = if kill.is_some_and(|k| k.is_true()) { &cut } else { cut.rsplit_once(' ').map_or(&*cut, |(head, _)| head) };
            text(format!("{cut}{end}"))
        }
        "wordcount" => Ok(Value::Int(display(value).split_whitespace().count() as i64)),
        "wordwrap" => {
            let [width] = args.bind(name, ["width"])?;
            let width = width.map_or(Ok(79), |w| w.expect_int("the width"))?.max(1) as usize;
            text(display(value).lines().map(|l| wrap(l, width)).collect::<Vec<_>>().join("\n"))
        }
        "striptags" => text(strip_tags(&display(value))),
        "urlencode" => text(percent_encoding::utf8_percent_encode(&display(value), URL).to_string()),
        "int" => {
            let [default, base] = args.bind(name, ["default", "base"])?;
            let base = base.map_or(Ok(10), |b| b.expect_int("the base"))?;
            let parsed = match value {
                Value::Float(f) if f.is_finite() && f.abs() < 9.2e18 => Some(*f as i64),
                Value::Str(s) => parse_int(s, base).or_else(|| s.trim().parse::<f64>().ok().filter(|f| f.is_finite()).map(|f| f as i64)),
                other => number::as_int(other),
            };
            Ok(parsed.map_or_else(|| default.unwrap_or(Value::Int(0)), Value::Int))
        }
        "float" => {
            let [default] = args.bind(name, ["default"])?;
            let parsed = match value {
                Value::Str(s) => s.trim().replace('_', "").parse().ok(),
                Value::Object(o) => o.display().parse().ok(),
                other => number::as_float(other),
            };
            Ok(parsed.map_or_else(|| default.unwrap_or(Value::Float(0.0)), Value::Float))
        }
        "abs" => match value {
            Value::Float(f) => Ok(Value::Float(f.abs())),
            other => other
                .expect_int("the operand of `abs`")?
                .checked_abs()
                .map(Value::Int)
                .ok_or_else(|| Fault::kind("does not fit into 64 bits")),
        },
        "round" => {
            let [precision, method] = args.bind(name, ["precision", "method"])?;
            let digits = precision.map_or(Ok(0), |p| p.expect_int("the precision"))?.clamp(-300, 300);
            let f = number::as_float(value).ok_or_else(|| Fault::kind(format!("`round` needs a number, not `{}`", value.type_name())))?;
            let scale = 10f64.powi(digits as i32);
            Ok(Value::Float(match method.as_ref().and_then(Value::as_str) {
                Some("ceil") => (f * scale).ceil() / scale,
                Some("floor") => (f * scale).floor() / scale,
                _ => number::round(f, digits),
            }))
        }
        "filesizeformat" => {
            let bytes = number::as_float(value).unwrap_or(0.0);
            let mut scaled = bytes;
            let mut unit = "Bytes";
            for next in ["kB", "MB", "GB", "TB", "PB"] {
                if scaled < 1000.0 {
                    break;
                }
                scaled /= 1000.0;
                unit = next;
            }
            text(if unit == "Bytes" { format!("{bytes} {unit}") } else { format!("{scaled:.1} {unit}") })
        }
        "length" | "count" => match value.length() {
            Some(n) => Ok(Value::Int(n as i64)),
            None => Err(Fault::kind(format!("a value of type `{}` has no length", value.type_name()))),
        },
        "tojson" => {
            let [indent] = args.bind(name, ["indent"])?;
            let json = value.to_json();
            let rendered = if indent.is_some_and(|i| i.is_true()) { serde_json::to_string_pretty(&json) } else { Ok(python_json(&json)) };
            text(rendered.unwrap_or_default())
        }
        "attr" => {
            let attribute = args.single(name, "name")?;
            machine.attribute(value, attribute.expect_str("the name")?)
        }
        "xmlattr" | "random" => Err(Fault::kind(format!("the filter `{name}` is not available: its result would differ from run to run"))),
        _ if exists(name) => collection(machine, name, value, args),
        _ => {
            let host = machine.host;
            match host.filter(machine, name, value, args) {
                Some(result) => result,
                None => {
                    let fault = Fault::new("template/undefined", format!("there is no filter `{name}`"));
                    Err(match nearest(name, NAMES.iter().copied()) {
                        Some(known) => fault.help(format!("there is `{known}`")),
                        None => fault,
                    })
                }
            }
        }
    }
}

fn collection(machine: &mut Machine<'_>, name: &str, value: &Value, args: &mut Args) -> Eval<Value> {
    if name == "items" {
        return match value {
            Value::Undefined(_) => Ok(Value::list(vec![])),
            other => machine.call_method(other, "items", Args::default()),
        };
    }
    // these ask whether there is anything before they look at it, as in jinja2: of None comes nothing
    if matches!(name, "map" | "select" | "reject" | "selectattr" | "rejectattr") && !value.is_true() {
        return Ok(Value::list(vec![]));
    }
    let items =
        value.iterate().ok_or_else(|| Fault::kind(format!("the filter `{name}` needs something iterable, not `{}`", value.type_name())))?;
    machine.charge(items.len())?;
    match name {
        "list" => Ok(Value::list(items)),
        "first" => Ok(items.into_iter().next().unwrap_or_else(|| Value::Undefined("first item of nothing".into()))),
        "last" => Ok(items.into_iter().next_back().unwrap_or_else(|| Value::Undefined("last item of nothing".into()))),
        "join" => {
            let [separator, attribute] = args.bind(name, ["d", "attribute"])?;
            let separator = separator.map_or_else(String::new, |s| display(&s));
            let mut out = String::new();
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(&separator);
                }
                match &attribute {
                    Some(path) => out.push_str(&display(&by_path(machine, item, path)?)),
                    None => match item {
                        Value::Str(s) => out.push_str(s),
                        other => out.push_str(&display(other)),
                    },
                }
            }
            Ok(Value::text(out))
        }
        "reverse" => {
            let reversed: Vec<Value> = items.into_iter().rev().collect();
            Ok(if let Value::Str(_) = value {
                Value::text(reversed.iter().map(display).collect::<String>())
            } else {
                Value::list(reversed)
            })
        }
        "sort" => {
            let [reverse, sensitive, attribute] = args.bind(name, ["reverse", "case_sensitive", "attribute"])?;
            let keyed = keyed(machine, items, attribute.as_ref(), sensitive.is_some_and(|s| s.is_true()))?;
            sorted(keyed, reverse.is_some_and(|r| r.is_true()))
        }
        "dictsort" => {
            let [sensitive, by, reverse] = args.bind(name, ["case_sensitive", "by", "reverse"])?;
            let Value::Dict(dict) = value else { return Err(Fault::kind("`dictsort` needs a dict")) };
            let by_value = by.as_ref().and_then(Value::as_str) == Some("value");
            let sensitive = sensitive.is_some_and(|s| s.is_true());
            let keyed = dict
                .borrow()
                .iter()
                .map(|(k, v)| {
                    let by = if by_value { v } else { k.value() };
                    (folded(by.clone(), sensitive), Value::tuple(vec![k.value().clone(), v.clone()]))
                })
                .collect();
            sorted(keyed, reverse.is_some_and(|r| r.is_true()))
        }
        "unique" => {
            let [sensitive, attribute] = args.bind(name, ["case_sensitive", "attribute"])?;
            let mut seen: Vec<Value> = vec![];
            let mut hashed = IndexSet::new();
            let mut kept = vec![];
            for (by, item) in keyed(machine, items, attribute.as_ref(), sensitive.is_some_and(|s| s.is_true()))? {
                let new = match Key::new(by.clone()) {
                    Ok(key) => hashed.insert(key),
                    Err(_) if seen.contains(&by) => false,
                    Err(_) => {
                        seen.push(by);
                        true
                    }
                };
                if new {
                    kept.push(item);
                }
            }
            Ok(Value::list(kept))
        }
        "min" | "max" => {
            let [sensitive, attribute] = args.bind(name, ["case_sensitive", "attribute"])?;
            let mut best: Option<(Value, Value)> = None;
            for (by, item) in keyed(machine, items, attribute.as_ref(), sensitive.is_some_and(|s| s.is_true()))? {
                let better = match &best {
                    None => true,
                    Some((b, _)) => {
                        let wanted = if name == "min" { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
                        operators::order_of(&by, b)? == Some(wanted)
                    }
                };
                if better {
                    best = Some((by, item));
                }
            }
            Ok(best.map_or_else(|| Value::Undefined("extreme of nothing".into()), |(_, item)| item))
        }
        "sum" => {
            let [attribute, start] = args.bind(name, ["attribute", "start"])?;
            let mut total = start.unwrap_or(Value::Int(0));
            for item in items {
                let item = match &attribute {
                    Some(path) if !path.is_none() => by_path(machine, &item, path)?,
                    _ => item,
                };
                total = operators::binary(Operator::Add, &total, &item)?;
            }
            Ok(total)
        }
        "batch" | "slice" => {
            let [count, fill] = args.bind_required::<1, 2>(name, ["count", "fill_with"])?;
            let count = count.unwrap_or(Value::None).expect_int("the count")?;
            let Some(count) = usize::try_from(count).ok().filter(|c| *c > 0 && *c <= 1_000_000) else {
                return Err(Fault::kind(format!("`{name}` needs a count above zero")));
            };
            Ok(if name == "batch" { batch(&items, count, fill) } else { slices(&items, count, fill) })
        }
        "groupby" => {
            let [attribute, default] = args.bind_required::<1, 2>(name, ["attribute", "default"])?;
            let attribute = attribute.unwrap_or(Value::None);
            let mut keyed = keyed(machine, items, Some(&attribute), true)?;
            if let Some(default) = default {
                keyed.iter_mut().filter(|(by, _)| by.is_undefined()).for_each(|(by, _)| *by = default.clone());
            }
            methods::sort_by_key(&mut keyed, false)?;
            let mut groups: Vec<(Value, Vec<Value>)> = vec![];
            for (by, item) in keyed {
                match groups.last_mut() {
                    Some((last, members)) if *last == by => members.push(item),
                    _ => groups.push((by, vec![item])),
                }
            }
            Ok(Value::list(groups.into_iter().map(|(by, members)| Value::tuple(vec![by, Value::list(members)])).collect()))
        }
        "map" => {
            let mut mapped = Vec::with_capacity(items.len());
            if let Some(attribute) = args.take_keyword("attribute") {
                let default = args.take_keyword("default");
                for item in items {
                    let found = by_path(machine, &item, &attribute)?;
                    mapped.push(if found.is_undefined() { default.clone().unwrap_or(found) } else { found });
                }
                return Ok(Value::list(mapped));
            }
            if args.positional.is_empty() {
                return Err(Fault::kind("`map` needs the name of a filter, or `attribute=`"));
            }
            let filter = args.positional.remove(0);
            let filter: Arc<str> = filter.expect_str("the filter's name")?.into();
            for item in items {
                mapped.push(apply(machine, &filter, &item, &mut args.clone())?);
            }
            Ok(Value::list(mapped))
        }
        "select" | "reject" | "selectattr" | "rejectattr" => {
            let attribute = name.ends_with("attr").then(|| (!args.positional.is_empty()).then(|| args.positional.remove(0)));
            if let Some(None) = attribute {
                return Err(Fault::kind(format!("`{name}` needs the name of an attribute")));
            }
            let attribute = attribute.flatten();
            let test: Option<Name> = match args.positional.is_empty() {
                true => None,
                false => Some(args.positional.remove(0).expect_str("the test's name")?.into()),
            };
            let wanted = name.starts_with("select");
            let mut kept = vec![];
            for item in items {
                let subject = match &attribute {
                    Some(path) => by_path(machine, &item, path)?,
                    None => item.clone(),
                };
                let holds = match &test {
                    Some(test) => predicates::check(machine, test, &subject, &mut args.clone())?,
                    None => subject.is_true(),
                };
                if holds == wanted {
                    kept.push(item);
                }
            }
            Ok(Value::list(kept))
        }
        other => Err(Fault::kind(format!("the filter `{other}` does not apply here"))),
    }
}

/// `a.b.0`, or an integer index.
fn by_path(machine: &mut Machine<'_>, item: &Value, path: &Value) -> Eval<Value> {
    let Some(path) = path.as_str() else { return operators::item(machine, item, path) };
    let mut value = item.clone();
    for part in path.split('.') {
        value = match part.parse::<i64>() {
            Ok(i) => operators::item(machine, &value, &Value::Int(i))?,
            Err(_) => {
                let found = machine.attribute(&value, part)?;
                // items win over methods here: `map(attribute='items')` of a dict that has such a key
                value.get(part).unwrap_or(found)
            }
        };
    }
    Ok(value)
}

fn folded(value: Value, case_sensitive: bool) -> Value {
    match value {
        Value::Str(s) if !case_sensitive => Value::text(s.to_lowercase()),
        other => other,
    }
}

fn keyed(machine: &mut Machine<'_>, items: Vec<Value>, attribute: Option<&Value>, case_sensitive: bool) -> Eval<Vec<(Value, Value)>> {
    items
        .into_iter()
        .map(|item| {
            let by = match attribute {
                Some(path) if !path.is_none() => by_path(machine, &item, path)?,
                _ => item.clone(),
            };
            Ok((folded(by, case_sensitive), item))
        })
        .collect()
}

fn sorted(mut keyed: Vec<(Value, Value)>, reverse: bool) -> Eval<Value> {
    methods::sort_by_key(&mut keyed, reverse)?;
    Ok(Value::list(keyed.into_iter().map(|(_, item)| item).collect()))
}

fn batch(items: &[Value], count: usize, fill: Option<Value>) -> Value {
    Value::list(
        items
            .chunks(count)
            .map(|chunk| {
                let mut chunk = chunk.to_vec();
                if let Some(fill) = &fill {
                    chunk.resize(count, fill.clone());
                }
                Value::list(chunk)
            })
            .collect(),
    )
}

fn slices(items: &[Value], count: usize, fill: Option<Value>) -> Value {
    let (each, longer) = (items.len() / count, items.len() % count);
    let mut at = 0;
    let columns = (0..count).map(|i| {
        let size = each + usize::from(i < longer);
        let mut column = items[at..at + size].to_vec();
        at += size;
        if let Some(fill) = &fill
            && i >= longer
            && longer > 0
        {
            column.push(fill.clone());
        }
        Value::list(column)
    });
    Value::list(columns.collect())
}

fn parse_int(s: &str, base: i64) -> Option<i64> {
    let s = s.trim().replace('_', "");
    let (digits, base) = match (s.get(..2), base) {
        (Some("0x" | "0X"), 16 | 0) => (&s[2..], 16),
        (Some("0o" | "0O"), 8 | 0) => (&s[2..], 8),
        (Some("0b" | "0B"), 2 | 0) => (&s[2..], 2),
        _ => (&*s, base),
    };
    let base = u32::try_from(base).ok().filter(|b| (2..=36).contains(b))?;
    i64::from_str_radix(digits, base).ok()
}

fn wrap(line: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in line.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

fn strip_tags(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

const URL: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// As Python's `json.dumps` writes it: a space after `,` and `:`, other characters than ASCII escaped.
pub(in crate::template) fn python_json(json: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match json {
        Json::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let pairs = map.iter().map(|(k, v)| format!("{}: {}", python_json(&Json::String(k.clone())), python_json(v)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Json::String(_) => {
            let mut out = String::new();
            for c in json.to_string().chars() {
                if c.is_ascii() {
                    out.push(c);
                } else {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|u| out.push_str(&format!("\\u{u:04x}")));
                }
            }
            out
        }
        Json::Number(n) if n.is_f64() => number::print_float(n.as_f64().unwrap_or(0.0)),
        other => other.to_string(),
    }
}
