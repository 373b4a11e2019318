"""The paper's tables with our columns beside the paper's, from the folders of a sweep."""

from __future__ import annotations

from sast_deploy.show.blocks import Table
from sast_deploy.studies.tables.build import make_tables
from sast_deploy.studies.tables.records import Record, load_records, raw_text, write_raw
from sast_deploy.studies.tables.table import markdown

__all__ = ["Record", "Table", "load_records", "make_tables", "markdown", "raw_text", "write_raw"]
