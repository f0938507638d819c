use std::net::Ipv4Addr;
use std::pin::pin;

use passbook_shared::shutdown::{CancellationToken, Tasks};
use tokio::sync::oneshot;

use super::*;
use crate::http::tests::app;

fn turns(at_once: usize) -> (Turns, Tasks) {
    let mut tasks = Tasks::new(CancellationToken::new());
    let lanes = app(&mut tasks, false).lanes;
    (Turns::new(at_once, lanes), tasks)
}

fn client(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

/// Returns whether a future is ready at once.
fn is_ready(future: std::pin::Pin<&mut impl Future>) -> bool {
    futures_util::FutureExt::now_or_never(future).is_some()
}

#[tokio::test]
async fn few_reads_run_at_once() {
    let (turns, _tasks) = turns(2);
    let (done, wait) = oneshot::channel::<()>();
    let mut first = pin!(turns.take(client(1), wait));
    let mut second = pin!(turns.take(client(2), std::future::pending::<()>()));
    let mut third = pin!(turns.take(client(3), async {}));
    assert!(!is_ready(first.as_mut()) && !is_ready(second.as_mut()));
    assert!(!is_ready(third.as_mut()), "two turns are taken");
    done.send(()).unwrap();
    first.await.unwrap();
    assert!(is_ready(third.as_mut()));
}

#[tokio::test]
async fn the_waiting_reads_of_a_client_do_not_delay_others() {
    let (turns, _tasks) = turns(1);
    let (done, wait) = oneshot::channel::<()>();
    let mut running = pin!(turns.take(client(1), wait));
    assert!(!is_ready(running.as_mut()));
    // The second read of the client waits in its own queue, behind the read of the other client.
    let mut waiting = pin!(turns.take(client(1), std::future::pending::<()>()));
    assert!(!is_ready(waiting.as_mut()));
    let mut other = pin!(turns.take(client(2), async {}));
    assert!(!is_ready(other.as_mut()));
    done.send(()).unwrap();
    running.await.unwrap();
    assert!(is_ready(other.as_mut()), "the turn goes to the other client");
}

#[tokio::test]
async fn a_turn_is_given_back_if_its_reader_goes_away() {
    let (turns, _tasks) = turns(1);
    {
        let mut gone = pin!(turns.take(client(1), std::future::pending::<()>()));
        assert!(!is_ready(gone.as_mut()));
    }
    assert_eq!(turns.wait_for(client(1), async { 1 }).await.unwrap(), 1);
}

#[tokio::test]
async fn queues_of_idle_clients_are_dropped_beyond_a_number() {
    let (turns, _tasks) = turns(1);
    let held = turns.client_queue(client(0));
    for number in 1..=u32::try_from(MAX_CLIENTS).unwrap() {
        turns.take(client(number), async {}).await;
    }
    assert!(turns.clients.lock().len() < MAX_CLIENTS);
    let again = turns.client_queue(client(0));
    assert!(Arc::ptr_eq(&held, &again), "a queue in use is kept");
}
