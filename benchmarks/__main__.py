"""Run the benchmarks: ``python -m benchmarks [--quick] [--only NAME] [--out FILE]``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.timing import machine

NAMES = ("design", "prediction", "samplers", "weights", "guided", "frames", "import")
OUT = Path(__file__).resolve().parents[1] / "results" / "benchmarks.json"


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write; 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=NAMES, action="append", help="run this one (repeatable)")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    parser.add_argument("--out", type=Path, default=OUT, help=f"JSON file (default {OUT.name})")
    options = parser.parse_args(arguments)

    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "machine": machine(),
        "tables": [],
        "targets": [],
    }
    described = document["machine"]
    threads = ", ".join(f"{name} {n}" for name, n in described["threads"].items())
    print(f"{described['cpu']}, {described['cores']} cores, load {described['load']}")
    print(f"threads: {threads}; numpy {described['numpy']}, scipy {described['scipy']}")
    targets = []
    for name in options.only or NAMES:
        report = importlib.import_module(f"benchmarks.bench_{name}").run(options.quick)
        for table in report.tables:
            print(f"\n{table}", flush=True)
            document["tables"].append(table.as_dict())
        targets += report.targets
    print()
    for target in targets:
        print(target)
        document["targets"].append(target.as_dict())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {options.out}")
    return 0 if all(target.met for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
