//! What stands at the cursor: an argument of a call, a name within Jinja, a name within SQL.

use std::ops::Range;

use super::lexer::{Kind, is_word, tokens};

/// The kinds of places that the server has something to say about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// Within the quotes of an argument: `ref('a|b')`.
    Argument {
        function: String,
        /// Texts of the arguments before this one.
        before: Vec<String>,
        /// Name of the keyword argument, if it is one.
        keyword: Option<String>,
        /// Between the quotes.
        range: Range<usize>,
    },
    /// A name in a Jinja block; `range` may be empty. `function`: the call whose parentheses it stands in.
    Template { qualifier: Option<String>, range: Range<usize>, function: Option<String> },
    /// A name in SQL; `range` may be empty.
    Sql { qualifier: Option<String>, range: Range<usize> },
    /// Comments and strings.
    Nothing,
}

/// In the text of a template.
pub(super) fn in_template(text: &str, offset: usize) -> Spot {
    let offset = floor(text, offset);
    let all = tokens(text);
    let inside = |t: &&super::lexer::Token| match t.kind {
        Kind::Expression | Kind::Statement => {
            t.range.start + 1 < offset && (offset < t.range.end - 1 || !is_closed(&text[t.range.clone()]))
        }
        Kind::Remark => t.range.start < offset && offset < t.range.end,
        // at the end of a comment's line one still writes the comment
        Kind::Comment => t.range.start < offset && offset <= t.range.end,
        Kind::Text => t.range.start < offset && offset < t.range.end,
        _ => false,
    };
    match all.iter().find(inside) {
        Some(token) if matches!(token.kind, Kind::Expression | Kind::Statement) => in_expression(text, token.range.clone(), offset),
        Some(_) => Spot::Nothing,
        None => in_sql(text, offset),
    }
}

fn is_closed(block: &str) -> bool {
    block.len() >= 4 && (block.ends_with("}}") || block.ends_with("%}"))
}

/// In a line of YAML: calls are written without braces too (`to: ref('a')`). `None` where nothing of the kind stands.
pub(super) fn in_yaml(text: &str, offset: usize) -> Option<Spot> {
    let offset = floor(text, offset);
    let start = text[..offset].rfind('\n').map_or(0, |n| n + 1);
    let end = offset + text[offset..].find('\n').unwrap_or(text.len() - offset);
    let line = &text[start..end];
    let call = ["ref", "source", "doc", "var", "env_var", "function"]
        .iter()
        .filter_map(|f| line[..offset - start].rfind(&format!("{f}(")))
        .min()?;
    match in_expression(text, start + call..end, offset) {
        spot @ Spot::Argument { .. } => Some(spot),
        _ => None,
    }
}

fn floor(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// An open parenthesis: whose, and the texts in it so far.
#[derive(Default)]
struct Call {
    function: String,
    texts: Vec<String>,
    keyword: Option<String>,
}

fn in_expression(text: &str, region: Range<usize>, offset: usize) -> Spot {
    let mut at = region.start;
    let mut open: Vec<Call> = vec![];
    // the dotted name that ends right here
    let mut name: Vec<String> = vec![];
    while at < region.end && at <= offset {
        let Some(c) = text[at..region.end].chars().next() else { break };
        if is_word(c) {
            let end = at + text[at..region.end].find(|c| !is_word(c)).unwrap_or(region.end - at);
            if at <= offset && offset <= end {
                let qualifier = if name.is_empty() { None } else { Some(name.join(".")) };
                return Spot::Template { qualifier, range: at..end, function: open.last().map(|c| c.function.clone()) };
            }
            name.push(text[at..end].to_owned());
            at = end;
            if !text[at..region.end].starts_with('.') && !text[at..region.end].trim_start().starts_with(['(', '=']) {
                name.clear();
            }
            continue;
        }
        // what stands behind the cursor closes nothing before it
        if at == offset && !matches!(c, '\'' | '"') {
            break;
        }
        match c {
            '\'' | '"' => {
                let start = at + 1;
                let body = &text[start..region.end];
                let end = start + body.find([c, '\n']).unwrap_or(body.len());
                if (start..=end).contains(&offset) {
                    let call = open.pop().unwrap_or_default();
                    // an argument that nobody closed ends where it is written
                    let range = start..if text[end..].starts_with(c) { end } else { offset };
                    return Spot::Argument { function: call.function, before: call.texts, keyword: call.keyword, range };
                }
                if let Some(call) = open.last_mut() {
                    call.texts.push(text[start..end].to_owned());
                }
                at = end;
                name.clear();
            }
            '(' => {
                open.push(Call { function: name.join("."), ..Call::default() });
                name.clear();
            }
            ')' => {
                open.pop();
                name.clear();
            }
            '=' => {
                if let Some(call) = open.last_mut() {
                    call.keyword = name.last().cloned();
                }
                name.clear();
            }
            ',' => {
                if let Some(call) = open.last_mut() {
                    call.keyword = None;
                }
                name.clear();
            }
            '.' => {
                if offset == at + 1 && !text[at + 1..region.end].starts_with(is_word) {
                    let qualifier = if name.is_empty() { None } else { Some(name.join(".")) };
                    return Spot::Template { qualifier, range: offset..offset, function: open.last().map(|c| c.function.clone()) };
                }
            }
            c if c.is_whitespace() => {}
            _ => name.clear(),
        }
        at += text[at..].chars().next().map_or(1, char::len_utf8);
    }
    Spot::Template { qualifier: None, range: offset..offset, function: open.last().map(|c| c.function.clone()) }
}

fn in_sql(text: &str, offset: usize) -> Spot {
    let start = text[..offset].rfind(|c| !is_word(c)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let end = offset + text[offset..].find(|c| !is_word(c)).unwrap_or(text.len() - offset);
    let (mut start, mut end) = (start, end);
    // a quoted name is one with its quotes
    if text[..start].ends_with('"') && text[end..].starts_with('"') {
        (start, end) = (start - 1, end + 1);
    }
    let qualifier = text[..start].strip_suffix('.').map(|before| {
        let before = before.trim_end_matches('"');
        let from = before.rfind(|c| !is_word(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        before[from..].to_owned()
    });
    Spot::Sql { qualifier: qualifier.filter(|q| !q.is_empty()), range: start..end }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `|` is the cursor.
    fn spot(marked: &str) -> (Spot, String) {
        let offset = marked.find('|').expect("a cursor");
        let text = marked.replacen('|', "", 1);
        (in_template(&text, offset), text)
    }

    fn shown(marked: &str) -> String {
        let (spot, text) = spot(marked);
        match spot {
            Spot::Argument { function, before, keyword, range } => {
                format!("{function}({}{}>{}<)", before.join(","), keyword.map(|k| format!(" {k}=")).unwrap_or_default(), &text[range])
            }
            Spot::Template { qualifier, range, function } => {
                format!("{{{}.{} in {}}}", qualifier.unwrap_or_default(), &text[range], function.unwrap_or_default())
            }
            Spot::Sql { qualifier, range } => format!("{}.{}", qualifier.unwrap_or_default(), &text[range]),
            Spot::Nothing => "-".into(),
        }
    }

    #[test]
    fn the_cursor_is_told() {
        for (text, expect) in [
            ("from {{ ref('st|g') }}", "ref(>stg<)"),
            ("from {{ ref('st|", "ref(>st<)"),
            ("from {{ ref('|\nwhere {{ x }}", "ref(><)"),
            ("from {{ source('raw', '|') }}", "source(raw><)"),
            ("{{ config(|) }}", "{. in config}"),
            ("{{ config(materialized='ta|ble') }}", "config( materialized=>table<)"),
            ("{{ config(unique_key='id', materialized='|') }}", "config(id materialized=><)"),
            ("{{ dbt_utils.st|ar(ref('a')) }}", "{dbt_utils.star in }"),
            ("{{ dbt_utils.| }}", "{dbt_utils. in }"),
            ("{{ | }}", "{. in }"),
            ("{{ ce| }}", "{.ce in }"),
            ("{{ cents(pr|ice) }}", "{.price in cents}"),
            ("{% if is_inc|remental() %}", "{.is_incremental in }"),
            ("select s.na| from", "s.na"),
            ("select s.| from", "s."),
            ("select 가격| from", ".가격"),
            ("select \"Pri|ce\" from", ".\"Price\""),
            ("select '멜|론' from", "-"),
            ("-- sele|ct", "-"),
            ("{# re|f #}", "-"),
            ("select |", "."),
        ] {
            assert_eq!(shown(text), expect, "{text}");
        }
    }

    #[test]
    fn every_place_of_every_text_has_an_answer() {
        for text in ["{{ ref('a', \"b", "{% set x = {'a': [1, (2", "a.'{{ '}}' }}\"", "가{{나.다('라", "{{}}{%%}{##}", "{{{{((''"] {
            for offset in 0..=text.len() + 1 {
                in_template(text, offset);
                in_yaml(text, offset);
            }
        }
    }
}
