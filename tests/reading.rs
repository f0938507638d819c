//! Reads of the log on a real Postgres, with the service's role: by partition, by account, by type
//! and time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Postgres cluster of the tests.
#[path = "support/postgres.rs"]
mod postgres;

use command_service::log::read::LogReader;
use command_service::log::read::search::{Cursor, Search};
use command_service::log::snapshot_key::SnapshotKey;
use command_service::log::snapshots::Snapshots;
use embedded_postgres::testing::Database;
use passbook_shared::partition::{PartitionCount, partition_of};
use passbook_shared::timestamp::Timestamp;
use sqlx::PgPool;
use uuid::Uuid;

use postgres::empty_log;

const PARTITIONS: PartitionCount = PartitionCount::new(3);
/// Number of events in each partition.
const EVENTS: i64 = 1_000;
/// Account of all events of its partition. Each other event has an account of its own.
const ACCOUNT: Uuid = Uuid::from_u128(7);

struct Log {
    database: Database,
    owner: PgPool,
    reader: LogReader,
}

impl Log {
    /// Creates a log whose partitions advance at different speeds. It has many events of one
    /// moment, rare types, and every other event is undecodable.
    async fn start() -> Self {
        let (database, store) = empty_log(Some(PARTITIONS)).await;
        let owner = PgPool::connect(&database.urls.owner).await.unwrap();
        sqlx::query(
            "INSERT INTO passbook.events (position, version, recorded_at, partition, schema_version,
                                          account_id, event_id, command_id, type, data)
             SELECT n, n,
                    '2026-01-01T00:00:00Z'::timestamptz
                        + (n / 7) * (p + 1) * interval '1 millisecond',
                    p, 1, CASE WHEN p = $1 THEN $2 ELSE gen_random_uuid() END,
                    gen_random_uuid(), gen_random_uuid(),
                    CASE WHEN n % 300 = 5 THEN 'AccountFrozen' ELSE 'MoneyDeposited' END,
                    CASE WHEN n % 2 = 0 THEN '{\"amount\":1}'::json
                         ELSE '[\"not of this shape\"]'::json END
               FROM generate_series(0, $3 - 1) AS p, generate_series(1, $4) AS n",
        )
        .bind(partition_of(ACCOUNT, PARTITIONS))
        .bind(ACCOUNT)
        .bind(i32::from(PARTITIONS.get()))
        .bind(EVENTS)
        .execute(&owner)
        .await
        .unwrap();
        let pool = PgPool::connect_lazy(&database.urls.service).unwrap();
        let snapshots = Snapshots::only_read(SnapshotKey::random());
        let reader = LogReader::new(pool.clone(), pool, store, snapshots);
        Self { database, owner, reader }
    }

    /// Returns the positions that a search should find.
    async fn expected(&self, search: &Search<'_>) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT partition || '-' || position FROM passbook.events
              WHERE ($1 IS NULL OR type = $1)
                AND ($2 IS NULL OR recorded_at >= $2) AND ($3 IS NULL OR recorded_at < $3)
              ORDER BY recorded_at, partition, position",
        )
        .bind(search.event_type)
        .bind(search.from)
        .bind(search.to)
        .fetch_all(&self.owner)
        .await
        .unwrap()
    }

    /// Returns the positions that a search finds, page by page, with cursors that pass through
    /// text.
    async fn found(&self, search: &Search<'_>) -> Vec<String> {
        let (mut positions, mut after) = (Vec::new(), None);
        loop {
            let found = self.reader.search(&Search { after, ..*search }).await.unwrap();
            assert!(found.events.len() <= search.limit);
            positions.extend(found.events.iter().map(|event| event.position.to_string()));
            let Some(next) = found.next else { return positions };
            after = Some(next.to_string().parse::<Cursor>().unwrap());
        }
    }

    async fn end(self) {
        self.owner.close().await;
        self.database.drop().await.unwrap();
    }
}

fn at(time: &str) -> Option<Timestamp> {
    Some(time.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_each_event_once_and_in_order() {
    let log = Log::start().await;
    let all = Search { event_type: None, from: None, to: None, after: None, limit: 100 };
    for event_type in [None, Some("AccountFrozen"), Some("AccountClosed")] {
        for (from, to) in [
            (None, None),
            (at("2026-01-01T00:00:00.050Z"), None),
            (None, at("2026-01-01T00:00:00.050Z")),
            (at("2026-01-01T00:00:00.020Z"), at("2026-01-01T00:00:00.060Z")),
            (at("2026-01-01T00:00:00.060Z"), at("2026-01-01T00:00:00.020Z")),
            (at("9999-12-31T23:59:59Z"), None),
            (None, at("0001-01-01T00:00:00Z")),
        ] {
            for limit in [3, 100, 5_000] {
                let search = Search { event_type, from, to, limit, ..all };
                assert_eq!(log.found(&search).await, log.expected(&search).await, "{search:?}");
            }
        }
    }
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_and_an_account_are_read_to_their_ends() {
    let log = Log::start().await;
    for partition in PARTITIONS.all() {
        let (mut after, mut has_more) = (0, true);
        while has_more {
            let page = log.reader.feed(partition, after, 300).await.unwrap();
            for event in &page.events {
                after += 1;
                assert_eq!((event.position.partition, event.position.number), (partition, after));
            }
            has_more = page.has_more;
        }
        assert_eq!(after, EVENTS);
    }
    let page = log.reader.account_events(ACCOUNT, EVENTS - 10, 10).await.unwrap().unwrap();
    assert_eq!(
        page.events.iter().map(|event| event.version).collect::<Vec<_>>(),
        (EVENTS - 9..=EVENTS).collect::<Vec<_>>()
    );
    assert!(!page.has_more);
    assert!(
        log.reader.account_events(ACCOUNT, EVENTS, 10).await.unwrap().unwrap().events.is_empty()
    );
    assert!(log.reader.account_events(Uuid::from_u128(8), 0, 10).await.unwrap().is_none());
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_at_a_time_is_the_last_recorded_by_then() {
    let log = Log::start().await;
    let versions: Vec<(i64, Timestamp)> = sqlx::query_as(
        "SELECT max(version), recorded_at FROM passbook.events
          WHERE account_id = $1 GROUP BY 2 ORDER BY 1",
    )
    .bind(ACCOUNT)
    .fetch_all(&log.owner)
    .await
    .unwrap();
    let mut before = 0;
    for (version, recorded_at) in versions {
        let a_moment_before = Timestamp::from_micros(recorded_at.as_micros() - 1).unwrap();
        assert_eq!(log.reader.version_at(ACCOUNT, a_moment_before).await.unwrap(), before);
        assert_eq!(log.reader.version_at(ACCOUNT, recorded_at).await.unwrap(), version);
        before = version;
    }
    assert_eq!(
        log.reader
            .version_at(Uuid::from_u128(8), at("9999-12-31T23:59:59Z").unwrap())
            .await
            .unwrap(),
        0
    );
    log.end().await;
}
