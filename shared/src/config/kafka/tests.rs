use clap::Parser;

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
