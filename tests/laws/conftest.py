"""The wrapper of the shells' tests serves the laws, too."""

from tests.shells.conftest import wrapper

__all__ = ["wrapper"]
