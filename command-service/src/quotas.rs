//! Quotas of tenants: the number of their accounts and open holds. The counts are read once a
//! second, so a tenant can exceed a quota by what it opens within that time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use passbook_shared::access::watch::WatchedKeys;
use passbook_shared::fault::Fault;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error;
use passbook_shared::tenant::Tenant;
use sqlx::PgPool;

use crate::domain::Command;
use crate::log::tenants::{Counts, counts};
use crate::request::CommandRequest;

/// Interval between two reads of the counts.
const EVERY: Duration = Duration::from_secs(1);

static UNCOUNTED: Fault = Fault::new("accounts and holds of tenants are not counted");

/// Quotas of tenants, with the counts that they limit. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Quotas {
    keys: Option<WatchedKeys>,
    counts: Arc<RwLock<HashMap<Tenant, Counts>>>,
}

/// Quota that a command exceeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Index of the command in its request.
    pub index: usize,
    /// Name of the quota, as in the file of keys.
    pub quota: &'static str,
    /// Maximum.
    pub most: u32,
}

impl Quotas {
    /// Creates quotas that are read from a file of keys; there are none without it.
    pub fn new(keys: Option<WatchedKeys>) -> Self {
        Self { keys, counts: Arc::default() }
    }

    /// Checks the commands of a request. One that `is_repeat` recognizes opens nothing, so it does
    /// not count.
    ///
    /// # Errors
    /// The first quota that a command exceeds.
    pub fn check(
        &self,
        requests: &[CommandRequest],
        is_repeat: impl Fn(&CommandRequest) -> bool,
    ) -> Result<(), Exceeded> {
        let Some(table) = self.keys.as_ref().map(WatchedKeys::table) else { return Ok(()) };
        if !table.has_quotas() {
            return Ok(());
        }
        let (counts, mut added) = (self.counts.read(), HashMap::<&Tenant, Counts>::new());
        for (index, request) in requests.iter().enumerate() {
            let Some((tenant, opens)) = opens(request).filter(|_| !is_repeat(request)) else {
                continue;
            };
            let Some(quotas) = table.quotas(tenant) else { continue };
            let Counts { accounts, open_holds } = counts.get(tenant).copied().unwrap_or_default();
            let added = added.entry(tenant).or_default();
            let (quota, most, count) = match opens {
                Opens::Account => {
                    added.accounts += 1;
                    ("max_accounts", quotas.max_accounts, accounts + added.accounts)
                }
                Opens::Hold => {
                    added.open_holds += 1;
                    ("max_open_holds", quotas.max_open_holds, open_holds + added.open_holds)
                }
            };
            if let Some(most) = most.filter(|most| count > i64::from(*most)) {
                return Err(Exceeded { index, quota, most });
            }
        }
        Ok(())
    }

    /// Reads the counts until the shutdown, while a tenant has a quota.
    ///
    /// # Errors
    /// None: a failed read keeps the last counts.
    pub async fn watch(self, pool: PgPool, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Some(keys) = self.keys else {
            // A task that ends before the shutdown ends the service.
            shutdown.cancelled().await;
            return Ok(());
        };
        while shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            if !keys.table().has_quotas() {
                continue;
            }
            match counts(&pool).await {
                Ok(counts) => {
                    *self.counts.write() = counts;
                    UNCOUNTED.ended();
                }
                Err(error) => UNCOUNTED.occurred(store_error::reason(&error)),
            }
        }
        Ok(())
    }
}

/// Kind of thing that a command opens.
enum Opens {
    Account,
    Hold,
}

fn opens(request: &CommandRequest) -> Option<(&Tenant, Opens)> {
    match &request.command {
        Command::Open(opening) => Some((opening.tenant.as_ref()?, Opens::Account)),
        Command::Hold(_) => Some((request.reach.tenant.as_ref()?, Opens::Hold)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use passbook_shared::access::Reach;
    use uuid::Uuid;

    use super::*;
    use crate::domain::tests::specification::{deposit, hold, opening};
    use crate::request::tests::request;

    fn open(tenant: Option<&str>) -> CommandRequest {
        let mut opening = opening(5, 0);
        opening.tenant = tenant.map(|tenant| tenant.parse().unwrap());
        request(Uuid::nil(), Command::Open(opening))
    }

    fn held() -> CommandRequest {
        let reach = Reach { tenant: Some("acme".parse().unwrap()), owner: None };
        CommandRequest { reach, ..request(Uuid::nil(), hold(5)) }
    }

    fn exceeded(index: usize, quota: &'static str, most: u32) -> Result<(), Exceeded> {
        Err(Exceeded { index, quota, most })
    }

    #[test]
    fn a_quota_counts_what_is_there_and_what_the_request_adds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        let text = "[[tenant]]\nname = \"acme\"\nmax_accounts = 3\nmax_open_holds = 0\n";
        std::fs::write(&path, text).unwrap();
        let quotas = Quotas::new(Some(WatchedKeys::read(path).unwrap()));
        let acme = || open(Some("acme"));
        assert_eq!(quotas.check(&[acme(), acme(), acme()], |_| false), Ok(()));
        quotas
            .counts
            .write()
            .insert("acme".parse().unwrap(), Counts { accounts: 2, open_holds: 0 });
        assert_eq!(quotas.check(&[acme()], |_| false), Ok(()));
        let others = [open(None), open(Some("other")), request(Uuid::nil(), deposit(5))];
        assert_eq!(quotas.check(&others, |_| false), Ok(()));
        assert_eq!(
            quotas.check(&[acme(), open(None), acme()], |_| false),
            exceeded(2, "max_accounts", 3)
        );
        assert_eq!(quotas.check(&[held()], |_| false), exceeded(0, "max_open_holds", 0));
        assert_eq!(
            quotas.check(&[held(), acme(), acme()], |_| true),
            Ok(()),
            "repeats open nothing"
        );
        assert_eq!(Quotas::new(None).check(&[acme(), held()], |_| false), Ok(()));
    }

    #[tokio::test]
    async fn without_a_file_of_keys_the_watch_lasts_until_the_shutdown() {
        let (pool, shutdown) =
            (PgPool::connect_lazy("postgres:///").unwrap(), CancellationToken::new());
        let watching = tokio::spawn(Quotas::new(None).watch(pool, shutdown.clone()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!watching.is_finished());
        shutdown.cancel();
        watching.await.unwrap().unwrap();
    }
}
