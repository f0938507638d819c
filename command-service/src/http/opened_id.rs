//! Ids of accounts whose opening brings an idempotency key and no id: a repeat must find the same account.

use std::collections::HashMap;

use passbook_shared::http::problem::Problem;
use uuid::Uuid;

use super::AppState;
use crate::domain::Command;
use crate::request::CommandRequest;

/// Of owner and key. Never to be changed.
const OPENED_BY_OWNER_AND_KEY: Uuid = Uuid::from_u128(0x2a7d_41c8_96e3_4d1b_8c05_7be2_f1a9_3d64);
/// Of the key alone, as stores had it once. Never to be changed.
const OPENED_BY_KEY: Uuid = Uuid::from_u128(0x6b1d_9ed3_4f0c_4f4e_8d4f_0d6a_6a6f_b0c5);

/// The id of the account that this owner opens with this key: another owner's key is another key. No owner holds a NUL.
pub(super) fn opened_id(owner: &str, key: &str) -> Uuid {
    Uuid::new_v5(&OPENED_BY_OWNER_AND_KEY, &[owner.as_bytes(), b"\0", key.as_bytes()].concat())
}

impl AppState {
    /// Leaves openings by key the accounts that they opened when ids were of the key alone: if the owner is the same, it is
    /// the same opening.
    ///
    /// # Errors
    /// 503, if the log can't be read now.
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

/// The ids that the account would have had by the key alone, as it is and as it was sent in quotes, if the request leaves its
/// id to us.
fn ids_by_key(request: &CommandRequest) -> Option<[Uuid; 2]> {
    let (Command::Open(opening), Some(key)) = (&request.command, &request.context.idempotency_key)
    else {
        return None;
    };
    let is_made = request.account_id == opened_id(&opening.owner, key);
    let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
    is_made.then(|| [key, &quoted].map(|key| Uuid::new_v5(&OPENED_BY_KEY, key.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_and_key_are_one_id_for_ever() {
        assert_eq!(opened_id("ada", "open-1").to_string(), "32612b91-1d42-5c4e-a1bc-0e7bf811de9c");
        for (owner, key) in
            [("ada", "open-2"), ("bob", "open-1"), ("adao", "pen-1"), ("ad", "aopen-1")]
        {
            assert_ne!(opened_id(owner, key), opened_id("ada", "open-1"), "{owner} {key}");
        }
        assert_eq!(
            Uuid::new_v5(&OPENED_BY_KEY, b"open-1").to_string(),
            "b41404cf-c9a8-56e6-a682-4a96793eef69"
        );
    }
}
