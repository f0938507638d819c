use passbook_shared::cloud_event;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::shutdown::{CancellationToken, Tasks};
use serde_json::Value;

use super::*;
use crate::http::examples;
use crate::http::tests::app;

/// Returns events of an account at positions that are ten times their versions.
fn events(versions: impl IntoIterator<Item = i64>) -> Vec<RecordedEvent> {
    let (_, record) = examples::records().next().unwrap();
    let event = cloud_event::decode(record.to_string().as_bytes()).unwrap().event;
    let at_version = |version| RecordedEvent {
        version,
        position: Position { partition: Partition::new(3), number: 10 * version },
        ..event.clone()
    };
    versions.into_iter().map(at_version).collect()
}

fn page(versions: impl IntoIterator<Item = i64>, has_more: bool) -> Page {
    Page { events: events(versions), has_more }
}

/// Writes slices as the pieces of a page of at most `limit` events. Returns the versions, whether
/// the page says that more follow, and the place after each slice.
fn written(range: EventRange, limit: usize, slices: Vec<Page>) -> (Vec<i64>, bool, Vec<i64>) {
    let mut tasks = Tasks::new(CancellationToken::new());
    let state = AppState::from(app(&mut tasks, false));
    let holder = Holder("ada".into());
    let mut writer = PageWriter { state, holder, range, after: 0, left: limit };
    let (mut all, mut places, count) = (Vec::new(), Vec::new(), slices.len());
    for (n, slice) in slices.into_iter().enumerate() {
        let mut piece = if n == 0 { b"{\"data\":[".to_vec() } else { Vec::new() };
        let is_last = writer.write(&mut piece, &slice).unwrap();
        assert_eq!(is_last, n + 1 == count, "slice {n}");
        places.push(writer.after);
        all.extend(piece);
    }
    let body: Value = serde_json::from_slice(&all).unwrap();
    let versions = body["data"].as_array().unwrap().iter();
    let versions = versions.map(|event| event["version"].as_i64().unwrap()).collect();
    (versions, body["has_more"].as_bool().unwrap(), places)
}

#[tokio::test]
async fn slices_add_up_to_one_page() {
    let account = EventRange::Account(Uuid::from_u128(1));
    let slices = vec![page(1..=3, true), page(4..=5, true), page(6..=6, false)];
    assert_eq!(written(account, 100, slices), (vec![1, 2, 3, 4, 5, 6], false, vec![3, 5, 6]));
    let partition = EventRange::Partition(Partition::new(3));
    let slices = vec![page(1..=3, true), page(4..=5, true)];
    assert_eq!(written(partition, 5, slices), (vec![1, 2, 3, 4, 5], true, vec![30, 50]));
}

#[tokio::test]
async fn a_page_of_one_slice_ends_with_it() {
    let account = EventRange::Account(Uuid::from_u128(1));
    assert_eq!(written(account, 100, vec![page([], false)]), (vec![], false, vec![0]));
    assert_eq!(written(account, 2, vec![page(1..=2, true)]), (vec![1, 2], true, vec![2]));
    assert_eq!(written(account, 2, vec![page(1..=2, false)]), (vec![1, 2], false, vec![2]));
}

#[tokio::test]
async fn an_empty_slice_ends_a_page_that_has_begun() {
    let account = EventRange::Account(Uuid::from_u128(1));
    let slices = vec![page(1..=2, true), page([], false)];
    assert_eq!(written(account, 100, slices), (vec![1, 2], false, vec![2, 2]));
}
