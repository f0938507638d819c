//! Both services end to end, as processes that are killed and started again, on a real Postgres and
//! a real Kafka. With the `containers` cfg these run in containers; without it, on the embedded
//! Postgres and the in-process broker. The launcher's build script sets the cfg from
//! `PASSBOOK_TEST_CONTAINERS` (`auto`, `always` or `never`).
//!
//! Most tests end with [`invariants`]: every acknowledged command is in the log exactly once,
//! positions and versions are dense, and the views equal a fold of the log.
#![expect(clippy::too_many_lines, reason = "a test tells its story from start to end")]

/// Databases, topic and services of one test.
mod environment;
/// Postgres and Kafka.
mod infrastructure;
/// Child processes, addresses and deadlines.
mod process;

/// Requests to the services.
mod client;
/// Invariants of the log and the views.
mod invariants;
/// Issuer of tokens.
mod issuer;
/// Many clients that write at once.
mod load;

mod access;
mod backups;
mod bounded;
mod cancelled;
mod compatibility;
mod contract;
mod draining;
mod encrypted;
mod foreign;
mod forged;
mod full_disk;
mod hostile;
mod killed;
mod launcher;
mod migrating;
mod money;
mod operators;
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
