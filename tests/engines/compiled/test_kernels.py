"""Kernels get every argument by its name, and a kernel on disk serves only the code that emitted it."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from ctypes import CFUNCTYPE, c_int64
from dataclasses import dataclass

import numpy as np
import pytest
from llvmlite import ir

from microgpt import value_and_grad
from microgpt.engines.compiled.llvm import machine as module
from microgpt.engines.compiled.llvm.arguments import packed
from microgpt.engines.compiled.llvm.emit import DriverShape
from microgpt.engines.compiled.llvm.machine import EMITTERS, Machine, briefly, machine, meaning
from microgpt.engines.compiled.llvm.threads import ThreadPool

# Arguments


def test_arguments_are_packed_in_order_of_names():
    assert packed(["rows", "columns"], {"columns": 2, "rows": 1}) == [1, 2]


@pytest.mark.parametrize("given", [{"rows": 1}, {"rows": 1, "colums": 2}, {"rows": 1, "columns": 2, "terms": 3}])
def test_a_missing_or_unknown_argument_is_an_error(given):
    with pytest.raises(KeyError, match=r"a kernel takes \['columns', 'rows'\], and was given"):
        packed(["rows", "columns"], given)


# On disk

SOURCE = '''"""Emits."""

WIDTH = 16


def emit(x):
    """The kernel."""
    return f"{x}" * WIDTH  # a string
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [("  # a string", ""), ("The kernel", "One"), ("Emits", "It"), ("\n\n\ndef", "\ndef"), ("* WIDTH", "*  WIDTH")],
)
def test_words_and_layout_leave_kernels_as_they_are(old, new):
    assert SOURCE.replace(old, new) != SOURCE
    assert meaning(SOURCE.replace(old, new)) == meaning(SOURCE)


@pytest.mark.parametrize(("old", "new"), [("16", "8"), ('f"{x}"', 'f"{x} "'), ("* WIDTH", "+ WIDTH"), ("(x)", "(x=1)")])
def test_changed_code_is_another_emitter(old, new):
    assert meaning(SOURCE.replace(old, new)) != meaning(SOURCE)


def test_every_file_that_emits_is_read():
    assert {"value.py", "expressions.py", "emit.py", "matmul.py", "arguments.py"} <= {file.name for file in EMITTERS}


def test_an_edited_emitter_finds_no_old_kernel(monkeypatch, tmp_path):
    shape = DriverShape(double=True)
    before = machine().name_of(shape)
    edited = tmp_path / "emit.py"
    text = next(file for file in EMITTERS if file.name == "emit.py").read_text(encoding="utf-8")
    for change, same in (("# a comment\n", True), ("SLOW = ()\n", False)):
        edited.write_text(text + change, encoding="utf-8")
        files = [edited if file.name == "emit.py" else file for file in EMITTERS]
        monkeypatch.setattr(module, "EMITTERS", files)
        monkeypatch.setattr(sys.modules[DriverShape.__module__], "__file__", str(edited))
        assert (Machine().name_of(shape) == before) is same


@dataclass(frozen=True)
class Constant:
    """A kernel that returns a number."""

    number: int

    def emit(self, into, name):
        function = ir.Function(into, ir.FunctionType(ir.IntType(64), []), name)
        ir.IRBuilder(function.append_basic_block()).ret(ir.IntType(64)(self.number))


def test_a_kernel_of_a_check_serves_nothing_else(monkeypatch, tmp_path):
    compiled = []
    monkeypatch.setattr(Constant, "emit", lambda *given, emit=Constant.emit: compiled.append(given) or emit(*given))
    for fresh in (Machine(), Machine()):  # the second one finds both on the disk
        fresh.directory = tmp_path
        with briefly():
            brief = fresh.prepare([Constant(7)])
        optimized = fresh.prepare([Constant(7)])
        assert brief != optimized
        assert [CFUNCTYPE(c_int64)(address)() for address in (*brief, *optimized)] == [7, 7]
        assert len(compiled) == 2


@pytest.mark.parametrize("on_a_screen", [True, False], ids=["screen", "file"])
def test_long_compiling_is_told_then_wiped_away(monkeypatch, on_a_screen):
    begun, stream = Machine(), io.StringIO()
    begun.directory = None
    monkeypatch.setattr(stream, "isatty", lambda: on_a_screen)
    monkeypatch.setattr(sys, "stderr", stream)
    begun.prepare([Constant(1)])
    assert stream.getvalue() == ""
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    begun.prepare([Constant(2), Constant(3)])
    text = "compiling 2 pieces of code for this machine, once"
    told = f"\r{text}: 1\r{text}: 2\r{' ' * len(f'{text}: 2')}\r" if on_a_screen else f"{text}\n"
    assert stream.getvalue() == told
    begun.prepare([Constant(2)])
    assert stream.getvalue() == told
    begun.prepare([Constant(2), Constant(4), Constant(5)])
    assert stream.getvalue() == told * 2


FORKED = """
import os, sys
import numpy as np
from microgpt import value_and_grad
from microgpt.engines.compiled.llvm.threads import LOCK, POOL

POOL.run(lambda part, slot: None, 4, 2)  # starts a thread, which a forked process does not have
with LOCK:
    child = os.fork()
    if child == 0:
        POOL.run(lambda part, slot: None, 4, 2)
        loss, _ = value_and_grad(lambda p, x: p * x)(np.array(3.0), np.array([2.0]))
        os._exit(0 if loss == 6.0 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_has_threads_of_its_own():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, timeout=60)


@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot send itself Ctrl-C alone")
def test_threads_end_their_parts_before_ctrl_c_is_raised():
    pool, ended, begun = ThreadPool(), [], threading.Event()

    def part(number, slot):
        if slot:
            begun.set()
            time.sleep(0.5)
            ended.append(number)
        else:
            begun.wait(10)

    interrupt = threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        pool.run(part, 2, 2)
    assert len(ended) == 1
    interrupt.join()
    pool.run(lambda number, slot: ended.append(number), 4, 2)
    assert len(ended) == 5


def test_an_error_in_a_thread_is_raised():
    def part(number, slot):
        if number == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ThreadPool().run(part, 4, 2)


def test_the_longest_parts_of_a_batch_begin_first(monkeypatch):
    step, blocks = value_and_grad(lambda params, x: sum(params["w"] * x_i for x_i in x), threads=2), []
    given = {"w": np.array(2.0)}, np.ones((12, 3))
    expected = step(*given)
    (program,) = step.own_engine.programs.values()
    monkeypatch.setattr(program, "suits_one", lambda _: True)  # each example is a block
    plan, parts = program.plan_for(12, np.dtype(np.float64), True)
    driver = plan.driver
    monkeypatch.setattr(plan, "driver", lambda f: blocks.append(f.end_block - f.first_block) or driver(f))
    assert step(*given) == expected
    assert len(blocks) == parts < 12
    assert blocks == sorted(blocks, reverse=True)
