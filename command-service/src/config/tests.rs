use std::ffi::OsString;

use sqlx::ConnectOptions;

use super::lanes::LaneConfig;
use super::*;

const DATABASE: &str = "--database-url=postgres://ada@db.example:5433/money";

fn parse(options: &[&str]) -> Result<Cli, clap::Error> {
    let arguments = ["command-service", DATABASE].iter().chain(options).map(OsString::from);
    Cli::try_parse_from(arguments)
}

#[track_caller]
fn config(options: &[&str]) -> Config {
    parse(options).unwrap().config
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let cli = parse(&[]).unwrap();
    assert!(cli.action.is_none());
    let config = cli.config;
    assert_eq!(config.command_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.command_ops_addr.to_string(), "127.0.0.1:9080");
    assert_eq!((config.relay_linger_ms, config.require_idempotency_key), (4, false));
    assert_eq!((config.lanes, config.lane_queue, config.lane_batch), (2, 4_096, 1_024));
    assert_eq!((config.lane_cache_mib, config.snapshot_every), (64, 200));
    assert_eq!((config.max_open_holds, config.read_connections), (10_000, 4));
    assert_eq!(config.keep_keys(), Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(config.store_patience(), Duration::from_millis(1_800));
    assert!(config.snapshot_key().unwrap().is_none());
}

#[test]
fn a_number_beyond_its_bounds_is_refused_by_name() {
    for (name, smallest, largest) in [
        ("--idempotency-days", 7, 36_500),
        ("--lanes", 1, 64),
        ("--lane-queue", 1, 1_000_000),
        ("--lane-batch", 1, 10_000),
        ("--lane-cache-mib", 1, 1_000_000),
        ("--store-patience-ms", 100, 60_000),
        ("--snapshot-every", 10, 1_000_000),
        ("--max-open-holds", 1, 100_000),
        ("--read-connections", 1, 1_000),
    ] {
        let set = |number: i64| parse(&[&format!("{name}={number}")]);
        assert!(set(smallest).is_ok() && set(largest).is_ok(), "{name}");
        for beyond in [smallest - 1, largest + 1, -1] {
            let error = set(beyond).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn a_password_is_given_once_and_inserted_into_the_url() {
    let config = config(&["--database-password=p@ss/word"]).with_passwords();
    let url = config.database_url.to_url_lossy();
    assert_eq!((url.password(), url.username()), (Some("p%40ss%2Fword"), "ada"));
    let both = parse(&["--database-password=a", "--database-password-file=/dev/null"]);
    assert!(both.is_err());
}

#[test]
fn the_key_of_snapshots_is_one_long_secret_from_one_place() {
    let secret = "s".repeat(32);
    let given = format!("--snapshot-key={secret}");
    assert!(config(&[&given]).snapshot_key().unwrap().is_some());
    assert!(config(&["--snapshot-key="]).snapshot_key().unwrap().is_none());
    let short = parse(&[&format!("--snapshot-key={}", &secret[1..])]).unwrap_err().to_string();
    assert!(short.contains("--snapshot-key") && !short.contains(&secret[1..]), "{short}");
    let two = config(&[&format!("{given}\n{secret}")]).snapshot_key().err().unwrap().to_string();
    assert!(two.contains("SNAPSHOT_KEY") && two.contains("more than one"), "{two}");
    let mut both = config(&[&given]);
    both.snapshot_key_file = both.snapshot_key.clone();
    let both = both.snapshot_key().err().unwrap().to_string();
    assert!(both.contains("SNAPSHOT_KEY and SNAPSHOT_KEY_FILE"), "{both}");
    let missing = parse(&["--snapshot-key-file=/no/such/file"]).unwrap_err().to_string();
    assert!(missing.contains("--snapshot-key-file"), "{missing}");
}

#[test]
fn lanes_have_the_settings_in_their_own_units() {
    let config = config(&[
        "--lanes=3",
        "--lane-queue=40",
        "--lane-batch=50",
        "--lane-cache-mib=2",
        "--store-patience-ms=1000",
        "--snapshot-every=60",
        "--max-open-holds=70",
    ]);
    let lanes = LaneConfig::from(&config);
    assert_eq!((lanes.lanes, lanes.queue, lanes.max_batch), (3, 40, 50));
    assert_eq!((lanes.cache_bytes, lanes.snapshot_every, lanes.most_holds), (2 << 20, 60, 70));
    assert_eq!(
        (lanes.patience, lanes.attempt()),
        (Duration::from_secs(1), Duration::from_millis(500))
    );
    // Postgres gives up before the lane does.
    let options = lanes.connect.get_options().unwrap_or_default();
    assert!(options.contains("statement_timeout=450ms"), "{options}");
    assert_eq!(lanes.connect.get_host(), "db.example");
}

#[test]
fn an_action_is_a_subcommand_with_its_own_options() {
    let action = |options: &[&str]| parse(options).unwrap().action.unwrap();
    assert!(matches!(action(&["healthcheck"]), Action::Healthcheck));
    assert!(matches!(action(&["verify"]), Action::Verify));
    let Action::Restore(RestoreAction::Accept(accept)) =
        action(&["restore", "accept", "--yes", "--above-epoch=999999"])
    else {
        panic!()
    };
    assert!(accept.yes && !accept.force);
    assert_eq!(accept.above_epoch, Some(999_999));
    for wrong in ["--above-epoch=1000000", "--above-epoch=-1"] {
        assert!(parse(&["restore", "accept", wrong]).is_err(), "{wrong}");
    }
}
