import asyncio
import subprocess
import sys

import pytest
import torch
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from rereader.models.base import Sampling, Segment
from rereader.models.chat import local_chat_model, to_prompt
from rereader.models.local import LocalModel
from rereader.models.tiny import tiny_model
from rereader.schema.errors import InputError


@pytest.fixture(scope="module")
def model():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made = LocalModel(*tiny_model(), name="tiny")
    yield made
    made.close()
    torch.set_num_threads(before)


@pytest.fixture
def chat(model):
    return local_chat_model(model, max_new_tokens=12)


def plain(model, text, **sampling):
    prompt = (Segment("user", text, trusted=False),)
    return model.generate([prompt], Sampling(**{"max_new_tokens": 12, **sampling}))[0]


def test_invoke_replies_like_the_model_and_counts(chat, model):
    message = chat.invoke("Who came?")
    reply = plain(model, "Who came?")
    assert isinstance(chat, BaseChatModel)
    assert message.content == reply.text
    assert message.usage_metadata["input_tokens"] == reply.prompt_tokens
    assert message.usage_metadata["output_tokens"] == reply.completion_tokens
    assert message.response_metadata == {"model_name": "tiny", "finish_reason": reply.finish_reason}


def test_settings_may_be_given_per_call(chat, model):
    message = chat.invoke("Who?", max_new_tokens=5, temperature=1.0, seed=4)
    assert message.content == plain(model, "Who?", max_new_tokens=5, temperature=1.0, seed=4).text
    free = plain(model, "Who?").text
    assert chat.invoke("Who?", stop=[free[3:5]]).content == free[: free.index(free[3:5])]


def test_stream_joins_to_the_reply_and_ends_with_the_count(chat):
    chunks = list(chat.stream("Who came?"))
    whole = sum(chunks[1:], chunks[0])
    invoked = chat.invoke("Who came?")
    assert whole.content == invoked.content
    assert whole.usage_metadata == invoked.usage_metadata
    assert len(chunks) > 2


def test_stream_of_a_model_that_returns_no_reply_is_counted(chat, model, monkeypatch):
    monkeypatch.setattr(LocalModel, "stream", lambda self, *args: iter(["ab", "c"]))
    chunks = list(chat.stream("Who?"))
    whole = sum(chunks[1:], chunks[0])
    assert whole.content == "abc"
    assert whole.usage_metadata["output_tokens"] == 3


def test_batch_runs_as_one_batch_of_the_model(chat, model, monkeypatch):
    questions = ["Who?", "When and where?", "Who?"]
    alone = [chat.invoke(question) for question in questions]
    sizes, generate = [], LocalModel.generate

    def counted(self, prompts, *args):
        sizes.append(len(prompts))
        return generate(self, prompts, *args)

    monkeypatch.setattr(LocalModel, "generate", counted)
    together = chat.batch(questions)
    assert [message.content for message in together] == [message.content for message in alone]
    assert [message.usage_metadata for message in together] == [message.usage_metadata for message in alone]
    assert sizes == [3]
    chat.invoke("Who?")
    assert sizes == [3, 1]
    assert chat.batch([]) == []


def test_async_calls_reply_alike(chat):
    async def calls():
        one = await chat.ainvoke("Who?")
        many = await chat.abatch(["Who?", "When?"])
        pieces = [chunk.content async for chunk in chat.astream("Who?")]
        return one.content, [message.content for message in many], "".join(pieces)

    one, many, streamed = asyncio.run(calls())
    assert one == many[0] == streamed == chat.invoke("Who?").content


def test_callbacks_see_every_input_of_a_batch(chat):
    class Seen(BaseCallbackHandler):
        def __init__(self):
            self.started, self.ended = 0, 0

        def on_chat_model_start(self, *args, **kwargs):
            self.started += 1

        def on_llm_end(self, *args, **kwargs):
            self.ended += 1

    seen = Seen()
    chat.batch(["Who?", "When?"], {"callbacks": [seen]})
    assert (seen.started, seen.ended) == (2, 2)


def test_messages_become_segments():
    prompt = to_prompt([SystemMessage("Rules."), HumanMessage("Who?"), AIMessage("Anna.")])
    assert prompt == (
        Segment("system", "Rules.", trusted=True),
        Segment("user", "Who?", trusted=False),
        Segment("assistant", "Anna.", trusted=False),
    )
    assert to_prompt([HumanMessage([{"type": "text", "text": "Who?"}])])[0].text == "Who?"


def test_what_the_model_cannot_read_is_refused(chat):
    with pytest.raises(InputError, match="tool"):
        chat.invoke([HumanMessage("x"), ToolMessage("y", tool_call_id="1")])
    with pytest.raises(InputError, match="more than text"):
        chat.invoke([HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}])])


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("rereader.models", ("torch", "transformers", "langchain_core")),
        ("rereader.models.local", ("torch", "transformers", "langchain_core")),
        ("rereader.models.chat", ("torch", "transformers")),
    ],
)
def test_heavy_packages_are_imported_only_when_needed(module, absent):
    code = f"import sys, {module}; sys.exit([name for name in {absent!r} if name in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
