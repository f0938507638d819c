//! Logs of the tests, each in a database of its own.

use command_service::log::store::{self, Store};
use embedded_postgres::testing::{Database, Template};
use passbook_shared::partition::PartitionCount;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;

/// Creates an empty log. The number of partitions is that of the first call.
pub(crate) async fn empty_log(partitions: Option<PartitionCount>) -> (Database, Store) {
    static TEMPLATE: OnceCell<(Template, Store)> = OnceCell::const_new();
    let migrated = || async {
        let template = Template::log().await.unwrap();
        let urls = template.urls();
        let owner: PgConnectOptions = urls.owner.parse().unwrap();
        let service: PgConnectOptions = urls.service.parse().unwrap();
        let store = store::prepare(&owner, service.get_username(), partitions).await.unwrap();
        (template, store)
    };
    let (template, store) = TEMPLATE.get_or_init(migrated).await;
    (template.copy().await.unwrap(), *store)
}
