//! Scopes: the rights that a key grants and a route requires.

use std::fmt;

use clap::ValueEnum;
use strum::{EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

/// Right to a kind of request. The OpenAPI documents name the scope of each operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, EnumString, IntoStaticStr)]
pub enum Scope {
    /// Opens accounts.
    #[strum(serialize = "accounts:open")]
    AccountsOpen,
    /// Reads accounts, entries, holds and transfers.
    #[strum(serialize = "accounts:read")]
    AccountsRead,
    /// Freezes, unfreezes and closes accounts; sets their overdraft limits and owners.
    #[strum(serialize = "accounts:manage")]
    AccountsManage,
    /// Deposits, withdraws and transfers.
    #[strum(serialize = "money:move")]
    MoneyMove,
    /// Places, captures and releases holds.
    #[strum(serialize = "money:hold")]
    MoneyHold,
    /// Reverses entries.
    #[strum(serialize = "money:reverse")]
    MoneyReverse,
    /// Reads the events of all accounts.
    #[strum(serialize = "log:read")]
    LogRead,
    /// Reads the state of the services.
    #[strum(serialize = "ops:read")]
    OpsRead,
    /// Replays events.
    #[strum(serialize = "ops:replay")]
    OpsReplay,
    /// Retries and discards quarantined events.
    #[strum(serialize = "ops:quarantine")]
    OpsQuarantine,
    /// Verifies the log and the views.
    #[strum(serialize = "ops:verify")]
    OpsVerify,
    /// Accepts a restored log.
    #[strum(serialize = "ops:restore")]
    OpsRestore,
}

impl Scope {
    /// Returns the name, as in `money:move`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns true for a right to the whole store, which a tenant or an owner cannot have.
    pub fn is_of_store(self) -> bool {
        match self {
            Self::LogRead
            | Self::OpsRead
            | Self::OpsReplay
            | Self::OpsQuarantine
            | Self::OpsVerify
            | Self::OpsRestore => true,
            Self::AccountsOpen
            | Self::AccountsRead
            | Self::AccountsManage
            | Self::MoneyMove
            | Self::MoneyHold
            | Self::MoneyReverse => false,
        }
    }
}

impl Scope {
    /// Returns true for a right to act on the whole store, whose uses are in the audit trail. Reads
    /// of the log and of the state of the services are not: services and dashboards repeat them
    /// each second.
    pub fn is_audited(self) -> bool {
        self.is_of_store() && !matches!(self, Self::LogRead | Self::OpsRead)
    }
}

/// Set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Returns the set of all scopes.
    pub fn all() -> Self {
        Scope::iter().collect()
    }

    /// Returns true if the set has the scope.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }

    /// Returns the scopes of the set.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::iter().filter(move |scope| self.has(*scope))
    }
}

fn bit(scope: Scope) -> u16 {
    1 << scope as u16
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(bit).fold(0, std::ops::BitOr::bitor))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::as_str)).finish()
    }
}

/// Usual sets of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Reads accounts.
    Reader,
    /// Opens accounts, moves and holds money, and reads accounts.
    Teller,
    /// Does what a teller does, manages accounts and reverses entries.
    Manager,
    /// Reads accounts, the log and the state of the services, and verifies.
    Auditor,
    /// Does everything.
    Operator,
    /// Reads the log: the role of the projection-service.
    Projection,
}

impl Role {
    /// Returns the name.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the scopes of the role.
    pub fn scopes(self) -> Scopes {
        let teller = [Scope::AccountsOpen, Scope::AccountsRead, Scope::MoneyMove, Scope::MoneyHold];
        match self {
            Self::Reader => [Scope::AccountsRead].into_iter().collect(),
            Self::Teller => teller.into_iter().collect(),
            Self::Manager => {
                teller.into_iter().chain([Scope::AccountsManage, Scope::MoneyReverse]).collect()
            }
            Self::Auditor => {
                let read = [Scope::AccountsRead, Scope::LogRead, Scope::OpsRead];
                read.into_iter().chain([Scope::OpsVerify]).collect()
            }
            Self::Operator => Scopes::all(),
            Self::Projection => [Scope::LogRead].into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_it_was_made_of() {
        let scopes: Scopes = [Scope::MoneyMove, Scope::OpsRestore].into_iter().collect();
        for scope in Scope::iter() {
            let is_in = matches!(scope, Scope::MoneyMove | Scope::OpsRestore);
            assert_eq!(scopes.has(scope), is_in, "{scope:?}");
            assert!(Scopes::all().has(scope) && !Scopes::default().has(scope));
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert_eq!(format!("{scopes:?}"), r#"{"money:move", "ops:restore"}"#);
    }

    #[test]
    fn a_role_has_the_least_scopes_for_its_work() {
        for role in Role::value_variants() {
            let scopes = role.scopes();
            let is_operator = *role == Role::Operator;
            assert_eq!(scopes == Scopes::all(), is_operator, "{role:?}");
            assert_eq!(scopes.has(Scope::OpsRestore), is_operator, "{role:?}");
        }
        assert!(!Role::Teller.scopes().has(Scope::MoneyReverse));
        assert_eq!(Role::Projection.scopes().iter().collect::<Vec<_>>(), [Scope::LogRead]);
    }
}
