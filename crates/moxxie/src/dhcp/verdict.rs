//! What is wrong with the answers: findings with cause and next step.

use super::clients::Client;
use super::offer::{Load, Offer, Role, chosen};
use super::rules::RULES;
use std::net::Ipv4Addr;

/// What one client sent and got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who asked.
    pub client: &'static Client,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// The answers, as they came.
    pub offers: Vec<Offer>,
    /// The servers that it asked again on port 4011.
    pub asked: Vec<Ipv4Addr>,
}

impl Seen {
    /// The answers in this role.
    pub fn in_role(&self, role: Role) -> impl Iterator<Item = &Offer> {
        self.offers.iter().filter(move |offer| offer.role == role)
    }

    /// The servers that answered, each once.
    pub fn servers(&self) -> Vec<Ipv4Addr> {
        let mut servers: Vec<_> = self.offers.iter().map(Offer::server).collect();
        servers.sort();
        servers.dedup();
        servers
    }

    /// What it would load.
    pub fn load(&self) -> Option<Load> {
        Some(chosen(self.client, &self.offers)?.1)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Machines of this kind do not boot, or not always.
    Error,
    /// It may be meant so.
    Warning,
}

impl Severity {
    /// As reports call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its short name, for scripts and for the page of symptoms.
    pub symptom: &'static str,
    /// Whom it hits.
    pub clients: Vec<&'static str>,
    /// What it comes from.
    pub cause: String,
    /// What to do next.
    pub next: String,
}

/// One client's answers, beside everybody else's.
pub(super) struct Case<'a> {
    pub seen: &'a Seen,
    /// What the client would load, and the answer that says so.
    pub load: Option<(&'a Offer, Load)>,
    pub all: &'a [Seen],
    /// iPXE brings its script: what DHCP tells it does not count.
    pub embedded: bool,
}

/// Everything that is wrong, errors first. `embedded`: iPXE brings its script along, embedded or
/// as `autoexec.ipxe`, and needs nothing of DHCP but an address.
pub fn judge(all: &[Seen], embedded: bool) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for seen in all {
        let case = Case { seen, load: chosen(seen.client, &seen.offers), all, embedded };
        for found in RULES.iter().filter_map(|rule| rule(&case)) {
            let same = |f: &&mut Finding| {
                (f.symptom, &f.cause, &f.next) == (found.symptom, &found.cause, &found.next)
            };
            match findings.iter_mut().find(same) {
                // One thing to mend, as bad as for whom it is worst.
                Some(finding) => {
                    finding.severity = finding.severity.min(found.severity);
                    finding.clients.extend(found.clients);
                }
                None => findings.push(found),
            }
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The worst that was found for this client.
pub fn worst<'a>(findings: &'a [Finding], client: &Client) -> Option<&'a Finding> {
    findings.iter().filter(|f| f.clients.contains(&client.name)).min_by_key(|f| f.severity)
}
