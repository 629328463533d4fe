#!/bin/sh
# From nothing to a fine-tuned model: make the environment where there is none, and start the wizard, in Chinese or English by locale.
# 一锤定音：没有环境就创建环境，然后启动向导，语言随系统区域设置。
#
#     sh scripts/yichuidingyin.sh [FLAGS OF swift wizard]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
case "${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}" in
    zh*) preparing='正在准备环境（约 2 GB，第一次需要几分钟）……' missing='需要 Python 3.11 或更高版本。' ;;
    *) preparing='Preparing the environment (about 2 GB, a few minutes the first time) …' missing='Python 3.11 or newer is needed.' ;;
esac
if command -v swift >/dev/null 2>&1 && swift wizard --help >/dev/null 2>&1; then
    exec swift wizard "$@"
fi
venv=${VENV:-$here/.venv}
if [ ! -x "$venv/bin/swift" ]; then
    python=
    for name in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$name
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "$missing" >&2
        exit 2
    fi
    echo "$preparing" >&2
    make -C "$here" install PYTHON="$python" VENV="$venv" >&2
fi
exec "$venv/bin/swift" wizard "$@"
