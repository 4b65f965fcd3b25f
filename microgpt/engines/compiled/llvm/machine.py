"""Kernels as machine code, compiled when they are first needed, and kept on disk from one process to the next.

The file of a kernel is named by a digest of all that it depends on: its shape, the code that emits it, this processor,
and the version of LLVM.
"""

import ast
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import binding, ir

from microgpt.engines.compiled.expressions import __file__ as expressions_file
from microgpt.engines.compiled.llvm.operations import SAME_DIGITS
from microgpt.engines.compiled.llvm.threads import LOCK
from microgpt.surroundings import notebook_bar
from microgpt.value import __file__ as value_file

PATIENCE = 1.5  # seconds of compiling after which one is told of it
BRIEF = ContextVar("brief", default=False)  # whether what is compiled now is for few examples, as in a check
OTHER_DIGITS = (
    "note: this processor has no fused multiply-add, so last digits differ from those of other machines; "
    "with MICROGPT_SAME_DIGITS=1 they are the same, and training takes about ten times as long"
)
EMITTERS = [Path(value_file), Path(expressions_file), *sorted(Path(__file__).parent.glob("*.py"))]


class Machine:
    """LLVM, and everything that it has compiled in this process."""

    def __init__(self) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        cpu, features = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
        triple = binding.Target.from_default_triple()
        self.targets = [
            triple.create_target_machine(cpu=cpu, features=features, opt=level, jit=True) for level in (2, 0)
        ]
        self.engine = binding.create_mcjit_compiler(binding.parse_assembly(""), self.targets[0])
        self.names: dict[Any, str] = {}  # by shape, and whether it was compiled briefly
        self.addresses: dict[str, int] = {}  # by name
        self.directory = cache_directory()
        self.processor = f"{cpu}|{features}|{SAME_DIGITS}|{llvmlite.__version__}|{sys.platform}"
        self.compiles = False  # whether it has compiled a kernel in this process
        self.emitters: dict[str, str] = {}  # by the module of a shape: a digest of the code that emits its kernel
        self.told = ""  # lately

    def name_of(self, shape: Any) -> str:
        key = shape, BRIEF.get()
        if key not in self.names:
            self.names[key] = digest("kernel", *key, self.emitter_of(type(shape).__module__), self.processor)
        return self.names[key]

    def emitter_of(self, module: str) -> str:
        """A digest of what the code does that emits kernels of shapes of a module."""
        if module not in self.emitters:
            files = dict.fromkeys([*EMITTERS, Path(sys.modules[module].__file__ or "")])
            texts = [file.read_text(encoding="utf-8") for file in files]
            name = digest("emitter", texts, sys.version)
            known = self.load(name)  # parsing takes longer than reading
            if known is None:
                known = digest(*map(meaning, texts)).encode()
                self.save(name, known)
            self.emitters[module] = known.decode()
        return self.emitters[module]

    def prepare(self, shapes: Sequence[Any]) -> list[int]:
        """The addresses of the kernels of these shapes: known already, loaded from disk, or compiled now."""
        with LOCK:
            named = {id(shape): self.name_of(shape) for shape in {id(shape): shape for shape in shapes}.values()}
            names = [named[id(shape)] for shape in shapes]
            missing = {name: shape for name, shape in zip(names, shapes, strict=True) if name not in self.addresses}
            start, found = time.monotonic(), {}
            said = f"compiling {len(missing)} pieces of code for this machine, once"
            with notebook_bar(total=len(missing), desc=said, delay=PATIENCE, leave=False) as bar:
                for i, (name, shape) in enumerate(missing.items()):
                    compiled = self.load(name)
                    if compiled is None:
                        if not (SAME_DIGITS or self.compiles):
                            print(OTHER_DIGITS, file=sys.stderr)
                        self.compiles = True
                        compiled = self.compile(name, shape)
                        self.save(name, compiled)
                        if bar.disable and time.monotonic() - start > PATIENCE and sys.stderr is not None:
                            self.tell(f"{said}: {i + 1}")
                    found[name] = compiled
                    bar.update()
            if self.told:
                self.tell("")
            self.add(found)
            return [self.addresses[name] for name in names]

    def known(self, names: Sequence[str]) -> list[int] | None:
        """The addresses of the kernels of these names; None if one was never compiled."""
        with LOCK:
            found = {name: self.load(name) for name in names if name not in self.addresses}
            if None in found.values():
                return None
            self.add(found)
            return [self.addresses[name] for name in names]

    def add(self, kernels: dict[str, Any]) -> None:
        """Add compiled kernels, by name."""
        for compiled in kernels.values():
            self.engine.add_object_file(binding.ObjectFileRef.from_data(compiled))
        if kernels:
            self.engine.finalize_object()
        self.addresses |= {name: self.engine.get_function_address(name) for name in kernels}

    def tell(self, text: str) -> None:
        """Show how far compiling is, on a line that is written over; in a file, that it goes on, once."""
        if sys.stderr.isatty():
            wiped = text.ljust(len(self.told))  # a terminal of Windows may know no codes that wipe
            print(f"\r{wiped}", end="" if text else "\r", file=sys.stderr, flush=True)
        elif text and not self.told:
            print(text.partition(":")[0], file=sys.stderr, flush=True)
        self.told = text

    def compile(self, name: str, shape: Any) -> bytes:
        module = ir.Module(name)
        module.triple = binding.get_default_triple()
        shape.emit(module, name)
        parsed = binding.parse_assembly(str(module))
        target = self.targets[BRIEF.get()]
        if not BRIEF.get():
            options = binding.create_pipeline_tuning_options(speed_level=2)
            options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
            builder = binding.create_pass_builder(target, options)
            builder.getModulePassManager().run(parsed, builder)
        return bytes(target.emit_object(parsed))

    def load(self, name: str) -> bytes | None:
        if self.directory is None:
            return None
        try:
            data = (self.directory / name).read_bytes()
        except OSError:
            return None
        body, digest = data[:-32], data[-32:]
        return body if hashlib.sha256(body).digest() == digest else None

    def save(self, name: str, compiled: bytes) -> None:
        if self.directory is None:
            return
        with suppress(OSError), tempfile.NamedTemporaryFile(dir=self.directory, delete=False) as file:
            file.write(compiled + hashlib.sha256(compiled).digest())
            file.close()
            try:
                os.replace(file.name, self.directory / name)
            except OSError:  # on Windows, where another process reads the one that is there
                os.unlink(file.name)


def cache_directory() -> Path | None:
    """Where compiled kernels are kept: MICROGPT_CACHE, or the user's cache directory."""
    given = os.environ.get("MICROGPT_CACHE")
    if given is None and sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif given is None and sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME")
    try:
        directory = Path(given) if given else Path(base or Path.home() / ".cache") / "microgpt"
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except (OSError, RuntimeError):
        print(
            "note: no directory for compiled kernels can be written, so they are compiled in every process; "
            "to keep them, set MICROGPT_CACHE to one that can",
            file=sys.stderr,
        )
        return None
    return directory


def digest(*parts: Any) -> str:
    return "k" + hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def meaning(source: str) -> str:
    """What a file of Python does: its syntax tree without docstrings. No comment and no layout changes it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


@contextmanager
def briefly() -> Iterator[None]:
    """Compile without optimization, in a tenth of the time, what the block runs on few examples."""
    token = BRIEF.set(True)
    try:
        yield
    finally:
        BRIEF.reset(token)


@cache
def _machine() -> Machine:
    return Machine()


def machine() -> Machine:
    """The one of this process: machine code lives as long as the engine that made it."""
    with LOCK:
        return _machine()
