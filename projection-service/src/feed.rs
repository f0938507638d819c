//! The log itself, as the command-service gives it: where the topic has a hole, the events come from here.

use std::time::Duration;

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use reqwest::{Client, Url};
use serde::Deserialize;
use thiserror::Error;

/// Events asked for at once.
pub const PAGE: usize = 1_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The command-service's event feed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    client: Client,
    events: Url,
}

/// Why the feed gave no page.
#[derive(Debug, Error)]
pub enum FeedError {
    /// No answer, or not one of the feed.
    #[error("the command-service's feed can't be read: {0}")]
    Request(#[from] reqwest::Error),
    /// Events that are not what was asked for.
    #[error("the command-service's feed gave {found} where {expected} is next: is it of this log?")]
    OutOfOrder {
        /// The position that was to come.
        expected: String,
        /// What came.
        found: String,
    },
}

#[derive(Deserialize)]
struct Page {
    data: Vec<RecordedEvent>,
}

impl Feed {
    /// The feed of the command-service at `base`.
    ///
    /// # Errors
    /// The HTTP client can't be set up.
    pub fn new(base: &Url) -> reqwest::Result<Self> {
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).build()?;
        let mut events = base.clone();
        events.set_path(&format!("{}/v1/events", base.path().trim_end_matches('/')));
        Ok(Self { client, events })
    }

    /// The events that follow on position `after` of a partition, oldest first, without holes; empty if there is none.
    ///
    /// # Errors
    /// The command-service is away, or does not give that.
    pub async fn events(&self, partition: Partition, after: i64) -> Result<Vec<RecordedEvent>, FeedError> {
        let mut url = self.events.clone();
        url.query_pairs_mut()
            .append_pair("partition", &partition.to_string())
            .append_pair("after", &after.to_string())
            .append_pair("limit", &PAGE.to_string());
        let page: Page = self.client.get(url).send().await?.error_for_status()?.json().await?;
        for (event, number) in page.data.iter().zip(after + 1..) {
            if event.position.partition != partition || event.position.number != number {
                let expected = format!("{partition}-{number}");
                return Err(FeedError::OutOfOrder { expected, found: event.position.to_string() });
            }
        }
        Ok(page.data)
    }
}
