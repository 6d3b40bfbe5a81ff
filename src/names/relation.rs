//! Three-part names of tables and views, and the schemas that hold them.

use std::fmt;

use super::Identifier;

/// `DATABASE.SCHEMA`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaName {
    pub database: Identifier,
    pub schema: Identifier,
}

impl SchemaName {
    pub fn new(database: Identifier, schema: Identifier) -> Self {
        Self { database, schema }
    }

    pub fn relation(&self, name: Identifier) -> RelationName {
        RelationName { database: self.database.clone(), schema: self.schema.clone(), name }
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.schema)
    }
}

/// `DATABASE.SCHEMA.NAME` of a table or view. `Display` is valid SQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationName {
    pub database: Identifier,
    pub schema: Identifier,
    pub name: Identifier,
}

impl RelationName {
    pub fn new(database: Identifier, schema: Identifier, name: Identifier) -> Self {
        Self { database, schema, name }
    }

    /// All three parts as a user types them (unquoted text folds to upper case).
    pub fn parse_parts(database: &str, schema: &str, name: &str) -> Self {
        Self::new(Identifier::parse(database), Identifier::parse(schema), Identifier::parse(name))
    }

    /// What [`Display`](fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut parts, mut start, mut quoted) = (vec![], 0, false);
        for (at, c) in text.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '.' if !quoted => {
                    parts.push(&text[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(&text[start..]);
        match parts.as_slice() {
            [database, schema, name] if !quoted && !name.is_empty() => Some(Self::parse_parts(database, schema, name)),
            _ => None,
        }
    }

    pub fn schema_name(&self) -> SchemaName {
        SchemaName { database: self.database.clone(), schema: self.schema.clone() }
    }

    /// A relation beside this one, e.g. `<table>__rejected`. The suffix is folded like unquoted text when the name is bare.
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let suffix = if self.name.is_bare() { suffix.to_uppercase() } else { suffix.to_owned() };
        Self { name: Identifier::exact(format!("{}{suffix}", self.name.as_str())), ..self.clone() }
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.database, self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in [RelationName::parse_parts("db", "s", "t"), RelationName::parse_parts("\"d.b\"", "s", "\"a\"\"b.c\"")] {
            assert_eq!(RelationName::parse(&name.to_string()), Some(name));
        }
        for text in ["a.b", "a.b.c.d", "a.b.\"c", "a.b."] {
            assert_eq!(RelationName::parse(text), None, "{text}");
        }
    }
}
