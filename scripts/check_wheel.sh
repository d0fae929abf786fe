#!/usr/bin/env bash
# Installs the wheel and its dependencies into a new environment of a given
# Python, with the first cell of a notebook; then, from another folder, trains
# two steps on the embedded pair, scores them and labels the pictures drawn:
#   bash scripts/check_wheel.sh python3.13
# Takes minutes, mostly for downloads; everything is in a temporary folder.
set -euo pipefail

if [ $# != 1 ]; then
  echo "error: $# arguments; expected one, a Python from 3.11 to 3.13" >&2
  exit 1
fi
base=$(command -v "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# From a copy, because setuptools leaves a build folder next to the code.
mkdir "$folder/source" "$folder/elsewhere"
cp -r pyproject.toml setup.py README.md LICENSE jaxuda configs "$folder/source"
"$base" -m venv "$folder/environment"
PATH="$folder/environment/bin:$PATH"
pip wheel --quiet --no-deps --wheel-dir "$folder" "$folder/source"
rm -r "$folder/source"

# As the first cell of a notebook installs it on a bare runtime.
python - "$folder"/jaxuda-*.whl > "$folder/cell.py" << 'END'
import json, pathlib, sys

notebook = json.loads(pathlib.Path('colabs/getting_started.ipynb').read_text())
texts = [''.join(cell['source']) for cell in notebook['cells']]
(text,) = [x for x in texts if "PACKAGE = ''" in x]
print(text.replace("PACKAGE = ''", f'PACKAGE = {sys.argv[1]!r}'))
END
python "$folder/cell.py"

unset PYTHONPATH
export TFDS_DATA_DIR="$folder/data"
cd "$folder/elsewhere"
flags=(
  --config.network.backbone=resnet_tiny
  '--config.data.source.size=(32, 64)'
  '--config.data.target.size=(32, 64)'
  --config.data.source.dataset=streets/source_32x64_train4_val3
  --config.data.target.dataset=streets/target_32x64_train4_val3
)
for field in total_steps stop_step eval_every checkpoint_every picture_every; do
  flags+=("--config.$field=2")
done
jaxuda
jaxuda train --config=dada:pair=streets --workdir=run "${flags[@]}"
jaxuda evaluate --workdir=run
jaxuda predict --workdir=run --images=run/pictures --out=labels
jaxuda report run --out=report.html
jaxuda reproduce --list > tables.txt
ls labels/* report.html
echo "$("$folder/environment/bin/python" --version): the wheel works"
