#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# copy_file_range(2) between block devices: what its manual page promises, any
# bytes, and the programs that use it, as they are.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

D0=/dev/d0
D1=/dev/d1
M=$((1 << 20))

two_disks()
{
	make_null d0 size=16 "$@"
	make_null d1 size=16 "$@"
	pattern fill "$D0" 1
	pattern fill "$D1" 2
}

# bytes_of DEVICE FILE: what it holds, for edits with dd
bytes_of()
{
	dd if="$1" of="$2" bs=1M iflag=direct status=none
}

# splice FILE FROM LENGTH TO [FILE2]: what a copy of bytes does to a file
splice()
{
	dd if="${5:-$1}" of="$1" iflag=skip_bytes,count_bytes oflag=seek_bytes \
		skip="$2" count="$3" seek="$4" conv=notrunc status=none
}

# ------------------------------------------------------------- what is copied

whole_blocks()
{
	two_disks
	device_did "$D0" 1 1 want "$M" crange "$D0" 1M "$D0" 8M 1M
	pattern check "$D0" 1 @8M:1 1M:1M
	device_did "$D1" 0 0 want "$M" crange "$D0" 1M "$D1" 4M 1M
	pattern check "$D1" 2 @4M:1 1M:1M
	before "$D0" copies offloaded_bytes emulated_bytes
	want 512 crange "$D0" 2M "$D0" 3M 512
	rose_by 1 512 0
}

direct()
{
	two_disks
	device_did "$D0" 1 1 want "$M" crange -M d -m d "$D0" 1M "$D0" 8M 1M
	pattern check "$D0" 1 @8M:1 1M:1M
	bytes_of "$D0" "$TMP/want"
	device_did "$D0" 1 1 want 5000 crange -M d -m d "$D0" 1000001 "$D0" 9000001 5000
	splice "$TMP/want" 1000001 5000 9000001
	bytes_of "$D0" "$TMP/have"
	cmp "$TMP/want" "$TMP/have"
}

# A head and a tail go through the page cache; what is between them does not.
unaligned()
{
	make_null d0 size=16 "blocksize=$1"
	pattern fill "$D0" 1
	bytes_of "$D0" "$TMP/want"
	before "$D0" offloaded_bytes
	device_did "$D0" 1 1 want 1000000 crange "$D0" 1000 "$D0" $((8 * M + 1000)) 1000000
	splice "$TMP/want" 1000 1000000 $((8 * M + 1000))
	bytes_of "$D0" "$TMP/have"
	cmp "$TMP/want" "$TMP/have"
	rose_by $((1001000 / $1 * $1 - (1000 + $1 - 1) / $1 * $1))
	# None between them, and one block exactly
	device_did "$D0" 0 0 want 100 crange "$D0" 100 "$D0" $((4 * M + 100)) 100
	device_did "$D0" 1 1 want "$1" crange "$D0" 1M "$D0" 5M "$1"
	splice "$TMP/want" 100 100 $((4 * M + 100))
	splice "$TMP/want" "$M" "$1" $((5 * M))
	bytes_of "$D0" "$TMP/have"
	cmp "$TMP/want" "$TMP/have"
}

# Blocks that do not fall together: no device can do it.
shifted()
{
	make_null d0 size=16
	pattern fill "$D0" 1
	bytes_of "$D0" "$TMP/want"
	device_did "$D0" 0 0 want 3000000 crange "$D0" 1 "$D0" 8M 3000000
	splice "$TMP/want" 1 3000000 $((8 * M))
	device_did "$D0" 0 0 want 3000000 crange "$D0" 8M "$D0" 4000511 3000000
	splice "$TMP/want" $((8 * M)) 3000000 4000511
	bytes_of "$D0" "$TMP/have"
	cmp "$TMP/want" "$TMP/have"
}

# Aligned for the one, not for the other
other_block_size()
{
	make_null d0 size=16
	make_null d1 size=16 blocksize=4096
	pattern fill "$D0" 1
	pattern fill "$D1" 2
	bytes_of "$D1" "$TMP/want"
	bytes_of "$D0" "$TMP/source"
	want 512 crange "$D0" 512 "$D1" 1024 512
	splice "$TMP/want" 512 512 1024 "$TMP/source"
	want 10240 crange "$D0" 512 "$D1" 4608 10240
	splice "$TMP/want" 512 10240 4608 "$TMP/source"
	bytes_of "$D1" "$TMP/have"
	cmp "$TMP/want" "$TMP/have"
}

positions()
{
	two_disks
	want "1048576 at 3145728 and 5242880" crange -p "$D0" 2M "$D1" 4M 1M
	pattern check "$D1" 2 @4M:1 2M:1M
}

ends_of_devices()
{
	two_disks
	want 0 crange "$D0" 16M "$D1" 0 1M
	want 0 crange "$D0" 17M "$D1" 0 1M
	want 0 crange "$D0" 16M "$D1" 16M 1M
	want 0 crange "$D0" 0 "$D1" 0 0
	want 524288 crange "$D0" 15872K "$D1" 1M 1M
	want 524288 crange "$D0" 0 "$D1" 15872K 1M
	want 100 crange "$D0" $((16 * M - 100)) "$D1" 3M 1M
	want ENOSPC crange "$D0" 0 "$D1" 16M 1
	want ENOSPC crange "$D0" 0 "$D1" 1T 1M
	pattern check -l 3M "$D1" 2 @1M:1 15872K:512K
	pattern check -o 15872K -l 512K "$D1" 0 @15872K:1 0:512K
}

# The most that a call takes; the caller comes again.  A disk without data, since that
# of 2 GiB would take all memory.
most()
{
	make_null d0 size=8192 memory_backed=0 max_copy_bytes=0
	want 2147479552 crange "$D0" 0 "$D0" 4G 4G
	want "2147479552 at 2147479552 and 6442446848" crange -p "$D0" 0 "$D0" 4G 3G
}

prove "whole blocks" whole_blocks
prove "whole blocks and bytes, with O_DIRECT" direct
prove "a head and a tail, blocks of 512 bytes" unaligned 512
prove "a head and a tail, blocks of 4096 bytes" unaligned 4096
prove "blocks that do not fall together" shifted
prove "two devices with blocks of other sizes" other_block_size
prove "positions of the files" positions
prove "at the ends of devices a copy is short, or ENOSPC" ends_of_devices
prove "2 GiB less a page at most" most

# ------------------------------------------------------------- what is refused

wrong_mode()
{
	two_disks
	want EBADF crange -M w "$D0" 0 "$D1" 0 1M
	want EBADF crange -M p "$D0" 0 "$D1" 0 1M
	want EBADF crange -m r "$D0" 0 "$D1" 0 1M
	want EBADF crange -m a "$D0" 0 "$D1" 0 1M
	pattern check "$D1" 2
}

bad_numbers()
{
	two_disks
	want EINVAL crange -f 1 "$D0" 0 "$D1" 0 1M
	want EINVAL crange -f 0x80000000 "$D0" 0 "$D1" 0 1M
	want EINVAL crange "$D0" -1 "$D1" 0 1M
	want EINVAL crange "$D0" 0 "$D1" -1 1M
	want EOVERFLOW crange "$D0" 0x7ffffffffffff000 "$D1" 0 0x8000000000001000
	want EOVERFLOW crange "$D0" 0 "$D1" 0x7ffffffffffff000 0x8000000000001000
	# Too far for a file is behind the end of a device.
	want 0 crange "$D0" 0x7ffffffffffff000 "$D1" 0 1M
	want ENOSPC crange "$D0" 0 "$D1" 0x7ffffffffffff000 1M
	pattern check "$D1" 2
}

# cp asks for as much as can be said, from wherever it is.
more_than_there_is()
{
	two_disks
	make_null far size=4096
	pattern fill -o 4095M -l 1M /dev/far 1
	want "$M" crange /dev/far 4095M "$D1" 0 0x7fffffffc0000000
	pattern check "$D1" 2 "@0:1" "4095M:1M"
}

overlap()
{
	two_disks
	add_partition "$D0" 1 1M 4M
	want EINVAL crange "$D0" 0 "$D0" 0 1M
	want EINVAL crange "$D0" 0 "$D0" 1 1M
	want EINVAL crange "$D0" 1M "$D0" 1 1M
	want EINVAL crange "${D0}p1" 0 "$D0" 1M 1
	want EINVAL crange "$D0" 2M "${D0}p1" 0 1048577
	# Neighbours, to the byte
	want 1000 crange "$D0" 0 "$D0" 1000 1000
	want 1048576 crange "$D0" 2M "${D0}p1" 0 1M
	bytes_of "$D0" "$TMP/have"
	pattern fill "$D0" 1
	bytes_of "$D0" "$TMP/want"
	splice "$TMP/want" 0 1000 1000
	splice "$TMP/want" $((2 * M)) "$M" "$M"
	cmp "$TMP/want" "$TMP/have"
}

read_only()
{
	two_disks
	blockdev --setro "$D1"
	want EPERM crange "$D0" 0 "$D1" 0 1M
	want 1048576 crange "$D1" 0 "$D0" 0 1M
	blockdev --setrw "$D1"
	pattern check "$D1" 2
	pattern check "$D0" 1 @0:2 0:1M
}

swapped_to()
{
	two_disks
	mkswap "$D1" >/dev/null
	swapon "$D1"
	defer swapoff "$D1"
	want ETXTBSY crange "$D0" 0 "$D1" 1M 1M
	want ETXTBSY crange "$D1" 0 "$D0" 1M 1M
	want "ETXTBSY 0 0" rawcopy -s "$D0" "$D1" 1M 0:1M
	pattern check "$D0" 1
}

# Only pairs of devices are ours.
regular_files()
{
	two_disks
	truncate -s 1M "$TMP/file"
	want EINVAL crange "$D0" 0 "$TMP/file" 0 4096
	want EINVAL crange "$TMP/file" 0 "$D0" 0 4096
	want EINVAL crange /dev/zero 0 "$D0" 0 4096
	want EINVAL crange "$D0" 0 /dev/null 0 4096
	echo hello >"$TMP/a"
	: >"$TMP/b"
	want 6 crange "$TMP/a" 0 "$TMP/b" 0 100
	cmp "$TMP/a" "$TMP/b"
	# FICLONE
	fails cp --reflink=always "$D0" "$D1"
	pattern check "$D0" 1
	pattern check "$D1" 2
}

# Security modules, and whoever else is asked before a read or a write, are asked here.
permission()
{
	two_disks
	# shellcheck disable=SC2016
	start_probe rw_verify_area 'rw=$arg1:s32 bytes=$arg4:u64'
	want 1000000 crange "$D0" 1000 "$D1" 1000 1000000
	is "$(trace 'crange.*rw=0 bytes=1000000$' | wc -l)" 1 "reads asked for"
	is "$(trace 'crange.*rw=1 bytes=1000000$' | wc -l)" 1 "writes asked for"
}

# Nothing would write in order what goes past the page cache and what goes through it.
zones()
{
	make_null d0 size=16 zoned=1 zone_size=4
	make_null d1 size=16
	pattern fill "$D0" 1
	pattern fill "$D1" 2
	want EOPNOTSUPP crange "$D1" 0 "$D0" 4M 1M
	want EOPNOTSUPP crange "$D0" 0 "$D0" 4M 1M
	pattern check "$D0" 1
	want 1000000 crange "$D0" 100 "$D1" 100 1000000
	bytes_of "$D1" "$TMP/have"
	pattern fill "$D1" 2
	bytes_of "$D1" "$TMP/want"
	bytes_of "$D0" "$TMP/source"
	splice "$TMP/want" 100 1000000 100 "$TMP/source"
	cmp "$TMP/want" "$TMP/have"
}

prove "zones can be copied from, and not to" zones
prove "permission is asked for, of both ends" permission
prove "the wrong open mode, and O_APPEND" wrong_mode
prove "flags, negative and too large offsets" bad_numbers
prove "more bytes than there are, far behind" more_than_there_is
prove "overlap, to the byte and through partitions" overlap
prove "a read-only destination" read_only
prove "a device that is swapped to" swapped_to
prove "regular files are as before" regular_files

# ----------------------------------------------------------------- as for files

accounting()
{
	two_disks
	python3 - "$D0" "$D1" <<-'END'
	import ctypes, os, sys

	def io():
	    return {l.split(':')[0]: int(l.split(':')[1]) for l in open('/proc/self/io')}

	libc = ctypes.CDLL(None, use_errno=True)
	src = os.open(sys.argv[1], os.O_RDONLY)
	dst = os.open(sys.argv[2], os.O_WRONLY)
	watch = libc.inotify_init1(os.O_NONBLOCK)
	for path in sys.argv[1:]:
	    assert libc.inotify_add_watch(watch, path.encode(), 0x3) > 0
	old = io()
	assert os.copy_file_range(src, dst, 1000000, 100, 200) == 1000000
	new = io()
	for name, least in (('rchar', 1000000), ('wchar', 1000000), ('syscr', 1), ('syscw', 1)):
	    assert new[name] - old[name] >= least, (name, old, new)
	events = os.read(watch, 4096)
	masks = [int.from_bytes(events[i:i + 4], 'little') for i in range(4, len(events), 16)]
	# IN_ACCESS of the source, IN_MODIFY of the destination
	assert sorted(masks) == [1, 2], masks
	END
}

# O_SYNC: on the medium when the call returns
synchronous()
{
	local flushes

	pattern fill -l 1M /dev/vm/sda 1
	flushes=$(awk '{ print $16 }' "/sys/block/$(disk_of /dev/vm/sda)/stat")
	want 1000 crange /dev/vm/sda 0 /dev/vm/sda 2000000 1000
	is "$(awk '{ print $16 }' "/sys/block/$(disk_of /dev/vm/sda)/stat")" "$flushes" flushes
	want 1000 crange -m s /dev/vm/sda 0 /dev/vm/sda 2000000 1000
	at_least "$(awk '{ print $16 }' "/sys/block/$(disk_of /dev/vm/sda)/stat")" \
		$((flushes + 1)) flushes
}

# A signal that is caught: what is copied so far, and nothing is lost.
interrupted()
{
	local have

	make_null d0 size=1024 max_copy_bytes=1048576 irqmode=2 completion_nsec=100000000
	have=$(crange -i 1500 "$D0" 0 "$D0" 512M 512M) || :
	[[ $have -gt 0 && $have -lt $((512 << 20)) ]] || fail "returned $have"
	is $((have % (64 << 20))) 0 "what is left of a window"
	idle
}

failed_half_way()
{
	make_null d0 size=16
	pattern fill "$D0" 1
	# In the second of the pieces of 512 KiB that are read and written
	echo "+9304-9304" >"$NULLB/d0/badblocks"
	want 524288 crange "$D0" 4M "$D0" 12M 1M
	want EIO crange "$D0" 9304s "$D0" 14M 1M
	# A head that is copied, and blocks that are not
	want 412 crange "$D0" 4763236 "$D0" 14680164 100000
	echo "-9304-9304" >"$NULLB/d0/badblocks"
	bytes_of "$D0" "$TMP/have"
	pattern fill "$D0" 1
	bytes_of "$D0" "$TMP/want"
	splice "$TMP/want" $((4 * M)) 524288 $((12 * M))
	splice "$TMP/want" 4763236 412 14680164
	cmp "$TMP/want" "$TMP/have"
}

# A page of the destination that somebody writes to stays coherent.
dirty_pages()
{
	no_flusher
	two_disks
	exec 8<>"$D0" 9<>"$D1"
	pattern fill -b -o 1M -l 1M "$D0" 5
	pattern fill -b -o 4M -l 1M "$D1" 6
	bytes_of "$D1" "$TMP/want"
	pattern check -b -o 1M -l 1M "$D0" 5
	want 100000 crange "$D0" 1100000 "$D1" 4200032 100000
	dd if="$D0" of="$TMP/source" bs=1M status=none
	splice "$TMP/want" 1100000 100000 4200032 "$TMP/source"
	dd if="$D1" of="$TMP/have" bs=1M status=none
	cmp "$TMP/want" "$TMP/have"
	bytes_of "$D1" "$TMP/have"
	cmp "$TMP/want" "$TMP/have"
}

prove "accounting and notification" accounting
prove "O_SYNC flushes" synchronous
prove "a signal makes a copy short" interrupted
prove "an error behind bytes that are copied makes it short" failed_half_way
prove "dirty pages of both ends" dirty_pages

# ------------------------------------------------------------------- random

# random SEED COUNT ATTRIBUTE=VALUE...: two disks, of which one has partitions whose
# sizes are odd, and a disk that cannot offload.
random()
{
	local seed=$1 count=$2

	shift 2
	make_null d0 size=4 "$@"
	make_null d1 size=2 "$@"
	make_null d2 size=1 max_copy_bytes=0
	add_partition "$D0" 1 64K 1000K
	add_partition "$D0" 2 2M 1028K
	crange -r "$seed" "$count" "${D0}p1" "+${D0}p2" "$D1" -/dev/d2 >"$TMP/random" || {
		cat "$TMP/random"
		return 1
	}
	is "$(($(copy_stat "$D0" offloaded_bytes) + $(copy_stat "$D1" offloaded_bytes)))" \
		"$(tail -n 1 "$TMP/random")" "bytes offloaded"
	idle
}

prove "random calls, blocks of 512 bytes" random 1 "${N:-2000}"
grep '^#' "$TMP/random"
prove "random calls, blocks of 4096 bytes" random 2 "${N:-2000}" blocksize=4096
grep '^#' "$TMP/random"

# ----------------------------------------------------------------- programs

xfs_io_copies()
{
	two_disks
	device_copied "$D0" xfs_io -c "copy_range -s 1048576 -d 8388608 -l 1048576 $D0" "$D0"
	pattern check "$D0" 1 @8M:1 1M:1M
	xfs_io -c "copy_range -s 1048576 -d 4194304 -l 1048576 $D0" "$D1"
	pattern check "$D1" 2 @4M:1 1M:1M
}

python_copies()
{
	two_disks
	device_copied "$D0" python3 -c '
import os, sys
src = os.open(sys.argv[1], os.O_RDONLY)
dst = os.open(sys.argv[1], os.O_WRONLY)
left = 4 << 20
while left:
    left -= os.copy_file_range(src, dst, left, (4 << 20) - left, (12 << 20) - left)
' "$D0"
	pattern check "$D0" 1 @8M:1 0:4M
}

# They try it first where source and destination are not regular, too.
# It copies what is not zero, and falls back without a word: the device has to say it.
qemu_img_copies()
{
	make_null d0 size=64
	make_dm from "0 32768 linear /dev/d0 0"
	make_dm to "0 32768 linear /dev/d0 65536"
	pattern fill /dev/d0 1
	device_copied /dev/d0 qemu-img convert -n -C -f host_device -O host_device \
		/dev/mapper/from /dev/mapper/to
	pattern check /dev/d0 1 @32M:1 0:16M
}

# It takes the size of its source from the device node, and refuses what begins beyond.
util_linux_copies()
{
	command -v copyfilerange >/dev/null || skip "copyfilerange is not in the guest's image"
	two_disks
	device_copied "$D0" copyfilerange "$D0" "$D0" 0:8388608:1048576
	pattern check "$D0" 1 @8M:1 0:1M
	copyfilerange "$D0" "$D1" 0:1048576:102400
	pattern check "$D1" 2 @1M:1 0:102400
}

coreutils_copy()
{
	two_disks
	cat "$D0" >"$D1"
	pattern check "$D1" 1
	pattern fill "$D1" 2
	cp "$D0" "$D1"
	pattern check "$D1" 1
	pattern fill "$D1" 2
	dd if="$D0" of="$D1" bs=64K count=16 status=none
	pattern check "$D1" 2 @0:1 0:1M
}

prove "xfs_io -c copy_range" xfs_io_copies
prove "qemu-img convert -C" qemu_img_copies
prove "os.copy_file_range of Python" python_copies
prove "util-linux: copyfilerange" util_linux_copies
prove "cat, cp and dd" coreutils_copy
finish
