"""The options of the verbs about schedules (see `cli_arguments`)."""

from __future__ import annotations

import argparse

from clockmesh.daemon.cli_values import instant, jitter, schedule_name, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def schedule_add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the workflow; with --remote, its path in that repository")
    parser.add_argument("--name", help="what it is called (default: the file's name without its ending)")
    parser.add_argument("--catch-up", choices=("skip", "last", "all"), default="last",
                        help="of ticks missed while all peers were away (default: last)")
    parser.add_argument("--overlap", choices=("allow", "skip", "buffer", "cancel"), default="skip",
                        help="of a tick due while an earlier one runs (default: skip)")
    parser.add_argument("--jitter", type=jitter, default=0, metavar="TIME",
                        help="spread the ticks over so long after they are due (default: 0)")
    parser.add_argument("--pause-after", type=whole, default=0, metavar="N",
                        help="pause after N failed ticks in a row (default: never)")


def _schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("schedule", metavar="SCHEDULE", type=schedule_name,
                        help="its name, or the first digits of its id (4 or more)")


def _schedule_rescue(parser: argparse.ArgumentParser) -> None:
    _schedule(parser)
    parser.add_argument("--abandon", action="store_true",
                        help="although who is away may still be running ticks of it: a person must know that")


def _schedule_backfill(parser: argparse.ArgumentParser) -> None:
    _schedule(parser)
    parser.add_argument("--since", type=instant, metavar="TIME",
                        help="from when on they were due: 6h (ago), 2026-01-31, 2026-01-31T06:00 (UTC, or with an "
                             "offset: 2026-01-31T06:00+01:00; default: a week ago)")
    parser.add_argument("--until", type=instant, metavar="TIME", help="up to when (default: now)")


SCHEDULE_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "schedule_trigger": _schedule,
    "schedule_backfill": _schedule_backfill,
    "schedule_pause": _schedule,
    "schedule_resume": _schedule,
    "schedule_remove": _schedule,
    "schedule_rescue": _schedule_rescue,
}
"""Of all but `schedule add`, which has those of `run submit` too."""
