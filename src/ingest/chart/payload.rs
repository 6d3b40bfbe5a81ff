//! Reading fields out of a provider's JSON by pointer, with messages that name the pointer and what stands there.

use serde_json::Value as Json;

/// Why a payload as a whole gives no chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `ingest/<kebab-case>`
    pub code: &'static str,
    pub reason: String,
}

impl Fault {
    /// The provider answers in a shape that we do not know.
    pub fn shape(reason: impl Into<String>) -> Self {
        Self { code: "ingest/changed-shape", reason: reason.into() }
    }

    /// The provider says that something is wrong.
    pub fn told(reason: impl Into<String>) -> Self {
        Self { code: "ingest/provider-error", reason: reason.into() }
    }
}

/// The whole payload; a fault names the byte where it stops being JSON.
pub fn json(payload: &str) -> Result<Json, Fault> {
    serde_json::from_str(payload).map_err(|e| {
        let line_start: usize = payload.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
        let at = (line_start + e.column()).min(payload.len());
        let what = if e.is_eof() { "the JSON breaks off" } else { "the response is not JSON" };
        Fault { code: "ingest/broken-json", reason: format!("{what} at byte {at} of {}: {e}", payload.len()) }
    })
}

/// A list that must be there.
pub fn rows<'a>(payload: &'a Json, pointer: &str) -> Result<&'a [Json], Fault> {
    match payload.pointer(pointer) {
        Some(Json::Array(rows)) => Ok(rows),
        Some(other) => Err(Fault::shape(format!("`{pointer}` is {}, not a list", kind(other)))),
        None => Err(Fault::shape(format!("`{pointer}` is missing"))),
    }
}

/// A text that must be there and say something.
pub fn text(row: &Json, pointer: &str) -> Result<String, String> {
    match optional_text(row, pointer)? {
        Some(text) => Ok(text),
        None => Err(format!("`{pointer}` is missing or empty")),
    }
}

pub fn optional_text(row: &Json, pointer: &str) -> Result<Option<String>, String> {
    match row.pointer(pointer) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) if text.is_empty() => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("`{pointer}` is {}, not a text", kind(other))),
    }
}

/// A whole number, as a number or as digits in a text.
pub fn integer(row: &Json, pointer: &str) -> Result<i64, String> {
    optional_integer(row, pointer)?.ok_or_else(|| format!("`{pointer}` is missing or empty"))
}

pub fn optional_integer(row: &Json, pointer: &str) -> Result<Option<i64>, String> {
    let value = match row.pointer(pointer) {
        None | Some(Json::Null) => return Ok(None),
        Some(value) => value,
    };
    let number = match value {
        Json::Number(number) => number.as_i64(),
        Json::String(text) if text.trim().is_empty() => return Ok(None),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.map(Some).ok_or_else(|| format!("`{pointer}` is `{value}`, not a whole number"))
}

pub fn flag(row: &Json, pointer: &str) -> Result<Option<bool>, String> {
    match row.pointer(pointer) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(format!("`{pointer}` is `{other}`, not true or false")),
    }
}

/// Names of a list of objects, at least one.
pub fn names(row: &Json, pointer: &str, name: &str) -> Result<Vec<String>, String> {
    let Some(Json::Array(items)) = row.pointer(pointer) else { return Err(format!("`{pointer}` is missing or no list")) };
    let names = items.iter().map(|item| text(item, name)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() { Err(format!("`{pointer}` is empty")) } else { Ok(names) }
}

/// Milliseconds since 1970 UTC as the wall clock of Seoul.
pub fn seoul_millis(row: &Json, pointer: &str) -> Result<Option<chrono::NaiveDateTime>, Fault> {
    let Some(millis) = optional_integer(row, pointer).map_err(Fault::shape)? else { return Ok(None) };
    let moment =
        chrono::DateTime::from_timestamp_millis(millis).ok_or_else(|| Fault::shape(format!("`{pointer}` is `{millis}`, not a time")))?;
    Ok(Some(moment.with_timezone(&chrono_tz::Asia::Seoul).naive_local()))
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_read_or_named() {
        let row = json!({"a": {"n": "12", "e": "", "x": "1o", "f": 1.5}, "l": [{"n": "A"}, {"n": "B"}], "t": "태", "b": false});
        assert_eq!(integer(&row, "/a/n"), Ok(12));
        assert_eq!(optional_integer(&row, "/a/e"), Ok(None));
        assert_eq!(integer(&row, "/a/e"), Err("`/a/e` is missing or empty".into()));
        assert_eq!(integer(&row, "/a/x"), Err("`/a/x` is `\"1o\"`, not a whole number".into()));
        assert_eq!(integer(&row, "/a/f"), Err("`/a/f` is `1.5`, not a whole number".into()));
        assert_eq!(text(&row, "/t"), Ok("태".into()));
        assert_eq!(text(&row, "/b"), Err("`/b` is a boolean, not a text".into()));
        assert_eq!(names(&row, "/l", "/n"), Ok(vec!["A".into(), "B".into()]));
        assert_eq!(names(&row, "/a", "/n"), Err("`/a` is missing or no list".into()));
        assert_eq!(flag(&row, "/b"), Ok(Some(false)));
        assert_eq!(rows(&row, "/a").map(<[_]>::len), Err(Fault::shape("`/a` is an object, not a list")));
    }

    #[test]
    fn broken_json_is_placed() {
        for (payload, reason) in [
            ("{\"a\":\n [1,", "the JSON breaks off at byte 10 of 10: "),
            ("<html>", "the response is not JSON at byte 1 of 6: "),
            ("", "the JSON breaks off at byte 0 of 0: "),
        ] {
            let fault = json(payload).expect_err("broken");
            assert!(fault.reason.starts_with(reason), "{}", fault.reason);
        }
    }
}
