//! Amounts as people read them: three significant digits, a unit, thousands apart.
//!
//! Not here: amounts in configurations, which are exact (`config/amount.rs`).

/// What stands where there is no value.
pub(super) const NOTHING: &str = "–";

/// An optional value in some form.
pub(super) fn maybe(value: Option<f64>, form: impl FnOnce(f64) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), form)
}

/// Bytes, in powers of 1,024.
pub(super) fn bytes(value: f64) -> String {
    let (mut value, mut unit) = (value.max(0.0), "B");
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        // 999.5 would be shown with four digits.
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    match unit {
        "B" => format!("{value:.0} B"),
        _ => format!("{} {unit}", digits(value)),
    }
}

/// Bytes a second.
pub(super) fn byte_rate(value: f64) -> String {
    format!("{}/s", bytes(value))
}

/// How often a second: `0`, `0.3`, `12.5`, `1,234`.
pub(super) fn rate(value: f64) -> String {
    match value.max(0.0) {
        0.0 => "0".to_owned(),
        value if value < 0.05 => "<0.1".to_owned(),
        value if value < 99.95 => format!("{value:.1}"),
        value => count(value.round() as u64),
    }
}

/// A whole number with its thousands apart.
pub(super) fn count(value: u64) -> String {
    let plain = value.to_string();
    let mut text = String::new();
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long something took.
pub(super) fn time(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    match seconds {
        0.0 => "0".to_owned(),
        _ if seconds < 999.5e-6 => format!("{} µs", digits(seconds * 1e6)),
        _ if seconds < 0.9995 => format!("{} ms", digits(seconds * 1e3)),
        _ if seconds < 99.95 => format!("{} s", digits(seconds)),
        _ => age(seconds),
    }
}

/// How long something has been so, or will be: two units.
pub(super) fn age(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min {} s", whole % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        (1..1000, ..) => format!("{days} d {hours} h"),
        _ => format!("{} years", days / 365),
    }
}

/// A share of one in hundredths.
pub(super) fn share(value: f64) -> String {
    match value * 100.0 {
        percent if percent > 0.0 && percent < 0.95 => "<1 %".to_owned(),
        percent => format!("{percent:.0} %"),
    }
}

/// Part of a whole, in hundredths; nothing of nothing is nothing.
pub(super) fn part(of: u64, whole: u64) -> String {
    share(if whole == 0 { 0.0 } else { of as f64 / whole as f64 })
}

/// `HH:MM:SS` in UTC of so many seconds after 1970.
pub(super) fn clock(seconds: f64) -> String {
    let second = seconds.max(0.0) as u64 % 86_400;
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// A text that others have chosen, without what would control the terminal.
pub(super) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// One with its plural: `1 request`, `2 requests`.
pub(super) fn plural(value: u64, one: &str) -> String {
    match value {
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", count(value)),
    }
}

/// Three significant digits of a number under 1,000.
fn digits(value: f64) -> String {
    match value {
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits_and_a_unit() {
        for (value, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1023.0, "1.00 KiB"),
            (12.34 * 1048576.0, "12.3 MiB"),
            (999.6 * 1048576.0, "0.98 GiB"),
            (2f64.powi(62), "4096 PiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        for (value, text) in
            [(0.0, "0"), (0.01, "<0.1"), (12.345, "12.3"), (99.97, "100"), (1234567.4, "1,234,567")]
        {
            assert_eq!(rate(value), text);
        }
        for (value, text) in [
            (0.0, "0"),
            (1.5e-6, "1.50 µs"),
            (0.00012, "120 µs"),
            (0.9996e-3, "1.00 ms"),
            (0.0123, "12.3 ms"),
            (3.456, "3.46 s"),
            (100.0, "1 min 40 s"),
        ] {
            assert_eq!(time(value), text);
        }
    }

    #[test]
    fn ages_have_two_units() {
        for (value, text) in [
            (-1.0, "0 s"),
            (59.9, "59 s"),
            (11_520.0, "3 h 12 min"),
            (1_054_800.0, "12 d 5 h"),
            (1e12, "31709 years"),
            (f64::INFINITY, "584942417355 years"),
        ] {
            assert_eq!(age(value), text);
        }
    }

    #[test]
    fn shares_parts_and_times_of_day() {
        assert_eq!(
            [share(0.0), share(0.001), share(0.934), share(1.0)],
            ["0 %", "<1 %", "93 %", "100 %"]
        );
        assert_eq!([part(0, 0), part(1, 4)], ["0 %", "25 %"]);
        assert_eq!(clock(1_767_225_599.9), "23:59:59");
        assert_eq!([plural(1, "lane"), plural(1200, "lane")], ["1 lane", "1,200 lanes"]);
        assert_eq!(maybe(None, time), "–");
    }
}
