//! Traces by OpenTelemetry, off unless an endpoint is configured. Only sampled requests have spans:
//! for all others, and if traces are off, each call is one branch.
//!
//! The standard variables of OpenTelemetry configure the exporter and the sampler.

mod batch;
mod parent;
mod request;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, TracerProviderBuilder};

pub use batch::{Batch, Kind, Member};
pub use parent::{Parent, parent};
pub use request::{RequestSpan, trace_id};

/// Variables of which one turns traces on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// Share of sampled requests without a parent, if no variable sets it.
const RATIO: f64 = 0.01;
/// Time limit for exporting the last spans.
const FLUSH: Duration = Duration::from_secs(3);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Exporter of the process's spans. Its drop exports the last ones.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

/// Starts traces if an endpoint is configured. `program` is the name of the process in them, unless
/// `OTEL_SERVICE_NAME` gives another.
///
/// # Errors
/// A variable is invalid.
pub fn start(program: &'static str) -> anyhow::Result<Traces> {
    let is_disabled =
        variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_disabled || !ENDPOINTS.iter().any(|name| variable(name).is_some()) {
        return Ok(Traces(None));
    }
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).build();
    let exporter = exporter.context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    let mut provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
    if variable("OTEL_TRACES_SAMPLER").is_none() {
        let ratio = variable("OTEL_TRACES_SAMPLER_ARG");
        let ratio = ratio.map_or(Ok(RATIO), |text| ratio_of(&text));
        provider = sampled(provider, ratio?);
    }
    let mut resource = Resource::builder();
    if variable("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(program);
    }
    Ok(install(provider.with_resource(resource.build()).build()))
}

#[expect(clippy::disallowed_methods, reason = "OpenTelemetry's own variables, which it reads, too")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn ratio_of(text: &str) -> anyhow::Result<f64> {
    let ratio = text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.with_context(|| format!("OTEL_TRACES_SAMPLER_ARG must be from 0 to 1, not `{text}`"))
}

/// Samples a share of the requests without a parent, and those whose parent is sampled.
fn sampled(provider: TracerProviderBuilder, ratio: f64) -> TracerProviderBuilder {
    let root = Sampler::TraceIdRatioBased(ratio);
    provider.with_sampler(Sampler::ParentBased(Box::new(root)))
}

fn install(provider: SdkTracerProvider) -> Traces {
    // Traces belong to the process: a second start keeps the first tracer.
    let _ = TRACER.set(provider.tracer("passbook"));
    Traces(Some(provider))
}

impl Drop for Traces {
    fn drop(&mut self) {
        let Some(provider) = self.0.take() else { return };
        // On a thread of its own: the exporter's client must not block or end within a runtime.
        let flushing = std::thread::spawn(move || provider.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = flushing.join() {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}
