"""How Sphinx builds these pages: ``make docs``."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

# Before anything imports Airflow: the pages must not depend on, or touch, an Airflow of this machine.
for _name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-docs-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

# Airflow logs where its configuration is, which is nowhere.
logging.disable(logging.INFO)
importlib.import_module("airflow.settings")
logging.disable(logging.NOTSET)

from generated import is_inner, substitutions  # noqa: E402 - it stands in _ext

from tfso_hypatos import __version__  # noqa: E402 - after Airflow's home is set

project = "24SevenOffice and Hypatos for Airflow"
author = "the authors of airflow-provider-tfso-hypatos"
copyright = f"2026, {author}. Apache-2.0"  # noqa: A001 - Sphinx's name for it
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "_ext", "examples"]

myst_enable_extensions = ["colon_fence", "substitution"]
myst_heading_anchors = 4
myst_substitutions = substitutions()

# Every name that a docstring refers to must be documented here, but for those of other libraries: to look these up
# takes a network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"XComArg|Asset|AssetAlias|Context|Deliver|Outcome|date|datetime|timedelta"),
    (r"py:.*", r"(airflow|collections|datetime|decimal|requests)\..*"),
]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "furo"
html_title = f"24SevenOffice and Hypatos for Airflow {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False


def _leave_out(_app: Any, _what: str, name: str, *_: Any) -> bool | None:
    return True if is_inner(name) else None


def setup(app: Any) -> None:
    """Leave out of the reference what nobody who writes a DAG calls."""
    app.connect("autodoc-skip-member", _leave_out)
