"""A version of the project, and its bench run by the packages of this virtual environment."""

import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

_STOP_SECONDS = 120
_ASKED_TO_STOP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_IMPORTED = "import benchmarks as a, enrichment_pipeline as b; print(*a.__path__, *b.__path__)"


class BenchError(Exception):
    """The bench of a version could not run; the message is one line."""


class Version:
    """The version of the project that lies in `tree`.

    It gets a virtual environment of its own in `folder`, which adds the tree to the packages of the
    one that runs this. A PYTHONPATH would not do: the programs that a bench starts, such as
    `enrichment-pipeline`, are started without variables, and would be those of this version.
    """

    def __init__(self, name: str, tree: Path, folder: Path) -> None:
        self.name = name
        self._tree = tree
        self._python = _environment(folder, tree)
        self._check_imports()

    def bench(self, arguments: Sequence[str], out: Path) -> None:
        """Run its bench for one round, and write the JSON to `out`.

        Raises:
            BenchError: it ended with an error.
        """
        command = [
            str(self._python),
            "-m",
            "benchmarks",
            *arguments,
            "--rounds",
            "1",
            "--out",
            str(out),
        ]
        with TemporaryFile("w+") as errors:
            # In a session of its own, so that it is asked to stop once, and by us.
            process = subprocess.Popen(
                command,
                cwd=self._tree,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                code = process.wait()
            except BaseException:
                _stop(process)
                raise
            errors.seek(0)
            if code or not out.exists():
                raise BenchError(
                    f"{self.name}: {_last_line(errors.read()) or f'ended with {code}'}"
                )

    def _check_imports(self) -> None:
        found = subprocess.run(
            [self._python, "-P", "-c", _IMPORTED],
            cwd=self._python.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode:
            raise BenchError(f"{self.name}: {_last_line(found.stderr)}")
        for path in map(Path, found.stdout.split()):
            assert path.is_relative_to(self._tree.resolve()), f"{self.name}: {path} is imported"


def _environment(folder: Path, tree: Path) -> Path:
    """Make a virtual environment with the packages of this one, the tree before them, and all
    programs of this one; returns its Python."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    [packages] = folder.glob("lib/python*/site-packages")
    own = sysconfig.get_path("purelib")
    (packages / "version.pth").write_text(
        f"{tree.resolve()}\nimport site; site.addsitedir({own!r})\n"
    )
    for program in Path(sys.executable).parent.iterdir():
        with suppress(UnicodeDecodeError, IsADirectoryError):
            first, _, rest = program.read_text().partition("\n")
            if first == f"#!{sys.executable}" and not (folder / "bin" / program.name).exists():
                (folder / "bin" / program.name).write_text(f"#!{python}\n{rest}")
                (folder / "bin" / program.name).chmod(0o755)
    return python


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Let the bench stop what it has started, and remove what it has written."""
    # Whoever asks again waits as well.
    for number in _ASKED_TO_STOP:
        signal.signal(number, signal.SIG_IGN)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(errors: str) -> str:
    """The last line that says something; errors of options come in a frame."""
    lines = (line.strip(" │╭╮╰╯─") for line in errors.splitlines())
    return next((line for line in reversed(list(lines)) if line), "")
