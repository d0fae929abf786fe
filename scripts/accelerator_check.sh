#!/usr/bin/env bash
# Checks and times jaxuda on the accelerator at hand, in 9 minutes at most:
#   bash scripts/accelerator_check.sh --out=DIR [--golden=FOLDER] [--stages=...]
#   bash scripts/accelerator_check.sh --out=DIR --small     # on a CPU, tiny
# Writes DIR/accelerator.json and DIR/accelerator.md. $PYTHON names an
# interpreter other than python3.
#
# Python 3.12 with jax, flax, optax, orbax, safetensors, OpenCV and Pillow is
# enough; jaxuda need not be installed. PyTorch is compared with if installed.
# On a machine without internet, provide missing packages as wheels in a folder;
# they are put on the path of this command only:
#   pip download --no-deps -d wheels ml_collections
#   WHEELS=wheels bash scripts/accelerator_check.sh --out=DIR
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-python3}"

if [[ -n "${WHEELS:-}" ]]; then
  site="$(mktemp -d)"
  trap 'rm -rf "$site"' EXIT
  "$python" -m pip install --quiet --no-index --no-deps --no-compile \
    --target "$site" "$WHEELS"/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi

export PYTHONPATH="$root/scripts:$root${PYTHONPATH:+:$PYTHONPATH}"
"$python" -m accelerator.main "$@"
