#!/usr/bin/env bash
# Runs the tests (and ruff, which is one of them); arguments go to pytest:
#   bash scripts/test.sh tests/ops -k resize
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# More workers than this would not help: compilation needs the memory.
exec "$python" -m pytest -n logical --maxprocesses 4 --dist worksteal "$@"
