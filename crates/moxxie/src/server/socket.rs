//! One client's socket: sends files with `sendfile(2)`, counts what was sent and what arrived,
//! and does not wait for ever.

use super::Limits;
use super::head::{Busy, Head};
use super::patience::{Pace, Patience};
use super::windows::{Hit, Windows};
use crate::downloads::Download;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg, sockopt};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Bytes that one client is sent before others get their turn. A client that takes them as fast as
/// they come would otherwise hold a thread for a gigabyte.
const TURN: usize = 4 * 1024 * 1024;
/// How often the kernel is asked whether the last bytes arrived: there is no event for it.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LATER_LOOK: Duration = Duration::from_millis(500);
/// A machine that starts its kernel drops its network card in the middle of a word: its last
/// acknowledgment never comes. What was sent so long ago counts as received without it.
const WORD: Duration = Duration::from_secs(2);
/// How long a client may go on sending what nobody reads.
const LEFTOVERS: Duration = Duration::from_secs(5);

/// The socket.
pub(super) struct Socket {
    stream: TcpStream,
    windows: Arc<Windows>,
    patience: Patience,
    pace: Pace,
    head: Head,
    /// Bytes that the kernel accepted on this connection.
    written: u64,
    /// Downloads whose last byte was accepted when so many bytes were written, and did not arrive
    /// yet.
    arriving: Vec<(u64, Arc<Download>)>,
    look: Option<Look>,
    /// Downloads with bytes that were encrypted and are not all accepted by the kernel.
    held: Vec<(Arc<Download>, u64)>,
    /// Bytes sent in this turn.
    turn: usize,
    /// The end was sent, which the kernel counts as one more byte.
    ended: bool,
}

/// Waiting for the last acknowledgments.
struct Look {
    timer: Pin<Box<Sleep>>,
    pause: Duration,
    since: Instant,
}

impl Socket {
    pub fn new(stream: TcpStream, limits: Limits) -> Socket {
        // Small answers must not wait for an acknowledgment (Nagle).
        let _ = stream.set_nodelay(true);
        // No TCP_USER_TIMEOUT: the kernel counts a small window that opens and closes as silence, and
        // resets machines that read slowly. The pace below knows what they acknowledged.
        Socket {
            stream,
            windows: Arc::default(),
            patience: Patience::new(limits.pace),
            pace: limits.pace,
            head: Head::new(limits.head),
            written: 0,
            arriving: vec![],
            look: None,
            held: vec![],
            turn: 0,
            ended: false,
        }
    }

    /// Where bodies say which of their bytes lie in files.
    pub fn windows(&self) -> Arc<Windows> {
        self.windows.clone()
    }

    /// The same socket under TLS: what it is given to write are no bytes of files.
    pub fn under_tls(self) -> Socket {
        Socket { windows: Arc::new(Windows::copied()), ..self }
    }

    /// The first `taken` of these bytes were encrypted.
    pub fn hold(&mut self, bufs: &[IoSlice<'_>], mut taken: usize) {
        if self.windows.is_empty() {
            return;
        }
        for buf in bufs {
            let here = taken.min(buf.len());
            taken -= here;
            if here > 0
                && let Some(hit) = self.windows.find(buf.as_ptr().addr())
            {
                self.held.push((hit.download, here as u64));
            }
        }
    }

    /// The kernel accepted everything that was encrypted.
    pub fn release(&mut self) {
        for (download, bytes) in self.held.drain(..) {
            if download.sent(bytes) {
                self.arriving.push((self.written, download));
                self.look = None;
            }
        }
    }

    /// Where it is said whether a request is being answered.
    pub fn busy(&self) -> Busy {
        self.head.busy()
    }

    /// The least that the client has to take, and to send while it sends a body.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// After the last answer: waits until downloads that were handed to the kernel have arrived.
    pub async fn linger(mut self) {
        if self.arriving.is_empty() {
            return;
        }
        let _ = AsyncWriteExt::shutdown(&mut self).await;
        poll_fn(|cx| {
            if self.poll_spent(cx).is_ready() {
                self.reset();
                return Poll::Ready(());
            }
            match self.stream.take_error() {
                Ok(None) => self.poll_arrived(cx),
                _ => Poll::Ready(()),
            }
        })
        .await;
        self.note();
    }

    /// After an answer that did not wait for the end of its request, such as the refusal of an
    /// upload: takes what the client still sends and drops it, for a while. Closing with bytes
    /// unread would be a reset, which takes the answer away from a client that has not read it.
    pub async fn discard(&mut self) {
        let _ = AsyncWriteExt::shutdown(self).await;
        let mut leftovers = vec![0; 64 * 1024];
        let reading = async { while self.stream.read(&mut leftovers).await.is_ok_and(|n| n > 0) {} };
        let _ = tokio::time::timeout(LEFTOVERS, reading).await;
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.turn >= TURN {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.stream.poll_write_ready(cx)?.is_ready() {
            let sent = self.stream.try_io(Interest::WRITABLE, || send(&self.stream, &self.windows, bufs));
            match sent {
                Ok(sent) => {
                    self.turn += sent;
                    self.sent(bufs, sent);
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.note();
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.turn = 0;
        if self.poll_spent(cx).is_pending() {
            return Poll::Pending;
        }
        self.note();
        self.reset();
        let why = "the client took too little for too long";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }

    /// Makes the close that follows a reset: the kernel would keep the unread megabytes.
    fn reset(&self) {
        let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// Bytes that the kernel accepted and the client did not acknowledge.
    fn waiting(&self) -> u64 {
        waiting(&self.stream).saturating_sub(self.ended.into())
    }

    /// Bytes that the kernel accepted and did not send, not even once.
    fn unsent(&self) -> u64 {
        unsent(&self.stream).saturating_sub(self.ended.into())
    }

    fn poll_spent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (stream, written) = (&self.stream, self.written);
        self.patience.poll_spent(cx, || written.saturating_sub(waiting(stream)))
    }

    /// Counts what the kernel accepted for the downloads it belongs to.
    fn sent(&mut self, bufs: &[IoSlice<'_>], mut sent: usize) {
        if !self.windows.is_empty() {
            let mut position = self.written;
            for buf in bufs {
                let here = sent.min(buf.len());
                sent -= here;
                position += here as u64;
                let hit = if here > 0 { self.windows.find(buf.as_ptr().addr()) } else { None };
                if let Some(Hit { download, .. }) = hit
                    && download.sent(here as u64)
                {
                    self.arriving.push((position, download));
                    self.look = None;
                }
            }
            self.written = position + sent as u64;
            return;
        }
        self.written += sent as u64;
    }

    /// Ready when nothing that was sent is on its way any more.
    fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let look = self.look.get_or_insert_with(|| Look {
                timer: Box::pin(tokio::time::sleep(FIRST_LOOK)),
                pause: FIRST_LOOK,
                since: Instant::now(),
            });
            let long_ago = look.since.elapsed() >= WORD;
            let lacking = if long_ago { self.unsent() } else { self.waiting() };
            let arrived = self.written.saturating_sub(lacking);
            self.arriving.retain(|(position, download)| {
                let on_its_way = *position > arrived;
                match on_its_way {
                    true => {}
                    false if long_ago => download.left(),
                    false => download.arrived(),
                }
                on_its_way
            });
            if self.arriving.is_empty() {
                self.look = None;
                return Poll::Ready(());
            }
            let Some(look) = &mut self.look else { continue };
            std::task::ready!(look.timer.as_mut().poll(cx));
            look.pause = (look.pause * 2).min(LATER_LOOK);
            look.timer.as_mut().reset(Instant::now() + look.pause);
        }
    }

    /// Says how far the downloads came that go no further.
    fn note_cut(&self) {
        let waiting = self.waiting();
        let held = self.held.iter().map(|(download, _)| download);
        for download in self.windows.downloads().iter().chain(held) {
            download.lacks(waiting);
        }
    }

    /// The same of all downloads: the connection is broken.
    fn note(&mut self) {
        self.note_cut();
        let arrived = self.written.saturating_sub(self.unsent());
        for (position, download) in self.arriving.drain(..) {
            match position.saturating_sub(arrived) {
                0 => download.left(),
                lacking => download.lacks(lacking),
            }
        }
    }
}

/// Sends the first of these bytes: those of a file by the file, what lies before them as they are.
fn send(stream: &TcpStream, windows: &Windows, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut file = None;
    let mut before = bufs;
    if !windows.is_empty() {
        for (at, buf) in bufs.iter().enumerate().filter(|(_, buf)| !buf.is_empty()) {
            if let Some(Hit { length, file: Some(found), .. }) = windows.find(buf.as_ptr().addr()) {
                file = Some((found, length.min(buf.len()).min(TURN)));
                before = &bufs[..at];
                break;
            }
        }
    }
    match file {
        Some(((file, mut offset), length)) if before.iter().all(|buf| buf.is_empty()) => {
            match rustix::fs::sendfile(stream, &*file, Some(&mut offset), length)? {
                0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")),
                sent => Ok(sent),
            }
        }
        // The head and the first bytes of its file go out in one segment.
        Some(_) => Ok(write(stream, before, SendFlags::MORE)?),
        None => Ok(write(stream, bufs, SendFlags::empty())?),
    }
}

fn write(stream: &TcpStream, bufs: &[IoSlice<'_>], flags: SendFlags) -> Result<usize, Errno> {
    let flags = flags | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(stream, bufs, &mut SendAncillaryBuffer::default(), flags)
}

/// Bytes that the kernel accepted and the peer did not acknowledge (`SIOCOUTQ`, tcp(7)).
fn waiting(stream: &TcpStream) -> u64 {
    count::<0x5411>(stream)
}

/// Those of them that were not sent yet (`SIOCOUTQNSD`, linux/sockios.h).
fn unsent(stream: &TcpStream) -> u64 {
    count::<0x894b>(stream)
}

#[allow(unsafe_code)]
fn count<const WHICH: rustix::ioctl::Opcode>(stream: &TcpStream) -> u64 {
    use rustix::ioctl::{Getter, ioctl};
    // SAFETY: on a TCP socket both questions write one int, which is what the getter makes room for.
    let count = unsafe { ioctl(stream, Getter::<WHICH, std::ffi::c_int>::new()) };
    count.ok().and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        match &read {
            Poll::Pending if self.head.poll_late(cx).is_ready() => {
                let why = "the head of a request took too long";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            // While nothing is asked hyper only reads, so this is where the wait goes on.
            Poll::Pending if !self.arriving.is_empty() => {
                let _ = self.poll_arrived(cx);
            }
            // The client closed; what is on its way may still arrive.
            Poll::Ready(Ok(())) if buf.filled().len() == before => self.note_cut(),
            Poll::Ready(Ok(())) => self.head.arrived(),
            Poll::Ready(Err(_)) => self.note(),
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has nothing left to write: from here on the client is not late.
        self.patience.rest();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.ended |= matches!(shut, Poll::Ready(Ok(())));
        shut
    }
}
