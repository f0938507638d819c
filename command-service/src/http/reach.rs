//! Commands that would put an account out of their sender's reach.

use axum::http::StatusCode;
use passbook_shared::access::Reach;
use passbook_shared::http::problem::Problem;
use passbook_shared::tenant::Tenant;

use super::derived_id::{SENT_BY_KEY, derived_id};
use super::opened_id::opened_id;
use crate::domain::Command;
use crate::request::CommandRequest;

/// Version of derived UUIDs.
const DERIVED: usize = 5;

/// Checks the ids, the tenant and the owner that a command gives.
///
/// # Errors
/// 403 `out_of_reach` if the sender may not have such an account. 400 if a restricted sender gives
/// an id that the service could derive.
pub(super) fn check(request: &CommandRequest) -> Result<(), Problem> {
    let CommandRequest { reach, command, .. } = request;
    if !reach.is_everything() {
        check_derived(request)?;
    }
    let permitted = match command {
        Command::Open(opening) => reach.includes(opening.tenant.as_ref(), &opening.owner),
        Command::ChangeOwner(changed) => reach.includes_owner(&changed.owner),
        _ => true,
    };
    if permitted { Ok(()) } else { Err(out_of_reach(reach)) }
}

/// Checks that a command gives no account or transfer an id that the service derives from the
/// idempotency key of another: whoever knows the key could take the id before its owner, or find
/// out if it exists.
fn check_derived(request: &CommandRequest) -> Result<(), Problem> {
    let key = request.context.idempotency_key.as_deref();
    let (field, id, derived) = match &request.command {
        Command::Open(opening) => {
            let of_key = |key| opened_id(opening.tenant.as_ref(), &opening.owner, key);
            ("account_id", request.account_id, key.map(of_key))
        }
        Command::Transfer(transfer) => {
            let of_key = |key| derived_id(SENT_BY_KEY, request.account_id, Some(key));
            ("transfer_id", transfer.transfer_id, key.map(of_key))
        }
        _ => return Ok(()),
    };
    if id.get_version_num() == DERIVED && derived != Some(id) {
        let why = "must not be a UUID of version 5: the service derives such ids from keys";
        return Err(Problem::malformed(field, why));
    }
    Ok(())
}

/// Returns the reach of an example.
pub(super) fn example() -> Reach {
    Reach { tenant: "acme".parse().ok(), owner: None }
}

/// Returns 403 `out_of_reach`.
pub(super) fn out_of_reach(reach: &Reach) -> Problem {
    let tenant = reach.tenant.as_ref().map(|tenant: &Tenant| format!("tenant `{tenant}`"));
    let owner = reach.owner.as_ref().map(|owner| format!("owner `{}`", &**owner));
    let limits: Vec<String> = [tenant, owner].into_iter().flatten().collect();
    let detail = format!("the API key is restricted to accounts of {}", limits.join(" and "));
    Problem::new(StatusCode::FORBIDDEN, "out_of_reach", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::specification::{deposit, opening, transfer};
    use crate::request::tests::{request, with_key};
    use passbook_shared::event::OwnerChanged;
    use passbook_shared::text::Owner;
    use uuid::Uuid;

    fn owner(name: &str) -> Owner {
        Owner::new(name).unwrap()
    }

    fn status(reach: &Reach, command: Command) -> Result<(), u16> {
        let request =
            CommandRequest { reach: reach.clone(), ..request(Uuid::from_u128(1), command) };
        check(&request).map_err(|problem| problem.status)
    }

    #[test]
    fn a_restricted_sender_gives_no_id_that_another_key_derives() {
        let of_tenant = Reach { tenant: Some("acme".parse().unwrap()), owner: None };
        let mut opening = opening(5, 0);
        opening.tenant.clone_from(&of_tenant.tenant);
        let derived = opened_id(opening.tenant.as_ref(), &opening.owner, "k");
        let sent = derived_id(SENT_BY_KEY, Uuid::from_u128(1), Some("k"));
        let open = |reach: &Reach, id, key| {
            let keyed = with_key(request(id, Command::Open(opening.clone())), key);
            check(&CommandRequest { reach: reach.clone(), ..keyed })
                .map_err(|refused| refused.status)
        };
        let send = |from, id, key| {
            let keyed = with_key(request(from, transfer(id, Uuid::from_u128(2), 5)), key);
            let refused = check(&CommandRequest { reach: of_tenant.clone(), ..keyed });
            refused.map_err(|refused| refused.status)
        };
        assert_eq!(open(&of_tenant, derived, "k"), Ok(()));
        assert_eq!(open(&of_tenant, derived, "another"), Err(400));
        assert_eq!(open(&of_tenant, Uuid::new_v4(), "another"), Ok(()));
        assert_eq!(open(&Reach::default(), derived, "another"), Ok(()));
        assert_eq!(send(Uuid::from_u128(1), sent, "k"), Ok(()));
        assert_eq!(send(Uuid::from_u128(3), sent, "k"), Err(400));
        assert_eq!(send(Uuid::from_u128(1), sent, "another"), Err(400));
    }

    #[test]
    fn a_sender_gives_no_account_a_tenant_or_an_owner_out_of_its_reach() {
        let open = |tenant: Option<&str>, name| {
            let mut opening = opening(5, 0);
            opening.tenant = tenant.map(|tenant| tenant.parse().unwrap());
            opening.owner = owner(name);
            Command::Open(opening)
        };
        let to = |name| Command::ChangeOwner(OwnerChanged { owner: owner(name), reason: None });
        let everything = Reach::default();
        let of_tenant = Reach { tenant: Some("acme".parse().unwrap()), owner: None };
        let of_owner = Reach { owner: Some(owner("ada")), ..of_tenant.clone() };
        for (reach, command, expected) in [
            (&everything, open(None, "ada"), Ok(())),
            (&everything, open(Some("acme"), "ada"), Ok(())),
            (&of_tenant, open(Some("acme"), "bob"), Ok(())),
            (&of_tenant, open(Some("other"), "bob"), Err(403)),
            (&of_tenant, open(None, "bob"), Err(403)),
            (&of_tenant, to("bob"), Ok(())),
            (&of_owner, open(Some("acme"), "ada"), Ok(())),
            (&of_owner, open(Some("acme"), "bob"), Err(403)),
            (&of_owner, to("ada"), Ok(())),
            (&of_owner, to("bob"), Err(403)),
            (&of_owner, deposit(5), Ok(())),
        ] {
            assert_eq!(status(reach, command.clone()), expected, "{reach:?} {command:?}");
        }
    }
}
