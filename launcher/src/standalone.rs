//! The embedded Postgres or the broker as a process of its own, for machines without containers.

use std::io::Write;
use std::time::Duration;

use embedded_postgres::{Cluster, Settings};
use in_process_broker::Broker;
use passbook_shared::shutdown;

use crate::cli::{BrokerOptions, End, PostgresOptions};

/// Runs the embedded Postgres until a signal.
///
/// # Errors
/// [`Cluster::start`] fails, or the server ends by itself.
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
    print(&urls.join("\n"))?;
    tokio::select! {
        end = end(&options.end) => end?,
        status = cluster.ended() => {
            anyhow::bail!("the embedded Postgres ended ({}); {}", status?, cluster.log_tail())
        }
    }
    cluster.stop().await
}

/// Runs the in-process broker until a signal.
///
/// # Errors
/// [`Broker::start`] fails.
pub async fn broker(options: BrokerOptions) -> anyhow::Result<()> {
    let broker = Broker::start(&options.topics, options.partitions.get(), options.port)?;
    print(broker.address())?;
    end(&options.end).await
}

/// Prints lines for the parent process.
fn print(lines: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{lines}")?;
    out.flush()
}

async fn end(end: &End) -> anyhow::Result<()> {
    let signal = shutdown::on_signal(Duration::ZERO)?.shutdown;
    if end.until_stdin_closes {
        let closed = signal.clone();
        // A blocking read on the runtime would delay its shutdown after a signal.
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            closed.cancel();
        });
    }
    signal.cancelled().await;
    Ok(())
}
