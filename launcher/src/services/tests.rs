use anyhow::anyhow;
use tokio::net::TcpListener;

use super::*;

const URL: &str = "postgres://ada:secret@db:5433/log";

fn services(
    command: JoinHandle<anyhow::Result<()>>,
    projection: JoinHandle<anyhow::Result<()>>,
) -> Services {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Services {
        command_addr: nowhere,
        projection_addr: nowhere,
        command_ops_addr: nowhere,
        projection_ops_addr: nowhere,
        tls: TlsConfig::default(),
        services: [("command-service", command), ("projection-service", projection)],
    }
}

#[test]
fn a_listener_on_all_addresses_is_reached_by_the_local_one() {
    for (listening, reached) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:81", "[::1]:81"),
        ("127.0.0.1:82", "127.0.0.1:82"),
        ("10.0.0.7:83", "10.0.0.7:83"),
        ("[fe80::1]:84", "[fe80::1]:84"),
    ] {
        assert_eq!(reachable(listening.parse().unwrap()), reached.parse().unwrap());
    }
}

#[tokio::test]
async fn the_end_of_the_services_is_the_first_error_with_its_name() {
    let ends = |ended: fn() -> anyhow::Result<()>| tokio::spawn(async move { ended() });
    services(ends(|| Ok(())), ends(|| Ok(()))).ended().await.unwrap();
    let messages = async |services: Services| {
        let error = services.ended().await.unwrap_err();
        error.chain().map(ToString::to_string).collect::<Vec<_>>()
    };
    let second = services(ends(|| Ok(())), ends(|| Err(anyhow!("no Kafka"))));
    assert_eq!(messages(second).await, ["the projection-service ended", "no Kafka"]);
    let both = services(ends(|| Err(anyhow!("no Postgres"))), ends(|| Err(anyhow!("no Kafka"))));
    assert_eq!(messages(both).await, ["the command-service ended", "no Postgres"]);
    let panicked = services(ends(|| Ok(())), ends(|| panic!("a defect")));
    let messages = messages(panicked).await;
    assert_eq!(messages[..2], ["the projection-service ended", "its task panicked"]);
}

#[tokio::test]
async fn the_end_waits_for_the_other_service() {
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let waits = tokio::spawn(async move {
        ended.await?;
        Ok(())
    });
    let failed = services(tokio::spawn(async { Err(anyhow!("no Postgres")) }), waits);
    let waiting = tokio::spawn(failed.ended());
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    end.send(()).unwrap();
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn services_that_do_not_answer_are_not_ready() {
    let never = async || std::future::pending().await;
    let mut services = services(tokio::spawn(never()), tokio::spawn(never()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    services.command_ops_addr = listener.local_addr().unwrap();
    services.projection_ops_addr = services.command_ops_addr;
    let asked = async {
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
    };
    tokio::select! {
        ready = services.ready() => panic!("{ready:?}"),
        // Each closed connection is followed by another question.
        () = asked => {}
    }
}

#[test]
fn a_configuration_is_what_is_given_over_the_defaults() {
    let given = [
        ("--database-url", URL.to_owned()),
        ("--kafka-topic", "-t".to_owned()),
        ("--command-addr", "127.0.0.1:1".to_owned()),
    ];
    let config = command_config(&given, Embedded::default()).unwrap();
    assert_eq!(config.kafka.kafka_topic, "-t", "a value may begin with a hyphen");
    assert_eq!(config.with_passwords().database_url.get_host(), "db");
}

#[test]
fn an_invalid_configuration_is_one_line_without_the_password() {
    for (name, value) in [
        ("--database-url", "http://ada:secret@db/log"),
        ("--command-addr", "nowhere"),
        ("--unknown", "secret"),
    ] {
        let given = [("--database-url", URL.to_owned()), (name, value.to_owned())];
        let given = if name == "--database-url" { &given[1..] } else { &given };
        let error = command_config(given, Embedded::default()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        assert!(!error.contains('\n') && !error.contains("--help"), "{error}");
        assert!(!error.contains("ada:secret"), "{error}");
    }
}

#[test]
fn the_embedded_postgres_ignores_passwords_of_other_databases() {
    let given = [("--database-url", URL.to_owned()), ("--database-password", "other".to_owned())];
    let of_views = [
        ("--projection-database-url", URL.to_owned()),
        ("--projection-database-password", "other".to_owned()),
    ];
    for (log, views) in [(true, false), (false, true), (false, false)] {
        let embedded = Embedded { log, views };
        let config = command_config(&given, embedded).unwrap();
        assert_eq!(config.database_password.is_none(), log, "{embedded:?}");
        let config = projection_config(&of_views, embedded).unwrap();
        assert_eq!(config.projection_database_password.is_none(), views, "{embedded:?}");
    }
}
