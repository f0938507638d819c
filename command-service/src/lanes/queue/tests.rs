use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::decision::tests::{ADA, BOB, each, set};
use crate::domain::Refusal;
use crate::domain::tests::specification::{deposit, transfer};
use crate::outcome::Outcome;
use crate::request::CommandRequest;
use crate::request::tests::{request, with_key};

type Answer = oneshot::Receiver<Vec<CommandResult>>;

/// Creates submissions of sets, with the receivers of their results.
pub(in crate::lanes) fn submissions(sets: Vec<CommandSet>) -> (Vec<Submission>, Vec<Answer>) {
    let room = Arc::new(Semaphore::new(sets.len()));
    let submission = |set| {
        let (reply, answer) = oneshot::channel();
        let room = (Arc::clone(&room).try_acquire_owned().unwrap(), Places::default());
        (Submission { set, sent_at: Instant::now(), reply, _room: room }, answer)
    };
    sets.into_iter().map(submission).unzip()
}

fn deposits(count: usize) -> CommandSet {
    set(false, vec![request(ADA, deposit(1)); count])
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn refused() -> CommandResult {
    Ok(Outcome::Refused { replayed: false, refusal: Refusal::AccountNotFound })
}

#[tokio::test]
async fn commands_take_room_until_their_submission_is_gone() {
    let (queue, mut receiver) = Queue::new("0".to_owned(), 3);
    assert!(queue.is_idle());
    queue.send(deposits(2), soon()).await.unwrap();
    assert!(!queue.is_idle() && !queue.is_full());
    assert_eq!(queue.taken(), 2);
    let full = queue.send(deposits(2), Instant::now()).await.unwrap_err();
    assert_eq!(full, CommandError::Overloaded);
    queue.send(deposits(1), Instant::now()).await.unwrap();
    assert!(queue.is_full());
    drop(receiver.recv().await.unwrap());
    assert!(!queue.is_idle());
    queue.send(deposits(2), Instant::now()).await.unwrap();
    for _ in 0..2 {
        drop(receiver.recv().await.unwrap());
    }
    assert!(queue.is_idle());
}

#[tokio::test]
async fn a_principal_has_half_of_the_queue_and_others_have_room() {
    let (queue, mut receiver) = Queue::new("0".to_owned(), 4);
    let from = |actor: &str, count| {
        let mut set = deposits(count);
        let requests = set.commands.iter_mut().map(|command| &mut command.request);
        requests.for_each(|request| request.context.actor = Some(actor.to_owned()));
        set
    };
    queue.send(from("ada", 2), Instant::now()).await.unwrap();
    let beyond = queue.send(from("ada", 1), Instant::now()).await.unwrap_err();
    assert_eq!(beyond, CommandError::ShareTaken);
    queue.send(from("bob", 2), Instant::now()).await.unwrap();
    // The queue is full of the shares of others, which make room soon.
    let waiting = queue.send(from("eve", 1), Instant::now());
    let (sent, ()) = tokio::join!(waiting, async { drop(receiver.recv().await) });
    sent.unwrap();
    drop(receiver.recv().await);
    drop(receiver.recv().await);
    // Larger than the share: it takes all of it.
    queue.send(from("ada", 3), Instant::now()).await.unwrap();
}

#[tokio::test]
async fn a_set_larger_than_the_queue_takes_all_of_its_room() {
    let (queue, mut receiver) = Queue::new("0".to_owned(), 2);
    queue.send(deposits(7), Instant::now()).await.unwrap();
    let full = queue.send(deposits(1), Instant::now()).await.unwrap_err();
    assert_eq!(full, CommandError::Overloaded);
    assert_eq!(receiver.recv().await.unwrap().set.commands.len(), 7);
    assert!(queue.is_idle());
    queue.send(deposits(1), Instant::now()).await.unwrap();
    let full = queue.send(deposits(7), Instant::now()).await.unwrap_err();
    assert_eq!(full, CommandError::Overloaded, "it waits for all of the room");
}

#[tokio::test]
async fn a_sender_waits_for_room_until_its_deadline() {
    let (queue, mut receiver) = Queue::new("0".to_owned(), 1);
    queue.send(deposits(1), Instant::now()).await.unwrap();
    let waiting = queue.send(deposits(1), soon());
    let (sent, first) = tokio::join!(waiting, async { drop(receiver.recv().await) });
    assert_eq!((sent.is_ok(), first), (true, ()));
}

#[tokio::test]
async fn a_lane_that_has_ended_is_shutting_down() {
    let (queue, receiver) = Queue::new("0".to_owned(), 1);
    drop(receiver);
    let sent = queue.send(deposits(1), soon()).await.unwrap_err();
    assert_eq!(sent, CommandError::ShuttingDown);
    assert!(queue.is_idle(), "a command that was not sent takes no room");
}

#[tokio::test]
async fn a_submission_is_answered_failed_or_abandoned() {
    let (mut submissions, mut answers) = submissions(vec![deposits(2), deposits(3), deposits(1)]);
    answers.truncate(2);
    let abandoned: Vec<bool> = submissions.iter().map(Submission::is_abandoned).collect();
    assert_eq!(abandoned, [false, false, true]);
    submissions.remove(2).answer(vec![refused()]);
    submissions.remove(1).fail(&CommandError::Conflict);
    submissions.remove(0).answer(vec![refused(), Err(CommandError::KeyReused)]);
    let failed = results_of(&["deposit"; 3], Ok(answers.remove(1))).await;
    assert!(failed.iter().all(|result| matches!(result, Err(CommandError::Conflict))));
    assert_eq!(failed.len(), 3);
    let answered = results_of(&["deposit"; 2], Ok(answers.remove(0))).await;
    assert!(matches!(answered[..], [Ok(_), Err(CommandError::KeyReused)]), "{answered:?}");
}

#[tokio::test]
async fn each_command_has_a_result_even_if_its_lane_gives_none() {
    let (reply, answer) = oneshot::channel();
    drop(reply);
    let lost = results_of(&["deposit", "close"], Ok(answer)).await;
    assert!(matches!(
        lost[..],
        [Err(CommandError::OutcomeUnknown), Err(CommandError::OutcomeUnknown)]
    ));
    let unsent = results_of(&["deposit"; 3], Err(CommandError::Overloaded)).await;
    assert!(unsent.iter().all(|result| matches!(result, Err(CommandError::Overloaded))));
    assert_eq!(unsent.len(), 3);
}

/// A request by its key and its transfer id; neither, if both are 0.
fn keyed((key, id): (u8, u128)) -> CommandRequest {
    let to_bob = transfer(Uuid::from_u128(id), BOB, 1);
    let plain = request(ADA, if id == 0 { deposit(1) } else { to_bob });
    if key == 0 { plain } else { with_key(plain, &key.to_string()) }
}

proptest! {
    #[test]
    fn first_uses_share_no_identity_and_each_repeat_has_one_before_it(
        chosen in prop::collection::vec((0..3_u8, 0..3_u128), 0..12),
    ) {
        let (all, _answers) = submissions(each(chosen.iter().copied().map(keyed).collect()));
        let (firsts, repeats) = split_repeats(all.into_iter());
        let of = |submissions: &[Submission]| -> Vec<(u8, u128)> {
            let of = |submission: &Submission| {
                let request = &submission.set.commands[0].request;
                let key = request.key().map_or(0, |key| key.parse().unwrap());
                (key, request.command.needs().transfer_id.map_or(0, |id| id.as_u128()))
            };
            submissions.iter().map(of).collect()
        };
        let (mut expected_firsts, mut expected_repeats) = (Vec::new(), Vec::new());
        for (n, (key, id)) in chosen.iter().enumerate() {
            let before = &chosen[..n];
            let repeats = |(k, i): &(u8, u128)| (k == key && *k > 0) || (i == id && *i > 0);
            let is_repeat = before.iter().any(repeats);
            if is_repeat { &mut expected_repeats } else { &mut expected_firsts }.push((*key, *id));
        }
        prop_assert_eq!(of(&firsts), expected_firsts);
        prop_assert_eq!(of(&repeats), expected_repeats);
    }
}
