//! An open connection, as seen by its own task and by those that look for room.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release,
};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::limits::Limits;

/// State of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing of a next request has come.
    Idle,
    /// Something of a next request has come, and not its whole head.
    Head,
    /// A request is being answered.
    Busy,
    /// All is answered, and its end is awaited.
    Closing,
    /// Asked to leave: no request of it is executed any more.
    Leaving,
}

/// Reason to cut a connection off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// No next request.
    Idle,
    /// An unfinished head.
    Head,
    /// The client takes nothing of its answer.
    Stalled,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) number: u64,
    pub(super) address: IpAddr,
    phase: AtomicU8,
    /// Start of an idle time or a head, in milliseconds of the process.
    since: AtomicU64,
    /// Start of the time in which nothing could be written; 0 if that is not so.
    stalled: AtomicU64,
    /// The answer is handed over, and may have to be flushed.
    handed_over: AtomicBool,
    /// The client may still be sending when the connection ends.
    lingers: AtomicBool,
    leave: Notify,
}

impl Guest {
    pub(super) fn new(number: u64, address: IpAddr) -> Self {
        Self {
            number,
            address,
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU64::new(now()),
            stalled: AtomicU64::new(0),
            handed_over: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            leave: Notify::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Acquire) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            3 => Phase::Closing,
            _ => Phase::Leaving,
        }
    }

    fn step(&self, from: Phase, to: Phase) -> bool {
        self.phase.compare_exchange(from as u8, to as u8, AcqRel, Acquire).is_ok()
    }

    /// A byte of a next request has come.
    pub(super) fn begin_head(&self) {
        if self.phase() == Phase::Idle {
            self.since.store(now(), Release);
            self.step(Phase::Idle, Phase::Head);
        }
    }

    /// A request is to be executed. Returns whether it may be.
    pub(super) fn begin_answer(&self) -> bool {
        self.step(Phase::Head, Phase::Busy) || self.step(Phase::Idle, Phase::Busy)
    }

    /// The answer is handed over whole.
    pub(super) fn hand_over(&self) {
        self.handed_over.store(true, Release);
    }

    /// All that was handed over is written.
    pub(super) fn flushed(&self) {
        if self.handed_over.swap(false, AcqRel) {
            self.since.store(now(), Release);
            self.step(Phase::Busy, Phase::Idle);
        }
    }

    /// The connection is to be closed with care.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Release);
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Acquire)
    }

    /// Notes whether a write has made progress.
    pub(super) fn wrote(&self, progress: bool) {
        match (progress, self.stalled.load(Acquire)) {
            (true, 0) | (false, 1..) => {}
            (true, _) => self.stalled.store(0, Release),
            (false, 0) => self.stalled.store(now(), Release),
        }
    }

    /// Only the end of the connection is awaited from now on. Returns whether it may take its time.
    pub(super) fn begin_closing(&self) -> bool {
        let phase = self.phase();
        phase != Phase::Leaving && self.step(phase, Phase::Closing)
    }

    /// Moment since when the connection does nothing for its client, in milliseconds of the
    /// process; nothing if it does something, or its client has taken something of its answer
    /// within `patience`.
    pub(super) fn unused_since(&self, patience: Duration) -> Option<u64> {
        match self.phase() {
            Phase::Idle | Phase::Head => Some(self.since.load(Acquire)),
            Phase::Closing => Some(0),
            Phase::Busy => {
                Some(self.stalled.load(Acquire)).filter(|since| self.is_stalled(*since, patience))
            }
            Phase::Leaving => None,
        }
    }

    fn is_stalled(&self, since: u64, patience: Duration) -> bool {
        since > 0 && moment(since) + patience <= Instant::now()
    }

    /// Has the connection closed, unless it is doing something by now. Returns whether that is so.
    pub(super) fn ask_to_leave(&self, patience: Duration) -> bool {
        let asked = [Phase::Idle, Phase::Head, Phase::Closing]
            .into_iter()
            .any(|from| self.step(from, Phase::Leaving))
            || (self.unused_since(patience).is_some() && self.step(Phase::Busy, Phase::Leaving));
        if asked {
            self.leave.notify_one();
        }
        asked
    }

    /// Ends when the connection is asked to leave.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Moment at which the connection is to be cut off, if nothing happens until then, and the
    /// reason.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, Late)> {
        let stalled = self.stalled.load(Acquire);
        if stalled > 0 {
            return Some((moment(stalled) + limits.stalled, Late::Stalled));
        }
        let since = moment(self.since.load(Acquire));
        match self.phase() {
            Phase::Idle => Some((since + limits.idle, Late::Idle)),
            Phase::Head => Some((since + limits.headers, Late::Head)),
            Phase::Busy | Phase::Closing | Phase::Leaving => None,
        }
    }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds of the process, from 1.
fn now() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

fn moment(millis: u64) -> Instant {
    *START + Duration::from_millis(millis)
}
