//! Passwords of the roles of Postgres and of the users of Kafka, and keys that both services or all
//! instances share.

use anyhow::{Context, ensure};

use crate::directory::Directory;

/// Secret with the files that contain it.
struct Secret {
    files: &'static [&'static str],
    /// True if different files are a fault. Keys differ during a rotation.
    is_equal: bool,
}

/// Password of a role or user, in these files.
const fn password(files: &'static [&'static str]) -> Secret {
    Secret { files, is_equal: true }
}

/// All secrets that are random text. The folder of a server has the passwords of its users.
const SECRETS: [Secret; 9] = [
    password(&["postgres/postgres.password"]),
    password(&["postgres/passbook_owner.password", "command-migrate/migration-database.password"]),
    password(&["postgres/passbook_command.password", "command-service/database.password"]),
    password(&[
        "postgres/passbook_projection_owner.password",
        "projection-migrate/migration-database.password",
    ]),
    password(&["postgres/passbook_projection.password", "projection-service/database.password"]),
    password(&["kafka/relay.password"]),
    password(&["kafka/projection.password"]),
    Secret { files: &["command-service/snapshot.key"], is_equal: true },
    Secret {
        files: &["command-service/topic.key", "projection-service/topic.key"],
        is_equal: false,
    },
];
/// Random bytes of a secret. Its text is twice as long.
const BYTES: usize = 32;

/// Creates missing secrets, and copies those that only some of their files have.
///
/// # Errors
/// Two files of a password differ, or a file cannot be read or written.
pub(crate) fn ensure(directory: &mut Directory) -> anyhow::Result<()> {
    for secret in SECRETS {
        let mut known: Option<(&str, String)> = None;
        for file in secret.files {
            let Some(text) = directory.read(file)? else { continue };
            if let Some((first, expected)) = &known {
                ensure!(
                    !secret.is_equal || *expected == text,
                    "{first} and {file} in {} are different passwords of one role: keep the one \
                     that the server knows, remove the other, and run setup again",
                    directory.path().display()
                );
            }
            known.get_or_insert((file, text));
        }
        let text = match known {
            Some((_, text)) => text,
            None => random()?,
        };
        for file in secret.files {
            if !directory.at(file).exists() {
                directory.write(file, &format!("{text}\n"))?;
            }
        }
    }
    Ok(())
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).ok().context("no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
