//! Greeting printed when everything is ready.

use std::io::Write;

use serde_json::json;
use uuid::Uuid;

use super::Options;
use crate::services::{Services, Settings};

/// Prints all addresses, and three commands to try.
pub(super) fn print(
    options: &Options,
    settings: &Settings,
    services: &Services,
) -> std::io::Result<()> {
    let url = |addr| format!("{}://{addr}", services.tls.scheme());
    let [command, projection] = [services.command_addr, services.projection_addr].map(url);
    let kept = match (&options.database_url, &options.projection_database_url) {
        (Some(_), Some(_)) => "in your Postgres".to_owned(),
        _ => format!("in {}", options.cluster.data_dir.display()),
    };
    let (command_ops, projection_ops) = (services.command_ops_addr, services.projection_ops_addr);
    let broker = if options.kafka_brokers.is_some() { "" } else { "  (in this process)" };
    let account = Uuid::new_v4();
    let body = json!({"account_id": account, "owner": "ada", "currency": "EUR"});
    let key = settings.keys.as_ref();
    let key = key.map(|keys| format!("-H @{} ", keys.operator.display())).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\
Passbook is ready. The data is {kept}; Ctrl-C stops it.

  commands  {command}    reference: {command}/docs
  views     {projection}    reference: {projection}/docs
  Kafka     {brokers}, topic {topic}{broker}
  health    http://{command_ops}/health/ready, http://{projection_ops}/health/ready
  metrics   http://{command_ops}/metrics

Open an account, deposit 250.00 EUR, and query it:

  curl {key}--json '{body}' {command}/v1/accounts
  curl {key}--json '{{\"amount\":25000}}' {command}/v1/accounts/{account}/deposits
  curl {key}'{projection}/v1/accounts/{account}?min_version=2'
",
        brokers = settings.kafka_brokers,
        topic = settings.kafka_topic,
    )?;
    out.flush()
}
