//! Delivery of messages to the applier, with back-pressure.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use super::{PATIENCE, POLL, Reader};
use crate::consumer::client::GroupConsumer;
use crate::consumer::handoff::Message;

impl Reader {
    /// Delivers a message to the applier. While the applier accepts no message, the partitions are
    /// paused and polling continues, so that the instance stays in the group.
    pub(super) fn deliver(&mut self, consumer: &GroupConsumer, message: Message) {
        // A permit of the clone leaves `self` free for decoding.
        let messages = self.messages.clone();
        let permit = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, messages.reserve()).await });
        if let Ok(permit) = permit {
            // The channel is closed only if the applier has ended.
            if let Ok(permit) = permit {
                permit.send(message);
            }
            return;
        }
        // The list must not outlive the client, so each block drops its own list.
        if let Ok(ours) = consumer.assignment() {
            // Without the pause, more records are held here; none is lost.
            let _ = consumer.pause(&ours);
        }
        let mut held = Vec::new();
        while !self.shutdown.is_cancelled() {
            let soon = Duration::from_millis(10);
            let permit = self
                .runtime
                .block_on(async { tokio::time::timeout(soon, messages.reserve()).await });
            if let Ok(permit) = permit {
                if let Ok(permit) = permit {
                    permit.send(message);
                }
                break;
            }
            if let Some(Ok(message)) = consumer.poll(POLL) {
                let record = self.decode(&message);
                held.extend(record);
            }
            // After a change of the assignment, reading restarts from the checkpoints. The client
            // keeps the pause of a partition that stays assigned, so it is resumed all the same.
            if consumer.context().has_news() {
                held.clear();
                break;
            }
        }
        self.held.extend(held);
        self.watchdog.resume();
        if let Ok(ours) = consumer.assignment() {
            let _ = consumer.resume(&ours);
        }
    }
}
