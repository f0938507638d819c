//! Settings of Kafka's clients, and the rights of its users.

use anyhow::Context;

use crate::directory::Directory;

/// Folder of a container, as the container sees it.
const MOUNTED: &str = "/run/passbook";

/// Rules of Kafka's authorizer, one per line, as arguments of `kafka-acls.sh --add`. Only the relay
/// writes to the topic, and only the projection-service reads it besides. Both clients ask for the
/// coordinators of groups, also of those that they never join.
pub(crate) const RULES: &str = include_str!("../kafka-acls.txt");

/// Writes missing settings of clients.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn ensure(directory: &mut Directory) -> anyhow::Result<()> {
    for (user, folder) in [("relay", "command-service"), ("projection", "projection-service")] {
        let file = format!("{folder}/kafka.properties");
        if directory.read(&file)?.is_none() {
            let password = directory.read(&format!("kafka/{user}.password"))?;
            let password = password.with_context(|| format!("kafka/{user}.password is missing"))?;
            directory.write(&file, &client(user, &password))?;
        }
    }
    if directory.read(ADMIN)?.is_none() {
        directory.write(ADMIN, &administrator())?;
    }
    Ok(())
}

/// Settings of Kafka's own tools.
const ADMIN: &str = "kafka/admin.properties";

/// Returns the settings of a service, for librdkafka.
fn client(user: &str, password: &str) -> String {
    format!(
        "security.protocol=SASL_SSL\n\
         ssl.ca.location={MOUNTED}/ca.pem\n\
         sasl.mechanisms=SCRAM-SHA-512\n\
         sasl.username={user}\n\
         sasl.password={password}\n"
    )
}

/// Returns the settings of Kafka's own tools in the broker's container. They show the broker's
/// certificate, whose name has all rights.
fn administrator() -> String {
    format!(
        "bootstrap.servers=localhost:9094\n\
         security.protocol=SSL\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.location={MOUNTED}/keystore.pem\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={MOUNTED}/ca.pem\n"
    )
}
