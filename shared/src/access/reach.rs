//! Accounts that a principal reaches: those of its tenant and of its owner, or all.

use crate::tenant::Tenant;
use crate::text::Owner;

/// Restriction of a principal to accounts. The default reaches every account of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Tenant of the accounts; any, and none, if absent.
    pub tenant: Option<Tenant>,
    /// Owner of the accounts; any, if absent.
    pub owner: Option<Owner>,
}

impl Reach {
    /// Returns true if every account of the store is in reach.
    pub fn is_everything(&self) -> bool {
        self.tenant.is_none() && self.owner.is_none()
    }

    /// Returns true if an account of this tenant and owner is in reach.
    pub fn includes(&self, tenant: Option<&Tenant>, owner: &str) -> bool {
        self.includes_tenant(tenant) && self.includes_owner(owner)
    }

    /// Returns true if accounts of this tenant may be in reach.
    pub fn includes_tenant(&self, tenant: Option<&Tenant>) -> bool {
        self.tenant.is_none() || self.tenant.as_ref() == tenant
    }

    /// Returns true if accounts of this owner may be in reach.
    pub fn includes_owner(&self, owner: &str) -> bool {
        self.owner.as_deref().is_none_or(|own| own == owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_has_the_accounts_that_match_each_of_its_parts() {
        let [acme, other]: [Tenant; 2] = ["acme", "other"].map(|name| name.parse().unwrap());
        let owner = |name| Some(Owner::new(name).unwrap());
        let of = |tenant: Option<&Tenant>, owner| Reach { tenant: tenant.cloned(), owner };
        let accounts = [(Some(&acme), "ada"), (Some(&acme), "bob"), (Some(&other), "ada")];
        let accounts = accounts.into_iter().chain([(None, "ada")]);
        for (reach, expected) in [
            (Reach::default(), [true; 4]),
            (of(Some(&acme), None), [true, true, false, false]),
            (of(None, owner("ada")), [true, false, true, true]),
            (of(Some(&acme), owner("ada")), [true, false, false, false]),
        ] {
            assert_eq!(reach.is_everything(), expected == [true; 4]);
            let included = accounts.clone().map(|(tenant, owner)| reach.includes(tenant, owner));
            assert!(included.eq(expected), "{reach:?}");
        }
    }
}
