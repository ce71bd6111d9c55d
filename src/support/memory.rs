//! The memory that this process may use.
//!
//! Takes: what the operating system says. Gives: a limit in bytes, and errors for what cannot fit. Never: allocates.

use crate::error::{Error, Result};
use std::fs::read_to_string;
use std::sync::OnceLock;

/// Most bytes that this process may hold: memory and swap of the machine, or less where it was limited; `u64::MAX` where nothing is
/// known.
pub fn limit() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let own = read_to_string("/proc/self/limits").ok().and_then(|text| address_space(&text));
        let machine = read_to_string("/proc/meminfo").ok().and_then(|text| machine(&text));
        let group =
            read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
        [own, machine, group].into_iter().flatten().min().unwrap_or(u64::MAX)
    })
}

/// Soft limit of the address space, in bytes.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Memory and swap of the machine, in bytes.
fn machine(meminfo: &str) -> Option<u64> {
    let amount = |key: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(amount("MemTotal:")?.saturating_add(amount("SwapTotal:").unwrap_or(0)))
}

/// Words on `bytes` that do not fit.
fn excess(bytes: u64) -> Option<String> {
    let gigabytes = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let limit = limit();
    (bytes > limit).then(|| {
        format!("{:.1} GiB, of {:.1} GiB that this process may use", gigabytes(bytes), gigabytes(limit))
    })
}

/// Refuses what takes more than there is. `what` is a phrase that "takes" follows.
pub fn check(bytes: u64, what: &str, hint: &str) -> Result<()> {
    match excess(bytes) {
        Some(amounts) => Err(Error::graph(format!("{what} takes {amounts}"), hint)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n\
                      Max address space         4096000000           unlimited            bytes     \n";
        assert_eq!(address_space(limits), Some(4_096_000_000));
        assert_eq!(address_space(&limits.replace("4096000000", "unlimited ")), None);
        let meminfo = "MemTotal:       16384 kB\nMemFree:        100 kB\nSwapTotal:      1024 kB\n";
        assert_eq!(machine(meminfo), Some(17 << 20));
        assert_eq!(machine("MemFree: 100 kB\n"), None);
    }

    #[test]
    fn too_much_is_an_error_with_both_amounts() {
        let e = check(u64::MAX, "the list", "make it shorter").unwrap_err().to_string();
        let whole = limit() == u64::MAX;
        assert!(
            whole || e.contains("the list takes 17179869184.0 GiB, of ") && e.contains("make it shorter"),
            "{e}"
        );
        check(0, "nothing", "").unwrap();
    }
}
