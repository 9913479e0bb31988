#!/usr/bin/env bash
# Makes .venv with the pinned clients of tests/python/requirements.txt, once for each change of it.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted="$(sha256sum tests/python/requirements.txt | cut -d' ' -f1)"
if [ "$(cat .venv/requirements.sha256 2>/dev/null || true)" != "$wanted" ]; then
    python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
    echo "$wanted" >.venv/requirements.sha256
fi
