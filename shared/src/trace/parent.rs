//! Context of a sampled request, as events carry it.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use super::TRACER;

/// Context of a sampled request, to which other spans belong.
#[derive(Debug, Clone)]
pub struct Parent(pub(super) SpanContext);

/// Returns the context of a `traceparent`, if traces are on and the request is sampled.
pub fn parent(traceparent: Option<&str>) -> Option<Parent> {
    TRACER.get()?;
    parse(traceparent?).filter(SpanContext::is_sampled).map(Parent)
}

/// Parses a `traceparent`, sampled or not.
pub(super) fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut fields = traceparent.split('-').skip(1);
    let trace_id = TraceId::from_hex(fields.next()?).ok()?;
    let span_id = SpanId::from_hex(fields.next()?).ok()?;
    // Only the lowest bits are defined (Trace Context, section 3.2.2.5).
    let flags = TraceFlags::new(u8::from_str_radix(fields.next()?, 16).ok()?);
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// Returns the `traceparent` of a context (Trace Context, section 3.2).
pub(super) fn format(context: &SpanContext) -> String {
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags.to_u8())
}
