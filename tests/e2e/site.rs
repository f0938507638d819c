//! One test's own site: two databases, a topic, a consumer group, and the services on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use passbook::services::Owners;
use passbook_shared::http::healthcheck::healthcheck;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::client::Client;
use crate::ground::{self, Kafka, TOPICS};
use crate::load::Acknowledged;
use crate::process::{Process, free_address};
use crate::truth::{self, Log};
use crate::verify;

/// Databases, topic and group of one test.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    /// The log's database as a superuser, for tests to look and to tamper.
    pub(crate) database_url: String,
    /// The views' database as a superuser.
    pub(crate) projection_database_url: String,
    /// The log's database as the command-service's role.
    pub(crate) command_role_url: String,
    /// The views' database as the projection-service's role.
    pub(crate) projection_role_url: String,
    pub(crate) kafka: Kafka,
    pub(crate) topic: String,
    logs: PathBuf,
}

impl Site {
    /// An empty site on what tests share.
    pub(crate) async fn new(name: &'static str) -> anyhow::Result<Self> {
        Self::on(name, Kafka::shared().await?).await
    }

    /// An empty site on this Kafka.
    pub(crate) async fn on(name: &'static str, kafka: Kafka) -> anyhow::Result<Self> {
        let site = Self::unprepared(name, kafka).await?;
        site.migrate().await?;
        Ok(site)
    }

    /// Databases without tables, and roles that own nothing.
    pub(crate) async fn unprepared(name: &'static str, kafka: Kafka) -> anyhow::Result<Self> {
        let postgres = ground::postgres().await?;
        let (_, host) = postgres.rsplit_once('@').context("no host")?;
        let mut connection = PgConnection::connect(&format!("{postgres}/postgres")).await?;
        let databases = [format!("{name}_log"), format!("{name}_views")];
        for database in &databases {
            for statement in [
                format!("CREATE DATABASE {database}"),
                format!("CREATE ROLE {database} LOGIN PASSWORD '{database}'"),
                format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
                format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {database}"),
            ] {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
            }
        }
        connection.close().await?;
        let [command_role_url, projection_role_url] = databases
            .each_ref()
            .map(|database| format!("postgres://{database}:{database}@{host}/{database}"));
        let [database_url, projection_database_url] =
            databases.map(|database| format!("{postgres}/{database}"));
        let logs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(name);
        if logs.exists() {
            std::fs::remove_dir_all(&logs)?;
        }
        std::fs::create_dir_all(&logs)?;
        let topic = if kafka.has_admin() { name.to_owned() } else { TOPICS[0].to_owned() };
        Ok(Self {
            name,
            database_url,
            projection_database_url,
            command_role_url,
            projection_role_url,
            kafka,
            topic,
            logs,
        })
    }

    /// Makes the tables, or brings them up to date.
    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        let owners = Owners {
            migration_database_url: Some(self.database_url.clone()),
            projection_migration_database_url: Some(self.projection_database_url.clone()),
            ..Owners::default()
        };
        let (log, views) = (&self.command_role_url, &self.projection_role_url);
        passbook::services::migrate(log, views, owners, Some(ground::PARTITIONS)).await.map(drop)
    }

    /// A command-service, ready.
    pub(crate) async fn command(&self, name: &str) -> anyhow::Result<Service> {
        let mut service = self.command_started(name)?;
        service.ready().await?;
        Ok(service)
    }

    /// A command-service, started.
    pub(crate) fn command_started(&self, name: &str) -> anyhow::Result<Service> {
        self.command_with(name, &[])
    }

    /// The same with further options.
    pub(crate) fn command_with(
        &self,
        name: &str,
        more: &[(&str, String)],
    ) -> anyhow::Result<Service> {
        let options = [("database-url", self.command_role_url.clone())];
        self.service("command-service", name, "command-addr", &[&options[..], more].concat())
    }

    /// A projection-service, ready.
    pub(crate) async fn projection(
        &self,
        name: &str,
        command: &Service,
    ) -> anyhow::Result<Service> {
        let mut service = self.projection_started(name, command)?;
        service.ready().await?;
        Ok(service)
    }

    /// A projection-service, started.
    pub(crate) fn projection_started(
        &self,
        name: &str,
        command: &Service,
    ) -> anyhow::Result<Service> {
        let options = [
            ("projection-database-url", self.projection_role_url.clone()),
            ("command-service-url", format!("http://{}", command.addr)),
            ("kafka-group", self.name.to_owned()),
            ("kafka-group-instance", name.to_owned()),
        ];
        self.service("projection-service", name, "projection-addr", &options)
    }

    fn service(
        &self,
        part: &'static str,
        name: &str,
        addr_option: &str,
        options: &[(&str, String)],
    ) -> anyhow::Result<Service> {
        let addr = free_address()?;
        let mut service = Service {
            addr,
            part,
            options: options
                .iter()
                .map(|(option, value)| ((*option).to_owned(), value.clone()))
                .collect(),
            environment: Vec::new(),
            log: self.logs.join(format!("{name}.log")),
            process: None,
        };
        service.set(addr_option, &addr.to_string());
        service.set("kafka-brokers", &self.kafka.brokers);
        service.set("kafka-topic", &self.topic);
        service.start()?;
        Ok(service)
    }

    /// For making, trimming and deleting topics.
    pub(crate) fn admin(
        &self,
    ) -> anyhow::Result<(AdminClient<DefaultClientContext>, AdminOptions)> {
        let client =
            rdkafka::ClientConfig::new().set("bootstrap.servers", &self.kafka.brokers).create()?;
        let options =
            AdminOptions::new().operation_timeout(Some(std::time::Duration::from_secs(10)));
        Ok((client, options))
    }
}

/// A site with so many of each service.
pub(crate) struct Pair {
    pub(crate) site: Site,
    pub(crate) commands: Vec<Service>,
    pub(crate) projections: Vec<Service>,
}

impl Pair {
    /// Starts `instances` of each service on the site.
    pub(crate) async fn start(site: Site, instances: usize) -> anyhow::Result<Self> {
        let first = site.command("command-0").await?;
        Self::resume(site, first, instances).await
    }

    /// The same on a site that has a command-service already.
    pub(crate) async fn resume(
        site: Site,
        command: Service,
        instances: usize,
    ) -> anyhow::Result<Self> {
        let (mut commands, mut projections) = (vec![command], Vec::new());
        for number in 1..instances {
            commands.push(site.command(&format!("command-{number}")).await?);
        }
        for (number, command) in commands.iter().enumerate() {
            projections.push(site.projection(&format!("projection-{number}"), command).await?);
        }
        Ok(Self { site, commands, projections })
    }

    /// A client of the command-services.
    pub(crate) fn command(&self) -> anyhow::Result<Client> {
        Client::new(&self.commands.iter().map(|service| service.addr).collect::<Vec<_>>())
    }

    /// A client of the projection-services.
    pub(crate) fn projection(&self) -> anyhow::Result<Client> {
        Client::new(&self.projections.iter().map(|service| service.addr).collect::<Vec<_>>())
    }

    /// Once all run again: what must hold, on every instance.
    pub(crate) async fn holds(&mut self, acknowledged: &[Acknowledged]) -> anyhow::Result<Log> {
        for service in self.commands.iter_mut().chain(&mut self.projections) {
            service.ready().await?;
        }
        let log = truth::holds(&self.command()?, &self.projection()?, acknowledged).await?;
        if log.iter().any(|events| !events.is_empty()) {
            verify::finds_nothing(&self.projections[0].client()?).await?;
        }
        Ok(log)
    }
}

/// A service as a process, to be killed and started again at the same address.
pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    part: &'static str,
    options: BTreeMap<String, String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    process: Option<Process>,
}

impl Service {
    /// Sets an option, for the next start.
    pub(crate) fn set(&mut self, option: &str, value: &str) {
        self.options.insert(option.to_owned(), value.to_owned());
    }

    /// Sets a variable of its environment, for the next start.
    pub(crate) fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Leaves an option out, from the next start on.
    pub(crate) fn unset(&mut self, option: &str) {
        self.options.remove(option);
    }

    /// Starts it (again).
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let options = self.options.iter().map(|(option, value)| format!("--{option}={value}"));
        let arguments: Vec<String> = std::iter::once(self.part.to_owned()).chain(options).collect();
        let set: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        self.process = Some(Process::start_with(&arguments, &set, &[], &self.log)?);
        Ok(())
    }

    /// Its output so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process.as_ref().with_context(|| format!("the {} was not started", self.part))?.id()
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let (addr, part) = (self.addr, self.part);
        let process =
            self.process.as_mut().with_context(|| format!("the {part} was not started"))?;
        process.eventually(&format!("the {part} is ready"), async |_| healthcheck(addr).await).await
    }

    /// Waits until it answers, ready or not.
    pub(crate) async fn answers(&mut self) -> anyhow::Result<()> {
        let (client, part) = (self.client()?, self.part);
        let process =
            self.process.as_mut().with_context(|| format!("the {part} was not started"))?;
        process
            .eventually(&format!("the {part} answers"), async |_| {
                client.json("/v1/store").await.map(drop)
            })
            .await
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM; it must end by itself, without error.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// SIGKILL, and started again at once.
    pub(crate) async fn kill_and_start(&mut self) -> anyhow::Result<()> {
        self.kill().await?;
        self.start()
    }

    /// A client of it.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&[self.addr])
    }
}
