// SPDX-License-Identifier: Apache-2.0
//! Plain HTTP services on loopback addresses of their own, and a client for them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Answers every request with the same text. Stops listening when dropped.
#[derive(Debug)]
pub struct Service {
    pub port: u16,
    stop: Arc<AtomicBool>,
    address: String,
}

impl Service {
    /// Listens on a free port of `ip` (or on `port`).
    pub fn start(ip: &str, port: u16, text: &str) -> Self {
        let listener = TcpListener::bind((ip, port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, text) = (Arc::clone(&stop), text.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                if let Ok(stream) = stream {
                    let text = text.clone();
                    thread::spawn(move || answer(stream, &text));
                }
            }
        });
        Self { port, stop, address: format!("{ip}:{port}") }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(&self.address);
    }
}

fn answer(mut stream: TcpStream, text: &str) {
    let mut request: Vec<u8> = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend(&buffer[..n]),
        }
    }
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n";
    let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{text}", text.len());
}

/// Status and body of a GET; `None` while nothing listens.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let body = text.split_once("\r\n\r\n")?.1;
    Some((status, body.to_owned()))
}
