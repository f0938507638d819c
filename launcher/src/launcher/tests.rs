use std::net::Ipv4Addr;

use clap::Parser;

use super::settings::embedded;
use super::*;
use crate::cli::Cli;

const LOG: &str = "postgres://ada:secret@db/log";
const VIEWS: &str = "postgres://ada:secret@db/views";

fn options(arguments: &[&str]) -> Options {
    Cli::try_parse_from(["passbook"].iter().chain(arguments)).unwrap().launcher
}

#[test]
fn an_address_in_use_is_refused_with_the_option_that_chooses_another() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let error = refuse_if_taken(addr, "--command-addr").unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains(&addr.to_string()) && said.contains("--command-addr"), "{said}");
    drop(listener);
    refuse_if_taken(addr, "--command-addr").unwrap();
    refuse_if_taken(addr, "--command-addr").unwrap();
}

#[tokio::test]
async fn postgres_is_not_started_if_both_databases_are_given() {
    let both = options(&["--database-url", LOG, "--projection-database-url", VIEWS]);
    assert!(start_postgres(&both).await.unwrap().is_none());
    let taken = tempfile::tempdir().unwrap();
    let file = taken.path().join("file");
    std::fs::write(&file, "").unwrap();
    for one in [vec!["--database-url", LOG], vec!["--projection-database-url", VIEWS], vec![]] {
        let mut one = options(&one);
        one.cluster.data_dir = file.clone();
        let error = start_postgres(&one).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot create the data directory"), "{error}");
    }
}

#[test]
fn given_databases_are_not_in_the_embedded_postgres() {
    for (arguments, log, views) in [
        (vec![], true, true),
        (vec!["--database-url", LOG], false, true),
        (vec!["--projection-database-url", VIEWS], true, false),
        (vec!["--database-url", LOG, "--projection-database-url", VIEWS], false, false),
    ] {
        let embedded = embedded(&options(&arguments));
        assert_eq!((embedded.log, embedded.views), (log, views), "{arguments:?}");
    }
}

#[test]
fn the_owner_of_given_tables_is_the_given_one() {
    let given = ["--database-url", LOG, "--projection-database-url", VIEWS];
    let found = |further: &[&str]| {
        let owners = owners(&options(&[&given, further].concat()), None);
        assert!(!owners.embedded.log && !owners.embedded.views);
        (owners.migration_database_url, owners.projection_migration_database_url)
    };
    assert_eq!(found(&[]), (None, None), "the service's role owns its tables");
    let (log, views) = ("postgres://owner@db/log", "postgres://owner@db/views");
    assert_eq!(found(&["--migration-database-url", log]), (Some(log.to_owned()), None));
    let of_views = ["--projection-migration-database-url", views];
    assert_eq!(found(&of_views), (None, Some(views.to_owned())));
}

#[test]
fn the_services_get_the_given_parts() {
    let directory = tempfile::tempdir().unwrap();
    let mut given = options(&[
        "--database-url",
        LOG,
        "--projection-database-url",
        VIEWS,
        "--kafka-brokers",
        "kafka:9092",
        "--kafka-topic",
        "t",
        "--command-addr",
        "127.0.0.1:1",
        "--projection-addr",
        "127.0.0.1:2",
        "--command-ops-addr",
        "127.0.0.1:3",
        "--projection-ops-addr",
        "127.0.0.1:4",
    ]);
    given.cluster.data_dir = directory.path().to_owned();
    let found = settings(&given, None).unwrap();
    assert_eq!(found.database_url, LOG);
    assert_eq!(found.projection_database_url, VIEWS);
    assert_eq!((found.kafka_brokers.as_str(), found.kafka_topic.as_str()), ("kafka:9092", "t"));
    assert_eq!((found.command_addr.port(), found.projection_addr.port()), (1, 2));
    assert_eq!((found.command_ops_addr.port(), found.projection_ops_addr.port()), (3, 4));
    assert!(!found.in_process_broker && !found.embedded.log && !found.embedded.views);
    assert_eq!(found.snapshot_key_file, directory.path().join("snapshot.key"));
    assert!(found.snapshot_key_file.exists());
    assert_eq!(found.topic_key_file, directory.path().join("topic.key"));
    assert!(found.topic_key_file.exists());

    given.kafka_brokers = None;
    let own = settings(&given, None).unwrap();
    assert!(own.in_process_broker && own.kafka_brokers.is_empty());
    given.database_url = None;
    let error = settings(&given, None).unwrap_err().to_string();
    assert_eq!(error, "neither a URL nor an embedded Postgres");
}

#[tokio::test]
async fn without_an_embedded_postgres_none_ends() {
    let ended = postgres_ended(None);
    let never = tokio::time::timeout(std::time::Duration::from_millis(10), ended).await;
    assert!(never.is_err());
}
