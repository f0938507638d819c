use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;

fn passwords(secrets: &Secrets) -> [&str; 5] {
    let Secrets { admin, owner, command, projection, projection_owner } = secrets;
    [admin, owner, command, projection, projection_owner].map(String::as_str)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn passwords_are_random_and_stay_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let first = Secrets::of(directory.path()).unwrap();
    let mut different = passwords(&first).to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 5);
    for password in passwords(&first) {
        let is_plain = password.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(password.len() == 32 && is_plain, "{password}");
    }
    let again = Secrets::of(directory.path()).unwrap();
    assert_eq!(passwords(&again), passwords(&first));
    let elsewhere = tempfile::tempdir().unwrap();
    assert_ne!(passwords(&Secrets::of(elsewhere.path()).unwrap()), passwords(&first));
    assert_eq!(mode(&directory.path().join(FILE)), 0o600);
    assert_eq!(format!("{first:?}"), "Secrets");
}

#[test]
fn a_password_that_earlier_versions_lacked_is_added_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    let old = json!({"admin": "a", "owner": "o", "command": "c", "projection": "p"});
    std::fs::write(&file, old.to_string()).unwrap();
    let secrets = Secrets::of(directory.path()).unwrap();
    assert_eq!(passwords(&secrets)[..4], ["a", "o", "c", "p"]);
    assert_eq!(secrets.projection_owner.len(), 32);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["projection_owner"], secrets.projection_owner.as_str());
    assert_eq!(passwords(&Secrets::of(directory.path()).unwrap()), passwords(&secrets));
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    let words = format!("cannot read {}", file.display());
    for broken in ["", "{", "[]", r#"{"admin":"kret"}"#] {
        std::fs::write(&file, broken).unwrap();
        let error = Secrets::of(directory.path()).unwrap_err();
        assert_eq!(error.to_string(), words);
        assert!(!format!("{error:#}").contains("kret"), "{error:#}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), broken);
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(Secrets::of(directory.path()).unwrap_err().to_string(), words);
}

#[test]
fn a_key_is_generated_once_with_its_directory() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("a/b");
    let file = key_file(&data_dir, SNAPSHOT_KEY).unwrap();
    let key = std::fs::read_to_string(&file).unwrap();
    assert_eq!((file.as_path(), mode(&file)), (data_dir.join("snapshot.key").as_path(), 0o600));
    let is_plain = key.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(key.len() == 65 && key.ends_with('\n') && is_plain, "{key}");
    assert_ne!(key[..32], key[32..64], "two random halves");
    key_file(&data_dir, SNAPSHOT_KEY).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
    let other = std::fs::read_to_string(key_file(&data_dir, TOPIC_KEY).unwrap()).unwrap();
    assert!(other.len() == 65 && other != key, "each key is its own secret");
    let below_a_file = key_file(&file.join("c"), SNAPSHOT_KEY).unwrap_err().to_string();
    assert!(below_a_file.starts_with("cannot create "), "{below_a_file}");
}
