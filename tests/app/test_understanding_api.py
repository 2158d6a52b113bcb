"""`/v1/embeddings` and `/v1/classify`: what the live model makes of texts and pictures."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from app.settings import Settings
from model import TEMPLATE_SETS
from tests.app.asking import ON_SQLITE, assert_problem, strict_json, upload
from tests.pictures import picture_bytes

pytestmark = [pytest.mark.anyio, ON_SQLITE]

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


async def embedded(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    """The embeddings of an answer, which are of unit length and of the announced dimension."""
    answer = await client.post("/v1/embeddings", **request)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = strict_json(answer)
    vectors = np.array(result["embeddings"])
    assert vectors.shape[1] == result["dimension"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert result["model_version"]
    return result


async def test_texts_and_pictures_are_embedded_in_the_order_sent(client: httpx.AsyncClient) -> None:
    """One vector each, the same whether they come alone or together."""
    texts = ["red", "green", "red", "赤"]
    together = (await embedded(client, json={"texts": texts}))["embeddings"]
    alone = [(await embedded(client, json={"texts": [text]}))["embeddings"][0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    files = [("files", (f"{n}.png", picture_bytes(colour))) for n, colour in enumerate([RED, BLUE])]
    pictures = np.array((await embedded(client, files=files))["embeddings"])
    assert pictures[0] @ together[0] > pictures[1] @ together[0]


async def test_more_texts_than_the_model_queues_at_once_are_embedded(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """A request that is allowed is answered, whatever the queue's size: it is sent in pieces."""
    texts = [f"text {n}" for n in range(settings.max_waiting + 100)]
    result = await embedded(client, json={"texts": texts})
    assert len(result["embeddings"]) == len(texts)


async def test_a_cut_text_is_named_by_its_place(client: httpx.AsyncClient) -> None:
    """The warning says which of the texts it was."""
    result = await embedded(client, json={"texts": ["red", "word " * 50]})
    assert len(result["warnings"]) == 1
    assert "1" in result["warnings"][0]


async def test_pictures_that_cannot_be_embedded_are_refused(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Embedding stores nothing, and says of a bad picture what an upload would say."""
    good = ("files", ("a.png", picture_bytes()))
    for data, status, name in [
        (b"", 422, "empty-image"),
        (b"<svg/>", 415, "unsupported-format"),
        (picture_bytes()[:200], 422, "damaged-image"),
        (b"\x89PNG" + bytes(settings.max_bytes), 413, "request-too-large"),
    ]:
        answer = await client.post("/v1/embeddings", files=[good, ("files", ("b.png", data))])
        assert_problem(answer, status, name)
    many = [("files", (f"{n}.png", b"x")) for n in range(101)]
    assert_problem(await client.post("/v1/embeddings", files=many), 422, "invalid-request")
    left = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    assert not [path for path in left if path.parent.name == "incoming"]
    assert strict_json(await client.get("/v1/images"))["total"] == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/texts"),
        ({"texts": []}, "/texts"),
        ({"texts": "red"}, "/texts"),
        ({"texts": ["red", 1]}, "/texts/1"),
        ({"texts": ["red"], "model": "x"}, "/model"),
        ({"texts": ["x"] * 1_001}, "/texts"),
        ([], ""),
    ],
)
async def test_a_request_for_embeddings_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, body: Any, pointer: str
) -> None:
    """Each refusal points at the field."""
    answer = await client.post("/v1/embeddings", json=body)
    assert_problem(answer, 422, "invalid-request", pointer)


async def classified(client: httpx.AsyncClient, **request: Any) -> list[dict[str, Any]]:
    """The predictions of an answer: probabilities that sum to one, best first."""
    answer = await client.post("/v1/classify", **request)
    assert answer.status_code == 200, answer.text
    predictions: list[dict[str, Any]] = strict_json(answer)["predictions"]
    probabilities = [prediction["probability"] for prediction in predictions]
    assert sum(probabilities) == pytest.approx(1)
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(-1 <= prediction["score"] <= 1 for prediction in predictions)
    return predictions


async def test_a_picture_is_classified_among_the_labels(client: httpx.AsyncClient) -> None:
    """By file and by stored id, as a form and as JSON, with the same answer."""
    data = picture_bytes(GREEN)
    image = await upload(client, data)
    labels = ["red", "green", "blue"]
    templates = ["{label}", "a {label} thing"]
    by_file = await classified(
        client,
        files={"file": ("a.png", data)},
        data={"labels": labels, "templates": templates},
    )
    assert by_file[0]["label"] == "green"
    by_id = await classified(
        client, json={"labels": labels, "templates": templates, "image_id": image["id"]}
    )
    assert [one["label"] for one in by_id] == [one["label"] for one in by_file]
    assert by_id[0]["probability"] == pytest.approx(by_file[0]["probability"], abs=0.01)
    bracketed = await classified(
        client, files={"file": ("a.png", data)}, data={"labels[]": labels, "templates[]": templates}
    )
    assert bracketed == by_file
    assert (await classified(client, json={"labels": ["one"], "image_id": image["id"]}))[0][
        "probability"
    ] == pytest.approx(1)


async def test_many_labels_are_more_prompts_than_the_queue_holds(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Two hundred labels by the default templates are answered: they are sent in pieces."""
    image = await upload(client)
    labels = [f"label {n}" for n in range(settings.max_waiting // 4)]
    predictions = await classified(client, json={"labels": labels, "image_id": image["id"]})
    assert len(predictions) == len(labels)


async def test_templates_may_be_named_and_labels_are_embedded_once(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    """A set's name means its templates; the same question again embeds no text."""
    image = await upload(client, picture_bytes(GREEN))
    encoder = app.state.for_tests["services"].live.generation.queue.encoder
    question = {"labels": ["red", "green"], "image_id": image["id"], "templates": "art"}
    first = await classified(client, json=question)
    texts = len(encoder.texts_embedded)
    assert set(encoder.texts_embedded) == {
        template.replace("{label}", label)
        for template in TEMPLATE_SETS["art"]
        for label in ("red", "green")
    }
    assert await classified(client, json=question) == first
    listed = await classified(client, json=question | {"templates": list(TEMPLATE_SETS["art"])})
    assert listed == first
    assert len(encoder.texts_embedded) == texts


async def test_a_cut_label_is_named_by_its_place(client: httpx.AsyncClient) -> None:
    """The warning says which of the labels it was; the others need none."""
    image = await upload(client)
    question = {"labels": ["red", "word " * 50], "image_id": image["id"]}
    (warning,) = strict_json(await client.post("/v1/classify", json=question))["warnings"]
    assert warning.startswith("Label 1 ")


async def test_a_threshold_tells_what_is_none_of_the_labels(client: httpx.AsyncClient) -> None:
    """As a number or left to us, by JSON and by form; the predictions stay as they are."""
    image = await upload(client, picture_bytes(GREEN))
    question = {"labels": ["red", "green"], "image_id": image["id"]}
    plain = strict_json(await client.post("/v1/classify", json=question))
    assert plain["fit"] is plain["none_of_these"] is None
    for threshold, is_none in ((0, False), (0.5, False), ("auto", False)):
        body = question | {"threshold": threshold}
        found = strict_json(await client.post("/v1/classify", json=body))
        assert found["none_of_these"] == is_none
        assert 0 <= found["fit"] <= 1
        assert found["predictions"] == plain["predictions"]
    for given in ("auto", "0.5"):
        answer = await client.post(
            "/v1/classify",
            files={"file": ("a.png", picture_bytes(GREEN))},
            data={"labels": ["red", "blue"], "threshold": given},
        )
        assert strict_json(answer)["none_of_these"] is True


@pytest.mark.parametrize(
    ("fields", "name", "pointer"),
    [
        ({"labels": []}, "invalid-request", "/labels"),
        ({}, "invalid-request", "/labels"),
        ({"labels": None}, "invalid-request", "/labels"),
        ({"labels": "red"}, "invalid-request", "/labels"),
        ({"labels": ["a"] * 1_001}, "invalid-request", "/labels"),
        ({"labels": ["a\0"]}, "invalid-request", "/labels/0"),
        ({"labels": ["a"], "templates": []}, "invalid-request", "/templates"),
        ({"labels": ["a"], "extra": 1}, "invalid-request", "/extra"),
        ({"labels": ["a", " A "]}, "bad-labels", None),
        ({"labels": ["a", "  "]}, "bad-labels", None),
        ({"labels": [""]}, "bad-labels", None),
        ({"labels": ["a"], "templates": ["a photo of a label"]}, "bad-labels", None),
        ({"labels": ["a"], "templates": "prodcuts"}, "bad-labels", None),
        ({"labels": ["a"], "templates": [""]}, "bad-labels", None),
        ({"labels": ["a"], "templates": ["{label}"] * 101}, "invalid-request", "/templates"),
        ({"labels": ["a"], "templates": {"art": 1}}, "invalid-request", "/templates"),
        ({"labels": ["a"], "threshold": -0.1}, "invalid-request", "/threshold"),
        ({"labels": ["a"], "threshold": 1.1}, "invalid-request", "/threshold"),
        ({"labels": ["a"], "threshold": "often"}, "invalid-request", "/threshold"),
        ({"labels": ["a"], "threshold": "nan"}, "invalid-request", "/threshold"),
        ({"labels": ["a"], "threshold": True}, "invalid-request", "/threshold"),
        ({"labels": ["a"], "threshold": [0.5]}, "invalid-request", "/threshold"),
        ({"labels": ["a"], "threshold": 10**400}, "invalid-request", "/threshold"),
        ({"labels": ["x" * 10_001], "templates": ["{label}"]}, "text-too-long", None),
        (
            {
                "labels": [str(n) for n in range(1_000)],
                "templates": [f"{{label}} {n}" for n in range(100)],
            },
            "invalid-request",
            "/labels",
        ),
    ],
)
async def test_labels_that_make_no_sense_are_refused(
    client: httpx.AsyncClient, fields: dict[str, Any], name: str, pointer: str | None
) -> None:
    """No label, blank ones, the same twice, a template without a place, and far too many."""
    image = await upload(client)
    answer = await client.post("/v1/classify", json={"image_id": image["id"], **fields})
    assert_problem(answer, 422, name, pointer)


async def test_just_one_picture_is_classified(client: httpx.AsyncClient) -> None:
    """Neither none nor two, and a stored one must be there."""
    image = await upload(client)
    file = {"file": ("a.png", picture_bytes())}
    for request in (
        {"json": {"labels": ["a", "b"]}},
        {"files": file, "data": {"labels": ["a", "b"], "image_id": image["id"]}},
    ):
        answer = await client.post("/v1/classify", **request)
        assert_problem(answer, 422, "invalid-request", "/image_id")
    answer = await client.post("/v1/classify", json={"labels": ["a"], "image_id": "none"})
    assert_problem(answer, 404, "not-found")
