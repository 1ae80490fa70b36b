"""`python -m benchmarks [NAME ...]`: run all benchmarks, or those named."""

import importlib
import sys

NAMES = ("reader", "training", "loading", "evaluation", "device")


def main(names: list[str]) -> None:
    """Run each benchmark's `main()` in turn."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; one of: {', '.join(NAMES)}")
    for name in names or NAMES:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
