"""The kernels that a Mac with an ARM processor would run, compiled here as assembly, and read."""

import re
import subprocess
import sys

import pytest

AS_A_MAC = """
from llvmlite import binding
binding.get_host_cpu_features = binding.FeatureMap  # none of those that only x86 has
binding.get_process_triple = binding.get_default_triple = lambda: "arm64-apple-macosx"
binding.initialize_all_targets()
binding.initialize_all_asmprinters()

import numpy as np
from microgpt.engines.compiled.llvm.machine import machine, Machine
from microgpt.engines.compiled.llvm.run import Program
from microgpt.functions import softmax

Machine.prepare = lambda machine, shapes: [0] * len(shapes)
mac = binding.Target.from_triple("arm64-apple-macosx").create_target_machine(cpu="apple-m1", opt=2, jit=True)

def loss(p, x):
    hidden = [[sum(w * a for w, a in zip(row, inputs)) for row in p["w"]] for inputs in x]
    return sum(sum(a * b for a, b in zip(softmax(one), hidden[0])) for one in hidden)

program = Program(loss, {"w": (32, 16)}, [("x", "float", (8, 16))])
for shape in program.plan(64, np.float32, True).shapes:
    machine().targets = [mac]
    mac.emit_object = lambda module: mac.emit_assembly(module).encode()
    print(f"# {type(shape).__name__}")
    print(machine().compile("kernel", shape).decode())
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """The kind and the assembly of each kernel."""
    script = tmp_path_factory.mktemp("mac") / "as_a_mac.py"
    script.write_text(AS_A_MAC, encoding="utf-8")
    ended = subprocess.run([sys.executable, script], capture_output=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stderr
    return re.findall(r"^# (\w+)\n(.*?)(?=^# |\Z)", ended.stdout, re.MULTILINE | re.DOTALL)


def test_products_on_arm_sum_in_sixteen_vector_registers(kernels):
    products = [text for kind, text in kernels if kind == "ProductShape"]
    assert len(products) == 2  # the linear map, and its gradient
    for text in products:
        innermost = max(re.split(r"^LBB.*:\n", text, flags=re.MULTILINE), key=lambda block: block.count("fmla.4s"))
        assert len(set(re.findall(r"fmla\.4s\s+(v\d+)", innermost))) == 16
        assert "[sp" not in innermost  # nothing goes to memory and back
        assert not re.search(r"\bst[rpu]", innermost)


def test_kernels_on_arm_call_only_what_copies_memory(kernels):
    for kind, text in kernels:
        assert "_kernel:" in text, kind  # by this name macOS finds it
        assert {*re.findall(r"(\w+)@GOTPAGE\b", text)} <= {"_memcpy", "_memset", "_bzero"}, kind
