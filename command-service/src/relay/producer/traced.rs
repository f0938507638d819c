//! Spans of sampled events, from the send to the acknowledgement of Kafka.

use std::time::Duration;

use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::trace::{self, Batch, Kind, Member, Parent};

/// Sampled events that Kafka has not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Traced {
    /// Events that are not sent yet.
    added: Vec<(Position, Parent)>,
    sent: Vec<(Batch, Vec<Position>)>,
}

impl Traced {
    /// Notes an event that is about to be sent, if it is sampled.
    pub(super) fn add(&mut self, event: &RecordedEvent) {
        if let Some(parent) = trace::parent(event.metadata.context.traceparent.as_deref()) {
            self.added.push((event.position, parent));
        }
    }

    /// Begins the spans of the events added since the last call.
    pub(super) fn begin(&mut self) {
        let positions = self.added.iter().map(|(position, _)| *position).collect();
        let member = |(_, parent)| Member { parent, waited: Duration::ZERO };
        let members = self.added.drain(..).map(member);
        self.sent.extend(Batch::begin("send", Kind::Send, members).map(|batch| (batch, positions)));
    }

    /// Ends the spans whose events Kafka has acknowledged.
    pub(super) fn end(&mut self, is_acknowledged: impl Fn(Position) -> bool) {
        let done = |(_, positions): &mut (Batch, Vec<Position>)| {
            positions.iter().all(|position| is_acknowledged(*position))
        };
        self.sent.extract_if(.., done).for_each(drop);
    }
}
