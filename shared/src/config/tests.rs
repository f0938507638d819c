use clap::Parser;

use super::*;

#[derive(Parser)]
struct Settable {
    #[command(flatten)]
    log: LogConfig,
}

#[test]
fn the_format_of_the_log_is_text_or_json() {
    let format = |format: &str| {
        Settable::try_parse_from(["test", "--log-format", format]).map(|given| given.log.log_format)
    };
    assert_eq!(format("text").unwrap(), LogFormat::Text);
    assert_eq!(format("json").unwrap(), LogFormat::Json);
    let said = format("xml").unwrap_err().to_string();
    assert!(said.contains("--log-format") && said.contains("text, json"), "{said}");
    assert_eq!(LogFormat::default(), LogFormat::Text);
}

#[test]
fn an_address_is_an_ip_or_a_name_with_a_port() {
    for (text, ip) in
        [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:65535", "0.0.0.0"), ("[::]:80", "::")]
    {
        let found = address(text).unwrap();
        assert_eq!(found.ip(), ip.parse::<std::net::IpAddr>().unwrap(), "{text}");
        assert_eq!(Some(found.port().to_string().as_str()), text.rsplit(':').next());
    }
    let local = address("localhost:38380").unwrap();
    assert!(local.port() == 38_380 && local.ip().is_loopback());
    for bad in [
        "",
        ":",
        "8080",
        ":8080",
        "localhost",
        "localhost:",
        "localhost:http",
        "localhost:70000",
        "127.0.0.1:-1",
    ] {
        let said = address(bad).unwrap_err();
        assert_eq!(
            said, "must be a host and a port, such as 127.0.0.1:8080 or localhost:8080",
            "{bad}"
        );
    }
    let said = address("no-such-host.invalid:80").unwrap_err();
    assert!(said.starts_with("`no-such-host.invalid` can't be resolved: "), "{said}");
}
