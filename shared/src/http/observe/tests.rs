use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;

use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::health::Health;
use crate::http::app;
use crate::http::gate::Access;

const TRACE: &str = "5bf92f3577b34da6a3ce929d0e0e4736";

/// Log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap()
    }
}

#[utoipa::path(get, operation_id = "it", path = "/it", security(("api_key" = ["ops:read"])),
    responses())]
async fn it() {
    tracing::warn!("something");
}

fn router() -> Router {
    let routes = OpenApiRouter::new().routes(routes!(it));
    app("test", routes, Health::new("test"), Access::unrestricted()).unwrap()
}

async fn ask(router: &Router, traceparent: Option<&str>) {
    let mut request = Request::get("/it").header("host", "localhost");
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
}

/// An unsampled request, whose sender still wants to find its log lines.
#[tokio::test]
async fn log_lines_of_a_request_name_its_trace() {
    let (log, router) = (Log::default(), router());
    let sender = format!("00-{TRACE}-00f067aa0ba902b7-00");
    let json = tracing_subscriber::fmt().json().flatten_event(true).with_writer(log.clone());
    {
        let _logging = tracing::subscriber::set_default(json.finish());
        ask(&router, Some(&sender)).await;
        let line: Value = serde_json::from_str(&log.take()).unwrap();
        assert_eq!(
            (&line["message"], &line["span"]["trace_id"]),
            (&"something".into(), &TRACE.into())
        );
        ask(&router, None).await;
        let line: Value = serde_json::from_str(&log.take()).unwrap();
        assert_eq!((&line["span"]["route"], line["span"].get("trace_id")), (&"/it".into(), None));
    }
    let text = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone());
    let _logging = tracing::subscriber::set_default(text.finish());
    ask(&router, Some(&sender)).await;
    let line = log.take();
    assert!(line.contains(&format!("trace_id=\"{TRACE}\"")), "{line}");
    for malformed in [TRACE, "00-0-0-01", &sender.to_uppercase().replace("00F", "00G")] {
        ask(&router, Some(malformed)).await;
        let line = log.take();
        assert!(line.contains("something") && !line.contains("trace_id"), "{line}");
    }
}
