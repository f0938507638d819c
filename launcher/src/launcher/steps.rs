//! Progress of the start, one line a step with its duration.

use std::io::Write;
use std::time::Instant;

/// Clock of the current step.
#[derive(Debug)]
pub(super) struct Steps {
    since: Instant,
}

impl Steps {
    pub(super) fn begin() -> Self {
        print("Starting Passbook");
        Self { since: Instant::now() }
    }

    /// Prints a completed step with its duration.
    pub(super) fn done(&mut self, step: &str) {
        print(&format!("  {step:<38} {:>5.1} s", self.since.elapsed().as_secs_f64()));
        self.since = Instant::now();
    }
}

fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed standard output must not stop the launcher.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
