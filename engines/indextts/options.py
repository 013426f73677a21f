"""What may be said of kind `indextts` in engines.yaml. Knows nothing about models, and loads none."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.contract import Options

#: what of the options the listener cannot hear: everything else is part of a clip's key
_UNHEARD = frozenset({"bundle", "threads", "rows", "ahead_s"})


class IndexTtsOptions(Options):
    """Options of kind `indextts` in engines.yaml. The precision of the weights is the bundle's: it is chosen when the
    bundle is exported."""

    bundle: Annotated[str, Field(min_length=1, description="name of the bundle under `models/` in `data_dir`")] = (
        "indextts2"
    )
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="cores that one worker computes on; `auto`: all that it may use, or `OMP_NUM_THREADS`"
    )
    provider: Literal["onnxruntime", "openvino"] = Field(
        "onnxruntime", description="what runs estimator and vocoder; `openvino` needs the extra of that name"
    )
    kv: Literal["fp32", "int8"] = Field(
        "fp32", description="how the decoder's keys and values are kept; `int8` is a quarter of the memory"
    )
    # 25 is the release's own. Others found the recognised words of 10 steps to be those of 25; each step costs as much.
    steps: Annotated[int, Field(ge=1, le=100, description="of the flow-matching solver; the release takes 25")] = 10
    cfg: Annotated[
        float, Field(ge=0, le=5, description="strength of the solver's guidance; 0: none, half the work")
    ] = 0.7
    cfg_until: Annotated[
        float, Field(ge=0, le=1, description="part of the steps that are guided, from the first on; the release's is 1")
    ] = 1.0
    # Each step goes over the prompt too, with every piece: 3 s of it and a first piece of 0.8 s are 330 frames, 6 s of
    # it 590. Who speaks is told by other ways as well, of the whole recording.
    prompt_s: Annotated[
        float,
        Field(
            ge=0,
            description="seconds that the solver goes on from: the last ones of the voice's recording, and of the "
            "piece before; 0: all",
        ),
    ] = 3.0
    temperature: Annotated[float, Field(ge=0, le=5, description="of sampling; 0: the likeliest code always")] = 0.8
    top_k: Annotated[int, Field(ge=0, description="codes that sampling chooses among; 0: all")] = 30
    top_p: Annotated[float, Field(gt=0, le=1, description="their probability together")] = 0.8
    repetition_penalty: Annotated[float, Field(gt=0, description="on codes that were said before; 1: none")] = 10.0
    # The release searches with 3; each beam is a row of its own in the decoder's batch.
    beams: Annotated[int, Field(ge=1, le=8, description="of the search; the release takes 3, at twice the time")] = 1
    seed: Annotated[int, Field(description="of requests that bring none: equal text then sounds equal")] = 0
    max_codes: Annotated[
        int, Field(ge=1, description="semantic codes of one segment at most, 50 to a second of speech")
    ] = 1500
    unfinished: Literal["fail", "keep"] = Field(
        "fail",
        description="a segment that has so many codes and no end: `fail` says it once more in shorter parts while it "
        "was not heard, and then fails, so that no cut speech passes for a whole one; `keep` speaks what there is, as "
        "the release does",
    )
    max_segment_tokens: Annotated[
        int, Field(ge=1, description="text tokens that are spoken in one go; the release's limit is 120")
    ] = 120
    first_segment_tokens: Annotated[
        int,
        Field(ge=0, description="about so many tokens make the first segment, so that sound starts early; 0: as all"),
    ] = 20
    stream_codes: Annotated[
        int,
        Field(
            ge=0,
            description="codes after which the first audio of a request is made, the next piece being nine times as "
            "long; 0: segments are made whole, which takes less time altogether",
        ),
    ] = 40
    rows: Annotated[int, Field(ge=1, le=64, description="segments that are decoded as one batch")] = 4
    ahead_s: Annotated[
        float, Field(gt=0, description="seconds of audio that may be made before the listener takes them")
    ] = 30.0

    def heard(self) -> str:
        """All that changes what is heard, as part of the engine's version."""
        return self.model_dump_json(exclude=set(_UNHEARD))
