use clap::Parser;
use proptest::collection::vec;
use proptest::prelude::*;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::*;

#[derive(Parser)]
struct Settable {
    #[command(flatten)]
    kafka: KafkaConfig,
}

fn read(options: &str) -> Result<KafkaConfig, String> {
    let given = ["test", "--kafka-options", options];
    Settable::try_parse_from(given)
        .map(|settable| settable.kafka)
        .map_err(|error| error.to_string())
}

fn pairs(config: &KafkaConfig) -> Vec<(&str, &str)> {
    config.options().collect()
}

#[test]
fn a_value_of_an_option_may_contain_escaped_commas() {
    let config = read(r"sasl.username=ada,sasl.password=a\,b=\\c\d,client.rack=").unwrap();
    assert_eq!(
        pairs(&config),
        [("sasl.username", "ada"), ("sasl.password", r"a,b=\c\d"), ("client.rack", "")]
    );
    assert!(pairs(&read("").unwrap()).is_empty());
}

#[test]
fn an_error_does_not_repeat_a_part_of_a_value() {
    let said = read("sasl.username=ada,sasl.password=se,kret").err().unwrap();
    assert!(said.contains("--kafka-options") && said.contains("setting 3"), "{said}");
    assert!(!said.contains("kret") && !said.contains("se,"), "{said}");
    assert_eq!(
        format!("{:?}", read("sasl.password=kret").unwrap().kafka_options),
        r#"["sasl.password"]"#
    );
}

#[test]
fn a_file_has_one_option_per_line_and_the_list_takes_precedence() {
    let path = std::env::temp_dir().join(format!("passbook-options-{}", std::process::id()));
    std::fs::write(&path, "# ours\n\nsasl.password=a,b\\,c # \nlinger.ms = 5\nclient.rack=file\n")
        .unwrap();
    let mut config = read("client.rack=list").unwrap();
    config.kafka_options_file = Some(KafkaOptions::of_file(path.to_str().unwrap()).unwrap());
    assert_eq!(config.client("test").get("client.rack"), Some("list"));
    assert_eq!(config.client("test").get("sasl.password"), Some("a,b\\,c # "));
    assert!(config.sets("linger.ms") && !config.sets("acks"));
    std::fs::write(&path, "# ours\nkret\n").unwrap();
    let said = KafkaOptions::of_file(path.to_str().unwrap()).unwrap_err();
    assert!(said.contains("line 2") && !said.contains("kret"), "{said}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_refused_option_is_named_without_its_value() {
    assert!(read("security.protocol=PLAINTEXT,linger.ms=5").unwrap().check().is_ok());
    for (options, words) in [
        ("sasl.pasword=kretkret", "no option `sasl.pasword`"),
        ("linger.ms=kretkret", "value of `linger.ms`"),
        ("security.protocol=kretkret", "value of `security.protocol`"),
        ("security.protocol=SSL,ssl.ca.location=/kretkret", "KAFKA_OPTIONS"),
    ] {
        let said = format!("{:#}", read(options).unwrap().check().unwrap_err());
        assert!(said.contains(words) && !said.contains("kretkret"), "{options}: {said}");
    }
}

#[test]
fn the_key_of_the_topic_comes_from_one_setting() {
    let mut config = read("").unwrap();
    assert!(config.topic_keys().is_empty() && config.check().is_ok());
    config.topic_key_file = Keys::of_text(&"k".repeat(32)).unwrap();
    assert!(!config.topic_keys().is_empty() && config.check().is_ok());
    config.topic_key = config.topic_key_file.clone();
    let said = config.check().unwrap_err().to_string();
    assert_eq!(said, "TOPIC_KEY and TOPIC_KEY_FILE are both set: omit one");
    let short = Settable::try_parse_from(["test", "--topic-key=kretkret"]).err().unwrap();
    let said = short.to_string();
    assert!(said.contains("--topic-key") && !said.contains("kretkret"), "{said}");
}

fn config(options: &[(&str, &str)]) -> KafkaConfig {
    let pairs = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut config = read("").unwrap();
    config.kafka_options = KafkaOptions(pairs.collect());
    config
}

proptest! {
    #[test]
    fn a_list_of_options_is_read_as_it_was_written(
        options in vec(("[a-z.]{1,8}", "[a-z=\\\\, ]{0,8}"), 0..4),
    ) {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace(',', "\\,");
        let settings: Vec<String> =
            options.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let read = KafkaOptions::of_list(&settings.join(",")).unwrap();
        prop_assert_eq!(read.0, options);
    }

    #[test]
    fn no_list_of_options_panics(list: String) {
        let _ = KafkaOptions::of_list(&list);
    }
}

#[test]
fn a_setting_that_is_no_option_is_counted_from_1() {
    for (list, setting) in
        [("a", 1), ("=b", 1), (" =b", 1), ("a=b,c", 2), ("a=b,,c", 3), (r"a=b\,c,d", 2)]
    {
        let said = KafkaOptions::of_list(list).unwrap_err();
        assert!(said.contains(&format!("its setting {setting} is not name=value")), "{said}");
    }
    for (list, count) in [("", 0), (" , ,", 0), ("a=", 1), (" a = b ,", 1), ("a=b=c", 1)] {
        assert_eq!(KafkaOptions::of_list(list).unwrap().0.len(), count, "{list}");
    }
    assert_eq!(
        KafkaOptions::of_list(" a = b ").unwrap().0,
        [("a".to_owned(), " b ".to_owned())],
        "a value keeps its spaces"
    );
}

#[test]
fn a_message_of_the_client_is_shown_without_the_values_of_options() {
    let config = config(&[
        ("sasl.username", "ada"),
        ("ssl.key.location", "/run/key"),
        ("client.rack", "/run/key/two"),
        ("enable.idempotence", "true"),
        ("linger.ms", "500"),
        ("client.id", ""),
        ("broker.address.family", " v4only "),
    ]);
    for (message, shown) in [
        ("no ada here, ada", "no [value of an option] here, [value of an option]"),
        ("/run/key/two, then /run/key", "[value of an option], then [value of an option]"),
        ("of family v4only", "of family [value of an option]"),
        ("500 is short, and true is no secret", "500 is short, and true is no secret"),
        ("", ""),
    ] {
        assert_eq!(config.redacted(message), shown);
    }
    let short = self::config(&[("sasl.password", "x")]);
    assert_eq!(short.redacted("x"), "[value of an option]", "however short a password is");
}

#[test]
fn a_client_that_cannot_be_created_names_the_option_or_hides_its_value() {
    let config = config(&[("ssl.ca.location", "/run/secrets/ca")]);
    let by_name = KafkaError::ClientConfig(
        RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
        "invalid value \"kret\"".to_owned(),
        "linger.ms".to_owned(),
        "kret".to_owned(),
    );
    assert_eq!(
        config.refused(&by_name).to_string(),
        "KAFKA_OPTIONS, KAFKA_OPTIONS_FILE or another Kafka setting: the Kafka client refuses \
         `linger.ms`"
    );
    let by_reason = KafkaError::ClientCreation("no file /run/secrets/ca".to_owned());
    let said = config.refused(&by_reason).to_string();
    assert!(said.ends_with("no file [value of an option]"), "{said}");
}

#[test]
fn an_own_default_does_not_replace_the_operators_option() {
    let mut given = config(&[("linger.ms", "7")]);
    given.set_unless_given("linger.ms", "5");
    given.set_unless_given("acks", "all");
    assert_eq!(pairs(&given), [("linger.ms", "7"), ("acks", "all")]);
    let client = given.client("passbook-test");
    let option = |name| client.get(name);
    assert_eq!((option("linger.ms"), option("acks")), (Some("7"), Some("all")));
    assert_eq!(option("client.id"), Some("passbook-test"));
    assert_eq!(option("bootstrap.servers"), Some("127.0.0.1:9092"));
    let renamed = config(&[("client.id", "ours"), ("client.id", "mine")]);
    assert_eq!(renamed.client("passbook-test").get("client.id"), Some("mine"), "the last one");
}

#[test]
fn brokers_and_topic_are_not_empty() {
    for option in ["--kafka-brokers", "--kafka-topic"] {
        assert!(Settable::try_parse_from(["test", option, ""]).is_err(), "{option}");
    }
    let default = read("").unwrap();
    assert_eq!(
        (default.kafka_brokers.as_str(), default.kafka_topic.as_str()),
        ("127.0.0.1:9092", "passbook.events")
    );
}
