//! `passbook` as a person runs it: both services with an embedded Postgres and broker.

mod launched;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub(crate) use self::launched::Launched;
use self::launched::launch;
use crate::client::Client;
use crate::infrastructure::{directory, first_lines};
use crate::process::{Process, eventually, free_address};

fn data_dir(name: &str) -> anyhow::Result<PathBuf> {
    Ok(directory()?.join(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_keeps_its_data_over_a_kill_and_a_stop() -> anyhow::Result<()> {
    let data_dir = data_dir("launcher")?;
    let mut first = Launched::start(&data_dir).await?;
    let client = Client::new(&[first.command])?;
    let account = client.open().await?;
    client.deposit(account, None, 25_000).await?;
    first.shows(account, 2, 1_025_000).await?;

    let mut other = launch(&data_dir, free_address()?, free_address()?)?;
    ensure!(!other.ended().await?.success(), "two launchers share a data directory");
    ensure!(other.output().contains("in use by another passbook"), "{}", other.output());

    client.deposit(account, None, 1).await?;
    first.process.kill().await?;
    // The killed launcher's Postgres still runs. The next launcher stops it.
    let mut second = Launched::start(&data_dir).await?;
    second.shows(account, 3, 1_025_001).await?;
    Client::new(&[second.command])?.deposit(account, None, 1).await?;
    second.shows(account, 4, 1_025_002).await?;
    second.process.stop().await?;
    ensure!(
        !data_dir.join("postgres/data/postmaster.pid").exists(),
        "Postgres still runs after the stop"
    );

    let mut third = Launched::start(&data_dir).await?;
    third.shows(account, 4, 1_025_002).await?;
    third.process.stop().await
}

/// Earlier versions had one role for the views, which also owned them.
#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_gives_the_views_of_an_earlier_version_to_their_owner() -> anyhow::Result<()> {
    let data_dir = data_dir("launcher_owner")?;
    let mut first = Launched::start(&data_dir).await?;
    let client = Client::new(&[first.command])?;
    let account = client.open().await?;
    first.shows(account, 1, 1_000_000).await?;
    first.process.stop().await?;

    let arguments = ["postgres".to_owned(), format!("--data-dir={}", data_dir.display())];
    let output = data_dir.with_extension("postgres.out");
    let mut postgres = Process::start(&arguments, &output)?;
    let admin = first_lines(&mut postgres, 5).await?.pop().context("no line with the URL")?;
    let admin =
        admin.strip_suffix("/postgres").context("the URL is of another database")?.to_owned();
    let mut views = PgConnection::connect(&format!("{admin}/passbook_projection")).await?;
    sqlx::raw_sql(
        "ALTER DATABASE passbook_projection OWNER TO passbook_projection;
         REASSIGN OWNED BY passbook_projection_owner TO passbook_projection;
         DROP OWNED BY passbook_projection_owner;
         DROP ROLE passbook_projection_owner;",
    )
    .execute(&mut views)
    .await?;
    views.close().await?;
    postgres.stop().await?;
    let secrets = data_dir.join("postgres-secrets.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&secrets)?)?;
    kept.as_object_mut().context("no object")?.remove("projection_owner").context("no password")?;
    std::fs::write(&secrets, serde_json::to_vec(&kept)?)?;

    let mut second = Launched::start(&data_dir).await?;
    Client::new(&[second.command])?.deposit(account, None, 1).await?;
    second.shows(account, 2, 1_000_001).await?;
    let secrets: serde_json::Value = serde_json::from_slice(&std::fs::read(&secrets)?)?;
    let password = secrets["projection"].as_str().context("no password")?;
    let pid = std::fs::read_to_string(data_dir.join("postgres/data/postmaster.pid"))?;
    let port = pid.lines().nth(3).context("no port")?;
    let role =
        format!("postgres://passbook_projection:{password}@127.0.0.1:{port}/passbook_projection");
    let mut role = PgConnection::connect(&role).await?;
    let owned: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole")
            .fetch_one(&mut role)
            .await?;
    ensure!(owned == 0, "the role of the service owns {owned} tables and indexes");
    second.process.stop().await
}

/// Stops launchers while they start, when they are idle, and under load.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_launcher_ends_soon_and_in_order() -> anyhow::Result<()> {
    let data_dir = data_dir("launcher_ends")?;
    for turn in 0..12_u64 {
        let signal = if turn % 2 == 0 { Signal::SIGINT } else { Signal::SIGTERM };
        let (command, projection) = (free_address()?, free_address()?);
        let mut load = JoinSet::new();
        let mut launched = if turn % 3 == 0 {
            let process = launch(&data_dir, command, projection)?;
            let launched = Launched { process, data_dir: data_dir.clone(), command, projection };
            launched.has_begun().await?;
            // Another moment of the start each time. A start takes a second or two.
            sleep(Duration::from_millis(turn * 150)).await;
            launched
        } else {
            Launched::start(&data_dir).await?
        };
        if turn % 3 == 2 {
            let client = Client::new(&[launched.command])?;
            let account = client.open().await?;
            for _ in 0..16 {
                let client = client.clone();
                load.spawn(async move { while client.deposit(account, None, 1).await.is_ok() {} });
            }
            // Stopped in the middle of it.
            let deposited = async || {
                let version =
                    client.json(&format!("/v1/accounts/{account}/state")).await?["version"].clone();
                ensure!(version.as_i64() > Some(16), "version {version}");
                Ok(())
            };
            eventually("every client has deposited", deposited).await?;
        }
        launched.process.signal(signal)?;
        let status = timeout(Duration::from_secs(15), launched.process.ended()).await;
        let output = launched.process.output();
        let status = status
            .with_context(|| format!("turn {turn}: still running after {signal}: {output}"))??;
        ensure!(status.success(), "turn {turn}, {signal}: {status}: {output}");
        ensure!(
            ["ERROR", "are aborted", "is abandoned"].iter().all(|word| !output.contains(word)),
            "turn {turn}, {signal}: {output}"
        );
        ensure!(
            !data_dir.join("postgres/data/postmaster.pid").exists(),
            "turn {turn}: Postgres still runs"
        );
        load.join_all().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_names_the_option_of_a_port_in_use() -> anyhow::Result<()> {
    let in_use = TcpListener::bind(free_address()?)?;
    let mut process = launch(&data_dir("port_in_use")?, in_use.local_addr()?, free_address()?)?;
    ensure!(!process.ended().await?.success(), "it started on a port in use");
    ensure!(process.output().contains("--command-addr"), "{}", process.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_refuses_the_data_of_another_postgres() -> anyhow::Result<()> {
    let data_dir = data_dir("another_version")?;
    let data = data_dir.join("postgres/data");
    std::fs::create_dir_all(&data)?;
    std::fs::write(data.join("PG_VERSION"), "9\n")?;
    let mut process = launch(&data_dir, free_address()?, free_address()?)?;
    ensure!(!process.ended().await?.success(), "it started");
    let output = process.output();
    ensure!(output.contains("made by Postgres 9") && output.contains("--data-dir"), "{output}");
    Ok(())
}
