//! `GET /v1/accounts/{id}/balances`: closing balances over time, for charts.

use axum::Json;
use axum::http::HeaderMap;
use chrono::{DateTime, Datelike, Days, Months, NaiveTime, TimeDelta, Timelike, Utc};
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::problem::Problem;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::documented::{Responses, Wait, account_problems};
use super::entries::Order;
use super::{AppState, problems};
use crate::store::history::effective;
use crate::store::scope::Scope;
use crate::store::{accounts, history};

/// Maximum number of buckets in an answer.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Start of the first bucket. By default, and at the earliest, the opening of the account or
    /// its first effective time.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// End of the last bucket. By default, and at the latest, now.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Length of a bucket. Buckets begin at a full hour, day, Monday or month in UTC.
    #[param(inline)]
    #[serde(default)]
    interval: Interval,
    /// Time by which the balances are ordered: of recording, or effective.
    #[param(inline)]
    #[serde(default)]
    order: Order,
    /// Wait until the view has reached this version.
    #[param(minimum = 1)]
    min_version: Option<i64>,
}

/// Length of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Interval {
    Hour,
    #[default]
    Day,
    Week,
    Month,
}

/// Closing balances over time, oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Balances {
    account_id: Uuid,
    /// ISO 4217.
    #[schema(min_length = 3, max_length = 3, examples("EUR"))]
    currency: String,
    interval: Interval,
    data: Vec<Bucket>,
    /// Time at which the first event of the account was quarantined. Later events are missing from
    /// this view. Usually absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = Option<String>,
        format = DateTime,
        examples("2026-11-24T12:00:00.000000Z")
    )]
    quarantined_since: Option<Timestamp>,
}

/// The balance at the end of a bucket of time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BalanceBucket)]
struct Bucket {
    /// Start of the bucket, inclusive.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T00:00:00.000000Z"))]
    from: Timestamp,
    /// End of the bucket, exclusive.
    #[schema(value_type = String, format = DateTime, examples("2026-11-25T00:00:00.000000Z"))]
    to: Timestamp,
    /// Balance at the end of the bucket, in minor units.
    #[schema(examples(125_000))]
    balance: i64,
}

/// Closing balances over time, for charts
///
/// Returns at most 1,000 buckets. The first and the last are cut to the requested period. With a
/// `to` in the past, the answer in recorded order never changes.
#[utoipa::path(get, operation_id = "list_balances", path = "/v1/accounts/{id}/balances",
    tag = "accounts",
    security(("api_key" = ["accounts:read"])),
    params(("id" = Uuid, Path, description = "The account"), Params, Wait),
    responses((status = 200, description = "The balances", body = Balances), Problems))]
pub(super) async fn list(
    state: AppState,
    scope: Scope,
    Path(account_id): Path<Uuid>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Json<Balances>, Problem> {
    if params.from.zip(params.to).is_some_and(|(from, to)| from > to) {
        return Err(Problem::malformed("from", "must not be after `to`"));
    }
    state.until_version(&headers, &scope, account_id, params.min_version).await?;
    let is_over = state.until_over(&headers, account_id, params.to).await?;
    let account = state.views.read(|pool| accounts::find(pool, &scope, account_id)).await?;
    let Some(account) = account else {
        return Err(state.no_account(&scope, account_id).await?);
    };

    let id = account.in_scope();
    let begin = match params.order {
        Order::Recorded => None,
        Order::Effective => state.views.read(|pool| effective::first(pool, id)).await?,
    };
    let begin = begin.map_or(account.opened_at, |begin| begin.min(account.opened_at));
    let from = params.from.map_or(begin, |from| from.max(begin));
    // An event recorded after now shows that the clock of this machine is behind.
    let now = Timestamp::now().max(account.last_activity);
    let to = params.to.map_or(now, |to| if is_over { to } else { to.min(now) });
    let edges = edges(from, to, params.interval)?;
    let ends = edges.get(1..).unwrap_or_default();
    let balances = match params.order {
        Order::Recorded => state.views.read(|pool| history::balances(pool, id, ends)).await?,
        Order::Effective => {
            let known = account.state.version;
            state.views.read(|pool| effective::balances(pool, id, known, ends)).await?
        }
    };
    let data = edges
        .iter()
        .zip(ends)
        .zip(balances)
        .map(|((from, to), balance)| Bucket { from: *from, to: *to, balance })
        .collect();
    Ok(Json(Balances {
        account_id,
        currency: account.currency,
        interval: params.interval,
        data,
        quarantined_since: account.quarantined_since,
    }))
}

/// Returns the edges of the buckets; none if `from..to` is empty.
fn edges(from: Timestamp, to: Timestamp, interval: Interval) -> Result<Vec<Timestamp>, Problem> {
    let mut edges = vec![from];
    let mut next = interval.after(from.to_utc());
    while let Some(moment) = next.filter(|moment| *moment < to.to_utc()) {
        edges.extend(Timestamp::from_micros(moment.timestamp_micros()));
        // The loop stops at the limit, because a long period has any number of intervals.
        if edges.len() > MOST {
            return Err(Problem::malformed(
                "interval",
                format!("gives more than {MOST} buckets from `from` to `to`"),
            ));
        }
        next = interval.after(moment);
    }
    if from >= to {
        return Ok(Vec::new());
    }
    edges.push(to);
    Ok(edges)
}

impl Interval {
    /// Returns the start of the next bucket.
    fn after(self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let midnight = moment.with_time(NaiveTime::MIN).single()?;
        match self {
            Self::Hour => {
                midnight.checked_add_signed(TimeDelta::hours(i64::from(moment.hour()) + 1))
            }
            Self::Day => midnight.checked_add_days(Days::new(1)),
            Self::Week => midnight.checked_add_days(Days::new(
                7 - u64::from(moment.weekday().num_days_from_monday()),
            )),
            Self::Month => midnight.with_day(1)?.checked_add_months(Months::new(1)),
        }
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        account_problems([problems::log_unavailable()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(from: &str, to: &str, interval: Interval) -> Vec<String> {
        let edges = edges(from.parse().unwrap(), to.parse().unwrap(), interval).unwrap();
        edges.iter().map(|edge| edge.to_string()[..16].to_owned()).collect()
    }

    #[test]
    fn buckets_begin_at_full_units_and_are_cut_at_both_ends() {
        let (from, to) = ("2026-11-24T22:30:00Z", "2026-12-02T01:00:00Z");
        assert_eq!(
            moments(from, to, Interval::Week),
            ["2026-11-24T22:30", "2026-11-30T00:00", "2026-12-02T01:00"]
        );
        assert_eq!(
            moments(from, to, Interval::Month),
            ["2026-11-24T22:30", "2026-12-01T00:00", "2026-12-02T01:00"]
        );
        assert_eq!(
            moments(from, "2026-11-25T00:00:00Z", Interval::Hour),
            ["2026-11-24T22:30", "2026-11-24T23:00", "2026-11-25T00:00"]
        );
        assert_eq!(moments(from, from, Interval::Day), [""; 0]);
        let century =
            edges("1900-01-01T00:00:00Z".parse().unwrap(), to.parse().unwrap(), Interval::Day);
        assert!(century.unwrap_err().detail.contains("1000 buckets"));
    }
}
