"""Hints for those who have no command line: what a hint's command stands for in the page, or among an agent's tools.

Errors are raised without knowing who will read them, and say how to mend them on the command line. What can be done
where they are read is said in its words; what can only be done in a terminal says that it is meant for one.
"""

from __future__ import annotations

import re

_Way = tuple[str, str]
_COMMAND = re.compile(r"\brereader [a-z]|(?<![\w-])--[a-z]")
"""A command or an option of the command line."""
_PAGE: tuple[_Way, ...] = (
    (r"'rereader show \w+' lists them", "the run's page shows them"),
    (r"'rereader show \w+'", "the run's page"),
    (r"'rereader runs (?:list|tree)'", "the page of runs"),
    (r"'rereader documents'", "the page of documents"),
    (r"(Go on with(?: it first)?): rereader runs resume \w+\.?", r"\1: Resume on the run's page."),
    (r"(?:Name a file, or add|Add) one with:? '?rereader add'?(?: FILE)?\.?", "Add one on the page of documents."),
    (r"\b([Ff])ork at --step (\d+)", r"\1ork from step \2"),
    (r"See 'rereader fork --help', or begin with what --print-memory prints\.", "See the API page: ForkAsked."),
    (r"--print-memory shows", "The form of the fork shows"),
    (r",? with --role (\w+)=NAME", r" as the \1, under Models"),
    (r": --role (\w+)=NAME", r" as the \1, under Models"),
)
_AGENT: tuple[_Way, ...] = (
    (r"'rereader show \w+'", "show_run"),
    (r"See 'rereader runs (?:list|tree)'", "The result of 'ask' names its run"),
    (r"'rereader documents'", "list_documents"),
    (r"Go on with(?: it first)?: rereader runs resume \w+\.?", "Ask again: what was computed is not computed anew."),
)


def on_page(hint: str) -> str:
    """A hint for somebody in front of the page."""
    return _told(hint, _PAGE, "In a terminal: ")


def for_agent(hint: str) -> str:
    """A hint for an agent that has our tools and nothing else."""
    return _told(hint, _AGENT, "The person whose workspace this is can mend it in a terminal: ")


def _told(hint: str, ways: tuple[_Way, ...], else_said: str) -> str:
    told = hint
    for command, way in ways:
        told = re.sub(command, way, told)
    return else_said + told if _COMMAND.search(told) else told
