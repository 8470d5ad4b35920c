"""`python -m tools.make_workbench -o DIR`: trains the demonstration bundle from nothing."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch

from egomon.errors import EgomonError
from tools.make_workbench.finish import finish, finish_small
from tools.make_workbench.parallel import run_parallel
from tools.make_workbench.run import SEED, WorkbenchSize, WorkbenchTraining, timed


def main() -> int:
    """Parse, train, write the bundle."""
    parser = argparse.ArgumentParser(prog="python -m tools.make_workbench", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="bundle folder to write")
    parser.add_argument(
        "--cache", type=Path, default=Path("workbench-cache"),
        help="finished stages; about 13 GB, found again by the next run",
    )  # fmt: skip
    parser.add_argument("--processes", type=int, default=2, help="cores to use")
    parser.add_argument(
        "--seed", type=int, default=SEED,
        help="of the branches and the gate; footage and encoders stay the same",
    )  # fmt: skip
    parser.add_argument("--small-only", action="store_true", help="without the large branch")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(options.processes)
    training = WorkbenchTraining(options.cache, WorkbenchSize(), options.processes, options.seed)
    try:
        with timed("all stages"):
            if options.processes > 1 and not options.small_only:
                run_parallel(options.cache, training.size, options.processes, options.seed)
            (finish_small if options.small_only else finish)(training, options.output)
    except EgomonError as error:
        logging.getLogger(__name__).error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
