//! What may enter a configuration: names, VLANs, boot URLs, kinds of clients. Checked here, once, so
//! that no dialect is handed a text that could end a word, a line or a command.

use std::fmt;
use std::str::FromStr;

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub(crate) String);

impl NameError {
    fn new(text: impl Into<String>) -> NameError {
        NameError(text.into())
    }
}

/// The name of an interface, a DHCP server, a pool: 1 to 63 printable ASCII characters that no
/// dialect reads as anything but a part of a name. Single spaces may stand inside, for the vendors
/// that allow them; [`Name::word`] is for those that do not.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one word, for languages whose names have no spaces.
    pub fn word(&self) -> Result<&str, NameError> {
        match self.0.contains(' ') {
            true => Err(NameError::new(format!(
                "{:?} has a space in it, which this vendor's names cannot have",
                self.0
            ))),
            false => Ok(&self.0),
        }
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Name, NameError> {
        if !(1..=63).contains(&text.len()) {
            return Err(NameError::new("a name has 1 to 63 characters"));
        }
        let wrong = |c: &char| !(c.is_ascii_alphanumeric() || " ._/:@-".contains(*c));
        if let Some(wrong) = text.chars().find(wrong) {
            return Err(NameError::new(format!(
                "{wrong:?} cannot stand in a name here: letters, digits, spaces and . _ / : @ - can{}",
                // What forms and many libraries make of a space; here it would go unnoticed.
                if wrong == '+' { ". A space in a URL is %20" } else { "" }
            )));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric())
            || text.ends_with(' ')
            || text.contains("  ")
        {
            return Err(NameError::new(
                "a name begins with a letter or digit, does not end in a space and has no two in a row",
            ));
        }
        Ok(Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A VLAN, 1 to 4094 (IEEE 802.1Q: 0 and 4095 are reserved).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vlan(u16);

impl Vlan {
    /// Its number.
    pub fn id(self) -> u16 {
        self.0
    }
}

impl FromStr for Vlan {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Vlan, NameError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(id @ 1..=4094) if digits => Ok(Vlan(id)),
            _ => Err(NameError::new("a VLAN is a number from 1 to 4094")),
        }
    }
}

impl fmt::Display for Vlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A URL that firmware gets by DHCP: at most 127 bytes, because the BOOTP header has room for 128
/// with the NUL at the end and some servers cut it without a word, and without any character that a
/// shell, a switch or iPXE reads as more than itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootUrl {
    url: String,
    origin: usize,
}

impl BootUrl {
    /// Longest URL, in bytes.
    pub const MAX: usize = 127;

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// `http://host:port`, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.url[..self.origin]
    }

    /// The host, without the port.
    pub fn host(&self) -> &str {
        let authority = self.origin().split_once("://").map_or("", |(_, rest)| rest);
        authority.split(':').next().unwrap_or(authority)
    }

    /// The port, written or implied.
    pub fn port(&self) -> u16 {
        let authority = self.origin().split_once("://").map_or("", |(_, rest)| rest);
        let implied = if self.is_https() { 443 } else { 80 };
        authority.split_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(implied)
    }

    /// The host, when it is an address.
    pub fn address(&self) -> Option<std::net::Ipv4Addr> {
        self.host().parse().ok()
    }

    /// Whether it needs TLS, which BIOS builds of iPXE lack.
    pub fn is_https(&self) -> bool {
        self.url.starts_with("https://")
    }
}

impl FromStr for BootUrl {
    type Err = NameError;
    fn from_str(text: &str) -> Result<BootUrl, NameError> {
        if text.len() > BootUrl::MAX {
            return Err(NameError::new(format!(
                "{} bytes: a DHCP boot URL has room for {}; the server's own parameters belong into the script it fetches",
                text.len(),
                BootUrl::MAX
            )));
        }
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let Some(rest) = rest else {
            return Err(NameError::new("a boot URL begins with http:// or https://"));
        };
        let wrong = |c: &char| !(c.is_ascii_alphanumeric() || "._~:/-".contains(*c));
        if let Some(wrong) = rest.chars().find(wrong) {
            return Err(NameError::new(format!(
                "{wrong:?} cannot stand in a boot URL: switches, shells and iPXE read ? $ & {{ }} quotes and spaces as more than themselves"
            )));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p)));
        let labels = host
            .split('.')
            .all(|label| !label.is_empty() && !label.starts_with('-') && !label.contains(['~', '/', ':']));
        if !labels {
            return Err(NameError::new("its host is neither a name nor an IPv4 address"));
        }
        let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if numeric && host.parse::<std::net::Ipv4Addr>().is_err() {
            return Err(NameError::new("its host is not an IPv4 address"));
        }
        let fine =
            |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
        if !port.is_none_or(fine) {
            return Err(NameError::new("its port is not a number from 1 to 65535"));
        }
        if path.len() < 2 {
            return Err(NameError::new("it has no path: Moxxie's menu is at /boot/menu.ipxe"));
        }
        Ok(BootUrl { url: text.to_owned(), origin: text.len() - path.len() })
    }
}

impl fmt::Display for BootUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// A kind of client, by DHCP option 93 (RFC 4578 with its erratum, IANA "Processor Architecture
/// Types") and whether it asks by PXE or by UEFI HTTP boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// BIOS.
    Bios,
    /// 32-bit UEFI.
    Ia32,
    /// 64-bit x86 UEFI.
    X64,
    /// 64-bit ARM UEFI.
    Arm64,
    /// UEFI HTTP boot on x86.
    HttpX64,
    /// UEFI HTTP boot on ARM.
    HttpArm64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 6] =
        [Arch::Bios, Arch::Ia32, Arch::X64, Arch::Arm64, Arch::HttpX64, Arch::HttpArm64];

    /// The spelling in `arch=`.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Bios => "bios",
            Arch::Ia32 => "ia32",
            Arch::X64 => "x64",
            Arch::Arm64 => "arm64",
            Arch::HttpX64 => "http-x64",
            Arch::HttpArm64 => "http-arm64",
        }
    }

    /// Its values of option 93. x64 has two: early texts of the RFC listed 9, real firmware sends 7,
    /// so both are always mapped.
    pub fn codes(self) -> &'static [u16] {
        match self {
            Arch::Bios => &[0],
            Arch::Ia32 => &[6],
            Arch::X64 => &[7, 9],
            Arch::Arm64 => &[11],
            Arch::HttpX64 => &[16],
            Arch::HttpArm64 => &[19],
        }
    }

    /// Whether it asks for a URL instead of a file by TFTP.
    pub fn is_http(self) -> bool {
        matches!(self, Arch::HttpX64 | Arch::HttpArm64)
    }
}

impl FromStr for Arch {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Arch, NameError> {
        Arch::ALL.into_iter().find(|arch| arch.name() == text).ok_or_else(|| {
            let all = Arch::ALL.map(Arch::name).join(", ");
            NameError::new(format!("{text:?} is no kind of client; there are {all}"))
        })
    }
}

/// Whether a text has nothing in it that any quoting could let through: printable ASCII without
/// quotes, backslashes, `$`, backquotes. Dialects ask this of every dynamic text once more, so that
/// a value which came by another way than [`Name`] cannot end a string.
pub fn quotable(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b) && !b"\"'\\$`".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in
            ["ether1", "VLAN 10", "ge-0/0/1.0", "TenGigabitEthernet 0/1", "dhcp_pool", "eth-0-1", "br0@vlan"]
        {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let long = "x".repeat(64);
        for bad in [
            "",
            " a",
            "a ",
            "a  b",
            "-a",
            "a\"b",
            "a'b",
            "a$b",
            "a;b",
            "a[b",
            "a]b",
            "a{b",
            "a\nb",
            "a\rb",
            "a\0b",
            "a`b",
            "a\\b",
            "a|b",
            "a&b",
            "a>b",
            "a#b",
            "a?b",
            "a!b",
            "a(b",
            "a=b",
            "a,b",
            "a+b",
            "é",
            "a\u{202e}b",
            &long,
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        assert!("a b".parse::<Name>().unwrap().word().is_err());
    }

    #[test]
    fn vlans() {
        assert_eq!("10".parse::<Vlan>().unwrap().id(), 10);
        for bad in ["", "0", "4095", "-1", "+5", "1 ", "x"] {
            assert!(bad.parse::<Vlan>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn boot_urls() {
        let url: BootUrl = "http://10.0.0.10:8080/boot/menu.ipxe".parse().unwrap();
        assert_eq!((url.origin(), url.host(), url.port()), ("http://10.0.0.10:8080", "10.0.0.10", 8080));
        assert_eq!("https://boot.example/boot/menu.ipxe".parse::<BootUrl>().unwrap().port(), 443);
        let exactly = format!("http://a/{}", "b".repeat(118));
        assert_eq!((exactly.len(), exactly.parse::<BootUrl>().is_ok()), (127, true));
        for bad in [
            &format!("{exactly}b"),
            "",
            "ftp://a/b",
            "http://a",
            "http://a/",
            "http:///b",
            "http://a:0/b",
            "http://a:b/c",
            "http://a:65536/c",
            "http://1.2.3/c",
            "http://999.1.1.1/c",
            "http://-a/b",
            "http://a/b?c",
            "http://a/${b}",
            "http://a/b&c",
            "http://a/b c",
            "http://a/b\"",
            "http://a/b'",
            "http://a/b\\",
            "http://a/b;c",
            "http://[::1]/b",
            "http://u@a/b",
            "http://a/b\n",
            "http://a/%41",
            "http://a/b#c",
            "http://é/b",
        ] {
            assert!(bad.parse::<BootUrl>().is_err(), "{bad:?}");
        }
    }
}
