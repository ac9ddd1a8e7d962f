//! The configuration languages of switches, routers and DHCP servers. One file or folder each, one
//! line in [`DIALECTS`]; the API, the command line and the vendors' pages come from that table.
//!
//! A dialect turns a [`Network`], whose every value was checked when it was read, into text that is
//! ready to paste: the boot file's name in one place only, a second stage that cannot loop, and
//! nothing touched that does not carry Moxxie's name.

pub mod cisco_ios;
pub mod dnsmasq;
pub mod edgeos;
pub mod fs;
pub mod isc_dhcpd;
pub mod junos;
pub mod kea;
pub mod mikrotik;
mod name;
mod network;
pub mod openwrt;
pub mod opnsense;
pub mod proxmox_sdn;
mod relayed;
mod served;
mod single;
mod text;
pub mod unifi;
pub mod vyos;
pub mod windows;

pub use name::{Arch, BootUrl, Name, NameError, Vlan, quotable};
pub use network::{Choice, KEYS, Known, Lease, Network, Pool, Problem, Range, Stage, Tftp};
pub use text::{KNOWS_AUTOEXEC, Remarks, comment_block};

/// Every dialect, in the order people see them.
pub static DIALECTS: &[&dyn Dialect] = &[
    &mikrotik::Mikrotik,
    &fs::Fs,
    &dnsmasq::Dnsmasq,
    &kea::Kea,
    &isc_dhcpd::IscDhcpd,
    &cisco_ios::CiscoIos,
    &junos::Junos,
    &edgeos::EdgeOs,
    &vyos::Vyos,
    &opnsense::Opnsense,
    &openwrt::OpenWrt,
    &windows::Windows,
    &proxmox_sdn::ProxmoxSdn,
    &unifi::Unifi,
];

/// The dialect of this name.
pub fn find(name: &str) -> Option<&'static dyn Dialect> {
    DIALECTS.iter().copied().find(|dialect| dialect.name() == name)
}

/// A vendor's configuration language.
pub trait Dialect: Sync {
    /// The spelling in `vendor=`.
    fn name(&self) -> &'static str;

    /// The name that people know, with the versions that are meant.
    fn title(&self) -> &'static str;

    /// One sentence for the list: what the output is and where it goes.
    fn summary(&self) -> &'static str;

    /// What there is to choose from, such as the version; the first value is the default.
    fn choices(&self) -> &'static [Choice] {
        &[]
    }

    /// Which value of a choice a text means that is none of them, such as a full version number.
    fn choose(&self, _key: &str, _text: &str) -> Option<&'static str> {
        None
    }

    /// The parameters out of [`KEYS`] that this dialect makes use of. Others that are given get a
    /// warning, because somebody believes in them.
    fn reads(&self) -> &'static [&'static str];

    /// What a parameter means here, where the general words of [`KEYS`] are too wide.
    fn means(&self, _key: &str) -> Option<&'static str> {
        None
    }

    /// The configuration, its undo and what to know about both.
    fn write(&self, network: &Network) -> Result<Written, Problem>;

    /// What a page about this vendor says around the script.
    fn guide(&self) -> Guide;

    /// Of which configurations [`Dialect::compare`] says how they differ.
    fn compared(&self) -> Option<&'static str> {
        None
    }

    /// How a running configuration differs from `wanted`, a script that [`Dialect::write`] made;
    /// `None` where this cannot be read.
    fn compare(&self, _wanted: &str, _running: &str) -> Option<Vec<Difference>> {
        None
    }
}

/// What a dialect has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Ready to paste, or to save as a file. Its comments say what it is and what it cannot do.
    pub script: String,
    /// Takes away what `script` made, and nothing else.
    pub undo: String,
    /// What the reader has to know or decide, one sentence or two each. They stand in `script` too.
    pub warnings: Vec<String>,
    /// How to see that it works, a command or a sentence each.
    pub verify: Vec<String>,
    /// Where the syntax comes from, and what it was checked against.
    pub sources: Vec<&'static str>,
    /// Further files that this needs elsewhere: a name and the text.
    pub companions: Vec<(String, String)>,
}

/// What a vendor's page says, beside the script and the symptoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// What has to be there before: versions, files, ports. One sentence each.
    pub needs: &'static [&'static str],
    /// How the script gets onto the device, step by step.
    pub apply: &'static [&'static str],
    /// How the undo does.
    pub undo: &'static [&'static str],
    /// What goes wrong with this vendor, and what to do.
    pub traps: &'static [&'static str],
    /// What was checked, against what, and what was not.
    pub checked: &'static [&'static str],
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// `missing`, `changed` or `extra`.
    pub kind: DifferenceKind,
    /// What it is about, as the vendor calls it.
    pub what: String,
    /// How it should be; empty for something extra.
    pub wanted: String,
    /// How it is; empty for something missing.
    pub found: String,
    /// The next step.
    pub fix: String,
}

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// It should be there.
    Missing,
    /// It is there and says something else.
    Changed,
    /// It is there, gets in the way, and nobody asked for it.
    Extra,
}
