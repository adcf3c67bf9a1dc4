//! The type of a plain scalar, by the rules of YAML 1.1, for which existing configs were written.
//!
//! Called by [`super::id`] and [`super::json`]. Always true: quoted text is text.

use std::borrow::Cow;

use super::tree::Style;

/// A scalar with its type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Typed<'a> {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer in decimal digits, of any length.
    Int(Cow<'a, str>),
    /// A number with a decimal point.
    Float(f64),
    /// Text.
    Text(&'a str),
}

/// The boolean that YAML 1.1 reads.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The type under YAML 1.1, as LiteLLM reads its configs: `012` is 10 and `1e3` is text.
pub(super) fn yaml11(text: &str, style: Style) -> Typed<'_> {
    if style != Style::Plain {
        return Typed::Text(text);
    }
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Typed::Null;
    }
    if let Some(value) = boolean(text) {
        return Typed::Bool(value);
    }
    if let Some(digits) = integer(text) {
        return Typed::Int(digits);
    }
    float(text).map_or(Typed::Text(text), Typed::Float)
}

/// The type in a request body: as YAML 1.1, but `1e3` is a number, and `012` and `12:30` stay text,
/// because they do not look like the numbers that they would be.
pub(super) fn for_json(text: &str, style: Style) -> Typed<'_> {
    let typed = yaml11(text, style);
    match typed {
        Typed::Int(_) if is_trap(text) => Typed::Text(text),
        Typed::Float(_) if text.contains(':') => Typed::Text(text),
        Typed::Text(_) if style == Style::Plain && is_exponential(text) => {
            text.parse().map_or(Typed::Text(text), Typed::Float)
        }
        Typed::Null | Typed::Bool(_) | Typed::Int(_) | Typed::Float(_) | Typed::Text(_) => typed,
    }
}

fn is_trap(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0x");
    leading_zero || text.contains(':')
}

fn is_exponential(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let Some((mantissa, exponent)) = body.split_once(['e', 'E']) else { return false };
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !whole.is_empty()
        && !exponent.is_empty()
        && digits(whole)
        && digits(fraction)
        && digits(exponent)
}

fn integer(text: &str) -> Option<Cow<'_, str>> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(tail) => (true, tail),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let simple = !negative && body.len() == text.len();
    if simple && is_canonical(body) {
        return Some(Cow::Borrowed(text));
    }
    let magnitude = magnitude(body)?;
    let sign = if negative && magnitude != "0" { "-" } else { "" };
    Some(Cow::Owned(format!("{sign}{magnitude}")))
}

fn is_canonical(digits: &str) -> bool {
    digits.bytes().all(|b| b.is_ascii_digit())
        && (digits == "0" || digits.bytes().next().is_some_and(|b| b != b'0'))
}

fn magnitude(body: &str) -> Option<String> {
    let of = |digits: &str, radix: u32, allowed: fn(u8) -> bool| {
        let clean: String = digits.chars().filter(|c| *c != '_').collect();
        let fits = !digits.is_empty() && digits.bytes().all(|b| b == b'_' || allowed(b));
        fits.then(|| u128::from_str_radix(&clean, radix).ok()).flatten().map(|n| n.to_string())
    };
    if let Some(digits) = body.strip_prefix("0b") {
        return of(digits, 2, |b| matches!(b, b'0' | b'1'));
    }
    if let Some(digits) = body.strip_prefix("0x") {
        return of(digits, 16, |b| b.is_ascii_hexdigit());
    }
    if let Some(digits) = body.strip_prefix('0') {
        if digits.bytes().all(|b| b == b'_') {
            return Some("0".to_owned());
        }
        return of(digits, 8, |b| (b'0'..=b'7').contains(&b));
    }
    if !body.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        return None;
    }
    if body.contains(':') {
        let (whole, scale) = sexagesimal(body)?;
        return (scale > 1).then(|| whole.to_string());
    }
    let clean: String = body.chars().filter(|c| *c != '_').collect();
    let decimal = body.bytes().all(|b| b == b'_' || b.is_ascii_digit());
    decimal.then_some(clean)
}

/// The value of `190:20:30` and how many parts it has.
fn sexagesimal(text: &str) -> Option<(u128, usize)> {
    let mut value: u128 = 0;
    let mut parts = 0;
    for part in text.split(':') {
        let clean: String = part.chars().filter(|c| *c != '_').collect();
        let in_range = parts == 0 || (part.len() <= 2 && clean.len() == part.len());
        let digits = !clean.is_empty() && clean.bytes().all(|b| b.is_ascii_digit());
        let number = (in_range && digits).then(|| clean.parse::<u128>().ok()).flatten()?;
        if parts > 0 && number > 59 {
            return None;
        }
        value = value.checked_mul(60)?.checked_add(number)?;
        parts += 1;
    }
    Some((value, parts))
}

fn float(text: &str) -> Option<f64> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(tail) => (-1.0, tail),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match body {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let (whole, tail) = body.split_once('.')?;
    let number = |text: &str| text.bytes().all(|b| b == b'_' || b.is_ascii_digit());
    if whole.contains(':') {
        // Sexagesimal: the fraction belongs to the last part.
        let (seconds, _) = sexagesimal(whole)?;
        let fraction: f64 = format!("0.{}0", tail.replace('_', "")).parse().ok()?;
        #[allow(clippy::cast_precision_loss, reason = "a clock time is small")]
        return number(tail).then_some(sign * (seconds as f64 + fraction));
    }
    let digit_first = |text: &str| text.bytes().next().is_some_and(|b| b.is_ascii_digit());
    // Without an integer part there is no sign either.
    let has_whole = digit_first(whole) && number(whole);
    let has_none = whole.is_empty() && digit_first(tail) && body.len() == text.len();
    if !has_whole && !has_none {
        return None;
    }
    let (fraction, exponent) = match tail.split_once(['e', 'E']) {
        // The exponent needs its sign.
        Some((fraction, exponent)) if exponent.starts_with(['-', '+']) => {
            (fraction, Some(exponent))
        }
        Some(_) => return None,
        None => (tail, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !number(fraction) || exponent.is_some_and(|e| !digits(e.get(1..).unwrap_or(""))) {
        return None;
    }
    let clean: String = body.chars().filter(|c| *c != '_').collect();
    clean.parse::<f64>().ok().map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Typed<'_> {
        yaml11(text, Style::Plain)
    }

    #[test]
    fn plain_scalars_have_the_types_of_yaml_11() {
        assert_eq!(plain("no"), Typed::Bool(false));
        assert_eq!(plain("On"), Typed::Bool(true));
        assert_eq!(plain("y"), Typed::Text("y"));
        assert_eq!(plain("~"), Typed::Null);
        assert_eq!(plain("-12"), Typed::Int("-12".into()));
        assert_eq!(plain("+7"), Typed::Int("7".into()));
        assert_eq!(plain("-0"), Typed::Int("0".into()));
        assert_eq!(plain("1_000"), Typed::Int("1000".into()));
        assert_eq!(plain("012"), Typed::Int("10".into()));
        assert_eq!(plain("08"), Typed::Text("08"));
        assert_eq!(plain("0x1F"), Typed::Int("31".into()));
        assert_eq!(plain("0b11"), Typed::Int("3".into()));
        assert_eq!(plain("12:30"), Typed::Int("750".into()));
        assert_eq!(plain("12:60"), Typed::Text("12:60"));
        assert_eq!(plain("1e3"), Typed::Text("1e3"));
        assert_eq!(plain("1.0e3"), Typed::Text("1.0e3"));
        assert_eq!(plain("1.0e+3"), Typed::Float(1000.0));
        assert_eq!(plain(".5"), Typed::Float(0.5));
        assert_eq!(plain("-.5"), Typed::Text("-.5"));
        assert_eq!(plain("5."), Typed::Float(5.0));
        assert_eq!(plain("-.inf"), Typed::Float(f64::NEG_INFINITY));
        assert_eq!(plain("1.2.3"), Typed::Text("1.2.3"));
        assert_eq!(plain("1:30.5"), Typed::Float(90.5));
        assert_eq!(plain("99999999999999999999999"), Typed::Int("99999999999999999999999".into()));
        assert_eq!(yaml11("1", Style::Quoted), Typed::Text("1"));
        assert_eq!(yaml11("1", Style::Environment), Typed::Text("1"));
    }

    #[test]
    fn request_values_read_exponents_and_keep_traps_as_text() {
        let json = |text| for_json(text, Style::Plain);
        assert_eq!(json("1e3"), Typed::Float(1000.0));
        assert_eq!(json("1.5E-7"), Typed::Float(1.5e-7));
        assert_eq!(json("012"), Typed::Text("012"));
        assert_eq!(json("12:30"), Typed::Text("12:30"));
        assert_eq!(json("0x1F"), Typed::Int("31".into()));
        assert_eq!(json("0"), Typed::Int("0".into()));
        assert_eq!(json("-0.5"), Typed::Float(-0.5));
        assert_eq!(json("e3"), Typed::Text("e3"));
    }
}
