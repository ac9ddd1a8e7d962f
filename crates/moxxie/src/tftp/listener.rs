//! The sockets: one that requests come to, and one for each answer.

use anyhow::{Context, Result};
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Room for what is read at once: the kernel may hand over several datagrams of one client together.
const ROOM: usize = 64 * 1024;

/// A bound address.
pub struct Listener {
    socket: UdpSocket,
    state: UdpSocketState,
    address: SocketAddr,
    buffer: Vec<u8>,
    /// Read but not yet handed out.
    arrived: VecDeque<Asked>,
}

/// A datagram that came to the listener.
#[derive(Debug)]
pub(super) struct Asked {
    /// From where.
    pub peer: SocketAddr,
    /// Which address of this machine it was sent to, with the listener's port.
    pub local: SocketAddr,
    /// What it says.
    pub datagram: Vec<u8>,
}

impl Listener {
    /// Binds an address.
    pub fn bind(address: SocketAddr) -> Result<Listener> {
        let socket = std::net::UdpSocket::bind(address).with_context(|| {
            let mut why = format!("cannot listen for TFTP on {address} (UDP)");
            if address.port() < 1024 {
                why.push_str(
                    "; ports below 1024 need root or CAP_NET_BIND_SERVICE, and no other TFTP server beside",
                );
            }
            why
        })?;
        let open = move || -> io::Result<Listener> {
            let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
            let address = socket.local_addr()?;
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            Ok(Listener { socket, state, address, buffer: vec![0; ROOM], arrived: VecDeque::new() })
        };
        open().context("the TFTP socket cannot be used")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next datagram. Nothing is lost when this is given up in the middle.
    pub(super) async fn next(&mut self) -> io::Result<Asked> {
        loop {
            if let Some(asked) = self.arrived.pop_front() {
                return Ok(asked);
            }
            let Listener { socket, state, buffer, .. } = self;
            let mut meta = RecvMeta::default();
            let receive = || {
                let mut parts = [IoSliceMut::new(buffer)];
                state.recv(UdpSockRef::from(&*socket), &mut parts, std::slice::from_mut(&mut meta))
            };
            socket.async_io(Interest::READABLE, receive).await?;
            let local = match meta.dst_ip {
                Some(ip) => ip,
                None => self.address.ip(),
            };
            let peer = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            // An address of one link means nothing without the link.
            let (peer, local) = match (meta.addr, local.to_canonical()) {
                (SocketAddr::V6(from), IpAddr::V6(to)) => {
                    let local = SocketAddrV6::new(to, self.address.port(), 0, from.scope_id());
                    (SocketAddr::V6(from), SocketAddr::V6(local))
                }
                (_, local) => (peer, SocketAddr::new(local, self.address.port())),
            };
            let read = self.buffer.get(..meta.len).unwrap_or(&self.buffer);
            let datagrams = read.chunks(meta.stride.max(1)).map(<[u8]>::to_vec);
            self.arrived.extend(datagrams.map(|datagram| Asked { peer, local, datagram }));
        }
    }
}

/// A socket for the answer to a request: from the address that it was sent to, by a new port, and
/// to its sender alone.
pub(super) fn answering(local: SocketAddr, peer: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let mut from = local;
    from.set_port(0);
    let socket = std::net::UdpSocket::bind(from)?;
    if local.is_ipv4() {
        // dnsmasq, which serves most PXE ROMs, has it the same way: some do not take a datagram
        // that must not be fragmented. Small blocks are not anyhow.
        set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
    }
    socket.connect(peer)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether this can be answered at all. Requests to everybody are nobody's (RFC 1123, 4.2.3.5).
pub(super) fn answerable(asked: &Asked) -> bool {
    let to_all =
        |ip: IpAddr| ip.is_multicast() || ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    asked.peer.port() != 0 && !to_all(asked.peer.ip()) && !to_all(asked.local.ip())
}

/// Whether the client has closed its port.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionRefused
}
