"""Options of commands that read recordings of one's own: all of them as one RecordingOptions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.commands.answers import answer
from sast_deploy.commands.options import option, titled

if TYPE_CHECKING:
    from sast_deploy.data.options import RecordingOptions
    from sast_deploy.show.blocks import Out

RECORDING_OPTIONS = (
    "sensor", "crop", "columns", "time_unit", "polarity", "unwrap", "shift_time", "sort", "drop_outside",
    "window_us", "stride_us", "skip_bad",
)  # fmt: skip


def _columns(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Any:
    return None if text is None else tuple(each.strip() for each in text.split(","))


recording_options = tuple(titled("Your recordings", each) for each in (
    option("--sensor", type=int, nargs=2, metavar="H W", help="Its size, where files do not say it."),
    option("--crop", type=int, nargs=4, metavar="TOP LEFT H W", help="This part of the sensor only."),
    option("--columns", callback=_columns, metavar="x,y,t,p",
           help="What columns without names are, in their order; - for one to ignore."),
    option("--time-unit", type=click.Choice(["s", "ms", "us", "ns"]), help="Where files do not say it."),
    option("--polarity", type=click.Choice(["binary", "signed"]), help="0 and 1 (default), or -1 and 1."),
    option("--unwrap", type=int, metavar="BITS", help="Of a time counter that starts again when full."),
    option("--shift-time", is_flag=True, help="Count from the earliest event: for times before 0."),
    option("--sort", is_flag=True, help="By time, where events are not."),
    option("--drop-outside", is_flag=True, help="Leave out events beyond the sensor."),
    option("--window-us", type=int, metavar="US", help="Cut recordings into windows so long."),
    option("--stride-us", type=int, metavar="US", help="From window to window; default: --window-us."),
    option("--skip-bad", is_flag=True, help="Leave out, and count, recordings that cannot be used."),
))  # fmt: skip


def recordings_of(values: dict[str, Any]) -> RecordingOptions | None:
    """These options, taken out of a command's values; None where none was given."""
    from sast_deploy.data.options import RecordingOptions

    given = given_of(values)
    return RecordingOptions(**given) if given else None


def given_of(values: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that were given, taken out of a command's values."""
    own = {name: values.pop(name) for name in RECORDING_OPTIONS}
    return {name: value for name, value in own.items() if value is not None and value is not False}


def recording_table(files: Iterable[Path], options: RecordingOptions | None, out: Out) -> None:
    """Print what each recording is and what is odd about it. Raises DataError; skip_bad: says it instead."""
    from sast_deploy.base.errors import DataError
    from sast_deploy.data.readers.recording import look_at
    from sast_deploy.show.blocks import Table

    rows, said, facts = [], [], []
    for path in files:
        try:
            found = look_at(path, options)
        except DataError as error:
            if options is None or not options.skip_bad:
                raise
            said.append(f"skipped: {error}")
            facts.append({"file": path, "error": str(error)})
            continue
        sensor = "?" if found.sensor is None else "{} x {}".format(*found.sensor)
        seconds = f"{(found.last_us - found.first_us) / 1e6:.6g}"
        events, off, on = (f"{each:,}" for each in (found.events, found.off, found.on))
        rows.append((path.name, found.format, events, sensor, seconds, off, on))
        facts.append({"file": path, "error": None, **asdict(found)})
        said += [f"{path.name}: {note}" for note in found.notes]
        said += [f"{path.name}: ODD: {what}" for what in found.odd]
    columns = ("file", "format", "events", "sensor H x W", "seconds", "OFF", "ON")
    out.print(Table("", columns, tuple(rows), left=2), *said)
    answer({"recordings": facts})
