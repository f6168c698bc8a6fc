#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The interface: layout, 32-bit callers, and everything that must be refused.
# What is refused copies nothing, says so, and leaves the destination alone.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

SIZE=$((16 << 20))

# What comes of a number, or of a file, that the door does not know, and the number
# of the other door
UNKNOWN=ENOTTY
NO_DEVICE=ENOTTY
OTHER=0x1281
if [ -n "${DOOR:-}" ]; then
	UNKNOWN=EINVAL
	NO_DEVICE=EOPNOTSUPP
	OTHER=0xc0401281
fi

# --------------------------------------------------- the tests themselves

# One wrong bit, a sector that is right but in the wrong place, and an old one
comparison()
{
	make_null d0 size=16
	pattern fill /dev/d0 2
	pattern check /dev/d0 2
	fails pattern check /dev/d0 3
	fails pattern check /dev/d0 2 @1M:2 2M:512
	dd if=/dev/d0 of=/dev/d0 bs=512 skip=100 seek=200 count=1 conv=notrunc
	pattern check /dev/d0 2 @200s:2 100s:1s
	pattern check /dev/d0 2 @199s:2:~0 99s:3s
	fails pattern check /dev/d0 2
	fails pattern check /dev/d0 2 @200s:2 99s:2s
	fails pattern check /dev/d0 2 @200s:2:0 100s:1s
	pattern fill -o 200s -l 1s /dev/d0 2
	pattern check /dev/d0 2
	printf '\1' | dd of=/dev/d0 bs=1 seek=$((SIZE - 1)) conv=notrunc
	fails pattern check /dev/d0 2
}

prove "the comparison of the tests sees every wrong byte" comparison

# ----------------------------------------------------------------- layout

same_layout()
{
	# size, number, offsets of src_fd, dst_offset, bytes_copied, reserved;
	# size of a range
	want "64 $((0xc0401281)) 12 16 32 48 16" "$1" -i
}

# Every kind of answer; no offset fits 32 bits.
answers()
{
	local d0=/dev/d0 d1=/dev/d1

	add_case "0 1048576 1048576" "$d0" 6G 5G:1M
	add_case "0 524800 524800" -f n "$d0" 5000M 5G:512K 5G:512
	add_case "0 4194304 4194304" "$d0" 7G 5G:4K*1024+8K
	add_case "0 1048576 0" -s "$d0" "$d1" 5000M 5G:512K*2+512K
	add_case "0 0 1048576" -f d "$d0" 6G 5G:1M
	add_case "EOPNOTSUPP 0 0" -s "$d0" -f n "$d1" 0 5G:1M
	add_case "EINVAL 0 0" "$d0" 8G 5G:1M
	add_case "EINVAL 0 0" "$d0" 0 0xffffffff00000000:8G
	add_case "EINVAL 0 0" "$d0" 5G 1G:1 2G:1M
	add_case "EINVAL 0 0" -f 4 "$d0" 0 5G:1M
	add_case "EINVAL 0 0" -r 1 "$d0" 0 5G:1M
	add_case "EINVAL 0 0" -1 1 "$d0" 0 5G:1M
	add_case "EINVAL 0 0" -2 0x100000000 "$d0" 0 5G:1M
	add_case "EINVAL 0 0" -n 0 "$d0" 0 5G:1M
	add_case "EINVAL 0 0" -n 1025 "$d0" 0 5G:1M
	add_case "EFAULT 0 0" -p null "$d0" 0 5G:1M
	add_case "EFAULT 0 0" -p edge "$d0" 0 5G:1M*3+2M
	add_case "EFAULT 0 0" -p wrap "$d0" 0 5G:1M*1024+2M
	add_case "EFAULT 0 0" -p high "$d0" 0 5G:1M
	add_case "EFAULT" -a bad "$d0" 0 5G:1M
	add_case "EFAULT" -a edge "$d0" 0 5G:1M
	add_case "EFAULT - -" -a ro "$d0" 6G 5G:1M
	add_case "EBADF 0 0" -m r "$d0" 0 5G:1M
	add_case "EBADF 0 0" -m w "$d0" 0 5G:1M
	add_case "EBADF 0 0" -S 99 "$d0" 0 5G:1M
	add_case "EBADF 0 0" -S -2 "$d0" 0 5G:1M
	add_case "ENOTBLK 0 0" -s /dev/zero "$d0" 0 5G:1M
	add_case "$UNKNOWN - -" -c 0xc0401282 "$d0" 0 5G:1M
}

same_answers()
{
	local prog

	make_null d0 size=8192
	make_null d1 size=8192 max_copy_bytes=0
	for prog in rawcopy rawcopy32; do
		pattern fill -o 5G -l 2M /dev/d0 1
		pattern fill -o 6G -l 2M /dev/d0 2
		pattern fill -o 5000M -l 2M /dev/d1 2
		answers
		counting /dev/d0 run_cases "$prog"
		# What is asked of 4 MiB in 1024 ranges are 8 commands of 128.
		did 11 1028
		pattern check -o 6G -l 2M /dev/d0 2 @6G:1 5G:1M
		pattern check -o 5000M -l 2M /dev/d1 2 @5000M:1 5G:1M
	done
}

prove "the argument is 64 bytes and the number is 0xc0401281" same_layout rawcopy
prove "a 32-bit program sees the same layout" same_layout rawcopy32
prove "a 32-bit program gets the same answers and the same data" same_answers

# -------------------------------------------------------------- bad ranges

# refused ERROR ARGS...: whichever way it may copy.
refused()
{
	local error=$1 flags

	shift
	for flags in 0 n d; do
		add_case "$error 0 0" -f "$flags" "$@"
	done
}

# on DEVICE TEST...: the cases of the tests, on a device of SIZE bytes.  No copy
# is even counted, and no byte has changed.
on()
{
	local test counted

	DST=$1
	LBS=$(blockdev --getss "$DST")
	is "$(blockdev --getsize64 "$DST")" "$SIZE" "size"
	pattern fill "$DST" 2
	counted=$(copy_stat "$DST" copies failed)
	shift
	for test in "$@"; do
		"$test"
	done
	run_cases
	is "$(copy_stat "$DST" copies failed)" "$counted" "copy_stat copies, failed"
	pattern check "$DST" 2
}

# on_null TEST...: with offload and without.
on_null()
{
	make_null d0 size=16
	on /dev/d0 "$@"
	queue /dev/d0 copy_max_bytes 0
	on /dev/d0 "$@"
}

misaligned()
{
	local odd

	for odd in 1 $((LBS / 2)) $((LBS - 1)) $((LBS + 1)); do
		refused EINVAL "$DST" 8M "$odd:$LBS"
		refused EINVAL "$DST" 8M "0:$odd"
		refused EINVAL "$DST" "$odd" "8M:$LBS"
		refused EINVAL "$DST" 8M "0:$LBS" "1M:1M" "$odd:$LBS"
		refused EINVAL "$DST" 8M "$odd:$LBS" "1M:1M" "0:$LBS"
	done
	# Their sum is aligned.
	refused EINVAL "$DST" 8M "0:$((LBS / 2))" "1M:$((LBS / 2))"
}

empty()
{
	refused EINVAL "$DST" 8M 0:0
	refused EINVAL "$DST" 8M 0:0 1M:1M
	refused EINVAL "$DST" 8M 0:1M 1M:0 2M:1M
	refused EINVAL "$DST" 8M 0:1M 1M:0
	refused EINVAL "$DST" "$SIZE" 0:0
}

past_the_end()
{
	refused EINVAL "$DST" 0 "$((SIZE - LBS)):$((2 * LBS))"
	refused EINVAL "$DST" 0 "$SIZE:$LBS"
	refused EINVAL "$DST" 0 "$((SIZE + LBS)):$LBS"
	refused EINVAL "$DST" 0 8T:1M
	refused EINVAL "$DST" 0 1M:1M "$((SIZE - LBS)):$((2 * LBS))" 2M:1M
	refused EINVAL "$DST" $((SIZE - LBS)) "0:$((2 * LBS))"
	# No range alone is too long for the place, their sum is.
	refused EINVAL "$DST" $((SIZE - LBS)) "0:$LBS" "1M:$LBS"
	refused EINVAL "$DST" "$SIZE" "0:$LBS"
	refused EINVAL "$DST" 8T "0:$LBS"
}

overflow()
{
	refused EINVAL "$DST" 0 0xfffffffffffff000:4K
	refused EINVAL "$DST" 0 0xfffffffffffff000:1M
	refused EINVAL "$DST" 0 "1M:$LBS" 0xfffffffffffff000:1M
	refused EINVAL "$DST" 0 1M:0xfffffffffff00000
	refused EINVAL "$DST" 0 1M:0xfffffffffffff000
	refused EINVAL "$DST" 0xfffffffffffff000 1M:4K
	refused EINVAL "$DST" 0xfffffffffffff000 1M:1M
	refused EINVAL "$DST" 0 0x8000000000000000:1M
	refused EINVAL "$DST" 0x8000000000000000 1M:1M
	refused EINVAL "$DST" 0 0x7ffffffffffff000:4K
}

overlap()
{
	refused EINVAL "$DST" 0 0:1M
	refused EINVAL "$DST" 4M 4M:1M
	refused EINVAL "$DST" 4M "$((5 * 1048576 - LBS)):1M"
	refused EINVAL "$DST" 4M "$((3 * 1048576 + LBS)):1M"
	refused EINVAL "$DST" 4M 3M:3M
	refused EINVAL "$DST" 4M "4M:$LBS"
	# Any element of a gather counts, against the whole of the destination.
	refused EINVAL "$DST" 0 2M:1M 8M:1M 12M:1M
	refused EINVAL "$DST" 0 8M:1M 2M:1M 12M:1M
	refused EINVAL "$DST" 0 8M:1M 12M:1M 2M:1M
	refused EINVAL "$DST" 8M 4M:4K*1000+8K
}

BAD_RANGES=(misaligned empty past_the_end overflow overlap)

for T in "${BAD_RANGES[@]}"; do
	prove "ranges on null_blk: $T" on_null "$T"
done
prove "ranges on 4096-byte sectors: ${BAD_RANGES[*]}" on /dev/vm/4k "${BAD_RANGES[@]}"
prove "ranges on a SCSI disk: ${BAD_RANGES[*]}" on /dev/vm/sda "${BAD_RANGES[@]}"

# The lengths add up to 2^64 + 1 MiB: who does not look copies 1 MiB.
sum_overflow()
{
	make_null huge size=$(((1 << 34) + 1))
	make_null d0 size=16
	pattern fill /dev/d0 2
	refused EINVAL -s /dev/huge /dev/d0 0 "0:0x40000000000000*1023+0" 0:0x40000000100000
	run_cases
	pattern check /dev/d0 2
}

# Neighbours do not overlap: the check must not be too strict either.
adjacent()
{
	make_null d0 size=16
	pattern fill /dev/d0 2
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n /dev/d0 4M 3M:1M
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n /dev/d0 3M 5M:1M
	pattern check /dev/d0 2 @4M:2 3M:1M @3M:2 5M:1M
}

partition_overlap()
{
	make_null d0 size=16
	pattern fill /dev/d0 2
	add_partition /dev/d0 1 1M 4M
	add_partition /dev/d0 2 8M 4M
	refused EINVAL -s /dev/d0p1 /dev/d0 1M 0:1M
	refused EINVAL -s /dev/d0p1 /dev/d0 512 0:1M
	refused EINVAL -s /dev/d0p1 /dev/d0 2096640 0:1M
	refused EINVAL -s /dev/d0 /dev/d0p1 0 1M:512
	refused EINVAL -s /dev/d0 /dev/d0p2 1M 8M:512 9M:512 10M:512
	refused EINVAL /dev/d0p1 1M 0:1536K
	# The end of the partition is the end, not that of the disk.
	refused EINVAL /dev/d0p1 0 4M:512
	refused EINVAL /dev/d0p1 4M 0:512
	refused EINVAL -s /dev/d0p2 /dev/d0p1 3M 0:2M
	run_cases
	pattern check /dev/d0 2
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n -s /dev/d0p1 /dev/d0p2 2M 3M:1M
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n -s /dev/d0p1 /dev/d0 0 0:1M
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n -s /dev/d0 /dev/d0p1 3M 15M:1M
	pattern check /dev/d0 2 @10M:2 4M:1M @0:2 1M:1M @4M:2 15M:1M
}

two_nodes()
{
	make_null d0 size=16
	pattern fill /dev/d0 2
	mknod "$TMP/other" b "$(stat -c %Hr /dev/d0)" "$(stat -c %Lr /dev/d0)"
	defer rm "$TMP/other"
	refused EINVAL -s "$TMP/other" /dev/d0 0 512K:1M
	refused EINVAL -s /dev/d0 "$TMP/other" 0 512K:1M
	run_cases
	pattern check /dev/d0 2
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n -s "$TMP/other" /dev/d0 0 1M:1M
	pattern check /dev/d0 2 @0:2 1M:1M
}

# The copy is made 64 MiB at a time: what is wrong with a later piece, or with all
# of them together, is known before the first one is made.
whole_call()
{
	local wrote

	make_null d0 size=256
	for wrote in 0 64M 100M 150M; do
		pattern fill -o "$wrote" -l 1M /dev/d0 2
	done
	wrote=$(sectors_written /dev/d0)
	# No 64 MiB of them overlap what they are copied to.
	refused EINVAL /dev/d0 100M 0:128M
	refused EINVAL /dev/d0 0 100M:128M
	refused EINVAL /dev/d0 150M 0:64M 160M:1M
	refused EINVAL /dev/d0 150M 0:32M 32M:32M 64M:4K*2+1M 214M:4K
	# Past the end, misaligned, empty
	refused EINVAL /dev/d0 100M 0:64M 255M:2M
	refused EINVAL /dev/d0 192M 0:65M
	refused EINVAL /dev/d0 100M 0:64M 64M:513
	refused EINVAL /dev/d0 100M 0:64M 64M:0
	counting /dev/d0 run_cases
	did 0 0
	is "$(sectors_written /dev/d0)" "$wrote" "sectors written"
	for wrote in 0 64M 100M 150M; do
		pattern check -o "$wrote" -l 1M /dev/d0 2
	done
}

prove "lengths whose sum overflows are refused" sum_overflow
prove "a call is checked as a whole before anything is copied" whole_call
prove "source and destination may be neighbours" adjacent
prove "overlap is seen between partition and disk" partition_overlap
prove "overlap is seen through two device nodes" two_nodes

# ------------------------------------------------- bad fields and pointers

unknown_flags()
{
	local flags

	for flags in 4 5 7 8 0x100 0x40000000 0x80000000 0xffffffff; do
		add_case "EINVAL 0 0" -f "$flags" "$DST" 0 1M:1M
	done
}

reserved()
{
	local word value

	for word in -r -1 -2; do
		for value in 1 0x80000000; do
			refused EINVAL "$word" "$value" "$DST" 0 1M:1M
		done
	done
	for word in -1 -2; do
		refused EINVAL "$word" 0x8000000000000000 "$DST" 0 1M:1M
	done
}

nr_ranges()
{
	refused EINVAL -n 0 "$DST" 0 1M:1M
	refused EINVAL -n 0 -p null "$DST" 0 1M:1M
	refused EINVAL "$DST" 0 "8M:512*1025+4K"
	refused EINVAL -n 0x80000000 "$DST" 0 8M:512
	refused EINVAL -n 0xffffffff "$DST" 0 8M:512
	# 1024 is the most: it is not the number that is wrong here.
	refused EFAULT -n 1024 -p bad "$DST" 0 8M:512
}

ranges_pointer()
{
	local where

	for where in null bad kernel wrap high; do
		refused EFAULT -p "$where" "$DST" 0 1M:1M
		refused EFAULT -p "$where" "$DST" 0 1M:512*1024+1K
	done
	refused EFAULT -p edge "$DST" 0 1M:512*2+1K
	refused EFAULT -p edge "$DST" 0 1M:512*1024+1K
}

arg_pointer()
{
	local where flags

	for where in null bad kernel edge; do
		for flags in 0 n d; do
			add_case EFAULT -f "$flags" -a "$where" "$DST" 0 1M:1M
		done
	done
}

other_numbers()
{
	local cmd

	# Next number; another size; only read, only write; no direction.
	for cmd in 0xc0401282 0xc0201281 0xc0481281 0x80401281 0x40401281 $OTHER; do
		add_case "$UNKNOWN - -" -c "$cmd" "$DST" 0 1M:1M
	done
}

prove "unknown flags are refused" on_null unknown_flags
prove "reserved fields must be 0" on_null reserved
prove "0 and more than 1024 ranges are refused" on_null nr_ranges
prove "bad pointers to ranges give EFAULT" on_null ranges_pointer
prove "bad pointers to the argument give EFAULT" on_null arg_pointer
prove "other numbers give $UNKNOWN" on_null other_numbers

# The copy is made, only the report of it gets lost.
readonly_arg()
{
	make_null d0 size=16
	pattern fill /dev/d0 2
	device_did /dev/d0 1 1 want "EFAULT - -" rawcopy -a ro /dev/d0 0 1M:1M
	pattern check /dev/d0 2 @0:2 1M:1M
}

# Results are written back whatever went wrong, to a caller of either kind: what
# was copied, and where it stops.  If even that cannot be said, EFAULT is what
# the caller hears.
results_of_failure()
{
	local prog sector=$((2 * 2048 + 1029))

	make_null d0 size=16 max_copy_bytes=1048576
	pattern fill /dev/d0 2
	for prog in rawcopy rawcopy32; do
		pattern fill -l 4M /dev/d0 2
		echo "+$sector-$sector" >"$NULLB/d0/badblocks"
		device_did /dev/d0 3 3 want "EIO 2097152 2097152" "$prog" -f n /dev/d0 0 8M:4M
		device_did /dev/d0 3 3 want "EIO 2621440 2097152" "$prog" /dev/d0 0 8M:4M
		device_did /dev/d0 3 3 want "EFAULT - -" "$prog" -f n -a ro /dev/d0 0 8M:4M
		echo "-$sector-$sector" >"$NULLB/d0/badblocks"
		pattern check /dev/d0 2 @0:2:~2621440 8M:4M
	done
	is "$(copy_stat /dev/d0 copies failed)" "6 6" "copy_stat copies, failed"
}

prove "results that cannot be written back give EFAULT" readonly_arg
prove "results are written back when a copy fails half way" results_of_failure

# --------------------------------------------------------------- bad files

wrong_source()
{
	truncate -s 16M "$TMP/file"
	refused ENOTBLK -s "$TMP/file" "$DST" 0 1M:1M
	refused ENOTBLK -s /dev/zero "$DST" 0 1M:1M
	refused ENOTBLK -s /dev/null "$DST" 0 1M:1M
	refused ENOTBLK -s "$TMP" "$DST" 0 1M:1M
	refused ENOTBLK -S pipe "$DST" 0 1M:1M
	refused EBADF -S 99 "$DST" 0 1M:1M
	refused EBADF -S 0x7fffffff "$DST" 0 1M:1M
	refused EBADF -S -2 "$DST" 0 1M:1M
	refused EBADF -S 0x80000000 "$DST" 0 1M:1M
	refused EBADF -M path -s "$DST" "$DST" 0 1M:1M
}

wrong_destination()
{
	truncate -s 16M "$TMP/file"
	add_case "$NO_DEVICE - -" -s "$DST" "$TMP/file" 0 1M:1M
	add_case "$NO_DEVICE - -" -s "$DST" /dev/full 0 1M:1M
	add_case "$NO_DEVICE - -" -m r -s "$DST" "$TMP" 0 1M:1M
	add_case "EBADF - -" -m path -s "$DST" "$DST" 0 1M:1M
}

wrong_mode()
{
	refused EBADF -M w -s "$DST" "$DST" 0 1M:1M
	refused EBADF -m r -s "$DST" "$DST" 0 1M:1M
	refused EBADF -m r "$DST" 0 1M:1M
	refused EBADF -m w "$DST" 0 1M:1M
	# Open for ioctls only, neither for reading nor for writing.
	refused EBADF -m 3 -s "$DST" "$DST" 0 1M:1M
	refused EBADF -M 3 -s "$DST" "$DST" 0 1M:1M
}

right_mode()
{
	make_null d0 size=16
	pattern fill /dev/d0 2
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n -m w -M r -s /dev/d0 /dev/d0 0 1M:1M
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n -m w -M rw -s /dev/d0 /dev/d0 2M 1M:1M
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n -m rw /dev/d0 3M 1M:1M
	pattern check /dev/d0 2 @0:2 1M:1M @2M:2 1M:1M @3M:2 1M:1M
}

read_only()
{
	local wrote

	no_flusher
	make_null d0 size=16
	make_null d1 size=16
	pattern fill /dev/d0 2
	# Dirty pages of a disk that is read-only are not even written.
	exec 9<>/dev/d0
	pattern fill -b -l 64K /dev/d0 5
	blockdev --setro /dev/d0
	wrote=$(sectors_written /dev/d0)
	refused EPERM /dev/d0 0 1M:1M
	refused EPERM -s /dev/d1 /dev/d0 0 1M:1M
	counting /dev/d0 run_cases
	did 0 0
	is "$(sectors_written /dev/d0)" "$wrote" "sectors written"
	pattern check -b -l 64K /dev/d0 5
	blockdev --setrw /dev/d0
	pattern check /dev/d0 2 @0:5 0:64K
	pattern fill -l 64K /dev/d0 2
	exec 9>&-
	blockdev --setro /dev/d0
	# It may well be the source.
	pattern fill /dev/d1 3
	want "0 1048576 0" rawcopy -s /dev/d0 /dev/d1 0 1M:1M
	pattern check /dev/d1 3 @0:2 1M:1M
	blockdev --setrw /dev/d0
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy /dev/d0 0 1M:1M
}

read_only_partition()
{
	make_null d0 size=16
	pattern fill /dev/d0 2
	add_partition /dev/d0 1 1M 4M
	blockdev --setro /dev/d0p1
	refused EPERM -s /dev/d0 /dev/d0p1 0 8M:1M
	run_cases
	pattern check /dev/d0 2
}

# asked_for WHAT BYTES: how often a read (0) or a write (1) of that was asked for
asked_for()
{
	trace "rawcopy.* probe: .*rw=$1 bytes=$2$" | wc -l
}

# Security modules, and whoever else is asked before a read or a write, are asked here,
# once for each range however long it is.
permission()
{
	make_null d0 size=16
	make_null d1 size=16
	make_null d2 size=8192
	# shellcheck disable=SC2016
	start_probe rw_verify_area 'rw=$arg1:s32 bytes=$arg4:u64'
	want "0 $((3 << 20)) 0" rawcopy -s /dev/d0 /dev/d1 0 4M:1M 0:2M
	is "$(asked_for 0 $((1 << 20))) $(asked_for 0 $((2 << 20)))" "1 1" "reads asked for"
	is "$(asked_for 1 $((3 << 20)))" 1 "writes asked for"
	want "0 0 $((4 << 30))" rawcopy -f d /dev/d2 4G 0:4G
	# As much as one read may have
	is "$(asked_for 0 2147479552) $(asked_for 1 2147479552)" "1 1" "asked for 4 GiB"
}

prove "permission is asked for, of both ends" permission
prove "a source that is no block device is refused" on_null wrong_source
prove "a destination that is no block device is refused" on_null wrong_destination
prove "the wrong open mode is refused" on_null wrong_mode
prove "the right open mode is enough" right_mode
prove "a read-only destination is refused" read_only
prove "a read-only partition is refused" read_only_partition

# As for BLKDISCARD: whoever wants to be sure opens with O_EXCL.
claimed()
{
	make_null d0 size=16
	pattern fill /dev/d0 2
	make_dm claim "0 32768 linear /dev/d0 0"
	want "rawcopy: /dev/d0: EBUSY" rawcopy -m x /dev/d0 0 1M:1M
	pattern check /dev/d0 2
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n /dev/d0 0 1M:1M
	pattern check /dev/d0 2 @0:2 1M:1M
	dmsetup remove claim
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n -m x /dev/d0 0 2M:1M
	pattern check /dev/d0 2 @0:2 2M:1M
}

mounted()
{
	make_null d0 size=32
	mkfs.ext4 -q -F -b 4096 /dev/d0 4096
	# Behind the file system.
	pattern fill -o 16M /dev/d0 2
	mkdir "$TMP/mnt"
	defer rmdir "$TMP/mnt"
	mount /dev/d0 "$TMP/mnt"
	defer umount "$TMP/mnt"
	want "rawcopy: /dev/d0: EBUSY" rawcopy -m x /dev/d0 20M 30M:1M
	pattern check -o 16M /dev/d0 2
	device_did /dev/d0 1 1 want "0 1048576 1048576" rawcopy -f n /dev/d0 20M 30M:1M
	pattern check -o 16M /dev/d0 2 @20M:2 30M:1M
	head -c 1M /dev/urandom >"$TMP/mnt/file"
	sync "$TMP/mnt/file"
	is "$(stat -c %s "$TMP/mnt/file")" 1048576
}

prove "a claimed destination is written, but O_EXCL refuses it" claimed
prove "a mounted destination is written, but O_EXCL refuses it" mounted

finish
