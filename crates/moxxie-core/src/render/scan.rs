//! A small reader of template source: which names stand where.
//!
//! Error messages are built from what it finds instead of from the engine's own words, because
//! those may quote values, and values may be secrets. It also says where in the source a name
//! stands, which the engine's static analysis does not.

/// A dotted name such as `params.net.dns` in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path<'s> {
    /// Its parts; string subscripts count as parts.
    pub parts: Vec<&'s str>,
    /// Byte offset in the source.
    pub offset: usize,
    /// The byte offset after its last part.
    pub end: usize,
    /// Follows a `|` or an `is`: the name of a filter or test, not of a value.
    pub operator: bool,
}

/// Names of the expression language itself.
pub(super) const KEYWORDS: [&str; 33] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "endif",
    "for",
    "endfor",
    "recursive",
    "set",
    "endset",
    "with",
    "endwith",
    "filter",
    "endfilter",
    "raw",
    "endraw",
    "autoescape",
    "endautoescape",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "loop",
    "range",
    "dict",
    "self",
    "do",
];

/// Every dotted name of an expression or tag. String literals are skipped.
pub(super) fn paths(source: &str, start: usize, end: usize) -> Vec<Path<'_>> {
    let bytes = source.as_bytes();
    let end = end.min(bytes.len());
    let mut found = Vec::new();
    let mut at = start;
    let mut after_operator = false;
    while at < end {
        let byte = bytes[at];
        if byte == b'"' || byte == b'\'' {
            at = skip_string(bytes, at, end);
            after_operator = false;
        } else if is_ident_start(byte) && (at == 0 || !is_ident(bytes[at - 1])) {
            let offset = at;
            let mut parts = Vec::new();
            loop {
                let from = at;
                while at < end && is_ident(bytes[at]) {
                    at += 1;
                }
                parts.push(source.get(from..at).unwrap_or_default());
                match next_part(bytes, at, end) {
                    Some(Next::Attribute(next)) => at = next,
                    Some(Next::Subscript(from, to, next)) => {
                        parts.push(source.get(from..to).unwrap_or_default());
                        at = next;
                        match next_part(bytes, at, end) {
                            Some(Next::Attribute(next)) => at = next,
                            _ => break,
                        }
                    }
                    None => break,
                }
            }
            let keyword = parts.len() == 1 && KEYWORDS.contains(&parts[0]);
            let is = parts == ["is"] || (parts == ["not"] && after_operator);
            if !keyword {
                found.push(Path { parts, offset, end: at, operator: after_operator });
            }
            after_operator = is;
        } else {
            if !byte.is_ascii_whitespace() {
                after_operator = byte == b'|';
            }
            at += 1;
        }
    }
    found
}

enum Next {
    /// A further identifier begins here.
    Attribute(usize),
    /// A string subscript: its text and the offset after the bracket.
    Subscript(usize, usize, usize),
}

fn next_part(bytes: &[u8], at: usize, end: usize) -> Option<Next> {
    match *bytes.get(at)? {
        b'.' if at + 1 < end && is_ident_start(bytes[at + 1]) => Some(Next::Attribute(at + 1)),
        b'[' if at + 1 < end && matches!(bytes[at + 1], b'"' | b'\'') => {
            let close = skip_string(bytes, at + 1, end);
            let name = bytes.get(at + 2..close.checked_sub(1)?)?;
            let plain = !name.is_empty() && name.iter().all(|b| is_ident(*b) || *b == b'-');
            (plain && bytes.get(close) == Some(&b']')).then_some(Next::Subscript(
                at + 2,
                close - 1,
                close + 1,
            ))
        }
        _ => None,
    }
}

/// The offset after the string literal that begins at `at`.
pub(super) fn skip_string(bytes: &[u8], at: usize, end: usize) -> usize {
    let quote = bytes[at];
    let mut at = at + 1;
    while at < end {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    end
}

pub(super) fn is_ident_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub(super) fn is_ident(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Every dotted name inside `{{ … }}` and `{% … %}`, in order.
pub(super) fn template_paths(source: &str) -> Vec<Path<'_>> {
    tags(source).into_iter().flat_map(|(start, end, _)| paths(source, start, end)).collect()
}

/// The part of a `for` or `set` tag whose names are given values there.
pub(super) fn targets(source: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let inside = source.get(start..end).unwrap_or_default();
    let word = inside.trim_start();
    let length = if word.starts_with("for") {
        inside.find(" in ").unwrap_or(0)
    } else if word.starts_with("set") {
        inside.find('=').unwrap_or(inside.len())
    } else {
        0
    };
    start..start + length
}

/// The insides of `{{ … }}` and `{% … %}`: begin, end, and whether it is a statement. Comments and
/// raw blocks are left out.
pub(super) fn tags(source: &str) -> Vec<(usize, usize, bool)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, close)) = next_tag(source, at) {
        if close == "%}" {
            // A mark before the word belongs to the opening of the tag.
            let marked = start + usize::from(source[start..].starts_with(['-', '+']));
            if let Some(length) = basic_tag(&source[marked..], "raw", false) {
                at = raw_end(source, marked + length);
                continue;
            }
        }
        let end = tag_end(source, start, close);
        at = (end + close.len()).min(source.len());
        if close == "#}" {
            continue;
        }
        // The whitespace marks of the tag itself are not operators.
        let inside = &source[start..end];
        let skip = usize::from(inside.starts_with(['-', '+']));
        let cut = usize::from(inside.len() > skip && inside.ends_with(['-', '+']));
        found.push((start + skip, end - cut, close == "%}"));
    }
    found
}

/// Where a tag ends: at its closing sign outside of strings and brackets.
fn tag_end(source: &str, start: usize, close: &str) -> usize {
    let bytes = source.as_bytes();
    if close == "#}" {
        return source[start..].find(close).map_or(source.len(), |i| start + i);
    }
    let mut depth = 0usize;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\'' => {
                at = skip_string(bytes, at, bytes.len());
                continue;
            }
            // As the engine reads it: inside braces, `}}` closes two of them.
            b'(' | b'[' | b'{' => depth += 1,
            _ if depth == 0 && bytes[at..].starts_with(close.as_bytes()) => return at,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    source.len()
}

/// The offset after the `{% endraw %}` of a raw block whose content begins at `from`.
fn raw_end(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = source.get(at..).and_then(|rest| rest.find("{%")) {
        let inside = at + open + 2;
        if let Some(length) = basic_tag(&source[inside..], "endraw", true) {
            return inside + length;
        }
        at = inside;
    }
    source.len()
}

/// The length of a tag that consists of one word, read exactly as the engine does: were the two to
/// disagree about where raw text ends, a template could hide from the checks.
fn basic_tag(rest: &str, name: &str, mark: bool) -> Option<usize> {
    let mut at = rest;
    if mark {
        at = at.strip_prefix(['-', '+']).unwrap_or(at);
    }
    at = at.trim_start_matches(|c: char| c.is_ascii_whitespace());
    at = at.strip_prefix(name)?;
    at = at.trim_start_matches(|c: char| c.is_ascii_whitespace());
    at = at.strip_prefix(['-', '+']).unwrap_or(at);
    at = at.strip_prefix("%}")?;
    Some(rest.len() - at.len())
}

fn next_tag(source: &str, from: usize) -> Option<(usize, &'static str)> {
    let mut at = from;
    loop {
        let open = at + source.get(at..)?.find('{')?;
        match source.as_bytes().get(open + 1) {
            Some(b'{') => return Some((open + 2, "}}")),
            Some(b'%') => return Some((open + 2, "%}")),
            Some(b'#') => return Some((open + 2, "#}")),
            _ => at = open + 1,
        }
    }
}

/// Line and column of a byte offset, both from 1; the column counts characters.
pub(super) fn position(source: &str, offset: usize) -> (u32, u32) {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &source[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(source: &str) -> Vec<String> {
        template_paths(source)
            .into_iter()
            .filter(|path| !path.operator)
            .map(|path| path.parts.join("."))
            .collect()
    }

    #[test]
    fn finds_names_where_they_are_used() {
        assert_eq!(names("a {{ params.x }} b"), ["params.x"]);
        assert_eq!(names("{{ params['net'].dns | default(machine.ip) }}"), ["params.net.dns", "machine.ip"]);
        assert_eq!(names("{{ 'params.no' ~ \"no.no\" ~ x }}"), ["x"]);
        assert_eq!(names("{% if a is not defined %}{% endif %}"), ["a"]);
        assert_eq!(names("{# params.no #}{% raw %}{{ no }}{% endraw %}{{ yes }}"), ["yes"]);
        assert_eq!(names("{{ params['a b'] }}"), ["params"]);
        assert_eq!(position("a\n\u{e4}b", 4), (2, 2));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[{}%#|'\"\\\\a.\\[\\] \n\u{e4}-]{0,60}") {
            for path in template_paths(&text) {
                position(&text, path.offset);
            }
        }
    }
}
