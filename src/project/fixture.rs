//! Rows of unit tests that lie in files: `fixture: name` becomes the text of `tests/fixtures/name.csv` or `.sql` (dbt
//! documentation, "Fixtures").

use serde_json::Value as Json;

use super::package::ResourceFile;
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    graph::Node,
    names::nearest,
};

/// Puts the rows of fixture files beside the names that ask for them.
pub fn fill(node: &mut Node, place: &Place, fixtures: &[ResourceFile], faults: &mut Diagnostics) {
    let given = node.extra.get_mut("given").and_then(Json::as_array_mut).map(|list| list.iter_mut().collect::<Vec<_>>());
    let mut entries = given.unwrap_or_default();
    let mut found = vec![];
    for entry in &mut entries {
        found.extend(rows(entry, place, fixtures));
    }
    if let Some(expect) = node.extra.get_mut("expect") {
        found.extend(rows(expect, place, fixtures));
    }
    found.into_iter().for_each(|fault| faults.push(fault));
}

fn rows(entry: &mut Json, place: &Place, fixtures: &[ResourceFile]) -> Option<Diagnostic> {
    let name = entry.get("fixture").and_then(Json::as_str)?.to_owned();
    let format = entry.get("format").and_then(Json::as_str).unwrap_or("dict").to_owned();
    let fault = |message: String| Diagnostic::error("project/fixture", message).at(place.clone(), "the unit test");
    if !matches!(format.as_str(), "csv" | "sql") {
        return Some(
            fault(format!("the fixture `{name}` belongs to rows of the format `{format}`")).help("say `format: csv` or `format: sql`"),
        );
    }
    if entry.get("rows").is_some_and(|r| !r.is_null()) {
        return Some(fault(format!("the rows of the fixture `{name}` are given twice")).help("leave out either `rows` or `fixture`"));
    }
    let stem = |f: &ResourceFile| f.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let wanted = |f: &&ResourceFile| f.path.extension().is_some_and(|e| e.eq_ignore_ascii_case(&format));
    let mut matching = fixtures.iter().filter(wanted).filter(|f| stem(f) == name);
    match (matching.next(), matching.next()) {
        (Some(file), None) => {
            entry.as_object_mut()?.insert("rows".into(), Json::from(&*file.file.text));
            None
        }
        (Some(one), Some(other)) => Some(fault(format!(
            "two files are the fixture `{name}`: `{}` and `{}`",
            one.original_path.display(),
            other.original_path.display()
        ))),
        (None, _) => {
            let known: Vec<String> = fixtures.iter().filter(wanted).map(stem).collect();
            let fault = fault(format!("there is no fixture `{name}.{format}`"));
            Some(match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => fault.help(format!("there is `{near}.{format}`")),
                None => fault.help(format!("put it into a folder `fixtures` of the tests: `tests/fixtures/{name}.{format}`")),
            })
        }
    }
}
