"""Times ONNX Runtime on a dense network, f32 and int8, one sample at a time on one thread.

Run by `cargo xtask bench --suite edge --peer onnx`. The arguments are a file of little-endian f32 (weights layer by layer, input-major, then samples)
and the widths. Reads lines `f32 N`, `int8 N` or `empty N` and answers with the mean microseconds of a sample over N samples as `{"value": ...}`
(of `empty`, a network that copies one number: what a call from Python costs), or `memory-f32` and
`memory-int8` with the bytes that the process grows by for a model that is loaded and run once, the mean of 64. int8 is quantised statically with one scale a channel.
"""

import json
import os
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

WIDTHS = [int(width) for width in sys.argv[2:]]
COPIES = 64


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def network(weights):
    nodes, initializers, below = [], [], "input"
    for index, weight in enumerate(weights):
        last = index + 1 == len(weights)
        name, above = f"weight{index}", "output" if last else f"sum{index}"
        initializers.append(numpy_helper.from_array(weight, name))
        nodes.append(helper.make_node("MatMul", [below, name], [above]))
        below = above
        if not last:
            below = f"hidden{index}"
            nodes.append(helper.make_node("Relu", [above], [below]))
    shape = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])
    graph = helper.make_graph(nodes, "dense", [shape("input", WIDTHS[0])], [shape("output", WIDTHS[-1])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def empty():
    shape = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1])
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["output"])], "empty", [shape("input")], [shape("output")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


class Samples(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter([{"input": sample[None]} for sample in samples])

    def get_next(self):
        return next(self.samples, None)


def bound(session, sample):
    binding = session.io_binding()
    binding.bind_ortvalue_input("input", onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(sample)))
    shape = session.get_outputs()[0].shape
    binding.bind_ortvalue_output("output", onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32)))
    return binding


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main():
    numbers = np.fromfile(sys.argv[1], dtype="<f4")
    weights, at = [], 0
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        weights.append(numbers[at : at + inputs * outputs].reshape(inputs, outputs))
        at += inputs * outputs
    samples = numbers[at:].reshape(-1, WIDTHS[0])
    folder = tempfile.mkdtemp()
    paths = {name: os.path.join(folder, f"{name}.onnx") for name in ("f32", "int8", "empty")}
    onnx.save(network(weights), paths["f32"])
    onnx.save(empty(), paths["empty"])
    quantize_static(
        paths["f32"], paths["int8"], Samples(samples), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )
    sessions = {}
    for line in sys.stdin:
        name, *count = line.split()
        if name.startswith("memory-"):
            name = name.removeprefix("memory-")
            held, before = [], resident()
            for _ in range(COPIES):
                held.append(session(paths[name]))
                held.append(held[-1].run(None, {"input": samples[:1].copy()}))
            value = (resident() - before) / COPIES
        else:
            if name not in sessions:
                sessions[name] = session(paths[name])
            run, n = sessions[name].run_with_iobinding, int(count[0])
            # Inputs and outputs stay where they are: the cheapest call that Python has.
            bindings = [bound(sessions[name], sample[None, : 1 if name == "empty" else None]) for sample in samples]
            start = time.perf_counter()
            for index in range(n):
                run(bindings[index % len(bindings)])
            value = 1e6 * (time.perf_counter() - start) / n
        print(json.dumps({"value": value, "onnxruntime": onnxruntime.__version__}), flush=True)


if __name__ == "__main__":
    main()
