"""A session: one workspace, one set of models, any number of documents and questions."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from rereader.agents.chunker import ensure_chunks
from rereader.agents.compressor import block_caller, check_blocks, ensure_blocks, wants_blocks
from rereader.agents.context import RunContext
from rereader.agents.gister import ensure_gists
from rereader.agents.indexer import RAW, ensure_index
from rereader.config import Config, load_config
from rereader.graphs.registry import get_graph
from rereader.memory.database import translated
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.models.base import Cancel
from rereader.models.files import make_private
from rereader.models.installed import locate
from rereader.models.providers import find_endpoint
from rereader.models.roles import EXTRACTIVE, Models, RoleNames, bind, default_names
from rereader.models.tokens import TokenCounter
from rereader.runs.checkpoints import checkpoint_errors, going_on
from rereader.runs.choosing import choose_names
from rereader.runs.counting import counter_of
from rereader.runs.edits import Edit
from rereader.runs.estimating import Estimate, Outlook, foretell
from rereader.runs.forking import Changes, find_point, make_fork, plan_fork
from rereader.runs.loading import loads_told
from rereader.runs.questions import check_wording
from rereader.schema import Answer, Budget, Document, Event, InputError, Interrupted, RereaderError, Usage
from rereader.schema.usage import total

Listen = Callable[[Event], None]
DEFAULT_GRAPH = "compressed-memory"
_RECURSION_LIMIT = 1_000_000


def ignore(_event: Event) -> None:
    """Listen to nothing."""


class Session:
    """Adds documents, answers questions, resumes runs.

    Args:
        library: The workspace.
        models: The models by role.
        counter: What chunk sizes are measured in.
        warnings: Said with every answer (a smaller model that stands in, say).
        models_dir: The folder of pulled models, where their speeds are kept; estimates guess without it.
    """

    def __init__(
        self,
        library: Library,
        models: Models,
        counter: TokenCounter,
        warnings: Sequence[str] = (),
        models_dir: Path | None = None,
    ) -> None:
        self.library = library
        self.models = models
        self.counter = counter
        self.warnings = tuple(warnings)
        self.models_dir = models_dir
        self._charged = len(models.loads)

    def estimate(
        self,
        question: str,
        documents: Sequence[tuple[str, int]],
        *,
        graph: str = DEFAULT_GRAPH,
        settings: Mapping[str, Any] | None = None,
    ) -> Estimate:
        """What asking would cost; loads no model and stores nothing.

        Args:
            question: The question.
            documents: Ids and lengths in characters of the documents, which need not be stored.
            graph: The reading graph.
            settings: Its settings.

        Raises:
            InputError: If the graph or a setting cannot be used.
        """
        values = get_graph(graph).settings(settings or {})
        return foretell(self._outlook(), question, documents, graph, values, self.counter)

    def _outlook(self) -> Outlook:
        fresh = {name for name, _, _ in self.models.loads[self._charged :]}
        names = self.models.describe()
        # What was loaded to check the question is part of the run that it was loaded for.
        return Outlook(
            self.library,
            self.models,
            self.models_dir,
            lambda role: self.models.is_loaded(role) and names[role] not in fresh,
        )

    def add_text(
        self,
        text: str,
        *,
        title: str,
        source: str,
        loader: str = "text/1",
        graph: str = DEFAULT_GRAPH,
        settings: Mapping[str, Any] | None = None,
        listen: Listen = ignore,
        cancel: Cancel | None = None,
    ) -> Document:
        """Store a text and make the memories that ``graph`` searches; what is there already is not made again."""
        self.check_models(get_graph(graph).settings(settings or {}))
        document = self.library.documents.add(text, title=title, source=source, loader=loader)
        self.prepare(document, graph=graph, settings=settings, listen=listen, cancel=cancel)
        return document

    def prepare(
        self,
        document: Document,
        *,
        graph: str = DEFAULT_GRAPH,
        settings: Mapping[str, Any] | None = None,
        listen: Listen = ignore,
        cancel: Cancel | None = None,
    ) -> Usage:
        """Chunk, compress and index a stored document as ``graph`` needs it; returns what that cost."""
        values = get_graph(graph).settings(settings or {})
        self.check_models(values)
        context = self._context(document.id, (document,), values, listen, cancel)
        memory = getattr(values, "memory", None)
        with loads_told(self.models, listen, document.id):
            chunking = ensure_chunks(context, document)
            if wants_blocks(values):
                ensure_blocks(context, chunking, block_caller(context))
            if memory and memory != RAW:
                ensure_gists(context, chunking)
            if memory:
                ensure_index(context, chunking, memory)
        return context.usage

    def ask(
        self,
        question: str,
        document_ids: Sequence[str],
        *,
        graph: str = DEFAULT_GRAPH,
        settings: Mapping[str, Any] | None = None,
        budget: Budget | None = None,
        parent: str | None = None,
        listen: Listen = ignore,
        cancel: Cancel | None = None,
    ) -> Answer:
        """Answer a question about documents of the workspace; ``parent`` is the run that a follow-up follows.

        Raises:
            InputError: If the question, a document, the graph or a setting cannot be used.
            Interrupted: If ``cancel`` was set; the run can be resumed.
            ModelError: If a model fails; its ``run_id`` names the run, which can be resumed and keeps what it has
                found (:func:`rereader.runs.so_far.so_far`).
        """
        chosen = get_graph(graph)
        values = chosen.settings(settings or {})
        documents = [self.library.documents.get(identity) for identity in dict.fromkeys(document_ids)]
        if not documents:
            raise InputError("There is no document to ask.", "Name a file, or add one with 'rereader add'.")
        with loads_told(self.models, listen):
            self.check_question(question)
        self.check_models(values)
        run = self.library.runs.create(
            secrets.token_hex(6),
            question=question,
            graph=graph,
            settings=asdict(values),
            models=self.models.describe(),
            budget=budget or Budget(),
            document_ids=[document.id for document in documents],
            parent=parent,
        )
        return self._execute(run, resumed=False, listen=listen, cancel=cancel)

    def fork(
        self,
        run_id: str,
        step: int,
        *,
        edits: Sequence[Edit] = (),
        question: str | None = None,
        settings: Mapping[str, Any] | None = None,
        budget: Budget | None = None,
        listen: Listen = ignore,
        cancel: Cancel | None = None,
    ) -> Answer:
        """Go on from a run's step as a new run with the session's models; the parent stays as it is.

        Args:
            run_id: The parent.
            step: The last step that is taken over; 0 begins at the beginning.
            edits: Changes of the working memory after that step.
            question: Another question, from there on.
            settings: Settings that differ from the parent's, from there on.
            budget: Another budget; it counts what was taken over.
            listen: Is told of what happens.
            cancel: Stops the fork, which can be resumed.

        Raises:
            InputError: If there is no such run or step, an edit makes no sense, or a change contradicts what is made;
                then nothing is left behind.
            Interrupted: If ``cancel`` was set; the fork can be resumed.
            ModelError: If a model fails.
        """
        changes = Changes(edits, question, settings or {}, budget)
        with loads_told(self.models, listen):
            plan = plan_fork(self, find_point(self.library, run_id, step), changes)
        with self.library.working_on(plan.id):  # from its first file on, so that nobody takes that for a leftover
            run = make_fork(self.library, plan)
            return run.answer or self._go_on(run.id, resumed=True, listen=listen, cancel=cancel)

    def resume(self, run_id: str, *, listen: Listen = ignore, cancel: Cancel | None = None) -> Answer:
        """Go on with a run that was interrupted, killed or failed; a finished one returns its answer at once."""
        run = self.library.runs.get(run_id)
        if run.answer is not None:
            return run.answer
        return self._execute(run, resumed=True, listen=listen, cancel=cancel)

    def check_question(self, question: str) -> None:
        """Refuse a question that cannot be asked.

        Raises:
            InputError: If it is empty or takes more than half of the reader's window.
        """
        check_wording(question)
        reader = self.models.reader
        if reader is None:
            return
        size, window = reader.count_tokens([question])[0], reader.context_window
        if size > window // 2:
            msg = f"The question has {size:,} tokens; {reader.name} can take {window // 2:,} (half its window)."
            raise InputError(msg, "Shorten it, or choose a model with a larger window.")

    def check_models(self, settings: Any) -> None:
        """Refuse settings that the bound models cannot follow, before anything is made.

        Raises:
            InputError: If blocks are to be read and the model cannot read or make them as asked.
        """
        if wants_blocks(settings):
            check_blocks(self.models, settings)

    def _execute(self, run: Run, *, resumed: bool, listen: Listen, cancel: Cancel | None) -> Answer:
        with self.library.working_on(run.id):
            return self._go_on(run.id, resumed=resumed, listen=listen, cancel=cancel)

    def _go_on(self, run_id: str, *, resumed: bool, listen: Listen, cancel: Cancel | None) -> Answer:
        run = self.library.runs.get(run_id)  # what had the lock before may have ended or removed it
        if run.answer is not None:
            return run.answer
        try:
            if run.status != "running":
                self.library.runs.update(run.id, status="running")
            listen(Event("begin", run.id))
            self._invoke(run, resumed, listen, cancel)
        except BaseException as error:
            if isinstance(error, RereaderError):
                error.run_id = run.id
            if isinstance(error, (Interrupted, KeyboardInterrupt)):
                self.library.runs.update(run.id, status="interrupted")
            else:
                reason = str(error) if isinstance(error, RereaderError) else f"{type(error).__name__}: {error}"
                self.library.runs.update(run.id, status="failed", failure=reason)
            raise
        answer = self.library.runs.get(run.id).answer
        assert answer is not None, "the finisher stores an answer"
        return answer

    def _invoke(self, run: Run, resumed: bool, listen: Listen, cancel: Cancel | None) -> None:
        documents = tuple(self.library.documents.get(identity) for identity in run.document_ids)
        chosen = get_graph(run.graph)
        settings = chosen.settings(chosen.still_known(run.settings))
        path = self.library.checkpoint_path(run.id)
        with translated(path):
            make_private(path)
        with checkpoint_errors(path), closing(sqlite3.connect(path, check_same_thread=False)) as connection:
            graph = chosen.build(settings).compile(checkpointer=SqliteSaver(connection))
            config: Any = {"configurable": {"thread_id": run.id}, "recursion_limit": _RECURSION_LIMIT}
            state: Any = {"question": run.question, "document_ids": list(run.document_ids), "step": 0}
            steps = self.library.runs.steps(run.id)
            before, config = going_on(graph, config, len(steps) and steps[-1].number) if resumed else (None, config)
            if before is not None:
                state = None
            # What a step cost that LangGraph will run again must not count twice.
            finished = before.values.get("step", 0) if before else 0
            usage = total(step.usage for step in steps if step.number <= finished)
            context = self._context(run.id, documents, settings, listen, cancel, run.budget, usage)
            context.resume_hint = f"Go on with: rereader runs resume {run.id}"
            for text in self.warnings:
                context.warn(text)
            if not finished:
                context.estimate = self._foretold(run, documents)
            try:
                with loads_told(self.models, listen, run.id):
                    graph.invoke(state, config, context=context, durability="sync")
            finally:
                context.release()
                self._charged = len(self.models.loads)

    def _foretold(self, run: Run, documents: Sequence[Document]) -> dict[str, Any]:
        lengths = [(document.id, document.length) for document in documents]
        expected = self.estimate(run.question, lengths, graph=run.graph, settings=run.settings)
        before = sum(seconds for _, _, seconds in self.models.loads[self._charged :])
        return {**expected.as_json(), "loaded_before": round(before, 3)}

    def _context(
        self,
        run_id: str,
        documents: tuple[Document, ...],
        settings: Any,
        listen: Listen,
        cancel: Cancel | None,
        budget: Budget | None = None,
        usage: Usage | None = None,
    ) -> RunContext:
        return RunContext(
            library=self.library,
            models=self.models,
            counter=self.counter,
            settings=settings,
            run_id=run_id,
            documents=documents,
            budget=budget or Budget(),
            usage=usage or Usage(),
            cancel=cancel or threading.Event(),
            listen=listen,
        )

    def close(self) -> None:
        """Release the models and the workspace."""
        self.models.close()
        self.library.close()


@contextmanager
def open_session(
    workspace: Path | None = None,
    *,
    names: RoleNames | None = None,
    models_dir: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    runtime: str | None = None,
    warnings: Sequence[str] = (),
    counted_by: RoleNames | None = None,
) -> Iterator[Session]:
    """Open a workspace with models by name; what is not named comes from the configuration.

    Models are loaded when a role is first used. ``warnings`` are said with every answer. ``counted_by`` are the models
    whose tokens the documents were cut by, where it was others.
    """
    config = load_config(workspace=workspace, models_dir=models_dir, device=device, threads=threads, runtime=runtime)
    if names is None:
        names, warnings = choose_names(config)
    models = bind(
        names,
        config.models_dir,
        device=config.device,
        threads=config.threads,
        endpoints=config.endpoints,
        runtime=config.runtime,
    )
    counter = counter_of(_tokenizer_folder(counted_by or names, config))
    session = Session(Library(config.workspace, config.kv_bytes), models, counter, warnings, config.models_dir)
    try:
        yield session
    finally:
        session.close()


def _tokenizer_folder(names: RoleNames, config: Config) -> Path | None:
    """The reader's folder; where it has none, that of the best one pulled, so that documents are cut the same way."""
    name, served = names.reader, find_endpoint(names.reader, config.endpoints)
    if served is not None:
        name = served.tokenizer or EXTRACTIVE
    if name == EXTRACTIVE:
        name = default_names(config.models_dir)[0].reader
    return None if name == EXTRACTIVE else locate(name, config.models_dir, weights=False)
