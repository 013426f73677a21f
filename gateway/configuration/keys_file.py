"""Changes keys.yaml, and never leaves it half written: what people wrote into it stays, comments too.

Knows nothing about what a key may. The change is seen by running gateways, which watch the file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from gateway.configuration.keys import KeysFile, type_keys
from gateway.configuration.problems import ConfigError
from gateway.configuration.yaml import read_document, read_source

_NEW = b"""# yaml-language-server: $schema=schema/keys.json
#
# API keys, as hashes: written by `voxgate keys`, read again by running gateways when it changes.
version: 1
"""


def read_keys(file: Path, environ: Mapping[str, str]) -> KeysFile:
    """The keys in a file that may be absent. Raises ConfigError with every problem of it."""
    return _typed(_read(file), file, environ)


def change_keys(file: Path, environ: Mapping[str, str], change: Callable[[CommentedMap, KeysFile], None]) -> None:
    """Let `change` have the entries under `keys`, as they are written and as they are meant, and write what it made.

    One change after the other, however many run at once. Raises ConfigError when the file is wrong before or after,
    and OSError, with advice, when it cannot be written. Whatever `change` raises leaves the file as it was.
    """
    file = file.resolve()  # a link stays one, and its target is replaced
    with _alone(file.parent):
        written = _read(file)
        meant = _typed(written, file, environ)
        yaml = YAML()
        yaml.preserve_quotes = True
        yaml.width = 4096  # no line is broken that a person did not break
        whole = yaml.load(written)
        if not whole.get("keys"):
            whole["keys"] = CommentedMap()  # `keys: {}` would be gone on in braces
        change(whole["keys"], meant)
        made = BytesIO()
        yaml.dump(whole, made)
        _typed(made.getvalue(), file, environ)
        _replace(file, made.getvalue())


def entry(fields: Mapping[str, Any]) -> CommentedMap:
    """A key's entry as it is written: a line for each field, short lists and mappings in one."""
    made = CommentedMap()
    for name, value in fields.items():
        if isinstance(value, Mapping):
            value = CommentedMap(value)
            value.fa.set_flow_style()
        elif isinstance(value, list | tuple):
            value = CommentedSeq(value)
            value.fa.set_flow_style()
        made[name] = value
    return made


def _read(file: Path) -> bytes:
    source = read_source(file, _NEW)
    if isinstance(source, str):
        raise OSError(errno.EIO, source, str(file))
    return source


def _typed(written: bytes, file: Path, environ: Mapping[str, str]) -> KeysFile:
    document = read_document(file, environ, written)
    typed = type_keys(document)
    if typed is None:
        raise ConfigError(document.problems)
    return typed


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until nobody else changes a file of the directory so. The lock is the directory's own: no file is left."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(file: Path, content: bytes) -> None:
    """Write the file whole or not at all, for its owner alone, or for whom it was readable before."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise _unwritable(error, file.parent) from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            _look_like(file, stream.fileno())
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        raise _unwritable(error, file) from None
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _look_like(file: Path, handle: int) -> None:
    """Owner, group and mode of the file that will be replaced: the gateway, often another user, must still read it."""
    with suppress(FileNotFoundError):
        before, now = file.stat(), os.fstat(handle)
        if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
            os.fchown(handle, before.st_uid, before.st_gid)
        os.fchmod(handle, before.st_mode & 0o777)


def _unwritable(error: OSError, path: Path) -> OSError:
    advice = f"{error.strerror}: keys are kept in a directory of your own: `voxgate init DIR`, then --config DIR"
    if error.errno == errno.EPERM:  # of chown alone
        advice = "belongs to somebody else, who must still be able to read it: run this as its owner, or as root"
    return OSError(error.errno, advice, str(path))
