//! Unpacks gzip (RFC 1952) and deflate (RFC 1951), within a limit. For release archives, once a
//! year: simple rather than fast.

/// Why something cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// It ends too early.
    #[error("it is cut off")]
    CutOff,
    /// It is not what it says.
    #[error("it is damaged, or no gzip file")]
    Damaged,
    /// There is more in it than anybody would send.
    #[error("it unpacks to more than {0} MiB")]
    TooLarge(usize),
}

/// The first bytes of a gzip file.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Everything in a gzip file, `limit` bytes at most.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Bad> {
    let mut input = Bits { bytes: packed, at: 0, held: 0, count: 0 };
    let mut out = Vec::new();
    loop {
        let start = out.len();
        header(&mut input)?;
        inflate(&mut input, &mut out, limit)?;
        input.align();
        let crc = u32::from_le_bytes([input.byte()?, input.byte()?, input.byte()?, input.byte()?]);
        let size = u32::from_le_bytes([input.byte()?, input.byte()?, input.byte()?, input.byte()?]);
        let part = out.get(start..).unwrap_or_default();
        // The size is the last 32 bits of it.
        if crc != crc32(part) || size != (part.len() & 0xffff_ffff) as u32 {
            return Err(Bad::Damaged);
        }
        // Several members are one file (section 2.2); what else follows is padding.
        if !packed.get(input.at..).is_some_and(|rest| rest.starts_with(&MAGIC)) {
            return Ok(out);
        }
    }
}

/// RFC 1952, section 2.3.
fn header(input: &mut Bits<'_>) -> Result<(), Bad> {
    const DEFLATE: u8 = 8;
    let fixed = [input.byte()?, input.byte()?, input.byte()?];
    if fixed != [MAGIC[0], MAGIC[1], DEFLATE] {
        return Err(Bad::Damaged);
    }
    let flags = input.byte()?;
    input.skip(6)?;
    if flags & 4 != 0 {
        let extra = u16::from_le_bytes([input.byte()?, input.byte()?]);
        input.skip(extra.into())?;
    }
    // The file's name and a comment, each with a NUL behind it.
    for flag in [8, 16] {
        while flags & flag != 0 && input.byte()? != 0 {}
    }
    if flags & 2 != 0 {
        input.skip(2)?;
    }
    if flags & 0xe0 == 0 { Ok(()) } else { Err(Bad::Damaged) }
}

/// Reads bits, the least significant first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u32,
    count: u32,
}

impl Bits<'_> {
    /// The next byte. Not for use inside of a block.
    fn byte(&mut self) -> Result<u8, Bad> {
        let byte = *self.bytes.get(self.at).ok_or(Bad::CutOff)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Bad> {
        self.at = self.at.checked_add(bytes).filter(|at| *at <= self.bytes.len()).ok_or(Bad::CutOff)?;
        Ok(())
    }

    /// Up to 16 bits.
    fn bits(&mut self, wanted: u32) -> Result<usize, Bad> {
        while self.count < wanted {
            self.held |= u32::from(self.byte()?) << self.count;
            self.count += 8;
        }
        let bits = self.held & ((1 << wanted) - 1);
        self.held >>= wanted;
        self.count -= wanted;
        Ok(bits as usize)
    }

    /// Goes on with the next whole byte.
    fn align(&mut self) {
        // Never more than the rest of one byte is held.
        (self.held, self.count) = (0, 0);
    }
}

/// A canonical Huffman code: how many codes of each length, and the symbols in their order.
struct Code {
    counts: [u16; MAX_LENGTH + 1],
    symbols: Vec<u16>,
}

const MAX_LENGTH: usize = 15;

impl Code {
    fn new(lengths: &[u8]) -> Result<Code, Bad> {
        let mut counts = [0_u16; MAX_LENGTH + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length)).ok_or(Bad::Damaged)? += 1;
        }
        counts[0] = 0;
        let mut left = 1_i32;
        for count in &counts[1..] {
            left = left * 2 - i32::from(*count);
            if left < 0 {
                return Err(Bad::Damaged);
            }
        }
        let mut symbols: Vec<u16> =
            (0..).take(lengths.len()).filter(|n| lengths[usize::from(*n)] > 0).collect();
        symbols.sort_by_key(|n| lengths[usize::from(*n)]);
        Ok(Code { counts, symbols })
    }

    fn symbol(&self, input: &mut Bits<'_>) -> Result<usize, Bad> {
        let (mut code, mut first, mut index) = (0_usize, 0_usize, 0_usize);
        for count in &self.counts[1..] {
            code |= input.bits(1)?;
            let count = usize::from(*count);
            if code < first + count {
                let symbol = self.symbols.get(index + (code - first)).ok_or(Bad::Damaged)?;
                return Ok(usize::from(*symbol));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(Bad::Damaged)
    }
}

/// Appends everything up to the last block.
fn inflate(input: &mut Bits<'_>, out: &mut Vec<u8>, limit: usize) -> Result<(), Bad> {
    loop {
        let last = input.bits(1)? == 1;
        match input.bits(2)? {
            0 => stored(input, out, limit)?,
            1 => {
                let mut lengths = [8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                block(input, out, limit, &Code::new(&lengths)?, &Code::new(&[5; 30])?)?;
            }
            2 => {
                let (literals, distances) = codes(input)?;
                block(input, out, limit, &literals, &distances)?;
            }
            _ => return Err(Bad::Damaged),
        }
        if last {
            return Ok(());
        }
    }
}

fn room(out: &[u8], more: usize, limit: usize) -> Result<(), Bad> {
    if out.len() + more > limit { Err(Bad::TooLarge(limit / 1024 / 1024)) } else { Ok(()) }
}

/// Section 3.2.4.
fn stored(input: &mut Bits<'_>, out: &mut Vec<u8>, limit: usize) -> Result<(), Bad> {
    input.align();
    let length = u16::from_le_bytes([input.byte()?, input.byte()?]);
    let check = u16::from_le_bytes([input.byte()?, input.byte()?]);
    if length != !check {
        return Err(Bad::Damaged);
    }
    let length = usize::from(length);
    room(out, length, limit)?;
    let start = input.at;
    input.skip(length)?;
    out.extend_from_slice(input.bytes.get(start..input.at).ok_or(Bad::CutOff)?);
    Ok(())
}

/// The codes of a block that brings its own: section 3.2.7.
fn codes(input: &mut Bits<'_>) -> Result<(Code, Code), Bad> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances) = (input.bits(5)? + 257, input.bits(5)? + 1);
    let meta = input.bits(4)? + 4;
    if literals > 286 || distances > 30 {
        return Err(Bad::Damaged);
    }
    let mut lengths = [0_u8; 19];
    for place in &ORDER[..meta] {
        lengths[*place] = input.bits(3)? as u8;
    }
    let code = Code::new(&lengths)?;
    let mut lengths: Vec<u8> = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let (value, times) = match code.symbol(input)? {
            symbol @ 0..16 => (symbol as u8, 1),
            16 => (*lengths.last().ok_or(Bad::Damaged)?, 3 + input.bits(2)?),
            17 => (0, 3 + input.bits(3)?),
            _ => (0, 11 + input.bits(7)?),
        };
        lengths.extend(std::iter::repeat_n(value, times));
    }
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return Err(Bad::Damaged);
    }
    let (literals, distances) = lengths.split_at(literals);
    Ok((Code::new(literals)?, Code::new(distances)?))
}

/// The smallest length of each symbol, and how many bits are added: section 3.2.5.
#[rustfmt::skip]
const LENGTHS: [(usize, u32); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1), (17, 1),
    (19, 2), (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4),
    (115, 4), (131, 5), (163, 5), (195, 5), (227, 5), (258, 0),
];
/// The same for distances.
#[rustfmt::skip]
const DISTANCES: [(usize, u32); 30] = [
    (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3), (33, 4), (49, 4),
    (65, 5), (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8), (1025, 9), (1537, 9),
    (2049, 10), (3073, 10), (4097, 11), (6145, 11), (8193, 12), (12289, 12), (16385, 13), (24577, 13),
];

fn block(
    input: &mut Bits<'_>,
    out: &mut Vec<u8>,
    limit: usize,
    literals: &Code,
    distances: &Code,
) -> Result<(), Bad> {
    loop {
        match literals.symbol(input)? {
            symbol @ 0..256 => {
                room(out, 1, limit)?;
                out.push(symbol as u8);
            }
            256 => return Ok(()),
            symbol => {
                let (base, bits) = *LENGTHS.get(symbol - 257).ok_or(Bad::Damaged)?;
                let length = base + input.bits(bits)?;
                let (base, bits) = *DISTANCES.get(distances.symbol(input)?).ok_or(Bad::Damaged)?;
                let distance = base + input.bits(bits)?;
                let from = out.len().checked_sub(distance).ok_or(Bad::Damaged)?;
                room(out, length, limit)?;
                // Byte by byte: what is copied may be what was just copied.
                for at in from..from + length {
                    out.push(*out.get(at).ok_or(Bad::Damaged)?);
                }
            }
        }
    }
}

/// RFC 1952, section 8.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let mut value = n as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[n] = value;
            n += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    const STORED: &str = "\
        H4sIAAAAAAAEAwEIAPf/YXMgaXQgaXOzJE6WCAAAAA==";
    const FIXED: &str = "\
        H4sIAAAAAAACA0vLrEhNUUhDIpPzU1KLAU7U7pgXAAAA";
    const DYNAMIC: &str = "\
        H4sIAAAAAAACA52ay3EbQQxE745iA/Bh8AfC4WFVVhUtqsg9OHyPQuALYAscTE93o8H759d5rOPxcdyO6/x3Hdef23U8z+/z\
        dr2Oz+t13j9+H38fz/N4PI/7+Xr9uv98Iu9/4u9/MuCH5fvfaLz/jYE6Ds6ToG0NbkcWQYGSSu7kWgkWhoCBoEGDVGpwJlMn\
        YCXvlSDCnVRqcKZQ0L0ocE9JEJGkUpEzFelek3sagohJxEYE5rLIixIhj1cQT4gSShJD7OeIaANxeiL5SKRURTRR2pGCEJ3X\
        hTREkHfRBc6ltkAP1ZcQbSTY0ES1Cp2rUQ+H3JchbJgQHG6vQByGkfdlTt6yId6wIhxlTfjQhnCvL8LzjjTFjeiXO9FKT6LL\
        Xsh/IrsRizibEGRBDXlQJ9YwkAuNQrWGnCsX6eEGlJCpmGAjg+Awi2A+m7yvWoHGBoKNMsJRFYQPqwj31hCebxRltBL9akf5\
        TBJd7iYeYJDf2I0ntZz4qEni2aYXS7nQoLKUVfOFxtgkfdzTL7k0EYQQETVUzdEcJomGPmk0YSpMQw3NzhpoUNdCqYAOiyBY\
        3mEeLPBASY4Nio1ckuXYCCVbMlC1bhTnCPFyEkaMozCXKtGoWrKzpaFOJru3RGOMFMNkOXoBxd5bDXrdzbikHTFXM56chVh5\
        mAYMC1AH6ds2M0RNdSHt1lUoRBWYohqKUQV5Lv2BCQltkZ9UGKUq8spqgs5mzhLpQvfmDCVuCJOOJjfdxEU6GWgm1UBcooGm\
        bU0lPKmJcgTdOkXujSUkWoH2+oWyH92yiJYXKNXSRr5EB+V1OkE8155ViMOzpYVWM8i92hpUTVB6vNWNdNIU5eKmaMYxRYm/\
        maB/txjaZZg1ed3GtjR7EB5UDe2fLAwtu4Jt1hLlJZZwZ9hoQVlsG1qJVq/N9rztaKncaINto4utRN/0k/8BCnQ7D2YqAAA=";
    const NAMED: &str = "\
        H4sICAAAAAAC/2EgbmFtZS50YXIAAwAAAAAAAAAAAA==";

    const MIB: usize = 1024 * 1024;

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    /// A gzip file of stored blocks.
    pub(crate) fn packed(content: &[u8]) -> Vec<u8> {
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        for part in content.chunks(0xffff) {
            let length = u16::try_from(part.len()).unwrap();
            out.push(0);
            out.extend(length.to_le_bytes());
            out.extend((!length).to_le_bytes());
            out.extend(part);
        }
        out.extend([1, 0, 0, 0xff, 0xff]);
        out.extend(crc32(content).to_le_bytes());
        out.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        out
    }

    fn text() -> Vec<u8> {
        let line = |i: u32| format!("line {} of a text that repeats itself, more or less\n", i * i);
        (0..200).map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn what_zlib_packed_is_unpacked() {
        assert_eq!(unpack(&bytes(STORED), MIB).unwrap(), b"as it is");
        assert_eq!(unpack(&bytes(FIXED), MIB).unwrap(), b"fixed fixed fixed codes");
        assert_eq!(unpack(&bytes(DYNAMIC), MIB).unwrap(), text());
        assert_eq!(unpack(&bytes(NAMED), MIB).unwrap(), b"");
        let two = [bytes(STORED), bytes(FIXED), vec![0; 10]].concat();
        assert_eq!(unpack(&two, MIB).unwrap(), b"as it isfixed fixed fixed codes");
        let large = vec![7; 200_000];
        assert_eq!(unpack(&packed(&large), MIB).unwrap(), large);
    }

    #[test]
    fn no_byte_can_be_missing_or_wrong() {
        for whole in [STORED, FIXED, DYNAMIC, NAMED].map(bytes) {
            // Each of the short ones, and some of the long one.
            for length in (0..whole.len()).step_by(1 + whole.len() / 64) {
                assert!(unpack(&whole[..length], MIB).is_err(), "{length} of {}", whole.len());
            }
        }
        let whole = bytes(DYNAMIC);
        let mut wrong = 0;
        let text = text();
        for at in 10..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            wrong += usize::from(unpack(&damaged, 2 * text.len()).is_ok_and(|out| out != text));
        }
        assert_eq!(wrong, 0);
    }

    #[test]
    fn a_bomb_is_given_up() {
        let large = packed(&vec![0; 3 * MIB]);
        assert_eq!(unpack(&large, 2 * MIB), Err(Bad::TooLarge(2)));
        assert_eq!(unpack(&bytes(DYNAMIC), 100), Err(Bad::TooLarge(0)));
        assert_eq!(unpack(b"", MIB), Err(Bad::CutOff));
        assert_eq!(unpack(b"PK\x03\x04....", MIB), Err(Bad::Damaged));
    }
}
