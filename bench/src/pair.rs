//! Both services as processes on a fresh store, and measurements of a load on them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts::open_accounts;
use crate::load::{Work, load};
use crate::processes::{Cpu, Process};
use crate::report::rounded;
use crate::servers::{Environment, Servers};
use crate::verify;

/// Load before the first measurement. A fresh Kafka compiles its code meanwhile, which takes half
/// of a small machine.
const WARM_UP: Duration = Duration::from_secs(10);

/// A command-service and a projection-service on a fresh store.
pub(crate) struct Pair {
    pub(crate) command: Process,
    pub(crate) projection: Process,
    environment: Environment,
}

impl Pair {
    /// Starts both services, opens accounts with a balance of `deposit` minor units, and warms up.
    pub(crate) async fn start(
        servers: &Servers,
        accounts: usize,
        deposit: i64,
    ) -> anyhow::Result<(Self, Arc<[Uuid]>)> {
        let environment = servers.environment().await?;
        let command = Process::command(&environment).await?;
        let projection = Process::projection(&environment, &command).await?;
        let accounts = open_accounts(command.addr, accounts, deposit).await?;
        load(command.addr, 64, &Work::Deposits(Arc::clone(&accounts)), WARM_UP, None).await?;
        Ok((Self { command, projection, environment }, accounts))
    }

    /// Returns the processor time used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::read(&[("command", &self.command), ("projection", &self.projection)])
    }

    /// Measures a load for `time`. A command is visible once its events are in the views; the lag
    /// is the number of commands that were answered but not visible at the end. Processor time is
    /// counted until all of them are visible.
    pub(crate) async fn measure(
        &self,
        connections: usize,
        work: &Work,
        time: Duration,
    ) -> anyhow::Result<Value> {
        let (command, projection) = (self.command.addr, self.projection.addr);
        load(command, connections, work, Duration::from_secs(1), None).await?;
        verify::caught_up(command, projection).await?;
        let (cpu, start) = (self.cpu()?, verify::applied(projection).await?);
        let (mut samples, seconds) = load(command, connections, work, time, None).await?;
        let end = verify::applied(projection).await?;
        verify::caught_up(command, projection).await?;
        let (later, all) = (self.cpu()?, verify::applied(projection).await?);
        let commands = samples.len() * work.commands_per_sample();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (count, share) = (commands as f64, (end - start) as f64 / (all - start).max(1) as f64);
        Ok(json!({
            "connections": connections,
            "per_second": rounded(count / seconds),
            "visible_per_second": rounded(count * share / seconds),
            "lag": rounded(count * (1.0 - share)),
            "p50_ms": samples.quantile(0.5),
            "p99_ms": samples.quantile(0.99),
            "cpu_us": cpu.per_command(&later, commands),
        }))
    }

    /// Stops both services. Returns whether the views equal the log.
    pub(crate) async fn end(self) -> anyhow::Result<bool> {
        let verified = verify::equal(self.command.addr, self.projection.addr).await?;
        self.projection.stop().await?;
        self.command.stop().await?;
        self.environment.drop_databases().await?;
        Ok(verified)
    }
}
