//! The Postgres that all tests share.

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{GenericImage, ImageExt};
use tokio::sync::OnceCell;

use super::{containers, directory, first_lines, share};
use crate::process::{Process, eventually, free_address};

/// Returns a superuser's URL of the shared Postgres, without the name of a database.
pub(crate) async fn postgres() -> anyhow::Result<&'static str> {
    static SHARED: OnceCell<String> = OnceCell::const_new();
    let start =
        async || if containers()? { postgres_container().await } else { embedded_postgres().await };
    SHARED.get_or_try_init(start).await.map(String::as_str)
}

async fn postgres_container() -> anyhow::Result<String> {
    let address = free_address()?;
    let image = GenericImage::new("postgres", "18")
        .with_mapped_port(address.port(), 5432.tcp())
        .with_env_var("POSTGRES_PASSWORD", "passbook")
        // Tests kill processes, not machines: what the kernel has buffered survives.
        .with_cmd([
            "postgres",
            "-c",
            "max_connections=300",
            "-c",
            "max_wal_size=4GB",
            "-c",
            "fsync=off",
        ]);
    let container = image.start().await.context("the Postgres container does not start")?;
    let url = format!("postgres://postgres:passbook@{address}");
    eventually("Postgres accepts connections", async || {
        Ok(PgConnection::connect(&format!("{url}/postgres")).await?.close().await?)
    })
    .await?;
    share(container)?;
    Ok(url)
}

async fn embedded_postgres() -> anyhow::Result<String> {
    let directory = directory()?;
    let data_dir = directory.join("postgres").display().to_string();
    let arguments =
        ["postgres", "--until-stdin-closes", "--data-dir", &data_dir].map(str::to_owned);
    let mut process = Process::start(&arguments, &directory.join("postgres.out"))?;
    let admin = first_lines(&mut process, 5).await?.pop().unwrap_or_default();
    // The end of this process closes its input, which stops it.
    std::mem::forget(process);
    admin
        .strip_suffix("/postgres")
        .map(str::to_owned)
        .with_context(|| format!("`{admin}` is not a URL"))
}
