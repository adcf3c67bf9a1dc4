//! How long a provider's text asks to wait: "Please try again in 1m12.5s", "retry after 21 seconds".
//!
//! Asked by [`super::ProviderError::wait_ms`]. Always true: what the provider quotes from the request is not read, and a number
//! without a unit is no time.
//!
//! Sources of the texts: OpenAI, Groq, Azure, Google, Mistral and Together as their users report them.

use super::says::unquoted;

/// What stands before a time.
const LEADS: [&str; 8] = [
    "try again in ",
    "try again after ",
    "retry in ",
    "retry after ",
    "wait for ",
    "please wait ",
    "resets in ",
    "reset in ",
];

/// The longest time that `message` names behind such words, milliseconds.
pub(super) fn told_ms(message: &str) -> Option<u64> {
    let text = unquoted(message).to_ascii_lowercase();
    let times = LEADS.iter().flat_map(|lead| {
        text.match_indices(lead).filter_map(|(at, lead)| duration_ms(&text[at + lead.len()..]))
    });
    times.max()
}

/// A duration at the beginning of `text`: `1m12.5s`, `850ms`, `35 seconds`, `2 minutes and 5 seconds`.
fn duration_ms(text: &str) -> Option<u64> {
    let mut total: Option<f64> = None;
    let mut tail_of_text = text;
    loop {
        let tail = tail_of_text.trim_start_matches([' ', ',']);
        let tail = tail.strip_prefix("and ").unwrap_or(tail);
        let digits = tail.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tail.len());
        let (number, tail) = tail.split_at(digits);
        let Ok(number) = number.parse::<f64>() else { break };
        let tail = tail.strip_prefix(' ').unwrap_or(tail);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let Some(factor) = unit_ms(unit) else { break };
        total = Some(total.unwrap_or_default() + number * factor);
        tail_of_text = tail;
    }
    let total = total.filter(|ms| ms.is_finite())?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and digits make no negative number"
    )]
    let ms = total.ceil() as u64;
    Some(ms)
}

fn unit_ms(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_providers_write_them() {
        for (message, expected) in [
            ("Rate limit reached for gpt-4o. Please try again in 14m24s. Visit us.", 864_000),
            ("Please try again in 7.66s.", 7_660),
            ("Limit 3, Used 3. Please try again in 850ms. Contact us.", 850),
            ("Please try again in 1m12.5s", 72_500),
            ("Please retry after 21 seconds. Please go here to increase.", 21_000),
            ("Your requests exceed the limit. Try again in 35 seconds.", 35_000),
            ("Please retry in 33.4s.", 33_400),
            ("please wait 2 minutes and 5 seconds", 125_000),
            ("quota resets in 1 hour, 3 minutes", 3_780_000),
            ("try again in 1s or try again in 6m0s", 360_000),
        ] {
            assert_eq!(told_ms(message), Some(expected), "{message}");
        }
    }

    #[test]
    fn what_is_no_time_or_a_quotation_is_not_read() {
        for message in [
            "try again in a moment",
            "try again in 5",
            "retry after 2026-11-30T10:00:00Z",
            "the prompt 'try again in 99h' is refused",
            "wait for 3 apples",
            "",
        ] {
            assert_eq!(told_ms(message), None, "{message}");
        }
        assert_eq!(told_ms(&format!("try again in {}h", "9".repeat(400))), None);
    }
}
