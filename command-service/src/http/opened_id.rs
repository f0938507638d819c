//! Ids of accounts that are opened with an idempotency key and without an id: a repeat must find
//! the same account.

use std::collections::HashMap;

use passbook_shared::http::problem::Problem;
use passbook_shared::tenant::Tenant;
use uuid::Uuid;

use super::AppState;
use crate::domain::Command;
use crate::request::CommandRequest;

/// UUIDv5 namespace of owner and key. Must never change.
const OPENED_BY_OWNER_AND_KEY: Uuid = Uuid::from_u128(0x2a7d_41c8_96e3_4d1b_8c05_7be2_f1a9_3d64);
/// UUIDv5 namespace of tenant, owner and key. Must never change.
const OPENED_IN_TENANT: Uuid = Uuid::from_u128(0x83f0_5c1e_27d4_4b6a_9e31_c6a8_0d5b_72e9);
/// UUIDv5 namespace of the key alone, which older stores used. Must never change.
const OPENED_BY_KEY: Uuid = Uuid::from_u128(0x6b1d_9ed3_4f0c_4f4e_8d4f_0d6a_6a6f_b0c5);

/// Returns the account id for a tenant, an owner and a key. The separating NUL is unambiguous,
/// because tenants and owners contain none.
pub(super) fn opened_id(tenant: Option<&Tenant>, owner: &str, key: &str) -> Uuid {
    let of_owner = [owner.as_bytes(), b"\0", key.as_bytes()].concat();
    match tenant {
        None => Uuid::new_v5(&OPENED_BY_OWNER_AND_KEY, &of_owner),
        Some(tenant) => {
            let of_tenant = [tenant.as_bytes(), b"\0", &of_owner].concat();
            Uuid::new_v5(&OPENED_IN_TENANT, &of_tenant)
        }
    }
}

impl AppState {
    /// Redirects openings to accounts whose ids were derived from the key alone, if the owner is
    /// the same. Such an opening is a repeat from before ids depended on the owner.
    ///
    /// # Errors
    /// 503 if the log cannot be read.
    pub(super) async fn keep_opened_ids(
        &self,
        requests: &mut [CommandRequest],
    ) -> Result<(), Problem> {
        if !self.log.store().opened_by_key_alone {
            return Ok(());
        }
        let ids: HashMap<Uuid, [Uuid; 2]> = requests
            .iter()
            .filter_map(|request| Some((request.account_id, ids_by_key(request)?)))
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let owners = self.log.owners(&ids.values().flatten().copied().collect::<Vec<_>>()).await?;
        for request in requests {
            let (Command::Open(opening), Some(old)) =
                (&request.command, ids.get(&request.account_id))
            else {
                continue;
            };
            let is_owner =
                |id: &&Uuid| owners.get(*id).is_some_and(|owner| **owner == *opening.owner);
            if let Some(id) = old.iter().find(is_owner) {
                request.account_id = *id;
            }
        }
        Ok(())
    }
}

/// Returns the ids that older stores would have derived, from the bare and from the quoted key.
/// Returns `None` if the request supplied its own id.
fn ids_by_key(request: &CommandRequest) -> Option<[Uuid; 2]> {
    let (Command::Open(opening), Some(key)) = (&request.command, &request.context.idempotency_key)
    else {
        return None;
    };
    // Tenants are younger than ids of the key alone.
    let is_derived =
        opening.tenant.is_none() && request.account_id == opened_id(None, &opening.owner, key);
    let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
    is_derived.then(|| [key, &quoted].map(|key| Uuid::new_v5(&OPENED_BY_KEY, key.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_key_determine_the_id() {
        let of_none = |owner, key| opened_id(None, owner, key);
        let tenant = |name: &str| name.parse::<Tenant>().unwrap();
        assert_eq!(of_none("ada", "open-1").to_string(), "32612b91-1d42-5c4e-a1bc-0e7bf811de9c");
        for (owner, key) in
            [("ada", "open-2"), ("bob", "open-1"), ("adao", "pen-1"), ("ad", "aopen-1")]
        {
            assert_ne!(of_none(owner, key), of_none("ada", "open-1"), "{owner} {key}");
        }
        let in_acme = opened_id(Some(&tenant("acme")), "ada", "open-1");
        assert_eq!(in_acme.to_string(), "b0937084-64e0-5992-abb5-ea98aa979a5f");
        assert_ne!(in_acme, opened_id(Some(&tenant("other")), "ada", "open-1"));
        assert_eq!(
            Uuid::new_v5(&OPENED_BY_KEY, b"open-1").to_string(),
            "b41404cf-c9a8-56e6-a682-4a96793eef69"
        );
    }
}
