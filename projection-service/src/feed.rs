//! The log itself, as the command-service gives it: where the topic has a hole, the events come from here.

use std::time::Duration;

use passbook_shared::epoch::Epoch;
use passbook_shared::http::headers;
use passbook_shared::log_check::LogCheck;
use passbook_shared::money::MAX_AMOUNT;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_description::StoreDescription;
use passbook_shared::timestamp::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use uuid::Uuid;

use crate::store::source::Source;

/// The same, of one account.
const ACCOUNT_PAGE: usize = 1_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a check, which folds an account whole, however long it is.
const CHECK_TIMEOUT: Duration = Duration::from_secs(600);

/// The command-service's event feed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    client: Client,
    base: Url,
}

/// Why the feed gave no page.
#[derive(Debug, Error)]
pub enum FeedError {
    /// No answer, or not one of the feed.
    #[error("the command-service's feed can't be read: {0}")]
    Request(#[from] reqwest::Error),
    /// The answer does not say whose log it is.
    #[error(
        "the command-service's feed does not say of which store it is: is it a command-service?"
    )]
    Nameless,
    /// Events that are not what was asked for.
    #[error("the command-service's feed gave {found} where {expected} is next: is it of this log?")]
    OutOfOrder {
        /// The position that was to come.
        expected: String,
        /// What came.
        found: String,
    },
}

/// One place of the log.
#[derive(Debug)]
pub struct At {
    /// Whose log it is.
    pub source: Source,
    /// The epoch of that store.
    pub epoch: Epoch,
    /// The event there, if the log reaches so far.
    pub event: Option<RecordedEvent>,
}

/// A stretch of the log.
#[derive(Debug)]
pub struct Page {
    /// Whose log it is.
    pub source: Source,
    /// The epoch of that store.
    pub epoch: Epoch,
    /// Its events, oldest first, without holes.
    pub events: Vec<RecordedEvent>,
    /// Whether there are more after them.
    pub has_more: bool,
}

#[derive(Deserialize)]
struct Body {
    data: Vec<RecordedEvent>,
    has_more: bool,
}

impl Feed {
    /// Events asked for at once.
    pub const PAGE: u16 = 2_000;

    /// The feed of the command-service at `base`.
    ///
    /// # Errors
    /// The HTTP client can't be set up.
    pub fn new(base: &Url) -> reqwest::Result<Self> {
        // The services are each other's neighbours: a proxy of the environment is for other places.
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self { client, base: base.clone() })
    }

    /// The events that follow on position `after` of a partition; none if that is its end.
    ///
    /// # Errors
    /// The command-service is away, or does not give that.
    pub async fn events(&self, partition: Partition, after: i64) -> Result<Page, FeedError> {
        self.page(partition, after, Self::PAGE.into()).await
    }

    /// At most `limit` events of a partition after a position, as the log has them: with its holes, if it has any.
    ///
    /// # Errors
    /// As [`Feed::events`].
    pub async fn as_is(
        &self,
        partition: Partition,
        after: i64,
        limit: usize,
    ) -> Result<Page, FeedError> {
        let page = self.ask(partition, after, limit).await?;
        let mut last = after;
        for event in &page.events {
            if event.position.partition != partition || event.position.number <= last {
                let expected = format!("a position after {partition}-{last}");
                return Err(FeedError::OutOfOrder { expected, found: event.position.to_string() });
            }
            last = event.position.number;
        }
        Ok(page)
    }

    /// The event at a position, if the log reaches so far.
    ///
    /// # Errors
    /// As [`Feed::events`].
    pub async fn event_at(
        &self,
        partition: Partition,
        position: i64,
    ) -> Result<Option<RecordedEvent>, FeedError> {
        Ok(self.at(partition, position).await?.event)
    }

    /// The same with whose log it is, and its epoch; from position 0 on, where no event is.
    ///
    /// # Errors
    /// As [`Feed::events`].
    pub async fn at(&self, partition: Partition, position: i64) -> Result<At, FeedError> {
        // No log gets beyond that, and the feed refuses to be asked for it.
        let after = (position - 1).clamp(0, MAX_AMOUNT);
        let page = self.ask(partition, after, 1).await?;
        let event = page
            .events
            .into_iter()
            .next()
            .filter(|event| event.position == Position { partition, number: position });
        Ok(At { source: page.source, epoch: page.epoch, event })
    }

    /// The store of the log: its epoch, its accepted restores, its forks.
    ///
    /// # Errors
    /// As [`Feed::events`].
    pub async fn store(&self) -> Result<StoreDescription, FeedError> {
        Ok(self
            .client
            .get(self.url("v1/store", &[]))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// The position up to which a partition has all that was, and ever will have been, recorded by a moment; nothing if the
    /// moment is still to come.
    ///
    /// # Errors
    /// As [`Feed::events`].
    pub async fn settle(
        &self,
        partition: Partition,
        moment: Timestamp,
    ) -> Result<Option<Position>, FeedError> {
        #[derive(Deserialize)]
        struct Resolution {
            position: Position,
        }
        let url = self.url(&format!("v1/partitions/{partition}/settled"), &[]);
        let asked = self.client.put(url).json(&serde_json::json!({ "as_of": moment }));
        let response = asked.send().await?;
        if response.status() == reqwest::StatusCode::BAD_REQUEST {
            return Ok(None);
        }
        let Resolution { position } = response.error_for_status()?.json().await?;
        Ok(Some(position))
    }

    /// Has the command-service check some of a partition's log.
    ///
    /// # Errors
    /// As [`Feed::events`].
    pub async fn check(
        &self,
        partition: Partition,
        cursor: Option<&str>,
    ) -> Result<(Source, LogCheck), FeedError> {
        let asked: Vec<_> =
            cursor.map(|cursor| ("cursor", cursor.to_owned())).into_iter().collect();
        let url = self.url(&format!("v1/partitions/{partition}/check"), &asked);
        let (source, _, check) = self.answer(self.client.get(url).timeout(CHECK_TIMEOUT)).await?;
        Ok((source, check))
    }

    /// Whose log it is.
    ///
    /// # Errors
    /// As [`Feed::events`].
    pub async fn source(&self) -> Result<Source, FeedError> {
        Ok(self.page(0, 0, 1).await?.source)
    }

    /// An account's events after a version, oldest first: those of one page, and whether there are more.
    ///
    /// # Errors
    /// As [`Feed::events`]; that the log has no such account is an empty page.
    pub async fn of_account(
        &self,
        account_id: Uuid,
        after: i64,
    ) -> Result<(Vec<RecordedEvent>, bool), FeedError> {
        self.account_page(account_id, after, ACCOUNT_PAGE).await
    }

    /// An account's event with a version, if the log has it.
    ///
    /// # Errors
    /// As [`Feed::events`].
    pub async fn event_of(
        &self,
        account_id: Uuid,
        version: i64,
    ) -> Result<Option<RecordedEvent>, FeedError> {
        Ok(self.account_page(account_id, version - 1, 1).await?.0.pop())
    }

    async fn account_page(
        &self,
        account_id: Uuid,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<RecordedEvent>, bool), FeedError> {
        let asked = [("after_version", after.to_string()), ("limit", limit.to_string())];
        let url = self.url(&format!("v1/accounts/{account_id}/events"), &asked);
        let response = self.client.get(url).send().await?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok((Vec::new(), false));
        }
        let body: Body = response.error_for_status()?.json().await?;
        for (event, version) in body.data.iter().zip(after + 1..) {
            if event.account_id != account_id || event.version != version {
                let expected = format!("version {version} of account {account_id}");
                let found = format!("version {} of account {}", event.version, event.account_id);
                return Err(FeedError::OutOfOrder { expected, found });
            }
        }
        Ok((body.data, body.has_more))
    }

    async fn page(
        &self,
        partition: Partition,
        after: i64,
        limit: usize,
    ) -> Result<Page, FeedError> {
        let page = self.ask(partition, after, limit).await?;
        for (event, number) in page.events.iter().zip(after + 1..) {
            if event.position.partition != partition || event.position.number != number {
                let expected = format!("{partition}-{number}");
                return Err(FeedError::OutOfOrder { expected, found: event.position.to_string() });
            }
        }
        Ok(page)
    }

    async fn ask(&self, partition: Partition, after: i64, limit: usize) -> Result<Page, FeedError> {
        let asked = [
            ("partition", partition.to_string()),
            ("after", after.to_string()),
            ("limit", limit.to_string()),
        ];
        let asked = self.client.get(self.url("v1/events", &asked));
        let (source, epoch, body): (_, _, Body) = self.answer(asked).await?;
        Ok(Page { source, epoch, events: body.data, has_more: body.has_more })
    }

    fn url(&self, path: &str, asked: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(asked);
        url
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<(Source, Epoch, T), FeedError> {
        let response = request.send().await?.error_for_status()?;
        let source = source(response.headers()).ok_or(FeedError::Nameless)?;
        // Programs that did not know epochs send none.
        let epoch = header(response.headers(), headers::EPOCH)
            .and_then(|epoch| epoch.parse().ok())
            .unwrap_or_default();
        Ok((source, epoch, response.json().await?))
    }
}

fn source(found: &HeaderMap) -> Option<Source> {
    Some(Source {
        store_id: header(found, headers::STORE_ID)?.parse().ok()?,
        partitions: header(found, headers::PARTITIONS)?.parse().ok()?,
    })
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
