"""Row keys: UUIDv7 (RFC 9562), whose text sorts by time, so that a key is also a cursor."""

import os
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new key, later in order than every key this process made before."""
    global _last
    with _lock:
        # 48 bits of milliseconds and the 12 bits after them as a fraction: one counter that never goes back
        _last = max(_last + 1, (time.time_ns() << 12) // 1_000_000)
        stamp, fraction = _last >> 12, _last & 0xFFF
    tail = int.from_bytes(os.urandom(8), "big") & (2**62 - 1)
    return str(uuid.UUID(int=stamp << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | tail))
