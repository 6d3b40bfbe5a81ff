//! Whether and when to ask again: pure, from what came back.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How often and how patiently.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Further attempts after the first.
    pub retries: u32,
    /// Before the first retry; doubles with each.
    pub base: Duration,
    pub longest: Duration,
    /// A server that asks for more patience than this is taken as failed.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 4,
            base: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(300),
        }
    }
}

/// What one attempt failed with, as far as retrying is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    Status {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// Nothing was sent.
    Connect,
    TimeOut,
    /// The answer broke off.
    Broken,
    /// Trying again gives the same.
    Permanent,
}

impl Failure {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Connect | Self::TimeOut | Self::Broken => true,
            Self::Permanent => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Wait(Duration),
    GiveUp,
    /// The server's wish exceeds [`RetryPolicy::longest_retry_after`].
    TooLong(Duration),
}

impl RetryPolicy {
    /// After `attempt` (1 is the first) failed. `repeatable` says that sending the request twice does no harm; a
    /// request that is not may only be sent again when it never left. `jitter` in `0.0..=1.0` picks from the upper
    /// half of the backoff: full jitter would now and then hit a struggling server at once.
    pub fn next(&self, attempt: u32, failure: &Failure, repeatable: bool, jitter: f64) -> Next {
        if attempt > self.retries || !failure.is_transient() || !(repeatable || *failure == Failure::Connect) {
            return Next::GiveUp;
        }
        let doubled = self.base.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1).min(20)));
        let backoff = doubled.min(self.longest).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        match failure {
            Failure::Status { retry_after: Some(wish), .. } if *wish > self.longest_retry_after => Next::TooLong(*wish),
            Failure::Status { retry_after: Some(wish), .. } => Next::Wait((*wish).max(backoff)),
            _ => Next::Wait(backoff),
        }
    }
}

/// `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3). A date in the past is no wait.
pub fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(header).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_and_retry_after_wins() {
        let policy = RetryPolicy::default();
        let ms = Duration::from_millis;
        let status = |status, after: Option<u64>| Failure::Status { status, retry_after: after.map(Duration::from_secs) };
        for (attempt, failure, repeatable, jitter, next) in [
            (1, status(500, None), true, 1.0, Next::Wait(ms(500))),
            (1, status(500, None), true, 0.0, Next::Wait(ms(250))),
            (3, Failure::TimeOut, true, 1.0, Next::Wait(ms(2000))),
            (5, status(503, None), true, 1.0, Next::GiveUp),
            (1, status(429, Some(7)), true, 1.0, Next::Wait(ms(7000))),
            (1, status(429, Some(0)), true, 1.0, Next::Wait(ms(500))),
            (1, status(429, Some(4000)), true, 1.0, Next::TooLong(ms(4_000_000))),
            (1, status(404, None), true, 1.0, Next::GiveUp),
            (1, status(408, None), true, 1.0, Next::Wait(ms(500))),
            (1, status(425, None), true, 1.0, Next::Wait(ms(500))),
            (1, status(503, None), false, 1.0, Next::GiveUp),
            (1, Failure::Broken, false, 1.0, Next::GiveUp),
            (1, Failure::Connect, false, 1.0, Next::Wait(ms(500))),
            (1, Failure::Permanent, true, 1.0, Next::GiveUp),
        ] {
            assert_eq!(policy.next(attempt, &failure, repeatable, jitter), next, "{attempt} {failure:?}");
        }
        let patient = RetryPolicy { retries: u32::MAX, ..policy };
        assert_eq!(patient.next(4_000_000_000, &Failure::TimeOut, true, 1.0), Next::Wait(Duration::from_secs(30)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2025-02-27T02:00:00Z".parse().expect("a moment");
        for (header, expect) in [
            ("7", Some(7)),
            ("Thu, 27 Feb 2025 02:00:30 GMT", Some(30)),
            ("Thu, 27 Feb 2025 01:00:30 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(header, now), expect.map(Duration::from_secs), "{header}");
        }
    }
}
