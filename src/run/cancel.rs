//! Ctrl-C in two steps: the first stops starting, the second stops waiting.

use tokio_util::sync::CancellationToken;

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    stop: CancellationToken,
    abort: CancellationToken,
}

impl Cancellation {
    pub fn new() -> Self {
        Self::default()
    }

    /// What one Ctrl-C means now: first to stop, then to abort.
    pub fn interrupt(&self) {
        if self.stop.is_cancelled() { self.abort.cancel() } else { self.stop.cancel() }
    }

    /// Nothing new starts; what runs comes to its commit.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// What runs is dropped; a commit that was not made is not made.
    pub async fn aborting(&self) {
        self.abort.cancelled().await;
    }

    /// Passes every Ctrl-C on, until the returned guard is dropped.
    pub fn on_ctrl_c(&self) -> CtrlC {
        let cancel = self.clone();
        CtrlC(tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                cancel.interrupt();
            }
        }))
    }
}

/// Ends the passing on when dropped.
#[derive(Debug)]
pub struct CtrlC(tokio::task::JoinHandle<()>);

impl Drop for CtrlC {
    fn drop(&mut self) {
        self.0.abort();
    }
}
