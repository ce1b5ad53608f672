"""What git says about the code that is running."""

import os
import subprocess
from pathlib import Path

NO_COMMIT = "unknown (not a git checkout)"
# what an evaluation publishes, and text: they change no number, and come between two evaluations
NO_CODE = (":(top,exclude)experiments/*/*/results/*", ":(top,exclude)*.md")

# variables that name another repository or parts of one, or change what the patterns above mean
FOREIGN = ("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_PREFIX", "GIT_INDEX_FILE",
           "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE",
           "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS",
           "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS")  # fmt: skip


def git(*arguments: str) -> str:
    """What git prints about the repository of this file, "" outside a repository."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            env={name: value for name, value in os.environ.items() if name not in FOREIGN},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def has_changes() -> bool:
    """Whether the code is not that of the commit: a tracked file differs, other than published
    results and text."""
    return bool(git("status", "--porcelain", "-uno", "--", ":(top)", *NO_CODE))
