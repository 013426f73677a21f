"""One answer from several gateway processes: each writes its values into a file, and whoever is asked adds them up.

Not prometheus_client's own files (PROMETHEUS_MULTIPROC_DIR): those are mapped into memory, so that a full disk kills
the process with SIGBUS, and they make each clip from the cache twice as dear as it is here. A process that is killed
takes at most the last second of its counting with it. Knows nothing about what is measured.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

#: the environment variable by which the processes of one gateway know their folder
VARIABLE = "VOXGATE_METRICS"


class Sample(NamedTuple):
    """One line of an answer."""

    name: str
    labels: Mapping[str, str]
    value: float


class Part(NamedTuple):
    """The samples of one process, how old they are (seconds), and whether it still lives."""

    samples: list[Sample]
    age_s: float = 0.0
    lives: bool = True


_decode = msgspec.json.Decoder(list[Sample]).decode


@contextmanager
def shared_folder(run_dir: Path) -> Iterator[Path]:
    """A new folder for the processes that are started meanwhile; removed at the end.

    Those that gateways left behind which were killed are removed first: a lock tells who lives, since the number of a
    process may be another one's by now. Raises OSError when `run_dir` cannot be written.
    """
    with _locked(run_dir / "metrics.lock", fcntl.LOCK_EX):
        for old in run_dir.glob("metrics-*"):
            if _free(old / "owner"):
                shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="metrics-", dir=run_dir))
        owner = os.open(folder / "owner", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(owner)


class Siblings:
    """The processes whose files are in `folder`, this one among them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ours = folder / f"{os.getpid()}.json"

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Siblings | None:
        """None in a gateway of one process."""
        folder = environ.get(VARIABLE)
        return cls(Path(folder)) if folder else None

    def write(self, samples: Iterable[Sample]) -> None:
        """Our own values, whole: nobody reads half of them. Raises OSError."""
        _replace(self._ours, samples)

    def read(self) -> list[Part]:
        """What the other processes wrote, also those that have ended. Raises OSError."""
        with _locked(self._folder / "lock", fcntl.LOCK_SH):
            return [part for _, part in self._others()]

    def bury(self, total: Iterable[str]) -> None:
        """Make one file of those of processes that have ended, of the samples whose names are in `total`, summed.

        Each process that is started for another one would leave a file for ever. Raises OSError.
        """
        names, sums = set(total), dict[tuple[str, tuple[tuple[str, str], ...]], float]()
        with _locked(self._folder / "lock", fcntl.LOCK_EX):
            dead = [(file, part) for file, part in self._others() if not part.lives]
            for sample in (sample for _, part in dead for sample in part.samples if sample.name in names):
                place = sample.name, tuple(sample.labels.items())
                sums[place] = sums.get(place, 0.0) + sample.value
            if dead:
                grave = self._folder / "0.json"
                _replace(grave, (Sample(name, dict(labels), value) for (name, labels), value in sums.items()))
                for file in (file for file, _ in dead if file != grave):
                    file.unlink()

    def _others(self) -> Iterator[tuple[Path, Part]]:
        for file in self._folder.glob("*.json"):
            if file != self._ours:
                age_s = time.time() - file.stat().st_mtime
                yield file, Part(_decode(file.read_bytes()), age_s, _lives(int(file.stem)))


def _replace(file: Path, samples: Iterable[Sample]) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(list(samples)))
    os.replace(new, file)


def _lives(process: int) -> bool:
    if process == 0:  # of no process: this is where the dead are summed up
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _free(path: Path) -> bool:
    """Does nobody hold the lock."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
    return True
