# Renew constraints.txt for every Python that the project supports, with the tools of the environment in $1.
set -eu
new=$(mktemp)
trap 'rm -f "$new"' EXIT
"$1/python" -m pip install -qq uv
{
    sed -n '/^#/p' constraints.txt
    printf 'editables\nhatchling\npip\n' | "$1/uv" pip compile --quiet --universal --upgrade --python-version 3.11 \
        --strip-extras --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
        --group dev --group bench --group docs --group browser pyproject.toml -
} >"$new"
cat "$new" >constraints.txt
grep '^apache-airflow==' constraints.txt
