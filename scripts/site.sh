#!/usr/bin/env bash
# Makes a site of README.md, docs/ and the docstrings, in build/site/html:
#   bash scripts/site.sh [FOLDER]      # FOLDER/html in place of build/site/html
# Needs `pip install -e '.[site]'`; $PYTHON names another interpreter than
# python3. A broken link or anchor, and a docstring that names an argument which
# there is not, are errors.
set -euo pipefail
python="${PYTHON:-python3}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="${1:-$root/build/site}"

"$python" "$root/scripts/documentation/pages.py" "$folder"
cd "$folder"
"$python" -m zensical build --clean --strict 2>&1 | tee build.log
# What is amiss in docstrings is a warning that --strict does not count.
if grep 'griffe: ' build.log > /dev/null; then
  exit 1
fi
echo "$folder/html/index.html"
