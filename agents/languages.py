"""The language of a document, and whether the embedder knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rereader.memory.documents import DocumentStore
from rereader.schema import Document
from rereader.tools.language import language_of, sample_places

if TYPE_CHECKING:  # it loads LangGraph, which whoever lists documents does without
    from rereader.agents.context import RunContext

NAMES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sr": "Serbian",
    "sv": "Swedish",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""English names of languages by ISO 639-1 code."""
ANY = "*"


def document_language(documents: DocumentStore, document: Document) -> str:
    """The language's ISO 639-1 code, from samples of the text, or an empty string where they do not show it."""
    return language_of(" ".join(documents.slice(document.id, *place) for place in sample_places(document.length)))


def warn_of_language(context: RunContext, document_id: str) -> None:
    """Tell the user when the embedder was not trained on a document's language; looks at each document once."""
    embedder = context.models.embedder
    if ANY in embedder.languages or document_id in context.languages_seen:
        return
    context.languages_seen.add(document_id)
    document = context.library.documents.get(document_id)
    language = document_language(context.library.documents, document)
    if language and language not in embedder.languages:
        known = " and ".join(NAMES.get(code, code) for code in embedder.languages)
        context.warn(
            f"The embedder {embedder.name} was trained on {known}; searching {document.title}, which is in "
            f"{NAMES.get(language, language)}, leans on its words (BM25). Mend: rereader models pull multilingual, "
            "then --role embedder=multilingual"
        )
