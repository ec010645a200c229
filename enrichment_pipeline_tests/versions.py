"""Another version of this repository, unpacked beside it."""

import shutil
import subprocess
from pathlib import Path


class UnknownCommitError(Exception):
    """There is no such commit; the message is one line."""


def full_name(repository: Path, commit: str) -> str:
    """The hash of a commit, branch or tag.

    Raises:
        UnknownCommitError: there is none.
    """
    command = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"]
    found = _git(repository, *command)
    if found.returncode:
        raise UnknownCommitError(
            f"no commit {commit!r} in {repository}; name a commit, a branch or a tag"
        )
    return found.stdout.strip()


def unpack(repository: Path, commit: str, folder: Path) -> None:
    """Write the files of a commit into a new folder. Git keeps no record of it, so there is nothing
    to clean up but the folder.

    Raises:
        UnknownCommitError: there is no such commit.
    """
    name = full_name(repository, commit)
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    packed = _git(repository, "archive", "--output", str(archive), name)
    assert not packed.returncode, packed.stderr
    # Python's own unpacking has no safe form in 3.11.2, the Python of Debian 12.
    tar = [shutil.which("tar") or "tar", "-xf", str(archive), "-C", str(folder)]
    subprocess.run(tar, check=True)
    archive.unlink()


def _git(repository: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [shutil.which("git") or "git", *arguments]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
