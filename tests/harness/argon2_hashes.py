"""`python -m tests.harness.argon2_hashes BUILD SEED`: one build's Argon2 hashes of inputs.

Two builds cannot be loaded into one process. The output is JSON.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

from gateway.passwords.argon2_build import BUILDS, WHEEL, in_use, load
from settings import Settings

COUNT = 10_000
THREADS = 30

Input = dict[str, Any]


def inputs(seed: str) -> list[Input]:
    """Of every kind that argon2 takes, with little memory; and some that cost what logins do."""
    from argon2.low_level import Type

    chosen = random.Random(seed)
    default = Settings()
    found: list[Input] = []
    for number in range(COUNT + THREADS):
        lanes = chosen.randint(1, 2)
        cost: Input = {
            "time_cost": chosen.randint(1, 3),
            "memory_cost": 8 * lanes + chosen.randrange(64),
            "parallelism": lanes,
            "hash_len": chosen.randint(4, 80),
            "type": chosen.choice(list(Type)),
        }
        if number >= COUNT:
            cost |= {
                "time_cost": default.argon2_time_cost,
                "memory_cost": default.argon2_memory_kib,
                "parallelism": default.argon2_parallelism,
                "type": Type.ID,
            }
        secret = chosen.randbytes(chosen.randrange(200))
        found.append({"secret": secret, "salt": chosen.randbytes(chosen.randint(8, 64)), **cost})
    return found


def rfc_9106(kind: str) -> str:
    """The tag of its test vector: with a key, associated data and four lanes."""
    from argon2.low_level import Type, core, ffi

    out = ffi.new("uint8_t[]", 32)
    fields = {"pwd": b"\1" * 32, "salt": b"\2" * 16, "secret": b"\3" * 8, "ad": b"\4" * 12}
    kept = {name: ffi.new("uint8_t[]", value) for name, value in fields.items()}
    lengths = {f"{name}len": len(value) for name, value in fields.items()}
    costs = {"t_cost": 3, "m_cost": 32, "lanes": 4, "threads": 4, "version": 0x13}
    context = ffi.new(
        "argon2_context *", {"out": out, "outlen": len(out), **kept, **lengths, **costs}
    )
    error = core(context, Type[kind].value)
    assert error == 0, error
    return bytes(out).hex()


def one_after_the_other(hash_: Callable[[Input], str], all_: list[Input]) -> list[str]:
    """By one thread."""
    return [hash_(each) for each in all_]


def all_at_once(hash_: Callable[[Input], str], all_: list[Input]) -> list[str]:
    """By thirty threads, each of which has its part."""
    found, start = [""] * len(all_), threading.Barrier(THREADS)

    def work(number: int) -> None:
        start.wait()
        for place in range(number, len(all_), THREADS):
            found[place] = hash_(all_[place])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def main() -> None:
    """Print what this build does."""
    _, build, seed = sys.argv
    if build != WHEEL:
        load(BUILDS / build)
    assert in_use().name == build
    from argon2.low_level import hash_secret_raw

    def hash_(each: Input) -> str:
        return hash_secret_raw(**each).hex()

    all_ = inputs(seed)
    said = {
        "vectors": {kind: rfc_9106(kind) for kind in ("D", "I", "ID")},
        "one after the other": one_after_the_other(hash_, all_),
        "all at once": all_at_once(hash_, all_),
    }
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
