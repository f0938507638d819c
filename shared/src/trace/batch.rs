//! Spans of work on many requests at once: one of the batch, with links to its members, and one of
//! each member, in the member's own trace.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::{Parent, TRACER};

/// Role of a batch towards the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Neither of the following.
    Internal,
    /// Sends records.
    Send,
    /// Processes records.
    Process,
}

/// Sampled member of a batch.
#[derive(Debug)]
pub struct Member {
    /// Request to which the member belongs.
    pub parent: Parent,
    /// Time for which the member has waited for the batch.
    pub waited: Duration,
}

/// Running batch with at least one sampled member. Its drop ends the spans of batch and members.
#[derive(Debug)]
pub struct Batch {
    span: Span,
    name: &'static str,
    kind: SpanKind,
    members: Vec<(SpanContext, SystemTime)>,
    attributes: Vec<KeyValue>,
}

impl Batch {
    /// Begins a batch, if traces are on and a member is sampled. `members` is evaluated only if
    /// traces are on. The span of the batch belongs to the trace of the first sampled member.
    pub fn begin(
        name: &'static str,
        kind: Kind,
        members: impl Iterator<Item = Member>,
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        let now = SystemTime::now();
        let members: Vec<_> =
            members.map(|member| (member.parent.0, now - member.waited)).collect();
        let (first, _) = members.first()?;
        let context = Context::new().with_remote_span_context(first.clone());
        let links = members.iter().map(|(member, _)| Link::with_context(member.clone()));
        let (operation, kind) = match kind {
            Kind::Internal => (None, SpanKind::Internal),
            Kind::Send => (Some("send"), SpanKind::Producer),
            Kind::Process => (Some("process"), SpanKind::Consumer),
        };
        let attributes = operation.into_iter().flat_map(|operation| {
            [
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.operation.type", operation),
            ]
        });
        let attributes: Vec<_> = attributes.collect();
        let span = tracer
            .span_builder(format!("{name} batch"))
            .with_kind(kind.clone())
            .with_start_time(now)
            .with_attributes(attributes.clone())
            .with_links(links.collect())
            .start_with_context(tracer, &context);
        Some(Self { span, name, kind, members, attributes })
    }

    /// Marks the batch as failed.
    pub fn fail(&mut self, reason: &impl Display) {
        self.span.set_status(Status::error(reason.to_string()));
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.span.end();
        let Some(tracer) = TRACER.get() else { return };
        let batch = self.span.span_context();
        for (member, since) in self.members.drain(..) {
            let context = Context::new().with_remote_span_context(member);
            tracer
                .span_builder(self.name)
                .with_kind(self.kind.clone())
                .with_start_time(since)
                .with_attributes(self.attributes.clone())
                .with_links(vec![Link::with_context(batch.clone())])
                .start_with_context(tracer, &context)
                .end();
        }
    }
}
