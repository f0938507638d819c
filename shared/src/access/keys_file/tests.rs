use std::time::Duration;

use super::*;
use crate::access::api_key::{NewKey, id_of};
use crate::access::key_table::Unauthenticated;
use crate::access::scope::Role;

const LATE: &str = "2100-01-01T00:00:00Z";

fn request(principal: &str, role: Role) -> KeyRequest {
    KeyRequest {
        principal: principal.to_owned(),
        scopes: role.scopes(),
        reach: Reach::default(),
        rate: None,
        lifetime: None,
        note: None,
    }
}

fn late() -> Timestamp {
    LATE.parse().unwrap()
}

fn refused(table: &KeyTable, text: &str) -> Unauthenticated {
    table.authenticate(text, late()).unwrap_err()
}

#[test]
fn a_key_is_added_rotated_and_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let table = || KeysFile::read(&path).unwrap().table().unwrap();
    let (teller, reader) = (
        add(&path, &request("till-3", Role::Teller)).unwrap(),
        add(&path, &request("report", Role::Reader)).unwrap(),
    );
    let found = table().authenticate(&teller.text, late()).unwrap();
    assert_eq!((found.name.as_str(), found.scopes), ("till-3", Role::Teller.scopes()));

    let next = rotate(&path, "till-3", Duration::from_secs(3_600), None).unwrap();
    assert_eq!(table().authenticate(&next.text, late()).unwrap().name, found.name);
    assert!(table().authenticate(&teller.text, Timestamp::now()).is_ok());
    assert_eq!(refused(&table(), &teller.text), Unauthenticated::Expired);

    assert_eq!(revoke(&path, &next.id).unwrap(), 1);
    assert_eq!(refused(&table(), &next.text), Unauthenticated::Unknown);
    assert!(table().authenticate(&reader.text, late()).is_ok());
    assert_eq!(revoke(&path, "till-3").unwrap(), 1);
    assert!(format!("{:#}", revoke(&path, "till-3").unwrap_err()).contains("`till-3`"));
    assert!(
        format!("{:#}", rotate(&path, "till-3", Duration::ZERO, None).unwrap_err())
            .contains("`till-3` has no key")
    );
    assert!(!std::fs::read_to_string(&path).unwrap().contains(&reader.text));
}

#[test]
fn a_lifetime_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let lifetime = Some(Duration::from_secs(60));
    let key = add(&path, &KeyRequest { lifetime, ..request("ada", Role::Reader) }).unwrap();
    let table = KeysFile::read(&path).unwrap().table().unwrap();
    assert!(table.authenticate(&key.text, Timestamp::now()).is_ok());
    assert_eq!(refused(&table, &key.text), Unauthenticated::Expired);
}

#[test]
fn changes_keep_comments_and_the_mode_of_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    add(&path, &request("ada", Role::Reader)).unwrap();
    assert_eq!(mode(), 0o600);
    let text = format!("# for the auditors\n{}", std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    add(&path, &request("bob", Role::Auditor)).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("# for the auditors\n[[key]]"));
    assert_eq!(mode(), 0o640);
}

#[test]
fn concurrent_changes_lose_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let path = &path;
            scope.spawn(move || add(path, &request(&format!("p{number}"), Role::Reader)).unwrap());
        }
    });
    assert_eq!(KeysFile::read(&path).unwrap().keys.len(), 16);
}

#[test]
fn an_invalid_file_is_refused_with_the_place() {
    let digest = "0".repeat(64);
    let entry = |principal: &str, digest: &str, scope: &str, more: &str| {
        format!(
            "[[key]]\nid = \"0123456789\"\nprincipal = \"{principal}\"\nsha256 = \"{digest}\"\n\
             scopes = [\"{scope}\"]\n{more}\n"
        )
    };
    let refused = |text: &str| {
        let table = KeysFile::parse(text).and_then(|file| file.table());
        format!("{:#}", table.map(|_| ()).unwrap_err())
    };
    let good = entry("ada", &digest, "money:move", "");
    assert!(KeysFile::parse(&good).unwrap().table().is_ok());
    assert!(KeysFile::parse("").unwrap().table().is_ok());
    for (text, reason) in [
        (format!("{good}{good}"), "key 0123456789 occurs twice"),
        (entry("ada", &digest, "money:steal", ""), "there is no scope `money:steal`; the scopes"),
        (entry("ada", "00", "money:move", ""), "key 0123456789: `sha256` is not 64 hex digits"),
        (entry("a b", &digest, "money:move", ""), "key 0123456789: `principal` must be"),
        (entry("", &digest, "money:move", ""), "key 0123456789: `principal` must be"),
        (
            entry("passbook", &digest, "money:move", ""),
            "key 0123456789: `passbook` is the service itself",
        ),
        (entry("PassBook", &digest, "money:move", ""), "`PassBook` is the service itself"),
        (good.replace("0123456789", "012345678G"), "`id` is not the second part of a key"),
        (good.replace("0123456789", "a b"), "`id` is not the second part of a key"),
        (entry("ada", &digest, "log:read", "owner = \"x\""), "owner"),
        (entry("ada", &digest, "money:move", "expires = \"soon\""), "line 6"),
        ("[[key]]\nid = \"a\"\n".to_owned(), "principal"),
        ("[[key]".to_owned(), "line 1"),
        (format!("\n[[key]]\nsha256 = \"{digest}"), "line 3"),
        (format!("[[key]]\nsha256 = \"{digest}\" x"), "line 2"),
    ] {
        let found = refused(&text);
        assert!(found.contains(reason), "{text}\n{found}");
        assert!(!found.contains(&digest), "a line of the file is repeated: {found}");
    }
    let name = "x".repeat(65);
    assert!(add(std::path::Path::new("unused"), &request(&name, Role::Reader)).is_err());
}

#[test]
fn the_keys_of_a_principal_share_its_rate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let limited = KeyRequest { rate: NonZeroU32::new(2), ..request("ada", Role::Reader) };
    let first = add(&path, &limited).unwrap();
    let second = rotate(&path, "ada", Duration::from_secs(60), None).unwrap();
    let table = KeysFile::read(&path).unwrap().table().unwrap();
    let take = |text: &str| {
        let principal = table.authenticate(text, Timestamp::now()).unwrap();
        principal.rate.as_ref().unwrap().take()
    };
    assert_eq!((take(&first.text), take(&second.text)), (Ok(()), Ok(())));
    assert!(take(&first.text).is_err() && take(&second.text).is_err());
}

#[test]
fn a_tenant_has_quotas_that_its_keys_share() {
    let (ada, bob) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
    let entry = |key: &NewKey, more: &str| {
        format!(
            "[[key]]\nid = \"{}\"\nprincipal = \"p-{}\"\nsha256 = \"{}\"\n{more}\n",
            key.id, key.id, key.digest
        )
    };
    let tenant = "[[tenant]]\nname = \"acme\"\nrate = 2\nmax_accounts = 5\n";
    let of_acme = "tenant = \"acme\"\nscopes = [\"money:move\"]";
    let text = [tenant, &entry(&ada, of_acme), &entry(&bob, of_acme)].concat();
    let table = KeysFile::parse(&text).unwrap().table().unwrap();
    let acme = "acme".parse().unwrap();
    let quotas = table.quotas(&acme).unwrap();
    assert_eq!((quotas.max_accounts, quotas.max_open_holds), (Some(5), None));
    let rate = quotas.rate.as_ref().unwrap();
    assert!(rate.take().is_ok() && rate.take().is_ok() && rate.take().is_err());
    assert!([ada, bob].iter().all(|key| table.authenticate(&key.text, late()).is_ok()));

    let twice = KeysFile::parse(&[tenant, tenant].concat()).unwrap().table().unwrap_err();
    assert!(twice.to_string().contains("tenant acme occurs twice"), "{twice}");
    let of_store = "owner = \"ada\"\nscopes = [\"money:move\", \"log:read\"]";
    let other = NewKey::generate().unwrap();
    let refused = KeysFile::parse(&entry(&other, of_store)).unwrap().table().unwrap_err();
    assert!(format!("{refused:#}").contains("scope `log:read` is of the whole store"));
}

#[test]
fn a_changed_file_keeps_the_rates_in_use() {
    let rate = |limit: u32| NonZeroU32::new(limit);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.toml");
    let key = |name: &str, rate| {
        add(&path, &KeyRequest { rate, ..request(name, Role::Reader) }).unwrap().text
    };
    let (slow, fast) = (key("ada", rate(2)), key("ada", rate(50)));
    let (free, bob) = (key("ada", None), key("bob", rate(2)));
    let mut rates = Rates::default();
    let mut table = || KeysFile::read(&path).unwrap().table_with(&mut rates).unwrap();
    let take = |table: &KeyTable, text: &str| {
        let principal = table.authenticate(text, Timestamp::now()).unwrap();
        principal.rate.as_ref().unwrap().take().is_ok()
    };
    let before = table();
    assert!(take(&before, &slow) && take(&before, &fast), "the lowest rate permits two");
    assert!(![&slow, &fast, &free].iter().any(|text| take(&before, text)));
    key("carl", rate(1));
    let after = table();
    assert!(!take(&after, &slow) && !take(&after, &free), "the change permits no more");
    assert!(take(&after, &bob));
    revoke(&path, id_of(&slow).unwrap()).unwrap();
    assert!(take(&table(), &fast), "another limit is another rate");
}
