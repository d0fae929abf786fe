#!/usr/bin/env bash
# Runs the tests (ruff is one of them); arguments are passed to pytest:
#   bash scripts/test.sh tests/ops -k resize
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# More workers than this would not help: compilation needs too much memory.
exec "$python" -m pytest -n logical --maxprocesses 4 --dist worksteal "$@"
