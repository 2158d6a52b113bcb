"""CLIP's byte-pair tokenizer against OpenAI's own, whose ids the golden file holds."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.byte_pairs import adopt_tokenizer, byte_pair_tokenizer, clip_tokenizer
from model.errors import EmptyText
from model.tokenizers import Tokenizer, TokenizerSettings, pad
from tests.model import clip_files, tiny

START, END = 49_406, 49_407
TOKENIZER = Tokenizer(clip_tokenizer(), context_length=77)
# Written by scripts/tokenizer_parity.py from OpenAI's `simple_tokenizer.py`.
GOLDEN = json.loads((Path(__file__).parent / "golden" / "clip_tokens.json").read_text("utf-8"))


@pytest.mark.parametrize("case", GOLDEN, ids=[repr(case["text"][:30]) for case in GOLDEN])
def test_ids_are_those_of_openai(case: dict[str, object]) -> None:
    """Contractions, digits, entities, emoji, scripts, marks and long texts become the same ids."""
    (tokens,) = TOKENIZER([str(case["text"])])
    assert list(tokens.ids) == case["ids"]


def test_the_vocabulary_has_49408_tokens_of_which_the_last_two_are_start_and_end() -> None:
    """It is the paper's vocabulary, so ids fit the 49,408 rows of every CLIP text tower."""
    vocabulary = json.loads(clip_tokenizer().definition)["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(49_408))
    assert (vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]) == (START, END)


def test_a_text_of_300_words_is_cut_and_keeps_its_end_token() -> None:
    """A long text fills the context of 77, ends with the end token, and says that it was cut."""
    (tokens,) = TOKENIZER(["red car " * 150])
    assert len(tokens.ids) == 77
    assert tokens.ids[-1] == END
    assert tokens.was_truncated


def test_no_text_holds_a_control_token() -> None:
    """A text that names the start or end token is read as these characters, and ends once."""
    (tokens,) = TOKENIZER(["a <|endoftext|> dog <|startoftext|>"])
    assert tokens.ids.count(END) == tokens.ids.count(START) == 1
    assert tokens.ids[-1] == END


@pytest.mark.parametrize("text", ["&nbsp;", "&amp;nbsp;", " &#8203; ", "&#x20;&#10;"])
def test_a_text_with_nothing_left_after_cleaning_is_empty(text: str) -> None:
    """Entities of blanks are no more of a text than the blanks themselves."""
    with pytest.raises(EmptyText):
        TOKENIZER([text])


@given(st.text(min_size=1, max_size=300))
def test_any_text_becomes_ids_of_the_vocabulary(text: str) -> None:
    """Whatever the characters, a text starts, ends, fits the context and has known ids only."""
    try:
        (tokens,) = TOKENIZER([text])
    except EmptyText:
        return
    assert tokens.ids[0] == START
    assert tokens.ids[-1] == END
    assert len(tokens.ids) <= 77
    assert max(tokens.ids) <= END


@pytest.mark.parametrize(
    ("vocabulary", "merges", "reason"),
    [
        ({"a": 0}, [], "lacks the token"),
        ({"<|startoftext|>": 0, "<|endoftext|>": 1}, [("a", "b")], "do not fit"),
    ],
)
def test_a_vocabulary_that_cannot_be_clips_is_refused(
    vocabulary: dict[str, int], merges: list[tuple[str, str]], reason: str
) -> None:
    """A vocabulary without control tokens, or without a merge's tokens, is a ValueError."""
    with pytest.raises(ValueError, match=reason):
        byte_pair_tokenizer(vocabulary, merges)


def library_port(**changes: object) -> str:
    """A tokenizer.json as that library's port of CLIP writes it: its own cleaning, no repairs."""
    values = json.loads(clip_tokenizer().definition)
    values["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}]}
    values["model"]["merges"] = [" ".join(pair) for pair in values["model"]["merges"]]
    return json.dumps(values | changes)


def added(content: str, place: int) -> dict[str, object]:
    """An entry of the list of added tokens."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": place, "content": content, "special": False, **flags}


def test_a_clip_definition_gets_the_cleaning_its_models_were_trained_with() -> None:
    """The port that model folders carry reads texts as OpenAI's own code does."""
    assert adopt_tokenizer(library_port()) == clip_tokenizer()


def test_tokens_added_to_clips_are_still_found() -> None:
    """A vocabulary with a word of its owner's keeps it, and the end token stays where it was."""
    definition = library_port(added_tokens=[added("<my-cat>", 49_408)])
    (tokens,) = Tokenizer(adopt_tokenizer(definition), 77)(["a <my-cat> on the beach"])
    assert 49_408 in tokens.ids
    assert tokens.ids[-1] == END


def test_another_tokenizer_stays_as_it_is() -> None:
    """A definition that is not CLIP's is not cleaned as CLIP's."""
    settings = tiny.tokenizer_settings()
    assert adopt_tokenizer(settings.definition) == TokenizerSettings(settings.definition)


@pytest.mark.parametrize("definition", ["", "{}", "[1]", '{"model": {"type": "BPE"}}'])
def test_a_definition_that_cannot_be_read_is_refused(definition: str) -> None:
    """A text that is no tokenizer is a ValueError."""
    with pytest.raises(ValueError, match="no tokenizer definition"):
        adopt_tokenizer(definition)


def test_a_text_has_one_embedding_whichever_way_it_is_padded() -> None:
    """Alone, beside a long text, and filled up with end tokens: the first end token is pooled."""
    tokenizer = Tokenizer(clip_tokenizer(), context_length=16)
    model = clip_files.model(clip_files.VIT)
    alone, beside = (pad(tokenizer(texts)) for texts in (["wow!!!"], ["wow!!!", "red car " * 20]))
    filled = torch.full((1, 16), END)
    filled[:, : alone[0].shape[1]] = alone[0]
    with torch.inference_mode():
        expected = model.encode_texts(*alone)
        for ids, is_token in (beside, (filled, torch.ones_like(filled, dtype=torch.bool))):
            found = model.encode_texts(ids, is_token)[:1]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
