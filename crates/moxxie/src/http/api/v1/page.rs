//! Lists: `{"items": […], "next": CURSOR|null}`, with `limit` (1 to 500, default 100) and `cursor`.

use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::Query;
use serde::Serialize;

/// A part of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Send this as `cursor` for the next part; null at the end.
    pub next: Option<String>,
}

/// Where a part begins and how long it is.
#[derive(Debug)]
pub struct Asked {
    /// Items in a part.
    pub limit: u32,
    /// The last item of the part before, decoded.
    pub cursor: Option<String>,
}

impl Asked {
    /// Reads `limit` and `cursor`, and refuses names beside these and `filters`.
    pub fn of(query: &Query, filters: &[&str]) -> ApiResult<Asked> {
        let names: Vec<&str> = filters.iter().copied().chain(["limit", "cursor"]).collect();
        query.only(&names).map_err(ApiError::bad_request)?;
        let limit = match one(query, "limit")? {
            None => 100,
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (1..=500).contains(n) && !text.starts_with('+'))
                .ok_or_else(|| ApiError::field("/limit", "a whole number from 1 to 500"))?,
        };
        let cursor = match one(query, "cursor")? {
            None => None,
            Some(text) => Some(decode(text).ok_or_else(|| {
                ApiError::field("/cursor", "not a cursor of this list: send `next` as it came")
            })?),
        };
        Ok(Asked { limit, cursor })
    }

    /// How many rows to read: one more than asked for says whether there is a next part.
    pub fn rows(&self) -> u32 {
        self.limit + 1
    }

    /// Makes the part out of the rows that were read.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let limit = self.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| encode(&key(last)));
        Page { items: rows, next }
    }
}

impl<T> Page<T> {
    /// Turns each item into what is shown.
    pub fn map<U>(self, show: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(show).collect(), next: self.next }
    }
}

/// A filter that may be sent once.
pub fn one<'a>(query: &'a Query, name: &str) -> ApiResult<Option<&'a str>> {
    query.one(name).map_err(ApiError::bad_request)
}

/// Cursors are opaque to callers: hexadecimal of the last key.
fn encode(key: &str) -> String {
    key.bytes().map(|b| format!("{b:02x}")).collect()
}

fn decode(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > 1024 || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> = text
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok()))
        .collect();
    String::from_utf8(digits?).ok().filter(|key| !key.contains(|c: char| c.is_control()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_cursors() {
        let ask = |raw: &str| Asked::of(&Query::parse(raw).unwrap(), &["q"]);
        for bad in [
            "limit=-1",
            "limit=0",
            "limit=501",
            "limit=1e9",
            "limit=",
            "limit=+5",
            "cursor=zz",
            "cursor=x",
            "sort=name",
            "limit=1&limit=2",
        ] {
            assert!(ask(bad).is_err(), "{bad}");
        }
        let asked = ask("limit=2&q=x").unwrap();
        let page = asked.page(vec!["a", "b", "c"], |s| s.to_string());
        assert_eq!(page.items, ["a", "b"]);
        let next = ask(&format!("cursor={}", page.next.unwrap())).unwrap();
        assert_eq!(next.cursor.as_deref(), Some("b"));
        assert_eq!(asked.page(vec!["a"], |s| s.to_string()).next, None);
    }
}
