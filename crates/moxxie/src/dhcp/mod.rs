//! Asks a network what it would make machines boot: one DHCPDISCOVER for each kind of firmware,
//! and what each would load of the answers, by its own rules.
//!
//! [`clients`] are the questions, [`offer`] the answers, [`verdict`] what is wrong with them: all
//! three are values in, values out. [`probe`] alone has a socket.

pub mod clients;
#[cfg(test)]
mod clients_tests;
pub mod interface;
pub mod offer;
#[cfg(test)]
mod offer_tests;
pub mod probe;
pub mod report;
mod rules;
pub mod verdict;
#[cfg(test)]
mod verdict_tests;

/// Where DHCP servers listen.
pub const SERVER_PORT: u16 = 67;
/// Where DHCP clients listen.
pub const CLIENT_PORT: u16 = 68;
/// Where proxyDHCP servers are asked again (PXE 2.1).
pub const PROXY_PORT: u16 = 4011;

/// The numbers of the DHCP options that are read or written here (RFC 2132, 4578, 3004; iPXE).
pub mod code {
    /// Vendor-specific; PXE has options of its own in it.
    pub const VENDOR: u8 = 43;
    /// Whether `file` and `sname` of the header hold options.
    pub const OVERLOAD: u8 = 52;
    /// DISCOVER, OFFER, REQUEST…
    pub const MESSAGE_TYPE: u8 = 53;
    /// The address of the server that speaks.
    pub const SERVER_ID: u8 = 54;
    /// What the client wants to be told.
    pub const PARAMETERS: u8 = 55;
    /// The longest message that the client takes, in bytes.
    pub const MAX_SIZE: u8 = 57;
    /// `PXEClient…` or `HTTPClient…`.
    pub const CLASS: u8 = 60;
    /// The client's own identifier.
    pub const CLIENT_ID: u8 = 61;
    /// The TFTP server's name. No firmware that is known here boots by it.
    pub const TFTP_SERVER: u8 = 66;
    /// The boot file's name.
    pub const BOOT_FILE: u8 = 67;
    /// `iPXE`, from iPXE.
    pub const USER_CLASS: u8 = 77;
    /// The client's architecture.
    pub const ARCH: u8 = 93;
    /// The version of the network driver interface.
    pub const UNDI: u8 = 94;
    /// The client's UUID.
    pub const UUID: u8 = 97;
    /// iPXE's own options.
    pub const IPXE: u8 = 175;
}
