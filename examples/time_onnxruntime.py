"""Milliseconds of an inference in onnxruntime, for `autobot-onnx --measure 'python3 time_onnxruntime.py {model}'`.

One thread, batch 1, noise as input, the median of the runs of a second (20 runs at least). Needs numpy and onnxruntime.
"""
import sys
import time

import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
draw = np.random.default_rng(1)
feeds = {}
for x in session.get_inputs():
    shape = [size if isinstance(size, int) else 1 for size in x.shape]
    kind = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}[x.type]
    feeds[x.name] = draw.standard_normal(shape).astype(kind)

times, start = [], time.perf_counter()
while len(times) < 25 or time.perf_counter() - start < 1:
    before = time.perf_counter()
    session.run(None, feeds)
    times.append(time.perf_counter() - before)
# The first runs allocate.
print(1e3 * float(np.median(times[5:])))
