//! Kubernetes quantities: `500m`, `2`, `1.5Gi`, `1e3`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of CPU, memory or storage, as Kubernetes writes it. Keeps the text; compares by value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    text: String,
    /// The value in billionths of the unit.
    nanos: i128,
}

/// Why a text is no [`Quantity`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text does not follow the syntax.
    #[error("{0:?} is not a quantity; write a number with an optional unit, as in 500m, 2, 4Gi")]
    Syntax(String),
    /// The number does not fit.
    #[error("{0:?} is too large a quantity")]
    TooLarge(String),
}

/// A billion: the resolution that Kubernetes keeps.
const NANO: i128 = 1_000_000_000;

impl Quantity {
    /// Parses a quantity by the grammar of `k8s.io/apimachinery/pkg/api/resource`.
    ///
    /// # Errors
    /// [`QuantityError`] when the text is no quantity or does not fit 64 bits in its unit.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let syntax = || QuantityError::Syntax(text.to_owned());
        let too_large = || QuantityError::TooLarge(text.to_owned());
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(syntax());
        }
        let (base, exponent): (i128, i32) = match suffix {
            "" => (10, 0),
            "n" => (10, -9),
            "u" => (10, -6),
            "m" => (10, -3),
            "k" => (10, 3),
            "M" => (10, 6),
            "G" => (10, 9),
            "T" => (10, 12),
            "P" => (10, 15),
            "E" => (10, 18),
            "Ki" => (1024, 1),
            "Mi" => (1024, 2),
            "Gi" => (1024, 3),
            "Ti" => (1024, 4),
            "Pi" => (1024, 5),
            "Ei" => (1024, 6),
            other => {
                let digits = other.strip_prefix(['e', 'E']).ok_or_else(syntax)?;
                let exponent: i32 = digits.parse().map_err(|_| syntax())?;
                if !(-18..=18).contains(&exponent) {
                    return Err(too_large());
                }
                (10, exponent)
            }
        };
        if whole.len() + fraction.len() > 24 {
            return Err(too_large());
        }
        let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| syntax())?;
        let scale = i32::try_from(fraction.len()).map_err(|_| too_large())?;
        let mut value = digits.checked_mul(NANO).ok_or_else(too_large)?;
        let power = |exponent: i32| base.checked_pow(exponent.unsigned_abs()).ok_or_else(too_large);
        let factor = power(exponent)?;
        value = if exponent >= 0 { value.checked_mul(factor).ok_or_else(too_large)? } else { divide_up(value, factor) };
        value = divide_up(value, 10_i128.checked_pow(scale.unsigned_abs()).ok_or_else(too_large)?);
        if value > i128::from(i64::MAX) * NANO {
            return Err(too_large());
        }
        Ok(Self { text: text.to_owned(), nanos: if negative { -value } else { value } })
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the amount is above zero.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.nanos > 0
    }
}

/// Kubernetes rounds up what is finer than a nano.
fn divide_up(value: i128, divisor: i128) -> i128 {
    value / divisor + i128::from(value % divisor != 0)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Quantity {
    type Error = QuantityError;
    fn try_from(text: String) -> Result<Self, QuantityError> {
        Self::parse(&text)
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    #[test]
    fn equal_amounts_are_equal_however_they_are_written() {
        for (a, b) in [
            ("1000m", "1"),
            ("1Gi", "1024Mi"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1k"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("2.", "2"),
        ] {
            assert_eq!(quantity(a), quantity(b), "{a} {b}");
        }
        assert!(quantity("1G") < quantity("1Gi"));
        assert!(quantity("-1") < quantity("0"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "Gi", "1 Gi", "1gi", "abc", "1.2.3", "1e", "--1", "1Gi ", "0x10", "1e99", "9999999999999999999999999E"]
        {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }
}
