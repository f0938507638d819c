//! Client of the command-service, which serves the log. Events that the topic lacks come from here.

use std::time::Duration;

use passbook_shared::access::client_key::{self, ClientKey};
use passbook_shared::epoch::Epoch;
use passbook_shared::http::headers;
use passbook_shared::money::MAX_AMOUNT;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::store::source::Source;

mod account;
mod store;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Client of the command-service's log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    client: Client,
    base: Url,
}

/// Failure to read the log.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The request failed.
    #[error("the command-service's feed can't be read: {0}")]
    Request(#[from] reqwest::Error),
    /// The response names no store.
    #[error(
        "the command-service's feed does not say of which store it is: is it a command-service?"
    )]
    Nameless,
    /// The response has other events than requested.
    #[error("the command-service's feed gave {found} where {expected} is next: is it of this log?")]
    OutOfOrder {
        /// Expected position.
        expected: String,
        /// Position or version that was found.
        found: String,
    },
}

/// One position of the log.
#[derive(Debug)]
pub struct At {
    /// Store and number of partitions.
    pub source: Source,
    /// Epoch of the store.
    pub epoch: Epoch,
    /// Event at the position; absent if the log ends before it.
    pub event: Option<RecordedEvent>,
}

/// A page of the log.
#[derive(Debug)]
pub struct Page {
    /// Store and number of partitions.
    pub source: Source,
    /// Epoch of the store.
    pub epoch: Epoch,
    /// Events, oldest first.
    pub events: Vec<RecordedEvent>,
    /// True if the log has more events after them.
    pub has_more: bool,
}

#[derive(Deserialize)]
struct Body {
    data: Vec<RecordedEvent>,
    has_more: bool,
}

impl Feed {
    /// Number of events per page.
    pub const PAGE: u16 = 2_000;

    /// Creates a client of the command-service at `base`, which permits the key to read the log.
    /// `tls` applies to an https URL.
    ///
    /// # Errors
    /// The HTTP client can't be set up.
    pub fn new(
        base: &Url,
        key: Option<&ClientKey>,
        tls: rustls::ClientConfig,
    ) -> reqwest::Result<Self> {
        // The services share a private network: a proxy in the environment is for other hosts.
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .default_headers(client_key::headers(key))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self { client, base: base.clone() })
    }

    /// Returns the events after position `after` of a partition; none if that is its end.
    ///
    /// # Errors
    /// The command-service is unreachable, or its response is not the requested page.
    pub async fn events(&self, partition: Partition, after: i64) -> Result<Page, FeedError> {
        self.page(partition, after, Self::PAGE.into()).await
    }

    /// Returns at most `limit` events of a partition after a position. Unlike other reads, this one
    /// accepts gaps in the log.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
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

    /// Returns the event at a position, if the log has it.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
    pub async fn event_at(
        &self,
        partition: Partition,
        position: i64,
    ) -> Result<Option<RecordedEvent>, FeedError> {
        Ok(self.at(partition, position).await?.event)
    }

    /// Returns the event at a position with the store and its epoch. Position 0 has no event.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
    pub async fn at(&self, partition: Partition, position: i64) -> Result<At, FeedError> {
        // No log reaches `MAX_AMOUNT`, and the command-service rejects larger numbers.
        let after = (position - 1).clamp(0, MAX_AMOUNT);
        let page = self.ask(partition, after, 1).await?;
        let event = page
            .events
            .into_iter()
            .next()
            .filter(|event| event.position == Position { partition, number: position });
        Ok(At { source: page.source, epoch: page.epoch, event })
    }

    /// Store and number of partitions.
    ///
    /// # Errors
    /// Same as for [`Feed::events`].
    pub async fn source(&self) -> Result<Source, FeedError> {
        Ok(self.page(Partition::new(0), 0, 1).await?.source)
    }

    async fn page(
        &self,
        partition: Partition,
        after: i64,
        limit: usize,
    ) -> Result<Page, FeedError> {
        let page = self.ask(partition, after, limit).await?;
        // Positions have no gaps, so a page has exactly one right order.
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
        // Earlier releases of the command-service send no epoch.
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
