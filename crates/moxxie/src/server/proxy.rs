//! The PROXY protocol header of a new connection, read before anything else.

use crate::config::AccessConfig;
use crate::config::access::Begins;
use moxxie_core::proxy::{self, Progress, Source};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Time for the header. Proxies send it at once, often in the first segment.
const TIME: Duration = Duration::from_secs(10);

/// Whose connection this is: that of `peer`, or of whom a listed proxy passes on. `None` when it
/// is to be closed. Not a byte behind the header is taken.
pub(super) async fn client<S: AsyncRead + Unpin>(
    stream: &mut S,
    peer: SocketAddr,
    access: &AccessConfig,
) -> Option<SocketAddr> {
    let refused = match access.begins(peer.ip()) {
        Begins::Directly => return Some(peer),
        Begins::WithHeader => match header(stream, TIME).await {
            Ok(Source::Client(client)) => return Some(client),
            Ok(Source::Own) => return Some(peer),
            Err(error) => error.to_string(),
        },
        Begins::Never => "access.proxy_protocol is on and the peer is no listed proxy".to_owned(),
    };
    metrics::counter!("moxxie_proxy_header_refused_total").increment(1);
    tracing::debug!(%peer, why = refused, "connection closed");
    None
}

async fn header<S: AsyncRead + Unpin>(stream: &mut S, within: Duration) -> io::Result<Source> {
    let reading = async {
        let mut bytes = Vec::new();
        loop {
            match proxy::read(&bytes).map_err(io::Error::other)? {
                Progress::Done(source) => return Ok(source),
                Progress::More(more) => {
                    let had = bytes.len();
                    bytes.resize(had + more, 0);
                    stream.read_exact(&mut bytes[had..]).await?;
                }
            }
        }
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the PROXY header did not come in time");
    tokio::time::timeout(within, reading).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use moxxie_core::net::Networks;

    fn access() -> AccessConfig {
        let trusted_proxies = Networks::read(["10.9.0.1"]).unwrap();
        AccessConfig { trusted_proxies, proxy_protocol: true, ..AccessConfig::default() }
    }

    #[tokio::test]
    async fn only_listed_proxies_are_believed() {
        let sent = b"PROXY TCP4 10.1.0.50 10.0.0.1 40000 8080\r\nGET / HTTP/1.1\r\n";
        for (peer, client, left) in [
            ("10.9.0.1:1", Some("10.1.0.50:40000"), 16),
            ("[::ffff:10.9.0.1]:1", Some("10.1.0.50:40000"), 16),
            ("10.9.0.2:1", None, sent.len()),
            ("127.0.0.1:1", Some("127.0.0.1:1"), sent.len()),
        ] {
            let mut stream = &sent[..];
            let found = super::client(&mut stream, peer.parse().unwrap(), &access()).await;
            assert_eq!((found, stream.len()), (client.map(|c| c.parse().unwrap()), left), "{peer}");
        }
    }

    #[tokio::test]
    async fn a_header_that_does_not_come_is_not_waited_for() {
        let (mut near, mut far) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut far, b"PROXY TCP4 10.1.0.50").await.unwrap();
        let error = header(&mut near, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(far);
        let error = header(&mut near, TIME).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
