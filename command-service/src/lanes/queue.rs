//! Queues of lanes: submissions, the room for them, and repeats among them.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use passbook_shared::trace::{self, Member};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::decision::command_set::CommandSet;
use crate::metrics;
use crate::outcome::{CommandError, CommandResult};
use crate::request::FirstUses;

/// A set of commands that waits for its lane, and its sender for the results.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) set: CommandSet,
    /// Time from which the sender waits, for room in the queue at first.
    sent_at: Instant,
    reply: oneshot::Sender<Vec<CommandResult>>,
    // Freed with the answer, so that commands count while the lane works on them.
    _room: OwnedSemaphorePermit,
}

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
}

impl Queue {
    /// Creates a queue for `size` commands.
    pub(super) fn new(name: String, size: usize) -> (Self, mpsc::UnboundedReceiver<Submission>) {
        // Unbounded, because a channel counts sets and the semaphore counts commands.
        let (sender, receiver) = mpsc::unbounded_channel();
        let (room, size) = (Arc::new(Semaphore::new(size)), size.try_into().unwrap_or(u32::MAX));
        (Self { name, sender, room, size }, receiver)
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
        let wanted = u32::try_from(set.commands.len()).unwrap_or(u32::MAX).min(self.size);
        let room = match Arc::clone(&self.room).try_acquire_many_owned(wanted) {
            // The usual case needs no timer.
            Ok(room) => room,
            Err(_) => {
                let room = Arc::clone(&self.room).acquire_many_owned(wanted);
                let Ok(Ok(room)) = timeout_at(deadline, room).await else {
                    // The lane reports its queue only between batches, which would miss a long
                    // batch.
                    metrics::lane_queue(&self.name, self.size as usize);
                    return Err(CommandError::Overloaded);
                };
                room
            }
        };
        let (reply, answer) = oneshot::channel();
        let submission = Submission { set, sent_at, reply, _room: room };
        self.sender.send(submission).map_err(|_| CommandError::ShuttingDown)?;
        Ok(answer)
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
