//! What a plain scalar means: the rules of the YAML readers of Kubernetes tools.

use serde_json::Number;

/// What a text resolves to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Str,
}

/// Resolves a plain scalar as the reader does: YAML 1.2 booleans and nulls, integers of any base with `_` in them.
pub(super) fn resolve(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Resolved::Null,
        "true" | "True" | "TRUE" => Resolved::Bool(true),
        "false" | "False" | "FALSE" => Resolved::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Resolved::Float(f64::NEG_INFINITY),
        text => number(text),
    }
}

/// Whether the writer must quote `text` to keep it a string: it would read as something else by the older rules, which
/// know `yes`, `on`, `y` and the like, timestamps, and numbers in base 60.
pub(super) fn needs_quotes(text: &str) -> bool {
    is_old_boolean(text)
        || !matches!(resolve(text), Resolved::Str)
        || (text.starts_with('.') && text.len() > 1 && text.parse::<f64>().is_ok())
        || timestamp(text).is_some()
        || is_base_60(text)
}

/// Words that older readers take for booleans.
#[must_use]
pub fn is_old_boolean(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    )
}

/// Whether the reader of YAML 1.1 takes a plain text for a boolean, a number or nothing. A date is text for it.
pub(super) fn is_typed_in_1_1(text: &str) -> bool {
    let new_octal = text.trim_start_matches('-').starts_with("0o");
    is_old_boolean(text) || (!new_octal && !matches!(resolve(text), Resolved::Str))
}

fn number(text: &str) -> Resolved {
    let first = text.as_bytes()[0];
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return Resolved::Str;
    }
    if first == b'.' {
        return float(text);
    }
    if timestamp(text).is_some() {
        return Resolved::Str;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(integer) = integer(&plain) {
        return integer;
    }
    float(&plain)
}

/// A number that is too large is no number.
fn float(text: &str) -> Resolved {
    match text.parse::<f64>() {
        Ok(number) if is_float(text) && number.is_finite() => Resolved::Float(number),
        _ => Resolved::Str,
    }
}

/// Whether kustomize writes a text of several lines as a block again, or of one that was one; else it is in quotes.
#[must_use]
pub fn stays_block(text: &str) -> bool {
    let printable = |c: char| match c {
        '\n' | '\t' | ' '..='~' => true,
        '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
        c => ('\u{a0}'..'\u{10000}').contains(&c),
    };
    !text.is_empty() && !text.ends_with(' ') && !text.contains(" \n") && text.chars().all(printable)
}

/// Whether kustomize cannot read a block again that it has written: its first line starts with a tab, or does so behind
/// empty lines, where the width of the indentation is sought.
pub(super) fn starts_with_tab(text: &str) -> bool {
    text.starts_with('\t')
}

/// What a folded text becomes when kustomize writes and reads it again: its writer puts a break too many in front of
/// lines that are indented more, and at the end of a text that keeps its breaks; and none at all in addition when the
/// text begins with a blank, so that its lines are joined.
pub(super) fn refold(text: &str) -> String {
    let starts_blank = |text: &str| text.starts_with([' ', '\t']);
    let first = text.trim_start_matches('\n');
    if first.is_empty() {
        return text.to_owned();
    }
    let joined = starts_blank(first);
    let mut result = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(at) = rest.find('\n') {
        let (line, tail) = rest.split_at(at);
        let after = tail.trim_start_matches('\n');
        let breaks = &tail[..tail.len() - after.len()];
        result.push_str(line);
        rest = after;
        let between = !line.is_empty() && !starts_blank(line) && !after.is_empty() && !starts_blank(after);
        if joined && between {
            result.push_str(if breaks.len() > 1 { &breaks[1..] } else { " " });
            continue;
        }
        result.push_str(breaks);
        let one_more = starts_blank(after) || (after.is_empty() && breaks.len() > 1);
        if one_more && !joined && !line.is_empty() && !starts_blank(line) {
            result.push('\n');
        }
    }
    result + rest
}

/// Integers with the prefixes 0x, 0o, 0b, and 0 for octal.
fn integer(text: &str) -> Option<Resolved> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative {
        // i64::MIN has no positive counterpart.
        return if magnitude == 1 << 63 {
            Some(Resolved::Int(i64::MIN))
        } else {
            i64::try_from(magnitude).ok().map(|number| Resolved::Int(-number))
        };
    }
    Some(i64::try_from(magnitude).map_or_else(
        // An explicit plus sign is read as a signed integer only.
        |_| if text.starts_with('+') { Resolved::Str } else { Resolved::Unsigned(magnitude) },
        Resolved::Int,
    ))
    .filter(|resolved| !matches!(resolved, Resolved::Str))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let mantissa_fine = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    mantissa_fine
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        })
}

/// A timestamp in its normal form, as `2020-01-02T03:04:05.6Z`.
///
/// Known are `2020-1-2`, and a date and time with `T`, `t` or a space between, with or without a fraction; a zone must
/// follow after `T`, and none after a space.
pub(super) fn timestamp(text: &str) -> Option<String> {
    let mut rest = text;
    let year = digits(&mut rest, 4..=4)?;
    skip(&mut rest, "-")?;
    let month = digits(&mut rest, 1..=2)?;
    skip(&mut rest, "-")?;
    let day = digits(&mut rest, 1..=2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let zoned = match rest.as_bytes().first() {
        None => return Some(format!("{date}T00:00:00Z")),
        Some(b'T' | b't') => true,
        Some(b' ') => false,
        Some(_) => return None,
    };
    rest = &rest[1..];
    let hour = digits(&mut rest, 1..=2).filter(|hour| *hour < 24)?;
    skip(&mut rest, ":")?;
    let minute = digits(&mut rest, 1..=2).filter(|minute| *minute < 60)?;
    skip(&mut rest, ":")?;
    let second = digits(&mut rest, 1..=2).filter(|second| *second < 60)?;
    let mut fraction = String::new();
    if skip(&mut rest, ".").is_some() {
        let width = rest.bytes().take_while(u8::is_ascii_digit).count();
        if width == 0 {
            return None;
        }
        let kept = rest[..width.min(9)].trim_end_matches('0');
        if !kept.is_empty() {
            fraction = format!(".{kept}");
        }
        rest = &rest[width..];
    }
    let zone = match (zoned, rest) {
        (false, "") | (true, "Z" | "+00:00" | "-00:00") => "Z",
        (true, offset) => {
            let mut rest = offset.strip_prefix(['+', '-'])?;
            digits(&mut rest, 2..=2).filter(|hours| *hours <= 24)?;
            skip(&mut rest, ":")?;
            digits(&mut rest, 2..=2).filter(|minutes| *minutes <= 60)?;
            if !rest.is_empty() {
                return None;
            }
            offset
        }
        (false, _) => return None,
    };
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

/// Takes a run of digits of one of the widths off the front.
fn digits(rest: &mut &str, widths: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let width = rest.bytes().take_while(u8::is_ascii_digit).count();
    if !widths.contains(&width) {
        return None;
    }
    let number = rest[..width].parse().ok();
    *rest = &rest[width..];
    number
}

/// Takes `prefix` off the front, when it is there.
fn skip(rest: &mut &str, prefix: &str) -> Option<()> {
    *rest = rest.strip_prefix(prefix)?;
    Some(())
}

/// `1:30`, `190:20:30.15`: numbers of an old standard that some readers still know.
fn is_base_60(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = rest.split(':');
    let head = parts.next().unwrap_or_default();
    if !head.starts_with(|c: char| c.is_ascii_digit()) || !head.bytes().all(|c| c.is_ascii_digit() || c == b'_') {
        return false;
    }
    let tail: Vec<&str> = parts.collect();
    let Some((last, middle)) = tail.split_last() else { return false };
    let part =
        |text: &str| matches!(text.as_bytes(), [b'0'..=b'9']) || matches!(text.as_bytes(), [b'0'..=b'5', b'0'..=b'9']);
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().all(|text| part(text)) && part(last) && fraction.bytes().all(|c| c.is_ascii_digit() || c == b'_')
}

/// A float as a JSON number that reads back the same; whole numbers become integers.
#[must_use]
pub fn float_to_json(number: f64) -> Option<Number> {
    if !number.is_finite() {
        return None;
    }
    if number.fract() == 0.0 && number.abs() < 1e21 {
        // The fewest digits that read back the same, and zeros behind them.
        let text = format!("{number}");
        if let Ok(integer) = text.parse::<i64>() {
            return Some(integer.into());
        }
        if let Ok(integer) = text.parse::<u64>() {
            return Some(integer.into());
        }
    }
    Number::from_f64(number)
}
