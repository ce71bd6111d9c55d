//! Words → values.
//!
//! Takes: one word of the command line. Gives: its value, or a reason that clap prints beside the flag's name.
//! Never: takes a number that could be read two ways.

use super::flags::with_flags;
use autobot_onnx::Error;
use autobot_onnx::internals::cost::latency::Cpu;
use autobot_onnx::internals::data::parse_size;
use autobot_onnx::internals::exec::MOST_THREADS;
use autobot_onnx::internals::plan::Round;
use autobot_onnx::internals::pruner::Target;
use std::path::PathBuf;
use std::str::FromStr;

const TARGETS: &str = "give the share to keep (50%, 0.5) or multiply-accumulates (55.8M, 2G, 55800000)";

/// `50%`, `0.5`, `55.8M`, `2G`, `55800000`.
pub fn target(text: &str) -> Result<Target, String> {
    let word = text.trim();
    if let Some(percent) = word.strip_suffix('%') {
        return Ok(Target::Share(proper_share(number(percent)? / 100.0)?));
    }
    let (digits, unit) = split_unit(word);
    let n = number(digits)?;
    match unit {
        Some(unit) => macs(n * unit),
        None if digits.contains('.') && n > 1.0 => Err(format!("a unit is missing: {TARGETS}")),
        None if digits.contains('.') => Ok(Target::Share(proper_share(n)?)),
        None if n == 1.0 => Err("is that one multiply-accumulate, or 100%? nothing would be cut".into()),
        None => macs(n),
    }
}

/// `30ms`, `1.5s`, `800us`, `50%`, `0.5`.
pub fn latency(text: &str) -> Result<Target, String> {
    const TIMES: &str = "give a time (30ms, 1.5s, 800us) or the share of the present one (50%, 0.5)";
    let word = text.trim();
    let units = [("ms", 1e6), ("us", 1e3), ("µs", 1e3), ("ns", 1.0), ("s", 1e9)];
    let found = units.iter().find_map(|&(name, unit)| Some((word.strip_suffix(name)?, unit)));
    let told = |digits: &str| number(digits).map_err(|_| format!("this is no time: {TIMES}"));
    if let Some((digits, unit)) = found {
        return match (told(digits)? * unit).round() {
            n if (1.0..9e18).contains(&n) => Ok(Target::Time(n as u64)),
            _ => Err(format!("this is no time that a network could take: {TIMES}")),
        };
    }
    match word.strip_suffix('%') {
        Some(percent) => Ok(Target::TimeShare(proper_share(told(percent)? / 100.0)?)),
        None if told(word)? > 1.0 => Err(format!("a unit is missing: {TIMES}")),
        None => Ok(Target::TimeShare(proper_share(told(word)?)?)),
    }
}

/// A processor to predict times for.
#[derive(Debug, Clone, PartialEq)]
pub enum Processor {
    /// One that is known.
    Known(Cpu),
    /// This machine's.
    Host,
    /// One that was measured.
    File(PathBuf),
}

/// A processor's name, `host`, or a file.
pub fn cpu(text: &str) -> Result<Processor, String> {
    match text {
        "host" => Ok(Processor::Host),
        path if path.ends_with(".json") => Ok(Processor::File(path.into())),
        name => known(name).map(Processor::Known),
    }
}

fn known(text: &str) -> Result<Cpu, String> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(text);
    let known = Cpu::ALL
        .into_iter()
        .find(|c| plain(c.name()) == wanted || plain(c.name()) == format!("cortex{wanted}"));
    let all: Vec<&str> = Cpu::ALL.iter().map(|c| c.name()).collect();
    known.ok_or_else(|| format!("there are {}, host, and files that end in .json", all.join(", ")))
}

/// How many; none is for the run to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub Option<usize>);

/// `200` or `auto`.
pub fn count(text: &str) -> Result<Count, String> {
    if text.trim() == "auto" { Ok(Count(None)) } else { at_least_one(text).map(|n| Count(Some(n))) }
}

/// `8` or `auto`.
pub fn round(text: &str) -> Result<Round, String> {
    if text.trim() == "auto" { Ok(Round::Edges) } else { at_least_one(text).map(Round::To) }
}

fn split_unit(word: &str) -> (&str, Option<f64>) {
    let units = [('k', 1e3), ('K', 1e3), ('M', 1e6), ('G', 1e9), ('T', 1e12)];
    let found = units.iter().find_map(|&(c, unit)| Some((word.strip_suffix(c)?, unit)));
    found.map_or((word, None), |(digits, unit)| (digits, Some(unit)))
}

fn number(digits: &str) -> Result<f64, String> {
    let plain = |s: &&str| s.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '_');
    let digits = digits.trim();
    let n = Some(digits).filter(plain).and_then(|s| s.replace('_', "").parse().ok());
    n.filter(|n: &f64| n.is_finite()).ok_or_else(|| format!("this is no amount: {TARGETS}"))
}

fn proper_share(share: f64) -> Result<f64, String> {
    match share {
        s if s > 1.0 => Err("more than the whole network cannot be kept: give at most 100%".into()),
        s if s > 0.0 => Ok(s),
        _ => Err(format!("something must be kept: {TARGETS}")),
    }
}

fn macs(n: f64) -> Result<Target, String> {
    match n.round() {
        n if (1.0..9e18).contains(&n) => Ok(Target::Macs(n as u64)),
        n if n < 1.0 => Err(format!("something must be kept: {TARGETS}")),
        _ => Err(format!("that is more than any network has: {TARGETS}")),
    }
}

/// `95%` or `0.95`.
pub fn share(text: &str) -> Result<f64, String> {
    let word = text.trim();
    let share = match word.strip_suffix('%') {
        Some(percent) => number(percent).map(|n| n / 100.0),
        None => number(word),
    };
    share.ok().filter(|s| (0.0..=1.0).contains(s)).ok_or_else(|| "give a share: 95% or 0.95".into())
}

/// A command line that is not blank.
pub fn command(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("give a command line, as in 'ssh pi autobot-onnx bench -'".into()),
        line => Ok(line.to_owned()),
    }
}

/// A time of a year at the most, in seconds.
pub fn seconds(text: &str) -> Result<f64, String> {
    real(text).filter(|x| (1e-3..=3.2e7).contains(x)).ok_or_else(|| "give seconds: 300".into())
}

/// A number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    real(text).filter(|x| *x > 0.0).ok_or_else(|| "give a number above 0".into())
}

/// A number from 0 up.
pub fn not_negative(text: &str) -> Result<f64, String> {
    real(text).filter(|x| *x >= 0.0).ok_or_else(|| "give a number from 0 up".into())
}

fn real(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|x: &f64| x.is_finite())
}

/// A count from 1 up.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    text.trim().parse().ok().filter(|&n| n > 0).ok_or_else(|| "give a whole number from 1 up".into())
}

/// A number of threads; 0 is one per core.
pub fn threads(text: &str) -> Result<usize, String> {
    let n = text.trim().parse().ok().filter(|&n| n <= MOST_THREADS);
    n.ok_or_else(|| format!("give a whole number up to {MOST_THREADS}, or 0 for one per core"))
}

/// `224` or `224x320`.
pub fn size(text: &str) -> Result<(usize, usize), String> {
    parse_size(text).map_err(|e| reason(&e))
}

/// Anything that the library reads from a word; its error without the flag's name, which clap adds.
pub fn plain<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e| reason(&e))
}

fn reason(e: &Error) -> String {
    with_flags(&match e {
        Error::Argument { reason, hint, .. } => format!("{reason}; {hint}"),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(latency("30ms"), Ok(Target::Time(30_000_000)));
        assert_eq!(latency("1.5 s"), Ok(Target::Time(1_500_000_000)));
        assert_eq!(latency("800us"), Ok(Target::Time(800_000)));
        assert_eq!(latency("50%"), Ok(Target::TimeShare(0.5)));
        assert_eq!(latency("0.5"), Ok(Target::TimeShare(0.5)));
        ["30", "0ms", "-3ms", "ms", "120%", "fast", ""]
            .iter()
            .for_each(|t| assert!(latency(t).is_err(), "{t}"));
    }

    #[test]
    fn processors_are_known_by_their_names() {
        let a53 = ["cortex-a53", "Cortex-A53", "a53", "CORTEX_A53"];
        a53.iter().for_each(|name| assert_eq!(cpu(name), Ok(Processor::Known(Cpu::CortexA53)), "{name}"));
        assert_eq!(cpu("host"), Ok(Processor::Host));
        assert_eq!(cpu("pi4.json"), Ok(Processor::File("pi4.json".into())));
        assert!(cpu("pi").is_err());
        assert_eq!((round("auto"), round("8")), (Ok(Round::Edges), Ok(Round::To(8))));
        assert!(round("0").is_err());
    }

    #[test]
    fn targets_are_shares_or_amounts() {
        let cases = [
            ("50%", Target::Share(0.5)),
            ("0.5", Target::Share(0.5)),
            ("44.5 %", Target::Share(0.445)),
            ("100%", Target::Share(1.0)),
            ("1.0", Target::Share(1.0)),
            ("55.8M", Target::Macs(55_800_000)),
            ("2G", Target::Macs(2_000_000_000)),
            ("300k", Target::Macs(300_000)),
            ("55800000", Target::Macs(55_800_000)),
            ("55_800_000", Target::Macs(55_800_000)),
        ];
        for (text, target) in cases {
            assert_eq!(super::target(text), Ok(target), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_way_out() {
        for text in
            ["", "%", "0", "0%", "101%", "1", "1.5", "-5M", "nan", "inf", "1e400", "5Q", "half", "0.0", "1e6"]
        {
            assert!(target(text).is_err(), "{text}");
        }
        assert!(target("1.5").unwrap_err().contains("unit"));
        assert!(target("150%").unwrap_err().contains("100%"));
    }

    #[test]
    fn shares_and_numbers_are_bounded() {
        assert_eq!(share("95%"), Ok(0.95));
        assert_eq!(share("0.95"), Ok(0.95));
        assert!(share("95").is_err() && share("x").is_err());
        assert!(positive("0").is_err() && positive("nan").is_err() && positive("0.1").is_ok());
        assert!(not_negative("-1").is_err() && not_negative("0").is_ok());
        assert!(at_least_one("0").is_err() && at_least_one("3") == Ok(3));
    }
}
