"""Writes ONNX's node tests to a folder, for `crates/model/tests/it/onnx_node_tests.rs`.

    python -m pip install -r testing/onnx-node-tests/requirements.txt
    python testing/onnx-node-tests/generate.py [target/onnx-node-tests]

The onnx wheel no longer ships these cases as files: they live as Python and are made in memory. Each becomes a folder
TEST/model.onnx with TEST/test_data_set_N/{input,output}_M.pb. The versions at which ONNX changed each operator go to
operators.txt, a line `NAME V1 V2 ...` each, so that a Rust test can see that no version of a supported operator was missed.
"""

import shutil
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests


def to_proto(value, value_type):
    """A value of a test as the protobuf message that belongs to its type."""
    if value_type.HasField("sequence_type"):
        return numpy_helper.from_list(list(value))
    if value_type.HasField("optional_type"):
        return numpy_helper.from_optional(value)
    if isinstance(value, onnx.TensorProto):
        return value
    return numpy_helper.from_array(np.asarray(value))


def write_test(case, folder):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    graph = case.model.graph
    for number, (inputs, outputs) in enumerate(case.data_sets or []):
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        for kind, values, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            for index, (value, info) in enumerate(zip(values, infos, strict=False)):
                proto = to_proto(value, info.type)
                (data / f"{kind}_{index}.pb").write_bytes(proto.SerializeToString())


def main():
    warnings.simplefilter("ignore")
    default = Path(__file__).resolve().parents[2] / "target" / "onnx-node-tests"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    shutil.rmtree(target, ignore_errors=True)
    cases = [case for case in load_model_tests(kind="node") if case.model is not None]
    for case in cases:
        write_test(case, target / case.name)

    versions = defaultdict(set)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and not schema.deprecated:
            versions[schema.name].add(schema.since_version)
    lines = (f"{name} {' '.join(map(str, sorted(since)))}\n" for name, since in sorted(versions.items()))
    (target / "operators.txt").write_text("".join(lines))
    # Last, so that its presence says that the folder is whole.
    (target / "VERSION").write_text(f"onnx {onnx.__version__}\n")
    print(f"{len(cases)} tests in {target}", file=sys.stderr)


if __name__ == "__main__":
    main()
