//! Facts of the machine, as far as it states them.
//!
//! Takes: Linux's files. Gives: a [`Board`]. Never: guesses what is not told.

use serde::Serialize;
use std::path::Path;

/// The machine that measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Board {
    /// Processor, as the system names it.
    pub cpu: Option<String>,
    /// Its architecture.
    pub architecture: &'static str,
    /// Processors that the program may use.
    pub cores: usize,
    /// Policy that sets the clock rate.
    pub governor: Option<String>,
    /// Clock rate of the first processor when it was asked, in MHz.
    pub megahertz: Option<f64>,
    /// Temperature when it was asked, in °C.
    pub celsius: Option<f64>,
}

impl Board {
    /// Asks the machine.
    pub fn ask() -> Self {
        Self::ask_at(Path::new("/"))
    }

    fn ask_at(root: &Path) -> Self {
        let read = |path: &str| Some(std::fs::read_to_string(root.join(path)).ok()?.trim().to_owned());
        let clock = "sys/devices/system/cpu/cpu0/cpufreq";
        let number = |path: &str| read(path)?.parse::<f64>().ok();
        Self {
            cpu: name(read),
            architecture: std::env::consts::ARCH,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            governor: read(&format!("{clock}/scaling_governor")),
            megahertz: number(&format!("{clock}/scaling_cur_freq")).map(|k| k / 1e3),
            celsius: number("sys/class/thermal/thermal_zone0/temp").map(|m| m / 1e3),
        }
    }
}

/// The board's own name where it has one (a Raspberry Pi does), and the processor's.
fn name(read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let board = read("proc/device-tree/model").map(|m| m.trim_end_matches('\0').to_owned());
    let text = read("proc/cpuinfo").unwrap_or_default();
    let field = |key: &str| {
        let line = text.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == key))?;
        line.split_once(':').map(|(_, v)| v.trim().to_owned())
    };
    let part = field("CPU part").map(|part| match part.as_str() {
        "0xc07" => "Cortex-A7".to_owned(),
        "0xc09" => "Cortex-A9".to_owned(),
        "0xd03" => "Cortex-A53".to_owned(),
        "0xd05" => "Cortex-A55".to_owned(),
        "0xd08" => "Cortex-A72".to_owned(),
        "0xd0b" => "Cortex-A76".to_owned(),
        other => format!("CPU part {other}"),
    });
    let cpu = part.or_else(|| field("model name"));
    match (board, cpu) {
        (Some(board), Some(cpu)) => Some(format!("{board}, {cpu}")),
        (board, cpu) => board.or(cpu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raspberry_pi_tells_all() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/device-tree/model", "Raspberry Pi 3 Model B\0");
        write("proc/cpuinfo", "processor\t: 0\nCPU part\t: 0xd03\n");
        write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n");
        write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1200000\n");
        write("sys/class/thermal/thermal_zone0/temp", "48312\n");
        let board = Board::ask_at(root.path());
        assert_eq!(board.cpu.as_deref(), Some("Raspberry Pi 3 Model B, Cortex-A53"));
        assert_eq!(board.governor.as_deref(), Some("ondemand"));
        assert_eq!((board.megahertz, board.celsius), (Some(1200.0), Some(48.312)));
    }

    #[test]
    fn what_is_not_told_is_not_guessed() {
        let root = tempfile::tempdir().unwrap();
        let board = Board::ask_at(root.path());
        assert_eq!((board.cpu, board.governor, board.celsius), (None, None, None));
    }
}
