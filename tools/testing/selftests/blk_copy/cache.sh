#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The page cache: dirty pages of the source are copied, cached pages of the
# destination do not outlive the copy, and dirty ones lose nothing but what is
# copied over.  The same for offload and emulation.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

M=$((1 << 20))
D0=/dev/d0
D1=/dev/d1

# with MODE TEST...: on a disk of 16 MiB with seed 1 that stays open, so that its
# page cache stays; MODE is null, emulated or a device.
with()
{
	local mode=$1

	HOW=offloaded
	case $mode in
	null)
		DEV=$D0
		make_null d0 size=16
		;;
	emulated)
		DEV=$D0
		HOW=emulated
		make_null d0 size=16 max_copy_bytes=0
		;;
	*)
		DEV=$mode
		;;
	esac
	pattern fill "$DEV" 1
	exec 9<>"$DEV"
	shift
	"$@"
}

# copied LENGTH ARGS...: all of it, the way that the device can
copied()
{
	local len=$1

	shift
	if [ "$HOW" = offloaded ]; then
		device_copied "$DEV" want "0 $len $len" rawcopy -f n "$@"
	else
		counting "$DEV" want "0 $len 0" rawcopy "$@"
		did 0 0
	fi
}

source_written()
{
	local before

	before=$(sectors_written "$DEV")
	pattern fill -b -o 1M -l 2M "$DEV" 5
	is "$(sectors_written "$DEV")" "$before" "sectors written: the pages must be dirty still"
	copied "$M" "$DEV" 8M 1536K:1M
	copied 4096 "$DEV" 10M 2M:1s*8+3s
	pattern check "$DEV" 1 @1M:5 1M:2M @8M:5 1536K:1M @10M:5 2M:1s*8+3s
}

# A page of which only one sector is copied
source_small()
{
	pattern fill -b -o 1M -l 4K "$DEV" 5
	copied 512 "$DEV" 8M "2051s:1s"
	pattern check "$DEV" 1 @1M:5 1M:4K @8M:5 2051s:1s
}

destination_read()
{
	pattern check -b "$DEV" 1
	copied "$M" "$DEV" "$((8 * M + 512))" 1M:1M
	pattern check -b "$DEV" 1 "@$((8 * M + 512)):1" 1M:1M
	pattern check "$DEV" 1 "@$((8 * M + 512)):1" 1M:1M
}

# Dirty pages of which the copy takes a part; a page that it takes as a whole
destination_written()
{
	pattern fill -b -o 8M -l 12K "$DEV" 5
	pattern fill -b -o 10M -l 4K "$DEV" 5
	copied 9216 "$DEV" "$((8 * M + 512))" 1M:9K
	copied 512 "$DEV" "$((10 * M + 1536))" 2M:512
	pattern check -b "$DEV" 1 @8M:5 8M:12K @10M:5 10M:4K "@$((8 * M + 512)):1" 1M:9K \
		"@$((10 * M + 1536)):1" 2M:512
	pattern check "$DEV" 1 @8M:5 8M:12K @10M:5 10M:4K "@$((8 * M + 512)):1" 1M:9K \
		"@$((10 * M + 1536)):1" 2M:512
}

for MODE in null emulated /dev/vm/big; do
	prove "dirty source pages are copied, $MODE" with $MODE source_written
	prove "a sector of a dirty source page is copied, $MODE" with $MODE source_small
	prove "a cached destination shows the new data, $MODE" with $MODE destination_read
	prove "a dirty destination keeps what is not copied over, $MODE" with $MODE destination_written
done

# ------------------------------------------------------- two disks, errors

# The page caches of both disks matter.
two_disks()
{
	make_null d1 size=16
	exec 8<>"$D1"
	pattern fill "$D1" 2
	pattern fill -b -o 1M -l 1M "$DEV" 5
	pattern fill -b -o 8M -l 4K "$D1" 6
	pattern check -b -o 9M "$D1" 2
	want "0 $((2 * M)) 0" rawcopy -s "$DEV" "$D1" "$((8 * M + 512))" 1M:2M
	pattern check -b "$D1" 2 @8M:6 8M:512 "@$((8 * M + 512)):5" 1M:1M "@$((9 * M + 512)):1" 2M:1M
	pattern check "$D1" 2 @8M:6 8M:512 "@$((8 * M + 512)):5" 1M:1M "@$((9 * M + 512)):1" 2M:1M
}

# What a copy that fails did not reach is as it was, in the cache and below.
refused()
{
	make_null d1 size=16
	exec 8<>"$D1"
	pattern fill "$D1" 2
	pattern fill -b -o 8M -l 1M "$D1" 5
	counting "$D1" want "EOPNOTSUPP 0 0" rawcopy -f n -s "$DEV" "$D1" "$((8 * M + 512))" 1M:512K
	did 0 0
	counting "$D1" want "EINVAL 0 0" rawcopy -f n "$D1" 8M 7680K:1M
	did 0 0
	pattern check -b "$D1" 2 @8M:5 8M:1M
	pattern check "$D1" 2 @8M:5 8M:1M
}

failed()
{
	local bad=$((1 * 2048 + 5125))

	make_null d1 size=16 max_copy_bytes="$M"
	exec 8<>"$D1"
	pattern fill "$D1" 2
	pattern fill -b -o 8M -l 4M "$D1" 5
	echo "+$bad-$bad" >"$NULLB/d1/badblocks"
	# Commands of 1 MiB; the third fails, the fourth is under way.
	device_did "$D1" 3 3 want "EIO $((2 * M)) $((2 * M))" rawcopy -f n "$D1" 8M 1M:4M
	echo "-$bad-$bad" >"$NULLB/d1/badblocks"
	pattern check -b "$D1" 2 @8M:5 8M:4M @8M:2 1M:2M @11M:2 4M:1M
	pattern check "$D1" 2 @8M:5 8M:4M @8M:2 1M:2M @11M:2 4M:1M
}

# Dirty pages that cannot be written are an error, not old data.
source_unwritable()
{
	make_dm flakey "0 16384 flakey $DEV 0 0 100000 1 error_writes"
	exec 8<>/dev/mapper/flakey
	head -c 4096 /dev/zero >&8
	want "EIO 0 0" rawcopy -s /dev/mapper/flakey "$DEV" 12M 0:1M
	pattern check "$DEV" 1
}

prove "both page caches of two disks" with null two_disks
prove "a copy that is refused leaves dirty pages alone" with null refused
prove "a copy that fails leaves alone what it did not reach" with null failed
prove "dirty source pages that cannot be written fail the copy" with null source_unwritable

# ------------------------------------------------------------------ mmap()

mapped()
{
	local how=$HOW

	counting "$DEV" want "$how" mapcopy "$1" "$DEV"
	if [ "$how" = offloaded ]; then
		[ "$DID_COMMANDS" -gt 0 ]
	else
		did 0 0
	fi
}

for MODE in null emulated /dev/vm/big; do
	prove "mmap: dirty source, $MODE" with $MODE mapped source-dirty
	prove "mmap: source written during copies, $MODE" with $MODE mapped source-busy
	prove "mmap: destination read before, $MODE" with $MODE mapped destination-read
	prove "mmap: destination dirty, also around the copy, $MODE" with $MODE mapped destination-dirty
	prove "mmap: destination used during copies, $MODE" with $MODE mapped destination-busy
done
prove "mmap: dirty destination of a refused copy" with emulated mapped destination-kept

finish
