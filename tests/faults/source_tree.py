"""Where our own code lies, and of what it is made: to be copied, packed, or run in another version."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("api_shim", "channels", "models", "wireroom", "worker")
VERSIONS: Final = "models/migrations/versions"
UPGRADE: Final = "import sys; from models import migrate; migrate.upgrade(sys.argv[1])"
"""A program that migrates the database whose URL it is given."""
