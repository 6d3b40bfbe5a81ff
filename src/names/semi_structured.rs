//! The three semi-structured types and how a column says that it holds one.

/// VARIANT, ARRAY and OBJECT travel as canonical JSON text (compact, object keys sorted) in an Arrow string column
/// whose field metadata names the type, so that a table read back still knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SemiStructured {
    Variant,
    Array,
    Object,
}

impl SemiStructured {
    /// Key in the Arrow field's metadata.
    pub const METADATA_KEY: &'static str = "segue.type";

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Variant => "VARIANT",
            Self::Array => "ARRAY",
            Self::Object => "OBJECT",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Variant, Self::Array, Self::Object].into_iter().find(|t| t.as_str() == text)
    }
}
