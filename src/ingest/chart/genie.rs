//! Genie: real-time, daily, weekly, monthly and all-time charts. Its texts are percent-encoded.

use chrono::NaiveTime;
use percent_encoding::percent_decode_str;

use super::{
    payload::{self, Fault},
    provider::{ChartRow, Page, ParsedPage, Provider, read_rows},
};
use crate::ingest::http::Request;

pub struct Genie {
    pub base_url: String,
    pub kind: GenieKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenieKind {
    RealTime,
    /// `ditc` D, W or M.
    Period(&'static str),
    AllTime,
}

impl Genie {
    pub const BASE_URL: &str = "https://app.genie.co.kr";
    pub const KINDS: [(&str, GenieKind); 5] = [
        ("realtime", GenieKind::RealTime),
        ("daily", GenieKind::Period("D")),
        ("weekly", GenieKind::Period("W")),
        ("monthly", GenieKind::Period("M")),
        ("alltime", GenieKind::AllTime),
    ];
}

impl Provider for Genie {
    fn name(&self) -> &'static str {
        "genie"
    }

    fn request(&self, _start: usize) -> Request {
        let page = match self.kind {
            GenieKind::RealTime => "j_RealTimeRankSongList.json",
            GenieKind::Period(_) => "j_RankSongList.json",
            GenieKind::AllTime => "j_RankSongListAlltime.json",
        };
        let request = Request::post(self.name(), format!("{}/chart/{page}", self.base_url)).repeatable().form("pgSize", "200");
        match self.kind {
            GenieKind::Period(period) => request.form("ditc", period),
            _ => request,
        }
    }

    fn parse(&self, page: &Page<'_>) -> Result<ParsedPage, Fault> {
        const ROWS: &str = "/DataSet/DATA";
        let payload = payload::json(page.payload)?;
        let code = payload::optional_text(&payload, "/Result/RetCode").map_err(Fault::shape)?.unwrap_or_default();
        if !matches!(code.trim(), "" | "0") {
            let message = payload::optional_text(&payload, "/Result/RetMsg").ok().flatten().unwrap_or_default();
            return Err(Fault::told(format!("it says `{message}` (RetCode {code})")));
        }
        let rows = payload::rows(&payload, ROWS)?;
        let time = match payload::optional_text(&payload, "/PageInfo/ChartTime").map_err(Fault::shape)? {
            None => None,
            Some(time) => Some(
                NaiveTime::parse_from_str(&time, "%H:%M")
                    .map_err(|_| Fault::shape(format!("`/PageInfo/ChartTime` is `{time}`, not a time such as 11:00")))?,
            ),
        };
        Ok(ParsedPage {
            // only the real-time chart has an hour
            time: Some(page.day.and_time(time.unwrap_or(NaiveTime::MIN))),
            rows: read_rows(rows, ROWS, |_, row| {
                let image = match payload::optional_text(row, "/ALBUM_IMG_PATH")? {
                    Some(path) => Some(decoded(&path, "/ALBUM_IMG_PATH")?),
                    None => None,
                };
                Ok(ChartRow {
                    rank: payload::integer(row, "/RANK_NO")?,
                    title: decoded(&payload::text(row, "/SONG_NAME")?, "/SONG_NAME")?,
                    artists: vec![decoded(&payload::text(row, "/ARTIST_NAME")?, "/ARTIST_NAME")?],
                    last_pos: payload::optional_integer(row, "/PRE_RANK_NO")?,
                    peak_pos: payload::optional_integer(row, "/TOP_RANK_NO")?,
                    image,
                    ..ChartRow::default()
                })
            }),
        })
    }
}

/// Percent-decoding where `+` stays a plus: the site encodes spaces as `%20`.
fn decoded(text: &str, pointer: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| format!("`{pointer}` is `{text}`, not percent-encoded UTF-8"))?;
    Ok(decoded.into_owned())
}
