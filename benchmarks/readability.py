"""Measure how dense the code is: python -m benchmarks.readability [CHECKOUT]

Counts the production Python of a checkout (this one by default): functions with more than ten
branches, branches in a body line, long lines, comments on lines of their own, and files of the
package ``facepaint`` that no other folder imports. A branch is an if, a loop, a comprehension and
each of its conditions, a boolean operator, a conditional expression, an except, an assert or a
case.
"""

import argparse
import ast
import io
import re
import statistics
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("facepaint", "uploader", "tasks", "models", "filters", "viewer")
TESTS = ("tests", "benchmarks", "docs")

MOST_BRANCHES = 10
MOST_COLUMNS = 100
MOST_LINES = 60

BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.IfExp,
    ast.ExceptHandler,
    ast.Assert,
    ast.match_case,
)


@dataclass(frozen=True, slots=True)
class Function:
    """One function: where it is, its branches, and the lines of its body."""

    name: str
    branches: int
    body_lines: int


def branches(function: ast.AST) -> int:
    """The branches of a function and of the functions inside it."""
    count = 0
    for node in ast.walk(function):
        if isinstance(node, BRANCHES):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += 1 + len(node.ifs)
    return count


def functions(path: Path) -> Iterator[Function]:
    """The functions and methods of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # The docstring is no code.
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 1
            yield Function(f"{path}:{node.lineno} {node.name}", branches(node), lines)


def own_line_comments(path: Path) -> int:
    """Comments that have a line of their own."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return sum(
        token.type == tokenize.COMMENT and token.line.lstrip().startswith("#") for token in tokens
    )


def imported_modules(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, modules and what is taken from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def used_by_itself_alone(root: Path) -> list[Path]:
    """The files of ``facepaint`` that no other production folder imports."""
    others = {
        module
        for folder in FOLDERS[1:]
        for path in (root / folder).rglob("*.py")
        for module in imported_modules(path)
    }
    own = sorted((root / "facepaint").rglob("*.py"))
    names = {path: ".".join(path.relative_to(root).with_suffix("").parts) for path in own}
    return [
        path.relative_to(root)
        for path, name in names.items()
        if path.name not in ("__init__.py", "__main__.py") and name not in others
    ]


def report(root: Path) -> str:
    """The table, and the functions that are over the limit."""
    files = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    lines = [line for path in files for line in path.read_text().splitlines()]
    found = [function for path in files for function in functions(path)]
    dense = sorted(
        (each for each in found if each.branches > MOST_BRANCHES), key=lambda each: -each.branches
    )
    ratio = statistics.median(each.branches / each.body_lines for each in found)
    long_lines = sum(len(line) > MOST_COLUMNS for line in lines)
    comments = sum(own_line_comments(path) for path in files)
    alone = used_by_itself_alone(root)
    elsewhere = [path for path in alone if not re.match(r"facepaint/(cli|stack)/", path.as_posix())]
    everything = [
        path
        for folder in (*FOLDERS, *TESTS)
        for path in (root / folder).rglob("*")
        if path.suffix in (".py", ".js", ".css", ".html", ".md")
    ]
    total = sum(len(path.read_text().splitlines()) for path in everything)
    rows = [
        (f"functions with more than {MOST_BRANCHES} branches", f"{len(dense)}"),
        ("branches a body line, median", f"{ratio:.2f}"),
        (f"lines over {MOST_COLUMNS} characters", f"{100 * long_lines / len(lines):.1f} %"),
        ("own-line comments in 1,000 lines", f"{1000 * comments / len(lines):.1f}"),
        (f"functions over {MOST_LINES} lines", f"{sum(f.body_lines > MOST_LINES for f in found)}"),
        ("files of facepaint/ used by no other folder", f"{len(alone)}"),
        ("of these outside cli/ and stack/", f"{len(elsewhere)}"),
        ("lines of production Python", f"{len(lines):,}"),
        ("lines of code, page, tests and docs", f"{total:,}"),
    ]
    shown = [f"{name:46} {value:>8}" for name, value in rows]
    shown += [f"  {each.branches} branches: {each.name}" for each in dense]
    shown += [f"  not used elsewhere: {path}" for path in elsewhere]
    return "\n".join(shown)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=Path())
    print(report(parser.parse_args().checkout))


if __name__ == "__main__":
    main()
