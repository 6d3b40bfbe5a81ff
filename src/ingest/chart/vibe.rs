//! VIBE's TOP 100, in pages of up to a hundred rows.

use super::{
    payload::{self, Fault},
    provider::{ChartRow, Page, ParsedPage, Provider, read_rows},
};
use crate::ingest::http::Request;

pub struct Vibe {
    pub base_url: String,
}

impl Vibe {
    pub const BASE_URL: &str = "https://apis.naver.com";
}

const CHART: &str = "/response/result/chart";
const ROWS: &str = "/response/result/chart/items/tracks";
const PAGE: usize = 100;

impl Provider for Vibe {
    fn name(&self) -> &'static str {
        "vibe"
    }

    fn request(&self, start: usize) -> Request {
        Request::get(self.name(), format!("{}/vibeWeb/musicapiweb/vibe/v1/chart/track/total", self.base_url))
            .query("start", start.to_string())
            .query("display", PAGE.to_string())
            .header("accept", "application/json")
    }

    /// `chartTotalCount` bounds the paging; a page without rows ends it too, so that a wrong count cannot loop.
    fn next_start(&self, payload: &str, start: usize) -> Option<usize> {
        let payload = payload::json(payload).ok()?;
        let rows = payload::rows(&payload, ROWS).ok()?.len();
        let total = payload::optional_integer(&payload, &format!("{CHART}/chartTotalCount")).ok().flatten()?;
        let next = start + rows;
        (rows > 0 && i64::try_from(next).is_ok_and(|next| next <= total)).then_some(next)
    }

    fn parse(&self, page: &Page<'_>) -> Result<ParsedPage, Fault> {
        let payload = payload::json(page.payload)?;
        let rows = payload::rows(&payload, ROWS)?;
        Ok(ParsedPage {
            time: payload::seoul_millis(&payload, &format!("{CHART}/date"))?,
            rows: read_rows(rows, ROWS, |_, row| {
                let rank = payload::integer(row, "/rank/currentRank")?;
                Ok(ChartRow {
                    rank,
                    title: payload::text(row, "/trackTitle")?,
                    artists: payload::names(row, "/artists", "/artistName")?,
                    // the variation is the number of places gained
                    last_pos: payload::optional_integer(row, "/rank/rankVariation")?.map(|gained| rank.saturating_add(gained)),
                    is_new: payload::flag(row, "/rank/isNew")?,
                    image: payload::optional_text(row, "/album/imageUrl")?,
                    ..ChartRow::default()
                })
            }),
        })
    }
}
