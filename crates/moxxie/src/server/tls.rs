//! TLS between a [`Socket`] and hyper. Bytes are encrypted, so nothing goes out by `sendfile(2)`;
//! what is counted for a download are still its own bytes, and only once the kernel has them.

use super::certificate::Certificate;
use super::socket::Socket;
use super::stopped;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Time for the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How TLS listeners speak: 1.2, which is the most that iPXE knows (its `TLS_VERSION_MAX`), and
/// 1.3, with HTTP/1.1 as the only protocol. Clients show no certificates.
pub fn settings(certificate: Arc<Certificate>) -> Result<Arc<ServerConfig>, Error> {
    let mut settings = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(settings))
}

/// Shakes hands; `None` when the client does not, or not in time, or this server stops.
pub(super) async fn accept(
    socket: Socket,
    settings: Arc<ServerConfig>,
    stop: &mut watch::Receiver<bool>,
) -> Option<Secure> {
    let shaking = tokio::time::timeout(HANDSHAKE_TIME, TlsAcceptor::from(settings).accept(socket));
    let failed = |why: &dyn std::fmt::Display| {
        metrics::counter!("moxxie_tls_handshakes_failed_total").increment(1);
        tracing::debug!(error = %why, "no TLS handshake");
    };
    tokio::select! {
        shaken = shaking => match shaken {
            Ok(Ok(stream)) => return Some(Secure(stream)),
            Ok(Err(error)) => failed(&error),
            Err(late) => failed(&late),
        },
        () = stopped(stop) => {}
    }
    None
}

/// A client's connection after the handshake.
pub(super) struct Secure(TlsStream<Socket>);

impl Secure {
    /// The socket below, for what is to be done after the last answer.
    pub fn into_socket(self) -> Socket {
        self.0.into_inner().0
    }

    /// Hands everything encrypted to the kernel: at most what one write took, which rustls limits
    /// to 64 KiB. So a slow client costs no more, and nothing is ahead of what is counted.
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.get_ref().1.wants_write() {
            ready!(Pin::new(&mut self.0).poll_flush(cx))?;
        }
        self.0.get_mut().0.release();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secure {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_hand_over(cx))?;
        let taken = ready!(Pin::new(&mut self.0).poll_write_vectored(cx, bufs))?;
        let (socket, session) = self.0.get_mut();
        socket.hold(bufs, taken);
        if !session.wants_write() {
            socket.release();
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_over(cx))?;
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_over(cx))?;
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
