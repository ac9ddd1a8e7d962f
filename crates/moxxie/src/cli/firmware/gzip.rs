//! Unpacks gzip (RFC 1952) within a limit: what is downloaded may grow to anything.

use flate2::read::MultiGzDecoder;
use std::io::{ErrorKind, Read as _};

/// Why a file cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// It ends too early.
    #[error("the gzip file ends before its end: download it again")]
    CutOff,
    /// It is no gzip, or a byte of it is wrong.
    #[error("the gzip file is damaged: download it again")]
    Damaged,
    /// It grows beyond the limit, in MiB.
    #[error("unpacked it has more than {0} MiB, which no archive of loaders has")]
    TooLarge(usize),
}

/// The first bytes of every gzip file.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// All members of the file, unpacked: at most `limit` bytes.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Bad> {
    let mut out = Vec::new();
    // One byte more than the limit tells a file of exactly that size from one that goes on.
    let most = limit as u64 + 1;
    match MultiGzDecoder::new(packed).take(most).read_to_end(&mut out) {
        Ok(_) if out.len() > limit => Err(Bad::TooLarge(limit >> 20)),
        Ok(_) => Ok(out),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Bad::CutOff),
        Err(_) => Err(Bad::Damaged),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    const MIB: usize = 1024 * 1024;

    pub(crate) fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let text: String = (0..200).map(|i| format!("line {} of a text\n", i * i)).collect();
        assert_eq!(unpack(&packed(text.as_bytes()), MIB).unwrap(), text.as_bytes());
        let two = [packed(b"one"), packed(b"two")].concat();
        assert_eq!(unpack(&two, MIB).unwrap(), b"onetwo");
    }

    #[test]
    fn no_byte_can_be_missing() {
        let whole = packed(b"all of it");
        for length in 1..whole.len() {
            assert_eq!(unpack(&whole[..length], MIB), Err(Bad::CutOff), "{length} of {}", whole.len());
        }
        let mut damaged = whole.clone();
        let checksum = whole.len() - 8;
        damaged[checksum] ^= 1;
        assert_eq!(unpack(&damaged, MIB), Err(Bad::Damaged));
        assert_eq!(unpack(b"PK\x03\x04..........", MIB), Err(Bad::Damaged));
    }

    #[test]
    fn a_bomb_is_given_up() {
        let large = packed(&vec![0; 3 * MIB]);
        assert_eq!(unpack(&large, 2 * MIB), Err(Bad::TooLarge(2)));
        assert_eq!(unpack(&large, 3 * MIB).map(|out| out.len()), Ok(3 * MIB));
    }
}
