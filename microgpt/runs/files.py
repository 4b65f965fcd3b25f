"""Files that are whole or not there, and directories that one program at a time writes to.

`write_file` is what every file of a run goes through, `lock` what keeps a second run out, and `read_json` and
`read_bytes` take a file for hostile until it has shown that it is not.
"""

import errno
import json
import os
import re
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from filelock import FileLock, Timeout

from microgpt.errors import InputError

LARGEST_JSON = 4_000_000  # bytes; every character of Unicode would make a vocabulary of about as many
LOCK = ".lock"


class InUseError(InputError):
    """Another process writes to the directory."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, see it onto the disk, and only then give it its own name.

    Whenever the program or the machine stops, the name has all of its earlier content or all of the new one.
    Raises OSError, naming the file, if it cannot be written; then the earlier one is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()  # what a killed process has left
        with temporary.open("xb") as file:  # a new file: it never writes through a link
            file.write(content)
            file.flush()
            sync(file.fileno())
        replace(temporary, path)
        _sync_directory(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):  # a full disk does not say which file it had no room for
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def check_place(option: str, place: str, usual: str) -> None:
    """Raise InputError, naming the option, where no file can be written; `usual` is a name that could be.

    A program asks this before its work. Afterwards it opens the place itself, as `Path.write_bytes` does: what the
    user names may be a link, a pipe or a device, which `write_file` would replace.
    """
    path = Path(place)
    if path.is_dir():
        raise InputError(f"--{option} is {path}, a directory: give the name of a file, such as {path / usual}")
    if not path.parent.is_dir():
        raise InputError(
            f"cannot write --{option} {path}: there is no directory {path.parent}; make it, or give another"
        )


def sync(descriptor: int) -> None:
    """Wait until the disk has what was written. On macOS fsync leaves it in the drive's own cache: ask for more."""
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):  # a network drive may not know this request
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    """Wait until the disk knows the names in a directory. Windows has no such call and orders renames itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems do not sync directories
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(source: Path, target: Path, patience: float = 2.0) -> None:
    """Rename a file over another one. On Windows this has to wait while another program reads the other one."""
    give_up = time.monotonic() + patience
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def lock(directory: Path) -> FileLock | None:
    """Keep other runs out of a directory until the lock is released or this process is gone, however it goes.

    Raises InUseError if another run has it, and InputError if the directory cannot be written. Where a file system
    knows no locks, says so and returns None.
    """
    held = FileLock(directory / LOCK, blocking=False, thread_local=False)
    try:
        held.acquire()
    except Timeout:
        raise InUseError(f"another run is writing to {directory}: wait for its end, or take another --out") from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(f"cannot write to {directory}: {error.strerror}") from None
        print(f"note: cannot lock {directory} ({error}): see to it that no other run writes there", file=sys.stderr)
        return None
    return held


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a file. Raises InputError if there is none or if it is larger than it has reason to be."""
    try:
        if path.exists() and not path.is_file():  # a pipe would keep us waiting
            raise InputError(f"{path} is not a file")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > largest:
        raise InputError(f"{path} is damaged: it has more than {largest:,} bytes")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises InputError if there is none."""
    return parse_json(read_bytes(path, LARGEST_JSON), str(path))


def parse_json(content: bytes | str, name: str) -> dict[str, Any]:
    """The object that some JSON describes; `name` is what the errors call it."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is damaged: not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise InputError(f"{name} is damaged: expected a JSON object, found {type(parsed).__name__}")
    return parsed


def to_json(content: dict[str, Any]) -> bytes:
    """An object as a JSON file for people to read."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def quoted(path: PurePath) -> str:
    """A path for a command that is printed to be copied: cmd.exe, PowerShell and Unix shells all read it as it is.

    It has forward slashes and, where it needs them, double quotes. What a shell changes even between those goes
    between single quotes, which cmd.exe alone does not know.
    """
    text = path.as_posix()
    if text.startswith(("-", "~")):  # no option, and nobody's home
        text = f"./{text}"
    if re.fullmatch(r"[\w./:+-]+", text):
        return text
    return f'"{text}"' if not set(text) & set('"\\$`!') else shlex.quote(text)
