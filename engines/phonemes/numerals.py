"""Numbers in a Mandarin text, written as they are said: 3.5% as 百分之三点五. For voices that know syllables only.

Knows numbers, dates, times, percentages and amounts of money; nothing about what else a text may need.
"""

from __future__ import annotations

import re
from typing import Final

_DIGITS: Final = "零一二三四五六七八九"
_PLACES: Final = ("千", "百", "十", "")
_GROUPS: Final = ("", "万", "亿", "万亿")
_CURRENCIES: Final = {"$": "美元", "¥": "元", "￥": "元", "€": "欧元", "£": "英镑"}
#: a number of more digits, or one that begins with zero, is a telephone's or a card's: said digit by digit
_MOST_DIGITS = 10
#: before these, 2 is 两
_COUNTED = "个位次天件条张本只种名点倍块岁"

_NUMBER = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_DATE = re.compile(r"(?<!\d)(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)")
_TIME = re.compile(r"(?<!\d)(\d{1,2})[:：](\d{2})(?:[:：](\d{2}))?(?!\d)")
_YEAR = re.compile(r"(?<!\d)(\d{4})(?=年)")
_MONEY = re.compile(rf"([$¥￥€£])\s?({_NUMBER})")
_PERCENT = re.compile(rf"({_NUMBER})\s?[%％]")
_TWO = re.compile(rf"(?<![\d.])2(?=[{_COUNTED}])")
_BELOW_ZERO = re.compile(r"(?<![\w)])[-−](?=\d)")
_ANY = re.compile(_NUMBER)


def say_numbers(text: str) -> str:
    """The text without digits."""
    text = text.translate({ord("０") + value: str(value) for value in range(10)})
    text = _DATE.sub(lambda found: f"{_one_by_one(found[1])}年{_whole(found[2])}月{_whole(found[3])}日", text)
    text = _TIME.sub(_time, text)
    text = _YEAR.sub(lambda found: _one_by_one(found[1]), text)
    text = _MONEY.sub(lambda found: say(found[2]) + _CURRENCIES[found[1]], text)
    text = _BELOW_ZERO.sub("负", text)
    text = _PERCENT.sub(lambda found: "百分之" + say(found[1]), text)
    text = _TWO.sub("两", text)
    return _ANY.sub(lambda found: say(found[0]), text)


def say(number: str) -> str:
    """A number in digits, such as `1,234.5`, in words."""
    whole, point, fraction = number.replace(",", "").partition(".")
    return _whole(whole) + (f"点{_one_by_one(fraction)}" if point else "")


def _time(found: re.Match[str]) -> str:
    hour, minute, second = found[1], found[2], found[3]
    said = ("两" if int(hour) == 2 else _whole(str(int(hour)))) + "点"
    if int(minute) or second:
        said += _minutes(minute) + "分"
    return said + (_minutes(second) + "秒" if second else "")


def _minutes(two: str) -> str:
    return _DIGITS[0] + _DIGITS[int(two)] if 0 < int(two) < 10 else _whole(str(int(two)))


def _one_by_one(digits: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in digits)


def _whole(digits: str) -> str:
    if len(digits) > _MOST_DIGITS or (len(digits) > 2 and digits[0] == "0"):
        return _one_by_one(digits)
    value = int(digits)
    if value == 0:
        return _DIGITS[0]
    groups: list[int] = []
    while value:
        value, group = divmod(value, 10_000)
        groups.append(group)
    said = ""
    for place in reversed(range(len(groups))):
        group = groups[place]
        if not group:
            continue
        below = place + 1 < len(groups) and (group < 1000 or not groups[place + 1])
        said += (_DIGITS[0] if said and below else "") + _group(group) + _GROUPS[place]
    return said[1:] if said.startswith("一十") else said


def _group(value: int) -> str:
    """1 to 9999."""
    said, skipped = "", False
    for place, digit in zip(_PLACES, f"{value:04}", strict=True):
        if digit == "0":
            skipped = bool(said)
            continue
        said += (_DIGITS[0] if skipped else "") + _DIGITS[int(digit)] + place
        skipped = False
    return said
