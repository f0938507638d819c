//! Span of an HTTP request.

use std::sync::Arc;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::{TRACER, parent};

/// Span of a sampled request.
#[derive(Debug)]
pub struct RequestSpan {
    span: Span,
    /// `traceparent` of the span.
    pub traceparent: Arc<str>,
}

impl RequestSpan {
    /// Begins the span of a request, if traces are on and the request is sampled. `traceparent` is
    /// the sender's.
    pub fn begin<'r>(
        service: &'static str,
        traceparent: impl FnOnce() -> Option<&'r str>,
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        let sender = traceparent().and_then(parent::parse);
        let sender = sender
            .map_or_else(Context::new, |sender| Context::new().with_remote_span_context(sender));
        let span = tracer.span_builder(service).with_kind(SpanKind::Server);
        let span = span.start_with_context(tracer, &sender);
        let context: &SpanContext = span.span_context();
        if !context.is_sampled() {
            return None;
        }
        let traceparent = parent::format(context).into();
        Some(Self { span, traceparent })
    }

    /// Ends the span with the response.
    pub fn end(mut self, method: &str, route: &str, status: u16) {
        self.span.update_name(format!("{method} {route}"));
        self.span.set_attributes([
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ]);
        if status >= 500 {
            self.span.set_status(Status::error(""));
        }
        self.span.end();
    }
}

/// Returns the trace id in a valid `traceparent`.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}
