//! The time of day and of the week to the share of arrivals that come at all.
//!
//! Sessions arrive as a Poisson process; those that a candidate moment's share turns away come later (thinning), which
//! gives the wanted rate exactly, where warping the clock gives it on average.

use super::config::Config;

const DAY: i64 = 86_400_000;
/// Local minutes after midnight at which the fewest are awake.
const QUIETEST: f64 = 180.0;

#[derive(Clone, Copy, Debug)]
pub(super) struct Damping {
    night: f64,
    weekend: f64,
    offset: i64,
    scale: i64,
}

impl Damping {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            night: config.damping.0,
            weekend: config.weekend_damping.0,
            offset: config.weekend_damping_offset * 60_000,
            scale: config.weekend_damping_scale * 60_000,
        }
    }

    /// From 0 to 1, of milliseconds in local time.
    pub(super) fn share(&self, local: i64) -> f64 {
        let minute = local.rem_euclid(DAY) as f64 / 60_000.0;
        let night = 1.0 - self.night * (1.0 + libm::cos(std::f64::consts::TAU * (minute - QUIETEST) / 1_440.0)) / 2.0;
        night * (1.0 - self.weekend * self.weekend_part(local))
    }

    /// 0 on weekdays, 1 on Saturday and Sunday, in between around both midnights.
    fn weekend_part(&self, local: i64) -> f64 {
        // the epoch's day was a Thursday: Saturday begins two days later
        let since_saturday = (local - 2 * DAY + self.offset).rem_euclid(7 * DAY);
        let ramp = |at: i64| if self.scale == 0 { 1.0 } else { (at as f64 / self.scale as f64).min(1.0) };
        if since_saturday < 2 * DAY { ramp(since_saturday) } else { 1.0 - ramp(since_saturday - 2 * DAY) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nights_and_weekends_are_quiet() {
        let damping = Damping { night: 0.8, weekend: 0.5, offset: 180 * 60_000, scale: 360 * 60_000 };
        let at = |text: &str| damping.share(text.parse::<chrono::NaiveDateTime>().expect("a time").and_utc().timestamp_millis());
        let check = |time, expect: f64| assert!((at(time) - expect).abs() < 1e-9, "{time}: {} is not {expect}", at(time));
        check("2025-02-26T15:00:00", 1.0);
        check("2025-02-26T03:00:00", 0.2);
        check("2025-02-22T15:00:00", 0.5); // Saturday
        check("2025-02-23T15:00:00", 0.5);
        check("2025-02-24T03:00:00", 0.2); // Monday, after the change
        assert!(at("2025-02-21T23:00:00") < at("2025-02-20T23:00:00"), "the weekend begins before midnight");
    }
}
