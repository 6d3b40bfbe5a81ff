//! Session parameters as SHOW PARAMETERS lists them: name, value, default, type.

use super::planner::Scope;

/// Snowflake's defaults (Snowflake documentation, "Parameters") of those that decide what a statement answers here.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("AUTOCOMMIT", "true", "BOOLEAN"),
    ("BINARY_INPUT_FORMAT", "HEX", "STRING"),
    ("BINARY_OUTPUT_FORMAT", "HEX", "STRING"),
    ("DATE_INPUT_FORMAT", "AUTO", "STRING"),
    ("DATE_OUTPUT_FORMAT", "YYYY-MM-DD", "STRING"),
    ("ERROR_ON_NONDETERMINISTIC_MERGE", "true", "BOOLEAN"),
    ("ERROR_ON_NONDETERMINISTIC_UPDATE", "false", "BOOLEAN"),
    ("QUERY_TAG", "", "STRING"),
    ("QUOTED_IDENTIFIERS_IGNORE_CASE", "false", "BOOLEAN"),
    ("ROWS_PER_RESULTSET", "0", "NUMBER"),
    ("TIMESTAMP_INPUT_FORMAT", "AUTO", "STRING"),
    ("TIMESTAMP_LTZ_OUTPUT_FORMAT", "", "STRING"),
    ("TIMESTAMP_NTZ_OUTPUT_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF3", "STRING"),
    ("TIMESTAMP_OUTPUT_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM", "STRING"),
    ("TIMESTAMP_TYPE_MAPPING", "TIMESTAMP_NTZ", "STRING"),
    ("TIMESTAMP_TZ_OUTPUT_FORMAT", "", "STRING"),
    ("TIMEZONE", "America/Los_Angeles", "STRING"),
    ("TIME_INPUT_FORMAT", "AUTO", "STRING"),
    ("TIME_OUTPUT_FORMAT", "HH24:MI:SS", "STRING"),
    ("TWO_DIGIT_CENTURY_START", "1970", "NUMBER"),
    ("WEEK_OF_YEAR_POLICY", "0", "NUMBER"),
    ("WEEK_START", "0", "NUMBER"),
];

/// `(name, value, default, type)` of each.
pub(super) fn shown(_scope: &Scope) -> Vec<(String, String, String, String)> {
    PARAMETERS.iter().map(|(name, default, kind)| ((*name).into(), (*default).into(), (*default).into(), (*kind).into())).collect()
}
