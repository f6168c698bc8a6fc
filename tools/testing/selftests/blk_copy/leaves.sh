#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every kind of device, plain and gather, all sizes.  Whether a copy was offloaded
# is what the device says about it, with the exact number of commands and ranges;
# then every byte of source and destination is compared.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

M=$((1 << 20))

# plan LENGTH COMMAND RANGE SEGMENTS: how many commands and ranges a copy of one
# range takes, in chunks of 16 MiB, if a device takes so many bytes in a command,
# in a range, and so many ranges in a command.
plan()
{
	local len=$1 command=$2 range=$3 segments=$4 left bytes commands=0 ranges=0

	[ $((range * segments)) -ge "$command" ] || command=$((range * segments))
	for (( ; len > 0; len -= 16 * M)); do
		for ((left = len > 16 * M ? 16 * M : len; left > 0; left -= bytes)); do
			bytes=$((left < command ? left : command))
			commands=$((commands + 1))
			ranges=$((ranges + (bytes + range - 1) / range))
		done
	done
	echo "$commands $ranges"
}

# device_bytes DEVICE: what the device itself says, bytes that it has copied (null_blk)
# or bytes that were read and written by the host (QEMU)
device_bytes()
{
	case $1 in
	/dev/vm/*)
		echo "$(blockstats "${1#/dev/vm/}" rd_bytes)" \
			"$(blockstats "${1#/dev/vm/}" wr_bytes)"
		;;
	*)
		cat "/sys/block/$(disk_of "$1")/null_blk/copy_bytes"
		;;
	esac
}

# device_moved BEFORE: since then, all of TOTAL, by the host if LIMITS are empty
device_moved()
{
	local old new i have=() want="0 0"

	read -ra old <<<"$1"
	read -ra new <<<"$(device_bytes "$DEV")"
	for i in "${!old[@]}"; do
		have+=($((new[i] - old[i])))
	done
	case $DEV,$LIMITS in
	/dev/vm/*,) want="$TOTAL $TOTAL" ;;
	/dev/vm/*) ;;
	*,) want=0 ;;
	*) want=$TOTAL ;;
	esac
	is "${have[*]}" "$want" "bytes that the device counted"
}

# One copy inside DEV, from the lower half, where nothing is written, to PLACE,
# which moves on.  COMMANDS, RANGES: what the device must count; 0 0 = emulated.
copy_on()
{
	local commands=$1 ranges=$2 len=$3 flags=0

	shift 3
	[ "$commands" -eq 0 ] || flags=n
	if [ "$commands" -eq 0 ]; then
		counting "$DEV" want "0 $len 0" rawcopy -f 0 "$DEV" "$PLACE" "$@"
	else
		counting "$DEV" want "0 $len $len" rawcopy -f "$flags" "$DEV" "$PLACE" "$@"
	fi
	did "$commands" "$ranges"
	TOTAL=$((TOTAL + len))
	OVERLAYS+=("@$PLACE:1" "$@")
	PLACE=$((PLACE + len + 5 * LBS))
}

# plain_on LENGTH OFFSET: one range
plain_on()
{
	local expected="0 0"

	# shellcheck disable=SC2086
	[ -z "$LIMITS" ] || expected=$(plan "$1" $LIMITS)
	# shellcheck disable=SC2086
	copy_on $expected "$1" "$2:$1"
}

# gather_on COMMANDS RANGES LENGTH RANGE...
gather_on()
{
	local expected="$1 $2"

	[ -n "$LIMITS" ] || expected="0 0"
	shift 2
	# shellcheck disable=SC2086
	copy_on $expected "$@"
}

# leaf DEVICE LIMITS C1 R1 C2 R2 C3 R3: all copies inside a device.  LIMITS is
# "COMMAND RANGE SEGMENTS", empty if it cannot copy; then the commands and ranges
# that the gathers take.
leaf()
{
	local k before

	DEV=$1
	LIMITS=$2
	shift 2
	LBS=$(blockdev --getss "$DEV")
	SIZE=$(blockdev --getsize64 "$DEV")
	OVERLAYS=()
	TOTAL=0
	pattern fill "$DEV" 1
	before=$(device_bytes "$DEV")
	PLACE=$((SIZE / 2 - SIZE / 2 % M + LBS))
	plain_on "$LBS" 0
	plain_on $((3 * LBS)) $((7 * LBS))
	plain_on $((M - LBS)) $((M + LBS))
	plain_on $((M + 5 * LBS)) $((3 * M - LBS))
	k=$((LBS < 4096 ? 4096 / LBS : 1))
	# Any order, twice the same, and neighbours, which make one range.
	gather_on "$1" "$2" $((31 * LBS)) $((9 * LBS)):$((2 * LBS)) "$LBS:$LBS" \
		$((900 * LBS)):$((13 * LBS)) "$LBS:$LBS" \
		$((50 * LBS)):$((5 * LBS)) $((55 * LBS)):$((6 * LBS)) 0:$((3 * LBS))
	gather_on "$3" "$4" $((128 * LBS)) "$((4 * M)):$LBS*128+$((3 * LBS))"
	gather_on "$5" "$6" $((40 * 5 * k * LBS)) "$M:$((5 * k * LBS))*40+$((7 * k * LBS))"
	plain_on $((17 * M + 3 * LBS)) $((2 * M + LBS))
	[ "$SIZE" -lt $((176 * M)) ] || plain_on $((65 * M + LBS)) $((M / 2))
	# The last block of the device
	PLACE=$((SIZE - LBS))
	plain_on "$LBS" $((5 * LBS))
	device_moved "$before"
	pattern check "$DEV" 1 "${OVERLAYS[@]}"
}

null_leaf()
{
	local limits=$1 expected

	# shellcheck disable=SC2206
	expected=($2)
	shift 2
	make_null d0 "$@"
	leaf /dev/d0 "$limits" "${expected[@]}"
}

# null_holes BLOCKSIZE: what was never written reads as zeroes, and is copied so.
null_holes()
{
	make_null d0 size=64 blocksize="$1"
	pattern fill -l 32M /dev/d0 1
	counting /dev/d0 want "0 $((4 * M)) $((4 * M))" rawcopy -f n /dev/d0 1M 40M:3M 8M:512K 50M:512K
	did 1 3
	pattern check /dev/d0 0 @0:1 0:32M @1M:0 40M:3M @4M:1 8M:512K @4608K:0 50M:512K
}

BIG="$((16 * M)) $((32 * M)) 128"
prove "null_blk" null_leaf "$((16 * M)) $((16 * M)) 128" "1 6 1 128 1 40" size=176
prove "null_blk with small, odd limits" null_leaf "$((192 << 10)) $((20 << 10)) 3" "2 6 43 128 14 40" \
	size=48 max_copy_bytes=$((192 << 10)) max_copy_segments=3 max_copy_segment_bytes=$((20 << 10))
prove "null_blk with one range in a command" null_leaf "$((64 << 10)) $((64 << 10)) 1" "6 6 128 128 40 40" \
	size=48 max_copy_bytes=$((64 << 10)) max_copy_segments=1
prove "null_blk with 4096-byte blocks" null_leaf "$((16 * M)) $((16 * M)) 128" "1 6 1 128 1 40" \
	size=48 blocksize=4096
if since 7.3; then
	# Blocks of several pages
	prove "null_blk with 16-KiB blocks" null_leaf "$((16 * M)) $((16 * M)) 128" "1 6 1 128 1 40" \
		size=96 blocksize=16384
	prove "null_blk with 64-KiB blocks" null_leaf "$((16 * M)) $((16 * M)) 128" "1 6 1 128 1 40" \
		size=256 blocksize=65536
	prove "null_blk with 16-KiB blocks, without offload" null_leaf "" "0 0 0 0 0 0" \
		size=96 blocksize=16384 max_copy_bytes=0
	prove "holes of null_blk with 16-KiB blocks" null_holes 16384
fi
prove "holes of null_blk" null_holes 512
prove "null_blk without offload" null_leaf "" "0 0 0 0 0 0" size=48 max_copy_bytes=0
prove "null_blk with a cache" null_leaf "$((16 * M)) $((16 * M)) 128" "1 6 1 128 1 40" \
	size=48 cache_size=1
prove "null_blk with timer completion" null_leaf "$((16 * M)) $((16 * M)) 128" "1 6 1 128 1 40" \
	size=48 irqmode=2 completion_nsec=100000
prove "NVMe with large limits" leaf /dev/vm/big "$BIG" 1 6 1 128 1 40
# 16 blocks in a range, 64 blocks and 8 ranges in a command
prove "NVMe with tiny limits" leaf /dev/vm/tiny "32768 8192 8" 1 6 16 128 25 120
prove "NVMe with 4096-byte sectors" leaf /dev/vm/4k "$BIG" 1 6 1 128 1 40
# Reading back checks the tags, which are those of the new place.
prove "NVMe with protection information" leaf /dev/vm/pi "$BIG" 1 6 1 128 1 40
prove "virtio-scsi is emulated" leaf /dev/vm/sda "" 0 0 0 0 0 0

# Sequential zones are written in order: at the write pointer, over their borders.
zoned()
{
	local dev=/dev/vm/zoned

	make_null d0 size=64
	pattern fill /dev/d0 1
	blkzone reset "$dev"
	want "0 512 0" rawcopy -s /dev/d0 "$dev" 0 5s:1s
	want "0 $((40 * M - 512)) 0" rawcopy -s /dev/d0 "$dev" 512 "7s:$((40 * M - 512))"
	want "0 2097152 0" rawcopy -s /dev/d0 "$dev" 40M 3M:4K*512+6K
	is "$(device_copies "$dev")" "0 0"
	pattern check "$dev" 0 @0:1 5s:1s "7s:$((40 * M - 512))" 3M:4K*512+6K
	# And inside the device, from zone 1 to zone 4
	want "0 $((10 * M)) 0" rawcopy "$dev" 64M 16M:10M
	pattern check "$dev" 0 @0:1 5s:1s "7s:$((40 * M - 512))" 3M:4K*512+6K \
		@64M:1 "$((16 * M + 3072)):10M"
	want "EOPNOTSUPP 0 0" rawcopy -f n "$dev" 74M 16M:1M
}

prove "zoned NVMe is emulated in order" zoned

# ------------------------------------------------------- from one to another

# goes_across SOURCE DESTINATION "COMMAND RANGE SEGMENTS" COMMANDS [MORE]: by the
# destination, with limits that are those of both; COMMANDS are for a gather of 100
# ranges, MORE is how many ranges are cut in two for other reasons.
goes_across()
{
	local src=$1 dst=$2 before len=$((17 * M + 1536)) expected

	[ "$src" = /dev/vm/zoned ] || pattern fill "$src" 1
	pattern fill "$dst" 2
	before=$(device_copies "$src")
	is "$(queue "$src" copy_domain)" "$(queue "$dst" copy_domain)" "copy_domain"
	# shellcheck disable=SC2086
	expected=$(plan "$len" $3)
	counting "$dst" want "0 $len $len" rawcopy -f n -s "$src" "$dst" 512 "8K:$len"
	did "${expected% *}" "$((${expected#* } + ${5:-0}))"
	device_did "$dst" "$4" 100 \
		want "0 51200 51200" rawcopy -f n -s "$src" "$dst" 20M "$((5 * M)):512*100+1K"
	pattern check "$dst" 2 "@512:1" "8K:$len" @20M:1 "$((5 * M)):512*100+1K"
	is "$(device_copies "$src")" "$before" "commands of the source"
	[ "$src" = /dev/vm/zoned ] || pattern check "$src" 1
}

# It is the zones that are written in order; reading them is nothing special.
from_zones()
{
	blkzone reset /dev/vm/zoned
	pattern fill -l 64M /dev/vm/zoned 1
	# One range is cut where a zone ends.
	goes_across /dev/vm/zoned /dev/vm/big2 "$BIG" 1 1
	pattern check -l 64M /dev/vm/zoned 1
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/vm/big2 /dev/vm/zoned 64M 0:1M
}

across_switch()
{
	echo "$2" >"/sys/block/$(disk_of "$1")/copy_across_namespaces"
}

# Off at either end: emulated, and their domains differ.
switched_off()
{
	defer across_switch "$1" 1
	across_switch "$1" 0
	is "$(cat "/sys/block/$(disk_of "$1")/copy_across_namespaces")" 0
	fails is "$(queue /dev/vm/big copy_domain)" "$(queue /dev/vm/big2 copy_domain)"
	across /dev/vm/big /dev/vm/big2
	fails across_switch "$1" maybe
	# Inside a namespace nothing changes.
	device_did /dev/vm/big 1 1 want "0 $M $M" rawcopy -f n /dev/vm/big 8M 0:1M
	across_switch "$1" 1
	goes_across /dev/vm/big /dev/vm/big2 "$BIG" 1
}

# across SOURCE DESTINATION: nobody can, so it is emulated, and no device tries.
across()
{
	local src=$1 dst=$2 before lbs len

	lbs=$(blockdev --getss "$src")
	[ "$lbs" -ge "$(blockdev --getss "$dst")" ] || lbs=$(blockdev --getss "$dst")
	pattern fill "$src" 1
	pattern fill "$dst" 2
	before="$(device_copies "$src") $(device_copies "$dst")"
	len=$((17 * M + 3 * lbs))
	want "0 $len 0" rawcopy -s "$src" "$dst" "$lbs" "8K:$len"
	want "0 $((100 * lbs)) 0" rawcopy -s "$src" "$dst" 20M "$((5 * M)):$lbs*100+$((2 * lbs))"
	want "EOPNOTSUPP 0 0" rawcopy -f n -s "$src" "$dst" 30M 0:4M
	pattern check "$dst" 2 "@$lbs:1" "8K:$len" @20M:1 "$((5 * M)):$lbs*100+$((2 * lbs))"
	pattern check "$src" 1
	is "$(device_copies "$src") $(device_copies "$dst")" "$before" "commands of the devices"
}

across_null()
{
	make_null d0 size=40
	make_null d1 size=40
	across "$@"
}

# Sectors of 512 bytes, gathered to sectors of 4096: only the sum is aligned.
small_to_large()
{
	local before

	pattern fill /dev/vm/big2 1
	pattern fill /dev/vm/4k 2
	before="$(device_copies /dev/vm/big2) $(device_copies /dev/vm/4k)"
	want "0 409600 0" rawcopy -s /dev/vm/big2 /dev/vm/4k 4K 3s:1s*800+2s
	want "0 $((M + 4096)) 0" rawcopy -s /dev/vm/big2 /dev/vm/4k 1M "7s:$((M + 4096))"
	want "EINVAL 0 0" rawcopy -s /dev/vm/big2 /dev/vm/4k 4M 3s:1s*799+2s
	want "EINVAL 0 0" rawcopy -s /dev/vm/4k /dev/vm/big2 4M 1s:8s
	want "0 4096 0" rawcopy -s /dev/vm/4k /dev/vm/big2 "$((M + 512))" 32M:4K
	is "$(device_copies /dev/vm/big2) $(device_copies /dev/vm/4k)" "$before" \
		"commands of the devices"
	pattern check /dev/vm/4k 2 @4K:1 3s:1s*800+2s @1M:1 "7s:$((M + 4096))"
	pattern check /dev/vm/big2 1 "@$((M + 512)):2" 32M:4K
}

prove "NVMe to another namespace" goes_across /dev/vm/big2 /dev/vm/big "$BIG" 1
prove "NVMe to another namespace with tiny limits" \
	goes_across /dev/vm/big2 /dev/vm/tiny "32768 8192 8" 13
prove "NVMe from another namespace with tiny limits" \
	goes_across /dev/vm/tiny /dev/vm/big2 "$((16 * M)) 8192 128" 1
prove "zoned NVMe to another namespace" from_zones
prove "copy_across_namespaces of the source" switched_off /dev/vm/big
prove "copy_across_namespaces of the destination" switched_off /dev/vm/big2
prove "NVMe to another subsystem" across /dev/vm/big2 /dev/vm/other
prove "NVMe to SCSI" across /dev/vm/big2 /dev/vm/sdb
prove "SCSI to NVMe" across /dev/vm/sdb /dev/vm/big2
prove "NVMe with protection information to one without" across /dev/vm/pi /dev/vm/big2
prove "NVMe to one with protection information" across /dev/vm/big2 /dev/vm/pi
prove "NVMe with 4096-byte sectors to 512-byte sectors" across /dev/vm/4k /dev/vm/big2
prove "null_blk to null_blk" across_null /dev/d0 /dev/d1
prove "null_blk to NVMe" across_null /dev/d0 /dev/vm/big2
prove "512-byte sectors to 4096-byte sectors" small_to_large

finish
