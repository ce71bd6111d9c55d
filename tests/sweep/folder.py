#!/usr/bin/env python3
"""Prune every ONNX file of a folder by random scores, and judge each result in onnxruntime.

  python tests/sweep/folder.py FOLDER [--only TEXT] [--shape FILE=1,3,320,320 …] [--out rows.jsonl]

Prints a Markdown table. Needs: numpy, onnx, onnxruntime, and `cargo build --release`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import check


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path)
    p.add_argument("--only", default="", help="files whose path contains this")
    p.add_argument("--shape", action="append", default=[], help="FILE=SIZES: an --input-shape for one file")
    p.add_argument("--out", type=Path, help="also write one JSON line per file")
    p.add_argument("--binary", type=Path, default=check.BINARY)
    a = p.parse_args()
    shapes = {}
    for s in a.shape:
        name, sizes = s.split("=", 1)
        shapes.setdefault(name, []).append(sizes)
    rows = []
    for path in sorted(a.folder.rglob("*.onnx")):
        if a.only not in str(path):
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = check.check(path, folder, a.binary, shapes.get(path.stem, ()))
        rows.append(row)
        print(f"{row.name}: {row.status} {row.why[:150]}", file=sys.stderr)
        if a.out:
            with a.out.open("a") as f:
                f.write(row.json() + "\n")
    print(check.table(rows))
    sys.exit(any(r.status not in ("pruned", "refused", "nothing free") for r in rows))


if __name__ == "__main__":
    main()
