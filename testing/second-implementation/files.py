"""Just enough of two file formats to talk to the binary: ONNX (written by hand, field by field) and NumPy's .npy."""

import ast
import struct

CODES = {
    "f32": 1, "u8": 2, "i8": 3, "u16": 4, "i16": 5, "i32": 6, "i64": 7, "bool": 9,
    "f16": 10, "f64": 11, "u32": 12, "u64": 13, "bf16": 16,
}  # fmt: skip
# how NumPy and `struct` call the types that travel in files
LAYOUTS = {"f32": ("<f4", "f"), "f64": ("<f8", "d"), "i64": ("<i8", "q"), "bool": ("|b1", "?")}


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, *contents):
    content = b"".join(part.encode() if isinstance(part, str) else part for part in contents)
    return varint(field << 3 | 2) + varint(len(content)) + content


def attribute(name, value):
    parts = [message(1, name)]
    if isinstance(value, float):
        parts += [varint(2 << 3 | 5) + struct.pack("<f", value), number(20, 1)]
    elif isinstance(value, int):
        parts += [number(3, value), number(20, 2)]
    elif isinstance(value, str):
        parts += [message(4, value), number(20, 3)]
    else:
        parts += [number(8, item) for item in value] + [number(20, 7)]
    return message(5, *parts)


def node(operator, inputs, outputs, attributes):
    parts = [message(1, name) for name in inputs] + [message(2, name) for name in outputs]
    return message(1, *parts, message(4, operator), *(attribute(*pair) for pair in attributes.items()))


def value(field, name, kind, shape):
    dims = [message(1, number(1, dim)) for dim in shape]
    tensor = message(1, number(1, CODES[kind]), message(2, *dims))
    return message(field, message(1, name), message(2, tensor))


def integers(name, items):
    """An initialiser of i64."""
    raw = struct.pack(f"<{len(items)}q", *items)
    return message(5, number(1, len(items)), number(2, CODES["i64"]), message(8, name), message(9, raw))


def model(opset, *graph):
    return number(1, 9) + message(7, *graph, message(2, "second")) + message(8, number(2, opset))


def write_array(path, kind, shape, items):
    descr, code = LAYOUTS[kind]
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    data = struct.pack(f"<{len(items)}{code}", *items)
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


def read_array(path):
    """Shape and elements."""
    data = path.read_bytes()
    (length,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10 : 10 + length].decode())
    (code,) = [code for descr, code in LAYOUTS.values() if descr == header["descr"]]
    assert not header["fortran_order"], "the binary writes arrays row by row"
    raw = data[10 + length :]
    return header["shape"], list(struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw))
