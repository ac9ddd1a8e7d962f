//! One connection: HTTP/1.1 over a [`Socket`], with or without TLS in between.

use super::head::{Answering, Busy};
use super::patience::Pace;
use super::received::Received;
use super::socket::Socket;
use super::windows::Windows;
use super::{stopped, tls};
use crate::http::extract::Door;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tower::ServiceExt;

/// Time for an idle connection and the head that ends it, together. iPXE keeps its connection
/// while it waits for `Retry-After`, so this is longer than most waits that Moxxie asks for. A head
/// that has begun has less: [`super::Limits::head`].
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Bytes of a request's head at most, as hyper reads it.
const HEAD_BYTES: usize = 64 * 1024;
/// Header lines at most.
const HEADERS: usize = 64;

/// What a connection's requests are told, and who answers them.
pub(super) struct Connection {
    pub peer: SocketAddr,
    pub door: Door,
    pub router: Router,
    pub stop: watch::Receiver<bool>,
}

/// What the socket below and the requests above know of each other.
struct Told {
    windows: Arc<Windows>,
    busy: Busy,
    pace: Pace,
}

impl Told {
    fn by(socket: &Socket) -> Told {
        Told { windows: socket.windows(), busy: socket.busy(), pace: socket.pace() }
    }
}

/// Serves a connection until it ends, or until it is told to stop and its answer is finished.
pub(super) async fn serve(socket: Socket, tls: Option<Arc<ServerConfig>>, mut connection: Connection) {
    match tls {
        None => {
            let (told, mut socket) = (Told::by(&socket), socket);
            let unread = http(&mut socket, told, connection).await;
            finish(socket, unread).await;
        }
        Some(settings) => {
            let socket = socket.under_tls();
            let told = Told::by(&socket);
            let Some(mut stream) = tls::accept(socket, settings, &mut connection.stop).await else { return };
            let unread = http(&mut stream, told, connection).await;
            finish(stream.into_socket(), unread).await;
        }
    }
}

/// After the last answer.
async fn finish(mut socket: Socket, unread: bool) {
    if unread {
        socket.discard().await;
    }
    socket.linger().await;
}

/// Answers requests; whether the client may still be sending what nobody read.
async fn http<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, told: Told, connection: Connection) -> bool {
    let Told { windows, busy, pace } = told;
    let Connection { peer, door, router, mut stop } = connection;
    let unread = Arc::new(AtomicBool::new(false));
    let noted = unread.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (router, windows, unread) = (router.clone(), windows.clone(), noted.clone());
        let answering = Answering::begin(&busy);
        async move {
            let received = |body| axum::body::Body::new(Received::new(body, unread.clone(), pace));
            let mut request = request.map(received);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(door);
            request.extensions_mut().insert(windows);
            let mut response = router.oneshot(request).await?;
            if unread.load(Ordering::Relaxed) {
                // What it still sends would be taken for its next request.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| answering.with(body)))
        }
    });
    let result = {
        // HTTP/1.1 only: iPXE and installers speak nothing else, and less is exposed.
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIME)
            .max_headers(HEADERS)
            .max_buf_size(HEAD_BYTES)
            .half_close(false)
            // Slices of files reach the socket as they are and are not copied together.
            .writev(true)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        tokio::select! {
            result = served.as_mut() => result,
            () = stopped(&mut stop) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, %peer, "connection ended");
    }
    unread.load(Ordering::Relaxed)
}
