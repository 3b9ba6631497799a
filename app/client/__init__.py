"""The Python client. `Client("http://127.0.0.1:8765").submit_search(...)` returns at once; `wait()` shows progress."""

from app.client.client import Client
from app.client.handles import Search
from app.client.http import ApiError

__all__ = ["ApiError", "Client", "Search"]
