use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

use super::*;

const SENDER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Exporter that keeps the spans of all tests of this process.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl opentelemetry_sdk::trace::SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

/// Turns traces on for this process; only requests with a sampled parent are sampled.
fn kept() -> &'static Kept {
    static KEPT: OnceLock<Kept> = OnceLock::new();
    KEPT.get_or_init(|| {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone());
        std::mem::forget(install(sampled(provider, 0.0).build()));
        kept
    })
}

impl Kept {
    fn named(&self, name: &str) -> Vec<SpanData> {
        self.0.lock().iter().filter(|span| span.name == name).cloned().collect()
    }
}

fn context(traceparent: &str) -> SpanContext {
    parent::parse(traceparent).unwrap()
}

fn linked(span: &SpanData) -> Vec<SpanId> {
    span.links.iter().map(|link| link.span_context.span_id()).collect()
}

#[test]
fn a_traceparent_is_read_and_written() {
    for text in [SENDER, OTHER, UNSAMPLED] {
        assert_eq!(parent::format(&context(text)), text);
    }
    assert_eq!(trace_id(SENDER), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    for text in ["", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736", &SENDER.replace('4', "x")] {
        assert_eq!(parent::parse(text), None, "{text}");
    }
    let later_version = format!("{}9", &SENDER.replacen("00-", "cc-", 1)[..SENDER.len() - 1]);
    assert!(context(&later_version).is_sampled(), "other bits of the flags are ignored");
}

#[test]
fn only_a_sampled_request_has_a_span() {
    let kept = kept();
    for sender in [None, Some(UNSAMPLED), Some("nonsense")] {
        assert!(RequestSpan::begin("only", || sender).is_none(), "{sender:?}");
        assert!(parent(sender).is_none(), "{sender:?}");
    }
    let span = RequestSpan::begin("only", || Some(SENDER)).unwrap();
    let own = context(&span.traceparent);
    assert_eq!(own.trace_id(), context(SENDER).trace_id());
    assert!(own.is_sampled() && own.span_id() != context(SENDER).span_id());
    span.end("GET", "/only", 503);
    let [span] = &kept.named("GET /only")[..] else { panic!("not one span") };
    assert_eq!(span.parent_span_id, context(SENDER).span_id());
    assert_eq!((&span.span_kind, &span.status), (&SpanKind::Server, &Status::error("")));
}

#[test]
fn a_batch_and_its_members_link_to_each_other() {
    let kept = kept();
    let member =
        |text: &str| Some(Member { parent: parent(Some(text))?, waited: Duration::from_secs(1) });
    let began = SystemTime::now();
    let members = [UNSAMPLED, SENDER, OTHER].into_iter().filter_map(member);
    let mut batch = Batch::begin("linked", Kind::Send, members).unwrap();
    batch.fail(&"Kafka is away");
    drop(batch);
    let [batch] = &kept.named("linked batch")[..] else { panic!("not one batch") };
    let requests = [context(SENDER), context(OTHER)];
    assert_eq!(linked(batch), requests.each_ref().map(SpanContext::span_id));
    assert_eq!(batch.parent_span_id, requests[0].span_id(), "the first sampled member's trace");
    assert_eq!(batch.status, Status::error("Kafka is away"));
    let members = kept.named("linked");
    assert_eq!(members.len(), 2);
    for (member, request) in members.iter().zip(&requests) {
        assert_eq!(member.span_context.trace_id(), request.trace_id());
        assert_eq!(member.parent_span_id, request.span_id());
        assert_eq!(linked(member), [batch.span_context.span_id()]);
        assert_eq!(member.span_kind, SpanKind::Producer);
        assert!(member.start_time < began && member.end_time >= began, "it has waited");
    }
}

#[test]
fn a_batch_without_a_sampled_member_has_no_span() {
    kept();
    let members = [UNSAMPLED].into_iter().filter_map(|text| parent(Some(text)));
    let members = members.map(|parent| Member { parent, waited: Duration::ZERO });
    assert!(Batch::begin("unsampled", Kind::Process, members).is_none());
}

#[test]
fn a_ratio_is_from_0_to_1() {
    assert_eq!([ratio_of("0").unwrap(), ratio_of(" 0.25 ").unwrap()], [0.0, 0.25]);
    for text in ["1.5", "-1", "NaN", "all"] {
        let said = ratio_of(text).unwrap_err().to_string();
        assert!(said.starts_with("OTEL_TRACES_SAMPLER_ARG"), "{said}");
    }
}
