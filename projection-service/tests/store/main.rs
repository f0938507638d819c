//! Storage of the views in a real Postgres: a batch is atomic, and past states can be queried.

#![expect(clippy::too_many_lines, reason = "a test tells its story from start to end")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod batches;
mod events;
mod postgres;
mod scope;

mod answers;
mod generations;
mod holds;
mod lists;
mod owner;
mod quarantined;
mod rights;
mod tenants;
mod transfers;
mod views;
