//! librdkafka's in-process broker, which speaks the Kafka protocol on a port of 127.0.0.1.
//!
//! Topics live in memory, and a partition keeps its newest 5 MiB. The relay refills the topic at
//! each start; the projection fetches dropped records from the command-service.

use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use rdkafka::mocking::MockCluster;

use port::Port;

mod port;

/// A running broker, stopped on drop.
#[derive(Debug)]
pub struct Broker {
    address: String,
    // Declared first, so that the port closes before the broker stops.
    _port: Option<Port>,
    // The cluster holds a raw pointer, so it stays on the thread that created it.
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Broker {
    /// Starts a broker with `topics` of `partitions` partitions each. Clients cannot create topics.
    /// Without a `port` of 127.0.0.1, the operating system chooses one.
    ///
    /// # Errors
    /// The port is taken, or a topic is named twice.
    pub fn start(topics: &[String], partitions: u16, port: Option<u16>) -> anyhow::Result<Self> {
        let topics = topics.to_vec();
        let (started, start) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
            let cluster = match start_cluster(&topics, partitions) {
                Ok(cluster) => cluster,
                Err(error) => return drop(started.send(Err(error))),
            };
            if started.send(Ok(cluster.bootstrap_servers())).is_ok() {
                // Returns once the sender is dropped.
                let _ = stopped.recv();
            }
        })?;
        let address =
            start.recv().map_err(|_| anyhow!("the in-process broker stopped while starting"))??;
        let port = port.map(|port| Port::open(port, &address)).transpose()?;
        let address = port.as_ref().map_or(address, |port| port.address().to_string());
        Ok(Self { address, _port: port, running: Some((stop, thread)) })
    }

    /// Returns the broker's address, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

fn start_cluster(
    topics: &[String],
    partitions: u16,
) -> anyhow::Result<MockCluster<'static, impl rdkafka::ClientContext + use<>>> {
    let cluster = MockCluster::new(1).context("cannot start the in-process broker")?;
    for topic in topics {
        cluster
            .create_topic(topic, i32::from(partitions), 1)
            .with_context(|| format!("the in-process broker rejects the topic `{topic}`"))?;
    }
    Ok(cluster)
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
