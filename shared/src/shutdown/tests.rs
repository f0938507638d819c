use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

/// Returns a task that ends with `result` once the token is cancelled.
fn until(
    shutdown: &CancellationToken,
    result: anyhow::Result<()>,
) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
    let shutdown = shutdown.clone();
    async move {
        shutdown.cancelled().await;
        result
    }
}

/// Returns the messages of an error, from the outermost.
fn messages(ended: anyhow::Result<()>) -> Vec<String> {
    ended.unwrap_err().chain().map(ToString::to_string).collect()
}

#[tokio::test]
async fn tasks_that_end_after_the_shutdown_end_well() {
    let shutdown = CancellationToken::new();
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("one", until(&tasks.shutdown(), Ok(())));
    tasks.spawn("two", until(&tasks.shutdown(), Ok(())));
    let waiting = tokio::spawn(tasks.wait());
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    shutdown.cancel();
    waiting.await.unwrap().unwrap();
    Tasks::new(shutdown).wait().await.unwrap();
}

#[tokio::test]
async fn the_first_task_to_end_stops_the_others_and_is_named() {
    let mut tasks = Tasks::new(CancellationToken::new());
    let shutdown = tasks.shutdown();
    tasks.spawn("the relay", async { Ok(()) });
    tasks.spawn("the lanes", until(&shutdown, Ok(())));
    assert_eq!(messages(tasks.wait().await), ["the relay ended before the shutdown"]);
    assert!(shutdown.is_cancelled());
}

#[tokio::test]
async fn the_error_of_the_first_task_is_returned_and_not_those_that_it_causes() {
    let mut tasks = Tasks::new(CancellationToken::new());
    let shutdown = tasks.shutdown();
    tasks.spawn("the relay", async { bail!("no Kafka") });
    tasks.spawn("the lanes", until(&shutdown, Err(anyhow!("no Postgres"))));
    assert_eq!(messages(tasks.wait().await), ["the relay failed", "no Kafka"]);
    assert!(shutdown.is_cancelled());
}

#[tokio::test]
async fn an_error_after_the_shutdown_is_returned_too() {
    let shutdown = CancellationToken::new();
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("the server", until(&shutdown, Ok(())));
    tasks.spawn("the relay", until(&shutdown, Err(anyhow!("records were not sent"))));
    shutdown.cancel();
    assert_eq!(messages(tasks.wait().await), ["the relay failed", "records were not sent"]);
}

#[tokio::test]
async fn a_panic_of_a_task_stops_the_others() {
    let mut tasks = Tasks::new(CancellationToken::new());
    let shutdown = tasks.shutdown();
    tasks.spawn("the lanes", until(&shutdown, Ok(())));
    tasks.spawn("the relay", async { panic!("a defect") });
    let messages = messages(tasks.wait().await);
    assert_eq!(messages[0], "a task panicked");
    assert!(messages[1].contains("panicked"), "{messages:?}");
    assert!(shutdown.is_cancelled());
}

#[tokio::test]
async fn the_cleanup_runs_once_after_all_tasks() {
    let order = Arc::new(AtomicUsize::new(0));
    let next = |order: &Arc<AtomicUsize>| order.fetch_add(1, Ordering::SeqCst);
    let mut tasks = Tasks::new(CancellationToken::new());
    let (in_task, in_cleanup) = (Arc::clone(&order), Arc::clone(&order));
    let shutdown = tasks.shutdown();
    tasks.spawn("the lanes", async move {
        shutdown.cancelled().await;
        // The other task has ended, and the cleanup must not run yet.
        tokio::task::yield_now().await;
        assert_eq!(next(&in_task), 0);
        Ok(())
    });
    tasks.spawn("the relay", async { bail!("no Kafka") });
    tasks.at_end(async { panic!("replaced by the next") });
    tasks.at_end(async move { assert_eq!(next(&in_cleanup), 1) });
    assert!(tasks.wait().await.is_err());
    assert_eq!(next(&order), 2);
}

#[tokio::test]
async fn a_cleanup_that_does_not_end_is_abandoned() {
    let mut tasks = Tasks::new(CancellationToken::new());
    tasks.at_end(pending());
    let begun = std::time::Instant::now();
    tasks.wait().await.unwrap();
    assert!((CLEANUP..2 * CLEANUP).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

/// One test for both signals: a second one would end the process of other tests.
#[test]
fn sigterm_drains_before_the_shutdown_and_sigint_does_not() {
    const DRAIN: Duration = Duration::from_millis(200);
    for (signal, drains) in [(Signal::SIGTERM, true), (Signal::SIGINT, false)] {
        // The end of the runtime ends the task that waits for a second signal.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stop = on_signal(DRAIN).unwrap();
            assert!(!stop.draining.is_cancelled() && !stop.shutdown.is_cancelled());
            let begun = std::time::Instant::now();
            kill(Pid::this(), signal).unwrap();
            stop.draining.cancelled().await;
            assert!(!drains || !stop.shutdown.is_cancelled(), "{signal}");
            stop.shutdown.cancelled().await;
            assert_eq!(begun.elapsed() >= DRAIN, drains, "{signal}: {:?}", begun.elapsed());
        });
    }
}

#[test]
fn a_shutdown_without_a_signal_is_also_the_end_of_readiness() {
    let stop = Stop::from(CancellationToken::new());
    stop.shutdown.cancel();
    assert!(stop.draining.is_cancelled());
}
