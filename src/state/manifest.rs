//! x
pub const DBT_VERSION: &str = "1.11.0";
