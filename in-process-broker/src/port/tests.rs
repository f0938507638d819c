use std::io::{Read, Write};

use super::*;

/// Starts a server that greets each connection, and answers with what it gets, reversed.
fn reversing() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            client.write_all(b">").unwrap();
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all.reverse();
            client.write_all(&all).unwrap();
        }
    });
    address
}

fn ask(port: &Port, question: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(port.address()).unwrap();
    client.write_all(question).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn both_directions_are_copied_to_their_ends() {
    let port = Port::open(0, &reversing()).unwrap();
    assert_ne!(port.address().port(), 0);
    assert!(port.address().ip().is_loopback());
    assert_eq!(ask(&port, b"abc"), b">cba");
    assert_eq!(ask(&port, b""), b">");
    let long: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let reversed: Vec<u8> = long.iter().rev().copied().collect();
    assert!(ask(&port, &long)[1..] == reversed, "a long question");
}

#[test]
fn a_connection_outlives_the_port_and_no_new_one_is_accepted() {
    let port = Port::open(0, &reversing()).unwrap();
    let address = port.address();
    let mut client = TcpStream::connect(address).unwrap();
    client.read_exact(&mut [0]).unwrap();
    client.write_all(b"ab").unwrap();
    drop(port);
    assert!(TcpStream::connect(address).is_err());
    client.write_all(b"c").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "cba");
}

#[test]
fn a_client_of_a_broker_that_is_gone_sees_its_connection_closed() {
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let port = Port::open(0, &gone.to_string()).unwrap();
    for _ in 0..2 {
        let mut client = TcpStream::connect(port.address()).unwrap();
        let read = client.read(&mut [0; 8]);
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}
