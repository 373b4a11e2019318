"""What a dossier is asked of: a .net file, a trained network, the folder of a run, a simulation's report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sast_deploy import api
from sast_deploy.base.errors import UsageError
from sast_deploy.base.files import file_digest
from sast_deploy.base.outputs import LONGEST
from sast_deploy.base.reading.documents import read_json
from sast_deploy.base.reading.files import CHECKPOINT, FLOAT, Expected, identify
from sast_deploy.data.request import DataRequest
from sast_deploy.netx.foreign.stocknet import StockNet
from sast_deploy.studies.trained import Trained, trained_of

IN_FOLDER = ("ckpt.pt", "report.json")  # of a run
_ANY = Expected("a .net file, a checkpoint, the folder of a run or a report of `simulate`", UsageError)
_REPORT = Expected("a report that `sast-deploy simulate` wrote", UsageError)


@dataclass(frozen=True, eq=False)
class Source:
    """A network to be judged.

    path: as it was named; None of a Net that was never saved. net: None until a trained network is compiled.
    trained: what it was compiled from, where that is there, unaltered; checkpoint: its file. data: where its
    samples come from. notes: what of it could not be had.
    """

    name: str
    path: Path | None
    net: api.Net | None
    trained: Trained | None
    checkpoint: Path | None
    data: DataRequest
    notes: tuple[str, ...] = ()

    @property
    def compiled(self) -> bool:
        """Whether it has its integers, so that no profile is needed."""
        return self.net is not None

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read for it."""
        found = (self.path, None if self.net is None else self.net.path, self.checkpoint)
        return tuple(dict.fromkeys(each for each in found if each is not None and each.is_file()))


def source_of(given: api.Net | api.File, data: DataRequest) -> Source:
    """Find out what was named, before any work.

    data: which samples, where not the network's own. Raises UsageError: a folder without a checkpoint or a
    report, a stock NetX file, a report of frames of somebody's own; and as the readers of each.
    """
    if isinstance(given, api.Net):
        return _of_net(given, given.path, data)
    path = Path(given)
    if path.is_dir():
        path = _in_folder(path)
    kind = identify(path, _ANY)
    if kind in (CHECKPOINT, FLOAT):
        trained = api.load_trained(path)
        return Source(trained.name, path, None, trained, path, data)
    return _of_report(path, data) if kind == "a text" else _of_net(api.load(path), path, data)


def _in_folder(folder: Path) -> Path:
    for name in IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"holds neither {' nor '.join(IN_FOLDER)}", where=folder, expected="the folder of a run")


def _of_net(net: api.Net, path: Path | None, data: DataRequest) -> Source:
    if isinstance(net.content, StockNet):
        what = "a stock NetX file of somebody else's: it says neither what data it is for nor when it is done"
        raise UsageError(what, where=path, expected="a .net file that sast-deploy wrote")
    trained, checkpoint, why = trained_of(net.file.checkpoint)
    return Source(net.program.name, path, net, trained, checkpoint, data, (why,) if why else ())


def _of_report(path: Path, data: DataRequest) -> Source:
    """The network of a simulation, on the samples of that simulation."""
    found = read_json(path, _REPORT, LONGEST)
    if not isinstance(found, dict) or type(found.get("report_version")) is not int:
        _REPORT.refuse_kind(path)
    try:
        named, digest, told = found["net"]["path"], found["net"]["digest"], found["data"]
        dataset, root, holdout, seed = (told[key] for key in ("dataset", "root", "holdout", "holdout_seed"))
    except (KeyError, TypeError):
        what, todo = "is of frames of somebody's own", "name its network, and the frames with --input"
        raise UsageError(what, where=path, todo=todo) from None
    net = Path(str(named))
    if not net.is_file():
        raise UsageError(f"is of {named}, which is not there", where=path, todo="simulate it again")
    if file_digest(net) != digest:
        raise UsageError(f"is of another {named} than is there now", where=path, todo="simulate it again")
    if data == DataRequest():
        folder = Path(root) if told.get("unlike_training") else None
        data = DataRequest(dataset, folder, holdout=holdout, holdout_seed=seed if holdout else None)
    return replace(_of_net(api.load(net), net, data), path=path)
