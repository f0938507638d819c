//! Setups of temporary directories.

mod certificates;
mod compose;
mod secrets;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::options::SetupOptions;
use crate::report::Report;
use crate::set_up;

/// Directory of one test, and the options of its setups.
struct Place {
    _above: tempfile::TempDir,
    options: SetupOptions,
}

impl Place {
    fn new() -> Self {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("secrets");
        let options = SetupOptions {
            directory,
            hosts: Vec::new(),
            renew_certificates: false,
            compose_env: None,
        };
        Self { _above: above, options }
    }

    fn complete() -> Self {
        let place = Self::new();
        place.run().unwrap();
        place
    }

    fn run(&self) -> anyhow::Result<Report> {
        set_up(&self.options)
    }

    fn refusal(&self) -> String {
        self.run().map(|report| report.to_string()).unwrap_err().to_string()
    }

    fn at(&self, file: &str) -> PathBuf {
        self.options.directory.join(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.at(file)).unwrap()
    }

    /// Returns the contents of all files, by their paths.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for folder in [".", "operator", "keys", "kafka", "postgres"].into_iter().chain(CONTAINERS) {
            for entry in fs::read_dir(self.at(folder)).unwrap().map(Result::unwrap) {
                if entry.path().is_file() {
                    let file = format!("{folder}/{}", entry.file_name().display());
                    files.insert(file.clone(), self.read(&file));
                }
            }
        }
        files
    }
}

/// Folders of the containers of Passbook itself.
const CONTAINERS: [&str; 4] =
    ["command-service", "command-migrate", "projection-service", "projection-migrate"];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_second_setup_changes_nothing_and_says_so() {
    let place = Place::complete();
    let before = place.files();
    assert_eq!(before.len(), 36, "{:#?}", before.keys());
    let report = place.run().unwrap();
    assert!(report.is_unchanged());
    assert!(report.to_string().contains("is complete: nothing was changed"), "{report}");
    drop(report);
    assert_eq!(place.files(), before);
}

#[test]
fn only_the_owner_enters_the_directory_and_containers_read_their_folders() {
    let place = Place::complete();
    assert_eq!(mode(&place.options.directory), 0o700);
    for file in place.files().keys() {
        let is_private = ["./ca.key", "./ca.pem", "./setup.lock"].contains(&&**file);
        let expected = if is_private { 0o600 } else { 0o644 };
        let is_lock = file == "keys/keys.lock";
        assert!(is_lock || mode(&place.at(file)) == expected, "{file}");
        let folder = place.at(file.split_once('/').unwrap().0);
        assert!(is_private || mode(&folder) == 0o755, "{folder:?}");
    }
    // A mode that somebody has changed is corrected.
    fs::set_permissions(&place.options.directory, fs::Permissions::from_mode(0o755)).unwrap();
    place.run().unwrap();
    assert_eq!(mode(&place.options.directory), 0o700);
}

#[test]
fn a_report_has_no_secret_and_each_secret_is_another() {
    let place = Place::new();
    let report = place.run().unwrap().to_string();
    assert!(report.contains("written: ") && report.contains("--allow-principal User:relay"));
    let files = place.files();
    let secrets: Vec<&str> = files
        .iter()
        .filter(|(file, _)| file.ends_with(".password") || file.ends_with("key"))
        .map(|(_, text)| text.trim())
        .collect();
    assert_eq!(secrets.len(), 19, "{:?}", files.keys());
    for secret in &secrets {
        assert!(secret.len() > 40 && !report.contains(secret));
    }
    let mut different = secrets.clone();
    different.sort_unstable();
    different.dedup();
    // Four passwords and the key of the topic are in two files.
    assert_eq!(different.len(), secrets.len() - 5);
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    let place = Place::new();
    fs::create_dir(&place.options.directory).unwrap();
    fs::set_permissions(&place.options.directory, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(place.at("thesis.tex"), "").unwrap();
    assert!(place.refusal().contains("has files, but no ca.pem of an earlier setup"));
    assert_eq!(mode(&place.options.directory), 0o755);
    assert_eq!(fs::read_dir(&place.options.directory).unwrap().count(), 1);
    fs::remove_file(place.at("thesis.tex")).unwrap();
    place.run().unwrap();
}

#[test]
fn any_missing_file_is_replaced_and_the_others_stay() {
    let place = Place::complete();
    let before = place.files();
    for file in before.keys().filter(|file| !file.starts_with("./") && !file.ends_with("lock")) {
        fs::remove_file(place.at(file)).unwrap();
        let report = place.run().unwrap();
        assert!(!report.is_unchanged() && place.at(file).exists(), "{file}");
        drop(report);
        assert!(place.run().unwrap().is_unchanged(), "{file}");
    }
    let copies = ["kafka/ca.pem", "postgres/passbook_command.password", "kafka/admin.properties"];
    for file in copies {
        assert_eq!(place.read(file), before[file], "{file}");
    }
}

#[test]
fn setups_at_the_same_time_create_one_set() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| place.run().map(drop).unwrap());
        }
    });
    assert!(place.run().unwrap().is_unchanged());
}
