"""The configurations that are measured: the engines tone and espeak, everything else as shipped by default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

#: tone's beeps are long here, so that a short text makes a clip of about 100 kB: 0.4 s a word, at 64 kbit/s; those of
#: light are short and come two seconds at a time, so that it hardly works: a miss is then the gateway's own, with about
#: 100 kB of PCM. Peers were measured with an upstream that gives 100 kB at once; each further piece costs some 10 µs
FILES = {
    "gateway.yaml": "version: 1\ndata_dir: ${VOXGATE_DATA}\n",
    "engines.yaml": """\
version: 1
engines:
  tone: {kind: tone, beep_ms: 300, gap_ms: 100}
  light: {kind: tone, beep_ms: 10, gap_ms: 165, chunk_ms: 2000}
  espeak: {kind: espeak, slots: 2}
""",
    "policies.yaml": """\
version: 1
rules:
  - name: beeps
    use: [tone]
last_resort: espeak
""",
    "voices.yaml": """\
version: 1
default: narrator
voices:
  narrator:
    languages: [zh, en]
    gender: female
    engines:
      tone: tone
      espeak: {zh: cmn-latn-pinyin+f3, en: en-us+f3}
aliases: {alloy: narrator}
""",
}


def write_configuration(directory: Path, files: Mapping[str, str] | None = None) -> Path:
    """Write the files, those given in place of the ones above, and return the directory."""
    directory.mkdir(parents=True)
    for name, content in {**FILES, **(files or {})}.items():
        (directory / name).write_text(content, encoding="utf-8")
    return directory
