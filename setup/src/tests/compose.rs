//! Variables of docker compose.

use super::*;

fn with_env() -> (Place, PathBuf) {
    let mut place = Place::new();
    let file = place.options.directory.with_file_name(".env");
    place.options.compose_env = Some(file.clone());
    (place, file)
}

#[test]
fn the_file_gets_the_directory_once_and_keeps_other_lines() {
    let (place, file) = with_env();
    fs::write(&file, "COMMAND_PORT=9000").unwrap();
    let report = place.run().unwrap();
    assert!(report.to_string().ends_with("next: docker compose up --build --wait\n"), "{report}");
    drop(report);
    let expected = "COMMAND_PORT=9000\nPASSBOOK_SECRETS=./secrets\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    assert!(place.run().unwrap().is_unchanged());
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}

#[test]
fn hosts_are_added_to_the_file_and_to_certificates() {
    let (mut place, file) = with_env();
    let line = || fs::read_to_string(&file).unwrap().lines().last().unwrap().to_owned();
    place.options.hosts = vec!["pay.example".to_owned()];
    place.run().unwrap();
    assert_eq!(line(), "PASSBOOK_HOSTS=pay.example");
    place.options.hosts = vec!["10.0.0.7".to_owned(), "pay.example".to_owned()];
    let report = place.run().unwrap();
    assert!(report.to_string().contains("written: PASSBOOK_HOSTS=pay.example,10.0.0.7 in "));
    drop(report);
    assert_eq!(line(), "PASSBOOK_HOSTS=pay.example,10.0.0.7");
    place.options.hosts.clear();
    assert!(place.run().unwrap().is_unchanged());
}

#[test]
fn another_directory_in_the_file_is_refused() {
    let (place, file) = with_env();
    fs::write(&file, "PASSBOOK_SECRETS=/elsewhere\n").unwrap();
    let said = format!("{:#}", place.run().map(drop).unwrap_err());
    assert!(said.contains("PASSBOOK_SECRETS is /elsewhere there, and not ./secrets"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "PASSBOOK_SECRETS=/elsewhere\n");
}
