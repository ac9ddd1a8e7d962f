//! Points in time, as a number that both databases keep alike and the API prints as RFC 3339.

use chrono::{DateTime, SecondsFormat, Utc};
use std::fmt;
use std::ops::{Add, Sub};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. The clock is read by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub i64);

impl Span {
    /// So many seconds.
    pub const fn seconds(n: i64) -> Span {
        Span(n * 1000)
    }
    /// So many minutes.
    pub const fn minutes(n: i64) -> Span {
        Span::seconds(n * 60)
    }
    /// So many hours.
    pub const fn hours(n: i64) -> Span {
        Span::minutes(n * 60)
    }
    /// So many days of 24 hours.
    pub const fn days(n: i64) -> Span {
        Span::hours(n * 24)
    }
}

impl Timestamp {
    /// The instant as RFC 3339 in UTC with milliseconds, or `None` outside of year 0 to 9999.
    pub fn rfc3339(self) -> Option<String> {
        DateTime::<Utc>::from_timestamp_millis(self.0)
            .filter(|t| (0..=9999).contains(&chrono::Datelike::year(t)))
            .map(|t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    /// Reads RFC 3339 in any offset.
    pub fn parse(text: &str) -> Option<Timestamp> {
        DateTime::parse_from_rfc3339(text).ok().map(|t| Timestamp(t.timestamp_millis()))
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rfc3339() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Timestamp::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time, such as 2026-01-31T12:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_rfc3339() {
        let t = Timestamp(1_767_225_600_123);
        assert_eq!(t.to_string(), "2026-01-01T00:00:00.123Z");
        assert_eq!(Timestamp::parse("2026-01-01T01:00:00.123+01:00"), Some(t));
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!((Timestamp(i64::MAX) + Span::days(7)).0, i64::MAX);
    }
}
