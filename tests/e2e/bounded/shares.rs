//! A principal that sends as much as it can, and the requests of another.

use std::sync::atomic::AtomicBool;

use passbook_shared::access::Scopes;
use passbook_shared::access::scope::Role;
use reqwest::StatusCode;
use sqlx::{Connection, PgConnection};

use super::*;
use crate::access::{key, known as is_known};

/// Number of requests of the greedy principal at once.
const AT_ONCE: usize = 120;

/// Requests of a greedy principal, sent again and again until [`Greedy::stop`].
struct Greedy {
    requests: JoinSet<anyhow::Result<Vec<(StatusCode, String)>>>,
    end: Arc<AtomicBool>,
}

impl Greedy {
    /// Starts requests that `request` makes with the principal's client.
    async fn start(
        service: &Service,
        scopes: Scopes,
        request: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder + Clone + Send + 'static,
    ) -> anyhow::Result<Self> {
        let key = key("greedy", scopes)?;
        is_known(service, &key).await?;
        let bearer = format!("Bearer {}", key.text);
        let (client, mut requests) = (reqwest::Client::new(), JoinSet::new());
        let end = Arc::<AtomicBool>::default();
        for _ in 0..AT_ONCE {
            let (client, request, end) = (client.clone(), request.clone(), Arc::clone(&end));
            let bearer = bearer.clone();
            requests.spawn(async move {
                let mut refused = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    let response = request(&client).header("authorization", &bearer).send().await?;
                    if !response.status().is_success() {
                        refused.push((response.status(), response.text().await?));
                    }
                }
                Ok(refused)
            });
        }
        Ok(Self { requests, end })
    }

    /// Stops, and returns the refusals.
    async fn stop(self) -> anyhow::Result<Vec<(StatusCode, String)>> {
        self.end.store(true, Ordering::Relaxed);
        let refused: anyhow::Result<Vec<_>> = self.requests.join_all().await.into_iter().collect();
        Ok(refused?.concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greedy_principal_leaves_room_for_the_commands_of_others() -> anyhow::Result<()> {
    let environment = Environment::new("greedy_commands").await?;
    let mut service = environment.command_with("command", &[("lane-queue", "64".to_owned())])?;
    service.ready().await?;
    let client = service.client()?;
    let account = client.open().await?;
    let url = format!("http://{}/v1/accounts/{account}/deposits", service.addr);
    let greedy = Greedy::start(&service, Role::Teller.scopes(), move |client| {
        client.post(&url).json(&json!({"amount": 1}))
    });
    let greedy = greedy.await?;
    let mut longest = Duration::ZERO;
    for _ in 0..300 {
        let sent = Instant::now();
        let path = format!("/v1/accounts/{account}/deposits");
        let answer = client.post(&path, None, &json!({"amount": 1})).await?;
        ensure!(answer.status() == StatusCode::CREATED, "{}", answer.text().await?);
        longest = longest.max(sent.elapsed());
    }
    let refused = greedy.stop().await?;
    eprintln!("figure: {} refused of the greedy principal; longest {longest:?}", refused.len());
    ensure!(!refused.is_empty(), "the greedy principal was not refused");
    for (status, text) in refused {
        let is_it = status == StatusCode::SERVICE_UNAVAILABLE && text.contains("its share");
        ensure!(is_it, "{status}: {text}");
    }
    Ok(())
}

/// Returns the number of queries that run in the views' database.
async fn running_queries(connection: &mut PgConnection) -> anyhow::Result<i64> {
    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'passbook-projection-queries' AND state = 'active'";
    Ok(sqlx::query_scalar(running).fetch_one(connection).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greedy_principal_leaves_connections_for_the_queries_of_others() -> anyhow::Result<()> {
    let environment = Environment::new("greedy_queries").await?;
    let service = environment.command("command").await?;
    let mut views = environment.projection("projection", &service).await?;
    views.stop().await?;
    views.set("projection-connections", "4");
    views.start()?;
    views.ready().await?;
    let account = service.client()?.open().await?;
    let client = views.client()?;
    client.json(&format!("/v1/accounts/{account}?min_version=1")).await?;
    let url = format!("http://{}/v1/accounts?limit=200", views.addr);
    let greedy = Greedy::start(&views, Role::Reader.scopes(), move |client| client.get(&url));
    let greedy = greedy.await?;
    let mut connection = PgConnection::connect(&environment.projection_database_url).await?;
    let mut most = 0;
    for _ in 0..300 {
        client.json(&format!("/v1/accounts/{account}")).await?;
        most = most.max(running_queries(&mut connection).await?);
    }
    greedy.stop().await?;
    eprintln!("figure: at most {most} queries of the greedy principal at once");
    ensure!((1..=2).contains(&most), "{most} of 4 connections");
    Ok(())
}
