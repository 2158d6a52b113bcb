"""What can go wrong at the outer edge.

AppError
├── DataFolderUnusable   the data folder can't be written
├── RequestTooLarge      more bytes than a request may have
├── MalformedForm        a multipart body that can't be read
├── FieldInvalid         a form field with a value that makes no sense
├── Overloaded           more is in hand than will be answered soon
├── PortTaken            another program listens there
├── AddressUnusable      nobody may listen there
└── StartFailed          the server ended before it served
"""

from __future__ import annotations

import os
from pathlib import Path


class AppError(Exception):
    """Base of everything the app layer raises on purpose."""


class DataFolderUnusable(AppError):
    """The data folder can't be created or written; the message holds the command that mends it."""

    def __init__(self, path: Path, reason: str) -> None:
        owner = path.stat().st_uid if path.exists() else None
        found = "" if owner is None else f" It belongs to user {owner}, this is user {os.getuid()}."
        mend = f"Run `sudo chown -R {os.getuid()} {path}`" if owner is not None else "Create it"
        super().__init__(
            f"The data folder {path} can't be written: {reason}.{found} "
            f"{mend} or set BEHOLDER_DATA_DIR to another folder."
        )
        self.path = path
        self.reason = reason


class RequestTooLarge(AppError):
    """The request has more bytes than it may have; the rest was not read."""

    def __init__(self, limit: int, setting: str) -> None:
        super().__init__(
            f"The request is over {limit:,} bytes; the setting {setting} raises the limit."
        )
        self.limit = limit
        self.setting = setting


class MalformedForm(AppError):
    """The body is not the multipart form that it says it is."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The form can't be read: {reason}.")
        self.reason = reason


class FieldInvalid(AppError):
    """A field of a form is missing, unknown or makes no sense; `pointer` names it."""

    def __init__(self, pointer: str, reason: str) -> None:
        super().__init__(f"{pointer}: {reason}.")
        self.pointer = pointer
        self.reason = reason


class Overloaded(AppError):
    """As much is in hand as can be; nothing of this request was read."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"The service is busy; try again in {retry_after_seconds} s.")
        self.retry_after_seconds = retry_after_seconds


class PortTaken(AppError):
    """Another program listens on the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"Port {port} on {host} is taken; choose another with --port.")
        self.host = host
        self.port = port


class AddressUnusable(AppError):
    """The address is none of this machine's, or the port needs more rights."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"The service can't listen on port {port} of {host}: {reason}.")
        self.host = host
        self.port = port
        self.reason = reason


class StartFailed(AppError):
    """The server ended before it served; what stopped it has been logged."""

    def __init__(self) -> None:
        super().__init__("The server could not start; the log above says why.")
