//! Signatures of webhooks: `sha256=` and the HMAC-SHA256 of the raw body in hex.

use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

/// Whether the header's value signs `body` with `secret`. The comparison takes the same time whatever is wrong.
pub(super) fn is_good(secret: &SecretString, header: &str, body: &[u8]) -> bool {
    let given = header.trim().strip_prefix("sha256=").and_then(bytes);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    given.is_some_and(|given| hmac::verify(&key, body, &given).is_ok())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_whole_or_not_at_all() {
        assert_eq!(bytes("00ff1A"), Some(vec![0, 255, 26]));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("zz"), None);
        assert_eq!(bytes("é"), None);
    }

    #[test]
    fn the_published_example_of_jira_is_good_and_others_are_not() {
        let secret = SecretString::from("It's a Secret to Everybody");
        let mac = "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
        assert!(is_good(&secret, &format!("sha256={mac}"), b"Hello World!"));
        assert!(is_good(&secret, &format!("sha256={}", mac.to_uppercase()), b"Hello World!"));
        for header in [
            mac.to_owned(),
            format!("sha1={mac}"),
            format!("sha256={}", &mac[2..]),
            format!("sha256={mac}00"),
            "sha256=".to_owned(),
            String::new(),
        ] {
            assert!(!is_good(&secret, &header, b"Hello World!"), "{header}");
        }
        assert!(!is_good(&secret, &format!("sha256={mac}"), b"Hello World"));
        assert!(!is_good(&SecretString::from("other"), &format!("sha256={mac}"), b"Hello World!"));
    }
}
