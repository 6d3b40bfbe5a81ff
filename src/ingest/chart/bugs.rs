//! Bugs: real-time, daily and weekly charts of all, domestic or foreign songs.

use super::{
    payload::{self, Fault},
    provider::{ChartRow, Page, ParsedPage, Provider, read_rows},
};
use crate::ingest::http::Request;

pub struct Bugs {
    pub base_url: String,
    pub period: &'static str,
    /// 20151 all, 20152 domestic, 20153 foreign.
    pub svc_type: String,
}

impl Bugs {
    pub const BASE_URL: &str = "https://m.bugs.co.kr";
    pub const PERIODS: [(&str, &str); 3] = [("realtime", "realtime"), ("day", "day"), ("week", "week")];
    pub const SVC_TYPES: [(&str, &str); 6] =
        [("all", "20151"), ("domestic", "20152"), ("foreign", "20153"), ("20151", "20151"), ("20152", "20152"), ("20153", "20153")];
}

/// The payload gives paths; this is where its own pages take the images from.
const IMAGES: &str = "https://image.bugsm.co.kr/album/images/256";

impl Provider for Bugs {
    fn name(&self) -> &'static str {
        "bugs"
    }

    fn request(&self, _start: usize) -> Request {
        Request::post(self.name(), format!("{}/api/getChartTrack", self.base_url))
            .repeatable()
            .form("period_tp", self.period)
            .form("svc_type", &self.svc_type)
            .form("size", "100")
    }

    fn parse(&self, page: &Page<'_>) -> Result<ParsedPage, Fault> {
        let payload = payload::json(page.payload)?;
        let code = payload::optional_integer(&payload, "/ret_code").map_err(Fault::shape)?.unwrap_or(0);
        if code > 0 {
            let message = payload::optional_text(&payload, "/ret_msg").ok().flatten().unwrap_or_default();
            return Err(Fault::told(format!("it says `{message}` (ret_code {code})")));
        }
        let rows = payload::rows(&payload, "/list")?;
        Ok(ParsedPage {
            time: payload::seoul_millis(&payload, "/info/end_dt")?,
            rows: read_rows(rows, "/list", |_, row| {
                Ok(ChartRow {
                    rank: payload::integer(row, "/list_attr/rank")?,
                    title: payload::text(row, "/track_title")?,
                    artists: payload::names(row, "/artists", "/artist_nm")?,
                    last_pos: payload::optional_integer(row, "/list_attr/rank_last")?,
                    peak_pos: payload::optional_integer(row, "/list_attr/rank_peak")?,
                    image: payload::optional_text(row, "/album/image/path")?.map(|path| format!("{IMAGES}{path}")),
                    ..ChartRow::default()
                })
            }),
        })
    }
}
