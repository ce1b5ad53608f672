"""What git says about the code that is running."""

import subprocess
from pathlib import Path

NO_COMMIT = "unknown (not a git checkout)"


def git(*arguments: str) -> str:
    """What git prints about the repository of this file, "" outside a repository."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
