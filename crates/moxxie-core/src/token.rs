//! Tokens: the short-lived ones that boots carry, and the ones that people and programs hold.

use crate::keyed::{self, Mac};
use crate::keyring::Keyring;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// A secret key of the site: signs boot tokens, seals what is stored. Replicas share it.
#[derive(Clone)]
pub struct SiteKey([u8; 32]);

impl SiteKey {
    /// A key of 32 bytes.
    pub fn new(bytes: [u8; 32]) -> SiteKey {
        SiteKey(bytes)
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<SiteKey> {
        let bytes = crate::mac::hex(text.trim())?;
        <[u8; 32]>::try_from(bytes).ok().map(SiteKey)
    }

    /// A key for one use, which tells nothing of this one or of those for other uses. The uses are
    /// named in the code; boot tokens are signed with the site's key itself.
    pub fn derive(&self, usage: &str) -> [u8; 32] {
        let mut mac = keyed::hmac(&self.0);
        mac.update(b"moxxie/1/");
        mac.update(usage.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// HMAC-SHA-256 of a message with the key for one use: who has not the key cannot make it.
    pub fn sign(&self, usage: &str, message: &[u8]) -> [u8; 32] {
        let mut mac = keyed::hmac(&self.derive(usage));
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Whether [`SiteKey::sign`] made it. Takes the same time whichever byte is wrong.
    pub fn has_signed(&self, usage: &str, message: &[u8], mac: &[u8; 32]) -> bool {
        self.sign(usage, message).ct_eq(mac).into()
    }
}

impl std::fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SiteKey(********)")
    }
}

/// What a boot token is good for. One session has one token of each purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Fetches the machine's config.
    Config,
    /// Reports how the boot goes.
    Report,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::Config => b"config",
            Purpose::Report => b"report",
        }
    }
}

/// The random id of a boot session. The database keeps this, never the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A boot token as it was presented: well-formed, not yet believed.
#[derive(Clone, Copy)]
pub struct PresentedToken {
    /// The session that it names.
    pub session: SessionId,
    tag: [u8; 16],
}

/// Makes the token of a session: 43 characters, base64url(session id ‖ HMAC-SHA-256 cut to 16
/// bytes). It is bound to the machine's assignment, the generation of its window and a purpose.
pub fn mint(
    key: &SiteKey,
    session: SessionId,
    assignment: &str,
    generation: i64,
    purpose: Purpose,
) -> String {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&session.0);
    bytes[16..].copy_from_slice(&tag(key, session, assignment, generation, purpose));
    URL_SAFE_NO_PAD.encode(bytes)
}

impl PresentedToken {
    /// Reads a token's text; `None` when it is not 43 characters of canonical base64url.
    pub fn parse(text: &str) -> Option<PresentedToken> {
        if text.len() != 43 {
            return None;
        }
        let bytes = <[u8; 32]>::try_from(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (session, tag) = bytes.split_at(16);
        Some(PresentedToken { session: SessionId(session.try_into().ok()?), tag: tag.try_into().ok()? })
    }

    /// Whether this site made it for exactly this assignment, generation and purpose. Takes the
    /// same time whichever byte is wrong.
    pub fn is_genuine(&self, key: &SiteKey, assignment: &str, generation: i64, purpose: Purpose) -> bool {
        let good = tag(key, self.session, assignment, generation, purpose);
        bool::from(good.ct_eq(&self.tag))
    }

    /// The key of the site that it was made with, for exactly this assignment, generation and
    /// purpose: after a change of keys, tokens that are out live on. `None` when it is not genuine.
    pub fn made_with<'k>(
        &self,
        keys: &'k Keyring,
        assignment: &str,
        generation: i64,
        purpose: Purpose,
    ) -> Option<&'k SiteKey> {
        keys.all().find(|key| self.is_genuine(key, assignment, generation, purpose))
    }
}

/// The text with everything that could be a boot token masked. Machines quote the URLs that they
/// were given.
pub fn mask_tokens(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (run, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        out.push_str(before);
        out.push_str(if PresentedToken::parse(run).is_some() { crate::secret::MASK } else { run });
        rest = after;
    }
    out.push_str(rest);
    out
}

fn tag(key: &SiteKey, session: SessionId, assignment: &str, generation: i64, purpose: Purpose) -> [u8; 16] {
    let mut mac = keyed::hmac(&key.0);
    mac.update(b"moxxie boot token 1");
    mac.update(&session.0);
    keyed::text(&mut mac, assignment);
    mac.update(&generation.to_be_bytes());
    mac.update(purpose.label());
    let full = mac.finalize().into_bytes();
    let mut cut = [0; 16];
    cut.copy_from_slice(&full[..16]);
    cut
}

/// The text of an API token made of these random bytes.
pub fn api_token(random: [u8; 32]) -> String {
    format!("mox_{}", URL_SAFE_NO_PAD.encode(random))
}

/// What the database keeps of an API token: SHA-256 of its text in hexadecimal. The tokens have
/// 256 random bits, so a plain hash is enough.
pub fn api_token_hash(token: &str) -> String {
    crate::asset::Digest(Sha256::digest(token.as_bytes()).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_token_is_good_for_one_machine_window_and_purpose() {
        let key = SiteKey::new(KEY);
        let session = SessionId([9; 16]);
        let text = mint(&key, session, "a1", 3, Purpose::Config);
        assert_eq!(text.len(), 43);
        let token = PresentedToken::parse(&text).unwrap();
        assert_eq!(token.session, session);
        assert!(token.is_genuine(&key, "a1", 3, Purpose::Config));
        assert!(!token.is_genuine(&key, "a1", 3, Purpose::Report), "other purpose");
        assert!(!token.is_genuine(&key, "a1", 4, Purpose::Config), "other generation");
        assert!(!token.is_genuine(&key, "a2", 3, Purpose::Config), "other machine");
        assert!(!token.is_genuine(&SiteKey::new([8; 32]), "a1", 3, Purpose::Config), "other site");
    }

    #[test]
    fn a_token_outlives_a_change_of_keys() {
        let (old, new) = (SiteKey::new(KEY), SiteKey::new([8; 32]));
        let text = mint(&old, SessionId([9; 16]), "a1", 3, Purpose::Config);
        let token = PresentedToken::parse(&text).unwrap();
        let made_with = |ring: &Keyring| {
            let key = token.made_with(ring, "a1", 3, Purpose::Config)?;
            // What goes with it has to be made with the same key: a repeat gets the same bytes.
            Some(mint(key, SessionId([9; 16]), "a1", 3, Purpose::Config))
        };
        assert_eq!(made_with(&Keyring::new(old.clone(), vec![])), Some(text.clone()));
        assert_eq!(made_with(&Keyring::new(new.clone(), vec![old.clone()])), Some(text));
        assert_eq!(made_with(&Keyring::new(new.clone(), vec![])), None);
        let both = Keyring::new(new, vec![old]);
        assert!(token.made_with(&both, "a1", 4, Purpose::Config).is_none(), "other generation");
    }

    #[test]
    fn every_single_change_of_a_token_is_refused() {
        let key = SiteKey::new(KEY);
        let text = mint(&key, SessionId([1; 16]), "a1", 1, Purpose::Config);
        for i in 0..text.len() {
            for c in ['A', 'z', '0', '-', '_', '=', ' ', '+'] {
                let mut changed: Vec<char> = text.chars().collect();
                if changed[i] == c {
                    continue;
                }
                changed[i] = c;
                let changed: String = changed.into_iter().collect();
                let genuine = PresentedToken::parse(&changed).is_some_and(|t| {
                    t.session == SessionId([1; 16]) && t.is_genuine(&key, "a1", 1, Purpose::Config)
                });
                assert!(!genuine, "{changed}");
            }
        }
        assert!(PresentedToken::parse(&text[..42]).is_none());
        assert!(PresentedToken::parse(&format!("{text}A")).is_none());
        assert!(PresentedToken::parse("").is_none());
    }

    #[test]
    fn tokens_in_a_text_are_masked() {
        let token = mint(&SiteKey::new(KEY), SessionId([1; 16]), "a1", 1, Purpose::Report);
        let text = format!("wget http://h/boot/report?t={token}&stage=x: {token} é failed");
        let masked = mask_tokens(&text);
        assert!(!masked.contains(&token), "{masked}");
        assert!(masked.ends_with("********&stage=x: ******** é failed"), "{masked}");
        assert_eq!(mask_tokens("nothing to hide, é"), "nothing to hide, é");
    }

    #[test]
    fn a_signature_is_of_one_key_use_and_message() {
        let key = SiteKey::new(KEY);
        let mac = key.sign("backup", b"text");
        assert!(key.has_signed("backup", b"text", &mac));
        assert!(!key.has_signed("backup", b"texT", &mac) && !key.has_signed("other", b"text", &mac));
        assert!(!SiteKey::new([8; 32]).has_signed("backup", b"text", &mac));
    }

    #[test]
    fn keys_do_not_print() {
        assert_eq!(format!("{:?}", SiteKey::new(KEY)), "SiteKey(********)");
        assert!(SiteKey::from_hex(&"0f".repeat(32)).is_some());
        assert!(SiteKey::from_hex("0f").is_none());
    }
}
