from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models.reply import ReplyText
from rereader.models.tiny import tiny_tokenizer


@settings(deadline=None, max_examples=200)
@given(
    st.text(alphabet="añ€😀xyz", min_size=1, max_size=20), st.lists(st.text(alphabet="añ€xyz", max_size=3), max_size=3)
)
def test_reply_text_holds_back_split_characters_and_stop_strings(text, stops):
    tokenizer = tiny_tokenizer()
    pieces = []
    reply = ReplyText(tokenizer.decode, stops, pieces.append)
    for token in tokenizer(text)["input_ids"]:
        if reply.push(token):
            break
    reply.finish()
    # The stop string that is complete first ends the reply; of two that end together the longer one.
    found = [(text.index(stop) + len(stop), text.index(stop)) for stop in stops if stop and stop in text]
    assert reply.text == "".join(pieces) == text[: min(found, default=(0, len(text)))[1]]
    assert "�" not in reply.text
