//! The dialect's functions, asked once: finding out which of them the local engine has takes a moment.

use std::sync::OnceLock;

use crate::{dialect::function::listing::Entry, engine::datafusion::function_listing};

pub(super) fn functions() -> &'static [Entry] {
    static ALL: OnceLock<Vec<Entry>> = OnceLock::new();
    ALL.get_or_init(function_listing)
}

pub(super) fn function(name: &str) -> Option<&'static Entry> {
    functions().iter().find(|f| f.name.eq_ignore_ascii_case(name))
}
