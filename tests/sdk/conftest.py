"""Makes the fixtures of `fixtures.py` known to pytest."""

from fixtures import hale, upstream

__all__ = ["hale", "upstream"]
