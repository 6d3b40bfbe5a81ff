//! Python's `re` over the regex crate. Look-around and back-references are not available; a pattern with them is an error.

use std::rc::Rc;

use regex::{Regex, RegexBuilder};

use super::super::jinja::{Args, Dict, Eval, Expect, Fault, Key, Machine, Object, Value};

pub(super) fn call(machine: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
    match name {
        "compile" => {
            let [pattern, flags] = args.bind_required::<1, 2>(name, ["pattern", "flags"])?;
            Ok(Some(Value::object(Pattern(compiled(&pattern.unwrap_or(Value::None), flags)?))))
        }
        "escape" => {
            let text = args.single(name, "pattern")?;
            Ok(Some(Value::text(regex::escape(text.expect_str("the text")?))))
        }
        _ => {
            if args.positional.is_empty() {
                return Ok(None);
            }
            let pattern = args.positional.remove(0);
            let flags = args.take_keyword("flags");
            apply(machine, &compiled(&pattern, flags)?, name, args)
        }
    }
}

fn compiled(pattern: &Value, flags: Option<Value>) -> Eval<Regex> {
    if let Some(Pattern(regex)) = pattern.downcast() {
        return Ok(regex.clone());
    }
    let text = pattern.expect_str("the pattern")?;
    let flags = flags.map_or(Ok(0), |f| f.expect_int("the flags"))?;
    RegexBuilder::new(text)
        .case_insensitive(flags & 2 != 0)
        .multi_line(flags & 8 != 0)
        .dot_matches_new_line(flags & 16 != 0)
        .size_limit(1 << 22)
        .build()
        .map_err(|e| Fault::kind(format!("the pattern `{text}` is not understood: {}", e.to_string().lines().last().unwrap_or_default())))
}

fn apply(machine: &mut Machine<'_>, regex: &Regex, name: &str, args: &mut Args) -> Eval<Option<Value>> {
    let groups = |c: &regex::Captures<'_>| {
        Groups(Rc::new((regex.clone(), c.iter().map(|m| m.map(|m| (m.start(), m.as_str().to_owned()))).collect())))
    };
    Ok(Some(match name {
        "match" | "search" | "fullmatch" => {
            let text = args.single(name, "string")?;
            let text = text.expect_str("the text")?;
            let found = match name {
                "search" => regex.captures(text),
                // Python anchors these; leftmost-first search from the start may otherwise match later
                "match" => anchored(regex, &format!("^(?:{})", regex.as_str()))?.captures(text),
                _ => anchored(regex, &format!("^(?:{})$", regex.as_str()))?.captures(text),
            };
            found.map_or(Value::None, |c| Value::object(groups(&c)))
        }
        "findall" => {
            let text = args.single(name, "string")?;
            let found = regex.captures_iter(text.expect_str("the text")?).map(|c| {
                let group = |i: usize| Value::text(c.get(i).map_or("", |m| m.as_str()));
                match c.len() {
                    1 => group(0),
                    2 => group(1),
                    n => Value::tuple((1..n).map(group).collect()),
                }
            });
            Value::list(found.collect())
        }
        "finditer" => {
            let text = args.single(name, "string")?;
            Value::list(regex.captures_iter(text.expect_str("the text")?).map(|c| Value::object(groups(&c))).collect())
        }
        "split" => {
            let [text, most] = args.bind_required::<1, 2>(name, ["string", "maxsplit"])?;
            let text = text.unwrap_or(Value::None);
            let most = most.map_or(Ok(0), |m| m.expect_int("`maxsplit`"))?.max(0) as usize;
            let text = text.expect_str("the text")?;
            let parts: Vec<Value> = match most {
                0 => regex.split(text).map(Value::text).collect(),
                n => regex.splitn(text, n + 1).map(Value::text).collect(),
            };
            Value::list(parts)
        }
        "sub" => {
            let [with, text, count] = args.bind_required::<2, 3>(name, ["repl", "string", "count"])?;
            let (with, text) = (with.unwrap_or(Value::None), text.unwrap_or(Value::None));
            let text = text.expect_str("the text")?;
            let count = count.map_or(Ok(0), |c| c.expect_int("`count`"))?.max(0) as usize;
            if with.is_callable() {
                let mut out = String::new();
                let mut end = 0;
                for (i, c) in regex.captures_iter(text).enumerate() {
                    let Some(whole) = c.get(0).filter(|_| count == 0 || i < count) else { break };
                    out.push_str(&text[end..whole.start()]);
                    let replaced = machine.call(&with, Args::of(vec![Value::object(groups(&c))]))?;
                    out.push_str(&super::super::jinja::display(&replaced));
                    end = whole.end();
                }
                out.push_str(&text[end..]);
                return Ok(Some(Value::text(out)));
            }
            let with = replacement(with.expect_str("the replacement")?);
            Value::text(regex.replacen(text, count, with.as_str()).into_owned())
        }
        _ => return Ok(None),
    }))
}

/// The same pattern with anchors; flags are inside its text only if the user wrote them there.
fn anchored(original: &Regex, pattern: &str) -> Eval<Regex> {
    Regex::new(pattern).map_err(|_| Fault::kind(format!("the pattern `{}` is not understood", original.as_str())))
}

/// Python's `\1` and `\g<name>` to the crate's `${1}`; its own `$` is literal.
fn replacement(python: &str) -> String {
    let mut out = String::new();
    let mut chars = python.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some(d) if d.is_ascii_digit() => out.push_str(&format!("${{{d}}}")),
                Some('g') if chars.peek() == Some(&'<') => {
                    chars.next();
                    let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                    out.push_str(&format!("${{{name}}}"));
                }
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

struct Pattern(Regex);

impl Object for Pattern {
    fn type_name(&self) -> &'static str {
        "pattern"
    }

    fn call_method(&self, machine: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        apply(machine, &self.0, name, args)
    }

    fn display(&self) -> String {
        format!("re.compile('{}')", self.0.as_str())
    }
}

/// Each group's start in bytes and its text.
struct Groups(Rc<(Regex, Vec<Group>)>);

type Group = Option<(usize, String)>;

impl Groups {
    fn group(&self, key: &Value) -> Eval<Value> {
        let index = match key {
            Value::Str(name) => self.0.0.capture_names().position(|n| n == Some(name)),
            other => usize::try_from(other.expect_int("the group")?).ok(),
        };
        let found = index.and_then(|i| self.0.1.get(i)).ok_or_else(|| Fault::kind("the pattern has no such group"))?;
        Ok(found.as_ref().map_or(Value::None, |(_, text)| Value::text(text.as_str())))
    }
}

impl Object for Groups {
    fn type_name(&self) -> &'static str {
        "match"
    }

    fn get_item(&self, _: &mut Machine<'_>, key: &Value) -> Eval<Option<Value>> {
        self.group(key).map(Some)
    }

    fn call_method(&self, _: &mut Machine<'_>, name: &str, args: &mut Args) -> Eval<Option<Value>> {
        let text = |g: &Option<(usize, String)>| g.as_ref().map_or(Value::None, |(_, t)| Value::text(t.as_str()));
        Ok(Some(match name {
            "group" if args.positional.len() > 1 => Value::tuple(args.positional.iter().map(|k| self.group(k)).collect::<Eval<_>>()?),
            "group" => self.group(args.positional.first().unwrap_or(&Value::Int(0)))?,
            "groups" => Value::tuple(self.0.1.iter().skip(1).map(text).collect()),
            "groupdict" => {
                let named = self.0.0.capture_names().zip(&self.0.1).filter_map(|(n, g)| Some((Key::text(n?), text(g))));
                Value::dict(named.collect::<Dict>())
            }
            "start" | "end" => match self.0.1.first() {
                Some(Some((start, _))) if name == "start" => Value::Int(*start as i64),
                Some(Some((start, whole))) => Value::Int((start + whole.len()) as i64),
                _ => Value::Int(-1),
            },
            _ => return Ok(None),
        }))
    }

    fn display(&self) -> String {
        let whole = self.0.1.first().and_then(Option::as_ref).map_or("", |(_, t)| t);
        format!("<re.Match object; match='{whole}'>")
    }
}
