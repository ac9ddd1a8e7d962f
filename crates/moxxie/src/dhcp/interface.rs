//! The network interface that questions go out of.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::net::Ipv4Addr;

/// Why an interface cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// There is none of this name.
    #[error("there is no interface {name}; there are: {others}")]
    Missing {
        /// The name that was given.
        name: String,
        /// The names that would do.
        others: String,
    },
    /// It is switched off, or nothing is plugged in.
    #[error("interface {0} is down: check the cable, then `ip link set {0} up`")]
    Down(String),
    /// Answers of boot servers come to an address of this host.
    #[error("interface {0} has no IPv4 address: give it one in the network to be tested")]
    NoAddress(String),
    /// The system does not say.
    #[error("the interfaces of this host could not be listed")]
    Unknown(#[source] std::io::Error),
}

/// The IPv4 address of an interface that is up.
pub fn address_of(name: &str) -> Result<Ipv4Addr, InterfaceError> {
    let all: Vec<_> = getifaddrs().map_err(|error| InterfaceError::Unknown(error.into()))?.collect();
    let mut flags = None;
    let mut others: Vec<&str> = Vec::new();
    for entry in &all {
        if entry.interface_name == name {
            flags = Some(entry.flags);
        } else if !others.contains(&entry.interface_name.as_str()) {
            others.push(&entry.interface_name);
        }
    }
    let Some(flags) = flags else {
        return Err(InterfaceError::Missing { name: name.to_owned(), others: others.join(", ") });
    };
    if !flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING) {
        return Err(InterfaceError::Down(name.to_owned()));
    }
    let of_this = all.iter().filter(|entry| entry.interface_name == name);
    let mut addresses = of_this.filter_map(|entry| entry.address.as_ref()?.as_sockaddr_in().map(|a| a.ip()));
    addresses.next().ok_or_else(|| InterfaceError::NoAddress(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_found_by_name() {
        let error = address_of("moxxie-none0").unwrap_err().to_string();
        assert!(error.contains("moxxie-none0") && error.contains("lo"), "{error}");
        assert_eq!(address_of("lo").unwrap(), Ipv4Addr::LOCALHOST);
    }
}
