//! A TFTP client: as much of one as the tests need, and nothing of the server's.

use bytes::Bytes;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Only a hang reaches this.
const LIMIT: Duration = Duration::from_secs(60);

/// A packet of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Data(u16, Vec<u8>),
    Error(u16, String),
    Options(Vec<(String, String)>),
}

/// A file and how it came.
#[derive(Debug)]
pub struct Got {
    pub bytes: Bytes,
    pub from: SocketAddr,
    pub options: Vec<(String, String)>,
}

pub struct Client(UdpSocket);

/// A packet that begins with two numbers.
pub fn with(opcode: u16, number: u16, rest: &[u8]) -> Vec<u8> {
    [&opcode.to_be_bytes(), &number.to_be_bytes(), rest].concat()
}

/// A request to read.
pub fn rrq(name: &str, options: &[(&str, &str)]) -> Vec<u8> {
    let words = [name, "octet"].into_iter().chain(options.iter().flat_map(|(name, value)| [*name, *value]));
    let mut packet = vec![0, 1];
    for word in words {
        packet.extend_from_slice(word.as_bytes());
        packet.push(0);
    }
    packet
}

fn words(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect()
}

impl Client {
    pub async fn new(address: SocketAddr) -> Client {
        Client(UdpSocket::bind(address).await.unwrap())
    }

    pub async fn send(&self, datagram: &[u8], to: SocketAddr) {
        self.0.send_to(datagram, to).await.unwrap();
    }

    /// The next packet, and from where.
    pub async fn next(&self) -> (Reply, SocketAddr) {
        let mut buffer = vec![0; 65536];
        let (length, from) = timeout(LIMIT, self.0.recv_from(&mut buffer)).await.unwrap().unwrap();
        let number = u16::from_be_bytes([buffer[2], buffer[3]]);
        let reply = match buffer[1] {
            3 => Reply::Data(number, buffer[4..length].to_vec()),
            5 => Reply::Error(number, words(&buffer[4..length]).remove(0)),
            6 => {
                let words = words(&buffer[2..length]);
                Reply::Options(words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            other => panic!("opcode {other}"),
        };
        (reply, from)
    }

    /// The block with this number, and from where; those before it may come again.
    pub async fn block(&self, number: u16) -> (Vec<u8>, SocketAddr) {
        loop {
            match self.next().await {
                (Reply::Data(n, bytes), from) if n == number => return (bytes, from),
                (Reply::Data(n, _), _) if n < number => {}
                (other, _) => panic!("{other:?}"),
            }
        }
    }

    /// Whether nothing has come.
    pub fn heard_nothing(&self) -> bool {
        let mut buffer = [0; 4];
        // Not through tokio, which may not have looked yet.
        let socket = self.0.as_fd().try_clone_to_owned().unwrap();
        std::net::UdpSocket::from(socket).recv_from(&mut buffer).is_err()
    }

    /// A whole file, or the error.
    pub async fn get(
        &self,
        server: SocketAddr,
        name: &str,
        options: &[(&str, &str)],
    ) -> Result<Got, (u16, String)> {
        self.send(&rrq(name, options), server).await;
        let (mut got, mut block, mut window) = (Vec::new(), 512, 1u64);
        let (mut agreed, mut blocks) = (Vec::new(), 0u64);
        loop {
            let (reply, from) = self.next().await;
            match reply {
                Reply::Error(code, text) => return Err((code, text)),
                // Sent again, because the answer to it was late.
                Reply::Options(_) if !agreed.is_empty() => {}
                Reply::Options(options) => {
                    let number = |name: &str| -> Option<u64> {
                        options.iter().find(|(agreed, _)| agreed == name)?.1.parse().ok()
                    };
                    block = number("blksize").map_or(512, |bytes| bytes as usize);
                    window = number("windowsize").unwrap_or(1);
                    agreed = options;
                    self.send(&with(4, 0, &[]), from).await;
                }
                Reply::Data(number, _) if u64::from(number) != (blocks + 1) % 65536 => {}
                Reply::Data(number, bytes) => {
                    blocks += 1;
                    let last = bytes.len() < block;
                    got.extend(bytes);
                    if last || blocks.is_multiple_of(window) {
                        self.send(&with(4, number, &[]), from).await;
                    }
                    if last {
                        return Ok(Got { bytes: got.into(), from, options: agreed });
                    }
                }
            }
        }
    }
}
