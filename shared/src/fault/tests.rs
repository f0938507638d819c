use std::io::Write;
use std::sync::Arc;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the lines that `act` logs, without their times.
pub(crate) fn logged(act: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let written = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || written.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_intervals_between_two_log_lines_triple_up_to_ten_minutes() {
    let begin = Instant::now();
    let mut run = Occurrences::begin(begin);
    let seconds = 1..10_000_u64;
    let due: Vec<u64> = seconds.filter(|n| run.again(begin + Duration::from_secs(*n))).collect();
    assert_eq!(due[..6], [10, 40, 130, 400, 1_000, 1_600]);
    assert!(due[5..].windows(2).all(|pair| pair[1] - pair[0] == 600), "{due:?}");
    assert_eq!((run.count(), run.seconds(begin + Duration::from_secs(77))), (10_000, 77));
}

#[test]
fn an_hour_of_one_fault_is_at_most_a_dozen_log_lines() {
    let lines = logged(|| {
        let fault = Fault::new("Postgres is away");
        let begin = Instant::now();
        fault.ended_at(begin);
        for second in (0..3_600).step_by(2) {
            fault.occurred_at(begin + Duration::from_secs(second), &"connection refused");
        }
        fault.ended_at(begin + Duration::from_secs(3_600));
        fault.ended_at(begin + Duration::from_secs(3_601));
    });
    assert!((8..=13).contains(&lines.len()), "{lines:?}");
    assert_eq!(lines[0], "WARN Postgres is away reason=connection refused");
    assert_eq!(
        lines[1],
        "WARN Postgres is away still reason=connection refused times=6 seconds=10"
    );
    let last = lines.last().unwrap();
    assert_eq!(last, "INFO over: Postgres is away times=1800 seconds=3600");
}

#[test]
fn a_fault_after_a_quiet_minute_is_a_new_one() {
    let lines = logged(|| {
        let fault = Fault::new("Postgres is away");
        let begin = Instant::now();
        for second in [0, 59, 118, 178, 179] {
            fault.occurred_at(begin + Duration::from_secs(second), &"refused");
        }
    });
    assert_eq!(
        lines,
        [
            "WARN Postgres is away reason=refused",
            "WARN Postgres is away still reason=refused times=2 seconds=59",
            "WARN Postgres is away still reason=refused times=3 seconds=118",
            "WARN Postgres is away reason=refused",
        ]
    );
}

#[test]
fn the_end_of_a_fault_that_never_occurred_is_not_logged() {
    let fault = Fault::new("Postgres is away");
    assert_eq!(logged(|| fault.ended()), [""; 0]);
    assert_eq!(logged(|| fault.occurred("refused")).len(), 1);
    assert_eq!(logged(|| fault.occurred("refused")), [""; 0]);
    assert_eq!(logged(|| fault.ended()), ["INFO over: Postgres is away times=2 seconds=0"]);
}
