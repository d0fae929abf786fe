#!/usr/bin/env bash
# Trains source-only and DADA on the embedded pair `streets`, scores both on the
# target, prints one table and writes pictures. Takes at most 12 minutes on two
# cores after the set-up. If interrupted, it resumes when run again; once done,
# it only prints the table. Other folder: DEMO_DIR=elsewhere bash scripts/demo.sh
set -euo pipefail

if [ "${1:-}" = --help ]; then
  sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"
  exit
elif [ $# -gt 0 ]; then
  echo "error: unknown argument $1; expected none, or --help" >&2
  exit 2
fi
# A training that is interrupted saves and ends normally; this ends the rest.
trap 'exit 130' INT TERM

steps=600
flags=(
  --config.total_steps="$steps"
  --config.stop_step="$steps"
  --config.eval_every="$steps"
  --config.picture_every="$((steps / 3))"
)

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

out=${DEMO_DIR:-demo}
for method in source_only dada; do
  echo
  echo "== $method: $steps steps, then the evaluation on the target"
  "$python" -m jaxuda train --config="$method:pair=streets" \
    --workdir="$out/$method" "${flags[@]}"
done

echo
"$python" scripts/compare.py --workdirs="$out/source_only,$out/dada"
echo
echo "Pictures: $out/source_only/pictures and $out/dada/pictures"
echo "Curves:   $python -m jaxuda watch $out"
