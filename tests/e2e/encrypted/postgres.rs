use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use passbook_shared::tls::testing::Issued;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{authority, files, refuses};
use crate::environment::{Environment, Service};
use crate::infrastructure::{Kafka, directory, first_lines};
use crate::process::{Process, eventually};

/// Longest time until a service ends that waits for nothing.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Embedded Postgres of one test, which gets certificates.
struct Server {
    /// Superuser's URL, without the name of a database.
    url: String,
    _process: Process,
}

impl Server {
    async fn start(name: &str) -> anyhow::Result<Self> {
        let directory = directory()?;
        let data_dir = directory.join(name).display().to_string();
        let arguments =
            ["postgres", "--until-stdin-closes", "--data-dir", &data_dir].map(str::to_owned);
        let log = directory.join(format!("{name}.out"));
        let mut process = Process::start(&arguments, &log)?;
        let admin = first_lines(&mut process, 5).await?.pop().unwrap_or_default();
        let url = admin.strip_suffix("/postgres").context("no URL")?.to_owned();
        Ok(Self { url, _process: process })
    }

    async fn run(&self, statements: &[String]) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&format!("{}/postgres", self.url)).await?;
        for sql in statements {
            sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// Uses a certificate for new connections.
    async fn uses(&self, issued: &Issued) -> anyhow::Result<()> {
        // The server runs as another user, in the directory of its data, with a short PATH.
        let file = |name: &str, pem: &str| {
            format!(
                "COPY (SELECT unnest(string_to_array('{pem}', E'\\n'))) \
                 TO PROGRAM 'umask 077; /bin/cat > {name}'"
            )
        };
        self.run(&[
            file("tls.crt", &issued.certificate),
            file("tls.key", &issued.key),
            "ALTER SYSTEM SET ssl_cert_file = 'tls.crt'".to_owned(),
            "ALTER SYSTEM SET ssl_key_file = 'tls.key'".to_owned(),
            "ALTER SYSTEM SET ssl = on".to_owned(),
            "SELECT pg_reload_conf()".to_owned(),
        ])
        .await
    }

    /// Requires a certificate of a role's clients, which an authority has issued.
    async fn requires_certificates(&self, role: &str, authority: &str) -> anyhow::Result<()> {
        let copied = format!(
            "COPY (SELECT unnest(string_to_array('{authority}', E'\\n'))) \
             TO PROGRAM '/bin/cat > ca.crt'"
        );
        let rule = format!("hostssl all {role} 127.0.0.1/32 scram-sha-256 clientcert=verify-ca");
        self.run(&[
            copied,
            format!("COPY (SELECT 1) TO PROGRAM '/bin/sed -i \"1i {rule}\" pg_hba.conf'"),
            "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'".to_owned(),
            "SELECT pg_reload_conf()".to_owned(),
        ])
        .await
    }
}

/// Starts a service with another URL, which ends it at once for a reason with these words.
async fn is_refused(
    service: &mut Service,
    option: &str,
    url: &str,
    words: &[&str],
) -> anyhow::Result<()> {
    service.set(option, url);
    let started = Instant::now();
    refuses(service, words).await.with_context(|| url.to_owned())?;
    ensure!(started.elapsed() < AT_ONCE, "{url}: {:?}", started.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_service_verifies_postgres_and_ends_if_that_fails() -> anyhow::Result<()> {
    const URL: &str = "database-url";
    let files = files("postgres_tls")?;
    let (ours, ca) = authority("ours", &files)?;
    let (_, other) = authority("other", &files)?;
    let server = Server::start("postgres_tls").await?;
    let environment = Environment::with_log_on("postgres_tls", &server.url).await?;
    let plain = environment.command_role_url.clone();
    let with = |mode: &str, ca: &std::path::Path| {
        format!("{plain}?sslmode={mode}&sslrootcert={}", ca.display())
    };
    let mut command = environment.command("command-0").await?;
    command.kill().await?;
    let no_tls = &["DATABASE_URL", "server does not support TLS"];
    is_refused(&mut command, URL, &format!("{plain}?sslmode=require"), no_tls).await?;

    server.uses(&ours.issue(&["localhost", "127.0.0.1"])?).await?;
    command.set(URL, &with("verify-full", &ca));
    command.start()?;
    command.ready().await?;
    let client = command.client()?;
    let account = client.open().await?;
    client.deposit(account, None, 25).await?;
    let mut connection = PgConnection::connect(&environment.database_url).await?;
    let (all, encrypted): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE ssl)
           FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1",
    )
    .bind("postgres_tls_log")
    .fetch_one(&mut connection)
    .await?;
    ensure!(all > 3 && all == encrypted, "{encrypted} of {all}");
    connection.close().await?;
    command.kill().await?;

    let unknown = &["DATABASE_URL", "the TLS handshake", "UnknownIssuer"];
    is_refused(&mut command, URL, &with("verify-full", &other), &unknown[2..]).await?;
    is_refused(&mut command, URL, &with("require", &other), &unknown[2..]).await?;
    is_refused(&mut command, URL, &format!("{plain}?sslmode=verify-ca"), &unknown[2..]).await?;
    let wrong = with("verify-full", &ca).replace(":postgres_tls_log@", ":kret@");
    is_refused(&mut command, URL, &wrong, &["password authentication failed"]).await?;
    ensure!(!command.output().contains("kret"), "{}", command.output());

    server.uses(&ours.issue(&["db.example"])?).await?;
    is_refused(&mut command, URL, &with("verify-full", &ca), &["not valid for name"]).await?;
    command.set(URL, &with("verify-ca", &ca));
    command.start()?;
    command.ready().await?;
    command.kill().await?;
    server.uses(&ours.issue_for(&["localhost", "127.0.0.1"], -1)?).await?;
    is_refused(&mut command, URL, &with("verify-full", &ca), &["expired"]).await?;

    server.uses(&ours.issue(&["localhost", "127.0.0.1"])?).await?;
    server.requires_certificates("postgres_tls_log", ours.pem()).await?;
    let words = &["requires a valid client certificate"];
    is_refused(&mut command, URL, &with("verify-full", &ca), words).await?;
    let own = ours.issue(&["command-service"])?.write(&files)?;
    let (certificate, key) = (own.certificate.display(), own.key.display());
    let mutual = format!("{}&sslcert={certificate}&sslkey={key}", with("verify-full", &ca));
    command.set(URL, &mutual);
    command.start()?;
    command.ready().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_encryption_at_run_time_is_an_outage() -> anyhow::Result<()> {
    let files = files("postgres_tls_lost")?;
    let (ours, ca) = authority("ours", &files)?;
    let server = Server::start("postgres_tls_lost").await?;
    let environment = Environment::with_log_on("postgres_tls_lost", &server.url).await?;
    let plain = environment.command_role_url.clone();
    let good = ours.issue(&["127.0.0.1"])?;
    server.uses(&good).await?;
    let url = format!("{plain}?sslmode=verify-full&sslrootcert={}", ca.display());
    let mut command = environment.command_with("command-0", &[("database-url", url)])?;
    command.ready().await?;
    let client = command.client()?;
    let account = client.open().await?;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE usename = 'postgres_tls_lost_log'";
    server.uses(&ours.issue(&["db.example"])?).await?;
    server.run(&[terminate.to_owned()]).await?;
    eventually("readiness fails", async || {
        let response = client.get("/health/ready").await?;
        ensure!(response.status() == 503, "{}", response.text().await?);
        Ok(())
    })
    .await?;
    server.uses(&good).await?;
    command.ready().await?;
    client.deposit(account, None, 25).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_service_and_a_migration_end_if_postgres_has_no_tls() -> anyhow::Result<()> {
    let words = &["PROJECTION_DATABASE_URL", "server does not support TLS"];
    let environment = Environment::on("postgres_plain", Kafka::shared().await?).await?;
    let command = environment.command("command-0").await?;
    let mut projection = environment.projection("projection-0", &command).await?;
    projection.kill().await?;
    let url = format!("{}?sslmode=require", environment.projection_role_url);
    is_refused(&mut projection, "projection-database-url", &url, words).await?;
    let url =
        format!("--projection-migration-database-url={}", environment.projection_database_url);
    let arguments = [
        "projection-service".to_owned(),
        format!("--projection-database-url={}", environment.projection_role_url),
        "migrate".to_owned(),
        format!("{url}?sslmode=require"),
    ];
    let log = tempfile::NamedTempFile::new()?;
    let mut job = Process::start(&arguments, log.path())?;
    let status = job.ended().await?;
    ensure!(!status.success() && job.output().contains(words[1]), "{status}: {}", job.output());
    Ok(())
}
