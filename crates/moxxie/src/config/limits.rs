//! How often, and how much at once: the part of `[limits]` that keeps the server itself in reach.

use super::file;
use moxxie_core::limit::Rate;

/// What clients may ask of the server. `None` and 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests on boot routes from one address.
    pub boot: Option<Rate>,
    /// Menus and profile scripts for one machine from one address.
    pub machine: Option<Rate>,
    /// Refused tokens from one address.
    pub failures: Option<Rate>,
    /// API requests with one token.
    pub api: Option<Rate>,
    /// Requests on boot routes that are worked on at once.
    pub requests_in_flight: usize,
    /// The same of the API.
    pub api_requests_in_flight: usize,
    /// Open connections in all; 0: as many as the limit on open files allows.
    pub connections: usize,
    /// Open connections of one address; 0: half of all.
    pub connections_per_address: usize,
}

/// Requests on boot routes a second. All the addresses behind one NAT count as one: 200 machines
/// ask about 8 times each while they boot, and a site has them waiting at their menus at most
/// every few seconds. From memory the server answers some thousands a second on one core, so one
/// host takes a few percent of it.
const BOOT: i64 = 100;
/// At once: 200 machines behind one address that power on together, with all they fetch.
const BOOT_BURST: i64 = 2000;
/// Menus of one machine a minute. SeaBIOS in a boot loop asks 4 times a minute, a machine in a
/// wave 20 to 30 times.
const MACHINE: i64 = 60;
/// Refused tokens a minute, and at once.
const FAILURES: i64 = 10;
/// API requests a second of one token; `moxxie` itself waits when it is told to. A stream of
/// events is one request.
const API: i64 = 100;
/// At once, for a script that goes through a site machine by machine.
const API_BURST: i64 = 1000;
/// A request from memory takes well under a millisecond and one that starts a boot some; so many
/// at once means that something behind the server stands still.
const IN_FLIGHT: i64 = 1024;
/// Uploads and imports are requests too, and run for minutes.
const API_IN_FLIGHT: i64 = 256;
/// 200 machines behind one address with two connections each, and some that died.
const PER_ADDRESS: i64 = 512;

impl Limits {
    /// Reads the section; an error names the key.
    pub fn from_file(file: &file::Limits) -> Result<Limits, (&'static str, String)> {
        let number = |key, value: Option<i64>, default: i64| match value.unwrap_or(default) {
            n @ 0..=1_000_000 => Ok(u32::try_from(n).unwrap_or(0)),
            n => Err((key, format!("{n} is not between 0 and 1000000"))),
        };
        let many = |key, value, default| number(key, value, default).map(|n| n as usize);
        let machine = number("limits.machine_per_minute", file.machine_per_minute, MACHINE)?;
        let failures = number("limits.failures_per_minute", file.failures_per_minute, FAILURES)?;
        Ok(Limits {
            boot: Rate::per_second(
                number("limits.boot_per_second", file.boot_per_second, BOOT)?,
                number("limits.boot_burst", file.boot_burst, BOOT_BURST)?,
            ),
            // A minute's worth at once: what counts is who never stops.
            machine: Rate::per_minute(machine, machine),
            failures: Rate::per_minute(failures, failures),
            api: Rate::per_second(
                number("limits.api_per_second", file.api_per_second, API)?,
                number("limits.api_burst", file.api_burst, API_BURST)?,
            ),
            requests_in_flight: many("limits.requests_in_flight", file.requests_in_flight, IN_FLIGHT)?,
            api_requests_in_flight: many(
                "limits.api_requests_in_flight",
                file.api_requests_in_flight,
                API_IN_FLIGHT,
            )?,
            connections: many("limits.connections", file.connections, 0)?,
            connections_per_address: many(
                "limits.connections_per_address",
                file.connections_per_address,
                PER_ADDRESS,
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_off_and_too_much_is_named() {
        let limits = Limits::from_file(&file::Limits::default()).unwrap();
        assert_eq!(limits.boot, Rate::per_second(100, 2000));
        assert_eq!((limits.requests_in_flight, limits.connections), (1024, 0));
        let file = |n| file::Limits { boot_per_second: Some(n), ..file::Limits::default() };
        assert_eq!(Limits::from_file(&file(0)).unwrap().boot, None);
        for bad in [-1, 1_000_001] {
            let (key, why) = Limits::from_file(&file(bad)).unwrap_err();
            assert!(key == "limits.boot_per_second" && why.starts_with(&bad.to_string()), "{key}: {why}");
        }
    }
}
