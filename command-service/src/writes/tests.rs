use super::*;

fn is_refused(writes: &Writes) -> bool {
    writes.0.load(Ordering::Relaxed)
}

#[test]
fn a_refused_batch_is_remembered_until_one_is_accepted() {
    let writes = Writes::default();
    let clone = writes.clone();
    writes.succeeded();
    assert!(!is_refused(&clone));
    writes.failed("no space left");
    writes.failed("no space left");
    assert!(is_refused(&clone));
    clone.succeeded();
    assert!(!is_refused(&writes));
}

#[test]
fn a_failing_check_names_the_partition_the_reason_and_the_last_success() {
    let reason =
        failing(Partition::new(3), &sqlx::Error::PoolTimedOut, Duration::from_millis(4_900));
    let expected = "events cannot be appended (checked on partition 3): Postgres does not \
                    answer in time. The last success was 4 s ago";
    assert_eq!(reason, expected);
}
