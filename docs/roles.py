"""Turns the roles of docstrings, such as ``:class:`Run```, into links of the site."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":[a-z]+:`([^`]+)`")


class Roles(griffe.Extension):
    """Read by mkdocstrings; see ``mkdocs.yml``."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Change the docstrings of a package once all its names are known."""
        _change(pkg)


def _change(owner: griffe.Object) -> None:
    if owner.docstring:
        owner.docstring.value = ROLE.sub(lambda role: _link(owner, role[1]), owner.docstring.value)
    for member in owner.members.values():
        if isinstance(member, griffe.Object):
            _change(member)


def _link(owner: griffe.Object, name: str) -> str:
    """Return a link that is plain code where the site does not describe the name."""
    first, dot, rest = name.partition(".")
    try:
        path = owner.resolve(first) + dot + rest
    except griffe.NameResolutionError:
        path = name
    return f'<autoref identifier="{path}" optional><code>{name}</code></autoref>'
