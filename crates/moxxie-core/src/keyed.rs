//! HMAC-SHA-256 under keys of 32 bytes: signatures, keys for one use, fingerprints, codes.

use hmac::{Hmac, KeyInit};
use sha2::Sha256;

pub(crate) use hmac::Mac;

/// Begins one. A key that is shorter than a block of SHA-256 is filled up with zeros (RFC 2104,
/// section 2); a whole block cannot be refused.
pub(crate) fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    Hmac::new(&block.into())
}

/// Adds a text. Its length in front keeps it from running into the next one.
pub(crate) fn text(mac: &mut Hmac<Sha256>, text: &str) {
    mac.update(&(text.len() as u64).to_be_bytes());
    mac.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, section 4.3 (its key is "Jefe"; zeros behind a key change nothing).
    #[test]
    fn it_is_the_hmac_of_the_standard() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mut mac = hmac(&key);
        mac.update(b"what do ya want for nothing?");
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(crate::asset::Digest(bytes).to_string(), wanted);
    }
}
