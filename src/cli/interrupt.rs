//! Ctrl-C and the termination signal: the first ends the work in order, the second ends the process.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::run::Cancellation;

/// What a shell sees of a process that Ctrl-C ended.
pub(super) const EXIT_CODE: i32 = 130;

/// Passes signals on to a run. Commits are atomic, so that ending the process at any moment leaves the old tables.
pub(super) fn cancel(run: &Cancellation) -> tokio::task::JoinHandle<()> {
    let run = run.clone();
    tokio::spawn(async move {
        signal().await;
        run.interrupt();
        signal().await;
        run.interrupt();
        // time for the report to tell what was dropped
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::process::exit(EXIT_CODE);
    })
}

/// Ends the process when its input ends: whoever started it is gone. Commits are atomic, so any moment will do.
pub(super) fn with_input() {
    std::thread::spawn(|| {
        // whether the input ended or broke, nobody holds its other end
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(EXIT_CODE);
    });
}

/// A flag that the first signal sets; for work that no runtime runs.
pub(super) fn flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // without a runtime the signal keeps its default effect: the process ends
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            signal().await;
            set.store(true, Ordering::Relaxed);
            signal().await;
        });
        let _ = writeln!(std::io::stderr(), "interrupted");
        std::process::exit(EXIT_CODE);
    });
    flag
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => ctrl_c().await,
    }
}

#[cfg(not(unix))]
async fn signal() {
    ctrl_c().await;
}

/// A signal that cannot be listened to never comes.
async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
