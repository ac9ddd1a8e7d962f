//! The real listener, for what only bytes on a wire show.

use super::Site;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A hang is a failure; this is when it is called one.
const HANG: Duration = Duration::from_secs(20);

pub struct Wire {
    pub address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Wire {
    pub async fn start(site: &Site) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(moxxie::server::serve(
            vec![moxxie::server::Listening::plain(listener)],
            site.router.clone(),
            site.app.clone(),
            stopped,
        ));
        Wire { address, _stop: stop }
    }

    /// Sends these bytes and reads until the server closes.
    pub async fn send(&self, bytes: &[u8]) -> Said {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let (mut read, mut write) = stream.split();
            let mut got = Vec::new();
            // The server may answer and close before it has read everything.
            let sending = async {
                let _ = write.write_all(bytes).await;
            };
            let (_, end) = tokio::join!(sending, read.read_to_end(&mut got));
            // A reset after the answer is how a kernel says "closed with your bytes unread".
            drop(end);
            got
        };
        let got = tokio::time::timeout(HANG, exchange).await.expect("the server neither answered nor closed");
        Said::parse(&got)
    }

    /// An open connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads one answer's head off a connection that stays open.
pub async fn head(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let reading = async {
        while !got.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => got.push(byte),
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(HANG, reading).await.expect("no head came");
    String::from_utf8_lossy(&got).into_owned()
}

/// Everything that came back on one connection.
#[derive(Debug)]
pub struct Said {
    /// The statuses of all answers, in order.
    pub statuses: Vec<u16>,
    pub text: String,
}

impl Said {
    fn parse(bytes: &[u8]) -> Said {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let statuses = text
            .match_indices("HTTP/1.1 ")
            .filter_map(|(at, mark)| text.get(at + mark.len()..at + mark.len() + 3)?.parse().ok())
            .collect();
        Said { statuses, text }
    }
}
