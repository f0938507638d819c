//! Instances of both services in one environment.

use super::{Environment, Service};
use crate::client::Client;
use crate::invariants::{self, Log};
use crate::load::Acknowledged;
use crate::verify;

/// Environment with the same number of instances of each service.
pub(crate) struct Pair {
    pub(crate) environment: Environment,
    pub(crate) commands: Vec<Service>,
    pub(crate) projections: Vec<Service>,
}

impl Pair {
    /// Starts `instances` of each service in the environment.
    pub(crate) async fn start(environment: Environment, instances: usize) -> anyhow::Result<Self> {
        let first = environment.command("command-0").await?;
        Self::resume(environment, first, instances).await
    }

    /// Starts the other instances in an environment that already has a command-service.
    pub(crate) async fn resume(
        environment: Environment,
        command: Service,
        instances: usize,
    ) -> anyhow::Result<Self> {
        let (mut commands, mut projections) = (vec![command], Vec::new());
        for number in 1..instances {
            commands.push(environment.command(&format!("command-{number}")).await?);
        }
        for (number, command) in commands.iter().enumerate() {
            projections
                .push(environment.projection(&format!("projection-{number}"), command).await?);
        }
        Ok(Self { environment, commands, projections })
    }

    /// Returns a client of all command-services.
    pub(crate) fn command(&self) -> anyhow::Result<Client> {
        client_of(&self.commands)
    }

    /// Returns a client of all projection-services.
    pub(crate) fn projection(&self) -> anyhow::Result<Client> {
        client_of(&self.projections)
    }

    /// Waits until every instance is ready, and checks the invariants of the log and the views.
    pub(crate) async fn assert_consistent(
        &mut self,
        acknowledged: &[Acknowledged],
    ) -> anyhow::Result<Log> {
        for service in self.commands.iter_mut().chain(&mut self.projections) {
            service.ready().await?;
        }
        let log =
            invariants::assert_consistent(&self.command()?, &self.projection()?, acknowledged)
                .await?;
        if log.iter().any(|events| !events.is_empty()) {
            verify::finds_nothing(&self.projections[0].client()?).await?;
        }
        Ok(log)
    }
}

fn client_of(services: &[Service]) -> anyhow::Result<Client> {
    let instances: Vec<_> = services.iter().map(|service| service.addr).collect();
    Client::trusting(&instances, services.first().and_then(|service| service.ca.as_deref()))
}
