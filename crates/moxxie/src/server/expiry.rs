//! Until when a certificate is valid: the one field of it that Moxxie reads by itself.

use moxxie_core::time::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, which holds the version; left out in version 1.
const VERSION: u8 = 0xa0;

/// `notAfter` of a certificate in DER (RFC 5280, section 4.1). `None`: it is no certificate.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(der, Some(SEQUENCE))?;
    let (mut rest, _) = element(certificate, Some(SEQUENCE))?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, None)?.1;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest, None)?.1;
    }
    let (validity, _) = element(rest, Some(SEQUENCE))?;
    let (_, not_after) = element(validity, None)?;
    let kind = *not_after.first()?;
    let text = std::str::from_utf8(element(not_after, None)?.0).ok()?;
    let digits = text.strip_suffix('Z')?;
    let (year, rest) = match kind {
        // Two digits of a year between 1950 and 2049.
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => digits.split_at_checked(4).map(|(year, rest)| (year.to_owned(), rest))?,
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

/// The contents of the first element, and what follows it. Only short and long definite lengths:
/// DER has no others.
fn element(der: &[u8], tag: Option<u8>) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    if tag.is_some_and(|tag| tag != found) {
        return None;
    }
    let (&first, mut rest) = rest.split_first()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = after;
            bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        // UTCTime before 2050, GeneralizedTime from then on.
        for (year, month) in [(2031, 2), (2049, 12), (2050, 1), (4096, 6)] {
            let mut params = rcgen::CertificateParams::new(vec!["moxxie.test".into()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, month, 3);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let expected = Timestamp::parse(&format!("{year}-{month:02}-03T00:00:00Z"));
            assert_eq!(not_after(certificate.der()), expected, "{year}");
            // Cut anywhere it is nothing, or says the same.
            for length in 0..certificate.der().len() {
                assert!(not_after(&certificate.der()[..length]).is_none());
            }
        }
        assert_eq!(not_after(b"\x30\x84\xff\xff\xff\xff"), None);
        assert_eq!(not_after(b"garbage"), None);
    }
}
