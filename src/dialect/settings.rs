//! Session parameters (Snowflake documentation, "Parameters"): what ALTER SESSION sets, with Snowflake's defaults.
//!
//! They travel as an extension of DataFusion's configuration, so that every function of a running plan finds the
//! values of the session that planned it. A parameter that would change answers in a way that the local engine does
//! not follow is refused, unless it is set to its default.

use std::{any::Any, collections::BTreeMap, sync::LazyLock};

use chrono_tz::Tz;
use datafusion::common::{
    DataFusionError, Result as DfResult,
    config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions},
};

use super::{
    SqlError,
    moment::{Century, Format},
    types::Type,
};
use crate::names;

/// How BINARY is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryFormat {
    Hex,
    Base64,
    Utf8,
}

impl BinaryFormat {
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_uppercase().as_str() {
            "HEX" => Some(Self::Hex),
            "BASE64" => Some(Self::Base64),
            "UTF-8" | "UTF8" => Some(Self::Utf8),
            _ => None,
        }
    }
}

/// What the engine makes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Applied,
    /// No meaning on one machine, or none for answers.
    Indifferent,
    /// Only its default is what the engine does.
    Default,
}

use Effect::{Applied, Default as OnlyDefault, Indifferent};

/// Name, default, what becomes of it.
const PARAMETERS: &[(&str, &str, Effect)] = &[
    ("ABORT_DETACHED_QUERY", "false", Indifferent),
    ("AUTOCOMMIT", "true", Indifferent),
    ("AUTOCOMMIT_API_SUPPORTED", "true", Indifferent),
    ("BINARY_INPUT_FORMAT", "HEX", Applied),
    ("BINARY_OUTPUT_FORMAT", "HEX", Applied),
    ("CLIENT_ENABLE_LOG_INFO_STATEMENT_PARAMETERS", "false", Indifferent),
    ("CLIENT_MEMORY_LIMIT", "1536", Indifferent),
    ("CLIENT_METADATA_REQUEST_USE_CONNECTION_CTX", "false", Indifferent),
    ("CLIENT_METADATA_USE_SESSION_DATABASE", "false", Indifferent),
    ("CLIENT_PREFETCH_THREADS", "4", Indifferent),
    ("CLIENT_RESULT_CHUNK_SIZE", "160", Indifferent),
    ("CLIENT_RESULT_COLUMN_CASE_INSENSITIVE", "false", Indifferent),
    ("CLIENT_SESSION_KEEP_ALIVE", "false", Indifferent),
    ("CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "3600", Indifferent),
    ("CLIENT_TIMESTAMP_TYPE_MAPPING", "TIMESTAMP_LTZ", Indifferent),
    ("DATE_INPUT_FORMAT", "AUTO", Applied),
    ("DATE_OUTPUT_FORMAT", "YYYY-MM-DD", Applied),
    ("DEFAULT_NULL_ORDERING", "LAST", OnlyDefault),
    ("ENABLE_UNLOAD_PHYSICAL_TYPE_OPTIMIZATION", "true", Indifferent),
    ("ERROR_ON_NONDETERMINISTIC_MERGE", "true", OnlyDefault),
    ("ERROR_ON_NONDETERMINISTIC_UPDATE", "false", Indifferent),
    ("GEOGRAPHY_OUTPUT_FORMAT", "GeoJSON", OnlyDefault),
    ("GEOMETRY_OUTPUT_FORMAT", "GeoJSON", OnlyDefault),
    ("HYBRID_TABLE_LOCK_TIMEOUT", "3600", Indifferent),
    ("JSON_INDENT", "2", Indifferent),
    ("JSON_TREAT_DECIMAL_AS_INT", "true", Indifferent),
    ("LANGUAGE", "en", Indifferent),
    ("LOCK_TIMEOUT", "43200", Indifferent),
    ("LOG_LEVEL", "OFF", Indifferent),
    ("MULTI_STATEMENT_COUNT", "1", Indifferent),
    ("NOORDER_SEQUENCE_AS_DEFAULT", "true", Indifferent),
    ("ODBC_TREAT_DECIMAL_AS_INT", "false", Indifferent),
    ("PYTHON_PROFILER_TARGET_STAGE", "", Indifferent),
    ("QUERY_TAG", "", Indifferent),
    ("QUOTED_IDENTIFIERS_IGNORE_CASE", "false", OnlyDefault),
    ("ROWS_PER_RESULTSET", "0", Indifferent),
    ("S3_STAGE_VPCE_DNS_NAME", "", Indifferent),
    ("SEARCH_PATH", "$current, $public", OnlyDefault),
    ("SIMULATED_DATA_SHARING_CONSUMER", "", Indifferent),
    ("STATEMENT_QUEUED_TIMEOUT_IN_SECONDS", "0", Indifferent),
    ("STATEMENT_TIMEOUT_IN_SECONDS", "172800", Indifferent),
    ("STRICT_JSON_OUTPUT", "false", Indifferent),
    ("TIMESTAMP_DAY_IS_ALWAYS_24H", "false", Applied),
    ("TIMESTAMP_INPUT_FORMAT", "AUTO", Applied),
    ("TIMESTAMP_LTZ_OUTPUT_FORMAT", "", Applied),
    ("TIMESTAMP_NTZ_OUTPUT_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF3", Applied),
    ("TIMESTAMP_OUTPUT_FORMAT", "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM", Applied),
    ("TIMESTAMP_TYPE_MAPPING", "TIMESTAMP_NTZ", Applied),
    ("TIMESTAMP_TZ_OUTPUT_FORMAT", "", Applied),
    ("TIMEZONE", "America/Los_Angeles", Applied),
    ("TIME_INPUT_FORMAT", "AUTO", Applied),
    ("TIME_OUTPUT_FORMAT", "HH24:MI:SS", Applied),
    ("TRACE_LEVEL", "OFF", Indifferent),
    ("TRANSACTION_ABORT_ON_ERROR", "false", Indifferent),
    ("TRANSACTION_DEFAULT_ISOLATION_LEVEL", "READ COMMITTED", Indifferent),
    ("TWO_DIGIT_CENTURY_START", "1970", Applied),
    ("UNSUPPORTED_DDL_ACTION", "ignore", Indifferent),
    ("USE_CACHED_RESULT", "true", Indifferent),
    ("WEEK_OF_YEAR_POLICY", "0", Applied),
    ("WEEK_START", "0", Applied),
];

/// The parameters of one session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What was set, by upper-case name.
    given: BTreeMap<String, String>,
    pub timezone: Tz,
    /// 0 (Monday, and ISO numbering of days from 0), 1 Monday to 7 Sunday.
    pub week_start: u8,
    /// 0: ISO-like weeks; 1: week 1 holds January 1.
    pub week_of_year_policy: u8,
    /// What TIMESTAMP and DATETIME mean.
    pub timestamp: Type,
    pub century: Century,
    pub days_are_24h: bool,
    pub date_input: Format,
    pub time_input: Format,
    pub timestamp_input: Format,
    pub date_output: Format,
    pub time_output: Format,
    pub ntz_output: Format,
    pub ltz_output: Format,
    pub tz_output: Format,
    pub binary_input: BinaryFormat,
    pub binary_output: BinaryFormat,
}

static DEFAULTS: LazyLock<Settings> = LazyLock::new(Settings::default);

impl Default for Settings {
    fn default() -> Self {
        Self {
            given: BTreeMap::new(),
            timezone: Tz::America__Los_Angeles,
            week_start: 0,
            week_of_year_policy: 0,
            timestamp: Type::TimestampNtz,
            century: Century::default(),
            days_are_24h: false,
            date_input: Format::Auto,
            time_input: Format::Auto,
            timestamp_input: Format::Auto,
            date_output: Format::parse("YYYY-MM-DD"),
            time_output: Format::parse("HH24:MI:SS"),
            ntz_output: Format::parse("YYYY-MM-DD HH24:MI:SS.FF3"),
            ltz_output: Format::parse("YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM"),
            tz_output: Format::parse("YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM"),
            binary_input: BinaryFormat::Hex,
            binary_output: BinaryFormat::Hex,
        }
    }
}

impl Settings {
    /// Snowflake's defaults.
    pub fn defaults() -> &'static Self {
        &DEFAULTS
    }

    /// Those of the session that a configuration belongs to.
    pub fn of(options: &ConfigOptions) -> &Self {
        options.extensions.get::<Self>().unwrap_or_else(|| Self::defaults())
    }

    /// ALTER SESSION SET name = value.
    pub fn assign(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        let (name, default, effect) = known(name)?;
        match effect {
            Effect::Applied => {}
            Effect::Indifferent => {}
            Effect::Default if value.eq_ignore_ascii_case(default) => {}
            Effect::Default => {
                return Err(SqlError::unsupported(format!("another value than `{default}` for the parameter {name}")));
            }
        }
        let before = self.given.insert(name.to_owned(), value.to_owned());
        match self.derive() {
            Ok(()) => Ok(()),
            Err(e) => {
                match before {
                    Some(before) => self.given.insert(name.to_owned(), before),
                    None => self.given.remove(name),
                };
                self.derive()?;
                Err(e)
            }
        }
    }

    /// ALTER SESSION UNSET name.
    pub fn reset(&mut self, name: &str) -> Result<(), SqlError> {
        let (name, ..) = known(name)?;
        self.given.remove(name);
        self.derive()
    }

    fn value(&self, name: &str) -> &str {
        self.given.get(name).map_or_else(|| PARAMETERS.iter().find(|p| p.0 == name).map_or("", |p| p.1), String::as_str)
    }

    /// Name, value and default of each parameter.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
        PARAMETERS.iter().map(|(name, default, _)| (*name, self.given.get(*name).map_or(*default, String::as_str), *default))
    }

    fn derive(&mut self) -> Result<(), SqlError> {
        let wrong = |name: &str, value: &str, wanted: &str| {
            SqlError::new("sql/parameter", format!("`{value}` is not a value of the parameter {name}")).help(format!("it takes {wanted}"))
        };
        let number = |name: &str, from: i32, to: i32| {
            let value = self.value(name);
            match value.trim().parse::<i32>() {
                Ok(n) if (from..=to).contains(&n) => Ok(n),
                _ => Err(wrong(name, value, &format!("a number from {from} to {to}"))),
            }
        };
        let binary = |name: &str| {
            let value = self.value(name);
            BinaryFormat::parse(value).ok_or_else(|| wrong(name, value, "HEX, BASE64 or UTF-8"))
        };
        let format = |name: &str| Format::parse(self.value(name));
        let output = |name: &str| {
            let own = self.value(name);
            // TIMESTAMP_OUTPUT_FORMAT, once set, holds for NTZ too as long as that has no format of its own
            let general = self.given.contains_key("TIMESTAMP_OUTPUT_FORMAT") && !self.given.contains_key(name);
            Format::parse(if own.is_empty() || general { self.value("TIMESTAMP_OUTPUT_FORMAT") } else { own })
        };
        let timezone = {
            let value = self.value("TIMEZONE").trim();
            zone(value).ok_or_else(|| wrong("TIMEZONE", value, "a name of the IANA time zone database"))?
        };
        let timestamp = match self.value("TIMESTAMP_TYPE_MAPPING").to_uppercase().as_str() {
            "TIMESTAMP_NTZ" => Type::TimestampNtz,
            "TIMESTAMP_LTZ" => Type::TimestampLtz,
            "TIMESTAMP_TZ" => Type::TimestampTz,
            other => return Err(wrong("TIMESTAMP_TYPE_MAPPING", other, "TIMESTAMP_NTZ, TIMESTAMP_LTZ or TIMESTAMP_TZ")),
        };
        let next = Self {
            given: BTreeMap::new(),
            timezone,
            week_start: number("WEEK_START", 0, 7)? as u8,
            week_of_year_policy: number("WEEK_OF_YEAR_POLICY", 0, 1)? as u8,
            timestamp,
            century: Century(number("TWO_DIGIT_CENTURY_START", 1900, 2100)?),
            days_are_24h: self.value("TIMESTAMP_DAY_IS_ALWAYS_24H").eq_ignore_ascii_case("true"),
            date_input: format("DATE_INPUT_FORMAT"),
            time_input: format("TIME_INPUT_FORMAT"),
            timestamp_input: format("TIMESTAMP_INPUT_FORMAT"),
            date_output: format("DATE_OUTPUT_FORMAT"),
            time_output: format("TIME_OUTPUT_FORMAT"),
            ntz_output: output("TIMESTAMP_NTZ_OUTPUT_FORMAT"),
            ltz_output: output("TIMESTAMP_LTZ_OUTPUT_FORMAT"),
            tz_output: output("TIMESTAMP_TZ_OUTPUT_FORMAT"),
            binary_input: binary("BINARY_INPUT_FORMAT")?,
            binary_output: binary("BINARY_OUTPUT_FORMAT")?,
        };
        let given = std::mem::take(&mut self.given);
        *self = Self { given, ..next };
        Ok(())
    }
}

/// A time zone by name; Snowflake takes names in any case.
pub fn zone(name: &str) -> Option<Tz> {
    name.parse().ok().or_else(|| chrono_tz::TZ_VARIANTS.iter().find(|z| z.name().eq_ignore_ascii_case(name)).copied())
}

fn known(name: &str) -> Result<(&'static str, &'static str, Effect), SqlError> {
    let upper = name.to_uppercase();
    PARAMETERS.iter().find(|(n, ..)| *n == upper).copied().ok_or_else(|| {
        let fault = SqlError::new("sql/unknown-parameter", format!("there is no session parameter `{name}`"));
        match names::nearest(&upper, PARAMETERS.iter().map(|(n, ..)| *n)) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault,
        }
    })
}

impl ConfigExtension for Settings {
    const PREFIX: &'static str = "snowflake";
}

impl ExtensionOptions for Settings {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> DfResult<()> {
        self.assign(key, value).map_err(|e| DataFusionError::Configuration(e.message))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        self.parameters()
            .map(|(name, value, _)| ConfigEntry { key: name.to_lowercase(), value: Some(value.to_owned()), description: "" })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked() {
        let mut s = Settings::default();
        s.assign("week_start", "7").expect("fine");
        assert_eq!(s.week_start, 7);
        assert!(s.assign("WEEK_START", "8").is_err());
        assert_eq!(s.week_start, 7);
        s.assign("timezone", "europe/warsaw").expect("any case");
        assert_eq!(s.timezone.name(), "Europe/Warsaw");
        assert!(s.assign("TIMEZONE", "Mars/Olympus").is_err());
        assert_eq!(s.assign("WEEK_STRAT", "1").expect_err("unknown").code, "sql/unknown-parameter");
        assert!(s.assign("QUOTED_IDENTIFIERS_IGNORE_CASE", "true").is_err());
        assert!(s.assign("QUOTED_IDENTIFIERS_IGNORE_CASE", "false").is_ok());
        s.reset("WEEK_START").expect("known");
        assert_eq!(s.week_start, 0);
    }
}
