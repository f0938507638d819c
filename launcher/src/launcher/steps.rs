//! The steps of a start, a line each with its time, so that nobody waits before an empty screen.

use std::io::Write;
use std::time::Instant;

/// The steps so far.
#[derive(Debug)]
pub(super) struct Steps {
    since: Instant,
}

impl Steps {
    pub(super) fn begin() -> Self {
        say("Starting Passbook");
        Self { since: Instant::now() }
    }

    /// A step has come to its end.
    pub(super) fn done(&mut self, step: &str) {
        say(&format!("  {step:<38} {:>5.1} s", self.since.elapsed().as_secs_f64()));
        self.since = Instant::now();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be there to read it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
