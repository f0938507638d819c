//! Hostile environments: variables of other programs, a read-only TMPDIR, options with secrets. A
//! new launcher works, or names the variable at once.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;
use tokio::time::Instant;

use crate::client::Client;
use crate::infrastructure::directory;
use crate::launcher::Launched;
use crate::process::{Process, free_address};
use crate::verify;

/// Longest time until a start that cannot succeed reports why.
const SOON: Duration = Duration::from_secs(5);

/// Variables that a shell may have set for other programs.
const OTHERS: [(&str, &str); 20] = [
    ("http_proxy", "http://127.0.0.1:1"),
    ("https_proxy", "http://127.0.0.1:1"),
    ("HTTP_PROXY", "http://127.0.0.1:1"),
    ("HTTPS_PROXY", "http://127.0.0.1:1"),
    ("ALL_PROXY", "socks5://127.0.0.1:1"),
    ("all_proxy", "socks5://127.0.0.1:1"),
    ("PGHOST", "/nowhere"),
    ("PGHOSTADDR", "192.0.2.1"),
    ("PGPORT", "1"),
    ("PGUSER", "somebody"),
    ("PGPASSWORD", "something"),
    ("PGDATABASE", "elsewhere"),
    ("PGSSLMODE", "require"),
    ("PGSSLROOTCERT", "/nowhere.pem"),
    ("PGOPTIONS", "-c default_transaction_read_only=on -c search_path=nowhere"),
    ("PGPASSFILE", "/nowhere"),
    ("PGSERVICE", "nowhere"),
    ("LANG", "xx"),
    ("LC_ALL", "xx"),
    ("TMPDIR", "/proc"),
];

fn data_dir(name: &str) -> anyhow::Result<PathBuf> {
    Ok(directory()?.join(name))
}

/// Sets all variables in one start: a start takes seconds, and a variable that breaks it breaks
/// this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_launcher_ignores_the_variables_of_other_programs() -> anyhow::Result<()> {
    let mut launched = Launched::start_with(&data_dir("hostile")?, &[], &OTHERS, &["HOME"]).await?;
    let client = Client::new(&[launched.command])?;
    let account = client.open().await?;
    client.deposit(account, None, 1).await?;
    // The view comes through the topic, the verification through the feed.
    launched.shows(account, 2, 1_000_001).await?;
    verify::finds_nothing(&Client::new(&[launched.projection])?).await?;
    let output = launched.process.output();
    ensure!(
        output.contains("PGSSLMODE") && output.contains("ignored"),
        "the ignored variable is not named: {output}"
    );
    ensure!(!output.contains('\u{1b}'), "a terminal escape in a file: {output}");
    launched.process.stop().await
}

/// Checks that only the owner can read Postgres's log, and that a repeat adds no line to it.
#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_postgres_keeps_keys_out_of_its_log() -> anyhow::Result<()> {
    let data_dir = data_dir("quiet_log")?;
    let mut launched = Launched::start(&data_dir).await?;
    let client = Client::new(&[launched.command])?;
    let account = client.open().await?;
    let log = data_dir.join("postgres.log");
    let path = format!("/v1/accounts/{account}/deposits");
    let mut sizes = Vec::new();
    for _ in 0..5 {
        client
            .post(&path, Some("secret-order-4711"), &json!({"amount": 1}))
            .await?
            .error_for_status()?;
        sizes.push(std::fs::metadata(&log)?.len());
    }
    ensure!(sizes.first() == sizes.last(), "a repeat added a line to the log: {sizes:?}");
    let text = std::fs::read_to_string(&log)?;
    ensure!(!text.contains("secret-order-4711"), "{text}");
    ensure!(
        std::fs::metadata(&log)?.permissions().mode() & 0o777 == 0o600,
        "others can read the log"
    );
    let mode = std::fs::metadata(&data_dir)?.permissions().mode() & 0o777;
    ensure!(mode & 0o066 == 0, "others can list the data directory: {mode:o}");
    launched.process.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_variable_is_named_within_5_s() -> anyhow::Result<()> {
    let file = directory()?.join("options");
    std::fs::write(&file, "# secrets\nssl.ca.location=/kretkret\nlinger.ms=kretkret\n")?;
    let file = file.display().to_string();
    for (variable, value, words) in [
        ("RUST_LOG", "info,passbook=louder", "RUST_LOG"),
        ("COMMAND_ADDR", "nonsense", "command-addr"),
        ("COMMAND_OPS_ADDR", "nonsense", "command-ops-addr"),
        ("PROJECTION_ADDR", "no-such-host.invalid:80", "projection-addr"),
        ("DATABASE_URL", "mysql://ada:kretkret@localhost/x", "database-url"),
        ("KAFKA_OPTIONS", "sasl.username=ada,kretkret", "kafka-options"),
        ("KAFKA_OPTIONS", "sasl.pasword=kretkret", "`sasl.pasword`"),
        ("KAFKA_OPTIONS", "linger.ms=kretkret", "`linger.ms`"),
        ("KAFKA_OPTIONS_FILE", file.as_str(), "KAFKA_OPTIONS_FILE"),
        ("KAFKA_OPTIONS_FILE", "/nowhere", "kafka-options-file"),
    ] {
        let (command, projection) = (free_address()?.to_string(), free_address()?.to_string());
        let addresses =
            [("COMMAND_ADDR", command.as_str()), ("PROJECTION_ADDR", projection.as_str())];
        let others = addresses.into_iter().filter(|(name, _)| *name != variable);
        let set: Vec<(&str, &str)> = others.chain([(variable, value)]).collect();
        let data_dir = format!("--data-dir={}", data_dir("named")?.display());
        let log = directory()?.join(format!("named-{command}.out"));
        let began = Instant::now();
        let mut process = Process::start_with(&[data_dir], &set, &[], &log)?;
        let status = process.ended().await?;
        let output = process.output();
        ensure!(!status.success(), "{variable}={value} is accepted: {output}");
        ensure!(output.contains(words), "{variable}={value} is not named: {output}");
        ensure!(!output.contains("kretkret"), "the value of {variable} is printed: {output}");
        let took = began.elapsed();
        ensure!(took < SOON, "{variable}={value}: named after {took:?}");
        eprintln!("{variable}: named after {took:?}");
    }
    Ok(())
}

/// Reads the topic at the chosen port, as another program would.
#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_the_broker_can_be_chosen_and_a_start_reports_its_steps() -> anyhow::Result<()>
{
    let port = free_address()?.port();
    let further = [format!("--broker-port={port}")];
    let mut launched = Launched::start_with(&data_dir("broker_port")?, &further, &[], &[]).await?;
    let output = launched.process.output();
    for step in
        ["database (embedded Postgres", "tables", "broker (in this process)", "services", " s\n"]
    {
        ensure!(output.contains(step), "no `{step}`: {output}");
    }
    let account = Client::new(&[launched.command])?.open().await?.to_string();
    let read = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", format!("127.0.0.1:{port}"))
            .set("group.id", "another-program")
            .set("auto.offset.reset", "earliest")
            .create()?;
        consumer.subscribe(&["passbook.events"])?;
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100))
                && record.key() == Some(account.as_bytes())
            {
                return Ok(());
            }
        }
        anyhow::bail!("the event is not at port {port}")
    });
    read.await??;
    launched.process.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_be_a_host_name() -> anyhow::Result<()> {
    let port = free_address()?.port();
    let name = format!("--command-addr=localhost:{port}");
    let mut launched = Launched::start_with(&data_dir("by_name")?, &[name], &[], &[]).await?;
    let client = Client::new(&[([127, 0, 0, 1], port).into()])?;
    client.open().await?;
    launched.process.stop().await
}
