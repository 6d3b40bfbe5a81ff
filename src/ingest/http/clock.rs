//! Time and chance as the HTTP client sees them: a seam, so that tests of waiting do not wait.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rand::Rng;

#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall clock, for expiry of tokens and HTTP dates.
    fn now(&self) -> DateTime<Utc>;

    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;

    async fn sleep(&self, time: Duration);

    /// A number in `0.0..1.0` that spreads retries of many clients.
    fn jitter(&self) -> f64;
}

pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn jitter(&self) -> f64 {
        rand::rng().random()
    }
}

/// Moves only when it is slept on, and remembers how long.
#[cfg(test)]
pub struct ManualClock {
    pub start: DateTime<Utc>,
    pub sleeps: parking_lot::Mutex<Vec<Duration>>,
    passed: parking_lot::Mutex<Duration>,
}

#[cfg(test)]
impl ManualClock {
    pub fn at(start: &str) -> std::sync::Arc<Self> {
        let start = start.parse().expect("a moment");
        std::sync::Arc::new(Self { start, sleeps: Default::default(), passed: Default::default() })
    }

    pub fn advance(&self, time: Duration) {
        *self.passed.lock() += time;
    }

    pub fn slept(&self) -> Vec<Duration> {
        self.sleeps.lock().clone()
    }
}

#[cfg(test)]
#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.start + *self.passed.lock()
    }

    fn monotonic(&self) -> Duration {
        *self.passed.lock()
    }

    async fn sleep(&self, time: Duration) {
        self.sleeps.lock().push(time);
        self.advance(time);
        tokio::task::yield_now().await;
    }

    fn jitter(&self) -> f64 {
        1.0
    }
}
