//! Times on the command line: `1h`, `30d`, or a moment in RFC 3339.

use moxxie_core::time::{Span, Timestamp};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A length of time from now, or a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long ago, or from now on.
    Span(Span),
    /// Exactly then.
    At(Timestamp),
}

impl FromStr for When {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(at) = Timestamp::parse(text) {
            return Ok(When::At(at));
        }
        let unit = text.chars().last().filter(char::is_ascii_alphabetic);
        let seconds = match unit {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            _ => 0,
        };
        let count = text.get(..text.len().saturating_sub(1)).and_then(|n| n.parse::<u32>().ok());
        match count {
            Some(count) if seconds > 0 && count > 0 => {
                Ok(When::Span(Span::seconds(i64::from(count) * seconds)))
            }
            _ => Err("write a length of time (45s, 15m, 1h, 30d, 2w) or a moment (2026-01-31T12:00:00Z)"),
        }
    }
}

impl When {
    /// The moment that lies so far back.
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            When::Span(span) => Timestamp(now.0.saturating_sub(span.0)),
            When::At(at) => at,
        }
    }

    /// The moment that lies so far ahead.
    pub fn after(self, now: Timestamp) -> Timestamp {
        match self {
            When::Span(span) => now + span,
            When::At(at) => at,
        }
    }
}

/// What the clock says.
#[allow(
    clippy::disallowed_methods,
    reason = "a command is where a client's time enters; all else takes it as an argument"
)]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lengths_and_moments() {
        let now = Timestamp(1_767_225_600_000);
        let before = |text: &str| text.parse::<When>().unwrap().before(now).to_string();
        assert_eq!(before("1h"), "2025-12-31T23:00:00.000Z");
        assert_eq!(before("2025-01-01T00:00:00Z"), "2025-01-01T00:00:00.000Z");
        assert_eq!("30d".parse::<When>().unwrap().after(now).to_string(), "2026-01-31T00:00:00.000Z");
        for bad in ["", "h", "0h", "-1h", "1", "1y", "1.5h", "soon", "1ü", "99999999999d"] {
            assert!(bad.parse::<When>().is_err(), "{bad}");
        }
    }
}
