//! Music charts: Korean services and Spotify, each in a file of its own, to rows of one shape.
//!
//! A source holds one chart of one provider. The live and the replayed path differ only in where the bytes come from.

mod bugs;
mod flo;
mod genie;
mod landing;
mod melon;
mod payload;
mod position;
mod provider;
mod spotify_top50;
mod spotify_weekly;
#[cfg(test)]
mod tests;
mod vibe;

use async_trait::async_trait;
use chrono::NaiveDate;
use datafusion::arrow::datatypes::SchemaRef;
pub use landing::schema;
use position::{Position, digest};
use provider::Provider;

use super::{
    Adapter, FetchContext, Fetched, FetchedContent, IngestError, Parsed, RawResponse,
    http::{Client, HttpSettings},
    registry::AdapterEnv,
    replay::{ChartRecordings, ReplayFolder},
    settings::Settings,
};
use crate::diagnostic::Diagnostic;

/// What `provider:` can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderName {
    Melon,
    Bugs,
    Genie,
    Flo,
    Vibe,
    SpotifyTop50,
    SpotifyWeekly,
}

impl ProviderName {
    pub const ALL: [(&str, Self); 7] = [
        ("melon", Self::Melon),
        ("bugs", Self::Bugs),
        ("genie", Self::Genie),
        ("flo", Self::Flo),
        ("vibe", Self::Vibe),
        ("spotify_top50", Self::SpotifyTop50),
        ("spotify_weekly", Self::SpotifyWeekly),
    ];
}

/// Many days in one commit, but not more than memory likes.
const BYTES_PER_FETCH: usize = 64 << 20;

/// What to do when the replay folder has nothing of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    Error,
    Skip,
}

/// Where the responses come from.
enum Origin {
    Live(Client),
    Replay(ReplayFolder),
}

struct ChartAdapter {
    provider: Box<dyn Provider>,
    schema: SchemaRef,
    origin: Origin,
    /// The day of the rows in place of today (`--vars 'run_date: ...'`).
    run_date: Option<NaiveDate>,
    on_missing: OnMissing,
}

/// From the settings of a `type: chart` source. Faults are collected in `settings`.
pub fn adapter(settings: &Settings<'_>, env: &AdapterEnv) -> Option<Box<dyn Adapter>> {
    if settings.value("provider").is_none() {
        settings.required_text("provider", "one of `melon`, `bugs`, `genie`, `flo`, `vibe`, `spotify_top50`, `spotify_weekly`");
    }
    let name = settings.choice("provider", &ProviderName::ALL);
    let replay = settings.text("replay").map(|folder| ReplayFolder::new(&env.project_root, &folder));
    let run_date = settings.date("run_date").or(env.run_date);
    let on_missing = settings.choice("on_missing", &[("error", OnMissing::Error), ("skip", OnMissing::Skip)]).unwrap_or(OnMissing::Error);
    let user_agent = if name == Some(ProviderName::Melon) { melon::Melon::USER_AGENT } else { BROWSER };
    let http = HttpSettings::read(settings, HttpSettings { user_agent: user_agent.into(), rate_per_s: 1.0, ..HttpSettings::default() });
    let base_url = |default: &str| settings.text("base_url").unwrap_or(default.to_owned()).trim_end_matches('/').to_owned();
    if name.is_none() {
        // which settings are known depends on the provider: do not report the others as well
        for key in ["base_url", "cp_id", "cp_key", "app_ver", "period", "svc_type", "kind", "playlist", "countries", "path"] {
            settings.value(key);
        }
    }
    let provider: Box<dyn Provider> = match name? {
        ProviderName::SpotifyWeekly => return spotify_weekly::adapter(settings, env, replay, run_date, on_missing),
        ProviderName::Melon => {
            let cp_key = settings.text("cp_key");
            if cp_key.is_none() && replay.is_none() {
                settings.fault(
                    Diagnostic::error("ingest/missing-setting", "the `chart` adapter needs the setting `cp_key` to ask `melon`")
                        .at(settings.place_of("provider"), "")
                        .help("set `cp_key: \"{{ env_var('SEGUE_SECRET_MELON_CP_KEY') }}\"`, or `replay:` to run from recordings"),
                );
            }
            Box::new(melon::Melon {
                base_url: base_url(melon::Melon::BASE_URL),
                cp_id: settings.text("cp_id").unwrap_or(melon::Melon::CP_ID.into()),
                cp_key: cp_key.unwrap_or_default(),
                app_ver: settings.text("app_ver").unwrap_or(melon::Melon::APP_VER.into()),
            })
        }
        ProviderName::Bugs => Box::new(bugs::Bugs {
            base_url: base_url(bugs::Bugs::BASE_URL),
            period: settings.choice("period", &bugs::Bugs::PERIODS).unwrap_or("realtime"),
            svc_type: settings.choice("svc_type", &bugs::Bugs::SVC_TYPES).unwrap_or("20151").into(),
        }),
        ProviderName::Genie => Box::new(genie::Genie {
            base_url: base_url(genie::Genie::BASE_URL),
            kind: settings.choice("kind", &genie::Genie::KINDS).unwrap_or(genie::GenieKind::RealTime),
        }),
        ProviderName::Flo => Box::new(flo::Flo { base_url: base_url(flo::Flo::BASE_URL) }),
        ProviderName::Vibe => Box::new(vibe::Vibe { base_url: base_url(vibe::Vibe::BASE_URL) }),
        ProviderName::SpotifyTop50 => Box::new(spotify_top50::SpotifyTop50 {
            base_url: base_url(spotify_top50::SpotifyTop50::BASE_URL),
            playlist: settings.text("playlist").unwrap_or(spotify_top50::SpotifyTop50::PLAYLIST.into()),
        }),
    };
    let origin = match replay {
        Some(folder) => Origin::Replay(folder),
        None => Origin::Live(env.client(http, settings)?),
    };
    let schema = landing::schema(name == Some(ProviderName::SpotifyTop50));
    Some(Box::new(ChartAdapter { provider, schema, origin, run_date, on_missing }))
}

/// The services answer browsers; some answer nobody else.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";

#[async_trait]
impl Adapter for ChartAdapter {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn partition_by(&self) -> Vec<String> {
        vec!["DATE".into()]
    }

    async fn fetch(&self, position: Option<&str>, cx: &FetchContext) -> Result<Option<Fetched>, IngestError> {
        let mut position = Position::read(position)?;
        let today = self.run_date.unwrap_or_else(|| cx.now.with_timezone(&chrono_tz::Asia::Seoul).date_naive());
        let responses = match &self.origin {
            Origin::Live(client) => self.ask(client, &mut position, today, cx).await?,
            Origin::Replay(folder) => self.replay(folder, &mut position, today, cx)?,
        };
        if responses.is_empty() {
            return Ok(None);
        }
        Ok(Some(Fetched { what: FetchedContent::Responses(responses), position: position.write() }))
    }

    fn parse(&self, responses: &[RawResponse]) -> Parsed {
        landing::parse(&*self.provider, &self.schema, responses)
    }
}

impl ChartAdapter {
    /// All pages of the chart as it is now; nothing when this invocation has asked already or nothing changed.
    async fn ask(
        &self,
        client: &Client,
        position: &mut Position,
        today: NaiveDate,
        cx: &FetchContext,
    ) -> Result<Vec<RawResponse>, IngestError> {
        if position.asked == Some(cx.now) {
            return Ok(vec![]);
        }
        let day = today.to_string();
        let mut responses = vec![];
        let mut start = Some(1);
        while let Some(from) = start {
            let request = self.provider.request(from);
            let response = client.send(&request).await?.into_raw(&day, &request, cx.now);
            start = self.provider.next_start(&response.payload, from);
            responses.push(response);
        }
        let digest = digest(responses.iter().map(|r| r.payload.as_str()));
        if position.holds(&day, &digest) {
            return Ok(vec![]);
        }
        position.days.insert(day, digest);
        position.asked = Some(cx.now);
        Ok(responses)
    }

    /// Days that have not landed, up to the day of the run; that day itself also when its content changed.
    fn replay(
        &self,
        folder: &ReplayFolder,
        position: &mut Position,
        today: NaiveDate,
        cx: &FetchContext,
    ) -> Result<Vec<RawResponse>, IngestError> {
        let provider = &self.provider;
        let days = match folder.chart(provider.name(), provider.extension())? {
            ChartRecordings::Single(path) => vec![(today, path)],
            ChartRecordings::Days(days) => days,
            ChartRecordings::Missing => vec![],
        };
        // without a date of the run every recording counts, those of a simulated future too
        let is_due = |day: &NaiveDate| self.run_date.is_none_or(|run_date| *day <= run_date);
        if days.is_empty() || !days.iter().any(|(day, _)| is_due(day)) {
            return match self.on_missing {
                OnMissing::Skip => Ok(vec![]),
                OnMissing::Error => Err(self.no_recording(folder, !days.is_empty())),
            };
        }
        let mut responses = vec![];
        let mut bytes = 0;
        for (day, path) in days.into_iter().filter(|(day, _)| is_due(day)) {
            let subject = day.to_string();
            if position.days.contains_key(&subject) && day != today {
                continue;
            }
            let payload = folder.read(&path)?;
            let digest = digest([payload.as_str()]);
            if position.holds(&subject, &digest) {
                continue;
            }
            bytes += payload.len();
            responses.push(folder.raw(&subject, &path, payload, cx.now));
            position.days.insert(subject, digest);
            if bytes > BYTES_PER_FETCH {
                break;
            }
        }
        Ok(responses)
    }

    fn no_recording(&self, folder: &ReplayFolder, only_later: bool) -> IngestError {
        let (name, extension) = (self.provider.name(), self.provider.extension());
        let shown = folder.shown();
        let message = match (only_later, self.run_date) {
            (true, Some(date)) => format!("the replay folder `{shown}` has recordings of `{name}` only after {date}"),
            _ => format!("the replay folder `{shown}` has no recording of `{name}`"),
        };
        IngestError::new("ingest/no-recording", message)
            .help(format!("it may hold `{name}.{extension}` or `{name}/<date>.{extension}`; `on_missing: skip` makes do without"))
    }
}
