//! XML: PARSE_XML, CHECK_XML, XMLGET, TO_XML.
//!
//! An element is kept as an object: `@` is its tag, `$` its content (a scalar, one element, or an array of both), and
//! `@name` an attribute (Snowflake documentation, "PARSE_XML", "XMLGET"). It is shown as XML (`variant::xml`).
//! Namespaces are part of names; document types are passed over, and their entities are not known.

use datafusion::{arrow::array::Array, common::Result};

use super::{
    array::{flag, text},
    json::{object, semi, varchar},
    scalar::{Arity, Function, Rows, fail, texts},
    value::to_text,
};
use crate::dialect::variant::{Kind, kind, limited, parse, scan, xml};

const DEPTH: usize = 500;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("parse_xml", Arity::Between(1, 2), object, |r| parse_xml(r, false)),
    Function::new("try_parse_xml", Arity::Between(1, 2), object, |r| parse_xml(r, true)),
    Function::new("check_xml", Arity::Between(1, 2), varchar, |r| {
        let documents = to_text(&r.args[0], r.types[0])?;
        texts(r, |i| Ok(if documents.is_null(i) { None } else { read(documents.value(i), true).err() }))
    }),
    Function::new("xmlget", Arity::Between(2, 3), object, |r| {
        let (values, tags) = (semi(r, 0)?, r.text(1)?);
        let instances = if r.args.len() > 2 { Some(r.integers(2)?) } else { None };
        texts(r, |i| {
            if tags.is_null(i) || instances.as_ref().is_some_and(|n| n.is_null(i)) {
                return Ok(None);
            }
            let Some(content) = scan::member(text(&values, i)?, "\"$\"") else { return Ok(None) };
            let wanted = scan::quote(tags.value(i));
            let is_wanted = |e: &&str| scan::member(e, "\"@\"") == Some(wanted.as_str());
            let Ok(instance) = usize::try_from(instances.as_ref().map_or(0, |n| n.value(i))) else { return Ok(None) };
            Ok(match scan::elements(content) {
                Some(items) => items.filter(is_wanted).nth(instance).map(str::to_owned),
                None => Some(content).filter(|e| instance == 0 && is_wanted(e)).map(str::to_owned),
            })
        })
    }),
    Function::new("to_xml", Arity::Exactly(1), varchar, |r| {
        let values = semi(r, 0)?;
        texts(r, |i| {
            if values.is_null(i) {
                return Ok(None);
            }
            limited(xml::text(values.value(i))).map(Some)
        })
    }),
];

fn parse_xml(r: &Rows, lenient: bool) -> Result<datafusion::arrow::array::ArrayRef> {
    let documents = to_text(&r.args[0], r.types[0])?;
    let plain = if r.args.len() > 1 { Some(flag(r, 1)?) } else { None };
    texts(r, |i| {
        if documents.is_null(i) || documents.value(i).trim().is_empty() {
            return Ok(None);
        }
        let convert = !plain.as_ref().is_some_and(|p| !p.is_null(i) && p.value(i));
        match read(documents.value(i), convert) {
            Ok(element) => limited(element).map(Some),
            Err(_) if lenient => Ok(None),
            Err(e) => fail(format!("Error parsing XML: {e}")),
        }
    })
}

/// A document's root element as text of an object.
fn read(document: &str, convert: bool) -> Result<String, String> {
    let mut reader = Reader { text: document, at: 0, convert };
    reader.prolog()?;
    let element = reader.element(0)?;
    reader.prolog()?;
    if reader.at < document.len() {
        return reader.fail("extra text after the root element");
    }
    Ok(element)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    convert: bool,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, message: &str) -> Result<T, String> {
        Err(format!("{message}, pos {}", self.at + 1))
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Behind `end`, which must come.
    fn skip_to(&mut self, end: &str) -> Result<&'a str, String> {
        match self.rest().find(end) {
            Some(at) => {
                let found = &self.rest()[..at];
                self.at += at + end.len();
                Ok(found)
            }
            None => self.fail(&format!("no closing {end}")),
        }
    }

    /// Declarations, comments, processing instructions, document types.
    fn prolog(&mut self) -> Result<(), String> {
        loop {
            self.space();
            let rest = self.rest();
            if rest.starts_with("<!--") {
                self.skip_to("-->")?;
            } else if rest.starts_with("<?") {
                self.skip_to("?>")?;
            } else if rest.starts_with("<!DOCTYPE") {
                let inner = rest.find('[').filter(|b| rest.find('>').is_some_and(|e| b < &e));
                self.skip_to(if inner.is_some() { "]" } else { ">" })?;
                if inner.is_some() {
                    self.skip_to(">")?;
                }
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))).unwrap_or(rest.len());
        if end == 0 {
            return self.fail("a name was expected");
        }
        self.at += end;
        Ok(&rest[..end])
    }

    fn element(&mut self, depth: usize) -> Result<String, String> {
        if depth > DEPTH {
            return self.fail("the document is nested too deeply");
        }
        if !self.rest().starts_with('<') {
            return self.fail("not an XML element");
        }
        self.at += 1;
        let tag = self.name()?;
        let mut members: Vec<(String, String)> = vec![];
        loop {
            self.space();
            if self.rest().starts_with("/>") {
                self.at += 2;
                members.push(("\"$\"".into(), "\"\"".into()));
                break;
            }
            if self.rest().starts_with('>') {
                self.at += 1;
                let content = self.content(tag, depth)?;
                members.push(("\"$\"".into(), content));
                break;
            }
            let name = self.name()?;
            self.space();
            if !self.rest().starts_with('=') {
                return self.fail("missing attribute value");
            }
            self.at += 1;
            self.space();
            let Some(quote) = self.rest().chars().next().filter(|q| matches!(q, '"' | '\'')) else {
                return self.fail("missing quotes of an attribute value");
            };
            self.at += 1;
            let value = self.skip_to(if quote == '"' { "\"" } else { "'" })?;
            let value = self.scalar(&self.decoded(value)?);
            let key = scan::quote(&format!("@{name}"));
            if members.iter().any(|(k, _)| *k == key) {
                return self.fail(&format!("the attribute {name} occurs twice"));
            }
            members.push((key, value));
        }
        members.push(("\"@\"".into(), scan::quote(tag)));
        let members = scan::sorted(members);
        Ok(scan::object(members.iter().map(|(k, v)| (k.as_str(), v.as_str()))))
    }

    /// One part as it is, several as an array.
    fn content(&mut self, tag: &str, depth: usize) -> Result<String, String> {
        let mut parts: Vec<String> = vec![];
        let mut pending = String::new();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return self.fail(&format!("no closing tag of <{tag}>"));
            } else if rest.starts_with("<!--") {
                self.skip_to("-->")?;
            } else if rest.starts_with("<![CDATA[") {
                self.at += "<![CDATA[".len();
                pending.push_str(self.skip_to("]]>")?);
            } else if rest.starts_with("<?") {
                self.skip_to("?>")?;
            } else if rest.starts_with("</") {
                self.flush(&mut pending, &mut parts);
                self.at += 2;
                let closing = self.name()?;
                self.space();
                if !self.rest().starts_with('>') {
                    return self.fail("no closing >");
                }
                self.at += 1;
                if closing != tag {
                    return Err(format!("no opening tag for </{closing}>, pos {}", self.at));
                }
                break;
            } else if rest.starts_with('<') {
                self.flush(&mut pending, &mut parts);
                parts.push(self.element(depth + 1)?);
            } else {
                let end = rest.find('<').unwrap_or(rest.len());
                pending.push_str(&self.decoded(&rest[..end])?);
                self.at += end;
            }
        }
        Ok(match parts.len() {
            0 => "\"\"".to_owned(),
            1 => parts.remove(0),
            _ => scan::array(parts),
        })
    }

    fn flush(&self, pending: &mut String, parts: &mut Vec<String>) {
        if !pending.trim().is_empty() {
            parts.push(self.scalar(pending.trim()));
        }
        pending.clear();
    }

    /// Numbers and booleans by their look, if their text comes back the same.
    fn scalar(&self, text: &str) -> String {
        match text {
            "true" | "false" if self.convert => text.to_owned(),
            _ if self.convert && text.bytes().next().is_some_and(|b| b == b'-' || b.is_ascii_digit()) => {
                let number = parse::number(text)
                    .filter(|n| kind(n) == Kind::Double || text.trim_end_matches('0').starts_with(n.trim_end_matches('0')));
                number.unwrap_or_else(|| scan::quote(text))
            }
            _ => scan::quote(text),
        }
    }

    fn decoded(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('&') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let Some(end) = rest.find(';') else { return self.fail("an entity is not complete") };
            let entity = &rest[..end];
            rest = &rest[end + 1..];
            let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
            out.push(match entity {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                "apos" => '\'',
                _ => {
                    match entity.strip_prefix("#x").map(|d| code(d, 16)).or_else(|| entity.strip_prefix('#').map(|d| code(d, 10))).flatten()
                    {
                        Some(c) => c,
                        None => return self.fail(&format!("unknown entity &{entity};")),
                    }
                }
            });
        }
        out.push_str(rest);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_objects() {
        for (xml, wanted) in [
            ("<test>22257e111</test>", r#"{"$":2.2257e115,"@":"test"}"#),
            ("<a x=\"1\" y='b'/>", r#"{"$":"","@":"a","@x":1,"@y":"b"}"#),
            (
                "<?xml version=\"1.0\"?><!-- c --><a><b>1.50</b><b>&lt;x&gt;</b> text </a>",
                r#"{"$":[{"$":1.5,"@":"b"},{"$":"<x>","@":"b"},"text"],"@":"a"}"#,
            ),
            ("<a><b>007</b></a>", r#"{"$":{"$":"007","@":"b"},"@":"a"}"#),
            ("<a><![CDATA[<x>]]></a>", r#"{"$":"<x>","@":"a"}"#),
        ] {
            assert_eq!(read(xml, true).as_deref(), Ok(wanted), "{xml}");
        }
        assert_eq!(read("<a>1</a>", false).as_deref(), Ok(r#"{"$":"1","@":"a"}"#));
        for broken in ["<a>", "<a></b>", "<a", "a", "<a></a><b/>", "<a x></a>", "<a>&nope;</a>", "<"] {
            assert!(read(broken, true).is_err(), "{broken}");
        }
    }
}
