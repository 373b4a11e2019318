"""NIR, the Neuromorphic Intermediate Representation: graphs of other frameworks in, ours out."""

from sast_deploy.exchange.nir.exporter import export_nir
from sast_deploy.exchange.nir.importer import from_nir, program_from_nir
from sast_deploy.exchange.nir.reading import FRAMEWORKS, Reading

__all__ = ["FRAMEWORKS", "Reading", "export_nir", "from_nir", "program_from_nir"]
