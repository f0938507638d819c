//! Rights of the projection-service's role.

use super::matrix::Permitted;

/// Writes of the service. All other statements on all objects are refused.
pub(crate) const PERMITTED: [Permitted; 5] = [
    Permitted {
        objects: &[
            "views_1.accounts",
            "views_1.checkpoints",
            "views_1.history",
            "views_1.quarantine",
        ],
        rights: &["INSERT", "UPDATE", "DELETE"],
        reason: "views are derived: the service applies, rewinds and corrects them",
    },
    Permitted {
        objects: &["projection.replays", "projection.verifications"],
        rights: &["INSERT", "UPDATE", "DELETE"],
        reason: "states of its own tasks, of which only the newest are kept",
    },
    Permitted {
        objects: &["projection.discarded"],
        rights: &["INSERT"],
        reason: "a discard is recorded and stays",
    },
    Permitted {
        objects: &["projection.source", "projection.confirmed", "projection.restores"],
        rights: &["INSERT", "UPDATE"],
        reason: "what the views have learned about the log",
    },
    Permitted {
        objects: &["projection.quarantine_ids"],
        rights: &["USAGE"],
        reason: "ids of quarantined events",
    },
];
