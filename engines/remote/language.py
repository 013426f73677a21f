"""Codes of languages where options name them. Knows which could be one, and no language."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

#: as ISO 639 has them
_BASE_CODE = re.compile(r"[a-z]{2,3}")


def _a_base_code(code: str) -> str:
    if not _BASE_CODE.fullmatch(code):
        raise ValueError(f"{code!r} is no base code of a language: write zh, en, yue, …")
    return code


BaseCode = Annotated[str, AfterValidator(_a_base_code)]
