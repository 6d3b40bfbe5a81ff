//! Regular expressions (Snowflake documentation, "String functions (regular expressions)").
//!
//! Patterns are those of the `regex` crate, which has Snowflake's POSIX classes and Perl escapes; neither has
//! backreferences or lookaround in a pattern.

use std::{borrow::Cow, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, BooleanArray, Int64Array, StringArray},
        datatypes::FieldRef,
    },
    common::{DataFusionError, Result},
};
use regex::{Captures, Regex, RegexBuilder};
use serde_json::Value as Json;

use super::{
    super::{
        collation::{self, Collation},
        types::Type,
    },
    json::{array, boolean, integer, varchar},
    scalar::{Arity, CallTypes, Function, Rows, fail},
    value::canonical,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("regexp_like", Arity::Between(2, 3), boolean, |r| {
        let mut calls = Calls::new(r, Positions { parameters: Some(2), anchored: true, ..Positions::default() })?;
        let found = (0..r.rows).map(|i| Ok(calls.at(i)?.map(|c| c.regex.is_match(c.subject)))).collect::<Result<BooleanArray>>()?;
        Ok(Arc::new(found))
    }),
    Function::new("regexp_count", Arity::Between(2, 4), integer, |r| {
        let mut calls = Calls::new(r, Positions { position: Some(2), parameters: Some(3), ..Positions::default() })?;
        let counts = (0..r.rows).map(|i| Ok(calls.at(i)?.map(|c| c.matches().count() as i64))).collect::<Result<Int64Array>>()?;
        Ok(Arc::new(counts))
    }),
    Function::new("regexp_instr", Arity::Between(2, 7), integer, |r| {
        let positions = Positions { position: Some(2), occurrence: Some(3), parameters: Some(5), group: Some(6), ..Positions::default() };
        let options = if r.args.len() > 4 { Some(r.integers(4)?) } else { None };
        let mut calls = Calls::new(r, positions)?;
        let places = (0..r.rows).map(|i| {
            let Some(c) = calls.at(i)? else { return Ok(None) };
            let after = match options.as_ref().map_or(0, |o| o.value(i)) {
                0 => false,
                1 => true,
                other => return fail(format!("the option of REGEXP_INSTR is 0 or 1, not {other}")),
            };
            let found = c.matches().nth(c.occurrence.max(1) - 1);
            let place = found.and_then(|m| m.get(c.group)).map(|m| if after { m.end() } else { m.start() });
            let start = c.start.unwrap_or(0);
            Ok(Some(place.map_or(0, |at| c.subject[..start + at].chars().count() as i64 + 1)))
        });
        Ok(Arc::new(places.collect::<Result<Int64Array>>()?))
    }),
    Function::new("regexp_substr", Arity::Between(2, 6), varchar, |r| {
        let positions = Positions { position: Some(2), occurrence: Some(3), parameters: Some(4), group: Some(5), ..Positions::default() };
        let mut calls = Calls::new(r, positions)?;
        let parts = (0..r.rows).map(|i| {
            let Some(c) = calls.at(i)? else { return Ok(None) };
            Ok(c.matches().nth(c.occurrence.max(1) - 1).and_then(|m| m.get(c.group)).map(|m| m.as_str().to_owned()))
        });
        Ok(Arc::new(StringArray::from(parts.collect::<Result<Vec<_>>>()?)))
    }),
    Function::new("regexp_substr_all", Arity::Between(2, 6), array, |r| {
        let positions = Positions { position: Some(2), occurrence: Some(3), parameters: Some(4), group: Some(5), ..Positions::default() };
        let mut calls = Calls::new(r, positions)?;
        let parts = (0..r.rows).map(|i| {
            let Some(c) = calls.at(i)? else { return Ok(None) };
            let found = c.matches().skip(c.occurrence.max(1) - 1).map(|m| m.get(c.group).map_or(Json::Null, |m| Json::from(m.as_str())));
            Ok(Some(canonical(&Json::Array(found.collect()))))
        });
        Ok(Arc::new(StringArray::from(parts.collect::<Result<Vec<_>>>()?)))
    }),
    Function::new("regexp_replace", Arity::Between(2, 6), varchar, |r| {
        let replacements = if r.args.len() > 2 { Some(r.text(2)?) } else { None };
        let positions = Positions { position: Some(3), occurrence: Some(4), parameters: Some(5), ..Positions::default() };
        let mut calls = Calls::new(r, positions)?;
        let out = (0..r.rows).map(|i| {
            let Some(c) = calls.at(i)? else { return Ok(None) };
            Ok(Some(c.replaced(replacements.as_ref().map_or("", |t| t.value(i)))))
        });
        Ok(Arc::new(StringArray::from(out.collect::<Result<Vec<_>>>()?)))
    }),
    Function::new("__like_regexp", Arity::Between(2, 4), patterned, like),
];

/// Which argument is what.
#[derive(Clone, Copy, Default)]
struct Positions {
    position: Option<usize>,
    occurrence: Option<usize>,
    parameters: Option<usize>,
    group: Option<usize>,
    /// The pattern stands for the whole subject.
    anchored: bool,
}

/// The rows of a call. Patterns are literals nearly always: the last one is kept compiled.
struct Calls<'a> {
    rows: &'a Rows<'a>,
    positions: Positions,
    subjects: StringArray,
    patterns: StringArray,
    parameters: Option<StringArray>,
    numbers: [Option<Int64Array>; 3],
    compiled: Option<(String, String, Compiled)>,
}

struct Compiled {
    regex: Regex,
    extracts: bool,
}

/// One row.
struct Call<'a> {
    subject: &'a str,
    regex: &'a Regex,
    /// Byte offset where the search begins; `None` behind the end, or with a pattern that matches nothing.
    start: Option<usize>,
    /// 0 is every one.
    occurrence: usize,
    group: usize,
}

impl<'a> Calls<'a> {
    fn new(rows: &'a Rows<'a>, positions: Positions) -> Result<Self> {
        let given = |index: Option<usize>| index.filter(|i| *i < rows.args.len());
        let integers = |index: Option<usize>| given(index).map(|i| rows.integers(i)).transpose();
        Ok(Self {
            rows,
            positions,
            subjects: rows.text(0)?,
            patterns: rows.text(1)?,
            parameters: given(positions.parameters).map(|i| rows.text(i)).transpose()?,
            numbers: [integers(positions.position)?, integers(positions.occurrence)?, integers(positions.group)?],
            compiled: None,
        })
    }

    fn at(&mut self, row: usize) -> Result<Option<Call<'_>>> {
        if self.rows.any_null(row) {
            return Ok(None);
        }
        let (pattern, parameters) = (self.patterns.value(row), self.parameters.as_ref().map_or("", |p| p.value(row)));
        if self.compiled.as_ref().is_none_or(|(p, f, _)| p != pattern || f != parameters) {
            let compiled = compile(pattern, parameters, self.positions.anchored)?;
            self.compiled = Some((pattern.to_owned(), parameters.to_owned(), compiled));
        }
        let Some((_, _, compiled)) = &self.compiled else { return Ok(None) };
        let number = |which: usize, default: i64| self.numbers[which].as_ref().map_or(default, |n| n.value(row));
        let position = number(0, 1);
        if position < 1 {
            return fail(format!("the position of a search is 1 or more, not {position}"));
        }
        let least = i64::from(self.positions.group.is_some() || self.positions.occurrence.is_none());
        let occurrence = number(1, least);
        if occurrence < least {
            return fail(format!("the occurrence is {least} or more, not {occurrence}"));
        }
        let group = number(2, i64::from(compiled.extracts && compiled.regex.captures_len() > 1));
        if group < 0 || group >= compiled.regex.captures_len() as i64 {
            return fail(format!("the pattern has no group {group}"));
        }
        let subject = self.subjects.value(row);
        let start = subject.char_indices().map(|(at, _)| at).chain([subject.len()]).nth(position as usize - 1);
        let start = start.filter(|_| !pattern.is_empty());
        Ok(Some(Call { subject, regex: &compiled.regex, start, occurrence: occurrence as usize, group: group as usize }))
    }
}

impl<'a> Call<'a> {
    fn matches(&self) -> impl Iterator<Item = Captures<'a>> {
        // the search begins as if nothing stood before the start: `^` and `\b` hold there
        let from = self.start;
        let (subject, regex): (&'a str, &'a Regex) = (&self.subject[from.unwrap_or(0)..], self.regex);
        let mut next = from.map(|_| 0);
        std::iter::from_fn(move || {
            let captures = regex.captures_at(subject, next?)?;
            let found = captures.get(0)?;
            next = if found.is_empty() {
                // an empty match moves one character on
                subject[found.end()..].chars().next().map(|c| found.end() + c.len_utf8())
            } else {
                Some(found.end())
            };
            Some(captures)
        })
    }

    fn replaced(&self, replacement: &str) -> String {
        let mut out = String::with_capacity(self.subject.len());
        let start = self.start.unwrap_or(0);
        let mut copied = 0;
        for (n, captures) in self.matches().enumerate() {
            if self.occurrence != 0 && n + 1 != self.occurrence {
                continue;
            }
            let Some(whole) = captures.get(0) else { continue };
            out.push_str(&self.subject[copied..start + whole.start()]);
            expand(replacement, &captures, &mut out);
            copied = start + whole.end();
        }
        out.push_str(&self.subject[copied..]);
        out
    }
}

/// `\1` is the first group, `\\` a backslash.
fn expand(replacement: &str, captures: &Captures, out: &mut String) {
    let mut rest = replacement.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('\\', Some(d)) if d.is_ascii_digit() => {
                rest.next();
                let group = d.to_digit(10).unwrap_or_default() as usize;
                out.push_str(captures.get(group).map_or("", |m| m.as_str()));
            }
            ('\\', Some('\\')) => {
                rest.next();
                out.push('\\');
            }
            _ => out.push(c),
        }
    }
}

fn compile(pattern: &str, parameters: &str, anchored: bool) -> Result<Compiled> {
    let (mut ignore_case, mut lines, mut dot_all, mut extracts) = (false, false, false, false);
    for c in parameters.chars() {
        match c {
            'c' => ignore_case = false,
            'i' => ignore_case = true,
            'm' => lines = true,
            's' => dot_all = true,
            'e' => extracts = true,
            other => return fail(format!("the parameters of a regular expression are c, i, m, e and s, not `{other}`")),
        }
    }
    let source: Cow<str> = if anchored { format!(r"\A(?:{pattern})\z").into() } else { pattern.into() };
    let built = RegexBuilder::new(&source).case_insensitive(ignore_case).multi_line(lines).dot_matches_new_line(dot_all).build();
    match built {
        Ok(regex) => Ok(Compiled { regex, extracts }),
        Err(e) => {
            let reason = e.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
            fail(format!("'{pattern}' is not a regular expression: {reason}"))
        }
    }
}

/// LIKE and ILIKE with any escape character: subject, pattern, 'i' or '', escape.
fn patterned(call: &CallTypes) -> Result<FieldRef> {
    if let Some(spec) = &call.collation {
        Collation::for_patterns(spec).map_err(|e| DataFusionError::External(Box::new(e)))?;
    }
    Ok(collation::tagged(Type::Boolean.field(call.name), call.collation.as_deref()))
}

fn like(r: &Rows) -> Result<ArrayRef> {
    let collation = r.collation()?;
    let folded = |texts: StringArray| match &collation {
        Some(collation) => texts.iter().map(|t| t.map(|t| collation.key(t))).collect(),
        None => texts,
    };
    let (subjects, patterns) = (folded(r.text(0)?), folded(r.text(1)?));
    let modes = if r.args.len() > 2 { Some(r.text(2)?) } else { None };
    let escapes = if r.args.len() > 3 { Some(r.text(3)?) } else { None };
    let mut last: Option<(String, Regex)> = None;
    let found = (0..r.rows).map(|i| {
        if r.any_null(i) {
            return Ok(None);
        }
        let pattern = patterns.value(i);
        if last.as_ref().is_none_or(|(p, _)| p != pattern) {
            let ignore_case = modes.as_ref().is_some_and(|m| m.value(i) == "i");
            let escape = escapes.as_ref().map(|e| e.value(i));
            last = Some((pattern.to_owned(), like_pattern(pattern, ignore_case, escape)?));
        }
        Ok(last.as_ref().map(|(_, regex)| regex.is_match(subjects.value(i))))
    });
    Ok(Arc::new(found.collect::<Result<BooleanArray>>()?))
}

/// `%` any characters, `_` one; behind the escape character both stand for themselves.
fn like_pattern(pattern: &str, ignore_case: bool, escape: Option<&str>) -> Result<Regex> {
    let escape = match escape.map(|e| (e.chars().next(), e.chars().nth(1))) {
        None | Some((None, _)) => None,
        Some((Some(c), None)) => Some(c),
        Some(_) => return fail(format!("the escape character is one character, not '{}'", escape.unwrap_or_default())),
    };
    let mut source = String::from(r"\A");
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            c if Some(c) == escape => match rest.next() {
                Some(next) => source.push_str(&regex::escape(&next.to_string())),
                None => return fail(format!("the pattern '{pattern}' ends with the escape character")),
            },
            '%' => source.push_str(".*"),
            '_' => source.push('.'),
            c => source.push_str(&regex::escape(&c.to_string())),
        }
    }
    source.push_str(r"\z");
    let built = RegexBuilder::new(&source).case_insensitive(ignore_case).dot_matches_new_line(true).build();
    built.or_else(|_| fail(format!("the pattern '{pattern}' is too long")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(subject: &'a str, regex: &'a Regex, occurrence: usize) -> Call<'a> {
        Call { subject, regex, start: Some(0), occurrence, group: 0 }
    }

    #[test]
    fn replacements() {
        for (subject, pattern, replacement, occurrence, wanted) in [
            ("It was the best", "( ){1,}", "", 0, "Itwasthebest"),
            ("times, times", "times", "days", 2, "times, days"),
            ("first middle last", "(.*) (.*) (.*)", r"\3, \1 \2", 0, "last, first middle"),
            ("a b c", "(.*) (.*) (.*)", r"\\3", 0, r"\3"),
            ("abc", "", "-", 0, "-a-b-c-"),
        ] {
            let regex = Regex::new(pattern).expect(pattern);
            assert_eq!(call(subject, &regex, occurrence).replaced(replacement), wanted, "{pattern}");
        }
    }

    #[test]
    fn patterns_of_like() {
        for (pattern, escape, text, wanted) in [
            ("%J%h%^_do%", Some("^"), "John_down", true),
            ("%J%h%^_do%", Some("^"), "John down", false),
            ("100^%", Some("^"), "100%", true),
            ("a.c", None, "abc", false),
            ("a%c", None, "a\nc", true),
            ("", None, "", true),
        ] {
            let regex = like_pattern(pattern, false, escape).expect(pattern);
            assert_eq!(regex.is_match(text), wanted, "{pattern} {text}");
        }
    }
}
