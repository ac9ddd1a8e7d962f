//! Downloads over a socket of the test's own: read as slowly as the test likes, cut where it likes.

use crate::server::LIMIT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Bytes that look like nothing, different for each seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A download whose head was read. Its buffer is small, so the server cannot send far ahead.
pub struct Download {
    stream: TcpStream,
    /// Status line and headers, in lower case.
    pub head: String,
    /// As announced.
    pub length: usize,
    /// What came so far.
    pub got: Vec<u8>,
}

impl Download {
    /// Asks the server at this address, with further header lines, each with its line end.
    pub async fn begin(base: &str, path: &str, more: &str) -> Download {
        let address = base.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        let reading = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
        };
        tokio::time::timeout(LIMIT, reading).await.expect("no head came");
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = header(&head, "content-length").parse().unwrap();
        Download { stream, head, length, got: vec![] }
    }

    /// A header's value; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        header(&self.head, name)
    }

    /// Reads until there are so many bytes, the end, or a cut.
    pub async fn read(&mut self, enough: usize) {
        let enough = enough.min(self.length);
        let mut chunk = vec![0; 64 * 1024];
        let reading = async {
            while self.got.len() < enough {
                let most = chunk.len().min(enough - self.got.len());
                match self.stream.read(&mut chunk[..most]).await {
                    Ok(n) if n > 0 => self.got.extend_from_slice(&chunk[..n]),
                    _ => break,
                }
            }
        };
        tokio::time::timeout(LIMIT, reading).await.expect("a hang");
    }

    /// The rest, as far as it comes; all bytes.
    pub async fn finish(mut self) -> Vec<u8> {
        self.read(self.length).await;
        self.got
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}
