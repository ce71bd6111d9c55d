#!/usr/bin/env python3
"""Instructions per inference on the processors of small boards, before and after pruning.

  python benches/instructions/count.py NET.onnx SMALL.onnx … [--cpu cortex-a53 …] [--programs FOLDER] [--json FILE]

The first file is compared with the others. Each is run by `autobot-onnx bench` under QEMU, which shows tract the processor, so
that it takes that core's kernels; a plugin counts (plugin.rs). The count of a process with one run is taken from that of a
process with several, so what loading and optimising cost falls away. Unlike times under emulation the counts can be repeated:
two processes differ by 0.1 % or less. They can be compared on one core only: a core's own kernels execute more
instructions than the generic ones and are faster.

Needs: rustc, QEMU's user emulation with plugins (`qemu-aarch64`, `qemu-arm`), the C libraries of both targets, `cargo build
--release`, and both boards' programs in FOLDER/TARGET/release (as README.md builds them; `target` unless given).
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
AARCH64 = ("aarch64-unknown-linux-gnu", "qemu-aarch64", "/usr/aarch64-linux-gnu/lib", "fp asimd evtstrm crc32 cpuid")
ARMV7 = (
    "armv7-unknown-linux-gnueabihf",
    "qemu-arm",
    "/usr/arm-linux-gnueabihf/lib",
    "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt",
)
# What it is built for, and the part number in /proc/cpuinfo, by which tract knows a core.
CPUS = {"cortex-a7": (ARMV7, "0xc07"), "cortex-a53": (AARCH64, "0xd03"), "cortex-a72": (AARCH64, "0xd08")}


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout + done.stderr


def root(folder, cpu):
    """A folder that the emulated program sees in place of /: its libraries, and what the kernel tells about the processor."""
    (_, _, libraries, features), part = CPUS[cpu]
    place = folder / cpu
    (place / "proc").mkdir(parents=True)
    (place / "lib").symlink_to(libraries)
    (place / "proc" / "cpuinfo").write_text(f"processor\t: 0\nFeatures\t: {features}\nCPU part\t: {part}\n")
    return place


def counted(cpu, place, plugin, program, model, runs):
    (_, emulator, _, _), _ = CPUS[cpu]
    bench = ["bench", "-q", model, "--runs", runs, "--seconds", 0, "--warm-up", 0]
    text = run(emulator, "-cpu", cpu, "-L", place, "-plugin", plugin, "-d", "plugin", program, *bench)
    return int(re.search(r"instructions (\d+)", text)[1])


def inspected(model, cpu, folder):
    report = folder / "inspect.json"
    run(ROOT / "target" / "release" / "autobot-onnx", "inspect", model, "--cpu", cpu, "--json", report)
    return json.loads(report.read_text())


def main():
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("models", nargs="+", type=Path)
    parse.add_argument("--cpu", nargs="+", choices=CPUS, default=list(CPUS))
    parse.add_argument("--programs", type=Path, default=ROOT / "target")
    parse.add_argument("--runs", type=int, default=4)
    parse.add_argument("--json", type=Path)
    args = parse.parse_args()
    rows = []
    print("| file | core | MACs | of before | instructions | of before | predicted | of before | fewer instructions / fewer MACs |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        plugin = folder / "libplugin.so"
        run("rustc", "--edition", "2024", "--crate-type", "cdylib", "-O", HERE / "plugin.rs", "-o", plugin)
        for cpu in args.cpu:
            program = args.programs / CPUS[cpu][0][0] / "release" / "autobot-onnx"
            if not program.exists():
                print(f"{cpu} is left out: there is no {program}", file=sys.stderr)
                continue
            place = root(folder, cpu)
            before = None
            for model in args.models:
                few, many = (counted(cpu, place, plugin, program, model, n) for n in (1, 1 + args.runs))
                told = inspected(model, cpu, folder)
                now = {
                    "file": str(model),
                    "cpu": cpu,
                    "macs": told["model"]["macs"],
                    "instructions": round((many - few) / args.runs),
                    "milliseconds": told["predicted"]["milliseconds_before"],
                }
                rows.append(now)
                before = before or now
                share = {k: now[k] / (before[k] or 1) for k in ("macs", "instructions", "milliseconds")}
                print(
                    f"| {model.stem} | {cpu} | {now['macs'] / 1e6:.1f} M | {share['macs']:.3f} | {now['instructions'] / 1e6:.2f} M "
                    f"| {share['instructions']:.3f} | {now['milliseconds']:.2f} ms | {share['milliseconds']:.3f} "
                    f"| {share['macs'] / share['instructions']:.2f} |",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
