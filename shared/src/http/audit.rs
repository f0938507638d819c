//! `GET /admin/audit`: calls of operators. Also the recording of these calls.

use std::net::IpAddr;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bounded::QueryInt;
use super::cursor::{self, List};
use super::documented::{Responses, responses};
use super::extract::Query;
use super::gate::{Access, Caller, Gate};
use super::page::{cut, read_number, write_number};
use super::problem::Problem;
use crate::audit::{AuditRow, AuditTrail, AuditedCall};
use crate::health::Health;
use crate::schema::Schema;
use crate::shutdown::Tasks;
use crate::timestamp::Timestamp;

/// Status of a call whose client left before the response, as web servers write it.
const NO_RESPONSE: u16 = 499;
const DEFAULT_LIMIT: i64 = 50;
const LARGEST_LIMIT: i64 = 200;

/// Address of a connection's other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Call that is recorded with its response, or when its client leaves before the response.
pub(super) struct Pending {
    trail: AuditTrail,
    call: AuditedCall,
    /// False if the request has no valid credentials.
    has_caller: bool,
}

impl Pending {
    /// Returns the call, if the trail has calls of its operation. The gate must have checked the
    /// request, which then has its caller.
    pub(super) fn of(gate: &Gate, request: &Request, request_id: &HeaderValue) -> Option<Self> {
        let (trail, operation) = gate.audited(request)?;
        let caller = request.extensions().get::<Caller>();
        let call = AuditedCall {
            at: Timestamp::now(),
            principal: caller.and_then(Caller::actor).map(str::to_owned),
            operation: operation.to_owned(),
            path: request.uri().path().to_owned(),
            status: NO_RESPONSE,
            request_id: request_id.to_str().unwrap_or_default().to_owned(),
            peer: request.extensions().get::<Peer>().map(|Peer(address)| *address),
        };
        Some(Self { trail: trail.clone(), call, has_caller: caller.is_some() })
    }

    /// Records the call with its response.
    pub(super) fn record(mut self, status: StatusCode) {
        self.call.status = status.as_u16();
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.call.at = Timestamp::now();
        if self.has_caller {
            self.trail.record(self.call.clone());
        } else {
            AuditTrail::record_stranger(&self.call);
        }
    }
}

/// Starts the audit trail of a service in its database. Returns the route that reads it.
pub fn start(
    schema: &Schema,
    database: &PgConnectOptions,
    access: &mut Access,
    tasks: &mut Tasks,
    health: &Health,
) -> OpenApiRouter {
    let (trail, writer) = AuditTrail::new(schema.name, database);
    access.audit = Some(trail.clone());
    tasks.spawn("the audit trail", writer.run(health.clone(), tasks.shutdown()));
    OpenApiRouter::new().routes(routes!(list)).with_state(trail)
}

/// Call of an operator.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AuditedCall)]
struct CallView {
    /// Number of the call, ascending with gaps.
    #[schema(minimum = 1, examples(17))]
    id: i64,
    /// Time of the response.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    called_at: Timestamp,
    /// Principal; null without authentication.
    #[schema(examples("ada"))]
    principal: Option<String>,
    /// Operation, as in this document.
    #[schema(examples("start_replay"))]
    operation: String,
    /// Path of the request, without its query.
    #[schema(examples("/admin/replays"))]
    path: String,
    /// Status of the response; 499 if the client left before it, which does not stop every
    /// operation.
    #[schema(minimum = 100, maximum = 599, examples(202))]
    status: i16,
    /// `X-Request-Id` of the response.
    #[schema(examples("4f1c0a44-7c58-4a3e-9d0b-5a8f3c1e2b70"))]
    request_id: String,
    /// Address of the client, or of its proxy; null if unknown.
    #[schema(examples("10.0.0.7"))]
    peer: Option<String>,
}

impl From<AuditRow> for CallView {
    fn from(row: AuditRow) -> Self {
        let AuditRow { audit_id, called_at, principal, operation, path, status, request_id, peer } =
            row;
        Self { id: audit_id, called_at, principal, operation, path, status, request_id, peer }
    }
}

/// Calls of operators, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AuditPage {
    data: Vec<CallView>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// True if there is a next page.
    has_more: bool,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Params {
    /// Maximum number of calls.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<QueryInt<1, LARGEST_LIMIT>>,
    /// `next_cursor` of the previous page.
    #[param(pattern = "^[0-7][0-9a-f]{15}-[0-9a-f]{16}$")]
    cursor: Option<String>,
}

/// List the calls of operators
///
/// Calls of the operations that need `ops:replay`, `ops:quarantine`, `ops:verify` or `ops:restore`,
/// permitted or not, newest first. Calls without valid credentials are only in the log of the
/// service.
#[utoipa::path(get, operation_id = "list_audit", path = "/admin/audit", tag = "operations",
    security(("api_key" = ["ops:read"])),
    params(Params),
    responses((status = 200, description = "The page", body = AuditPage), Problems))]
async fn list(
    State(trail): State<AuditTrail>,
    Query(params): Query<Params>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = params.limit.map_or(DEFAULT_LIMIT, QueryInt::get);
    let pages = List::of("audit", &());
    let place = |cursor: &str| pages.place(cursor, read_number);
    let before = params.cursor.as_deref().map(place).transpose()?;
    let mut found = trail.newest(before, limit + 1).await?;
    let has_more = cut(&mut found, limit);
    let last = found.last().filter(|_| has_more);
    let next_cursor = last.map(|row| pages.cursor(write_number(row.audit_id)));
    let data = found.into_iter().map(CallView::from).collect();
    Ok(Json(AuditPage { data, next_cursor, has_more }))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        responses([
            Problem::malformed("limit", "must be a whole number from 1 to 200"),
            cursor::unreadable(),
            Problem::reads_overloaded(),
            Problem::store_unavailable("Postgres does not answer in time"),
        ])
    }
}
