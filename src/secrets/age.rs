//! Reading files that were encrypted with age to an X25519 recipient. Pure.
//!
//! The format (age-encryption.org/v1) is a page long: a header wraps a key for each recipient, a MAC covers it, and what
//! follows is encrypted with that key. Only what secrets need of it is here: identities of type X25519, content of one
//! chunk (64 KiB, which is also the most that Secrets Manager keeps), binary or armored. Everything else is refused by name.
//! The cryptography itself is ring's and curve25519-dalek's.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bech32::primitives::decode::CheckedHrpstring;
use curve25519_dalek::constants::X25519_BASEPOINT;
use curve25519_dalek::montgomery::MontgomeryPoint;
use ring::{aead, hkdf, hmac};

const VERSION: &str = "age-encryption.org/v1";
const ARMOR_BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END: &str = "-----END AGE ENCRYPTED FILE-----";
/// A line of a stanza's body has this many characters; a shorter one is its last.
const COLUMNS: usize = 64;
const CHUNK: usize = 64 << 10;
const NONCE: usize = 16;
const TAG: usize = 16;
const FILE_KEY: usize = 16;

/// Why a file cannot be read. None of it quotes a key or the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// It is something else.
    #[error("it is no file that age encrypted")]
    Format,
    /// None of the identities opens it.
    #[error("it is encrypted to none of the identities")]
    NoIdentity,
    /// There is no wrapped key of the kind that can be unwrapped here.
    #[error("it is encrypted to no X25519 recipient (`age1…`), and no other kind can be read here")]
    NoRecipient,
    /// Header or content is not what was encrypted.
    #[error("it was changed after it was encrypted, or is cut short")]
    Changed,
    /// More than one chunk.
    #[error("it holds more than 64 KiB")]
    TooLarge,
}

/// A secret key.
pub struct Identity {
    key: [u8; 32],
    public: [u8; 32],
}

/// The identities in the text of an identity file, as `age-keygen` writes it: one a line, empty lines and those that begin with
/// `#` left out.
///
/// # Errors
/// The number of the first line, from 1, that is no X25519 identity; 0 where there is none at all.
pub fn identities(text: &str) -> Result<Vec<Identity>, usize> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        found.push(identity(line).ok_or(index + 1)?);
    }
    if found.is_empty() { Err(0) } else { Ok(found) }
}

fn identity(line: &str) -> Option<Identity> {
    let decoded = CheckedHrpstring::new::<bech32::Bech32>(line).ok()?;
    if !decoded
        .hrp()
        .to_string()
        .eq_ignore_ascii_case("age-secret-key-")
    {
        return None;
    }
    let bytes: Vec<u8> = decoded.byte_iter().collect();
    let key: [u8; 32] = bytes.try_into().ok()?;
    Some(Identity {
        key,
        public: X25519_BASEPOINT.mul_clamped(key).to_bytes(),
    })
}

/// The content of an encrypted file.
///
/// # Errors
/// See [`AgeError`].
pub fn decrypt(file: &[u8], identities: &[Identity]) -> Result<Vec<u8>, AgeError> {
    let dearmored;
    let file = if file.trim_ascii_start().starts_with(ARMOR_BEGIN.as_bytes()) {
        dearmored = dearmor(file).ok_or(AgeError::Format)?;
        &dearmored
    } else {
        file
    };
    let header = Header::parse(file).ok_or(AgeError::Format)?;
    if header.wrapped.is_empty() {
        return Err(AgeError::NoRecipient);
    }
    let key = header
        .wrapped
        .iter()
        .find_map(|wrapped| {
            identities
                .iter()
                .find_map(|identity| wrapped.open(identity))
        })
        .ok_or(AgeError::NoIdentity)?;
    let covers = derive(&[], &key, b"header").ok_or(AgeError::Changed)?;
    let mac = hmac::Key::new(hmac::HMAC_SHA256, &covers);
    hmac::verify(&mac, header.covered, &header.mac).map_err(|_| AgeError::Changed)?;
    let (nonce, content) = header
        .rest
        .split_at_checked(NONCE)
        .ok_or(AgeError::Changed)?;
    if content.len() > CHUNK + TAG {
        return Err(AgeError::TooLarge);
    }
    // The counter of the first chunk, and the mark of the last one.
    let mut first_and_last = [0; aead::NONCE_LEN];
    first_and_last[aead::NONCE_LEN - 1] = 1;
    derive(nonce, &key, b"payload")
        .and_then(|key| open(&key, first_and_last, content))
        .ok_or(AgeError::Changed)
}

fn dearmor(file: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(file).ok()?.trim();
    let body = text.strip_prefix(ARMOR_BEGIN)?.strip_suffix(ARMOR_END)?;
    let joined: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(joined).ok()
}

/// A file's key as it was wrapped for one recipient.
struct Wrapped {
    share: [u8; 32],
    body: Vec<u8>,
}

impl Wrapped {
    fn open(&self, identity: &Identity) -> Option<[u8; FILE_KEY]> {
        let shared = MontgomeryPoint(self.share)
            .mul_clamped(identity.key)
            .to_bytes();
        // A share of low order gives the same to everybody.
        if shared == [0; 32] {
            return None;
        }
        let salt = [self.share, identity.public].concat();
        let key = derive(&salt, &shared, b"age-encryption.org/v1/X25519")?;
        open(&key, [0; aead::NONCE_LEN], &self.body)?
            .try_into()
            .ok()
    }
}

struct Header<'a> {
    wrapped: Vec<Wrapped>,
    mac: Vec<u8>,
    /// What the MAC covers.
    covered: &'a [u8],
    /// What follows the header.
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(file: &'a [u8]) -> Option<Self> {
        let mut at = 0;
        let mut line = || {
            let length = file[at..].iter().position(|byte| *byte == b'\n')?;
            let line = std::str::from_utf8(&file[at..at + length]).ok()?;
            let start = at;
            at += length + 1;
            Some((start, line, at))
        };
        if line()?.1 != VERSION {
            return None;
        }
        let mut wrapped = Vec::new();
        loop {
            let (start, text, end) = line()?;
            if let Some(mac) = text.strip_prefix("--- ") {
                return Some(Self {
                    wrapped,
                    mac: STANDARD_NO_PAD.decode(mac).ok()?,
                    covered: &file[..start + 3],
                    rest: &file[end..],
                });
            }
            let arguments: Vec<&str> = text.strip_prefix("-> ")?.split(' ').collect();
            let mut body = String::new();
            loop {
                let (_, text, _) = line()?;
                if text.len() > COLUMNS {
                    return None;
                }
                body.push_str(text);
                if text.len() < COLUMNS {
                    break;
                }
            }
            if let ["X25519", share] = arguments.as_slice() {
                wrapped.push(Wrapped {
                    share: STANDARD_NO_PAD.decode(share).ok()?.try_into().ok()?,
                    body: STANDARD_NO_PAD.decode(body).ok()?,
                });
            }
        }
    }
}

/// HKDF-SHA-256, 32 bytes.
fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let info = [info];
    let expanded = extracted.expand(&info, hkdf::HKDF_SHA256).ok()?;
    expanded.fill(&mut key).ok()?;
    Some(key)
}

/// ChaCha20-Poly1305.
fn open(key: &[u8; 32], nonce: [u8; aead::NONCE_LEN], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).ok()?;
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let mut buffer = sealed.to_vec();
    let opened = aead::LessSafeKey::new(key)
        .open_in_place(nonce, aead::Aad::empty(), &mut buffer)
        .ok()?
        .len();
    buffer.truncate(opened);
    Some(buffer)
}

#[cfg(test)]
#[path = "age_tests.rs"]
mod tests;
