use proptest::prelude::*;

use super::*;
use crate::domain::tests::specification::{ACCOUNT, OTHER, close, deposit, transfer, withdraw};

/// Returns a request for a command, without a key.
pub(crate) fn request(account_id: Uuid, command: Command) -> CommandRequest {
    CommandRequest {
        account_id,
        command,
        reach: Reach::default(),
        expected_versions: None,
        dry_run: false,
        command_id: Uuid::from_u128(99),
        context: CommandContext::default(),
    }
}

pub(crate) fn with_key(mut request: CommandRequest, key: &str) -> CommandRequest {
    request.context.idempotency_key = Some(key.to_owned());
    request
}

pub(crate) fn dry(request: CommandRequest) -> CommandRequest {
    CommandRequest { dry_run: true, ..request }
}

fn expecting(versions: &[i64], request: CommandRequest) -> CommandRequest {
    CommandRequest { expected_versions: Some(versions.to_vec()), ..request }
}

fn transfer_of(id: u128) -> Command {
    transfer(Uuid::from_u128(id), OTHER, 5)
}

#[test]
fn the_fingerprint_is_that_of_earlier_releases() {
    let of_json = |json: &str| {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, json.as_bytes()).as_u64_pair().0.cast_signed()
    };
    let close = request(ACCOUNT, close());
    assert_eq!(close.fingerprint(), of_json(r#"[{"close":{"reason":"moved away"}},null]"#));
    // Kept by a release that hashed `If-Match` as well.
    let kept = of_json(r#"[{"close":{"reason":"moved away"}},7]"#);
    assert!(expecting(&[7], close.clone()).has_fingerprint(kept));
    for other in [
        close.clone(),
        expecting(&[8], close.clone()),
        expecting(&[7, 8], close.clone()),
        expecting(&[8, 7], close.clone()),
        expecting(&[], close.clone()),
        expecting(&[7], request(ACCOUNT, deposit(7))),
    ] {
        assert!(!other.has_fingerprint(kept), "{other:?}");
        assert!(other.has_fingerprint(other.fingerprint()), "{other:?}");
    }
}

#[test]
fn only_the_command_is_part_of_the_fingerprint() {
    let plain = request(ACCOUNT, deposit(5));
    let mut other = with_key(expecting(&[1], dry(request(OTHER, deposit(5)))), "k");
    other.command_id = Uuid::from_u128(1);
    other.context.correlation_id = Some("trail".to_owned());
    assert_eq!(plain.fingerprint(), other.fingerprint());
    for command in [deposit(6), withdraw(5), transfer_of(1), transfer_of(2)] {
        assert_ne!(plain.fingerprint(), request(ACCOUNT, command).fingerprint());
    }
}

#[test]
fn a_dry_run_has_neither_a_key_nor_an_identity() {
    let keyed = with_key(request(ACCOUNT, transfer_of(1)), "k");
    let identities: Vec<Identity> = keyed.identities().collect();
    let key = Identity::Key(ACCOUNT, "k".to_owned());
    assert_eq!(identities, [key, Identity::Transfer(Uuid::from_u128(1))]);
    assert_eq!(keyed.key(), Some("k"));
    let dry = dry(keyed);
    assert_eq!((dry.key(), dry.identities().count()), (None, 0));
    assert_eq!(request(ACCOUNT, deposit(1)).identities().count(), 0);
}

#[test]
fn a_set_does_not_collide_with_itself_but_with_each_earlier_one() {
    let key = |account, key: &str| Identity::Key(account, key.to_owned());
    let mut uses = FirstUses::default();
    assert!(uses.claim([key(ACCOUNT, "a"), key(ACCOUNT, "a")].into_iter()));
    assert!(uses.claim([key(OTHER, "a"), key(ACCOUNT, "b")].into_iter()));
    assert!(uses.claim([].into_iter()));
    // One repeat suffices. The rest of its set counts as used, too.
    assert!(!uses.claim([key(ACCOUNT, "c"), key(ACCOUNT, "b")].into_iter()));
    assert!(!uses.claim([key(ACCOUNT, "c")].into_iter()));
    assert!(uses.claim([Identity::Transfer(ACCOUNT)].into_iter()));
    assert!(!uses.claim([Identity::Transfer(ACCOUNT)].into_iter()));
}

fn requests() -> impl Strategy<Value = Vec<CommandRequest>> {
    let one = (0..3_usize, 0..4_u128, any::<bool>(), any::<bool>()).prop_map(
        |(key, id, is_transfer, is_dry)| {
            let command = if is_transfer { transfer_of(id) } else { deposit(1) };
            let plain = request(ACCOUNT, command);
            let keyed = if key < 2 { with_key(plain, &key.to_string()) } else { plain };
            CommandRequest { dry_run: is_dry, ..keyed }
        },
    );
    prop::collection::vec(one, 0..20)
}

proptest! {
    #[test]
    fn stretches_are_the_longest_ones_without_repeats(requests in requests()) {
        let stretches = stretches(requests.clone());
        let rejoined: Vec<String> =
            stretches.iter().flatten().map(|request| format!("{request:?}")).collect();
        let expected: Vec<String> =
            requests.iter().map(|request| format!("{request:?}")).collect();
        prop_assert_eq!(rejoined, expected);
        for (n, stretch) in stretches.iter().enumerate() {
            let mut uses = FirstUses::default();
            prop_assert!(stretch.iter().all(|request| uses.claim(request.identities())));
            if let Some(next) = stretches.get(n + 1) {
                prop_assert!(!uses.claim(next[0].identities()), "it could have been longer");
            }
        }
    }
}
