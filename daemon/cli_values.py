"""What the text of an option means: each function gives its value, or argparse's error in one line."""

from __future__ import annotations

import argparse
import math
import re

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return number


def whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def slots(text: str) -> int:
    if (number := whole(text)) > 256:
        raise argparse.ArgumentTypeError(f"{text} is more than 256")
    return number


def seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhd]?)", text)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 30m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2]]


def instant(text: str) -> int:
    """A time in ms since 1970: an age (`6h`: ago) or ISO 8601, in UTC where it names no offset."""
    if re.fullmatch(r"[0-9.]+\s*[smhd]", text):
        import time

        return round((time.time() - seconds(text)) * 1000)
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 6h (ago), 2026-01-31 or 2026-01-31T06:00") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def jitter(text: str) -> int:
    return 0 if re.fullmatch("0+[smh]?", text) else math.ceil(seconds(text))


def schedule_name(text: str) -> str:
    if not text.strip() or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no schedule's name or id")
    return text.strip()


def secret_name(text: str) -> str:
    """Nothing of it is repeated: it may be `NAME=value`."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", text) or text.upper().startswith("GITHUB_"):
        raise argparse.ArgumentTypeError("a secret's name is of letters, digits and _, begins with no digit and "
                                         "not with GITHUB_; its value comes on standard input or with --file F")
    return text.upper()


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key.strip(), value


def run_id(text: str) -> str:
    if not text.strip() or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a run's id")
    return text.strip().lower()
