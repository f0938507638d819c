//! Certificates, as rustls verifies them.

use std::sync::Arc;

use passbook_shared::tls::testing::Authority as Another;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;
use crate::certificate::Certificate;

const FILES: [&str; 4] = [
    "postgres/tls.crt",
    "kafka/keystore.pem",
    "command-service/tls.crt",
    "projection-service/tls.crt",
];

/// Returns true if the authority has issued the certificate, for this name, as of now.
fn verifies(place: &Place, file: &str, name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(place.at("kafka/ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let certificate = CertificateDer::from_pem_file(place.at(file)).unwrap();
    let name = ServerName::try_from(name).unwrap();
    let verified =
        verifier.unwrap().verify_server_cert(&certificate, &[], &name, &[], UnixTime::now());
    verified.is_ok()
}

#[test]
fn each_server_has_a_certificate_with_its_names_and_key() {
    let mut place = Place::new();
    place.options.hosts = vec!["pay.example".to_owned(), "10.0.0.7".to_owned()];
    place.run().unwrap();
    for file in FILES {
        let server = file.split_once('/').unwrap().0;
        for name in [server, "localhost", "127.0.0.1", "::1"] {
            assert!(verifies(&place, file, name), "{file} {name}");
        }
        assert!(!verifies(&place, file, "elsewhere"), "{file}");
        let is_service = server.ends_with("service");
        assert_eq!(verifies(&place, file, "pay.example"), is_service, "{file}");
        assert_eq!(verifies(&place, file, "10.0.0.7"), is_service, "{file}");
        let key = if server == "kafka" { file.to_owned() } else { format!("{server}/tls.key") };
        let certificate = Certificate::parse(&place.read(file)).unwrap();
        assert!(certificate.belongs_to(&place.read(&key)), "{file}");
        assert!(!certificate.belongs_to(&place.read("ca.key")), "{file}");
    }
    for folder in ["kafka"].into_iter().chain(CONTAINERS) {
        assert_eq!(place.read(&format!("{folder}/ca.pem")), place.read("ca.pem"), "{folder}");
    }
}

#[test]
fn a_renewal_replaces_certificates_only_and_keeps_their_names() {
    let mut place = Place::new();
    place.options.hosts = vec!["pay.example".to_owned()];
    place.run().unwrap();
    let before = place.files();
    place.options.hosts.clear();
    place.options.renew_certificates = true;
    assert!(place.run().unwrap().to_string().contains("valid until 20"));
    for (file, text) in place.files() {
        let is_renewed = file.contains("/tls.") || file == "kafka/keystore.pem";
        assert_eq!(before[&file] != text, is_renewed, "{file}");
    }
    for file in FILES {
        assert!(verifies(&place, file, "localhost"), "{file}");
    }
    assert!(verifies(&place, "command-service/tls.crt", "pay.example"));
}

#[test]
fn a_certificate_that_lacks_a_host_is_replaced() {
    let mut place = Place::complete();
    place.options.hosts = vec!["pay.example".to_owned()];
    let report = place.run().unwrap();
    let of_services = ["tls.key", "tls.crt"].map(|file| format!("command-service/{file}"));
    assert_eq!(report.directory.written[..2], of_services);
    assert_eq!(report.directory.written.len(), 4);
    drop(report);
    assert!(verifies(&place, "projection-service/tls.crt", "pay.example"));
}

#[test]
fn a_certificate_of_another_authority_stays() {
    let mut place = Place::complete();
    let issued = Another::new("public").unwrap().issue(&["pay.example"]).unwrap();
    issued.write(&place.at("command-service")).unwrap();
    place.options.renew_certificates = true;
    let report = place.run().unwrap();
    let said = "command-service/tls.crt is of another authority and stays";
    assert!(report.to_string().contains(said), "{report}");
    drop(report);
    assert_eq!(place.read("command-service/tls.crt"), issued.certificate);
}

#[test]
fn a_certificate_without_its_key_is_replaced() {
    let place = Place::complete();
    // As after a crash between the two files of a renewal.
    fs::copy(place.at("postgres/tls.key"), place.at("command-service/tls.key")).unwrap();
    assert!(!place.run().unwrap().is_unchanged());
    let certificate = Certificate::parse(&place.read("command-service/tls.crt")).unwrap();
    assert!(certificate.belongs_to(&place.read("command-service/tls.key")));
}

#[test]
fn the_key_of_the_authority_is_needed_for_new_certificates_only() {
    let mut place = Place::complete();
    let key = place.read("ca.key");
    fs::remove_file(place.at("ca.key")).unwrap();
    assert!(place.run().unwrap().is_unchanged());
    place.options.renew_certificates = true;
    assert!(place.refusal().contains("ca.key is needed for new certificates: bring it back"));
    fs::write(place.at("ca.key"), place.read("postgres/tls.key")).unwrap();
    assert!(format!("{:#}", place.run().map(drop).unwrap_err()).contains("does not belong"));
    fs::write(place.at("ca.key"), &key).unwrap();
    place.run().unwrap();
    fs::remove_file(place.at("ca.pem")).unwrap();
    assert!(place.refusal().contains("ca.pem is missing, but certificates of it exist"));
}

#[test]
fn a_crash_after_the_first_file_begins_again() {
    let place = Place::complete();
    let first = tempfile::tempdir().unwrap();
    fs::copy(place.at("ca.key"), first.path().join("ca.key")).unwrap();
    let options = SetupOptions { directory: first.path().to_owned(), ..place.options.clone() };
    assert!(!set_up(&options).unwrap().is_unchanged());
    assert!(set_up(&options).unwrap().is_unchanged());
}
