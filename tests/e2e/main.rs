//! The whole pair, end to end: the services as processes of their own that can be killed, on a real Postgres and a real
//! Kafka. In containers where Docker answers; else on the embedded Postgres and the in-process broker
//! (`PASSBOOK_TEST_CONTAINERS=never` asks for those, `always` refuses to do without containers).
//!
//! What every test ends with is in `truth.rs`: every acknowledged command is in the log exactly once, positions and
//! versions are dense, and the views equal a fold of the log.

/// Postgres and Kafka.
mod ground;
/// Processes, ports, deadlines.
mod process;
/// One test's own databases and topic, and the services on them.
mod site;

/// Requests, and many of them at once.
mod client;
mod load;
/// What must hold at the end.
mod truth;

mod backups;
mod bounded;
mod cancelled;
mod compatibility;
mod contract;
mod foreign;
mod forged;
mod full_disk;
mod hostile;
mod killed;
mod launcher;
mod migrating;
mod money;
mod outages;
mod quarantine;
mod replay;
mod restored;
mod rights;
mod stalled;
mod topic;
mod unreadable;
mod verify;
mod writing;
