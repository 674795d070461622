#!/usr/bin/env bash
# Install crysift with the versions that its tests ran with:
#   install.sh cpu|cuda VENV [SOURCE]
# VENV is made if it is not there; SOURCE is a checkout (this one, if none is named) or a wheel made of it.
# PYTHON makes the environment; TORCH_INDEX has PyTorch for the CPU, without gigabytes of CUDA.
set -euo pipefail

kind=${1:?cpu or cuda} venv=${2:?a folder for the environment}
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source=${3:-$checkout}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

[[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv"
# Byte-compiled packages: without them a Ray worker takes seconds longer to start.
install=("$venv/bin/python" -m pip install --quiet --compile)

case $kind in
cpu)
  cp "$checkout/constraints.txt" "$scratch"
  "${install[@]}" --no-deps --index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" \
    "$(grep '^torch==' "$checkout/constraints.txt")"
  extras=cluster
  ;;
cuda) # RAPIDS wants an older numba; all else is as locked, so that both kinds of nodes work in one cluster
  grep -vE '^(numba|llvmlite)==' "$checkout/constraints.txt" > "$scratch/constraints.txt"
  extras=cluster,gpu
  ;;
*)
  echo "install.sh: '$kind' is neither cpu nor cuda" >&2
  exit 2
  ;;
esac
"${install[@]}" --constraint "$scratch/constraints.txt" "${source}[$extras]"

# A first structure: it proves the installation and compiles the kernels.
"$venv/bin/python" -c "from ase.build import bulk; bulk('NaCl', 'rocksalt', 5.64).write('$scratch/salt.cif')"
"$venv/bin/crysift" screen "$scratch/salt.cif" --store "$scratch/store" --quiet
