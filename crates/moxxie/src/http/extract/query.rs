//! The query string, decoded exactly once. `+` stays a plus: iPXE's own `${version}` carries
//! one, and iPXE never writes a blank as `+`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;

/// Decoded `(name, value)` pairs in the order they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// Why a query was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the query is not valid percent-encoding")]
    Encoding,
    /// The same name twice.
    #[error("{0} was sent more than once")]
    Duplicate(String),
    /// A name this URL does not have.
    #[error("unknown query parameter {0}")]
    Unknown(String),
}

impl Query {
    /// Decodes a raw query.
    pub fn parse(raw: &str) -> Result<Query, QueryError> {
        raw.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Query)
    }

    /// The pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a name that was sent at most once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, QueryError> {
        let mut values = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(QueryError::Duplicate(name.to_owned())),
            (Some((_, value)), None) => Ok(Some(value)),
            (None, None) => Ok(None),
        }
    }

    /// Whether a name stands more than once, in any case and with or without `[]`.
    pub fn repeats(&self) -> bool {
        let mut names: Vec<String> =
            self.0.iter().map(|(n, _)| n.strip_suffix("[]").unwrap_or(n).to_ascii_lowercase()).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        names.len() < all
    }

    /// Refuses names that are not listed.
    pub fn only(&self, names: &[&str]) -> Result<(), QueryError> {
        match self.0.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(QueryError::Unknown(moxxie_core::boot::event::one_line(name, 32))),
            None => Ok(()),
        }
    }
}

/// Whether every `%` of a path or query stands before two hexadecimal digits.
fn is_encoded(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    bytes.iter().enumerate().filter(|(_, b)| **b == b'%').all(|(i, _)| {
        matches!(bytes.get(i + 1..i + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    })
}

/// A path or a part of a query, decoded once.
pub(crate) fn decode(raw: &str) -> Result<String, QueryError> {
    if !raw.contains('%') {
        return Ok(raw.to_owned());
    }
    if !is_encoded(raw) {
        return Err(QueryError::Encoding);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16)).unwrap_or(0);
            let value = digit(rest.next()) * 16 + digit(rest.next());
            bytes.push(u8::try_from(value).unwrap_or(0));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| QueryError::Encoding)
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    /// Never refuses by itself: a query that cannot be decoded is refused by the middleware
    /// before any handler runs, in the words of the route it was sent to.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Query::parse(parts.uri.query().unwrap_or("")).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once_and_keeps_the_plus() {
        let query = Query::parse("mac=52%3A54&v=1.0+git&x=%2525&empty=&flag").unwrap();
        let pairs: Vec<_> = query.pairs().collect();
        assert_eq!(pairs, [("mac", "52:54"), ("v", "1.0+git"), ("x", "%25"), ("empty", ""), ("flag", "")]);
        for bad in ["a=%", "a=%z", "a=%zz", "a=%c0%ae", "a=%u002e", "%=1"] {
            assert_eq!(Query::parse(bad), Err(QueryError::Encoding), "{bad}");
        }
    }

    #[test]
    fn neither_first_nor_last_wins() {
        let query = Query::parse("t=a&T=b&u=c").unwrap();
        assert!(query.one("t").is_err());
        assert_eq!(query.one("u"), Ok(Some("c")));
        assert_eq!(query.one("v"), Ok(None));
        assert!(query.only(&["t"]).is_err());
    }
}
