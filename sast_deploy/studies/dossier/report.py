"""`sast.report`: one network, or several side by side, as facts and as a page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy.typing as npt

from sast_deploy import api
from sast_deploy.base import rules
from sast_deploy.base.errors import UsageError
from sast_deploy.base.files import file_digest, write_text
from sast_deploy.base.outputs import PAGE, Origin, check_output
from sast_deploy.base.plain import plain
from sast_deploy.data.request import DataRequest
from sast_deploy.program.profile import load_profile
from sast_deploy.proofs.chips import CHIPS
from sast_deploy.reports.costs.cost import chosen_table
from sast_deploy.reports.dossier import Dossier, NetworkFacts
from sast_deploy.show.page.render import render
from sast_deploy.studies.dossier.choice import choose
from sast_deploy.studies.dossier.gather import Wanted, gather
from sast_deploy.studies.dossier.sources import Source, source_of

MOST = 12  # networks on one page
_RULES: dict[str, rules.Rule] = {
    "data": rules.Maybe(rules.Instance((DataRequest,))), "samples": rules.Maybe(rules.COUNT),
    "traced": rules.Items(rules.COUNT, 0, 24), "profile": rules.Text(blank=False), "seed": rules.SEED,
    "name": rules.Text(blank=False), "chip": rules.Choice(tuple(CHIPS)),
    "table": rules.Maybe(rules.Instance((str, PathLike))),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Page:
    """A dossier, and what it was made from: its page is the same bytes whenever it is made again.

    >>> sast.report(sast.compile(trained), frames=data.test.frames).dossier.networks[0].samples
    30
    """

    dossier: Dossier
    made: Origin
    inputs: tuple[Path, ...] = ()

    @cached_property
    def html(self) -> str:
        """One document that loads nothing."""
        return render(self.dossier, self.made)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without pixels and membranes."""
        found: dict[str, Any] = plain(self.dossier.to_dict())
        return found

    def save(self, path: api.File, *, overwrite: bool = False) -> Path:
        """Write the page, whole or not at all; its path. Raises OutputError."""
        path = Path(path)
        check_output(path, PAGE, self.made, inputs=self.inputs, overwrite=overwrite, option="path")
        write_text(path, self.html)
        return path


def report(
    *networks: api.Net | api.File,
    frames: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    name: str = "frames",
    data: DataRequest | None = None,
    samples: int | None = None,
    traced: Collection[int] = (),
    profile: str = "loihi-int4",
    seed: int = 0,
    chip: str = "loihi1",
    table: api.File | None = None,
) -> Page:
    """All that decides whether a network goes on the chip, or which of several.

    networks: a Net, a .net file, a checkpoint or what `import` wrote, which are compiled for `profile`; the
    folder of a run; the report.json of a simulation. frames, labels: as `simulate` takes them, called `name`;
    else each network's own test split, or other `data`; of either `samples`, evenly spread. traced: whose
    spikes and membranes are drawn, by their numbers among those; default: right and wrong ones. seed: of
    dropped events and noise. chip, table: as in `cost`.

    Raises UsageError: nothing to report on, or too much; and as `load`, `compile`, `simulate`, `verify`.

    >>> page = sast.report(sast.compile(trained), frames=data.test.frames, labels=data.test.labels)
    >>> page.save("report.html").stat().st_size < 1_500_000
    True
    """
    given = {"data": data, "samples": samples, "traced": list(traced), "profile": profile, "seed": seed,
             "name": name, "chip": chip, "table": table}  # fmt: skip
    for key, value in given.items():
        rules.refuse(_RULES[key].problems(value, key), None, UsageError)
    if frames is not None and data is not None:
        raise UsageError("frames and a data set", expected="one of them")
    wanted = Wanted(
        frames=frames, labels=labels, name=name, samples=samples, traced=list(traced), profile=profile,
        seed=seed, chip=chip, table=None if table is None else str(table),
    )  # fmt: skip
    sources = prepared(networks, data or DataRequest(), wanted)
    return make(sources, wanted, origin(sources, wanted))


def prepared(networks: Sequence[api.Net | api.File], data: DataRequest, wanted: Wanted) -> list[Source]:
    """What was named, found out and refused before any work. Raises as `report`."""
    if not 1 <= len(networks) <= MOST:
        raise UsageError(f"{len(networks)} networks", expected=f"1 to {MOST}")
    if len(networks) > 1 and wanted.traced:
        raise UsageError("traced with several networks, of which no sample is drawn", todo="leave it out")
    chosen_table(wanted.table, wanted.chip)
    sources = [source_of(each, data) for each in networks]
    if not all(each.compiled for each in sources):
        load_profile(wanted.profile)
    return sources


def origin(sources: Sequence[Source], wanted: Wanted, own: str | None = None) -> dict[str, Any]:
    """What a page depends on. own: digest of frames of one's own."""
    digests = [
        each.net.program.digest() if each.net is not None else file_digest(each.checkpoint or Path())
        for each in sources
    ]
    split = {} if wanted.frames is not None or own else sources[0].data.identity(None)
    return {
        "networks": digests, **split, "input": own, "samples": wanted.samples or "all",
        "traced": list(wanted.traced) or "chosen", "profile": wanted.profile, "seed": wanted.seed,
        "chip": wanted.chip, "table": wanted.table or "the chip's",
    }  # fmt: skip


def make(sources: Sequence[Source], wanted: Wanted, made: Origin) -> Page:
    """The page of these; several are held against each other."""
    wanted = replace(wanted, whole=len(sources) == 1)
    found = _told_apart([gather(each, wanted) for each in sources])
    choice = choose(found) if len(found) > 1 else None
    inputs = tuple(path for each in sources for path in each.files)
    return Page(Dossier(tuple(found), choice), made, inputs)


def _told_apart(networks: list[NetworkFacts]) -> list[NetworkFacts]:
    """With names that differ: of networks of one name, the files they came from."""
    names = [each.name for each in networks]
    return [
        replace(each, name=f"{each.name} ({Path(each.source).stem}, {number + 1})")
        if names.count(each.name) > 1 else each
        for number, each in enumerate(networks)
    ]  # fmt: skip
