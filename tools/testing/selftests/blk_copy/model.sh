#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Random copies over stacks of device-mapper against a model, see model.c.
#
# N=copies, SEED=number (what a run prints repeats it), WHOLE=copies between two
# comparisons of all bytes, VERBOSE=1.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

# Two null_blk with limits of different shape, so that each limit cuts
make_nulls()
{
	make_null wide size=64 max_sectors=1024 max_copy_bytes=4194304 \
		max_copy_segments=128 max_copy_segment_bytes=1048576
	make_null narrow size=16 max_sectors=1024 max_copy_bytes=65536 \
		max_copy_segments=6 max_copy_segment_bytes=16384
}

# run_model OUTPUT ARGS...: on these and on all of the VM's disks
run_model()
{
	local out=$1 rc=0

	shift
	model "$@" wide=/dev/wide narrow=/dev/narrow big=/dev/vm/big tiny=/dev/vm/tiny \
		big2=/dev/vm/big2 4k=/dev/vm/4k sda=/dev/vm/sda >"$out" || rc=$?
	grep '^#' "$out"
	[ "$rc" -eq 0 ] || grep '^# SEED' "$out" | head -n 1
	return "$rc"
}

random_copies()
{
	make_nulls
	run_model "$TMP/model" -n "${N:-1200}" ${SEED:+-s "$SEED"} ${WHOLE:+-w "$WHOLE"} \
		${VERBOSE:+-v}
}

# The same seed draws the same copies, another one does not.
seed_repeats()
{
	local seed digest

	seed=$(sed -n 's/^# SEED=\([0-9]*\) .*/\1/p' "$TMP/model" | head -n 1)
	digest=$(grep '^# DIGEST=' "$TMP/model")
	make_nulls
	run_model "$TMP/again" -n 60 -x -s "$seed"
	is "$(grep '^# DIGEST=' "$TMP/again")" "$digest" "what the copies are"
	run_model "$TMP/other" -n 60 -x -s "$((seed + 1))"
	fails grep -x "$digest" "$TMP/other"
}

# So the comparison of whole disks can fail: -x makes it, on each disk.
wrong_byte_is_seen()
{
	is "$(grep -c '^# one wrong byte was seen on each of 7 disks$' "$TMP/again")" 1
	is "$(grep -c ' is wrong$' "$TMP/again")" 7 "wrong sectors"
}

# A caller goes on behind what was copied, which only works at a block.  Of the
# first block of a device with 4096-byte blocks, the leaf can copy a part only.
results_are_whole_blocks()
{
	make_null b0 size=16
	make_null b1 size=16
	make_null b2 size=16 blocksize=4096
	pattern fill /dev/b0 1
	make_dm bsrc "0 8192 linear /dev/b0 0
8192 8192 linear /dev/b1 0"
	make_dm bdst "0 8192 linear /dev/b0 16384
8192 8192 linear /dev/b2 0"
	is "$(queue /dev/mapper/bdst logical_block_size)" 4096
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/mapper/bsrc /dev/mapper/bdst 0 \
		0:512*6+1K 4M:512*2+1K
	fails grep '^odd [1-9]' "$TMP/model"
}

class_is_not_empty()
{
	[ "$1" -gt 0 ]
}

: >"$TMP/model"
prove "random copies leave every byte as the model says" random_copies
grep '^# SEED' "$TMP/model" | head -n 1
grep '^# at most' "$TMP/model"
prove "a seed draws the same copies again" seed_repeats
prove "one wrong byte anywhere on any disk is seen" wrong_byte_is_seen
prove "what a failed copy has done is whole blocks of its destination" \
	results_are_whole_blocks
while read -r _ count name; do
	printf '# %8d  %s\n' "$count" "$name"
	prove "there were copies of class '$name'" class_is_not_empty "$count"
done < <(grep ^class "$TMP/model")
finish
