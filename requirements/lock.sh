#!/bin/sh
# Makes the locked requirement files from pyproject.toml: every file with its hashes, for every
# Python from 3.11 on and every platform, and without the address of any registry.
set -eu
cd "$(dirname "$0")/.."
lock() {
    output=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-header --no-annotate --output-file "requirements/$output.txt" "$@"
}
lock runtime pyproject.toml --extra serve --extra jwt --extra lightgbm --extra xgboost --extra init
lock examples pyproject.toml --extra examples
lock dev --override requirements/overrides.in pyproject.toml --extra dev
lock build --constraints requirements/dev.txt requirements/build.in
