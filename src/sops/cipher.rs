//! One value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::aead::generic_array::typenum::U32;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore as _;
use secrecy::{ExposeSecret, SecretBox};

use super::SopsError;

/// AES-256-GCM with the 32-byte nonces that SOPS uses.
type Gcm = AesGcm<Aes256, U32>;

/// Bytes of a tag.
const TAG: usize = 16;
/// Bytes of a nonce.
const NONCE: usize = 32;

/// The key of one file's values.
pub(super) struct DataKey(SecretBox<[u8; 32]>);

/// What a value decrypts to.
pub(super) struct Opened {
    pub(super) bytes: Vec<u8>,
    /// A comment among list items: part of no sum and of no value.
    pub(super) is_comment: bool,
}

impl DataKey {
    pub(super) fn random() -> Self {
        Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| rand::rng().fill_bytes(key)))
    }

    /// `None` when the bytes are no key.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key: [u8; 32] = bytes.try_into().ok()?;
        Some(Self(SecretBox::new(Box::new(key))))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    fn gcm(&self) -> Gcm {
        Gcm::new(GenericArray::from_slice(self.bytes()))
    }

    /// An empty value stays empty, as SOPS has it.
    pub(super) fn seal(&self, plain: &[u8], aad: &str) -> Result<String, SopsError> {
        if plain.is_empty() {
            return Ok(String::new());
        }
        let mut nonce = [0_u8; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = self
            .gcm()
            .encrypt(GenericArray::from_slice(&nonce), Payload { msg: plain, aad: aad.as_bytes() })
            .map_err(|_| SopsError::Encryption("a value is too long"))?;
        let (data, tag) = sealed.split_at(sealed.len() - TAG);
        let [data, nonce, tag] = [data, &nonce, tag].map(|bytes| STANDARD.encode(bytes));
        Ok(format!("ENC[AES256_GCM,data:{data},iv:{nonce},tag:{tag},type:str]"))
    }

    /// `None` when the text is no sealed value, or not one for this key and place.
    pub(super) fn open(&self, text: &str, aad: &str) -> Option<Opened> {
        if text.is_empty() {
            return Some(Opened { bytes: Vec::new(), is_comment: false });
        }
        let (parts, kind) = parts(text)?;
        let [mut data, nonce, tag] = parts.map(|part| STANDARD.decode(part));
        let (data, nonce, tag) = (data.as_mut().ok()?, nonce.ok()?, tag.ok()?);
        if nonce.len() != NONCE || tag.len() != TAG {
            return None;
        }
        data.extend(tag);
        let payload = Payload { msg: data, aad: aad.as_bytes() };
        let bytes = self.gcm().decrypt(GenericArray::from_slice(&nonce), payload).ok()?;
        Some(Opened { bytes, is_comment: kind == "comment" })
    }
}

/// Whether a value is meant as a sealed one, whole or not.
pub(super) fn is_framed(text: &str) -> bool {
    text.is_empty() || parts(text).is_some()
}

/// Whether a value has the shape of a sealed one, to the lengths of nonce and tag; the empty text stays as it is.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    let Some((parts, _)) = parts(text) else { return text.is_empty() };
    let [data, nonce, tag] = parts.map(|part| STANDARD.decode(part).map(|bytes| bytes.len()));
    data.is_ok_and(|length| length > 0) && nonce == Ok(NONCE) && tag == Ok(TAG)
}

fn parts(text: &str) -> Option<([&str; 3], &str)> {
    let inner = text.strip_prefix("ENC[AES256_GCM,data:")?.strip_suffix(']')?;
    let (data, rest) = inner.split_once(",iv:")?;
    let (nonce, rest) = rest.split_once(",tag:")?;
    let (tag, kind) = rest.split_once(",type:")?;
    let known = ["str", "int", "float", "bytes", "bool", "time", "comment"];
    (known.contains(&kind)).then_some(([data, nonce, tag], kind))
}
