//! State of an open connection, shared by its own task and the admission of new connections.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release,
};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::limits::Limits;

/// Phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// No byte of a next request has arrived.
    Idle,
    /// A part of the next request's head has arrived.
    Head,
    /// A request is being executed, or its response written.
    Busy,
    /// All responses are written, and the client has yet to close.
    Closing,
    /// The connection must close, and executes no further request.
    Evicted,
}

/// Timeout that ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No next request arrived.
    Idle,
    /// The head of a request did not arrive whole.
    Head,
    /// The client took nothing of its response.
    Stalled,
}

/// State of an open connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    pub(super) number: u64,
    pub(super) address: IpAddr,
    phase: AtomicU8,
    /// Start of the current idle time or head, in milliseconds of the process.
    since: AtomicU64,
    /// Time since when no byte could be written; 0 if the last write made progress.
    stalled: AtomicU64,
    /// True from the end of a response's body until it is flushed.
    body_ended: AtomicBool,
    /// True if the client may still be sending when the connection closes.
    lingers: AtomicBool,
    eviction: Notify,
}

impl ConnectionState {
    pub(super) fn new(number: u64, address: IpAddr) -> Self {
        Self {
            number,
            address,
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU64::new(now()),
            stalled: AtomicU64::new(0),
            body_ended: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            eviction: Notify::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Acquire) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            3 => Phase::Closing,
            _ => Phase::Evicted,
        }
    }

    fn transition(&self, from: Phase, to: Phase) -> bool {
        self.phase.compare_exchange(from as u8, to as u8, AcqRel, Acquire).is_ok()
    }

    /// Notes the first byte of a next request.
    pub(super) fn begin_head(&self) {
        if self.phase() == Phase::Idle {
            // Before the phase: the deadline of a head must not count from the idle time before it.
            self.since.store(now(), Release);
            self.transition(Phase::Idle, Phase::Head);
        }
    }

    /// Begins the execution of a request. Returns false if the connection is evicted.
    pub(super) fn begin_response(&self) -> bool {
        self.transition(Phase::Head, Phase::Busy) || self.transition(Phase::Idle, Phase::Busy)
    }

    /// Notes that hyper has taken the whole body of the response, or dropped it.
    pub(super) fn end_body(&self) {
        self.body_ended.store(true, Release);
    }

    /// Notes that everything is written; ends the request if its response was complete.
    pub(super) fn flushed(&self) {
        if self.body_ended.swap(false, AcqRel) {
            self.since.store(now(), Release);
            self.transition(Phase::Busy, Phase::Idle);
        }
    }

    /// Has the connection wait for the client before it closes.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Release);
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Acquire)
    }

    /// Notes a write, and whether it made progress.
    pub(super) fn wrote(&self, progress: bool) {
        match (progress, self.stalled.load(Acquire)) {
            (true, 0) | (false, 1..) => {}
            (true, _) => self.stalled.store(0, Release),
            (false, 0) => self.stalled.store(now(), Release),
        }
    }

    /// Begins to wait for the client's close. Returns false if the connection is evicted.
    pub(super) fn begin_closing(&self) -> bool {
        let phase = self.phase();
        phase != Phase::Evicted && self.transition(phase, Phase::Closing)
    }

    /// Returns the time since when the connection has been unused, in milliseconds of the process;
    /// `None` if it is busy and its client has taken something of its response within `patience`.
    pub(super) fn unused_since(&self, patience: Duration) -> Option<u64> {
        match self.phase() {
            Phase::Idle | Phase::Head => Some(self.since.load(Acquire)),
            // Before all others, because its responses are written.
            Phase::Closing => Some(0),
            Phase::Busy => {
                Some(self.stalled.load(Acquire)).filter(|since| self.is_stalled(*since, patience))
            }
            Phase::Evicted => None,
        }
    }

    fn is_stalled(&self, since: u64, patience: Duration) -> bool {
        since > 0 && instant(since) + patience <= Instant::now()
    }

    /// Evicts the connection, unless it is in use by now. Returns true if it is evicted.
    pub(super) fn evict(&self, patience: Duration) -> bool {
        let is_evicted = [Phase::Idle, Phase::Head, Phase::Closing]
            .into_iter()
            .any(|from| self.transition(from, Phase::Evicted))
            || (self.unused_since(patience).is_some()
                && self.transition(Phase::Busy, Phase::Evicted));
        if is_evicted {
            // Also reaches a task that does not wait yet: `Notify` keeps one permit.
            self.eviction.notify_one();
        }
        is_evicted
    }

    /// Waits until the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.eviction.notified().await;
    }

    /// Returns the next deadline of the connection and the timeout that it belongs to.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, Overdue)> {
        let stalled = self.stalled.load(Acquire);
        if stalled > 0 {
            return Some((instant(stalled) + limits.stalled, Overdue::Stalled));
        }
        let since = instant(self.since.load(Acquire));
        match self.phase() {
            Phase::Idle => Some((since + limits.idle, Overdue::Idle)),
            Phase::Head => Some((since + limits.headers, Overdue::Head)),
            Phase::Busy | Phase::Closing | Phase::Evicted => None,
        }
    }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns milliseconds since the first call, plus 1: 0 stands for no time.
fn now() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

fn instant(millis: u64) -> Instant {
    *START + Duration::from_millis(millis)
}
