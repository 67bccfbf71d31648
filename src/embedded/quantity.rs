//! Amounts in the one form that the API server keeps: `1024Mi` is `1Gi`, `0.5` is `500m`, `2000m` is `2`.

use serde_json::Value;

/// The canonical form; `None` for what is no amount, or is one already beyond what is canonicalised here.
pub(super) fn canonical(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?;
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|name| *name == suffix);
    if let Some(index) = binary {
        let unit = 1024_i128.checked_pow(u32::try_from(index).ok()? + 1)?;
        let divisor = 10_i128.checked_pow(places.unsigned_abs())?;
        let product = digits.checked_mul(unit)?;
        // A fraction of a byte leaves the binary forms.
        return (product % divisor == 0).then(|| format!("{sign}{}", in_binary(product / divisor)));
    }
    let exponent = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => return scientific(sign, digits, places, suffix),
    };
    Some(format!("{sign}{}", in_decimal(digits, exponent - places)?))
}

fn in_binary(mut value: i128) -> String {
    let mut suffix = "";
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
        if value == 0 || value % 1024 != 0 {
            break;
        }
        value /= 1024;
        suffix = next;
    }
    format!("{value}{suffix}")
}

/// The largest unit of three digits each that leaves a whole number.
fn in_decimal(mut digits: i128, mut exponent: i32) -> Option<String> {
    if digits == 0 {
        return Some("0".to_owned());
    }
    // What is finer than a nano is rounded up.
    while exponent < -9 {
        digits = digits / 10 + i128::from(digits % 10 != 0);
        exponent += 1;
    }
    while exponent.rem_euclid(3) != 0 {
        digits = digits.checked_mul(10)?;
        exponent -= 1;
    }
    while digits % 1000 == 0 && exponent < 18 {
        digits /= 1000;
        exponent += 3;
    }
    let index = usize::try_from((exponent + 9) / 3).ok()?;
    let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"].get(index)?;
    Some(format!("{digits}{suffix}"))
}

/// `1e3` stays in its own notation.
fn scientific(sign: &str, digits: i128, places: i32, suffix: &str) -> Option<String> {
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let (mut digits, mut exponent) = (digits, exponent - places);
    while exponent.rem_euclid(3) != 0 {
        digits = digits.checked_mul(10)?;
        exponent -= 1;
    }
    while digits != 0 && digits % 1000 == 0 {
        digits /= 1000;
        exponent += 3;
    }
    Some(if exponent == 0 { format!("{sign}{digits}") } else { format!("{sign}{digits}e{exponent}") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_amount_has_one_form() {
        for (given, kept) in [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            ("2000m", "2"),
            ("1500m", "1500m"),
            ("1000k", "1M"),
            ("0", "0"),
            ("0.0001m", "100n"),
            ("100Gi", "100Gi"),
            ("1e3", "1e3"),
            ("12e2", "1200"),
            ("1024", "1024"),
        ] {
            assert_eq!(canonical(&json!(given)).as_deref(), Some(kept), "{given}");
        }
        assert_eq!(canonical(&json!(2)).as_deref(), Some("2"));
        assert_eq!(canonical(&json!(true)), None);
    }
}
