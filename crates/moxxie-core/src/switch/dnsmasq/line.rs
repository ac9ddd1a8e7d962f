//! One line of dnsmasq's configuration, safe by construction: a keyword and fields between commas.

use crate::mac::MacAddr;
use crate::switch::NameError;
use std::fmt;
use std::net::Ipv4Addr;

/// One field. A literal, an address or a number stands as it is; any other text passes
/// [`Field::text`], which quotes it where dnsmasq would read more than a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field(String);

impl Field {
    /// A text. dnsmasq takes what stands in double quotes as it is, but for a backslash, which
    /// escapes (`read_file` in its option.c). Printable ASCII can be carried; the rest is refused.
    pub(crate) fn text(text: &str) -> Result<Field, NameError> {
        if let Some(wrong) = text.chars().find(|c| !(' '..='~').contains(c)) {
            return Err(NameError(format!("{wrong:?} cannot stand in dnsmasq's configuration")));
        }
        let bare = |c: char| c.is_ascii_alphanumeric() || "._:/@+-".contains(c);
        if !text.is_empty() && text.chars().all(bare) {
            return Ok(Field(text.to_owned()));
        }
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        Ok(Field(format!("\"{escaped}\"")))
    }
}

impl From<&'static str> for Field {
    fn from(literal: &'static str) -> Field {
        Field(literal.to_owned())
    }
}

impl From<Ipv4Addr> for Field {
    fn from(address: Ipv4Addr) -> Field {
        Field(address.to_string())
    }
}

impl From<MacAddr> for Field {
    fn from(mac: MacAddr) -> Field {
        Field(mac.to_string())
    }
}

impl From<u16> for Field {
    fn from(number: u16) -> Field {
        Field(number.to_string())
    }
}

impl From<&Tag> for Field {
    fn from(tag: &Tag) -> Field {
        Field(format!("tag:{}", tag.0))
    }
}

/// A tag that a client carries or must not carry. Moxxie's own begin with `moxxie_`: no dash,
/// because OPNsense takes dashes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(String);

impl Tag {
    /// Clients with this tag.
    pub(crate) fn has(name: &'static str) -> Tag {
        Tag(name.to_owned())
    }

    /// Clients without it.
    pub(crate) fn lacks(name: &'static str) -> Tag {
        Tag(format!("!{name}"))
    }

    /// A tag whose name was made up elsewhere: by another program, or out of a network's address.
    pub(crate) fn named(name: &str) -> Result<Tag, NameError> {
        match name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && !name.is_empty() {
            true => Ok(Tag(name.to_owned())),
            false => Err(NameError(format!("{name:?} cannot be a tag of dnsmasq"))),
        }
    }

    /// What gives it to a client.
    pub(crate) fn set(&self) -> Field {
        Field(format!("set:{}", self.0))
    }

    /// Its name, with the `!` of [`Tag::lacks`].
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    keyword: &'static str,
    fields: Vec<Field>,
}

impl Line {
    /// A keyword without a value so far.
    pub(crate) fn new(keyword: &'static str) -> Line {
        Line { keyword, fields: Vec::new() }
    }

    /// With one more field.
    pub(crate) fn with(mut self, field: impl Into<Field>) -> Line {
        self.fields.push(field.into());
        self
    }

    /// With more fields.
    pub(crate) fn all<F: Into<Field>>(self, fields: impl IntoIterator<Item = F>) -> Line {
        fields.into_iter().fold(self, Line::with)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword)?;
        for (i, field) in self.fields.iter().enumerate() {
            f.write_str(if i == 0 { "=" } else { "," })?;
            f.write_str(&field.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a value as dnsmasq 2.90 does: quotes and escapes first, then a `#` behind white space
    /// begins a remark, then commas that were not quoted divide.
    fn read(value: &str) -> Option<Vec<String>> {
        let (mut fields, mut field, mut white) = (Vec::new(), String::new(), true);
        let mut chars = value.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => field.push(chars.next()?),
                        c => field.push(c),
                    }
                },
                '#' if white => break,
                ',' => fields.push(std::mem::take(&mut field)),
                c => field.push(c),
            }
            white = c.is_whitespace();
        }
        fields.push(field);
        Some(fields)
    }

    proptest! {
        #[test]
        fn dnsmasq_reads_back_what_was_put_in(texts in prop::collection::vec("[ -~]{0,30}", 1..4)) {
            let fields: Vec<Field> = texts.iter().map(|text| Field::text(text).unwrap()).collect();
            let line = Line::new("x").all(fields).to_string();
            prop_assert_eq!(read(line.strip_prefix("x=").unwrap()), Some(texts));
        }

        #[test]
        fn what_is_not_printable_is_refused(before in "[ -~]{0,5}", wrong in "[^ -~]", after in "[ -~]{0,5}") {
            let text = format!("{before}{wrong}{after}");
            prop_assert!(Field::text(&text).is_err());
        }
    }

    #[test]
    fn tags() {
        assert_eq!(Line::new("a").with(&Tag::lacks("b")).with(7).to_string(), "a=tag:!b,7");
        assert!(Tag::named("zone-10.0.0.0-24").is_ok());
        for bad in ["", "a,b", "a b", "!a", "a\"", "a\n"] {
            assert!(Tag::named(bad).is_err(), "{bad:?}");
        }
    }
}
