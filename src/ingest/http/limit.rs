//! A token bucket per host: when the next request may leave. Does not sleep; says how long to.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;

/// Requests per second and host, with bursts of up to a second's worth (at least one request).
pub struct RateLimit {
    per_second: f64,
    hosts: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    /// Below zero: requests that are already waiting for their turn.
    tokens: f64,
    refilled: Duration,
    held_until: Duration,
}

impl RateLimit {
    /// A rate of zero does not limit.
    pub fn new(per_second: f64) -> Self {
        Self { per_second, hosts: Mutex::default() }
    }

    /// Takes a place in the queue of `host` and says how long it is from `now`.
    pub fn reserve(&self, host: &str, now: Duration) -> Duration {
        let mut hosts = self.hosts.lock();
        let burst = self.per_second.max(1.0);
        let bucket = hosts.entry(host.to_owned()).or_insert(Bucket { tokens: burst, refilled: now, held_until: Duration::ZERO });
        let held = bucket.held_until.saturating_sub(now);
        if self.per_second <= 0.0 {
            return held;
        }
        let since = now.saturating_sub(bucket.refilled).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * self.per_second).min(burst) - 1.0;
        bucket.refilled = now;
        let queue = Duration::try_from_secs_f64(-bucket.tokens / self.per_second).unwrap_or_default();
        queue.max(held)
    }

    /// The host asked all of us to stay away (`Retry-After`), not only the request that was answered.
    pub fn hold(&self, host: &str, until: Duration) {
        if let Some(bucket) = self.hosts.lock().get_mut(host) {
            bucket.held_until = bucket.held_until.max(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_queue_at_the_rate_and_hosts_do_not_share() {
        let limit = RateLimit::new(2.0);
        let at = Duration::from_secs_f64;
        for (now, host, wait) in [
            (0.0, "a", 0.0),
            (0.0, "a", 0.0),
            (0.0, "a", 0.5),
            (0.0, "a", 1.0),
            (0.0, "b", 0.0),
            (1.5, "a", 0.0), // two were promised until 1.0, half a second earns one
            (1.5, "a", 0.5),
        ] {
            assert_eq!(limit.reserve(host, at(now)), at(wait), "{now} {host}");
        }
        limit.hold("b", at(30.0));
        assert_eq!(limit.reserve("b", at(10.0)), at(20.0));
        assert_eq!(RateLimit::new(0.0).reserve("c", at(1.0)), Duration::ZERO);
    }
}
