//! Environment of one test: two databases, a topic, a consumer group, and the services on them.

mod databases;
mod pair;
mod service;

use std::path::PathBuf;

use passbook::services::Owners;
use passbook_shared::tls::identity::IdentityFiles;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use self::databases::{create_database, urls};
pub(crate) use self::pair::Pair;
pub(crate) use self::service::Service;
use crate::infrastructure::{self, Kafka, TOPICS, keys};
use crate::issuer::{AUDIENCE, ISSUER, issuer};
use crate::process::{free_address, ops_of};

/// Databases, topic and consumer group of one test.
pub(crate) struct Environment {
    pub(crate) name: &'static str,
    /// URL of the log's database as a superuser, to inspect it and to tamper with it.
    pub(crate) database_url: String,
    /// URL of the views' database as a superuser.
    pub(crate) projection_database_url: String,
    /// URL of the log's database as the command-service's role.
    pub(crate) command_role_url: String,
    /// URL of the views' database as the projection-service's role.
    pub(crate) projection_role_url: String,
    pub(crate) kafka: Kafka,
    pub(crate) topic: String,
    /// File of the topic's keys; none if its records are not authenticated.
    pub(crate) topic_key_file: Option<PathBuf>,
    /// Certificate of the services, and its authority; none without encryption.
    pub(crate) encryption: Option<(IdentityFiles, PathBuf)>,
    /// File of further options of Kafka.
    pub(crate) kafka_options_file: Option<PathBuf>,
    logs: PathBuf,
}

impl Environment {
    /// Creates an empty environment on the shared Postgres and Kafka.
    pub(crate) async fn new(name: &'static str) -> anyhow::Result<Self> {
        Self::on(name, Kafka::shared().await?).await
    }

    /// Creates an empty environment on the given Kafka.
    pub(crate) async fn on(name: &'static str, kafka: Kafka) -> anyhow::Result<Self> {
        let environment = Self::unprepared(name, kafka).await?;
        environment.migrate().await?;
        Ok(environment)
    }

    /// Creates an environment whose log is on another Postgres.
    pub(crate) async fn with_log_on(name: &'static str, postgres: &str) -> anyhow::Result<Self> {
        let mut environment = Self::unprepared(name, Kafka::shared().await?).await?;
        create_database(postgres, &format!("{name}_log")).await?;
        environment.log_is_on(postgres)?;
        environment.migrate().await?;
        Ok(environment)
    }

    /// Continues with the log's database on another Postgres.
    pub(crate) fn log_is_on(&mut self, postgres: &str) -> anyhow::Result<()> {
        [self.database_url, self.command_role_url] = urls(postgres, &format!("{}_log", self.name))?;
        Ok(())
    }

    /// Creates databases without tables, and roles that own nothing.
    pub(crate) async fn unprepared(name: &'static str, kafka: Kafka) -> anyhow::Result<Self> {
        let postgres = infrastructure::postgres().await?;
        let databases = [format!("{name}_log"), format!("{name}_views")];
        for database in &databases {
            create_database(postgres, database).await?;
        }
        let [log, views] = databases;
        let [database_url, command_role_url] = urls(postgres, &log)?;
        let [projection_database_url, projection_role_url] = urls(postgres, &views)?;
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
            topic_key_file: None,
            encryption: None,
            kafka_options_file: None,
            logs,
        })
    }

    /// Authenticates the topic from the next creation of a service on.
    pub(crate) fn authenticated(mut self, keys: &[&str]) -> anyhow::Result<Self> {
        self.topic_key_file = Some(self.key_file("topic.key", keys)?);
        Ok(self)
    }

    /// Writes a file of keys.
    pub(crate) fn key_file(&self, name: &str, keys: &[&str]) -> anyhow::Result<PathBuf> {
        let path = self.logs.join(name);
        std::fs::write(&path, keys.join("\n"))?;
        Ok(path)
    }

    /// Creates the tables, or migrates them to this build.
    pub(crate) async fn migrate(&self) -> anyhow::Result<()> {
        let owners = Owners {
            migration_database_url: Some(self.database_url.clone()),
            projection_migration_database_url: Some(self.projection_database_url.clone()),
            ..Owners::default()
        };
        let (log, views) = (&self.command_role_url, &self.projection_role_url);
        passbook::services::migrate(log, views, owners, Some(infrastructure::PARTITIONS))
            .await
            .map(drop)
    }

    /// Starts a command-service and waits until it is ready.
    pub(crate) async fn command(&self, name: &str) -> anyhow::Result<Service> {
        let mut service = self.command_started(name)?;
        service.ready().await?;
        Ok(service)
    }

    /// Starts a command-service.
    pub(crate) fn command_started(&self, name: &str) -> anyhow::Result<Service> {
        self.command_with(name, &[])
    }

    /// Starts a command-service with further options.
    pub(crate) fn command_with(
        &self,
        name: &str,
        more: &[(&str, String)],
    ) -> anyhow::Result<Service> {
        // A random key would make every restart fold each account from its beginning.
        let snapshot_key = self.name.repeat(32);
        let options =
            [("database-url", self.command_role_url.clone()), ("snapshot-key", snapshot_key)];
        self.service("command-service", name, "command", &[&options[..], more].concat())
    }

    /// Starts a projection-service and waits until it is ready.
    pub(crate) async fn projection(
        &self,
        name: &str,
        command: &Service,
    ) -> anyhow::Result<Service> {
        let mut service = self.projection_started(name, command)?;
        service.ready().await?;
        Ok(service)
    }

    /// Starts a projection-service.
    pub(crate) fn projection_started(
        &self,
        name: &str,
        command: &Service,
    ) -> anyhow::Result<Service> {
        let options = [
            ("projection-database-url", self.projection_role_url.clone()),
            ("command-service-url", format!("{}://{}", command.tls().scheme(), command.addr)),
            ("kafka-group", self.name.to_owned()),
            ("kafka-group-instance", name.to_owned()),
            ("command-service-key-file", keys()?.projection.display().to_string()),
        ];
        let ca = command.ca.as_ref().map(|ca| ca.display().to_string());
        let more = ca.map(|ca| ("command-service-ca-file", ca));
        let options: Vec<_> = options.into_iter().chain(more).collect();
        self.service("projection-service", name, "projection", &options)
    }

    fn service(
        &self,
        part: &'static str,
        name: &str,
        prefix: &str,
        options: &[(&str, String)],
    ) -> anyhow::Result<Service> {
        let addr = free_address()?;
        let mut service = Service::new(addr, part, self.logs.join(format!("{name}.log")));
        for (option, value) in options {
            service.set(option, value);
        }
        service.set(&format!("{prefix}-addr"), &addr.to_string());
        service.set(&format!("{prefix}-ops-addr"), &ops_of(addr).to_string());
        service.set("keys-file", &keys()?.keys_file.display().to_string());
        let issuer = issuer()?;
        service.set("jwt-issuer", ISSUER);
        service.set("jwt-audience", AUDIENCE);
        service.set("jwks-file", &issuer.file.display().to_string());
        service.set("kafka-brokers", &self.kafka.brokers);
        service.set("kafka-topic", &self.topic);
        if let Some(path) = &self.topic_key_file {
            service.set("topic-key-file", &path.to_string_lossy());
        }
        if let Some(path) = &self.kafka_options_file {
            service.set("kafka-options-file", &path.to_string_lossy());
        }
        if let Some((files, ca)) = &self.encryption {
            service.set("tls-cert-file", &files.certificate.to_string_lossy());
            service.set("tls-key-file", &files.key.to_string_lossy());
            service.ca = Some(ca.clone());
        }
        service.start()?;
        Ok(service)
    }

    /// Returns a client that creates, trims and deletes topics.
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
