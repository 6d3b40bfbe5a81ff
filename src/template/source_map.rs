//! From an offset of the rendered text back to the place in the template that produced it.
//!
//! Raw text maps byte by byte. What `{{ ... }}` printed maps to that expression. Text that a macro printed maps to the call
//! in the user's own file; the way down through the macros is kept as a stack.

use std::{ops::Range, sync::Arc};

use crate::diagnostic::{Place, SourceFile};

/// Index into [`SourceMap::calls`]; [`NO_CALL`] in the outermost file.
pub(super) type CallIndex = u32;
pub(super) const NO_CALL: CallIndex = u32::MAX;

/// One macro call on the way from the outermost file to a piece of text.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub parent: CallIndex,
    pub file: Arc<SourceFile>,
    pub range: Range<u32>,
    pub name: Arc<str>,
}

/// Rendered text from `out` to the next segment's `out`.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub out: usize,
    pub file: Arc<SourceFile>,
    pub range: Range<u32>,
    /// Raw text: byte `n` of the segment is byte `range.start + n` of the file.
    pub raw: bool,
    pub call: CallIndex,
}

/// See the module's documentation. An empty map answers `None` to everything.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    pub(super) segments: Vec<Segment>,
    pub(super) calls: Arc<[Call]>,
    /// Bytes of generated text in front of the first segment (CTEs of ephemeral models), and where they went in.
    pub(super) insertions: Vec<(usize, usize)>,
}

impl SourceMap {
    /// The place in the outermost file, and the macro calls below it, innermost first: where in the macro the text stands, and
    /// each place that called the next. The stack is empty for text of the outermost file itself.
    pub fn place(&self, rendered: Range<usize>) -> Option<(Place, Vec<(Place, String)>)> {
        let start = self.before_insertions(rendered.start)?;
        let length = rendered.end.saturating_sub(rendered.start);
        let index = self.segments.partition_point(|s| s.out <= start).checked_sub(1)?;
        let segment = &self.segments[index];
        let inner = if segment.raw {
            let from = (segment.range.start as usize + (start - segment.out)).min(segment.range.end as usize);
            Place::new(&segment.file, from..(from + length).min(segment.range.end as usize))
        } else {
            Place::new(&segment.file, segment.range.start as usize..segment.range.end as usize)
        };
        let mut stack = vec![];
        let mut outermost = inner;
        let mut call = segment.call;
        while let Some(c) = self.calls.get(call as usize) {
            stack.push((outermost, format!("in macro `{}`", c.name)));
            outermost = Place::new(&c.file, c.range.start as usize..c.range.end as usize);
            call = c.parent;
        }
        Some((outermost, stack))
    }

    /// Text of `length` bytes was put in at `at`: what stood behind moves. It has no place of its own.
    pub fn insert(&mut self, at: usize, length: usize) {
        self.insertions.push((at, length));
    }

    fn before_insertions(&self, mut offset: usize) -> Option<usize> {
        for (at, length) in self.insertions.iter().rev() {
            if offset >= at + length {
                offset -= length;
            } else if offset >= *at {
                return None;
            }
        }
        Some(offset)
    }
}
