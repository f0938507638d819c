//! librdkafka's in-process broker: it speaks the Kafka protocol on a port of 127.0.0.1, keeps its topics in memory, and
//! forgets the oldest records of a partition past 5 MiB. The relay fills it again at each start, and what it forgets
//! the projection fetches from the command-service.

use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use rdkafka::mocking::MockCluster;

use port::Port;

mod port;

/// A running broker; it ends when dropped.
#[derive(Debug)]
pub struct Broker {
    address: String,
    // Closed before the broker ends.
    _port: Option<Port>,
    // The cluster holds a raw pointer and stays on the thread that made it.
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Broker {
    /// Starts a broker with these topics, of `partitions` partitions each (it can't be asked for topics later), reached at
    /// `port` of 127.0.0.1; at one that the system chooses if none is given.
    ///
    /// # Errors
    /// The port is taken, or a topic's name is none.
    pub fn start(topics: &[String], partitions: u16, port: Option<u16>) -> anyhow::Result<Self> {
        let topics = topics.to_vec();
        let (started, start) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
            let cluster = match make(&topics, partitions) {
                Ok(cluster) => cluster,
                Err(error) => return drop(started.send(Err(error))),
            };
            if started.send(Ok(cluster.bootstrap_servers())).is_ok() {
                // Ends when the sender is dropped.
                let _ = stopped.recv();
            }
        })?;
        let address =
            start.recv().map_err(|_| anyhow!("the in-process broker ended at its start"))??;
        let port = port.map(|port| Port::open(port, &address)).transpose()?;
        let address = port.as_ref().map_or(address, |port| port.address().to_string());
        Ok(Self { address, _port: port, running: Some((stop, thread)) })
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

fn make(
    topics: &[String],
    partitions: u16,
) -> anyhow::Result<MockCluster<'static, impl rdkafka::ClientContext + use<>>> {
    let cluster = MockCluster::new(1).context("the in-process broker can't be started")?;
    for topic in topics {
        cluster
            .create_topic(topic, i32::from(partitions), 1)
            .with_context(|| format!("the in-process broker refuses the topic `{topic}`"))?;
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
