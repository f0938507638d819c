//! A fixed port in front of the in-process broker, whose own port the operating system chooses.
//! Clients bootstrap at the fixed port, learn the broker's own address, and connect to that.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Context;

/// An open port, closed on drop.
#[derive(Debug)]
pub(super) struct Port {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Port {
    /// Opens a port of 127.0.0.1 that forwards to `broker`.
    pub(super) fn open(port: u16, broker: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
            format!(
                "the in-process broker cannot listen on 127.0.0.1:{port}: choose another port \
                 with BROKER_PORT"
            )
        })?;
        let address = listener.local_addr()?;
        let closed = Arc::new(AtomicBool::new(false));
        let (is_closed, broker) = (Arc::clone(&closed), broker.to_owned());
        let thread =
            std::thread::Builder::new().name("broker-port".to_owned()).spawn(move || {
                for client in listener.incoming() {
                    if is_closed.load(Ordering::Acquire) {
                        return;
                    }
                    if let Ok(client) = client {
                        // If forwarding fails, the client sees its connection closed and retries.
                        let _ = forward(client, &broker);
                    }
                }
            })?;
        Ok(Self { address, closed, thread: Some(thread) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Copies both directions, in two threads that end with the connections.
fn forward(client: TcpStream, broker: &str) -> io::Result<()> {
    let server = TcpStream::connect(broker)?;
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        std::thread::Builder::new().name("broker-forward".to_owned()).spawn(move || {
            // An error ends the connection like its normal end: a client reconnects.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        })?;
    }
    Ok(())
}

impl Drop for Port {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes the thread, which is blocked in accept.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
