//! Melon's TOP 100: the JSON behind its mobile application.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::Value as Json;

use super::{
    payload::{self, Fault},
    provider::{ChartRow, Page, ParsedPage, Provider, read_rows},
};
use crate::ingest::http::Request;

pub struct Melon {
    pub base_url: String,
    pub cp_id: String,
    pub cp_key: String,
    pub app_ver: String,
}

impl Melon {
    pub const BASE_URL: &str = "https://m2.melon.com";
    pub const CP_ID: &str = "AS40";
    pub const APP_VER: &str = "6.5.8.1";
    /// The site answers only what looks like its application.
    pub const USER_AGENT: &str = "AS40; Android 13; 6.5.8.1; sdk_gphone64_arm64";
}

impl Provider for Melon {
    fn name(&self) -> &'static str {
        "melon"
    }

    fn request(&self, _start: usize) -> Request {
        Request::get(self.name(), format!("{}/m6/chart/ent/songChartList.json", self.base_url))
            .query("cpId", &self.cp_id)
            .secret_query("cpKey", &self.cp_key)
            .query("appVer", &self.app_ver)
    }

    fn parse(&self, page: &Page<'_>) -> Result<ParsedPage, Fault> {
        const ROWS: &str = "/response/SONGLIST";
        let payload = payload::json(page.payload)?;
        let rows = payload::rows(&payload, ROWS)?;
        Ok(ParsedPage {
            time: time(&payload)?,
            rows: read_rows(rows, ROWS, |_, row| {
                Ok(ChartRow {
                    rank: payload::integer(row, "/CURRANK")?,
                    title: payload::text(row, "/SONGNAME")?,
                    artists: payload::names(row, "/ARTISTLIST", "/ARTISTNAME")?,
                    last_pos: payload::optional_integer(row, "/PASTRANK")?,
                    is_new: payload::optional_text(row, "/RANKTYPE")?.map(|kind| kind == "NEW"),
                    image: payload::optional_text(row, "/ALBUMIMG")?,
                    ..ChartRow::default()
                })
            }),
        })
    }
}

/// `RANKDAY` "2025.02.27" and `RANKHOUR` "11:00".
fn time(payload: &Json) -> Result<Option<NaiveDateTime>, Fault> {
    let part = |pointer| payload::optional_text(payload, pointer).map_err(Fault::shape);
    let Some(day) = part("/response/RANKDAY")? else { return Ok(None) };
    let day = NaiveDate::parse_from_str(&day, "%Y.%m.%d")
        .map_err(|_| Fault::shape(format!("`/response/RANKDAY` is `{day}`, not a day such as 2025.02.27")))?;
    let time = match part("/response/RANKHOUR")? {
        None => NaiveTime::MIN,
        Some(hour) => NaiveTime::parse_from_str(&hour, "%H:%M")
            .map_err(|_| Fault::shape(format!("`/response/RANKHOUR` is `{hour}`, not a time such as 11:00")))?,
    };
    Ok(Some(day.and_time(time)))
}
