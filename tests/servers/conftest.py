"""The fixtures of `tests/sdk`: `upstream` starts a scripted provider, `hale` a gateway in front of some."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "sdk"))

from fixtures import hale, upstream  # noqa: E402

__all__ = ["hale", "upstream"]
