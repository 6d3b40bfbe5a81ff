//! Session parameters as SHOW PARAMETERS lists them: name, value, default, type.

use crate::dialect::settings::Settings;

/// `(name, value, default, type)` of each.
pub(super) fn shown(settings: &Settings) -> Vec<(String, String, String, String)> {
    let kind = |default: &str| match default {
        "true" | "false" => "BOOLEAN",
        number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => "NUMBER",
        _ => "STRING",
    };
    settings.parameters().map(|(name, value, default)| (name.into(), value.into(), default.into(), kind(default).into())).collect()
}
