//! Lines and labels, as `process_script` in `src/image/script.c` finds them.

/// One line: where it starts, its label, its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub label: Option<Vec<u8>>,
    pub command: Vec<u8>,
}

/// `isspace` of iPXE's ctype.h.
pub(super) fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// Whether the bytes are a script: `#!ipxe` or `#!gpxe` and a blank (`script_probe`).
pub(super) fn is_script(data: &[u8]) -> bool {
    (data.starts_with(b"#!ipxe") || data.starts_with(b"#!gpxe")) && data.get(6).is_some_and(|b| is_blank(*b))
}

/// Splits a script. A carriage return at a line's end is dropped, a backslash there joins the
/// next line, a NUL hides the rest of the line (the C string ends there).
pub(super) fn split(data: &[u8]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line: Vec<u8> = Vec::new();
    let mut offset = 0;
    // A `do … while (offset < len)`: a line end at the very end starts no further line.
    while offset < data.len() {
        let end = data[offset..].iter().position(|b| *b == b'\n').map_or(data.len(), |n| offset + n);
        line.extend_from_slice(&data[offset..end]);
        offset = end + 1;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.last() == Some(&b'\\') {
            line.pop();
            // The last line of all: `continue` leaves the loop and the line is never run.
            continue;
        }
        let whole = std::mem::take(&mut line);
        let text = whole.split(|b| *b == 0).next().unwrap_or_default();
        lines.push(label(text));
    }
    lines
}

fn label(text: &[u8]) -> Line {
    let start = text.iter().position(|b| !is_blank(*b)).unwrap_or(text.len());
    let text = &text[start..];
    let Some(rest) = text.strip_prefix(b":") else {
        return Line { label: None, command: text.to_vec() };
    };
    let end = rest.iter().position(|b| is_blank(*b)).unwrap_or(rest.len());
    Line { label: Some(rest[..end].to_vec()), command: rest.get(end + 1..).unwrap_or_default().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(text: &str) -> Vec<String> {
        split(text.as_bytes()).iter().map(|l| String::from_utf8_lossy(&l.command).into_owned()).collect()
    }

    #[test]
    fn line_ends() {
        assert_eq!(commands("a\r\nb\rc\n d"), ["a", "b\rc", "d"]);
        assert_eq!(commands("a \\\n b\\\r\nc\nd"), ["a  bc", "d"]);
        assert_eq!(commands("a\nb\\"), ["a"], "a continued last line is never run");
        assert_eq!(commands("a\0b\nc"), ["a", "c"]);
        assert_eq!(commands("a\n\n"), ["a", ""]);
    }

    #[test]
    fn labels() {
        let lines = split(b"  :here echo x\n:there\nx :no\n");
        assert_eq!(lines[0], Line { label: Some(b"here".to_vec()), command: b"echo x".to_vec() });
        assert_eq!(lines[1].label.as_deref(), Some(&b"there"[..]));
        assert_eq!(lines[2].label, None);
    }

    #[test]
    fn magic() {
        assert!(is_script(b"#!ipxe\n") && is_script(b"#!gpxe x"));
        assert!(!is_script(b"#!ipxe") && !is_script(b"#!ipxes\n") && !is_script(b" #!ipxe\n"));
    }
}
