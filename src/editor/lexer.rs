//! The text of a template to words, strings, comments and Jinja blocks, however half-written it is. Nothing is evaluated.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Word,
    /// `"Name"`, with its quotes.
    Quoted,
    /// A piece of a SQL string.
    Text,
    Comment,
    Symbol,
    /// `{{ ... }}`
    Expression,
    /// `{% ... %}`
    Statement,
    /// `{# ... #}`
    Remark,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

impl Token {
    pub(super) fn text<'a>(&self, text: &'a str) -> &'a str {
        &text[self.range.clone()]
    }

    pub(super) fn is(&self, text: &str, word: &str) -> bool {
        self.kind == Kind::Word && self.text(text).eq_ignore_ascii_case(word)
    }

    pub(super) fn symbol(&self, text: &str) -> Option<char> {
        if self.kind == Kind::Symbol { self.text(text).chars().next() } else { None }
    }
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

/// What opens a Jinja block, what it is and what closes it.
const BLOCKS: [(&str, Kind, &str); 3] = [("{{", Kind::Expression, "}}"), ("{%", Kind::Statement, "%}"), ("{#", Kind::Remark, "#}")];

/// The end of the block that opens at `start`: its closing, or the line's end where another block opens first.
fn block_end(text: &str, start: usize, kind: Kind, closing: &str) -> usize {
    let inner = &text[start + 2..];
    let close = inner.find(closing);
    let open = if kind == Kind::Remark { None } else { inner.find("{{").into_iter().chain(inner.find("{%")).min() };
    let line = start + text[start..].find('\n').unwrap_or(text.len() - start);
    match (close, open) {
        (Some(close), None) => start + 2 + close + 2,
        (Some(close), Some(open)) if close < open => start + 2 + close + 2,
        // a dict within the expression opens with the same sign; its line tells
        (Some(close), Some(open)) if open + start + 2 < line && close + start + 2 <= line => start + 2 + close + 2,
        (None, None) if kind == Kind::Remark => text.len(),
        _ => line,
    }
}

/// The whole text in order; white space is left out.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found: Vec<Token> = vec![];
    let mut at = 0;
    let mut in_string = false;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, end) = if let Some((_, kind, closing)) = BLOCKS.iter().find(|(open, ..)| rest.starts_with(open)) {
            (Some(*kind), block_end(text, at, *kind, closing))
        } else if in_string || c == '\'' {
            let body = if in_string { rest } else { &rest[1..] };
            let skipped = rest.len() - body.len();
            let quote = body.find('\'').map(|q| q + 1);
            let block = BLOCKS.iter().filter_map(|(open, ..)| body.find(open)).min();
            match (quote, block) {
                (Some(quote), Some(block)) if block < quote => {
                    in_string = true;
                    (Some(Kind::Text), at + skipped + block)
                }
                (Some(quote), _) => {
                    in_string = false;
                    (Some(Kind::Text), at + skipped + quote)
                }
                // a string that was never closed ends with its line, so that the rest stays readable
                (None, _) => {
                    in_string = false;
                    (Some(Kind::Text), at + rest.find('\n').unwrap_or(rest.len()))
                }
            }
        } else if c == '"' {
            let line = rest.find('\n').unwrap_or(rest.len());
            (Some(Kind::Quoted), at + rest[1..].find('"').map_or(line, |q| q + 2).min(line))
        } else if rest.starts_with("--") || rest.starts_with("//") {
            (Some(Kind::Comment), at + rest.find('\n').unwrap_or(rest.len()))
        } else if let Some(body) = rest.strip_prefix("/*") {
            (Some(Kind::Comment), at + body.find("*/").map_or(rest.len(), |e| e + 4))
        } else if is_word(c) {
            (Some(Kind::Word), at + rest.find(|c| !is_word(c)).unwrap_or(rest.len()))
        } else if c.is_whitespace() {
            (None, at + c.len_utf8())
        } else {
            (Some(Kind::Symbol), at + c.len_utf8())
        };
        // every branch takes something, a broken block too
        let end = end.max(at + c.len_utf8());
        if let Some(kind) = kind {
            found.push(Token { kind, range: at..end });
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).iter().map(|t| (t.kind, &text[t.range.clone()])).collect()
    }

    #[test]
    fn templates_are_cut_into_pieces() {
        use Kind::*;
        for (text, expect) in [
            ("select a.b -- {x\n", vec![(Word, "select"), (Word, "a"), (Symbol, "."), (Word, "b"), (Comment, "-- {x")]),
            ("{{ ref('a') }} x", vec![(Expression, "{{ ref('a') }}"), (Word, "x")]),
            ("'a{{ b }}c' d", vec![(Text, "'a"), (Expression, "{{ b }}"), (Text, "c'"), (Word, "d")]),
            ("{{ ref('a\nfrom {{ b }}", vec![(Expression, "{{ ref('a"), (Word, "from"), (Expression, "{{ b }}")]),
            ("{% if x %}{# {{ #}\"Y\"", vec![(Statement, "{% if x %}"), (Remark, "{# {{ #}"), (Quoted, "\"Y\"")]),
            ("한글 'x", vec![(Word, "한글"), (Text, "'x")]),
            ("{{", vec![(Expression, "{{")]),
        ] {
            assert_eq!(shown(text), expect, "{text}");
        }
    }
}
