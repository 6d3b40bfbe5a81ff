//! Positions of the protocol, which count UTF-16 units of a line, to bytes of a text and back. Whatever is past an end is the end.

use std::ops::Range;

use tower_lsp_server::ls_types::{Position, Range as Span, TextDocumentContentChangeEvent};

/// The byte at a position.
pub(super) fn offset(text: &str, position: Position) -> usize {
    let mut start = 0;
    for _ in 0..position.line {
        match text[start..].find('\n') {
            Some(at) => start += at + 1,
            None => return text.len(),
        }
    }
    let line = text[start..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let mut units = 0;
    for (at, c) in line.char_indices() {
        if units >= position.character {
            return start + at;
        }
        units += c.len_utf16() as u32;
    }
    start + line.len()
}

/// The position of a byte; within a character it is the character's.
pub(super) fn position(text: &str, offset: usize) -> Position {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count();
    let units: usize = before[start..].chars().map(char::len_utf16).sum();
    Position::new(u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(units).unwrap_or(u32::MAX))
}

pub(super) fn span(text: &str, range: Range<usize>) -> Span {
    Span::new(position(text, range.start), position(text, range.end.max(range.start)))
}

/// The text after the change.
pub(super) fn changed(text: &str, change: TextDocumentContentChangeEvent) -> String {
    let Some(range) = change.range else { return change.text };
    let start = offset(text, range.start);
    let end = offset(text, range.end).max(start);
    format!("{}{}{}", &text[..start], change.text, &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "select '멜론' as a,\r\n  '🎵' as b\nfrom t";

    #[test]
    fn positions_count_utf16_units() {
        for (word, line, character) in [("select", 0, 0), ("멜론", 0, 8), ("as a", 0, 12), ("🎵", 1, 3), ("as b", 1, 7), ("from", 2, 0)]
        {
            let at = TEXT.find(word).expect("there");
            assert_eq!(position(TEXT, at), Position::new(line, character), "{word}");
            assert_eq!(offset(TEXT, Position::new(line, character)), at, "{word}");
        }
    }

    #[test]
    fn what_is_past_an_end_is_the_end() {
        assert_eq!(offset(TEXT, Position::new(9, 9)), TEXT.len());
        assert_eq!(&TEXT[offset(TEXT, Position::new(0, 99))..][..2], "\r\n");
        assert_eq!(position(TEXT, 999), Position::new(2, 6));
        // within a pair of surrogates, and within a character's bytes
        assert_eq!(offset(TEXT, Position::new(1, 4)), TEXT.find("🎵").expect("there") + 4);
        assert_eq!(position(TEXT, TEXT.find('멜').expect("there") + 1), Position::new(0, 8));
    }

    #[test]
    fn changes_replace_their_range() {
        let change = |range: Option<Span>, text: &str| TextDocumentContentChangeEvent { range, range_length: None, text: text.into() };
        let inner = Span::new(Position::new(0, 8), Position::new(0, 10));
        assert!(changed(TEXT, change(Some(inner), "벅스")).starts_with("select '벅스' as a"));
        assert_eq!(changed(TEXT, change(None, "x")), "x");
    }
}
