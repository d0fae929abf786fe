# Sourced by test.sh and demo.sh: provides an environment with jaxuda installed.
#
# Uses the active environment ($VIRTUAL_ENV or $CONDA_PREFIX), else .venv, which
# it creates. Installs the project there the first time and whenever
# pyproject.toml or setup.py has changed. Leaves the interpreter's path in
# $python and the repository as the working directory.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

# Runs the candidate: a pyenv shim may be on the PATH and still not run.
is_python() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

find_python() {
  local candidate
  local without_venv=''
  for candidate in python3.13 python3.12 python3.11 python3 python; do
    is_python "$candidate" || continue
    # Debian and Ubuntu ship venv without pip unless python3-venv is installed.
    if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      command -v "$candidate"
      return 0
    fi
    without_venv=$candidate
  done
  if [ -n "$without_venv" ]; then
    echo "error: $without_venv has no venv module; expected Python 3.11 to 3.13" \
      "with venv (Debian, Ubuntu: apt install python3-venv)" >&2
  else
    echo "error: no Python 3.11 to 3.13 on the PATH; expected python3.13," \
      "python3.12, python3.11 or python3, or an active environment" >&2
  fi
  return 1
}

find_environment() {
  local prefix="${VIRTUAL_ENV:-${CONDA_PREFIX:-}}"
  if [ -n "$prefix" ]; then
    python="$prefix/bin/python"
    if ! is_python "$python"; then
      echo "error: $python is not Python 3.11 to 3.13; expected such an" \
        "environment to be active, or none" >&2
      return 1
    fi
    return 0
  fi
  python="$PWD/.venv/bin/python"
  # A .venv that was moved, or whose Python is gone, is created again.
  if ! is_python "$python"; then
    local base
    base=$(find_python) || return 1
    echo "Making .venv with $("$base" --version) ($base)"
    "$base" -m venv --clear .venv
  fi
}

install_project() {
  local stamp state
  stamp=$("$python" -c 'import sys; print(sys.prefix)')/.jaxuda-installed
  state="$PWD $(cat pyproject.toml setup.py | cksum)"
  if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
    return 0
  fi
  echo "Installing jaxuda and what it needs (2 minutes or more, once)"
  # Environments made by uv have no pip.
  "$python" -c 'import pip' 2>/dev/null ||
    "$python" -m ensurepip >/dev/null || return 1
  "$python" -m pip install --disable-pip-version-check -e '.[test]' || return 1
  echo "$state" > "$stamp"
}

find_environment || exit 1
install_project || exit 1
