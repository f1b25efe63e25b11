"""Who may import whom, read from the source; and what a client never loads."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ROOMS = ("uploader", "tasks", "models", "filters", "viewer")
CORE = "facepaint"

MAY_IMPORT = {
    CORE: {CORE},
    "uploader": {"uploader", CORE},
    "viewer": {"viewer", CORE},
    "models": {"models", CORE},
    "filters": {"filters", CORE},
    "tasks": {"tasks", "models", "filters", CORE},
}

ON_TOP = {
    "facepaint/cli/app.py",
    "facepaint/cli/paint.py",
    "facepaint/cli/jobs.py",
    "facepaint/cli/detectors.py",
    "facepaint/client.py",
    "facepaint/cli/batch.py",
}
"""They may use the rooms, lazily: inside functions, so that a client without the extras can
start."""

COMMAND_LINE = {*ON_TOP, "facepaint/cli/progress.py", "facepaint/__main__.py"}
"""They stand on the core; nothing below knows them."""

HEAVY = {"cv2", "numpy", "onnxruntime", "resvg_py", "torch"}

NO_CLIENT_LOADS = sorted(HEAVY | {"tasks", "models", "filters"})


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path, *, lazy: bool) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import; ``lazy`` includes those inside functions."""
    tree = ast.parse(path.read_text(), str(path))
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _type_checking(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not lazy and id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            yield node.lineno, str(node.module).partition(".")[0]


def _type_checking(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_room_is_imported_against_the_arrows(package: str) -> None:
    ours = {CORE, *ROOMS}
    wrong = []
    for path in modules(package):
        name = path.relative_to(ROOT).as_posix()
        for line, imported in imports(path, lazy=name not in ON_TOP):
            if imported in ours and imported not in MAY_IMPORT[package]:
                wrong.append(f"{name}:{line} imports {imported}")
    assert modules(package)
    assert not wrong, "\n".join(wrong)


def test_nothing_below_knows_the_command_line() -> None:
    tops = {path.removesuffix(".py").replace("/", ".") for path in COMMAND_LINE}
    paths = [path for package in MAY_IMPORT for path in modules(package)]
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {node.module}"
        for path in paths
        if path.relative_to(ROOT).as_posix() not in COMMAND_LINE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module in tops
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", [CORE, "uploader", "viewer"])
def test_what_a_client_installs_suffices_for_the_clients_code(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for path in modules(package)
        for line, imported in imports(path, lazy=path.name != "doctor.py")
        if imported in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def client_modules() -> list[str]:
    """Every module of the core and of the client's rooms, but those that run when imported."""
    paths = [path for package in (CORE, "uploader", "viewer") for path in modules(package)]
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if path.stem != "__main__"
    ]
    return [name.removesuffix(".__init__") for name in names]


def test_importing_the_client_loads_nothing_heavy() -> None:
    lines = [f"import {name}" for name in client_modules()]
    lines += ["import sys", f"print([name for name in {NO_CLIENT_LOADS!r} if name in sys.modules])"]
    shown = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert shown.stderr == ""
    assert shown.stdout == "[]\n"


def test_the_core_can_be_imported_where_there_is_no_fcntl() -> None:
    """As on Windows, where only the client runs, and no container's init service."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for path in modules(CORE)
        if path.name != "compose_init.py"
        for line, imported in imports(path, lazy=False)
        if imported in {"fcntl", "resource", "termios", "pwd", "grp"}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_command_waits_for_what_only_some_of_them_use() -> None:
    """Celery and FFmpeg take longer to load than most commands take to run."""
    script = "import sys, facepaint.cli.app; print([name for name in ('celery', 'kombu', 'av', 'PIL') if name in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (shown.stdout, shown.stderr) == ("[]\n", "")
