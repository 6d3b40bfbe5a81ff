//! Trying again after transient faults: exponential backoff, bounded, with jitter, ended by Ctrl-C.

use std::{future::Future, time::Duration};

use rand::Rng;

use super::Cancellation;
use crate::{engine::EngineError, ingest::IngestError};

/// `attempts` in all; the pauses double from `first` to at most `longest`.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    pub attempts: u32,
    pub first: Duration,
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 4, first: Duration::from_millis(500), longest: Duration::from_secs(20) }
    }
}

pub(super) trait Transient {
    fn is_transient(&self) -> bool;
}

impl Transient for EngineError {
    fn is_transient(&self) -> bool {
        self.transient
    }
}

impl Transient for IngestError {
    fn is_transient(&self) -> bool {
        self.transient
    }
}

impl Retry {
    /// Runs `attempt` until it succeeds, fails for good, is used up, or a stop is asked for.
    /// `before_pause` hears of each fault that is tried again.
    pub(super) async fn run<T, E, F>(
        &self,
        cancel: &Cancellation,
        mut attempt: impl FnMut() -> F,
        mut before_pause: impl FnMut(&E, Duration),
    ) -> Result<T, E>
    where
        E: Transient,
        F: Future<Output = Result<T, E>>,
    {
        let mut pause = self.first;
        let mut left = self.attempts;
        loop {
            left = left.saturating_sub(1);
            match attempt().await {
                Err(e) if e.is_transient() && left > 0 && !cancel.is_stopping() => {
                    // half of the pause is fixed, half random: two builds that collided do not collide again
                    let jittered = pause.mul_f64(0.5 + rand::rng().random_range(0.0..0.5));
                    before_pause(&e, jittered);
                    tokio::select! {
                        () = tokio::time::sleep(jittered) => {}
                        () = cancel.stopping() => return Err(e),
                    }
                    pause = (pause * 2).min(self.longest);
                }
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_transient_faults_are_tried_again() {
        let retry = Retry { attempts: 3, first: Duration::from_micros(1), longest: Duration::from_micros(2) };
        for (transient, succeeds_at, tries, ok) in [(true, 2, 2, true), (true, 9, 3, false), (false, 2, 1, false)] {
            let mut n = 0;
            let result = retry
                .run(
                    &Cancellation::new(),
                    || {
                        n += 1;
                        let e = EngineError { transient, ..EngineError::new("engine/x", "x") };
                        let result = if n == succeeds_at { Ok(()) } else { Err(e) };
                        async { result }
                    },
                    |_, _| {},
                )
                .await;
            assert_eq!((n, result.is_ok()), (tries, ok));
        }
    }

    #[tokio::test]
    async fn a_stop_ends_the_pause() {
        let retry = Retry { attempts: 3, first: Duration::from_secs(3600), longest: Duration::from_secs(3600) };
        let cancel = Cancellation::new();
        let result: Result<(), EngineError> = retry
            .run(&cancel, || async { Err(EngineError { transient: true, ..EngineError::new("engine/x", "x") }) }, |_, _| cancel.interrupt())
            .await;
        assert!(result.is_err());
    }
}
