//! Text of a file -> syntax tree, in one of minijinja's dialects: no trimming of blocks, the last line break kept, as dbt has it.

use std::{ops::Range, sync::Arc};

use minijinja::{machinery::ast as foreign, syntax::SyntaxConfig};

use super::{
    ast::{Name, Stmt},
    blocks, convert,
};
use crate::diagnostic::{Diagnostic, Place, SourceFile};

/// Room for minijinja's recursive parser where an expression is deep; see the limits in `blocks`.
const DEEP: usize = 50;
const STACK: usize = 16 << 20;
const RED_ZONE: usize = 512 << 10;

/// A parsed text with the file that its spans point into.
#[derive(Debug)]
pub struct Parsed {
    pub file: Arc<SourceFile>,
    pub body: Vec<Stmt>,
}

/// Parses `range` of `file`; macros in it belong to `package`.
pub fn parse(file: &Arc<SourceFile>, range: Range<usize>, package: &Name) -> Result<Parsed, Box<Diagnostic>> {
    let range = range.start.min(file.text.len())..range.end.min(file.text.len());
    if !file.text[range.clone()].contains('{') {
        let body = if range.is_empty() { vec![] } else { vec![Stmt::Raw(super::ast::Span::new(range.start, range.end))] };
        return Ok(Parsed { file: file.clone(), body });
    }
    let rewritten = blocks::rewrite(file, range)?;
    // the tree is as deep as the text nests, and dropping it recurses as parsing does
    let red_zone = if rewritten.depth > DEEP { STACK } else { RED_ZONE };
    stacker::maybe_grow(red_zone, STACK, || {
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(|e| fault(file, &rewritten, &e))?;
        let tree = minijinja::machinery::parse(&rewritten.text, "", syntax).map_err(|e| fault(file, &rewritten, &e))?;
        let foreign::Stmt::Template(template) = &tree else {
            return Ok(Parsed { file: file.clone(), body: vec![] });
        };
        let body = convert::Converter { file, rewritten: &rewritten, package, surplus: Default::default() }.body(&template.children)?;
        Ok(Parsed { file: file.clone(), body })
    })
}

fn fault(file: &Arc<SourceFile>, rewritten: &blocks::Rewritten, error: &minijinja::Error) -> Box<Diagnostic> {
    let mut message = error.detail().unwrap_or("the template does not parse").to_owned();
    if let Some(statement) = message.strip_prefix("unknown statement ") {
        message = format!("unknown block tag `{statement}`");
    }
    let range = error.range().map_or(0..0, |r| rewritten.original(r.start)..rewritten.original(r.end));
    Box::new(Diagnostic::error("template/syntax", message).at(Place::new(file, range), "here"))
}
