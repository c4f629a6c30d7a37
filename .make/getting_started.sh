# Run the commands of docs/getting-started.md in an empty folder, with this checkout as the package, built by the tools in $1.
set -eu
for port in 8080 8780; do
    "$1/python" -c "import socket; socket.create_server(('127.0.0.1', $port)).close()" 2>/dev/null || {
        echo "Port $port is taken, and the page needs it." >&2
        exit 1
    }
done
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1/python" -m pip wheel -qq --no-deps --build-constraint constraints.txt -w "$folder/wheel" .
mkdir "$folder/empty"
cd "$folder/empty"
for name in $(env | sed -n 's/^\(AIRFLOW[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
PATH="$root/$1:$PATH" PIP_FIND_LINKS="$folder/wheel ${PIP_FIND_LINKS:-}" PIP_CONSTRAINT="$root/constraints.txt" PIP_QUIET=2 \
    MINIMAL_ORDER="$root/dags/minimal_order.py" bash "$root/docs/examples/getting_started.sh"
