import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models.base import Segment
from rereader.models.rendering import MIN_PREFIX_TOKENS, NEUTRAL_SYSTEM, Renderer
from rereader.models.tiny import MARKER, SPECIAL_TOKENS, tiny_tokenizer
from rereader.schema.errors import InputError, ModelError

TOKENIZER = tiny_tokenizer()
RENDERER = Renderer(TOKENIZER)
ADDED = set(TOKENIZER.added_tokens_decoder)

hostile = st.lists(
    st.one_of(st.text(max_size=12), st.sampled_from([*SPECIAL_TOKENS, MARKER, "<", "|>", "the and"])), max_size=8
).map("".join)


def text_of(rendered):
    return TOKENIZER.decode(rendered.ids, skip_special_tokens=False)


def templated(messages, **kwargs):
    return TOKENIZER.apply_chat_template(messages, tokenize=False, **kwargs)


@settings(deadline=None, max_examples=200)
@given(hostile)
def test_untrusted_text_is_plain_text_and_survives_whole(text):
    rendered = RENDERER.render((Segment("system", "Be brief."), Segment("user", text, trusted=False)))
    start, end = rendered.ranges[1]
    assert not ADDED & set(rendered.ids[start:end])
    assert TOKENIZER.decode(rendered.ids[start:end], skip_special_tokens=False) == text
    clean = RENDERER.render((Segment("system", "Be brief."), Segment("user", "", trusted=False)))
    assert rendered.ids[:start] + rendered.ids[end:] == clean.ids


@settings(deadline=None, max_examples=100)
@given(st.lists(hostile, max_size=5))
def test_counts_are_the_lengths_of_untrusted_encodings(texts):
    assert RENDERER.count(texts) == [len(RENDERER.encode(text)) for text in texts]


def test_the_switch_for_untrusted_text_does_not_leak_into_trusted_text():
    special = SPECIAL_TOKENS[1]
    for _ in range(3):
        assert len(RENDERER.encode(special, trusted=True)) == 1
        assert len(RENDERER.encode(special)) > 1
        RENDERER.count([special])


def test_turns_are_those_of_the_template():
    prompt = (
        Segment("system", "Be brief."),
        Segment("user", "Who"),
        Segment("user", " came?"),
        Segment("assistant", "Anna."),
        Segment("user", "When?"),
    )
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who came?"},
        {"role": "assistant", "content": "Anna."},
        {"role": "user", "content": "When?"},
    ]
    assert text_of(RENDERER.render(prompt)) == templated(messages, add_generation_prompt=True)


def test_the_template_puts_in_no_system_turn_of_its_own():
    text = text_of(RENDERER.render((Segment("user", "Who?"),)))
    assert "I am the default" in templated([{"role": "user", "content": "Who?"}])
    assert "I am the default" not in text
    assert NEUTRAL_SYSTEM in text


def test_a_last_assistant_turn_is_continued():
    text = text_of(RENDERER.render((Segment("user", "Who?"), Segment("assistant", "It was "))))
    assert text.endswith("<|im_start|>assistant\nIt was ")


def test_segments_are_tokenised_on_their_own():
    prompt = (Segment("user", "t"), Segment("user", "he an"), Segment("user", "d"))
    rendered = RENDERER.render(prompt)
    pieces = [list(rendered.ids[a:b]) for a, b in rendered.ranges]
    assert pieces == [RENDERER.encode(segment.text) for segment in prompt]
    assert rendered.ids != RENDERER.render((Segment("user", "the and"),)).ids


def test_boundaries_end_at_cacheable_segments():
    long = "word " * MIN_PREFIX_TOKENS
    prompt = (
        Segment("system", "Rules. " + long, cacheable=True),
        Segment("user", long, trusted=False, cacheable=True),
        Segment("user", "Who?"),
    )
    rendered = RENDERER.render(prompt)
    assert rendered.boundaries == (rendered.ranges[0][1], rendered.ranges[1][1])
    other = RENDERER.render((*prompt[:2], Segment("user", "And when?")))
    assert other.ids[: rendered.boundaries[1]] == rendered.ids[: rendered.boundaries[1]]


def test_a_short_prefix_and_a_whole_prompt_are_no_boundaries():
    base = Renderer(tiny_tokenizer(chat=False))
    long = "word " * MIN_PREFIX_TOKENS
    assert base.render((Segment("user", "a", cacheable=True), Segment("user", long))).boundaries == ()
    assert base.render((Segment("user", "a"), Segment("assistant", long, cacheable=True))).boundaries == ()


def test_without_a_template_turns_are_separated_by_blank_lines():
    tokenizer = tiny_tokenizer(chat=False)
    base = Renderer(tokenizer)
    prompt = (Segment("system", "Read."), Segment("user", "Text. "), Segment("user", "Who?"))
    assert tokenizer.decode(base.render(prompt).ids) == "Read.\n\nText. Who?\n\n"
    answered = (*prompt, Segment("assistant", "Answer:"))
    assert tokenizer.decode(base.render(answered).ids) == "Read.\n\nText. Who?\n\nAnswer:"
    assert base.end_of_turn_ids() == frozenset()


def with_template(template):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer, Renderer(tokenizer)


REFUSES_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_where_a_template_refuses_system_turns_their_text_opens_the_user_turn():
    tokenizer, renderer = with_template(REFUSES_SYSTEM)
    rendered = renderer.render((Segment("system", "Be brief."), Segment("user", "Who?", trusted=False)))
    assert tokenizer.decode(rendered.ids) == "<|im_start|>user\nBe brief.\n\nWho?<|im_end|>\n<|im_start|>assistant\n"
    assert len(rendered.ranges) == 2
    bare = renderer.render((Segment("user", "Who?"),))
    assert tokenizer.decode(bare.ids) == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_that_drops_system_turns_loses_no_text():
    tokenizer, renderer = with_template(
        "{% for m in messages if m['role'] == 'user' %}[{{ m['content'] }}]{% endfor %}"
    )
    rendered = renderer.render((Segment("system", "Be brief."), Segment("user", "Who?")))
    assert tokenizer.decode(rendered.ids) == "[Be brief.\n\nWho?]"


def test_a_template_that_repeats_or_drops_a_turn_is_an_error():
    for body in ("Hello", "{% for m in messages %}{{ m['content'] * 2 }}{% endfor %}"):
        _, renderer = with_template(body)
        with pytest.raises(ModelError, match="leaves out or repeats"):
            renderer.render((Segment("system", "S"), Segment("user", "U")))


def test_an_order_of_turns_that_the_template_refuses_is_an_error():
    _, renderer = with_template("{{ raise_exception('never') }}")
    with pytest.raises(ModelError, match="never"):
        renderer.render((Segment("user", "U"),))


def test_the_end_of_an_assistant_turn_is_found():
    assert RENDERER.end_of_turn_ids() == {TOKENIZER.convert_tokens_to_ids("<|im_end|>")}


def test_a_first_token_that_the_tokenizer_adds_is_kept_without_a_template():
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer(chat=False)
    first = tokenizer.convert_tokens_to_ids("<|im_start|>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", first)]
    )
    rendered = Renderer(tokenizer).render((Segment("user", "Who?"),))
    assert rendered.ids[0] == first
    assert rendered.ids.count(first) == 1


def test_an_empty_prompt_is_refused():
    with pytest.raises(InputError):
        RENDERER.render(())
