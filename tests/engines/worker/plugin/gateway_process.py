"""Another gateway: a process that attaches to the worker of a spec, and speaks one line for each line it reads.

python gateway_process.py SPEC.json      prints `attached PID`, then `spoken CHUNKS` or `error CODE` for each text
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from engines.contract import EngineInfo, SpeechRequest
from engines.errors import SpeechError
from engines.worker.client import WorkerEngine, WorkerSpec


async def main() -> None:
    fields = json.loads(Path(sys.argv[1]).read_text())
    fields |= {name: Path(fields[name]) for name in ("run_dir", "data_dir")}
    engine = WorkerEngine(WorkerSpec(**fields), EngineInfo())
    await engine.start()
    print("attached", engine.pid, flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        try:
            chunks = [chunk async for chunk in engine.synthesize(SpeechRequest(line, "en"))]
            print("spoken", len(chunks), flush=True)
        except SpeechError as error:
            print("error", error.code, flush=True)
    await engine.close()


asyncio.run(main())
