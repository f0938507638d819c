use std::pin::pin;
use std::sync::LazyLock;

use passbook_shared::shutdown::{CancellationToken, Tasks};
use tokio::sync::oneshot;

use super::*;
use crate::http::tests::app;

fn turns(at_once: usize) -> (Turns, Tasks) {
    let mut tasks = Tasks::new(CancellationToken::new());
    let lanes = app(&mut tasks, false).lanes;
    (Turns::new(at_once, Shares::new(at_once), lanes), tasks)
}

static ADA: LazyLock<Holder> = LazyLock::new(|| Holder("ada".into()));
static BOB: LazyLock<Holder> = LazyLock::new(|| Holder("bob".into()));
static EVE: LazyLock<Holder> = LazyLock::new(|| Holder("eve".into()));

/// Returns whether a future is ready at once.
fn is_ready(future: std::pin::Pin<&mut impl Future>) -> bool {
    futures_util::FutureExt::now_or_never(future).is_some()
}

#[tokio::test]
async fn few_reads_run_at_once() {
    let (turns, _tasks) = turns(2);
    let (done, wait) = oneshot::channel::<()>();
    let mut first = pin!(turns.take(&ADA, wait));
    let mut second = pin!(turns.take(&BOB, std::future::pending::<()>()));
    let mut third = pin!(turns.take(&EVE, async {}));
    assert!(!is_ready(first.as_mut()) && !is_ready(second.as_mut()));
    assert!(!is_ready(third.as_mut()), "two turns are taken");
    done.send(()).unwrap();
    first.await.unwrap();
    assert!(is_ready(third.as_mut()));
}

#[tokio::test]
async fn the_waiting_reads_of_a_holder_do_not_delay_others() {
    let (turns, _tasks) = turns(1);
    let (done, wait) = oneshot::channel::<()>();
    let mut running = pin!(turns.take(&ADA, wait));
    assert!(!is_ready(running.as_mut()));
    // The second read of the holder waits in its own share, behind the read of the other.
    let mut waiting = pin!(turns.take(&ADA, std::future::pending::<()>()));
    assert!(!is_ready(waiting.as_mut()));
    let mut other = pin!(turns.take(&BOB, async {}));
    assert!(!is_ready(other.as_mut()));
    done.send(()).unwrap();
    running.await.unwrap();
    assert!(is_ready(other.as_mut()), "the turn goes to the other holder");
}

#[tokio::test]
async fn a_turn_is_given_back_if_its_reader_goes_away() {
    let (turns, _tasks) = turns(1);
    {
        let mut gone = pin!(turns.take(&ADA, std::future::pending::<()>()));
        assert!(!is_ready(gone.as_mut()));
    }
    assert_eq!(turns.wait_for(&ADA, async { 1 }).await.unwrap(), 1);
}
