//! The file for the DHCP server behind the switch, by the dialect that knows it.

use super::{Job, Lines, Mode};
use crate::switch::{Pool, Tftp, find};

/// What makes the switch's part whole, as far as there are dialects for it.
pub(super) fn companions(job: &Job<'_>, lines: &mut Lines) -> Vec<(String, String)> {
    // Dialect, file, and what is chosen there.
    let wanted = match job.mode {
        Mode::Relay => [Some(("dnsmasq", "dnsmasq.conf", None)), Some(("kea", "kea-dhcp4.conf", None))],
        Mode::Beside => [Some(("dnsmasq", "dnsmasq-proxy.conf", Some(("mode", "proxy")))), None],
        Mode::Pool => [None, None],
    };
    let mut files = Vec::new();
    for (name, file, chosen) in wanted.into_iter().flatten() {
        let Some(dialect) = find(name) else { continue };
        let can = |(key, value): (&str, &str)| {
            let mut values = dialect.choices().iter().filter(|c| c.key == key).flat_map(|c| c.values);
            values.any(|(name, _)| *name == value)
        };
        if !chosen.is_none_or(can) {
            continue;
        }
        let mut network = job.network.for_dialect(dialect, chosen.as_slice());
        // The switch's ports, pools and warnings are nothing to the server.
        (network.interface, network.uplink, network.dhcp_server, network.vlan) = (None, None, None, None);
        network.pool = network.pool.filter(|pool| matches!(pool, Pool::Range(_)));
        network.warnings.clear();
        network.next_server = job.tftp;
        if job.mode == Mode::Beside && network.boot_url.address() == Some(job.tftp) {
            network.tftp = Tftp::Moxxie;
        }
        match dialect.write(&network) {
            Ok(written) => files.push((file.to_owned(), written.script)),
            Err(problem) => lines.warn(format!("{file} could not be written: {problem}")),
        }
    }
    if files.is_empty() && job.mode == Mode::Beside {
        lines.warn("a proxyDHCP server is needed, such as dnsmasq in proxy mode; no file for it comes along");
    }
    files
}
