//! Finds the tags of a template without parsing what is in them, and rewrites those that the parser does not know.
//!
//! dbt adds block tags to Jinja (`test`, `data_test`, `materialization`, `snapshot`, `docs`), and minijinja takes only calls in
//! `do`. Both become tags it knows; [`Rewritten`] leads every offset back to the file. Blocks that are opened and never closed
//! are found here, because the parser would report them at the end of the file.

use std::{ops::Range, sync::Arc};

use crate::diagnostic::{Diagnostic, Place, SourceFile};

/// The variable that stands for "evaluate and forget"; no template can name it.
pub(super) const DO_TARGET: &str = "__do__";

/// More operators than this in one expression would recurse too deeply; no hand writes such a thing.
const MAX_OPERATORS: usize = 1_000;
/// `elif`s of one `if`.
const MAX_BRANCHES: usize = 500;

/// A `{% <tag> name ... %} body {% end<tag> %}` block.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedBlock {
    pub name: String,
    pub name_range: Range<usize>,
    pub body: Range<usize>,
}

/// The top-level blocks of one of dbt's tags, e.g. `snapshot` or `docs`.
pub fn named_blocks(file: &Arc<SourceFile>, tag: &str) -> Result<Vec<NamedBlock>, Box<Diagnostic>> {
    let mut found = vec![];
    let mut open: Option<NamedBlock> = None;
    let text = &file.text;
    let mut at = 0;
    while let Some(t) = next_tag(file, text, at, text.len())? {
        at = t.end;
        if t.kind != TagKind::Block {
            continue;
        }
        let word = &text[t.word.clone()];
        if open.is_none() && word == tag {
            let name_range = identifier(text, t.word.end, t.inner_end);
            open = Some(NamedBlock { name: text[name_range.clone()].to_owned(), name_range, body: t.end..t.end });
        } else if word.strip_prefix("end") == Some(tag)
            && let Some(mut block) = open.take()
        {
            block.body.end = t.start;
            found.push(block);
        }
    }
    match open {
        Some(block) => Err(Box::new(
            Diagnostic::error("template/syntax", format!("`{{% {tag} {} %}}` is never closed", block.name))
                .at(Place::new(file, block.name_range), format!("needs `{{% end{tag} %}}`")),
        )),
        None => Ok(found),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TagKind {
    Block,
    Expression,
}

struct Tag {
    kind: TagKind,
    start: usize,
    end: usize,
    /// The first word of a block tag.
    word: Range<usize>,
    /// Before the closing delimiter and its whitespace mark.
    inner_end: usize,
    has_assignment: bool,
    /// The most operators between two commas.
    operators: usize,
}

/// The next block or expression tag at or after `at`; comments and raw blocks are stepped over.
fn next_tag(file: &Arc<SourceFile>, text: &str, mut at: usize, limit: usize) -> Result<Option<Tag>, Box<Diagnostic>> {
    let bytes = text.as_bytes();
    let fault = |range: Range<usize>, message: &str| {
        Box::new(Diagnostic::error("template/syntax", message.to_owned()).at(Place::new(file, range), "opened here"))
    };
    loop {
        let Some(found) = text[at..limit].find('{') else { return Ok(None) };
        let start = at + found;
        let kind = match bytes.get(start + 1) {
            Some(b'{') => TagKind::Expression,
            Some(b'%') => TagKind::Block,
            Some(b'#') => {
                let Some(end) = text[(start + 2).min(limit)..limit].find("#}") else {
                    return Err(fault(start..start + 2, "a comment is never closed"));
                };
                at = start + 2 + end + 2;
                continue;
            }
            _ => {
                at = start + 1;
                continue;
            }
        };
        if start + 2 > limit {
            return Ok(None);
        }
        let tag = scan_tag(file, text, kind, start, limit)?;
        if kind == TagKind::Block && &text[tag.word.clone()] == "raw" {
            let Some(end) = end_of_raw(text, tag.end, limit) else {
                return Err(fault(start..tag.end, "`{% raw %}` is never closed"));
            };
            at = end;
            continue;
        }
        return Ok(Some(tag));
    }
}

fn end_of_raw(text: &str, mut at: usize, limit: usize) -> Option<usize> {
    loop {
        let start = at + text[at..limit].find("{%")?;
        let rest = text[start + 2..limit].trim_start_matches(['-', '+']).trim_start();
        if let Some(rest) = rest.strip_prefix("endraw") {
            let rest = rest.trim_start().trim_start_matches(['-', '+']);
            if rest.starts_with("%}") {
                return Some(limit - rest.len() + 2);
            }
        }
        at = start + 2;
    }
}

fn scan_tag(file: &Arc<SourceFile>, text: &str, kind: TagKind, start: usize, limit: usize) -> Result<Tag, Box<Diagnostic>> {
    let bytes = text.as_bytes();
    let close = if kind == TagKind::Block { b'%' } else { b'}' };
    let mut i = start + 2;
    if i < limit && matches!(bytes[i], b'-' | b'+') {
        i += 1;
    }
    while i < limit && bytes[i].is_ascii_whitespace() {
        i += 1;
    }
    let word = identifier(text, i, limit);
    let (mut depth, mut operators, mut most, mut has_assignment) = (0usize, 0usize, 0usize, false);
    let mut was_word = false;
    while i < limit {
        let c = bytes[i];
        if depth == 0 {
            let closes = |i: usize| i + 1 < limit && bytes[i] == close && bytes[i + 1] == b'}';
            if closes(i) {
                return Ok(Tag { kind, start, end: i + 2, word, inner_end: i, has_assignment, operators: most });
            }
            if matches!(c, b'-' | b'+') && closes(i + 1) {
                return Ok(Tag { kind, start, end: i + 3, word, inner_end: i, has_assignment, operators: most });
            }
        }
        let is_word = c.is_ascii_alphanumeric() || c == b'_' || c >= 0x80;
        match c {
            b'\'' | b'"' => {
                let from = i;
                i += 1;
                while i < limit && bytes[i] != c {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                if i >= limit {
                    return Err(Box::new(
                        Diagnostic::error("template/syntax", "a string is never closed")
                            .at(Place::new(file, from..from + 1), "opened here"),
                    ));
                }
            }
            b'(' | b'[' | b'{' => {
                depth += 1;
                // calls and subscripts that follow each other nest like operators do
                operators += usize::from(matches!(bytes[i - 1], b')' | b']'));
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => operators = 0,
            b'=' => {
                let next = bytes.get(i + 1).copied();
                if next == Some(b'=') {
                    i += 1;
                    operators += 1;
                } else if !matches!(bytes[i - 1], b'!' | b'<' | b'>') && depth == 0 {
                    has_assignment = true;
                }
            }
            b'+' | b'-' | b'*' | b'/' | b'%' | b'~' | b'|' | b'.' | b'<' | b'>' | b'!' => operators += 1,
            _ if is_word && !was_word => {
                let end = i + bytes[i..limit].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
                if matches!(&bytes[i..end], b"not" | b"and" | b"or" | b"if" | b"is" | b"in") {
                    operators += 1;
                }
            }
            _ => {}
        }
        most = most.max(operators);
        if operators > MAX_OPERATORS {
            return Err(Box::new(
                Diagnostic::error("template/limit", format!("an expression has more than {MAX_OPERATORS} operators"))
                    .at(Place::new(file, start..i), "too deep to evaluate"),
            ));
        }
        was_word = is_word;
        i += 1;
    }
    let (what, end) = if kind == TagKind::Block { ("a block tag", "%}") } else { ("an expression", "}}") };
    Err(Box::new(
        Diagnostic::error("template/syntax", format!("{what} is never closed"))
            .at(Place::new(file, start..(start + 2).min(limit)), format!("needs `{end}`")),
    ))
}

fn identifier(text: &str, from: usize, limit: usize) -> Range<usize> {
    let skipped = text[from..limit].len() - text[from..limit].trim_start().len();
    let start = from + skipped;
    let length = text[start..limit].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(limit - start);
    start..start + length
}

/// A text for the parser, and the way back from its offsets to the file's.
pub(super) struct Rewritten {
    pub text: String,
    /// `(offset in the text, offset in the file)` where runs of equal text begin.
    runs: Vec<(usize, usize)>,
    /// The most operators of one expression or branches of one `if`: how deep the tree may be.
    pub depth: usize,
}

impl Rewritten {
    pub fn original(&self, offset: usize) -> usize {
        match self.runs.partition_point(|(new, _)| *new <= offset).checked_sub(1) {
            Some(i) => {
                let (new, old) = self.runs[i];
                let mapped = old + (offset - new);
                // text that was put in stands for the place before the next run
                self.runs.get(i + 1).map_or(mapped, |(_, next)| mapped.min(*next))
            }
            None => offset,
        }
    }
}

/// Checks that blocks nest, and rewrites dbt's tags in `range` of the file.
pub(super) fn rewrite(file: &Arc<SourceFile>, range: Range<usize>) -> Result<Rewritten, Box<Diagnostic>> {
    let text = file.text.as_str();
    let mut out = Rewritten { text: String::with_capacity(range.len() + 16), runs: vec![], depth: 0 };
    let mut copied = range.start;
    let mut replace = |out: &mut Rewritten, old: Range<usize>, new: &str| {
        if copied < old.start {
            out.runs.push((out.text.len(), copied));
            out.text.push_str(&text[copied..old.start]);
        }
        // an inserted text is a run that begins at the replaced one
        out.runs.push((out.text.len(), old.start));
        out.text.push_str(new);
        copied = old.end;
    };
    let mut open: Vec<(&str, Range<usize>, usize)> = vec![];
    let mut at = range.start;
    while let Some(tag) = next_tag(file, text, at, range.end)? {
        at = tag.end;
        out.depth = out.depth.max(tag.operators);
        if tag.kind != TagKind::Block {
            continue;
        }
        let word = &text[tag.word.clone()];
        match word {
            "if" | "for" | "macro" | "call" | "filter" | "with" | "autoescape" | "block" => open.push((word, tag.start..tag.end, 0)),
            "set" if !tag.has_assignment => open.push((word, tag.start..tag.end, 0)),
            "do" => replace(&mut out, tag.word.clone(), &format!("set {DO_TARGET} =")),
            "test" | "data_test" => {
                open.push((word, tag.start..tag.end, 0));
                let name = identifier(text, tag.word.end, tag.inner_end);
                replace(&mut out, tag.word.start..name.start, "macro test_");
            }
            "snapshot" | "materialization" => {
                open.push((word, tag.start..tag.end, 0));
                let name = identifier(text, tag.word.end, tag.inner_end);
                let options = &text[name.end..tag.inner_end];
                let adapter = adapter_option(options).unwrap_or("default");
                let suffix = if word == "materialization" { format!("_{adapter}()") } else { "()".to_owned() };
                replace(&mut out, tag.word.start..name.start, &format!("macro {word}_"));
                replace(&mut out, name.end..tag.inner_end, &suffix);
            }
            "docs" => {
                let Some(end) = end_of_docs(text, tag.end, range.end) else {
                    return Err(unclosed(file, word, &(tag.start..tag.end)));
                };
                replace(&mut out, tag.start..end, "");
                at = end;
            }
            "else" | "elif" => match open.last_mut() {
                Some(("if", _, branches)) => {
                    *branches += 1;
                    out.depth = out.depth.max(*branches);
                    if *branches > MAX_BRANCHES {
                        return Err(Box::new(
                            Diagnostic::error("template/limit", format!("an `if` has more than {MAX_BRANCHES} branches"))
                                .at(Place::new(file, tag.start..tag.end), "one too many"),
                        ));
                    }
                }
                Some(("for", ..)) if word == "else" => {}
                _ => return Err(stray(file, word, &tag, open.last())),
            },
            _ => {
                if let Some(kind) = word.strip_prefix("end").filter(|k| !k.is_empty()) {
                    match open.pop() {
                        Some((opened, ..)) if opened == kind => {}
                        other => return Err(stray(file, word, &tag, other.as_ref())),
                    }
                    if matches!(kind, "test" | "data_test" | "snapshot" | "materialization") {
                        replace(&mut out, tag.word.clone(), "endmacro");
                    }
                }
            }
        }
    }
    if let Some((word, opening, _)) = open.last() {
        return Err(unclosed(file, word, opening));
    }
    out.runs.push((out.text.len(), copied));
    out.text.push_str(&text[copied..range.end]);
    Ok(out)
}

fn unclosed(file: &Arc<SourceFile>, word: &str, opening: &Range<usize>) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::error("template/syntax", format!("`{{% {word} %}}` is never closed"))
            .at(Place::new(file, opening.clone()), format!("needs `{{% end{word} %}}`")),
    )
}

fn stray(file: &Arc<SourceFile>, word: &str, tag: &Tag, open: Option<&(&str, Range<usize>, usize)>) -> Box<Diagnostic> {
    let place = Place::new(file, tag.start..tag.end);
    Box::new(match open {
        Some((opened, range, _)) => {
            Diagnostic::error("template/syntax", format!("`{{% {word} %}}` does not belong to the open `{{% {opened} %}}`"))
                .at(place, format!("expected `{{% end{opened} %}}` first"))
                .related(Place::new(file, range.clone()), "opened here")
        }
        None => Diagnostic::error("template/syntax", format!("`{{% {word} %}}` without an opening tag")).at(place, "nothing is open here"),
    })
}

fn end_of_docs(text: &str, mut at: usize, limit: usize) -> Option<usize> {
    loop {
        let start = at + text[at..limit].find("{%")?;
        let rest = text[start + 2..limit].trim_start_matches(['-', '+']).trim_start();
        if rest.starts_with("enddocs") {
            return Some(start + text[start..limit].find("%}")? + 2);
        }
        at = start + 2;
    }
}

fn adapter_option(options: &str) -> Option<&str> {
    let (_, rest) = options.split_once("adapter")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    rest[1..].split(quote).next().filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Result<Rewritten, String> {
        let file = SourceFile::new("a.sql", text);
        rewrite(&file, 0..text.len()).map_err(|d| d.message.clone())
    }

    #[test]
    fn tags_of_dbt_become_macros() {
        for (text, expect) in [
            ("{% test a(model) %}x{% endtest %}", "{% macro test_a(model) %}x{% endmacro %}"),
            ("{%- data_test a(m) -%}x{%- enddata_test -%}", "{%- macro test_a(m) -%}x{%- endmacro -%}"),
            (
                "{% materialization t, adapter='snowflake' %}{% endmaterialization %}",
                "{% macro materialization_t_snowflake()%}{% endmacro %}",
            ),
            ("a{% docs x %} {{ broken {% enddocs %}b", "ab"),
            ("{% do a.append(1) if b %}", "{% set __do__ = a.append(1) if b %}"),
            ("{% raw %}{% test %}{% endraw %}", "{% raw %}{% test %}{% endraw %}"),
        ] {
            assert_eq!(rewritten(text).map(|r| r.text), Ok(expect.to_owned()), "{text}");
        }
    }

    #[test]
    fn offsets_lead_back() {
        let text = "{% test abc(model) %}xyz{% endtest %} tail";
        let r = rewritten(text).expect("parses");
        for word in ["abc", "model", "xyz", "tail"] {
            let new = r.text.find(word).expect("kept");
            assert_eq!(r.original(new), text.find(word).expect("there"), "{word}");
        }
    }

    #[test]
    fn blocks_must_nest() {
        for (text, message) in [
            ("{% if a %}", "`{% if %}` is never closed"),
            ("{% if a %}{% endfor %}", "`{% endfor %}` does not belong to the open `{% if %}`"),
            ("{% endif %}", "`{% endif %}` without an opening tag"),
            ("{{ 'a }}", "a string is never closed"),
            ("{{ a ", "an expression is never closed"),
            ("{# a ", "a comment is never closed"),
            ("{% set x %}", "`{% set %}` is never closed"),
        ] {
            assert_eq!(rewritten(text).err().as_deref(), Some(message), "{text}");
        }
        assert!(rewritten("{% set x = 1 %}{% set y = a == b %}{% set z %}{% endset %}").is_ok());
        assert!(rewritten("{{ {'a': {}} }}{% for a in b %}{% else %}{% endfor %}").is_ok());
    }
}
