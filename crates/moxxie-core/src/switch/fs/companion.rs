//! The file for the DHCP server behind the switch, by the dialect that knows it.

use super::{Job, Lines, Mode};
use crate::switch::{Pool, Tftp, find};

/// What makes the switch's part whole, as far as there are dialects for it.
pub(super) fn companions(job: &Job<'_>, lines: &mut Lines) -> Vec<(String, String)> {
    let wanted: &[(&str, &str, &[(&str, &str)])] = match job.mode {
        Mode::Relay => &[("dnsmasq", "dnsmasq.conf", &[]), ("kea", "kea-dhcp4.conf", &[])],
        Mode::Beside => &[("dnsmasq", "dnsmasq-proxy.conf", &[("mode", "proxy")])],
        Mode::Pool => &[],
    };
    let mut files = Vec::new();
    for (name, file, chosen) in wanted {
        let Some(dialect) = find(name) else { continue };
        let can = |(key, value): &(&str, &str)| {
            dialect.choices().iter().any(|c| c.key == *key && c.values.iter().any(|(v, _)| v == value))
        };
        if !chosen.iter().all(can) {
            continue;
        }
        let mut network = job.network.for_dialect(dialect, chosen);
        // The switch's ports, pools and warnings are nothing to the server.
        (network.interface, network.uplink, network.dhcp_server, network.vlan) = (None, None, None, None);
        network.pool = network.pool.filter(|pool| matches!(pool, Pool::Range(_)));
        network.warnings.clear();
        network.next_server = job.tftp;
        if job.mode == Mode::Beside && network.boot_url.address() == Some(job.tftp) {
            network.tftp = Tftp::Moxxie;
        }
        match dialect.write(&network) {
            Ok(written) => files.push(((*file).to_owned(), written.script)),
            Err(problem) => lines.warn(format!("{file} could not be written: {problem}")),
        }
    }
    if files.is_empty() && job.mode == Mode::Beside {
        lines.warn("a proxyDHCP server is needed, such as dnsmasq in proxy mode; no file for it comes along");
    }
    files
}
