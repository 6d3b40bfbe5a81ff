//! Events of the YAML parser to a tree. Anchors and merge keys are resolved here; several documents in one file, duplicate
//! keys and keys that are not scalars are faults.

use std::{collections::HashMap, ops::Range, sync::Arc};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{Entry, Value, Yaml, scalar};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, SourceFile};

/// Nesting that no person writes; the tree is walked recursively.
const MAX_DEPTH: usize = 100;
/// Values in one file, aliases counted at every use: a few lines of nested aliases could ask for billions.
const MAX_VALUES: usize = 500_000;

/// The single document of a file; an empty file is `Null`. All faults that leave the structure readable come together.
pub fn parse(file: &Arc<SourceFile>) -> Result<Yaml, Diagnostics> {
    let mut builder = Builder {
        file,
        offsets: Offsets::of(&file.text),
        open: vec![],
        anchors: HashMap::new(),
        values: 0,
        root: None,
        faults: Diagnostics::default(),
    };
    for event in Parser::new_from_str(&file.text) {
        let step = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(Box::new(builder.scan_error(error.info(), error.marker()))),
        };
        if let Err(fault) = step {
            builder.faults.push(*fault);
            break;
        }
    }
    match builder.faults.has_errors() {
        true => Err(builder.faults),
        false => Ok(builder.root.unwrap_or(Yaml { range: 0..0, value: Value::Null })),
    }
}

/// The parser counts characters, places count bytes.
enum Offsets {
    Ascii,
    Table(Vec<usize>),
}

impl Offsets {
    fn of(text: &str) -> Self {
        if text.is_ascii() { Self::Ascii } else { Self::Table(text.char_indices().map(|(i, _)| i).chain([text.len()]).collect()) }
    }

    fn byte(&self, marker: &Marker) -> usize {
        match self {
            Self::Ascii => marker.index(),
            Self::Table(table) => table.get(marker.index()).or(table.last()).copied().unwrap_or(0),
        }
    }
}

struct Open {
    start: usize,
    end: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Yaml>),
    Map { entries: Vec<Entry>, merges: Vec<Yaml>, key: Option<(String, Range<usize>, bool)> },
}

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    offsets: Offsets,
    open: Vec<Open>,
    anchors: HashMap<usize, (Yaml, usize)>,
    values: usize,
    root: Option<Yaml>,
    faults: Diagnostics,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Diagnostic>> {
        let range = self.range(span);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                return Err(Box::new(self.fault("yaml/several-documents", "a file holds one YAML document, this is a second one", range)));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_merge = text == "<<" && style == ScalarStyle::Plain;
                let range = self.tighten(range);
                let value = self.scalar(text.into_owned(), style, tag.as_deref(), &range)?;
                self.add(Yaml { range, value }, anchor, 1, is_merge)?;
            }
            Event::SequenceStart(anchor, _) => self.enter(range, anchor, Content::List(vec![]))?,
            Event::MappingStart(anchor, _) => self.enter(range, anchor, Content::Map { entries: vec![], merges: vec![], key: None })?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    // a flow collection ends with its bracket, a block with its last value
                    let end = if range.is_empty() { open.end } else { range.end.max(open.end) };
                    let value = match open.content {
                        Content::List(items) => Value::List(items),
                        Content::Map { entries, merges, .. } => Value::Map(self.merge(entries, merges)),
                    };
                    self.add(Yaml { range: open.start..end, value }, open.anchor, 1, false)?;
                }
            }
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((yaml, size)) => self.add(Yaml { range, value: yaml.value }, 0, size, false)?,
                None => return Err(Box::new(self.fault("yaml/syntax", "this alias names no anchor that stands before it", range))),
            },
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, range: Range<usize>, anchor: usize, content: Content) -> Result<(), Box<Diagnostic>> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Box::new(self.fault("yaml/too-deep", format!("values are nested more than {MAX_DEPTH} deep"), range)));
        }
        self.open.push(Open { start: range.start, end: range.end, anchor, content });
        Ok(())
    }

    fn add(&mut self, yaml: Yaml, anchor: usize, size: usize, is_merge: bool) -> Result<(), Box<Diagnostic>> {
        self.values += size;
        if self.values > MAX_VALUES {
            return Err(Box::new(self.fault("yaml/too-large", format!("the file stands for more than {MAX_VALUES} values"), yaml.range)));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (yaml.clone(), count(&yaml)));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(yaml);
            return Ok(());
        };
        open.end = open.end.max(yaml.range.end);
        match &mut open.content {
            Content::List(items) => items.push(yaml),
            Content::Map { entries, merges, key } => match key.take() {
                None => match key_text(&yaml, &self.file.text) {
                    Some(text) => *key = Some((text, yaml.range, is_merge)),
                    None => {
                        // the pair is read on under a name that cannot clash, so that further faults are found
                        *key = Some((format!("?{}", yaml.range.start), yaml.range.clone(), false));
                        let message = format!("a key is a text, this is {}", yaml.value.kind());
                        let mut fault = Diagnostic::error("yaml/bad-key", message);
                        // `{{ x }}` without quotes is a mapping whose key is a mapping
                        if self.file.text[..yaml.range.start].ends_with('{') {
                            fault = fault.help("put quotes around a template: `\"{{ ... }}\"`");
                        }
                        self.faults.push(fault.at(Place::new(self.file, yaml.range), "not a key"));
                    }
                },
                Some((_, _, true)) => merges.push(yaml),
                Some((key, key_range, false)) => match entries.iter().find(|e| e.key == key) {
                    Some(first) => self.faults.push(
                        Diagnostic::error("yaml/duplicate-key", format!("the key `{key}` stands twice in one mapping"))
                            .at(Place::new(self.file, key_range), "the second one")
                            .related(Place::new(self.file, first.key_range.clone()), "the first one")
                            .help("remove one of them"),
                    ),
                    None => entries.push(Entry { key, key_range, value: yaml }),
                },
            },
        }
        Ok(())
    }

    /// `<<: *base` and `<<: [*a, *b]`: keys of the mapping itself win, then the earlier base.
    fn merge(&mut self, mut entries: Vec<Entry>, merges: Vec<Yaml>) -> Vec<Entry> {
        let mut add = |base: Yaml| match base.value {
            Value::Map(more) => {
                for entry in more {
                    if !entries.iter().any(|e| e.key == entry.key) {
                        entries.push(entry);
                    }
                }
                None
            }
            other => Some((base.range, other.kind())),
        };
        let mut bad = vec![];
        for merge in merges {
            match merge.value {
                Value::List(bases) => bad.extend(bases.into_iter().filter_map(&mut add)),
                _ => bad.extend(add(merge)),
            }
        }
        for (range, kind) in bad {
            let fault = self.fault("yaml/bad-merge", format!("`<<` takes a mapping, this is {kind}"), range);
            self.faults.push(fault);
        }
        entries
    }

    fn scalar(&self, text: String, style: ScalarStyle, tag: Option<&Tag>, range: &Range<usize>) -> Result<Value, Box<Diagnostic>> {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(Value::String(text)),
            Some(tag) if tag.is_yaml_core_schema() => Ok(scalar::resolve(&text)),
            Some(tag) if !(tag.handle.is_empty() && tag.suffix == "!") => Err(Box::new(self.fault(
                "yaml/unknown-tag",
                format!("the tag `{}{}` has no meaning here", tag.handle, tag.suffix),
                range.clone(),
            ))),
            _ if style == ScalarStyle::Plain => Ok(scalar::resolve(&text)),
            _ => Ok(Value::String(text)),
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.offsets.byte(&span.start);
        start..self.offsets.byte(&span.end).max(start)
    }

    /// Spans of plain and block scalars reach over the white space behind them.
    fn tighten(&self, range: Range<usize>) -> Range<usize> {
        let text = self.file.text.get(range.clone()).unwrap_or("");
        range.start..range.start + text.trim_end().len()
    }

    fn fault(&self, code: &'static str, message: impl Into<String>, range: Range<usize>) -> Diagnostic {
        Diagnostic::error(code, message).at(Place::new(self.file, range), "here")
    }

    fn scan_error(&self, info: &str, marker: &Marker) -> Diagnostic {
        let at = self.offsets.byte(marker).min(self.file.text.len());
        let line_start = self.file.text[..at].rfind('\n').map_or(0, |i| i + 1);
        let line = self.file.text[line_start..].lines().next().unwrap_or("");
        let fault = self.fault("yaml/syntax", format!("this is not valid YAML: {info}"), at..at);
        let indent = &line[..line.len() - line.trim_start().len()];
        let value = line.trim_start().trim_start_matches("- ");
        let value = value.split_once(": ").map_or(value, |(_, v)| v).trim_start();
        if indent.contains('\t') {
            fault.help("YAML is indented with spaces, there is a tab in this line")
        } else if value.starts_with("{{") || value.starts_with("{%") {
            fault.help("put quotes around a template: `\"{{ ... }}\"`")
        } else if value.contains(": ") && !value.starts_with(['"', '\'', '{', '[']) {
            fault.help("put quotes around a text that contains `: `")
        } else {
            fault
        }
    }
}

fn count(yaml: &Yaml) -> usize {
    1 + match &yaml.value {
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|e| count(&e.value)).sum(),
        _ => 0,
    }
}

/// As written: PyYAML would make `off:` and `no:` booleans, which nobody meant.
fn key_text(yaml: &Yaml, text: &str) -> Option<String> {
    match &yaml.value {
        Value::String(s) => Some(s.clone()),
        Value::Number(_, written) => Some(written.clone()),
        Value::Bool(_) | Value::Null => text.get(yaml.range.clone()).map(str::to_owned),
        Value::List(_) | Value::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        parse(&SourceFile::new("a.yml", text)).map_or_else(|e| faults(&e), |y| y.to_json().to_string())
    }

    fn faults(all: &Diagnostics) -> String {
        let one = |d: &Diagnostic| {
            let place = d.place.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{place} {} {}", d.code, d.help.as_deref().unwrap_or(""))
        };
        all.0.iter().map(one).collect::<Vec<_>>().join("; ").trim_end().to_owned()
    }

    #[test]
    fn values_and_faults() {
        for (text, expect) in [
            ("", "null"),
            ("# only a comment\n", "null"),
            ("a: 1\nb: [x, 'y', \"1\"]\nc: {d: yes}\n", r#"{"a":1,"b":["x","y","1"],"c":{"d":true}}"#),
            ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", r#"{"a":"x\ny\n","b":"x y"}"#),
            ("b: &b {x: 1, y: 2}\nc:\n  <<: *b\n  x: 3\n", r#"{"b":{"x":1,"y":2},"c":{"x":3,"y":2}}"#),
            ("a: &a {x: 1}\nc:\n  <<: [*a, {z: 9}]\n", r#"{"a":{"x":1},"c":{"x":1,"z":9}}"#),
            ("v: !!str 1.10\n", r#"{"v":"1.10"}"#),
            ("off: x\n", r#"{"off":"x"}"#),
            ("1.10: x\n", r#"{"1.10":"x"}"#),
            ("a: 1\nb: 2\na: 3\n", "a.yml:3:1 yaml/duplicate-key remove one of them"),
            ("a: 1\n---\nb: 2\n", "a.yml:2:1 yaml/several-documents"),
            ("? [x]\n: 1\n", "a.yml:1:3 yaml/bad-key"),
            ("a: *b\n", "a.yml:1:4 yaml/syntax"),
            ("<<: 3\n", "a.yml:1:5 yaml/bad-merge"),
            ("a: {{ x }}\n", "a.yml:1:5 yaml/bad-key put quotes around a template: `\"{{ ... }}\"`"),
            ("a: !odd x\n", "a.yml:1:4 yaml/unknown-tag"),
        ] {
            assert_eq!(json(text), expect, "{text}");
        }
        for (text, code, help) in [
            ("a:\n\tb: 1\n", "yaml/syntax", "YAML is indented with spaces, there is a tab in this line"),
            ("a: b: c\n", "yaml/syntax", "put quotes around a text that contains `: `"),
            ("a: {{ x }} y\n", "yaml/syntax", "put quotes around a template: `\"{{ ... }}\"`"),
            ("a: [1, 2\n", "yaml/syntax", ""),
            ("a: \"x\n", "yaml/syntax", ""),
        ] {
            let got = json(text);
            assert!(got.contains(code) && got.ends_with(help), "{text}: {got}");
        }
        assert!(json(&"[".repeat(200)).contains("yaml/too-deep"));
        let bomb = (1..9).fold("a0: &a0 [x]\n".to_owned(), |t, n| {
            let refs = vec![format!("*a{}", n - 1); 10].join(", ");
            format!("{t}a{n}: &a{n} [{refs}]\n")
        });
        assert!(json(&bomb).contains("yaml/too-large"));
    }

    #[test]
    fn every_value_knows_its_range() {
        let text =
            "# süß\r\nmodels:\r\n  - name: größe   # x\r\n    meta: {a: 1}\r\n    list:\r\n      - p\r\n      - 'q r'\r\nlast: \"é\"\r\n";
        let file = SourceFile::new("a.yml", text);
        let root = parse(&file).expect("valid");
        let mut seen = vec![];
        fn walk(yaml: &Yaml, text: &str, seen: &mut Vec<String>) {
            match &yaml.value {
                Value::List(items) => items.iter().for_each(|i| walk(i, text, seen)),
                Value::Map(entries) => entries.iter().for_each(|e| {
                    assert_eq!(&text[e.key_range.clone()], e.key);
                    walk(&e.value, text, seen);
                }),
                _ => {}
            }
            seen.push(text[yaml.range.clone()].to_owned());
        }
        walk(&root, text, &mut seen);
        assert_eq!(seen[..5], ["größe", "1", "{a: 1}", "p", "'q r'"]);
        assert_eq!(seen[5], "- p\r\n      - 'q r'");
        assert_eq!(seen[seen.len() - 2], "\"é\"");
    }
}
