"""Atomic writes, a lock for a directory, and careful reads.

All files of a run are written by `write_file`, and `lock` keeps a second run out. `read_json` and `read_bytes` trust no
file. `quoted` prints paths for a shell.
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
from typing import TYPE_CHECKING, Any

from microgpt.errors import InputError

if TYPE_CHECKING:
    from filelock import FileLock

LARGEST_JSON = 4_000_000  # bytes; every character of Unicode would make a vocabulary of about as many
LOCK = ".lock"


class InUseError(InputError):
    """Another process writes to the directory."""


def write_file(path: Path, content: bytes | list[Any]) -> None:
    """Write a file, of which a list has the parts, under a temporary name, wait until it is on the disk, and rename it.

    If the program or the machine stops, the name has either all of the old content or all of the new. Raises OSError,
    naming the file, if it cannot be written; then the old content is unchanged.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()  # what a killed process has left
        with temporary.open("xb") as file:  # a new file: it never writes through a link
            for part in [content] if isinstance(content, bytes) else content:
                file.write(part)
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
    """Raise InputError, naming the option, if no file can be written at a place; `usual` is a possible name.

    A program calls this before its work. Afterwards it opens the place by `Path.write_bytes`, because `write_file`
    would replace a link, a pipe or a device.
    """
    path = Path(place)
    if path.is_dir():
        raise InputError(f"--{option} is {path}, a directory: give the name of a file, such as {path / usual}")
    if not path.parent.is_dir():
        raise InputError(
            f"cannot write --{option} {path}: there is no directory {path.parent}; make it, or choose another"
        )


def sync(descriptor: int) -> None:
    """Wait until written data are on the disk. On macOS fsync stops at the drive's cache, so it has another call."""
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):  # a network drive may not know this request
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    """Wait until the names in a directory are on the disk. Windows has no such call and orders renames itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems do not sync directories
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(source: Path, target: Path, patience: float = 2.0) -> None:
    """Rename a file over another one. On Windows, wait while another program reads the other one."""
    give_up = time.monotonic() + patience
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError as error:
            if sys.platform != "win32":
                raise
            if time.monotonic() > give_up:
                raise PermissionError(error.errno, "another program has it open, or it is read-only") from None
            time.sleep(0.05)


def lock(directory: Path) -> "FileLock | None":
    """Keep other runs out of a directory until the lock is released or this process ends, in any way.

    Raises InUseError if another run has it, and InputError if the directory is not writable. If the file system has no
    locks, prints a note and returns None.
    """
    from filelock import FileLock, Timeout  # only now, because who only reads a run needs none

    held = FileLock(directory / LOCK, blocking=False, thread_local=False)
    try:
        held.acquire()
    except Timeout:
        raise InUseError(
            f"another run is writing to {directory}: wait until it ends, or choose another --out"
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(f"cannot write to {directory}: {error.strerror}") from None
        print(f"note: cannot lock {directory} ({error}): make sure that no other run writes there", file=sys.stderr)
        return None
    return held


def read_bytes(path: Path, largest: int) -> bytes:
    """Return the content of a file. Raises InputError if it is missing, or larger than `largest`."""
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
    """Return the object in a JSON file. Raises InputError if there is none."""
    return parse_json(read_bytes(path, LARGEST_JSON), str(path))


def parse_json(content: bytes | str, name: str) -> dict[str, Any]:
    """Return the object in some JSON. Errors call it `name`."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is damaged: not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise InputError(f"{name} is damaged: expected a JSON object, found {type(parsed).__name__}")
    return parsed


def to_json(content: dict[str, Any]) -> bytes:
    """Return an object as readable JSON."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def quoted(path: PurePath) -> str:
    """Return a path as cmd.exe, PowerShell and Unix shells all read it, for a command to copy.

    It has forward slashes and, where needed, double quotes. Characters that a shell changes even there need single
    quotes, which cmd.exe does not know.
    """
    text = path.as_posix()
    if text.startswith(("-", "~")):  # no option, and nobody's home
        text = f"./{text}"
    if re.fullmatch(r"[\w./:+-]+", text):
        return text
    return f'"{text}"' if not set(text) & set('"\\$`!') else shlex.quote(text)
