//! Where things are below the root: names to path segments and back.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::names::{Identifier, RelationName};

/// Characters that a file system, a URL or a hive path would read as something else.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b'/')
    .add(b'\\')
    .add(b'%')
    .add(b'~')
    .add(b'?')
    .add(b'#')
    .add(b'*')
    .add(b':')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'|')
    .add(b'=')
    .add(b' ')
    .add(b'.');

/// Suffix of view files.
pub(super) const VIEW_SUFFIX: &str = ".view.json";

pub(super) fn segment(identifier: &Identifier) -> String {
    // not with the percent sign itself: table URLs would decode it on their way
    utf8_percent_encode(identifier.as_str(), RESERVED).to_string().replace('%', "~")
}

pub(super) fn identifier(segment: &str) -> Identifier {
    Identifier::exact(percent_decode_str(&segment.replace('~', "%")).decode_utf8_lossy().into_owned())
}

/// `DATABASE/SCHEMA/NAME`
pub(super) fn relation_path(relation: &RelationName) -> String {
    format!("{}/{}/{}", segment(&relation.database), segment(&relation.schema), segment(&relation.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_survive_the_way_to_disk() {
        for name in ["A", "a b", "weird/../name", "ü.x", "100%"] {
            let id = Identifier::exact(name);
            let segment = segment(&id);
            assert!(!segment.contains('/') && !segment.starts_with('.'), "{segment}");
            assert_eq!(identifier(&segment), id);
        }
    }
}
