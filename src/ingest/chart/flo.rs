//! FLO's chart of the last 24 hours, brought up to date at 22:00.

use chrono::{Days, NaiveDateTime, NaiveTime};

use super::{
    payload::{self, Fault},
    provider::{ChartRow, Page, ParsedPage, Provider, read_rows},
};
use crate::ingest::http::Request;

pub struct Flo {
    pub base_url: String,
}

impl Flo {
    pub const BASE_URL: &str = "https://api.music-flo.com";
}

impl Provider for Flo {
    fn name(&self) -> &'static str {
        "flo"
    }

    fn request(&self, _start: usize) -> Request {
        Request::get(self.name(), format!("{}/display/v1/browser/chart/1/list", self.base_url))
            .query("mixYn", "N")
            .header("x-gm-app-name", "FLO")
    }

    /// Rows come in rank order without a rank of their own.
    fn parse(&self, page: &Page<'_>) -> Result<ParsedPage, Fault> {
        const ROWS: &str = "/data/trackList";
        let payload = payload::json(page.payload)?;
        let rows = payload::rows(&payload, ROWS)?;
        Ok(ParsedPage {
            time: Some(last_update(page)),
            rows: read_rows(rows, ROWS, |index, row| {
                let rank = index as i64 + 1;
                let is_new = match payload::optional_text(row, "/rank/newYn")?.as_deref() {
                    None => None,
                    Some("Y") => Some(true),
                    Some("N") => Some(false),
                    Some(other) => return Err(format!("`/rank/newYn` is `{other}`, neither Y nor N")),
                };
                Ok(ChartRow {
                    rank,
                    title: payload::text(row, "/name")?,
                    artists: vec![payload::text(row, "/representationArtist/name")?],
                    // the badge is the number of places gained
                    last_pos: payload::optional_integer(row, "/rank/rankBadge")?.map(|gained| rank.saturating_add(gained)),
                    is_new,
                    image: payload::optional_text(row, "/album/imgList/0/url")?,
                    ..ChartRow::default()
                })
            }),
        })
    }
}

/// The last 22:00 before the chart was seen. A recording is played back on another day than it was seen; its chart
/// is then the one that was valid for most of its day.
fn last_update(page: &Page<'_>) -> NaiveDateTime {
    let at_ten = NaiveTime::from_hms_opt(22, 0, 0).unwrap_or_default();
    let seen = page.fetched_at.with_timezone(&chrono_tz::Asia::Seoul).naive_local();
    if seen.date() == page.day && seen.time() >= at_ten {
        return page.day.and_time(at_ten);
    }
    page.day.checked_sub_days(Days::new(1)).unwrap_or(page.day).and_time(at_ten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_of_the_last_ten_in_the_evening() {
        for (fetched_at, expect) in [
            ("2025-02-27T12:59:00Z", "2025-02-26T22:00:00"),
            ("2025-02-27T13:00:00Z", "2025-02-27T22:00:00"),
            ("2026-01-01T20:00:00Z", "2025-02-26T22:00:00"),
        ] {
            let page = Page { payload: "", day: "2025-02-27".parse().expect("a day"), fetched_at: fetched_at.parse().expect("a moment") };
            assert_eq!(format!("{:?}", last_update(&page)), expect, "{fetched_at}");
        }
    }
}
