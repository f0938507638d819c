//! States of a replay.

/// State of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Offsets were reset; the service has not yet committed its own again.
    Noticed,
    /// Queued.
    Waiting,
    /// Reading and applying events.
    Running,
    /// Comparing the new views with the live ones.
    Comparing,
    /// Completed.
    Done,
    /// Failed, without effect on the live views.
    Failed,
    /// Cancelled, without effect on the live views.
    Cancelled,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Noticed,
        Self::Waiting,
        Self::Running,
        Self::Comparing,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Returns the name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noticed => "noticed",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Comparing => "comparing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether the state is final.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Noticed | Self::Waiting | Self::Running | Self::Comparing => false,
            Self::Done | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(format!("`{text}` is not a state of a replay"))
    }
}
