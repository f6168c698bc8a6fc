#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Random copies over stacks of device-mapper against a model, see model.c.
#
# N=copies, SEED=number (what a run prints repeats it), VERBOSE=1.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

# Two null_blk with limits of different shape, so that each limit cuts.
random_copies()
{
	local rc=0

	make_null wide size=80 max_sectors=1024 max_copy_bytes=4194304 \
		max_copy_segments=128 max_copy_segment_bytes=1048576
	make_null narrow size=16 max_sectors=1024 max_copy_bytes=65536 \
		max_copy_segments=6 max_copy_segment_bytes=16384
	model -n "${N:-3000}" ${SEED:+-s "$SEED"} ${VERBOSE:+-v} \
		wide=/dev/wide=64 narrow=/dev/narrow=16 big=/dev/vm/big=40 \
		tiny=/dev/vm/tiny=12 big2=/dev/vm/big2=16 4k=/dev/vm/4k=8 \
		sda=/dev/vm/sda=8 >"$TMP/model" || rc=$?
	grep '^#' "$TMP/model"
	return "$rc"
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
prove "what a failed copy has done is whole blocks of its destination" \
	results_are_whole_blocks
while read -r _ count name; do
	printf '# %8d  %s\n' "$count" "$name"
	prove "there were copies of class '$name'" class_is_not_empty "$count"
done < <(grep ^class "$TMP/model")
finish
