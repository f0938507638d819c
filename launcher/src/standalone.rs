//! One part on its own, for tests and benchmarks on a machine without containers.

use std::io::Write;

use embedded_postgres::{Cluster, Settings};
use in_process_broker::Broker;
use passbook_shared::shutdown;

use crate::cli::{BrokerOptions, End, PostgresOptions};

/// Runs the embedded Postgres until it is told to end.
///
/// # Errors
/// As [`Cluster::start`]; or the server ends by itself.
pub async fn postgres(options: PostgresOptions) -> anyhow::Result<()> {
    let settings = Settings {
        data_dir: options.cluster.data_dir,
        binaries: options.cluster.postgres_bin,
        port: options.port,
    };
    let mut cluster = Cluster::start(&settings).await?;
    let urls = [
        cluster.command_url(),
        cluster.owner_url(),
        cluster.projection_url(),
        cluster.projection_owner_url(),
        cluster.admin_url("postgres"),
    ];
    say(&urls.join("\n"))?;
    tokio::select! {
        end = end(&options.end) => end?,
        status = cluster.ended() => anyhow::bail!("the embedded Postgres ended ({}); {}", status?, cluster.last_words()),
    }
    cluster.stop().await
}

/// Runs the in-process broker until it is told to end.
///
/// # Errors
/// As [`Broker::start`].
pub async fn broker(options: BrokerOptions) -> anyhow::Result<()> {
    let broker = Broker::start(&options.topics, options.partitions, options.port)?;
    say(broker.address())?;
    end(&options.end).await
}

/// For the program that started us, which reads these lines.
fn say(lines: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{lines}")?;
    out.flush()
}

async fn end(end: &End) -> anyhow::Result<()> {
    let signal = shutdown::on_signal()?;
    if end.until_stdin_closes {
        let closed = signal.clone();
        // A thread of its own: a read that blocks would keep the runtime from ending after a signal.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            closed.cancel();
        });
    }
    signal.cancelled().await;
    Ok(())
}
