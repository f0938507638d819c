//! Views of the tests, each in a database of its own.

use embedded_postgres::testing::{self, Template};
use projection_service::store::generations::Generation;
use projection_service::store::schema;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

/// Database with the empty views.
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    /// Connection settings of the service's role, which owns no object.
    pub(crate) options: PgConnectOptions,
    database: testing::Database,
}

impl Database {
    pub(crate) async fn new() -> Self {
        static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
        let migrated = || async {
            let template = Template::views().await.unwrap();
            let urls = template.urls();
            let owner: PgConnectOptions = urls.owner.parse().unwrap();
            let service: PgConnectOptions = urls.service.parse().unwrap();
            schema::prepare(&owner, service.get_username()).await.unwrap();
            template
        };
        let database = TEMPLATE.get_or_init(migrated).await.copy().await.unwrap();
        let options: PgConnectOptions = database.urls.service.parse().unwrap();
        let pool = PgPool::connect_with(Generation(1).options(&options)).await.unwrap();
        Self { pool, options, database }
    }

    /// Connects as the owner of the schema.
    pub(crate) async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.database.urls.owner).await.unwrap()
    }
}
