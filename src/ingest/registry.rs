//! From a source's `adapter:` mapping to the adapter that ingests it. Validates the settings; touches no network.

use std::{path::PathBuf, sync::Arc};

use chrono::NaiveDate;

use super::{
    Adapter, chart, file,
    http::{Client, Clock, HttpSettings, SystemClock},
    kafka, lastfm,
    settings::{Settings, quoted},
    spotify_api,
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    graph::AdapterConfig,
    names::nearest,
};

/// Makes an adapter of a type that lives elsewhere, or says that it does not know the type.
pub type ExtraAdapters = dyn Fn(&AdapterConfig, &AdapterEnv) -> Option<Result<Box<dyn Adapter>, Diagnostics>> + Send + Sync;

/// What adapters need of their surroundings.
#[derive(Clone)]
pub struct AdapterEnv {
    /// Relative paths in settings start here.
    pub project_root: PathBuf,
    /// `--vars 'run_date: ...'`: the day of the rows in place of today.
    pub run_date: Option<NaiveDate>,
    pub clock: Arc<dyn Clock>,
    /// Adapters of stages that build on this one (`simulate`), with the names of their types.
    pub extra: Option<(Vec<&'static str>, Arc<ExtraAdapters>)>,
}

impl AdapterEnv {
    pub fn new(project_root: impl Into<PathBuf>, run_date: Option<NaiveDate>) -> Self {
        Self { project_root: project_root.into(), run_date, clock: Arc::new(SystemClock::default()), extra: None }
    }

    pub fn with_extra(self, types: Vec<&'static str>, make: Arc<ExtraAdapters>) -> Self {
        Self { extra: Some((types, make)), ..self }
    }

    /// A client, or a fault in `settings`.
    pub(super) fn client(&self, http: HttpSettings, settings: &Settings<'_>) -> Option<Client> {
        match Client::new(http, Arc::clone(&self.clock)) {
            Ok(client) => Some(client),
            Err(error) => {
                settings.fault(Diagnostic::error(error.code, error.message).at(settings.place_of("type"), ""));
                None
            }
        }
    }
}

const TYPES: [&str; 6] = ["chart", "file", "kafka", "lastfm", "s3", "spotify_api"];

/// The adapter of a source, or everything that is wrong with its settings.
pub fn adapter(config: &AdapterConfig, env: &AdapterEnv) -> Result<Box<dyn Adapter>, Diagnostics> {
    let settings = Settings::new(config);
    let adapter = match config.type_.as_str() {
        "chart" => chart::adapter(&settings, env),
        "file" => file::adapter(&settings, env),
        "kafka" => kafka::adapter(&settings, env),
        "s3" => file::bucket_adapter(&settings),
        "lastfm" => lastfm::adapter(&settings, env, config),
        "spotify_api" => spotify_api::adapter(&settings, env, config),
        other => {
            if let Some((_, make)) = &env.extra
                && let Some(made) = make(config, env)
            {
                return made;
            }
            return Err(unknown_type(config, env, other).into());
        }
    };
    match settings.finish(adapter)? {
        Some(adapter) => Ok(adapter),
        None => Err(Diagnostic::error("ingest/adapter", format!("the `{}` adapter cannot be made of its settings", config.type_))
            .at(config.place.clone(), "")
            .into()),
    }
}

fn unknown_type(config: &AdapterConfig, env: &AdapterEnv, type_: &str) -> Diagnostic {
    let mut types: Vec<&str> = TYPES.to_vec();
    if let Some((extra, _)) = &env.extra {
        types.extend(extra);
    }
    let supported = format!("supported are {}", quoted(&types));
    let settings = Settings::new(config);
    let place = settings.place_of("type");
    Diagnostic::error("ingest/unknown-type", format!("there is no adapter of type `{type_}`")).at(place, "").help(
        match nearest(type_, types.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => supported,
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ingest::settings::tests::config;

    fn faults(type_: &str, settings: serde_json::Value) -> Vec<String> {
        let config = config(type_, settings);
        match adapter(&config, &AdapterEnv::new(".", None)) {
            Ok(_) => vec![],
            Err(faults) => faults.0.iter().map(|d| format!("{}: {} / {}", d.code, d.message, d.help.clone().unwrap_or_default())).collect(),
        }
    }

    #[test]
    fn settings_are_validated() {
        let check = |type_: &str, settings: serde_json::Value, expect: &[&str]| assert_eq!(faults(type_, settings), expect);
        check("chart", json!({"provider": "melon", "replay": "r", "timeout_s": 3}), &[]);
        check("chart", json!({"provider": "spotify_weekly", "replay": "r", "countries": ["kr"]}), &[]);
        check(
            "chart",
            json!({"provider": "melon"}),
            &["ingest/missing-setting: the `chart` adapter needs the setting `cp_key` to ask `melon` / \
               set `cp_key: \"{{ env_var('SEGUE_SECRET_MELON_CP_KEY') }}\"`, or `replay:` to run from recordings"],
        );
        check(
            "chart",
            json!({"provider": "bug", "kind": "x"}),
            &["ingest/unknown-value: `provider` cannot be `bug` / did you mean `bugs`?"],
        );
        check(
            "chart",
            json!({"provider": "bugs", "rate_per_sec": 1, "period": "year", "timeout_s": []}),
            &[
                "ingest/wrong-type: `timeout_s` must be a number of at least 0.001, not `[]` / ",
                "ingest/unknown-value: `period` cannot be `year` / one of `realtime`, `day`, `week`",
                "ingest/unknown-setting: the `chart` adapter has no setting `rate_per_sec` / did you mean `rate_per_s`?",
            ],
        );
        check(
            "s3",
            json!({"path": "bucket/folder", "region": "r", "on_overwrite": "replace"}),
            &[
                "ingest/wrong-type: `path` must be an address such as `s3://bucket/prefix`, not `\"bucket/folder\"` / ",
                "ingest/unknown-value: `on_overwrite` cannot be `replace` / one of `reingest`, `ignore`, `fail`",
            ],
        );
        check(
            "s3",
            json!({"bucket": "b", "endpoint": "http://127.0.0.1:9", "access_key_id": "k", "prefx": "x"}),
            &[
                "ingest/missing-setting: `access_key_id` and `secret_access_key` belong together / ",
                "ingest/insecure: the endpoint `http://127.0.0.1:9` is not encrypted / `allow_http: true` allows it",
                "ingest/unknown-setting: the `s3` adapter has no setting `prefx` / did you mean `prefix`?",
            ],
        );
        check(
            "zzzzzz",
            json!({}),
            &[
                "ingest/unknown-type: there is no adapter of type `zzzzzz` / supported are `chart`, `file`, `kafka`, `lastfm`, `s3`, `spotify_api`",
            ],
        );
        check("charts", json!({}), &["ingest/unknown-type: there is no adapter of type `charts` / did you mean `chart`?"]);
    }
}
