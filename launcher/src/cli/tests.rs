use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["passbook"].iter().chain(arguments))
}

fn error(arguments: &[&str]) -> clap::Error {
    parse(arguments).expect_err("the arguments are invalid")
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn without_arguments_everything_runs_with_parts_of_its_own() {
    let Cli { part, launcher } = parse(&[]).unwrap();
    assert!(part.is_none());
    assert_eq!(launcher.command_addr, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(launcher.projection_addr, "127.0.0.1:8081".parse().unwrap());
    assert_eq!(launcher.command_ops_addr, "127.0.0.1:9080".parse().unwrap());
    assert_eq!(launcher.projection_ops_addr, "127.0.0.1:9081".parse().unwrap());
    assert_eq!(
        (launcher.kafka_topic.as_str(), launcher.log_level.as_str()),
        ("passbook.events", "warn")
    );
    for absent in [
        &launcher.database_url,
        &launcher.migration_database_url,
        &launcher.projection_database_url,
        &launcher.projection_migration_database_url,
        &launcher.kafka_brokers,
    ] {
        assert_eq!(*absent, None);
    }
    assert_eq!((launcher.partitions, launcher.broker_port), (None, None));
}

#[test]
fn a_part_takes_its_own_options_and_not_those_of_the_launcher() {
    for arguments in [
        vec!["--partitions", "3", "postgres"],
        vec!["--kafka-topic", "t", "verify"],
        vec!["broker", "--command-addr", "127.0.0.1:1"],
        vec!["postgres", "--topic", "t"],
        vec!["restore"],
        vec!["replay"],
        vec!["melt"],
    ] {
        assert!(parse(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn an_invalid_value_names_its_option() {
    for (option, values) in [
        ("--partitions", vec!["0", "1001", "-1", "many", ""]),
        ("--command-addr", vec!["8080", "localhost", "127.0.0.1:70000"]),
        ("--projection-addr", vec!["8081"]),
        ("--broker-port", vec!["65536", "-1"]),
        ("--kafka-topic", vec![""]),
        ("--kafka-brokers", vec![""]),
        ("--log-format", vec!["xml"]),
        ("--database-url", vec!["log", "mysql://ada:secret@db/log"]),
        ("--migration-database-url", vec!["ada:secret@db"]),
        ("--projection-database-url", vec!["http://ada:secret@db"]),
        ("--projection-migration-database-url", vec!["postgres:ada:secret@db"]),
    ] {
        for value in values {
            let error = error(&[&format!("{option}={value}")]);
            let is_value =
                matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
            assert!(is_value, "{option} {value}: {:?}", error.kind());
            let said = error.to_string();
            assert!(said.contains(option) && !said.contains("secret"), "{said}");
        }
    }
    for partitions in ["1", "1000"] {
        let launcher = parse(&["--partitions", partitions]).unwrap().launcher;
        assert_eq!(launcher.partitions, Some(partitions.parse().unwrap()));
    }
}

#[test]
fn a_given_url_is_kept_as_it_is() {
    let url = "postgres://ada:p%40x@db:5433/log?sslmode=require";
    let launcher = parse(&["--database-url", url]).unwrap().launcher;
    assert_eq!(launcher.database_url.as_deref(), Some(url));
    assert_eq!(launcher.projection_database_url, None);
}

#[test]
fn the_broker_creates_the_given_topics() {
    let broker = |arguments: &[&str]| match parse(&[&["broker"], arguments].concat()).unwrap().part
    {
        Some(Part::Broker(options)) => options,
        part => panic!("{part:?}"),
    };
    let default = broker(&[]);
    assert_eq!(
        (default.topics.as_slice(), default.partitions),
        (&["passbook.events".to_owned()][..], PartitionCount::DEFAULT)
    );
    assert_eq!((default.port, default.end.until_stdin_closes), (None, false));
    let given = broker(&[
        "--topic",
        "a",
        "--topic=b",
        "--partitions",
        "3",
        "--port",
        "9092",
        "--until-stdin-closes",
    ]);
    assert_eq!(given.topics, ["a", "b"]);
    assert_eq!((given.partitions, given.port), (PartitionCount::new(3), Some(9_092)));
    assert!(given.end.until_stdin_closes);
    for bad in ["0", "1001"] {
        assert!(parse(&["broker", "--partitions", bad]).is_err(), "{bad}");
    }
}

#[test]
fn postgres_takes_a_directory_and_a_port() {
    let arguments = ["postgres", "--data-dir", "/data", "--port", "5433"];
    let Some(Part::Postgres(options)) = parse(&arguments).unwrap().part else { panic!("a part") };
    assert_eq!(options.cluster.data_dir.to_str(), Some("/data"));
    assert_eq!((options.port, options.end.until_stdin_closes), (Some(5_433), false));
}

#[test]
fn a_replay_has_exactly_one_start() {
    let replay = |arguments: &[&str]| parse(&[&["replay"], arguments].concat());
    for start in [
        vec!["--from-beginning"],
        vec!["--to-time", "2026-11-24T12:00:00Z"],
        vec!["--to-offset", "3=1000", "--to-offset", "4=0"],
        vec!["--account", "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60"],
        vec!["--to-generation", "2"],
    ] {
        let Some(Part::Replay(part)) = replay(&start).unwrap().part else { panic!("{start:?}") };
        assert_eq!(part.running.projection_addr, "127.0.0.1:8081".parse().unwrap());
        assert!(!part.replay.keep);
        assert!(replay(&[start, vec!["--to-generation=7"]].concat()).is_err());
    }
    for bad in [
        vec![],
        vec!["--keep"],
        vec!["--to-time", "yesterday"],
        vec!["--to-offset", "1000"],
        vec!["--to-offset", "3=x"],
        vec!["--account", "ada"],
    ] {
        assert!(replay(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_accepted_restore_has_a_bounded_epoch() {
    let accept = |arguments: &[&str]| {
        parse(&[&["restore", "accept"], arguments].concat()).map(|cli| match cli.part {
            Some(Part::Restore(RestorePart::Accept { command_addr, options, .. })) => {
                (command_addr, options)
            }
            part => panic!("{part:?}"),
        })
    };
    let (command_addr, options) = accept(&[]).unwrap();
    assert_eq!(command_addr, "127.0.0.1:8080".parse().unwrap());
    assert!(!options.yes && !options.force && options.above_epoch.is_none());
    let (_, options) = accept(&["--yes", "--force", "--above-epoch", "999999"]).unwrap();
    assert!(options.yes && options.force && options.above_epoch == Some(999_999));
    for bad in ["-1", "1000000"] {
        assert!(accept(&[&format!("--above-epoch={bad}")]).is_err(), "{bad}");
    }
}

#[test]
fn the_operators_key_is_sent_to_this_machine_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth");
    let file = path.to_str().unwrap();
    let (local, foreign) =
        ("127.0.0.1:8081".parse().unwrap(), "192.0.2.1:8081".parse::<SocketAddr>().unwrap());
    let key = |addr| with_key_of(file, ClientOptions::default(), addr);
    assert!(key(local).unwrap().key_file.is_none(), "the file is missing");
    let text = passbook_shared::access::api_key::NewKey::generate().unwrap().text;
    std::fs::write(&path, format!("Authorization: Bearer {text}\n")).unwrap();
    assert!(key(local).unwrap().key_file.is_some());
    assert!(key(foreign).unwrap().key_file.is_none());
    let given = ClientOptions { key_file: Some(ClientKey::of_file(file).unwrap()) };
    assert!(with_key_of("missing", given, foreign).unwrap().key_file.is_some());
    std::fs::write(&path, "torn").unwrap();
    let said = key(local).unwrap_err().to_string();
    assert_eq!(said, format!("{file} names a file that does not contain an API key"));
    assert!(key(foreign).is_ok());
}
