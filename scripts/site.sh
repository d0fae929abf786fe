#!/usr/bin/env bash
# Builds a site from README.md, docs/ and the docstrings, in build/site/html:
#   bash scripts/site.sh [FOLDER]      # FOLDER/html in place of build/site/html
# Needs `pip install -e '.[site]'`; $PYTHON names an interpreter other than
# python3. Broken links and anchors, and docstrings that name an argument that
# does not exist, are errors.
set -euo pipefail
python="${PYTHON:-python3}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="${1:-$root/build/site}"

"$python" "$root/scripts/documentation/pages.py" "$folder"
cd "$folder"
"$python" -m zensical build --clean --strict 2>&1 | tee build.log
# Problems in docstrings are warnings that --strict does not count.
if grep 'griffe: ' build.log > /dev/null; then
  exit 1
fi
echo "$folder/html/index.html"
