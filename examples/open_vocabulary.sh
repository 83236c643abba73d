#!/bin/sh
# An open-vocabulary experiment from nothing to its table, on the embedded world: 5 of 25 objects and 7 of 23 predicates are
# kept from training and asked for in the end. On PSG the list is pgsg+psg-objects-v1 and the first line falls away (docs/psg.md).
set -eu
folder=${1:-open-vocabulary}
images=${2:-500}
run() { spade "$@" --workspace "$folder/workspace"; }
spade world "$folder/world" --images "$images" --workspace "$folder/workspace"
run invert "$folder/world" --split-list world:ovdr
run calibrate
run train-relations
run eval "$folder/world" --split-list world:ovdr
