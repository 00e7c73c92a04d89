"""What the API pages say about arguments is what the signatures have."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "pathline"


def documented(docstring: str) -> list[str]:
    """The names of the entries under "Arguments:", several to an entry where they are explained together."""
    section = re.search(r"^ *Arguments:\n((?:(?: {4}.*)?\n?)*)", docstring, re.MULTILINE)
    if not section:
        return []
    lines = [line for line in section[1].splitlines() if line.strip()]
    indent = len(lines[0]) - len(lines[0].lstrip())
    names = []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if depth < indent:
            break
        if depth == indent:
            entry = line.strip()
            assert re.match(r"[\w*]+(, [\w*]+)*: ", entry), f"not an entry of the form `name: text`: {entry!r}"
            names += [name.lstrip("*") for name in entry.split(":")[0].split(", ")]
    return names


def accepted(node: ast.AST, classes: dict[str, ast.ClassDef]) -> set[str]:
    """What a function takes, or what the constructor of a class takes, inherited fields included."""
    if isinstance(node, ast.FunctionDef):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        return {argument.arg for argument in every if argument is not None}
    assert isinstance(node, ast.ClassDef)
    names: set[str] = set()
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            names.add(part.target.id)
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            names |= accepted(part, classes)
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            names |= accepted(classes[base.id], classes)
    return names


def trees() -> dict[str, ast.Module]:
    return {str(path.relative_to(SOURCE)): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}


TREES = trees()
CLASSES = {node.name: node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize("place", TREES)
def test_documented_arguments_exist(place):
    for node in ast.walk(TREES[place]):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (docstring := ast.get_docstring(node)):
            unknown = set(documented(docstring)) - accepted(node, CLASSES)
            assert not unknown, f"{node.name} documents {sorted(unknown)}, which it does not take"


def test_the_check_can_fail():
    node = ast.parse(
        'def f(a, *, b):\n    """F.\n\n    Arguments:\n        a, c: both.\n            More.\n        b: b.\n    """'
    ).body[0]
    names = documented(str(ast.get_docstring(node)))
    assert names == ["a", "c", "b"]
    assert set(names) - accepted(node, {}) == {"c"}
