//! Kafka container with TLS: listeners with a good certificate, one for another host, an expired
//! one, and one that asks for a password.

use anyhow::Context;
use passbook_shared::tls::testing::Issued;
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

use super::kafka::{QUICK_JVM, docker};
use crate::process::{eventually, free_address};

/// Listeners for clients, with the ports in the container. Their names keep the start script of the
/// image from asking for keystores of its own kind.
const LISTENERS: [(&str, u16); 5] =
    [("GOOD", 9095), ("ELSEWHERE", 9096), ("EXPIRED", 9097), ("PASSWORD", 9098), ("TOKEN", 9099)];

/// Kafka container.
pub(crate) struct EncryptedKafka {
    /// Bootstrap server with a good certificate.
    pub(crate) ssl: String,
    /// Bootstrap server with a certificate for another host.
    pub(crate) elsewhere: String,
    /// Bootstrap server with an expired certificate.
    pub(crate) expired: String,
    /// Bootstrap server with a good certificate, which asks for a password (SCRAM-SHA-512).
    pub(crate) scram: String,
    /// Bootstrap server with a good certificate, which asks for an unsigned token (OAUTHBEARER),
    /// and again every 5 s.
    pub(crate) oauth: String,
    container: ContainerAsync<GenericImage>,
}

impl EncryptedKafka {
    /// Starts a container with these certificates.
    pub(crate) async fn start(
        good: &Issued,
        elsewhere: &Issued,
        expired: &Issued,
    ) -> anyhow::Result<Self> {
        let addresses = LISTENERS.map(|_| free_address());
        let addresses: Vec<_> = addresses.into_iter().collect::<anyhow::Result<_>>()?;
        let mut listeners = "TOOLS://:9094,CONTROLLER://:9093".to_owned();
        let mut advertised = "TOOLS://localhost:9094".to_owned();
        let mut protocols =
            "TOOLS:PLAINTEXT,CONTROLLER:PLAINTEXT,PASSWORD:SASL_SSL,TOKEN:SASL_SSL".to_owned();
        let mut image = GenericImage::new("apache/kafka", "4.3.1").with_user("root");
        for ((name, port), address) in LISTENERS.into_iter().zip(&addresses) {
            listeners += &format!(",{name}://:{port}");
            advertised += &format!(",{name}://{address}");
            if !matches!(name, "PASSWORD" | "TOKEN") {
                protocols += &format!(",{name}:SSL");
            }
            let issued = match name {
                "ELSEWHERE" => elsewhere,
                "EXPIRED" => expired,
                _ => good,
            };
            let path = format!("/etc/tls-{name}.pem");
            let keystore = format!("{}{}", issued.key, issued.certificate).into_bytes();
            let of_listener = format!("KAFKA_LISTENER_NAME_{name}_SSL_KEYSTORE");
            image = image
                .with_mapped_port(address.port(), port.tcp())
                .with_copy_to(path.clone(), keystore)
                .with_env_var(format!("{of_listener}_TYPE"), "PEM")
                .with_env_var(format!("{of_listener}_LOCATION"), path);
        }
        for (name, value) in [
            ("NODE_ID", "1"),
            ("PROCESS_ROLES", "broker,controller"),
            ("CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
            ("CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
            ("LISTENERS", &listeners),
            ("ADVERTISED_LISTENERS", &advertised),
            ("LISTENER_SECURITY_PROTOCOL_MAP", &protocols),
            ("INTER_BROKER_LISTENER_NAME", "TOOLS"),
            ("LISTENER_NAME_PASSWORD_SASL_ENABLED_MECHANISMS", "SCRAM-SHA-512"),
            (
                "LISTENER_NAME_PASSWORD_SCRAM___SHA___512_SASL_JAAS_CONFIG",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
            ("LISTENER_NAME_TOKEN_SASL_ENABLED_MECHANISMS", "OAUTHBEARER"),
            ("LISTENER_NAME_TOKEN_OAUTHBEARER_CONNECTIONS_MAX_REAUTH_MS", "5000"),
            (
                "LISTENER_NAME_TOKEN_OAUTHBEARER_SASL_JAAS_CONFIG",
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                 unsecuredLoginStringClaim_sub=\"broker\";",
            ),
            ("AUTO_CREATE_TOPICS_ENABLE", "false"),
            ("OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
            ("TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
            ("TRANSACTION_STATE_LOG_MIN_ISR", "1"),
            ("GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        ] {
            image = image.with_env_var(format!("KAFKA_{name}"), value);
        }
        let container = image.start().await.context("the Kafka container does not start")?;
        let mut addresses = addresses.iter().map(ToString::to_string);
        let mut next = || addresses.next().context("an address for each listener");
        let [ssl, elsewhere, expired, scram, oauth] = [next()?, next()?, next()?, next()?, next()?];
        let kafka = Self { ssl, elsewhere, expired, scram, oauth, container };
        eventually("Kafka answers", async || kafka.tool("topics", &["--list"]).await).await?;
        Ok(kafka)
    }

    /// Creates a user of the listener that asks for a password.
    pub(crate) async fn add_user(&self, name: &str, password: &str) -> anyhow::Result<()> {
        // Brackets protect commas in the password.
        let config = format!("SCRAM-SHA-512=[iterations=4096,password={password}]");
        let arguments =
            ["--alter", "--add-config", &config, "--entity-type", "users", "--entity-name", name];
        self.tool("configs", &arguments).await
    }

    /// Runs one of Kafka's own tools in the container.
    async fn tool(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let path = format!("/opt/kafka/bin/kafka-{name}.sh");
        let [heap, performance] = QUICK_JVM;
        let jvm = ["exec", "--env", heap, "--env", performance, self.container.id(), &path];
        let tool = [&jvm[..], &["--bootstrap-server", "localhost:9094"], arguments].concat();
        docker(&tool).await.map(drop)
    }
}
