//! Values that came from XML, and others, as XML text.

use std::fmt::Write;

use super::{Kind, kind, scan, show};

/// Whether a value has the shape that PARSE_XML makes: content, tag, and attributes only.
pub fn is_element(value: &str) -> bool {
    let Some(rest) = value.strip_prefix("{\"$\":") else { return false };
    !rest.is_empty()
        && scan::member(value, "\"@\"").is_some_and(|tag| kind(tag) == Kind::Varchar)
        && scan::members(value).into_iter().flatten().skip(1).all(|(key, _)| key.starts_with("\"@"))
}

/// TO_XML: an element as it was, any other value in tags with its types.
pub fn text(value: &str) -> String {
    let mut out = String::new();
    if is_element(value) {
        write_element(value, None, &mut out);
    } else {
        write_data("SnowflakeData", value, &mut out);
    }
    out
}

/// An element over several lines, each part indented below its element.
pub fn lines(value: &str) -> String {
    let mut out = String::new();
    write_element(value, Some(0), &mut out);
    out
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}

fn write_element(value: &str, indent: Option<usize>, out: &mut String) {
    let tag = scan::member(value, "\"@\"").and_then(show::varchar).unwrap_or_default();
    let _ = write!(out, "<{tag}");
    for (key, attribute) in scan::members(value).into_iter().flatten() {
        let name = scan::unquote(key);
        if let Some(name) = name.strip_prefix('@').filter(|n| !n.is_empty()) {
            let _ = write!(out, " {name}=\"");
            escape(&show::varchar(attribute).unwrap_or_default(), out);
            out.push('"');
        }
    }
    out.push('>');
    let content = scan::member(value, "\"$\"").unwrap_or_default();
    let parts: Vec<&str> = match scan::elements(content) {
        Some(items) => items.collect(),
        None => vec![content],
    };
    // a lone scalar stays between its tags
    let indent = indent.filter(|_| parts.iter().any(|p| kind(p) == Kind::Object));
    for part in parts {
        if let Some(depth) = indent {
            let _ = write!(out, "\n{:width$}", "", width = 2 * (depth + 1));
        }
        match kind(part) {
            Kind::Object => write_element(part, indent.map(|d| d + 1), out),
            _ => escape(&show::varchar(part).unwrap_or_default(), out),
        }
    }
    if let Some(depth) = indent {
        let _ = write!(out, "\n{:width$}", "", width = 2 * depth);
    }
    let _ = write!(out, "</{tag}>");
}

fn write_data(tag: &str, value: &str, out: &mut String) {
    let _ = write!(out, "<{tag} type=\"{}\">", kind(value).name());
    match kind(value) {
        Kind::Object => {
            for (key, item) in scan::members(value).into_iter().flatten() {
                write_data(&scan::unquote(key), item, out);
            }
        }
        Kind::Array => scan::elements(value).into_iter().flatten().for_each(|item| write_data("e", item, out)),
        _ => escape(&show::varchar(value).unwrap_or_default(), out),
    }
    let _ = write!(out, "</{tag}>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_xml() {
        let element = r#"{"$":[1,{"$":[2,{"$":"3A","@":"level3"}],"@":"level2","@x":"a&b"}],"@":"level1"}"#;
        assert!(is_element(element));
        assert_eq!(text(element), "<level1>1<level2 x=\"a&amp;b\">2<level3>3A</level3></level2></level1>");
        let shown = "<level1>\n  1\n  <level2 x=\"a&amp;b\">\n    2\n    <level3>3A</level3>\n  </level2>\n</level1>";
        assert_eq!(lines(element), shown);
        assert_eq!(
            text(r#"{"key1":"value1","n":[1]}"#),
            "<SnowflakeData type=\"OBJECT\"><key1 type=\"VARCHAR\">value1</key1><n type=\"ARRAY\"><e type=\"INTEGER\">1</e></n></SnowflakeData>"
        );
        for plain in [r#"{"$":1}"#, r#"{"$":1,"@":2}"#, r#"{"$":1,"@":"a","b":1}"#, "[1]", "1"] {
            assert!(!is_element(plain), "{plain}");
        }
    }
}
