"""What a question must be, whoever is asked."""

from __future__ import annotations

from rereader.schema import InputError


def check_wording(question: str) -> None:
    """Refuse a question that no model could be asked.

    Raises:
        InputError: If it is empty or no sound Unicode.
    """
    if not question.strip():
        raise InputError("The question is empty.", "Put it last, in quotes.")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise InputError("The question is not sound UTF-8.", "Check the terminal's encoding.") from error
