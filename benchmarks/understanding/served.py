"""`python -m benchmarks.understanding.served MODEL`: serve a model file on loopback until standard
input ends; the first line of standard output is the URL.

`packaged` runs it; it needs the package xllamacpp, which `requirements.txt` names.
"""

import os
import sys
from pathlib import Path

_TOKENS = 8_192
_MOST_TOKENS_OF_ANSWERS = 160


def main(model: Path) -> None:
    """Serve until nobody holds the other end of standard input."""
    import xllamacpp  # only where it is installed: it is no part of `make install`

    threads = len(os.sched_getaffinity(0))
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx = _TOKENS
    params.n_parallel = 1
    params.n_predict = _MOST_TOKENS_OF_ANSWERS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    # Its threads would go on with an answer that nobody waits for.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
