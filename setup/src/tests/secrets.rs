//! Passwords, keys and settings of clients.

use passbook_shared::access::keys_file::{KeysFile, revoke};

use super::*;

#[test]
fn the_folder_of_a_server_has_the_passwords_of_its_users() {
    let place = Place::complete();
    for (server, client) in [
        ("postgres/passbook_owner.password", "command-migrate/migration-database.password"),
        ("postgres/passbook_command.password", "command-service/database.password"),
        (
            "postgres/passbook_projection_owner.password",
            "projection-migrate/migration-database.password",
        ),
        ("postgres/passbook_projection.password", "projection-service/database.password"),
        ("command-service/topic.key", "projection-service/topic.key"),
    ] {
        assert_eq!(place.read(server), place.read(client), "{server}");
    }
    for (user, folder) in [("relay", "command-service"), ("projection", "projection-service")] {
        let password = place.read(&format!("kafka/{user}.password"));
        let settings = place.read(&format!("{folder}/kafka.properties"));
        let expected = format!("sasl.username={user}\nsasl.password={password}");
        assert!(settings.ends_with(&expected), "{folder}");
    }
    let keys = KeysFile::read(&place.at("keys/keys.toml")).unwrap().keys;
    let principals: Vec<&str> = keys.iter().map(|key| &*key.principal).collect();
    assert_eq!(principals, ["operator", "projection"]);
    assert!(place.read("operator/auth").starts_with("Authorization: Bearer pbk_"));
}

#[test]
fn different_passwords_of_one_role_are_refused() {
    let place = Place::complete();
    fs::write(place.at("command-service/database.password"), "another\n").unwrap();
    let said = place.refusal();
    assert!(said.contains("postgres/passbook_command.password and command-service/"), "{said}");
    assert!(!said.contains("another\n"));
}

#[test]
fn keys_of_a_rotation_may_differ() {
    let place = Place::complete();
    let rotated = format!("{}\n{}", "n".repeat(40), place.read("projection-service/topic.key"));
    fs::write(place.at("projection-service/topic.key"), &rotated).unwrap();
    assert!(place.run().unwrap().is_unchanged());
    assert_eq!(place.read("projection-service/topic.key"), rotated);
}

#[test]
fn an_empty_file_is_refused() {
    let place = Place::complete();
    fs::write(place.at("kafka/relay.password"), "\n").unwrap();
    assert!(place.refusal().ends_with("relay.password is empty: remove it, and run setup again"));
}

#[test]
fn a_revoked_key_is_replaced() {
    let place = Place::complete();
    let before = place.read("operator/auth");
    revoke(&place.at("keys/keys.toml"), "operator").unwrap();
    let report = place.run().unwrap();
    assert_eq!(report.directory.written, ["keys/keys.toml", "operator/auth"]);
    assert_ne!(place.read("operator/auth"), before);
    assert_eq!(mode(&place.at("operator/auth")), 0o644);
}
