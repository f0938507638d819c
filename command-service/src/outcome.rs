//! Outcomes of commands, as the lanes give them and HTTP answers them.

use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::shares::ShareTaken;
use passbook_shared::store_description::Fork;
use thiserror::Error;
use uuid::Uuid;

use crate::domain::{AccountSummary, Refusal};

/// The result of a command, as its sender gets it.
pub type CommandResult = Result<Outcome, CommandError>;

/// The outcome of a command that was decided. It is `replayed` if the key was known: it is that of
/// the first request with the key then.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The command is done, and durable. A dry run would have been done.
    Accepted {
        /// True for the outcome of an earlier request.
        replayed: bool,
        /// The change of the command's account.
        own: AccountChange,
        /// The change of the account that received, if the command is a transfer.
        to: Option<AccountChange>,
    },
    /// The domain refuses the command.
    Refused {
        /// True for the outcome of an earlier request.
        replayed: bool,
        /// The reason.
        refusal: Refusal,
    },
}

impl Outcome {
    /// Returns whether the outcome is that of an earlier request with the key.
    pub fn is_replay(&self) -> bool {
        match self {
            Self::Accepted { replayed, .. } | Self::Refused { replayed, .. } => *replayed,
        }
    }
}

/// The change of one account by a command.
#[derive(Debug, Clone)]
pub struct AccountChange {
    /// The account.
    pub account_id: Uuid,
    /// Version of the account after the command.
    pub version: i64,
    /// Position of the event with that version. Of a dry run: the position of the account's newest
    /// event.
    pub position: Position,
    /// State of the account after the command.
    pub account: AccountSummary,
    /// Events that the command caused, oldest first; none if the account was in that state already.
    /// In a dry run, `position` is that of the account's newest event, and `recorded_at` is now.
    pub events: Vec<Arc<RecordedEvent>>,
}

/// Reasons for which a command has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The lane's queue is full.
    #[error("too many commands are waiting")]
    Overloaded,
    /// The commands of the principal take its share of the lane's queue.
    #[error("the commands of this API key take its share of the queue")]
    ShareTaken,
    /// The service is shutting down.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// Postgres can't be reached or refuses to work, for the reason given. The command was not
    /// done.
    #[error("the store can't be used: {0}")]
    StoreUnavailable(Arc<str>),
    /// The connection broke after the command was sent to Postgres. The command may have been done.
    #[error(
        "the connection to the store broke, and whether the command was done can't be found out now"
    )]
    OutcomeUnknown,
    /// The account's version moved each time the command was tried.
    #[error("lost the race for the account's version too often")]
    Conflict,
    /// A partition that the command touches is forked: the log was restored from a backup, and no
    /// operator has accepted the restore yet.
    #[error("the log is behind the topic in partition {partition}")]
    LogIsBehind {
        /// The partition.
        partition: Partition,
        /// Last position of the log.
        log_position: i64,
        /// Last position that the topic has and the log lacks.
        topic_position: i64,
    },
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Another command of the same atomic set was not done.
    #[error("another command of its set was not done")]
    SetAborted,
    /// A defect, or a log that can't be read. The service's log has the details.
    #[error("the command can't be worked on")]
    Internal,
}

impl From<ShareTaken> for CommandError {
    fn from(ShareTaken: ShareTaken) -> Self {
        Self::ShareTaken
    }
}

impl CommandError {
    /// Returns whether a repeat of the command may succeed soon: 503.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Overloaded
            | Self::ShareTaken
            | Self::ShuttingDown
            | Self::StoreUnavailable(_)
            | Self::LogIsBehind { .. }
            | Self::OutcomeUnknown => true,
            Self::Conflict | Self::KeyReused | Self::SetAborted | Self::Internal => false,
        }
    }
}

impl From<Fork> for CommandError {
    fn from(Fork { partition, log_position, topic_position, .. }: Fork) -> Self {
        Self::LogIsBehind { partition, log_position, topic_position }
    }
}
