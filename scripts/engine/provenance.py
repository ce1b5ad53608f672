"""Which version of the code evaluated something, and when: what a seed's results record of it."""

import datetime
import subprocess

from scripts.engine.places import EXPERIMENTS


def commit_and_date() -> dict[str, str]:
    """{"commit", "date"} of an evaluation that happens now.

    The commit is git's short hash, with "+changes" if tracked files differ from it, and "unknown
    (not a git checkout)" outside a repository. The date is ISO 8601.
    """
    changes = "+changes" if git("status", "--porcelain", "-uno") else ""
    commit = git("rev-parse", "--short", "HEAD") + changes
    date = datetime.date.today().isoformat()
    return {"commit": commit or "unknown (not a git checkout)", "date": date}


def git(*arguments: str) -> str:
    """What git prints, "" outside a repository."""
    try:
        return subprocess.run(
            ["git", *arguments], cwd=EXPERIMENTS, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
