"""Text to token ids."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import EmptyText, TextTooLong
from model.tokenizers import MAXIMUM_CHARACTERS, Tokenizer, TokenizerSettings, pad
from tests.model import tiny

START, END = 2, 3
TOKENIZER = Tokenizer(tiny.tokenizer_settings(), context_length=12)


def test_long_text_is_cut_at_a_token_and_keeps_its_end() -> None:
    """A text of 300 words fills the context, ends with the end token, and says it was cut."""
    (tokens,) = TOKENIZER([" ".join(["red car"] * 150)])
    assert len(tokens.ids) == 12
    assert tokens.ids[0] == START
    assert tokens.ids[-1] == END
    assert tokens.was_truncated


def test_text_that_just_fits_is_not_cut() -> None:
    """Ten words and the two special tokens fill a context of twelve."""
    fits, over = TOKENIZER([" ".join(["dog"] * 10), " ".join(["dog"] * 11)])
    assert not fits.was_truncated
    assert over.was_truncated
    assert fits.ids == over.ids


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u200b", "\x00", "\u3000 \xa0"])
def test_text_without_a_visible_character_is_refused(text: str) -> None:
    """Empty, blank and invisible texts are EmptyText, not noise."""
    with pytest.raises(EmptyText):
        TOKENIZER([text])


def test_text_over_the_cap_is_refused_before_it_is_read() -> None:
    """The cap counts characters, and the error carries both numbers."""
    TOKENIZER(["a" * MAXIMUM_CHARACTERS])
    with pytest.raises(TextTooLong) as raised:
        TOKENIZER(["a" * (MAXIMUM_CHARACTERS + 1)])
    assert (raised.value.characters, raised.value.limit) == (10_001, 10_000)


@given(st.text(st.characters(), min_size=1, max_size=200))
def test_any_text_gives_tokens_or_is_empty(text: str) -> None:
    """Any script, lone surrogates and control characters never crash."""
    try:
        (tokens,) = TOKENIZER([text])
    except EmptyText:
        return
    assert tokens.ids[0] == START
    assert tokens.ids[-1] == END
    assert len(tokens.ids) <= 12


def test_case_and_accents_do_not_matter() -> None:
    """The tokenizer is uncased, as the text tower was trained."""
    plain, shouted, accented = TOKENIZER(["a red car", "A RED CAR", "á réd cär"])
    assert plain.ids == shouted.ids == accented.ids


def test_padding_reaches_the_longest_text_only() -> None:
    """A batch is as long as its longest text, and padding is marked."""
    ids, is_token = pad(TOKENIZER(["a dog", "a red car on the beach"]))
    assert ids.shape == (2, 8)
    assert is_token.sum(dim=1).tolist() == [4, 8]
    assert ids[0, 4:].tolist() == [0, 0, 0, 0]


def test_foreign_text_is_no_tokenizer() -> None:
    """A definition that the library cannot read is a ValueError with the reason."""
    with pytest.raises(ValueError, match="no tokenizer definition"):
        Tokenizer(TokenizerSettings("{}"), context_length=12)


def test_full_padding_fills_the_context_with_tokens_that_count() -> None:
    """Towers that attend to padding get every text at the context length, as they were trained."""
    settings = dataclasses.replace(tiny.tokenizer_settings(), padding="full", pad_id=4)
    short, cut = Tokenizer(settings, context_length=12)(["a dog", "dog " * 20])
    assert short.ids == (*TOKENIZER(["a dog"])[0].ids, *[4] * 8)
    assert len(cut.ids) == 12
    assert (short.was_truncated, cut.was_truncated) == (False, True)


def test_a_text_cannot_name_a_control_token() -> None:
    """The name of the end token in a text is read as a text, so no text ends itself early."""
    (tokens,) = TOKENIZER(["a [SEP] dog"])
    assert tokens.ids.count(END) == 1


def test_a_tokenizer_without_an_end_token_is_cut_at_the_last_place() -> None:
    """Where a definition adds nothing at the end, cutting keeps the first tokens alone."""
    definition = json.loads(tiny.tokenizer_settings().definition) | {"post_processor": None}
    tokenizer = Tokenizer(TokenizerSettings(json.dumps(definition)), context_length=3)
    (tokens,) = tokenizer(["a red car on the beach"])
    (words,) = TOKENIZER(["a red car"])
    assert tokens.ids == words.ids[1:-1]


@pytest.mark.parametrize(
    "settings",
    [
        tiny.tokenizer_settings(),
        TokenizerSettings("{}", cleaning="clip"),
        TokenizerSettings("{}", padding="full", pad_id=1),
    ],
)
def test_settings_survive_the_header_of_a_checkpoint(settings: TokenizerSettings) -> None:
    """What is written reads back equal; a plain definition stays one, as in older files."""
    assert TokenizerSettings.from_json(settings.to_json()) == settings
    assert (settings.to_json() == settings.definition) == (settings == TOKENIZER.settings)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", '{"definition": "{}", "padding": "some"}', '{"definition": "{}", "odd": 1}'],
)
def test_a_header_of_another_shape_is_refused(text: str) -> None:
    """An unreadable, unknown or misspelt setting is an error, never a silent default."""
    with pytest.raises((TypeError, ValueError)):
        TokenizerSettings.from_json(text)
