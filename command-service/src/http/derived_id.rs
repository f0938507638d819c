//! Ids of entities for which the client supplied none.

use uuid::Uuid;

/// UUIDv5 namespace of transfers without a client-supplied id. Must never change.
pub(super) const SENT_BY_KEY: Uuid = Uuid::from_u128(0x3c5e_2f6a_91d4_4b0e_a7c8_5d1f_90e2_6b34);

/// Returns the UUIDv5 of account and idempotency key in the `namespace`, so that a repeat derives
/// the same id. Without a key, returns a random id. Must never change.
pub(super) fn derived_id(namespace: Uuid, account_id: Uuid, key: Option<&str>) -> Uuid {
    let of_key =
        |key: &str| Uuid::new_v5(&namespace, &[account_id.as_bytes(), key.as_bytes()].concat());
    key.map_or_else(Uuid::now_v7, of_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_on_one_account_is_one_id_for_ever() {
        let (namespace, account) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let made = derived_id(namespace, account, Some("order-1"));
        assert_eq!(made.to_string(), "a9df3b69-cc6b-5266-953d-cdc0ecd32e27");
        assert_eq!(derived_id(namespace, account, Some("order-1")), made);
        for other in [
            derived_id(namespace, account, Some("order-2")),
            derived_id(namespace, Uuid::from_u128(3), Some("order-1")),
            derived_id(Uuid::from_u128(4), account, Some("order-1")),
            derived_id(namespace, account, None),
            derived_id(namespace, account, None),
        ] {
            assert_ne!(other, made);
        }
    }
}
