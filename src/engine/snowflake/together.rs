//! Records of many nodes that are ready at the same time, as one statement of one of them.
//!
//! Statements that change one small table wait for each other on the server whatever their rows are. So whoever waits for his
//! turn finds his row already written by the one before: the table sees one statement per round trip, however many threads build.
//! What a row becomes (insert, merge) is the caller's.

use std::future::Future;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::engine::EngineError;

struct Waiting<T> {
    row: T,
    told: oneshot::Sender<Result<(), EngineError>>,
}

pub(super) struct Together<T> {
    waiting: Mutex<Vec<Waiting<T>>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl<T: Clone> Together<T> {
    /// Waits until `row` is written: by `write`, which is given all rows that wait by then, or by another caller's.
    pub(super) async fn write<F: Future<Output = Result<(), EngineError>>>(
        &self,
        row: T,
        write: impl FnOnce(Vec<T>) -> F,
    ) -> Result<(), EngineError> {
        let (told, mut answer) = oneshot::channel();
        self.waiting.lock().push(Waiting { row: row.clone(), told });
        let turn = self.turn.lock().await;
        match answer.try_recv() {
            Ok(result) => return result,
            // whoever had taken it was stopped: it is written alone
            Err(oneshot::error::TryRecvError::Closed) => return write(vec![row]).await,
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let (rows, told): (Vec<T>, Vec<_>) = waiting.into_iter().map(|w| (w.row, w.told)).unzip();
        let result = write(rows).await;
        for one in told {
            // who does not wait any more needs no answer
            let _ = one.send(result.clone());
        }
        drop(turn);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn rows_that_wait_are_written_by_one_statement() {
        let (together, statements, written) = (Arc::new(Together::default()), Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(vec![])));
        let (first_began, began) = oneshot::channel();
        let (go_on, go) = oneshot::channel::<()>();
        let first = {
            let (together, written) = (Arc::clone(&together), Arc::clone(&written));
            tokio::spawn(async move {
                together
                    .write(0, |rows| async move {
                        first_began.send(()).expect("done");
                        go.await.expect("done");
                        written.lock().extend(rows);
                        Ok(())
                    })
                    .await
            })
        };
        began.await.expect("done");
        let others: Vec<_> = (1..50)
            .map(|n| {
                let (together, statements, written) = (Arc::clone(&together), Arc::clone(&statements), Arc::clone(&written));
                tokio::spawn(async move {
                    let write = |rows: Vec<i32>| async move {
                        statements.fetch_add(1, Ordering::SeqCst);
                        written.lock().extend(rows);
                        Ok(())
                    };
                    together.write(n, write).await
                })
            })
            .collect();
        while together.waiting.lock().len() < 49 {
            tokio::task::yield_now().await;
        }
        go_on.send(()).expect("done");
        first.await.expect("joined").expect("done");
        for other in others {
            other.await.expect("joined").expect("done");
        }
        let mut written = written.lock().clone();
        written.sort_unstable();
        assert_eq!((written, statements.load(Ordering::SeqCst)), ((0..50).collect(), 1));
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_and_a_stopped_writer_nobodys() {
        let together = Arc::new(Together::default());
        let failed = together.write(1, |_| async { Err(EngineError::new("engine/statement", "no")) }).await;
        assert_eq!(failed.expect_err("failed").message, "no");
        // the one that writes both rows is stopped at it: the other writes his own
        let held = together.turn.lock().await;
        let mut first = Box::pin(together.write(2, |_| std::future::pending()));
        let rows = Arc::new(Mutex::new(vec![]));
        let seen = Arc::clone(&rows);
        let mut second = Box::pin(together.write(3, |given| async move {
            seen.lock().extend(given);
            Ok(())
        }));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        drop(held);
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        second.await.expect("done");
        assert_eq!(*rows.lock(), [3]);
    }
}
