use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Longer than a block of SHA-256, so that HMAC hashes it first.
const LONG: &str = "another key of more than 64 characters, which HMAC hashes to its digest first";
const KEY: &[u8] = b"01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60";
const VALUE: &[u8] = br#"{"amount":1}"#;

fn signed() -> Signed<'static> {
    Signed { partition: Partition::new(3), key: KEY, value: VALUE }
}

fn record(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: Vec<Header<'_, &[u8]>>,
) -> OwnedMessage {
    let all = headers.into_iter().fold(OwnedHeaders::new(), OwnedHeaders::insert);
    let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
    OwnedMessage::new(value, key, "topic".to_owned(), Timestamp::NotAvailable, 3, 17, Some(all))
}

/// The digests were computed with Python's `hmac`.
#[test]
fn a_mac_never_changes() {
    for (secret, partition, key, value, mac) in [
        (
            SECRET,
            3,
            KEY,
            VALUE,
            "e681b284:3e72688d32925ba6cc2fb9164324ea83d4cb7fd8419adf6421569f1b6bef2314",
        ),
        (
            SECRET,
            0,
            b"",
            b"",
            "e681b284:3dce28740d88f5e1308ab8faddd73711d129c7c04819f21ac0f9fbe1572419ec",
        ),
        (
            LONG,
            999,
            b"k",
            b"\xff\0",
            "c4914286:4c3b813e77b6c90ed5aee42cfa7f3c0a79fa8c26c854ef274bc8cd3427e6109f",
        ),
    ] {
        let partition = Partition::try_from(partition).unwrap();
        let keys = TopicKeys::new([secret]);
        let found = keys.sign(Signed { partition, key, value }).unwrap();
        assert_eq!(std::str::from_utf8(&found).unwrap(), mac);
        assert_eq!(keys.verify(Signed { partition, key, value }, mac.as_bytes()), Ok(()));
    }
}

#[test]
fn every_part_of_a_record_is_authenticated() {
    let keys = TopicKeys::new([SECRET]);
    let mac = keys.sign(signed()).unwrap();
    assert_eq!(keys.verify(signed(), &mac), Ok(()));
    for altered in [
        Signed { partition: Partition::new(4), ..signed() },
        Signed { key: b"01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b61", ..signed() },
        Signed { value: br#"{"amount":2}"#, ..signed() },
        Signed { value: b"", ..signed() },
        // The same bytes, divided at another place.
        Signed { key: &KEY[..35], value: br#"0{"amount":1}"#, ..signed() },
    ] {
        assert_eq!(keys.verify(altered, &mac), Err(Unauthentic::WrongMac), "{altered:?}");
    }
}

#[test]
fn an_altered_mac_is_wrong_and_no_bytes_panic() {
    let keys = TopicKeys::new([SECRET]);
    let mac = keys.sign(signed()).unwrap();
    for index in 0..LENGTH {
        for byte in [0, b':', b'0', b'F', b'g', 0xff, mac[index] ^ 1] {
            let mut altered = mac;
            altered[index] = byte;
            let expected = altered == mac;
            assert_eq!(keys.verify(signed(), &altered).is_ok(), expected, "{index} {byte}");
        }
        assert!(keys.verify(signed(), &mac[..index]).is_err(), "{index}");
    }
    assert!(keys.verify(signed(), &[&mac[..], b"0"].concat()).is_err());
    let upper = mac.to_ascii_uppercase();
    assert!(keys.verify(signed(), &upper).is_err(), "one text for one digest");
}

#[test]
fn the_first_key_signs_and_all_verify() {
    let [old, new] = [TopicKeys::new([SECRET]), TopicKeys::new([LONG])];
    let both = TopicKeys::new([LONG, SECRET]);
    let [by_old, by_new] = [&old, &new].map(|keys| keys.sign(signed()).unwrap());
    assert_eq!(both.sign(signed()).unwrap(), by_new);
    assert_eq!((both.verify(signed(), &by_old), both.verify(signed(), &by_new)), (Ok(()), Ok(())));
    assert_eq!(old.verify(signed(), &by_new), Err(Unauthentic::UnknownKey));
    assert_eq!(new.verify(signed(), &by_old), Err(Unauthentic::UnknownKey));
    // An id is public, so it proves nothing.
    let mut claimed = by_new;
    claimed[..ID].copy_from_slice(&by_old[..ID]);
    assert_eq!(both.verify(signed(), &claimed), Err(Unauthentic::WrongMac));
}

#[test]
fn the_mac_of_a_record_is_in_its_header() {
    let keys = TopicKeys::new([SECRET]);
    let mac = keys.sign(signed()).unwrap();
    let header = |key, value| Header { key, value };
    let check = |key, value, headers| keys.check(Partition::new(3), &record(key, value, headers));
    let other = || header("content-type", Some(&b"application/cloudevents+json"[..]));
    let ours = || header(MAC, Some(&mac[..]));
    assert_eq!(check(Some(KEY), Some(VALUE), vec![other(), ours()]), Ok(()));
    let none = OwnedMessage::new(None, None, "t".to_owned(), Timestamp::NotAvailable, 3, 17, None);
    assert_eq!(keys.check(Partition::new(3), &none), Err(Unauthentic::Unsigned));
    for headers in
        [vec![other()], vec![header(MAC, None)], vec![header("PASSBOOK-MAC", ours().value)]]
    {
        assert_eq!(check(Some(KEY), Some(VALUE), headers), Err(Unauthentic::Unsigned));
    }
    for (key, value) in [(None, Some(VALUE)), (Some(KEY), None), (None, None)] {
        assert_eq!(check(key, value, vec![ours()]), Err(Unauthentic::WrongMac));
    }
    let elsewhere = record(Some(KEY), Some(VALUE), vec![ours()]);
    assert_eq!(keys.check(Partition::new(2), &elsewhere), Err(Unauthentic::WrongMac));
}

#[test]
fn without_keys_nothing_is_signed_or_checked() {
    let none = TopicKeys::default();
    assert!(none.is_empty() && none.sign(signed()).is_none());
    assert_eq!(none.check(Partition::new(3), &record(None, None, Vec::new())), Ok(()));
    assert_eq!(format!("{:?}", TopicKeys::new([SECRET])), "1 topic keys");
}
