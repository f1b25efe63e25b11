"""What a client never imports. The contracts in pyproject.toml say who may import whom."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CORE = "facepaint"

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


@pytest.mark.parametrize("package", [CORE, "uploader", "viewer"])
def test_client_code_imports_only_what_a_client_installs(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for path in modules(package)
        for line, imported in imports(path, lazy=path.name != "doctor.py")
        if imported in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def client_modules() -> list[str]:
    """Every module of the client, except those that run when imported."""
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


def test_the_core_imports_where_fcntl_is_missing() -> None:
    """Windows runs the client but not the init service of compose."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for path in modules(CORE)
        if path.name != "compose_init.py"
        for line, imported in imports(path, lazy=False)
        if imported in {"fcntl", "resource", "termios", "pwd", "grp"}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_command_line_starts_without_slow_imports() -> None:
    """Celery and FFmpeg take longer to import than most commands take to run."""
    script = (
        "import sys, facepaint.cli.app; "
        "print([name for name in ('celery', 'kombu', 'av', 'PIL') if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (shown.stdout, shown.stderr) == ("[]\n", "")
