//! The program on the processors of small boards, emulated: it is built for them, and a network before and after pruning must
//! give there what it gives here.
//!
//!     cargo test --release --test boards -- --ignored
//!
//! Needs what README.md says for cross-compiling, and QEMU's user emulation (`qemu-aarch64`, `qemu-arm`); what is missing is
//! said, and its processors are left out. `AUTOBOT_CARGO_FLAGS` are given to cargo besides.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A kind of board.
struct Board {
    target: &'static str,
    linker: &'static str,
    emulator: &'static str,
    /// Where its C library is.
    libraries: &'static str,
    /// Name for the emulator, and what `/proc/cpuinfo` says: tract takes its kernels by that.
    processors: &'static [(&'static str, &'static str)],
    features: &'static str,
}

const BOARDS: [Board; 2] = [
    Board {
        target: "aarch64-unknown-linux-gnu",
        linker: "aarch64-linux-gnu-gcc",
        emulator: "qemu-aarch64",
        libraries: "/usr/aarch64-linux-gnu/lib",
        processors: &[("cortex-a53", "0xd03"), ("cortex-a72", "0xd08")],
        features: "fp asimd evtstrm crc32 cpuid",
    },
    Board {
        target: "armv7-unknown-linux-gnueabihf",
        linker: "arm-linux-gnueabihf-gcc",
        emulator: "qemu-arm",
        libraries: "/usr/arm-linux-gnueabihf/lib",
        processors: &[("cortex-a7", "0xc07")],
        features: "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt",
    },
];

fn there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}

fn must(command: &mut Command) -> Output {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

impl Board {
    /// The program, built for it; or why not.
    fn build(&self) -> Result<PathBuf, String> {
        for tool in [self.linker, self.emulator] {
            if !there(tool) {
                return Err(format!("{tool} is not installed"));
            }
        }
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let flags = std::env::var("AUTOBOT_CARGO_FLAGS").unwrap_or_default();
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--bin", "autobot-onnx", "--target", self.target]);
        let done = build.args(flags.split_whitespace()).output().map_err(|e| e.to_string())?;
        let told = String::from_utf8_lossy(&done.stderr);
        if told.contains("target may not be installed") {
            return Err("there is no standard library for it".into());
        }
        assert!(done.status.success(), "{}: {told}", self.target);
        let folder = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
        Ok(folder.join(self.target).join("release/autobot-onnx"))
    }
}

/// What both networks give on the same inputs, by a program that is started as `start` says.
fn outputs(mut start: Command, folder: &Path) -> [Vec<f64>; 2] {
    let json = folder.join("bench.json");
    // What another run left there must not stand for this one's.
    if json.exists() {
        std::fs::remove_file(&json).unwrap();
    }
    start.arg("bench").arg("-q").arg(folder.join("big.onnx")).arg(folder.join("small.onnx"));
    must(start.args(["--runs", "1", "--seconds", "0", "--warm-up", "0", "--json"]).arg(&json));
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    [0, 1].map(|m| {
        let all = report["models"][m]["outputs"].as_array().unwrap();
        all.iter().map(|x| x.as_f64().unwrap()).collect()
    })
}

#[test]
#[ignore = "needs cross-compilers and QEMU (README.md, On a board)"]
fn boards_give_what_this_machine_gives() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let here = env!("CARGO_BIN_EXE_autobot-onnx");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_residual.onnx");
    std::fs::copy(model, at("big.onnx")).unwrap();
    let mut prune = Command::new(here);
    prune.arg(at("big.onnx")).arg(at("small.onnx")).args([
        "-q",
        "--target-flops",
        "50%",
        "--criterion",
        "l1",
    ]);
    must(&mut prune);
    let expected = outputs(Command::new(here), folder.path());
    for board in &BOARDS {
        let program = match board.build() {
            Ok(program) => program,
            Err(why) => {
                println!("{}: left out, {why}", board.target);
                continue;
            }
        };
        for (cpu, part) in board.processors {
            let root = at(cpu);
            std::fs::create_dir_all(root.join("proc")).unwrap();
            std::os::unix::fs::symlink(board.libraries, root.join("lib")).unwrap();
            let told = format!("processor\t: 0\nFeatures\t: {}\nCPU part\t: {part}\n", board.features);
            std::fs::write(root.join("proc/cpuinfo"), told).unwrap();
            let mut emulated = Command::new(board.emulator);
            emulated.args(["-cpu", cpu, "-L"]).arg(&root).arg(&program);
            let given = outputs(emulated, folder.path());
            for (network, (x, y)) in ["before", "after"].iter().zip(expected.iter().zip(&given)) {
                let range = x.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                let apart = x.iter().zip(y).map(|(x, y)| (x - y).abs() / range).fold(0.0, f64::max);
                println!("{cpu}: {network} pruning {apart:.1e} of the range apart");
                assert!(x.len() == y.len() && apart < 1e-4, "{cpu}: {network}: {x:?} {y:?}");
            }
        }
    }
}
