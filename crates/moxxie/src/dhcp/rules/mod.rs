//! The rules of the verdict: each looks at one client's answers and finds one thing, or nothing.

mod answers;
mod files;

use super::clients::Client;
use super::verdict::{Case, Finding, Severity};
use std::net::Ipv4Addr;

/// A rule.
pub(super) type Rule = fn(&Case) -> Option<Finding>;

/// All of them, in the order of reports.
pub(super) const RULES: &[Rule] = &[
    answers::silent,
    answers::proxy_only,
    answers::two_servers,
    answers::class_without_server,
    answers::http_without_class,
    answers::no_file,
    files::ipxe_loop,
    files::wrong_scheme,
    files::wrong_kind,
    files::same_file,
    files::no_next_server,
    files::bad_name,
    files::two_names,
    files::plain_file,
];

fn found(
    case: &Case,
    severity: Severity,
    symptom: &'static str,
    cause: impl Into<String>,
    next: impl Into<String>,
) -> Option<Finding> {
    let clients = vec![case.seen.client.name];
    Some(Finding { severity, symptom, clients, cause: cause.into(), next: next.into() })
}

/// An error for what every site has, a warning for what it may not have.
fn by_use(client: &Client) -> Severity {
    if client.is_common() { Severity::Error } else { Severity::Warning }
}

fn list(servers: &[Ipv4Addr]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
