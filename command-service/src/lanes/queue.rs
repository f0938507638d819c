//! Queues of lanes: submissions, the room for them, and repeats among them.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::Duration;

use passbook_shared::shares::{Places, Shares, acquire};
use passbook_shared::trace::{self, Member};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::decision::command_set::CommandSet;
use crate::metrics;
use crate::outcome::{CommandError, CommandResult};
use crate::request::FirstUses;

/// Time in which a command within its principal's share gets room.
const FAIR: Duration = Duration::from_millis(100);

/// A set of commands that waits for its lane, and its sender for the results.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) set: CommandSet,
    /// Time from which the sender waits, for room in the queue at first.
    sent_at: Instant,
    reply: oneshot::Sender<Vec<CommandResult>>,
    // Freed with the answer, so that commands count while the lane works on them.
    _room: Room,
}

/// Room in the queue for a set, and in its principal's share of the queue.
type Room = (OwnedSemaphorePermit, Places);

impl Submission {
    /// Returns true if no sender waits for an answer.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Records how long the submission has waited for its batch.
    pub(super) fn taken(&self) {
        metrics::lane_wait(self.sent_at.elapsed());
    }

    /// Returns the sampled commands, as members of a batch.
    pub(super) fn members(&self) -> impl Iterator<Item = Member> {
        let waited = self.sent_at.elapsed();
        let contexts = self.set.commands.iter().map(|command| &command.request.context);
        contexts.filter_map(move |context| {
            let parent = trace::parent(context.traceparent.as_deref())?;
            Some(Member { parent, waited })
        })
    }

    pub(super) fn answer(self, results: Vec<CommandResult>) {
        for (command, result) in self.set.commands.iter().zip(&results) {
            metrics::command(command.request.command.name(), result);
        }
        // A sender that has gone away can repeat the request with its key.
        let _ = self.reply.send(results);
    }

    pub(super) fn fail(self, error: &CommandError) {
        let results = self.set.commands.iter().map(|_| Err(error.clone())).collect();
        self.answer(results);
    }
}

/// The sending side of a lane's queue.
#[derive(Debug)]
pub(super) struct Queue {
    name: String,
    sender: mpsc::UnboundedSender<Submission>,
    room: Arc<Semaphore>,
    size: u32,
    /// Bound the commands of a principal that wait for room or have it.
    shares: Shares,
}

impl Queue {
    /// Creates a queue for `size` commands.
    pub(super) fn new(name: String, size: usize) -> (Self, mpsc::UnboundedReceiver<Submission>) {
        // Unbounded, because a channel counts sets and the semaphore counts commands.
        let (sender, receiver) = mpsc::unbounded_channel();
        let (room, shares) = (Arc::new(Semaphore::new(size)), Shares::half_of(size));
        let size = size.try_into().unwrap_or(u32::MAX);
        (Self { name, sender, room, size, shares }, receiver)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.taken() == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.room.available_permits() == 0
    }

    /// Number of commands that wait or are being worked on.
    pub(super) fn taken(&self) -> usize {
        (self.size as usize).saturating_sub(self.room.available_permits())
    }

    /// Sends commands once there is room for them. Commands that need more than all of the room
    /// take all of it.
    pub(super) async fn send(
        &self,
        set: CommandSet,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Vec<CommandResult>>, CommandError> {
        let sent_at = Instant::now();
        let room = self.room_for(&set, deadline).await?;
        let (reply, answer) = oneshot::channel();
        let submission = Submission { set, sent_at, reply, _room: room };
        self.sender.send(submission).map_err(|_| CommandError::ShuttingDown)?;
        Ok(answer)
    }

    async fn room_for(&self, set: &CommandSet, deadline: Instant) -> Result<Room, CommandError> {
        let (principal, commands) = (set.principal(), set.commands.len());
        // The share comes first, so that what it waits for does not delay other principals.
        let share = self.shares.take(principal, commands, deadline).await?;
        // Others may have filled the queue, within their shares; their commands make room soon.
        let fair = if principal.is_some() { Instant::now() + FAIR } else { deadline };
        let wanted = u32::try_from(commands).unwrap_or(u32::MAX).min(self.size);
        let room = acquire(Arc::clone(&self.room), wanted, deadline.max(fair)).await;
        let Some(room) = room else {
            // The lane reports its queue only between batches, which would miss a long batch.
            metrics::lane_queue(&self.name, self.size as usize);
            return Err(CommandError::Overloaded);
        };
        Ok((room, share))
    }
}

/// Splits submissions into first uses and repeats of keys and transfer ids, both in their order.
pub(super) fn split_repeats(
    submissions: impl Iterator<Item = Submission>,
) -> (Vec<Submission>, Vec<Submission>) {
    let mut uses = FirstUses::default();
    submissions.partition(|submission| uses.claim(submission.set.identities()))
}

/// Waits for the results of commands that were sent, or were not.
pub(super) async fn results_of(
    commands: &[&'static str],
    answer: Result<oneshot::Receiver<Vec<CommandResult>>, CommandError>,
) -> Vec<CommandResult> {
    let error = match answer {
        Ok(answer) => match answer.await {
            Ok(results) => return results,
            // The lane has panicked, maybe after it had sent the commands.
            Err(_) => CommandError::OutcomeUnknown,
        },
        Err(error) => error,
    };
    let fail = |command: &&'static str| {
        let result = Err(error.clone());
        metrics::command(command, &result);
        result
    };
    commands.iter().map(fail).collect()
}
