use clap::Parser;

use super::*;

#[derive(Parser)]
struct Settable {
    #[command(flatten)]
    cluster: ClusterOptions,
}

#[test]
fn a_cluster_is_in_the_working_directory_unless_another_is_given() {
    let given = |options: &[&str]| {
        Settable::try_parse_from(["test"].iter().chain(options)).map(|given| given.cluster)
    };
    let default = given(&[]).unwrap();
    assert_eq!((default.data_dir, default.postgres_bin), ("./.passbook".into(), None));
    let both = given(&["--data-dir", "/data", "--postgres-bin", "/usr/bin"]).unwrap();
    assert_eq!((both.data_dir, both.postgres_bin), ("/data".into(), Some("/usr/bin".into())));
    assert!(given(&["--data-dir"]).is_err());
}

#[test]
fn a_free_port_can_be_bound() {
    let port = free_port().unwrap();
    assert_eq!(TcpListener::bind(("127.0.0.1", port)).unwrap().local_addr().unwrap().port(), port);
}

#[tokio::test]
async fn a_cluster_is_not_started_in_a_directory_that_is_in_use_or_broken() {
    let parent = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: parent.path().to_owned(), ..Settings::default() };
    let used = Directory::open(parent.path(), None).unwrap();
    let error = Cluster::start(&settings).await.unwrap_err().to_string();
    assert!(error.contains("is in use by another passbook"), "{error}");
    std::fs::create_dir_all(used.data()).unwrap();
    drop(used);
    std::fs::set_permissions(
        parent.path(),
        <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o711),
    )
    .unwrap();
    let error = Cluster::start(&settings).await.unwrap_err().to_string();
    assert!(error.ends_with("is not a Postgres cluster"), "{error}");
}
