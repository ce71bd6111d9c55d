//! Numbers as people read them: three or more digits and a unit.
//!
//! Takes: counts, shares, differences. Gives: text. Never: rounds a share up to 100 % or down to 0 %.

/// `714776` → `714.78 k`, `125485696` → `125.49 M`; below 10 000 all digits.
pub fn count(n: u64) -> String {
    let steps = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let n = n as f64;
    match steps.into_iter().find(|&(step, _)| n >= step && n >= 1e4) {
        Some((step, unit)) => format!("{:.2} {unit}", n / step),
        None => format!("{n}"),
    }
}

/// `127721` → `127.72 kB`.
pub fn bytes(n: u64) -> String {
    let text = count(n);
    if text.contains(' ') { format!("{text}B") } else { format!("{text} B") }
}

/// `12.3456` → `12.35 ms`; below 10 ms three digits after the point.
pub fn milliseconds(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.3} ms") } else { format!("{ms:.2} ms") }
}

/// `0.4998` → `49.98 %`.
pub fn percent(share: f64) -> String {
    let text = format!("{:.2} %", 100.0 * share);
    match text.as_str() {
        "100.00 %" if share < 1.0 => "99.99 %".into(),
        "100.00 %" => "100 %".into(),
        "0.00 %" if share > 0.0 => "under 0.01 %".into(),
        _ => text,
    }
}

/// `part` of `whole` as a share; of nothing it is 0.
pub fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// `1 channel`, `2 channels`.
pub fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// A relative difference, which should be small.
pub fn small(x: f64) -> String {
    if x >= 0.01 {
        return percent(x);
    }
    let text = format!("{x:.1e}");
    if x == 0.0 { "0".into() } else { text.replace(".0e", "e") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_units() {
        let cases = [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10.00 k"),
            (714_776, "714.78 k"),
            (125_485_696, "125.49 M"),
        ];
        for (n, text) in cases {
            assert_eq!(count(n), text);
        }
        assert_eq!(bytes(300), "300 B");
        assert_eq!(bytes(127_721), "127.72 kB");
    }

    #[test]
    fn shares_never_claim_all_or_nothing_wrongly() {
        assert_eq!(percent(0.5), "50.00 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.999_99), "99.99 %");
        assert_eq!(percent(1e-7), "under 0.01 %");
        assert_eq!(percent(0.0), "0.00 %");
    }
}
