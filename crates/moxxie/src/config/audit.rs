//! `[audit]`: how long the audit log is kept, and where else it goes.

use super::file;
use std::path::PathBuf;

/// Days that records are kept when nothing is said: a year, and a month to look back on it.
const DAYS: i64 = 400;

/// What becomes of audit records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// For how many days they are kept; `None` for ever.
    pub days: Option<i64>,
    /// Where they are sent.
    pub syslog: Option<Sink>,
}

/// A syslog receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Datagrams to HOST:PORT.
    Udp(String),
    /// A stream to HOST:PORT, each message behind its length (RFC 6587, section 3.4.1).
    Tcp(String),
    /// Datagrams to a socket on this machine.
    Unix(PathBuf),
}

impl Audit {
    /// Reads the section; an error names the key.
    pub fn from_file(section: &file::Audit) -> Result<Audit, (&'static str, String)> {
        let days = match section.days.unwrap_or(DAYS) {
            0 => None,
            days if (1..=36_500).contains(&days) => Some(days),
            days => return Err(("audit.days", format!("{days} is not between 0 (for ever) and 36500"))),
        };
        let syslog = section.syslog.as_deref().map(Sink::parse).transpose();
        Ok(Audit { days, syslog: syslog.map_err(|why| ("audit.syslog", why))? })
    }
}

impl Sink {
    fn parse(text: &str) -> Result<Sink, String> {
        // The text is not repeated: it may hold a password by mistake.
        let wanted = || "one of udp://HOST[:PORT], tcp://HOST[:PORT], unix:///PATH".to_owned();
        let url = url::Url::parse(text).map_err(|_| wanted())?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host_str().filter(|host| !host.is_empty());
        match (url.scheme(), host) {
            ("unix", None) if plain && url.path().len() > 1 => Ok(Sink::Unix(PathBuf::from(url.path()))),
            (scheme @ ("udp" | "tcp"), Some(host)) if plain && matches!(url.path(), "" | "/") => {
                let address = format!("{host}:{}", url.port().unwrap_or(514));
                Ok(if scheme == "udp" { Sink::Udp(address) } else { Sink::Tcp(address) })
            }
            _ => Err(wanted()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_receivers() {
        let read = |days: Option<i64>, syslog: Option<&str>| {
            Audit::from_file(&file::Audit { days, syslog: syslog.map(str::to_owned) })
        };
        assert_eq!(read(None, None), Ok(Audit { days: Some(400), syslog: None }));
        assert_eq!(read(Some(0), None).map(|audit| audit.days), Ok(None));
        assert_eq!(read(Some(-1), None).unwrap_err().0, "audit.days");
        let sink = |text: &str| read(None, Some(text)).map(|audit| audit.syslog);
        assert_eq!(sink("udp://10.0.0.9"), Ok(Some(Sink::Udp("10.0.0.9:514".into()))));
        assert_eq!(sink("tcp://[fd00::9]:6514"), Ok(Some(Sink::Tcp("[fd00::9]:6514".into()))));
        assert_eq!(sink("unix:///dev/log"), Ok(Some(Sink::Unix("/dev/log".into()))));
        for bad in
            ["", "10.0.0.9:514", "udp://", "udp://u:canary@h", "tcp://h/canary", "unix://h/x", "unix://"]
        {
            let (key, why) = sink(bad).unwrap_err();
            assert!(key == "audit.syslog" && !why.contains("canary"), "{bad}: {why}");
        }
    }
}
