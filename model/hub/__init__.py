"""Models from the hub, by the names people know."""

from model.hub.fetching import fetch
from model.hub.names import HubName, hub_name

__all__ = ["HubName", "fetch", "hub_name"]
