//! Methods of `str`.

use std::sync::Arc;

use super::super::{
    arguments::{Args, Expect},
    display,
    fault::{Eval, Fault},
    text_format,
    value::Value,
};

const MAX_WIDTH: i64 = 1 << 20;

pub(super) fn call(s: &Arc<str>, name: &str, mut args: Args) -> Eval<Value> {
    let text = |t: String| Ok(Value::text(t));
    let truth = |b: bool| Ok(Value::Bool(b));
    let all = |f: fn(char) -> bool| Ok(Value::Bool(!s.is_empty() && s.chars().all(f)));
    match name {
        "upper" => text(s.to_uppercase()),
        "lower" | "casefold" => text(s.to_lowercase()),
        "capitalize" => text(capitalize(s)),
        "title" => text(title(s)),
        "swapcase" => text(
            s.chars()
                .flat_map(|c| if c.is_uppercase() { c.to_lowercase().collect::<Vec<_>>() } else { c.to_uppercase().collect() })
                .collect(),
        ),
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(name, ["chars"])?;
            text(trim(s, chars.as_ref(), name != "rstrip", name != "lstrip")?.to_owned())
        }
        "split" | "rsplit" => {
            let [separator, most] = args.bind(name, ["sep", "maxsplit"])?;
            let most = most.map_or(Ok(-1), |m| m.expect_int("`maxsplit`"))?;
            let most = usize::try_from(most).unwrap_or(usize::MAX - 1);
            let parts: Vec<&str> = match separator.filter(|s| !s.is_none()) {
                None if name == "split" => split_whitespace(s, most),
                None => rsplit_whitespace(s, most),
                Some(separator) => {
                    let separator = separator.expect_str("the separator")?;
                    if separator.is_empty() {
                        return Err(Fault::kind("the separator is empty"));
                    }
                    if name == "split" {
                        s.splitn(most + 1, separator).collect()
                    } else {
                        let mut parts: Vec<&str> = s.rsplitn(most + 1, separator).collect();
                        parts.reverse();
                        parts
                    }
                }
            };
            Ok(Value::list(parts.into_iter().map(Value::text).collect()))
        }
        "splitlines" => {
            let [keep] = args.bind(name, ["keepends"])?;
            let keep = keep.is_some_and(|k| k.is_true());
            let lines = s.split_inclusive('\n').map(|l| if keep { l } else { l.trim_end_matches('\n').trim_end_matches('\r') });
            Ok(Value::list(lines.map(Value::text).collect()))
        }
        "join" => {
            let items = args.single(name, "iterable")?.expect_items("the argument of `join`")?;
            let mut out = String::new();
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(s);
                }
                let Value::Str(item) = item else {
                    let fault = Fault::kind(format!("item {i} of `join` must be a string, not `{}`", item.type_name()));
                    return Err(fault.help("the filter `| join(...)` joins values of any type"));
                };
                out.push_str(item);
            }
            text(out)
        }
        "format" => text_format::braces(s, &args.positional, &args.keyword).map(Value::text),
        "replace" => {
            let [old, new, count] = args.bind_required::<2, 3>(name, ["old", "new", "count"])?;
            let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
            let (old, new) = (old.expect_str("`old`")?, new.expect_str("`new`")?);
            let count = count.map_or(Ok(-1), |c| c.expect_int("`count`"))?;
            if old.is_empty() && s.len().saturating_mul(new.len()) > 16 << 20 {
                return Err(Fault::new("template/limit", "the replaced text would be too long"));
            }
            text(match usize::try_from(count) {
                Ok(count) => s.replacen(old, new, count),
                Err(_) => s.replace(old, new),
            })
        }
        "startswith" | "endswith" => {
            let affix = args.single(name, "prefix")?;
            let matches = |a: &Value| -> Eval<bool> {
                let a = a.expect_str("the argument")?;
                Ok(if name == "startswith" { s.starts_with(a) } else { s.ends_with(a) })
            };
            match &affix {
                Value::Tuple(options) => {
                    for option in options.iter() {
                        if matches(option)? {
                            return truth(true);
                        }
                    }
                    truth(false)
                }
                one => truth(matches(one)?),
            }
        }
        "find" | "rfind" | "index" | "rindex" => {
            let [part, start, end] = args.bind_required::<1, 3>(name, ["sub", "start", "end"])?;
            let part = part.unwrap_or(Value::None);
            let part = part.expect_str("the argument")?;
            let (from, range) = char_range(s, start.as_ref(), end.as_ref())?;
            let found = if name.starts_with('r') { range.rfind(part) } else { range.find(part) };
            match found {
                Some(at) => Ok(Value::Int((from + range[..at].chars().count()) as i64)),
                None if name.ends_with("find") => Ok(Value::Int(-1)),
                None => Err(Fault::kind("substring not found")),
            }
        }
        "count" => {
            let [part, start, end] = args.bind_required::<1, 3>(name, ["sub", "start", "end"])?;
            let part = part.unwrap_or(Value::None);
            let part = part.expect_str("the argument")?;
            let (_, range) = char_range(s, start.as_ref(), end.as_ref())?;
            Ok(Value::Int(range.matches(part).count() as i64))
        }
        "zfill" => {
            let width = width(&args.single(name, "width")?)?;
            let missing = width.saturating_sub(s.chars().count());
            let sign = usize::from(s.starts_with(['-', '+']));
            text(format!("{}{}{}", &s[..sign], "0".repeat(missing), &s[sign..]))
        }
        "ljust" | "rjust" | "center" => {
            let [wide, fill] = args.bind_required::<1, 2>(name, ["width", "fillchar"])?;
            let width = width(&wide.unwrap_or(Value::None))?;
            let fill = fill.and_then(|f| f.as_str().and_then(|f| f.chars().next())).unwrap_or(' ');
            let align = match name {
                "ljust" => '<',
                "rjust" => '>',
                _ => '^',
            };
            text(text_format::pad(s, width.saturating_sub(s.chars().count()), align, fill))
        }
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "islower" => truth(**s == *s.to_lowercase() && **s != *s.to_uppercase()),
        "isupper" => truth(**s == *s.to_uppercase() && **s != *s.to_lowercase()),
        "istitle" => truth(s.chars().any(char::is_alphabetic) && **s == *title(s)),
        "isidentifier" => {
            let mut chars = s.chars();
            truth(chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_'))
        }
        "removeprefix" | "removesuffix" => {
            let affix = args.single(name, "affix")?;
            let affix = affix.expect_str("the argument")?;
            let rest = if name == "removeprefix" { s.strip_prefix(affix) } else { s.strip_suffix(affix) };
            text(rest.unwrap_or(s).to_owned())
        }
        "partition" | "rpartition" => {
            let separator = args.single(name, "sep")?;
            let separator = separator.expect_str("the separator")?;
            let split = if name == "partition" { s.split_once(separator) } else { s.rsplit_once(separator) };
            let parts = match split {
                Some((a, b)) => [a, separator, b],
                None if name == "partition" => [&**s, "", ""],
                None => ["", "", &**s],
            };
            Ok(Value::tuple(parts.into_iter().map(Value::text).collect()))
        }
        // bytes do not exist here: text stands for its UTF-8
        _ => Ok(Value::Str(s.clone())),
    }
}

fn width(value: &Value) -> Eval<usize> {
    let width = value.expect_int("the width")?;
    if width > MAX_WIDTH {
        return Err(Fault::new("template/limit", format!("a width of {width} is too much")));
    }
    Ok(usize::try_from(width).unwrap_or(0))
}

/// The characters `start..end` as Python counts them, and how many stand before.
fn char_range<'a>(s: &'a str, start: Option<&Value>, end: Option<&Value>) -> Eval<(usize, &'a str)> {
    let length = s.chars().count() as i64;
    let bound = |v: Option<&Value>, default: i64| -> Eval<usize> {
        let i = match v {
            None | Some(Value::None) => default,
            Some(v) => v.expect_int("a bound")?,
        };
        Ok((if i < 0 { i + length } else { i }).clamp(0, length) as usize)
    };
    let (from, to) = (bound(start, 0)?, bound(end, length)?);
    let byte = |n: usize| s.char_indices().nth(n).map_or(s.len(), |(i, _)| i);
    Ok((from, if from <= to { &s[byte(from)..byte(to)] } else { "" }))
}

fn split_whitespace(s: &str, most: usize) -> Vec<&str> {
    let mut parts = vec![];
    let mut rest = s.trim_start();
    while !rest.is_empty() {
        if parts.len() == most {
            parts.push(rest);
            break;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    parts
}

fn rsplit_whitespace(s: &str, most: usize) -> Vec<&str> {
    let mut parts = vec![];
    let mut rest = s.trim_end();
    while !rest.is_empty() {
        if parts.len() == most {
            parts.push(rest);
            break;
        }
        let start = rest.char_indices().rev().find(|(_, c)| c.is_whitespace()).map_or(0, |(i, c)| i + c.len_utf8());
        parts.push(&rest[start..]);
        rest = rest[..start].trim_end();
    }
    parts.reverse();
    parts
}

pub(in crate::template) fn capitalize(s: &str) -> String {
    let mut chars = s.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase())
}

pub(in crate::template) fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

pub(in crate::template) fn trim<'a>(s: &'a str, chars: Option<&Value>, left: bool, right: bool) -> Eval<&'a str> {
    let set: Option<Vec<char>> = match chars {
        None | Some(Value::None) => None,
        Some(c) => Some(c.as_str().map_or_else(|| display(c), str::to_owned).chars().collect()),
    };
    let matches = |c: char| set.as_ref().map_or_else(|| c.is_whitespace(), |set| set.contains(&c));
    let mut rest = s;
    if left {
        rest = rest.trim_start_matches(matches);
    }
    if right {
        rest = rest.trim_end_matches(matches);
    }
    Ok(rest)
}
