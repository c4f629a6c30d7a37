# Print the Python to build the environment with: the one given, else the newest that is known to work.
check='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
for python in ${1:-python3.13 python3.12 python3.11 python3}; do
    if "$python" -c "$check" >/dev/null 2>&1; then
        echo "$python"
        exit 0
    fi
done
echo "Python 3.11 or newer, with the modules venv and ensurepip, was not found${1:+ at $1}." >&2
echo "Install one (on Debian and Ubuntu: apt install python3 python3-venv), or say where it is: make ... PYTHON=/path/to/python3" >&2
exit 1
