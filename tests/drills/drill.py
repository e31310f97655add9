"""Runs the drills, and prints the table. Started by `run`, which says how."""

import argparse
import asyncio
import sys
import tempfile
import time
import traceback

from drills import DRILLS, sums
from house import House


class Table:
    def __init__(self):
        self.rows, self.broken = [], 0

    def row(self, what, promised, measured, kept):
        self.rows.append((what, promised, measured, "kept" if kept else "BROKEN"))
        self.broken += not kept
        print(f"{'ok     ' if kept else 'BROKEN '} {what}: {measured} (promised: {promised})", flush=True)

    def text(self):
        head = ("drill", "promised", "measured", "")
        rows = [head, ("---",) * 4, *self.rows]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


async def run(arguments, folder):
    table, house = Table(), House(arguments.orqen, folder)
    house.answered, house.patience = set(), arguments.patience

    def scale(whole, short):
        return short if arguments.short else whole

    try:
        await house.open()
        for name in arguments.only or DRILLS:
            began = time.monotonic()
            print(f"--- {name}", flush=True)
            await DRILLS[name](house, table, scale)
            print(f"--- {name}: {time.monotonic() - began:.0f} s", flush=True)
        await sums(house, table, scale)
    except Exception:
        traceback.print_exc()
        table.row("the drills", "end", "they did not", False)
        for number in range(house.REPLICAS):
            with open(f"{folder}/replica-{number}.log") as log:
                print(f"--- the end of replica {number}'s log", *log.readlines()[-15:], sep="\n", file=sys.stderr)
    finally:
        # What is left of connections ends with the loop, and says nothing of Orqen.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        await house.close()
    print(f"\n{table.text()}\n")
    return table.broken


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--orqen", required=True)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--patience", type=float, default=1)
    parser.add_argument("--only", action="append", choices=DRILLS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broken = asyncio.run(run(arguments, folder))
    sys.exit(1 if broken else 0)


main()
