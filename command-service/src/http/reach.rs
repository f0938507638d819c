//! Commands that would put an account out of their sender's reach.

use axum::http::StatusCode;
use passbook_shared::access::Reach;
use passbook_shared::http::problem::Problem;
use passbook_shared::tenant::Tenant;

use crate::domain::Command;
use crate::request::CommandRequest;

/// Checks the tenant and the owner that a command gives to an account.
///
/// # Errors
/// 403 `out_of_reach` if the sender may not have such an account.
pub(super) fn check(request: &CommandRequest) -> Result<(), Problem> {
    let CommandRequest { reach, command, .. } = request;
    let permitted = match command {
        Command::Open(opening) => reach.includes(opening.tenant.as_ref(), &opening.owner),
        Command::ChangeOwner(changed) => reach.includes_owner(&changed.owner),
        _ => true,
    };
    if permitted { Ok(()) } else { Err(out_of_reach(reach)) }
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
    use crate::domain::tests::specification::{deposit, opening};
    use crate::request::tests::request;
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
