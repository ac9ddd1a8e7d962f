//! The listener: accepts, limits, hands over, drains.

use crate::app::App;
use axum::Router;
use axum::extract::ConnectInfo;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

/// Time for a request's head, and for an idle connection. iPXE keeps its connection while it
/// waits for `Retry-After`, so this is longer than the longest wait Moxxie asks for.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Open connections at most; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 8192;
/// Bytes of a request's head at most, as hyper reads it.
const HEAD_BYTES: usize = 64 * 1024;
/// Header lines at most.
const HEADERS: usize = 64;

/// Serves until `stop` says so, then lets running requests finish within the drain time.
pub async fn serve(listener: TcpListener, router: Router, app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let tracker = tokio_util::task::TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer, slot) = accepted;
        let router = router.clone();
        let stop = stop.clone();
        tracker.spawn(async move {
            metrics::gauge!("moxxie_connections").increment(1.0);
            connection(stream, peer, router, stop).await;
            metrics::gauge!("moxxie_connections").decrement(1.0);
            drop(slot);
        });
    }
    drop(listener);
    tracker.close();
    let running = tracker.len();
    if running > 0 {
        tracing::info!(running, "waiting for open connections");
    }
    if tokio::time::timeout(app.config.shutdown_drain, tracker.wait()).await.is_err() {
        tracing::warn!(cut = tracker.len(), "drain time is over; cutting the rest off");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            // Nobody closes the semaphore; should it happen, wait rather than spin.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) => {
                // Out of file descriptors, mostly: a pause instead of a busy loop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn connection(
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    // Small answers must not wait for an acknowledgment (Nagle).
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.oneshot(request).await.map(|response| response.map(|body| body.boxed_unsync()))
        }
    });
    // HTTP/1.1 only: iPXE and installers speak nothing else, and less is exposed.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stopped(&mut stop) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, %peer, "connection ended");
    }
}

/// Ends once the listener is told to stop; the guard on the value is not held on to.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await.map(|_| ());
}

/// Waits for SIGTERM or SIGINT, then stops the listener after the grace time. A second signal
/// ends the process at once.
pub async fn signals(app: Arc<App>, stop: watch::Sender<bool>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut next = async || {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    };
    next().await;
    app.draining.store(true, Ordering::SeqCst);
    tracing::info!("stopping: /readyz says 503, the listener closes soon");
    tokio::select! {
        () = tokio::time::sleep(app.config.shutdown_grace) => {}
        () = next() => std::process::exit(0),
    }
    let _ = stop.send(true);
    next().await;
    tracing::warn!("second signal: stopping now");
    std::process::exit(0)
}
