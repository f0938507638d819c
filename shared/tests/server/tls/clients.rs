use passbook_shared::config::TlsConfig;
use rustls::AlertDescription;

use super::*;

/// Returns the error of a handshake, or of the first read after it.
async fn refusal(server: &Server, client: rustls::ClientConfig) -> String {
    match handshake(server, client).await {
        Err(error) => error.to_string(),
        Ok(mut stream) => {
            stream.write_all(LIVE.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer).await;
            read.map_or_else(|error| error.to_string(), |_| format!("answered: {answer:?}"))
        }
    }
}

#[tokio::test]
async fn a_client_refuses_another_authority_and_another_name() {
    let started = TlsServer::start(Limits::default()).await;
    let said = refusal(&started.server, trusting(None, None).unwrap()).await;
    assert!(said.contains("UnknownIssuer"), "{said}");
    let other = Authority::new("other").unwrap();
    let path = other.write(&started.files.path().join("other.crt")).unwrap();
    let said = refusal(&started.server, trusting(Some(&path), None).unwrap()).await;
    assert!(said.contains("UnknownIssuer") || said.contains("BadSignature"), "{said}");

    let stream = TcpStream::connect(started.server.addr).await.unwrap();
    let name = ServerName::try_from("bank.example").unwrap();
    let connecting = TlsConnector::from(Arc::new(started.client())).connect(name, stream);
    let said = connecting.await.unwrap_err().to_string();
    assert!(said.contains("not valid for name"), "{said}");
}

#[tokio::test]
async fn a_client_that_speaks_http_2_only_is_refused() {
    let started = TlsServer::start(Limits::default()).await;
    let mut client = started.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let said = refusal(&started.server, client).await;
    assert!(said.contains(&format!("{:?}", AlertDescription::NoApplicationProtocol)), "{said}");
}

#[tokio::test]
async fn with_authorities_of_clients_each_client_shows_a_certificate() {
    let (authority, files) = (Authority::new("ours").unwrap(), tempfile::tempdir().unwrap());
    let ca = authority.write(&files.path().join("ca.crt")).unwrap();
    let identity = authority.issue(&["localhost"]).unwrap().write(files.path()).unwrap();
    let tls = server_tls(identity.clone(), Some(&ca));
    let server = start_with(Limits::default(), Some(tls.clone())).await;

    let said = refusal(&server, trusting(Some(&ca), None).unwrap()).await;
    assert!(said.contains("CertificateRequired"), "{said}");
    let others = tempfile::tempdir().unwrap();
    let other = Authority::new("other").unwrap().issue(&["localhost"]).unwrap();
    let other = server_tls(other.write(others.path()).unwrap(), None);
    let said = refusal(&server, trusting(Some(&ca), Some(other)).unwrap()).await;
    assert!(said.contains("UnknownCA") || said.contains("DecryptError"), "{said}");

    let mut known = handshake(&server, trusting(Some(&ca), Some(tls)).unwrap()).await.unwrap();
    known.write_all(LIVE.as_bytes()).await.unwrap();
    assert!(first(&mut known).await.ends_with("alive"));
}

#[tokio::test]
async fn a_subcommand_knows_its_own_service_by_its_certificate() {
    let (authority, files) = (Authority::new("ours").unwrap(), tempfile::tempdir().unwrap());
    let ca = authority.write(&files.path().join("ca.crt")).unwrap();
    // A name that does not fit the address.
    let issued = authority.issue(&["bank.example"]).unwrap();
    let identity = issued.write(files.path()).unwrap();
    let config = |client_ca: Option<&Path>| TlsConfig {
        tls_cert_file: Some(identity.certificate.clone()),
        tls_key_file: Some(identity.key.clone()),
        tls_client_ca_file: client_ca.map(Path::to_owned),
    };
    for client_ca in [None, Some(ca.as_path())] {
        let tls = config(client_ca).open("127.0.0.1:1".parse().unwrap()).unwrap();
        let server = start_with(Limits::default(), tls).await;
        let client = config(client_ca).own_client().unwrap();
        let mut known = handshake(&server, client).await.unwrap();
        known.write_all(LIVE.as_bytes()).await.unwrap();
        assert!(first(&mut known).await.ends_with("alive"));
    }
    // Another service at the same address.
    let other = authority.issue(&["bank.example"]).unwrap();
    let others = tempfile::tempdir().unwrap();
    let tls = server_tls(other.write(others.path()).unwrap(), None);
    let server = start_with(Limits::default(), Some(tls)).await;
    let said = refusal(&server, config(None).own_client().unwrap()).await;
    assert!(!said.contains("answered"), "{said}");
}
