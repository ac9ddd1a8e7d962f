//! One byte range of an immutable file (RFC 9110, sections 13 and 14).

use axum::http::{HeaderMap, HeaderValue, header};

/// Which part of a file to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 200 with everything: no range, several ranges, another unit, or a stale `If-Range`.
    Whole,
    /// 206 with the bytes from `first` to `last`, both included.
    Bytes {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// 416: the range lies outside.
    Outside,
    /// 304: the client has these bytes.
    NotModified,
}

/// Reads the headers of a GET or HEAD for a file of `size` bytes with this strong `ETag`.
pub fn part(headers: &HeaderMap, etag: &str, size: u64) -> Part {
    if headers.contains_key(header::IF_NONE_MATCH) {
        let matches = headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag == etag);
        if matches {
            return Part::NotModified;
        }
    }
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Part::Whole };
    // Only a strong match keeps the range: anything else may be about other bytes.
    if headers.contains_key(header::IF_RANGE)
        && headers.get(header::IF_RANGE) != HeaderValue::from_str(etag).ok().as_ref()
    {
        return Part::Whole;
    }
    let Some(spec) = range.to_str().ok().and_then(|r| r.strip_prefix("bytes=")) else {
        return Part::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // More digits than a u64 holds is simply very far away.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first, last, number(first), number(last)) {
        ("", _, None, Some(0)) => Part::Outside,
        ("", _, None, Some(_)) if size == 0 => Part::Outside,
        ("", _, None, Some(n)) => Part::Bytes { first: size.saturating_sub(n), last: size - 1 },
        (_, "", Some(first), None) if first < size => Part::Bytes { first, last: size - 1 },
        (_, "", Some(_), None) => Part::Outside,
        (_, _, Some(first), Some(last)) if first > last => Part::Whole,
        (_, _, Some(first), Some(last)) if first < size => Part::Bytes { first, last: last.min(size - 1) },
        (_, _, Some(_), Some(_)) => Part::Outside,
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(&str, &str)]) -> Part {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        part(&headers, "\"abc\"", 100)
    }

    #[test]
    fn one_range_or_everything() {
        let many = format!("bytes={}", vec!["0-0"; 1000].join(","));
        let cases = [
            ("bytes=0-9", Part::Bytes { first: 0, last: 9 }),
            ("bytes=90-", Part::Bytes { first: 90, last: 99 }),
            ("bytes=-10", Part::Bytes { first: 90, last: 99 }),
            ("bytes=-1000", Part::Bytes { first: 0, last: 99 }),
            ("bytes=50-99999999999999999999", Part::Bytes { first: 50, last: 99 }),
            ("bytes=-0", Part::Outside),
            ("bytes=100-", Part::Outside),
            ("bytes=99999999999999999999-", Part::Outside),
            ("bytes=5-1", Part::Whole),
            ("items=0-1", Part::Whole),
            ("bytes=0-1,5-9", Part::Whole),
            (many.as_str(), Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
        ];
        for (range, want) in cases {
            assert_eq!(ask(&[("range", range)]), want, "{range:.60}");
        }
        assert_eq!(part(&HeaderMap::new(), "\"abc\"", 0), Part::Whole);
    }

    #[test]
    fn conditions() {
        assert_eq!(ask(&[("if-none-match", "*")]), Part::NotModified);
        assert_eq!(ask(&[("if-none-match", "\"x\", \"abc\"")]), Part::NotModified);
        assert_eq!(ask(&[("if-none-match", "\"x\"")]), Part::Whole);
        assert_eq!(ask(&[("range", "bytes=0-0"), ("if-range", "\"old\"")]), Part::Whole);
        assert_eq!(
            ask(&[("range", "bytes=0-0"), ("if-range", "\"abc\"")]),
            Part::Bytes { first: 0, last: 0 }
        );
        assert_eq!(ask(&[("range", "bytes=0-0"), ("range", "bytes=1-1")]), Part::Whole);
    }
}
