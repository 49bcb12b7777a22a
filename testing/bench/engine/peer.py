"""A worker of `cargo xtask bench engine`: runs a network on ONNX Runtime or OpenVINO.

    peer.py onnxruntime|openvino FILE THREADS

Prints `ready`, then answers each line of its standard input, a number of seconds, with the least of the runs in so many seconds, in
milliseconds, and the number of runs. Inputs and outputs are bound in advance, as each runtime advises who wants speed.
"""

import sys
import time

import numpy as np


def inputs(described):
    """Pseudo-random inputs: floats of a standard normal distribution, integers below 100."""
    random = np.random.default_rng(0)

    def tensor(dtype, shape):
        if np.issubdtype(dtype, np.integer):
            return random.integers(0, 100, shape).astype(dtype)
        return random.standard_normal(shape).astype(dtype)

    return {name: tensor(dtype, shape) for name, dtype, shape in described}


def onnxruntime(file, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    types = {
        "tensor(float)": np.float32,
        "tensor(int64)": np.int64,
        "tensor(int32)": np.int32,
        "tensor(uint8)": np.uint8,
    }
    described = [(value.name, types[value.type], value.shape) for value in session.get_inputs()]
    binding = session.io_binding()
    for name, value in inputs(described).items():
        binding.bind_cpu_input(name, value)
    for value in session.get_outputs():
        binding.bind_output(value.name, "cpu")
    return lambda: session.run_with_iobinding(binding)


def openvino(file, threads):
    import openvino as ov

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(file, "CPU", settings).create_infer_request()
    described = [(i, value.element_type.to_dtype(), list(value.shape)) for i, value in enumerate(request.model_inputs)]
    for i, value in inputs(described).items():
        request.set_input_tensor(i, ov.Tensor(value))
    return request.infer


def milliseconds(run, seconds):
    run()
    start = time.perf_counter()
    run()
    together = int(min(max(5e-5 / (time.perf_counter() - start), 1), 1000))
    times = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        for _ in range(together):
            run()
        times.append((time.perf_counter() - start) * 1e3 / together)
    return min(times), 2 + together * len(times)


run = {"onnxruntime": onnxruntime, "openvino": openvino}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
print("ready", flush=True)
for line in sys.stdin:
    least, runs = milliseconds(run, float(line))
    print(f"{least:.6f} {runs}", flush=True)
