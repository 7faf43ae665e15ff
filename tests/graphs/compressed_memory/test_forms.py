"""What each form of ``compressed-memory`` with blocks judges, reads, writes down and quotes."""

import pytest
from block_runs import FACTS, QUESTION, TEXT, a_reader, lets_in

from rereader.agents.block_attention import attention_of_blocks
from rereader.agents.compressor import check_blocks
from rereader.agents.context import RunContext
from rereader.graphs.registry import get_graph
from rereader.models.hashing import HashingEmbedder
from rereader.models.kvmemory import MEMORY_TOKENS_FILE
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.prompts.loader import load
from rereader.prompts.openings import KV_PROMPTS, kv_opening, opening
from rereader.schema import InputError, RecordKind

REST = "harbour window"  # words of the essay that blocks of chunks with a fact drop


def kept(asked, model):
    """What the model's blocks hold, by chunk."""
    [step] = [step for step in asked.steps if step.node == "compress"]
    document = asked.answer.evidence[0].document_id if asked.answer.evidence else None
    records = [r for r in asked.library.records.of_run(document or _document(asked)) if r.kind is RecordKind.KV]
    bank = asked.library.bank
    rows = asked.library.database.rows("SELECT chunk, key FROM kv_blocks ORDER BY chunk")
    assert len(rows) == len(records) == len(step.calls)
    return {row["chunk"]: " ".join(model.load_kv(bank.files.path(row["key"])).text.split()) for row in rows}


def _document(asked):
    return asked.library.documents.all()[0].id


def test_all_prompts_that_read_blocks_open_alike():
    assert all(opening(load(name)) == kv_opening() for name in KV_PROMPTS)
    assert [segment.role for segment in kv_opening()] == ["system"]
    with pytest.raises(InputError, match="no slot"):
        opening(load("answer"))
    with pytest.raises(InputError, match="stands before"):
        opening(load("rewrite"))


def test_all_prompts_that_read_blocks_open_with_the_tokens_that_blocks_are_made_after():
    from local_models import rendered, wrap

    from rereader.prompts.loader import Piece
    from rereader.prompts.openings import compressing

    for family in ("llama", "gemma3"):
        model = wrap(family)
        made = rendered(model, compressing(Piece("The river and the tower.")))
        start = model._renderer.render(compressing(Piece("The river and the tower."))).ranges[-1][0]
        [block] = model.compress_kv([compressing(Piece("The river and the tower."))], _all_of_it())
        for name in KV_PROMPTS:
            slots = {"memory": [Piece("", memory=(block,))], "known": "", "question": "Who?"}
            prompt = load(name).render(**slots)
            found = model._renderer.render(prompt)
            place = next(i for i, segment in enumerate(prompt) if segment.memory)
            assert (found.ranges[place][0], list(found.ids[:start])) == (start, made[:start]), name
        model.close()


def _all_of_it():
    from rereader.models.kvmemory import Compression

    return Compression("none", 1.0)


def test_in_waves_the_reader_reads_the_blocks_of_accepted_chunks_side_by_side_and_no_text(ask):
    asked = ask({"reads": "kv", "accept": 3})
    [prompt] = asked.prompts(asked.reader, "generate")
    blocks = kept(asked, asked.reader)
    read = asked.step("answer").detail["blocks"]
    assert read == sorted(asked.let_in) and len(read) == 3
    joined = " ".join(blocks[chunk] for _, chunk in read)
    assert joined in prompt and prompt.endswith("that answers the question. ")
    assert QUESTION in prompt
    assert "Known already" not in prompt
    assert not any(block in prompt for chunk, block in blocks.items() if [0, chunk] not in read)
    assert [step.node for step in asked.steps] == [
        "chunk", "compress", "gist", "index", "gate", "read", "answer", "finish",
    ]  # fmt: skip


def test_quotes_are_found_after_the_fact_in_the_chunks_that_were_read(ask):
    asked = ask({"reads": "kv", "accept": 3})
    assert asked.answer.answer == "5265"
    assert any(FACTS[0] in item.quote for item in asked.answer.evidence)
    spans = [_span(asked, chunk) for _, chunk in asked.let_in]
    for item in asked.answer.evidence:
        assert any(span.start <= item.start and item.end <= span.end for span in spans)
        assert TEXT[item.start : item.end] == item.quote and item.verified


def _span(asked, chunk):
    chunking = asked.library.chunks.chunking(_document(asked), "chunk=60;passage=20;tokens=estimate/1")
    return asked.library.chunks.chunk(chunking, chunk).span


def test_in_several_waves_what_blocks_say_is_written_down_and_leads_on(ask):
    asked = ask({"reads": "kv", "accept": 2, "waves": 3, "working_tokens": 30})
    writes = asked.prompts(asked.reader, "generate", "What you know now:")
    reads = [step.detail["blocks"] for step in asked.steps if step.node == "read"]
    assert len(writes) == len([blocks for blocks in reads if blocks]) >= 2
    assert "There is no memory yet." in writes[0]
    assert all(f"known {i}: 5265" in prompt for i, prompt in enumerate(writes[1:]))
    blocks = kept(asked, asked.reader)
    for prompt, read in zip(writes, [found for found in reads if found], strict=True):
        assert all(blocks[chunk] in prompt for _, chunk in read)
    every = sorted(key for found in reads for key in found)
    assert len({tuple(key) for key in every}) == len(every)  # no block is written down twice
    last = asked.prompts(asked.reader, "generate")[-1]
    assert f"Known already: known {len(writes) - 1}: 5265" in last
    assert asked.step("answer").detail["blocks"] == every
    notes = [r for r in asked.library.records.of_run(asked.answer.run_id) if r.agent == "block reader"]
    parents = [asked.library.records.get(note.parents) for note in notes]
    assert [[p.kind for p in found].count(RecordKind.NOTE) for found in parents] == [0] + [1] * (len(notes) - 1)
    assert all(any(p.kind is RecordKind.KV for p in found) for found in parents)


def test_waves_end_when_nothing_new_is_let_in(ask):
    asked = ask({"reads": "kv", "accept": 500, "candidates": 500, "waves": 5, "working_tokens": 20})
    assert [bool(step.detail["blocks"]) for step in asked.steps if step.node == "read"] == [True, False]


def test_blocks_that_do_not_fit_the_window_are_left_out_and_that_is_said(ask):
    asked = ask({"reads": "kv", "accept": 8}, reader=a_reader(context_window=160))
    read = asked.step("answer").detail["blocks"]
    assert 0 < len(read) < 8
    ranked = asked.let_in
    assert sorted(ranked[: len(read)]) == read  # the most wanted ones stay
    assert any("left out" in text for text in asked.answer.warnings)
    [prompt] = [call for call in asked.reader.calls if call.method == "generate"]
    assert asked.reader.count_tokens([prompt.prompt])[0] + prompt.sampling.max_new_tokens <= 160


def test_a_window_for_no_block_at_all_is_refused(ask):
    with pytest.raises(InputError, match="No compressed memory fits"):
        ask({"reads": "kv", "max_new_tokens": 190}, reader=a_reader(context_window=240))


def test_with_both_the_scorers_blocks_decide_and_texts_are_read(ask):
    scorer = lets_in(["Ulpelhala"])
    asked = ask({"reads": "both", "accept": 2, "gate_weight": 50}, scorer=scorer)
    blocks = kept(asked, scorer)
    judged = [prompt for prompt in asked.prompts(scorer, "choose") if "5265" in prompt or "ferry" in prompt]
    assert judged
    gated = asked.prompts(scorer, "choose")
    assert len(gated) == 17  # 16 candidates and the empty one
    assert all(any(f"{block} Question: {QUESTION}" in prompt for block in blocks.values()) for prompt in gated[:-1])
    assert f"nothing else. Question: {QUESTION}" in gated[-1]
    assert sorted(chunk for _, chunk in asked.let_in) == sorted(c for c, b in blocks.items() if "Ulpelhala" in b)
    [prompt] = asked.prompts(asked.reader, "generate")
    assert FACTS[0] in prompt and FACTS[1] in prompt
    assert not any(call.method == "compress_kv" for call in asked.reader.calls)


def test_with_both_attention_can_decide_by_what_the_question_looks_at_in_the_blocks(ask):
    scorer = lets_in(["nothing of it"])
    asked = ask({"reads": "both", "accept": 1, "gate": "attention", "gate_weight": 50}, scorer=scorer)
    blocks = kept(asked, scorer)
    looks = asked.prompts(scorer, "attention")
    assert len(looks) == 2  # with the question and with an empty one
    gate = asked.step("gate")
    candidates = [row[1] for row in gate.detail["decisions"]]
    assert all(blocks[chunk] in look for look in looks for chunk in candidates)
    [(_, chunk)] = asked.let_in
    assert "strongbox" in blocks[chunk] and "5265" in blocks[chunk]
    assert [call.method for call in gate.calls] == ["look", "look"]
    assert len(gate.calls[0].slots["memory"][0]["kv"]) == len(candidates)


def test_blocks_that_do_not_fit_one_window_are_looked_at_in_several(ask):
    settings = {"reads": "both", "gate": "attention", "accept": 2, "gate_weight": 50}
    wide, small = lets_in([""]), lets_in([""])
    small.context_window = 200
    one, other = ask(settings, scorer=wide), ask(settings, scorer=small)
    assert len(one.prompts(wide, "attention")) == 2 < len(other.prompts(small, "attention"))
    assert one.let_in[0] == other.let_in[0]


def test_no_block_at_all_is_looked_at_in_no_prompt(ask):
    asked = ask({"reads": "both", "gate": "attention"}, scorer=lets_in(["Ulpelhala"]))
    before = len(asked.scorer.calls)
    values = get_graph("compressed-memory").settings({"reads": "both", "gate": "attention"})
    documents = tuple(asked.library.documents.all())
    context = RunContext(asked.library, asked.session.models, asked.session.counter, values, "run", documents)
    assert attention_of_blocks(context, QUESTION, []).shape == (0,)
    assert len(asked.scorer.calls) == before


def test_the_scan_gates_and_rewrites_on_blocks_of_the_reader_alone(ask):
    scorer = lets_in(["nothing of it"])
    asked = ask({"order": "scan", "reads": "kv"}, scorer=scorer)
    blocks = kept(asked, asked.reader)
    assert scorer.calls == []
    assert [step.node for step in asked.steps][:2] == ["chunk", "compress"]
    assert [row[1] for step in asked.steps for row in step.detail.get("decisions", [])] == list(range(len(blocks)))
    assert [chunk for _, chunk in asked.let_in] == [chunk for chunk, block in blocks.items() if "Ulpelhala" in block]
    writes = asked.prompts(asked.reader, "generate", "What you know now:")
    assert len(writes) == len(asked.let_in) == 2
    for prompt, (_, chunk) in zip(writes, asked.let_in, strict=True):
        assert f"nothing else. {blocks[chunk]} You are solving" in prompt
    assert "There is no memory yet." in writes[0] and "known 0: 5265" in writes[1]
    last = asked.prompts(asked.reader, "generate")[-1]
    assert "known 1: 5265" in last and "Ulpelhala office opens" not in last
    gated = asked.prompts(asked.reader, "choose", QUESTION)
    with_known = ["Known already: known" in prompt for prompt in gated]
    assert any(with_known) and with_known == sorted(with_known)
    notes = [r for r in asked.library.records.of_run(asked.answer.run_id) if r.agent == "recaller"]
    kinds = [[parent.kind for parent in asked.library.records.get(note.parents)] for note in notes]
    assert kinds == [[RecordKind.KV], [RecordKind.NOTE, RecordKind.KV]]
    assert any(FACTS[0] in item.quote for item in asked.answer.evidence)


def test_the_scan_with_both_gates_on_blocks_and_rewrites_from_texts(ask):
    scorer = lets_in(["Ulpelhala"])
    asked = ask({"order": "scan", "reads": "both"}, scorer=scorer)
    blocks = kept(asked, scorer)
    assert [chunk for _, chunk in asked.let_in] == [chunk for chunk, block in blocks.items() if "Ulpelhala" in block]
    writes = asked.prompts(asked.reader, "generate", "<piece>")
    texts = [asked.library.documents.text_of(_span(asked, chunk)) for _, chunk in asked.let_in]
    assert all(" ".join(text.split()) in prompt for text, prompt in zip(texts, writes, strict=True))
    assert not asked.prompts(asked.reader, "choose")


def test_the_scan_with_both_gates_by_the_reader_where_there_is_no_scorer(ask):
    asked = ask({"order": "scan", "reads": "both"})
    assert {call.role for step in asked.steps for call in step.calls if call.method in ("compress", "choose")} == {
        "reader"
    }


@pytest.mark.parametrize("ahead", [2, 100])
@pytest.mark.parametrize("reads", ["kv", "both"])
def test_gating_blocks_ahead_comes_to_the_same_decisions(ask, ahead, reads):
    settings = {"order": "scan", "reads": reads}
    one = ask(settings, reader=a_reader(["Ulpelhala", "garden"]))
    other = ask({**settings, "ahead": ahead}, reader=a_reader(["Ulpelhala", "garden"]))
    assert one.let_in == other.let_in
    assert one.answer.answer == other.answer.answer
    assert other.answer.usage.serial_depth < one.answer.usage.serial_depth


def test_with_ratio_1_a_scan_of_blocks_decides_as_a_scan_of_texts(ask):
    raw = ask({"order": "scan", "reads": "raw"})
    block = ask({"order": "scan", "reads": "kv", "ratio": 1})
    assert raw.let_in == block.let_in
    assert raw.answer.answer == block.answer.answer


@pytest.mark.parametrize("reads", ["gist", "raw"])
def test_without_blocks_nothing_is_compressed(ask, reads):
    asked = ask({"reads": reads})
    assert "compress" not in [step.node for step in asked.steps]
    assert not (asked.library.workspace / "kv").exists()


def test_gates_that_look_at_no_block_are_refused_with_both():
    graph = get_graph("compressed-memory")
    assert graph.settings({"reads": "both"}).judging == "choose"
    assert graph.settings({"reads": "both", "gate": "attention"}).judging == "attention"
    assert graph.settings({"reads": "kv"}).judging == "similarity"
    assert graph.settings({"reads": "both", "order": "scan"}).judging == "similarity"
    with pytest.raises(InputError, match="looks at no block"):
        graph.settings({"reads": "both", "gate": "likelihood"})


def test_the_gate_that_stands_in_is_not_taken_over_by_a_follow_up(ask):
    asked = ask({"reads": "both"}, scorer=lets_in(["Ulpelhala"]))
    stored = asked.library.runs.get(asked.answer.run_id).settings
    assert stored["gate"] == "similarity"
    assert get_graph("compressed-memory").settings({**stored, "reads": "gist"}).judging == "similarity"


def test_forms_with_blocks_are_no_more_than_analogues():
    graph = get_graph("compressed-memory")
    forms = [{"order": order, "reads": reads} for order in ("scan", "waves") for reads in ("kv", "both")]
    assert {graph.settings(form).honesty for form in forms} == {"analogue"}


@pytest.mark.parametrize(
    "settings", [{"ratio": 0.5}, {"ratio": 99}, {"precision": "int4"}, {"budgets": "odd"}, {"reads": "text"}]
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(InputError):
        get_graph("compressed-memory").settings(settings)


def test_models_whose_insides_are_closed_are_refused_before_a_run_begins(ask):
    closed = ScriptedModel(lambda prompt: "5265", name="closed")
    for settings, models, hint in (
        ({"reads": "kv"}, {"reader": closed}, "--runtime transformers"),
        ({"reads": "both"}, {"scorer": closed}, "--role scorer="),
        ({"reads": "both", "order": "scan"}, {"scorer": closed}, "--role scorer="),
    ):
        with pytest.raises(InputError, match="cannot read compressed memories") as error:
            ask(settings, **models)
        assert hint in error.value.hint and "--memory text" in error.value.hint
        assert ask.opened[-1].library.runs.all() == []


@pytest.mark.parametrize("form", [{"reads": "kv"}, {"reads": "both", "order": "scan"}], ids=["kv", "both"])
def test_a_compressor_that_is_none_is_refused_before_anything_is_stored(ask, form):
    settings = {**form, "compressor": "nonsense"}
    session = ask.session(a_reader())
    with pytest.raises(InputError, match="no compressor nonsense"):
        ask(settings, session=session)
    assert session.library.runs.all() == []
    with pytest.raises(InputError, match="no compressor nonsense"):
        session.estimate(QUESTION, [("id", 9000)], settings=settings)
    with pytest.raises(InputError, match="no compressor nonsense"):
        session.add_text("A text.", title="other", source="s", settings=settings)
    assert [document.title for document in session.library.documents.all()] == ["t"]


def test_the_model_is_asked_early_whether_it_can_compress_like_that(ask):
    class Refusing(ScriptedModel):
        def kv_bytes(self, tokens, compression, precision):
            raise InputError("It was trained for other ratios.")

    session = ask.session(Refusing(lambda prompt: "5265", name="refusing", attends=True))
    with pytest.raises(InputError, match="other ratios"):
        ask({"reads": "kv"}, session=session)
    assert session.library.runs.all() == []
    assert session.library.database.rows("SELECT * FROM chunkings") == []


def test_a_scorer_that_reads_no_block_is_not_loaded_for_it(ask):
    asked = ask({"reads": "kv"})
    reader, loaded = asked.reader, []
    names = {"reader": "reader", "gister": "none", "scorer": "scorer", "embedder": "hashing"}
    loaders = {role: lambda role=role: loaded.append(role) for role in names}
    models = Models.lazy(names, {**loaders, "reader": lambda: reader, "embedder": HashingEmbedder})
    check_blocks(models, get_graph("compressed-memory").settings({"reads": "kv"}))
    assert loaded == []
    check_blocks(models, get_graph("compressed-memory").settings({"reads": "both", "order": "scan"}))
    assert loaded == ["scorer"]


def test_a_path_means_the_same_from_every_folder(tmp_path, monkeypatch):
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / MEMORY_TOKENS_FILE).write_bytes(b"weights")
    (tmp_path / "recent").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    graph = get_graph("compressed-memory")
    for name in ("trained", "./trained", "~/trained"):
        assert graph.settings({"compressor": name}).compressor == str(tmp_path / "trained")
    assert graph.settings({"compressor": "recent"}).compressor == "recent"
    assert graph.settings({"compressor": "unknown"}).compressor == "unknown"
    for name in ("gate.safetensors", "~/gate.safetensors"):
        assert graph.settings({"trained_gate": name}).trained_gate == str(tmp_path / "gate.safetensors")
    assert graph.settings({}).trained_gate == ""


def test_a_scan_of_gists_needs_a_window_for_gists_only(ask):
    settings = {"order": "scan", "chunk_tokens": 400, "working_tokens": 20}
    asked = ask({**settings, "reads": "gist", "gist_share": 0.1}, reader=a_reader(context_window=300))
    assert asked.answer.status == "answered"
    with pytest.raises(InputError, match="beside the working memory"):
        ask({**settings, "reads": "raw"}, reader=a_reader(context_window=300))
    with pytest.raises(InputError, match="beside the working memory"):
        ask({**settings, "reads": "gist"}, reader=a_reader(context_window=180))
