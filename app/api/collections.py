"""`/v1/collections`: name-spaces of images, with settings of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from app.api import collection_schemas, schemas
from app.api.dependencies import LanesDep, ServicesDep
from index import Collection, CollectionPage, CollectionSettings

router = APIRouter(prefix="/v1/collections", tags=["collections"])

# A name may have slashes.
ONE = "/{name:path}"


@router.get("")
async def list_collections(
    services: ServicesDep,
    lanes: LanesDep,
    limit: schemas.Limit = 50,
    cursor: schemas.Cursor | None = None,
) -> collection_schemas.CollectionListOut:
    """A page of collections, by name."""

    def read() -> CollectionPage:
        return services.collections.page(limit=limit, cursor=cursor)

    page = await lanes.read.run(read)
    return collection_schemas.CollectionListOut(
        items=[collection_out(one) for one in page.collections],
        next_cursor=page.next_cursor,
        total=page.total,
    )


@router.get(ONE)
async def get_collection(
    name: schemas.Collection, services: ServicesDep, lanes: LanesDep
) -> collection_schemas.CollectionOut:
    """One collection: its settings, and how much it holds."""
    return collection_out(await lanes.read.run(services.collections.get, name))


@router.put(
    ONE,
    responses={
        201: {"model": collection_schemas.CollectionOut, "description": "It was not there before."}
    },
)
async def put_collection(
    name: schemas.Collection,
    body: collection_schemas.CollectionIn,
    response: Response,
    services: ServicesDep,
    lanes: LanesDep,
) -> collection_schemas.CollectionOut:
    """Make a collection, or give one these settings; an upload that names one makes it too."""
    settings = CollectionSettings(**body.model_dump())
    collection, is_new = await lanes.read.run(services.collections.put, name, settings)
    if is_new:
        response.status_code = 201
        response.headers["Location"] = _address(services.settings.root_path, collection)
    return collection_out(collection)


@router.patch(ONE)
async def patch_collection(
    name: schemas.Collection,
    patch: collection_schemas.CollectionPatch,
    response: Response,
    services: ServicesDep,
    lanes: LanesDep,
) -> collection_schemas.CollectionOut:
    """Change settings by a JSON merge patch, or the name: its images go with it."""
    given: dict[str, Any] = patch.model_dump(exclude_unset=True, exclude={"name"})
    default = CollectionSettings()
    changes = {
        field: getattr(default, field) if value is None else value for field, value in given.items()
    }

    def change() -> Collection:
        return services.collections.change(
            name, lambda settings: replace(settings, **changes), new_name=patch.name
        )

    collection = await lanes.read.run(change)
    response.headers["Content-Location"] = _address(services.settings.root_path, collection)
    return collection_out(collection)


@router.delete(ONE, status_code=204)
async def delete_collection(
    name: schemas.Collection,
    services: ServicesDep,
    lanes: LanesDep,
    with_images: Annotated[
        bool, Query(description="Delete its images too; without it a collection must be empty.")
    ] = False,
) -> None:
    """Remove a collection. Images that come while theirs are deleted stay, and it with them."""

    def delete() -> None:
        services.collections.delete(name, with_images=with_images)

    await lanes.read.run(delete)


def collection_out(collection: Collection) -> collection_schemas.CollectionOut:
    """The wire form of a collection."""
    settings = collection.settings
    return collection_schemas.CollectionOut(
        name=collection.name,
        description=settings.description,
        min_score=settings.min_score,
        group_duplicates=settings.group_duplicates,
        accepts_uploads=settings.accepts_uploads,
        searched_by_default=settings.searched_by_default,
        images=collection.images,
        bytes=collection.size_bytes,
        created_at=collection.created_at,
    )


def _address(root_path: str, collection: Collection) -> str:
    return f"{root_path}/v1/collections/{quote(collection.name)}"
