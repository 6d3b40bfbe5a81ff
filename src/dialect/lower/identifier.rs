//! Snowflake's folding written into the tree: every identifier ends up quoted in its stored form.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, TableAlias};

/// Folds one identifier. Quoted ones, also those already folded, stay.
pub fn fold(ident: &mut Ident) {
    if ident.quote_style.is_none() {
        ident.value = ident.value.to_uppercase();
        ident.quote_style = Some('"');
    }
}

/// The stored form without changing the tree.
pub fn stored(ident: &Ident) -> String {
    if ident.quote_style.is_none() { ident.value.to_uppercase() } else { ident.value.clone() }
}

/// All parts of a name.
pub fn fold_name(name: &mut ObjectName) {
    for part in &mut name.0 {
        if let ObjectNamePart::Identifier(ident) = part {
            fold(ident);
        }
    }
}

pub(super) fn fold_alias(alias: &mut TableAlias) {
    fold(&mut alias.name);
    for column in &mut alias.columns {
        fold(&mut column.name);
    }
}
