#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What an administrator sees: limits and domains in sysfs, copy_stat, the dry run,
# disk statistics, traces.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

M=$((1 << 20))
D0=/dev/d0
D1=/dev/d1

# limits DEVICE: all of them in one line, without the domain
limits()
{
	echo "$(queue "$1" copy_max_hw_bytes)" "$(queue "$1" copy_max_bytes)" \
		"$(queue "$1" copy_max_segments)" "$(queue "$1" copy_max_segment_bytes)" \
		"$(queue "$1" copy_opt_bytes)"
}

domain()
{
	queue "$1" copy_domain
}

# ------------------------------------------------------------------- sysfs

all_limits()
{
	make_null d0 size=16 max_copy_bytes=$((20 * M + 100)) max_copy_segments=77 \
		max_copy_segment_bytes=$((3 * M + 100))
	is "$(limits "$D0")" "$((20 * M)) $((16 * M)) 77 $((3 * M)) 0"
	make_null d1 size=16 max_copy_bytes=0
	is "$(limits "$D1")" "0 0 0 0 0"
	make_null d2 size=16 max_copy_bytes=65536 blocksize=4096
	is "$(limits /dev/d2)" "65536 65536 128 65536 0"
	# More ranges than a token has are of no use.
	make_null d3 size=16 max_copy_segments=5000
	is "$(limits /dev/d3)" "$((16 * M)) $((16 * M)) 256 $((16 * M)) 0"
	is "$(limits /dev/vm/big)" "$((65535 * 512 * 128)) $((16 * M)) 128 $((65535 * 512)) 0"
	is "$(limits /dev/vm/tiny)" "32768 32768 8 8192 0"
	is "$(limits /dev/vm/4k)" "$((1048560 * 4096)) $((16 * M)) 128 $((65535 * 4096)) 0"
	is "$(limits /dev/vm/pi)" "$((65535 * 512 * 128)) $((16 * M)) 128 $((65535 * 512)) 0"
	is "$(limits /dev/vm/zoned)" "0 0 0 $((65535 * 512)) 0"
	is "$(limits /dev/vm/sda)" "0 0 0 0 0"
}

# set_to BYTES EXPECTED: write copy_max_bytes and read it back
set_to()
{
	queue "$D0" copy_max_bytes "$1"
	is "$(queue "$D0" copy_max_bytes)" "$2" "copy_max_bytes after writing $1"
}

refuses()
{
	fails queue "$D0" copy_max_bytes "$1" 2>/dev/null
	is "$(queue "$D0" copy_max_bytes)" "$2" "copy_max_bytes after writing $1"
}

max_bytes()
{
	make_null d0 size=16 max_copy_bytes=$((4 * M)) blocksize=4096
	set_to 65536 65536
	set_to 4096 4096
	set_to $((4 * M)) $((4 * M))
	set_to 0 0
	# Clamped to what the device can
	set_to $((64 * M)) $((4 * M))
	set_to $((1 << 50)) $((4 * M))
	set_to 18446744073709547520 $((4 * M))
	refuses 512 $((4 * M))
	refuses 4097 $((4 * M))
	refuses 65537 $((4 * M))
	refuses -4096 $((4 * M))
	refuses 18446744073709551616 $((4 * M))
	refuses lots $((4 * M))
	refuses "" $((4 * M))
}

read_only()
{
	local attr old

	make_null d0 size=16
	for attr in copy_max_hw_bytes copy_max_segments copy_max_segment_bytes copy_opt_bytes \
		copy_domain; do
		old=$(queue "$D0" "$attr")
		fails queue "$D0" "$attr" 4096 2>/dev/null
		is "$(queue "$D0" "$attr")" "$old"
		is "$(stat -c %a "/sys/block/d0/queue/$attr")" 444 "mode of $attr"
	done
	is "$(stat -c %a /sys/block/d0/queue/copy_max_bytes)" 644 "mode of copy_max_bytes"
	is "$(stat -c %a /sys/block/d0/copy_stat)" 444 "mode of copy_stat"
}

# What is set is obeyed: by size of commands, and 0 by emulation.
obeyed()
{
	make_null d0 size=16
	pattern fill "$D0" 1
	queue "$D0" copy_max_bytes 262144
	counting "$D0" want "0 $M $M" rawcopy -f n "$D0" 8M 0:1M
	did 4 4
	queue "$D0" copy_max_bytes 0
	is "$(queue "$D0" copy_max_hw_bytes)" $((16 * M))
	device_did "$D0" 0 0 want "0 $M 0" rawcopy "$D0" 10M 0:1M
	device_did "$D0" 0 0 want "EOPNOTSUPP 0 0" rawcopy -f n "$D0" 12M 0:1M
	queue "$D0" copy_max_bytes $((16 * M))
	counting "$D0" want "0 $M $M" rawcopy -f n "$D0" 12M 0:1M
	did 1 1
	pattern check "$D0" 1 @8M:1 0:1M @10M:1 0:1M @12M:1 0:1M
}

# From one block to more than the default
sizes()
{
	make_null d0 size=64 max_copy_bytes=$((64 * M))
	pattern fill "$D0" 1
	counting "$D0" want "0 $((24 * M)) $((24 * M))" rawcopy -f n "$D0" 32M 0:24M
	did 2 2
	queue "$D0" copy_max_bytes $((64 * M))
	counting "$D0" want "0 $((24 * M)) $((24 * M))" rawcopy -f n "$D0" 32M 1M:24M
	did 1 1
	queue "$D0" copy_max_bytes 512
	counting "$D0" want "0 65536 65536" rawcopy -f n "$D0" 60M 2M:64K
	did 128 128
	pattern check "$D0" 1 @32M:1 1M:24M @60M:1 2M:64K
}

# What null_blk can be told: whether it copies at all, and in which sizes.

null_off()
{
	make_null "$@" size=16
	is "$(limits "/dev/$1")" "0 0 0 0 0"
	is "$(domain "/dev/$1")" none
	counting "/dev/$1" want "EOPNOTSUPP 0 0" rawcopy -f n "/dev/$1" 8M 0:1M
	did 0 0
	drop_null "$1"
}

null_without_copies()
{
	null_off d0 max_copy_bytes=0
	null_off d1 memory_backed=0
	null_off d2 shared_tags=1
	make_null d3 size=16 zoned=1 zone_size=4
	is "$(limits /dev/d3)" "0 0 0 0 0"
	want "EOPNOTSUPP 0 0" rawcopy -f n /dev/d3 4M 0:4K
	is "$(device_copies /dev/d3)" "0 0" "commands of the device"
	# What is off says so where it was switched on.
	is "$(cat "$NULLB/d3/max_copy_bytes")" 0
}

# null_size BYTES BLOCKSIZE EXPECTED [ATTRIBUTE=VALUE...]
null_size()
{
	make_null d0 size=16 "max_copy_bytes=$1" "blocksize=$2" "${@:4}"
	is "$(queue "$D0" copy_max_hw_bytes) $(queue "$D0" copy_max_segment_bytes)" "$3" \
		"max_copy_bytes=$1 blocksize=$2"
	drop_null d0
}

null_sizes()
{
	local value

	null_size 512 512 "512 512"
	null_size 513 512 "512 512"
	null_size 65535 512 "65024 65024"
	null_size 65535 4096 "61440 61440"
	null_size 4294967295 512 "4294966784 4294966784"
	null_size 65536 512 "65536 512" max_copy_segment_bytes=1023
	null_size 65536 512 "65536 65536" max_copy_segment_bytes=0
	null_size 65536 512 "65536 65536" max_copy_segment_bytes=1048576
	# What makes no sense is refused when it is switched on.
	mkdir "$NULLB/d9"
	defer drop_null d9
	echo 1 >"$NULLB/d9/memory_backed"
	echo 16 >"$NULLB/d9/size"
	for value in max_copy_bytes=511 max_copy_segment_bytes=511 max_copy_segments=0 \
		max_copy_segments=65536; do
		echo 65536 >"$NULLB/d9/max_copy_bytes"
		echo 128 >"$NULLB/d9/max_copy_segments"
		echo 0 >"$NULLB/d9/max_copy_segment_bytes"
		echo "${value#*=}" >"$NULLB/d9/${value%%=*}"
		fails eval "echo 1 >$NULLB/d9/power" 2>/dev/null
		is "$(cat "$NULLB/d9/power")" 0 "power with $value"
	done
	for value in -1 4294967296 lots; do
		fails eval "echo $value >$NULLB/d9/max_copy_bytes" 2>/dev/null
	done
}

# Sizes that a command then really has
null_odd_sizes()
{
	make_null d0 size=16 max_copy_bytes=65535 max_copy_segment_bytes=5000 max_copy_segments=7
	pattern fill "$D0" 1
	# 7 ranges of 4608 bytes in a command
	device_did "$D0" 4 23 want "0 102400 102400" rawcopy -f n "$D0" 8M 0:100K
	is "$(cat /sys/block/d0/null_blk/copy_bytes)" 102400
	pattern check "$D0" 1 @8M:1 0:100K
	# Larger than the disk
	make_null d1 size=16 max_copy_bytes=4294967295
	pattern fill "$D1" 1
	queue "$D1" copy_max_bytes 4294966784
	device_did "$D1" 1 1 want "0 $((8 * M)) $((8 * M))" rawcopy -f n "$D1" 8M 0:8M
	pattern check "$D1" 1 @8M:1 0:8M
}

# Less than a tick of the throttle lets pass, or it would be put back for ever
null_throttled()
{
	local hw

	make_null d0 size=16 mbps=100
	pattern fill "$D0" 1
	hw=$(queue "$D0" copy_max_hw_bytes)
	[ "$hw" -gt 0 ]
	[ "$hw" -lt $((16 * M)) ]
	device_did "$D0" $(((8 * M + hw - 1) / hw)) $(((8 * M + hw - 1) / hw)) \
		want "0 $((8 * M)) $((8 * M))" rawcopy -f n "$D0" 8M 0:8M
	pattern check "$D0" 1 @8M:1 0:8M
}

# A disk that is on has what it was switched on with.
null_powered()
{
	local attr old

	make_null d0 size=16
	for attr in max_copy_bytes max_copy_segments max_copy_segment_bytes; do
		grep -qE "(^|,)$attr(,|\$)" "$NULLB/features"
		old=$(cat "$NULLB/d0/$attr")
		want "bash: line 1: echo: write error: Device or resource busy" \
			bash -c "echo 4096 >$NULLB/d0/$attr"
		is "$(cat "$NULLB/d0/$attr")" "$old" "$attr"
	done
	device_did "$D0" 1 1 want "0 $M $M" rawcopy -f n "$D0" 8M 0:1M
	echo 0 >"$NULLB/d0/power"
	echo 65536 >"$NULLB/d0/max_copy_bytes"
	echo 0 >"$NULLB/d0/max_copy_segment_bytes"
	echo 1 >"$NULLB/d0/power"
	wait_for test -b "$D0"
	is "$(limits "$D0")" "65536 65536 128 65536 0"
	device_did "$D0" 16 16 want "0 $M $M" rawcopy -f n "$D0" 8M 0:1M
}

null_reload()
{
	modprobe -r null_blk
	modprobe null_blk "$@"
}

# The same as parameters of the module, for its disks and as defaults of others
null_parameters()
{
	defer null_reload nr_devices=0
	null_reload nr_devices=1 gb=1 memory_backed=1 max_copy_bytes=65536 max_copy_segments=3 \
		max_copy_segment_bytes=8192
	wait_for test -b /dev/nullb0
	is "$(limits /dev/nullb0)" "65536 65536 3 8192 0"
	is "$(cat /sys/module/null_blk/parameters/max_copy_bytes)" 65536
	pattern fill -l 1M /dev/nullb0 1
	device_did /dev/nullb0 11 32 want "0 262144 262144" rawcopy -f n /dev/nullb0 8M 0:256K
	pattern check -o 8M -l 512K /dev/nullb0 0 @8M:1 0:256K
	mkdir "$NULLB/d0"
	defer drop_null d0
	is "$(cat "$NULLB/d0/max_copy_bytes" "$NULLB/d0/max_copy_segments" \
		"$NULLB/d0/max_copy_segment_bytes" | paste -sd' ')" "65536 3 8192"
	drop_null d0
	null_reload nr_devices=1 gb=1 memory_backed=0 max_copy_bytes=65536
	wait_for test -b /dev/nullb0
	is "$(limits /dev/nullb0)" "0 0 0 0 0"
	null_reload nr_devices=1 gb=1 memory_backed=1
	wait_for test -b /dev/nullb0
	is "$(limits /dev/nullb0)" "0 0 0 0 0"
}

# Either end can forbid it.
obeyed_by_stack()
{
	make_null d0 size=16
	pattern fill "$D0" 1
	make_dm lin "0 32768 linear $D0 0"
	queue "$D0" copy_max_bytes 0
	device_did "$D0" 0 0 want "EOPNOTSUPP 0 0" rawcopy -f n /dev/mapper/lin 8M 0:1M
	device_did "$D0" 0 0 want "0 $M 0" rawcopy /dev/mapper/lin 8M 0:1M
	queue "$D0" copy_max_bytes $((16 * M))
	queue /dev/mapper/lin copy_max_bytes 0
	want "EOPNOTSUPP 0 0" rawcopy -f n /dev/mapper/lin 9M 0:1M
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/mapper/lin "$D0" 9M 0:1M
	want "EOPNOTSUPP 0 0" rawcopy -f n -s "$D0" /dev/mapper/lin 9M 0:1M
	device_did "$D0" 1 1 want "0 $M $M" rawcopy -f n "$D0" 9M 0:1M
	# Less than the leaf takes
	queue /dev/mapper/lin copy_max_bytes "$M"
	counting "$D0" want "0 $((4 * M)) $((4 * M))" rawcopy -f n /dev/mapper/lin 12M 0:4M
	did 4 4
	counting "$D0" want "0 $((4 * M)) $((4 * M))" rawcopy -f n "$D0" 12M 0:4M
	did 1 1
	queue /dev/mapper/lin copy_max_bytes $((16 * M))
	# With a rest, and a level above
	make_dm top "0 32768 linear /dev/mapper/lin 0"
	queue /dev/mapper/top copy_max_bytes $((M * 3 / 2))
	counting "$D0" want "0 $((4 * M)) $((4 * M))" rawcopy -f n /dev/mapper/top 12M 0:4M
	did 3 3
	pattern check "$D0" 1 @8M:1 0:1M @9M:1 0:1M @12M:1 0:4M
}

prove "limits are those of the device, the default at most 16 MiB" all_limits
prove "copy_max_bytes is clamped, and refuses what is misaligned" max_bytes
prove "all other attributes are read-only" read_only
prove "copy_max_bytes is obeyed, 0 switches offload off" obeyed
prove "copy_max_bytes may be one block, and more than the default" sizes
prove "copy_max_bytes is obeyed above and below a stack" obeyed_by_stack
prove "null_blk copies only if it is told to, and can" null_without_copies
prove "null_blk: sizes are rounded, senseless ones refused" null_sizes
prove "null_blk: commands have odd sizes" null_odd_sizes
prove "null_blk: a throttled disk copies" null_throttled
prove "null_blk: a disk that is on keeps its sizes" null_powered
prove "null_blk: parameters of the module" null_parameters

domains()
{
	local a b name='^[0-9a-f]{16}-lba512-pi0$'

	make_null d0 size=16
	make_null d1 size=16
	make_null d2 size=16 max_copy_bytes=0
	a=$(domain "$D0")
	b=$(domain "$D1")
	[[ $a =~ $name && $b =~ $name ]]
	[ "$a" != "$b" ]
	is "$(domain /dev/d2)" none
	is "$(domain /dev/vm/sda)" none
	[[ $(domain /dev/vm/big) =~ $name ]]
	[[ $(domain /dev/vm/4k) =~ ^[0-9a-f]{16}-lba4096-pi0$ ]]
	# One subsystem and one format, of which nothing can be copied to zones
	is "$(domain /dev/vm/tiny)" "$(domain /dev/vm/big)"
	is "$(domain /dev/vm/zoned)" "$(domain /dev/vm/big)"
	[[ $(domain /dev/vm/pi) =~ ^[0-9a-f]{16}-lba512-pi8$ ]]
	for a in /dev/vm/4k /dev/vm/pi; do
		[ "$(domain "$a" | cut -c 1-16)" != "$(domain /dev/vm/big | cut -c 1-16)" ]
	done
	a=$(domain "$D0")
	make_dm lin "0 16384 linear $D0 0"
	is "$(domain /dev/mapper/lin)" "$a"
	make_dm two "0 8192 linear $D0 16384
8192 8192 linear $D1 16384"
	is "$(domain /dev/mapper/two)" mixed
	make_dm same "0 8192 linear $D0 24576
8192 8192 linear $D0 16384"
	is "$(domain /dev/mapper/same)" "$a"
	make_dm str "0 16384 striped 2 128 $D0 0 $D1 0"
	is "$(domain /dev/mapper/str)" mixed
	# One that cannot copy does not close the stack for the other.
	make_dm half "0 8192 linear $D0 0
8192 8192 linear /dev/d2 0"
	is "$(domain /dev/mapper/half)" "$a"
	is "$(queue /dev/mapper/half copy_max_bytes)" $((16 * M))
	make_dm nobody "0 8192 linear /dev/d2 0"
	is "$(domain /dev/mapper/nobody)" none
	make_dm up "0 8192 linear /dev/mapper/two 0"
	is "$(domain /dev/mapper/up)" mixed
}

stacked()
{
	make_null d0 size=16 max_copy_bytes=$((8 * M)) max_copy_segments=50 \
		max_copy_segment_bytes=$((2 * M))
	make_null d1 size=16 max_copy_bytes=$((4 * M)) max_copy_segments=100 \
		max_copy_segment_bytes=$((3 * M))
	make_dm two "0 8192 linear $D0 0
8192 8192 linear $D1 0"
	is "$(limits /dev/mapper/two)" "$((4 * M)) $((4 * M)) 50 $((2 * M)) 0"
	make_dm crypt "0 8192 crypt aes-xts-plain64 $(printf %064d 7) 0 $D0 0"
	is "$(limits /dev/mapper/crypt)" "0 0 0 0 0"
	is "$(domain /dev/mapper/crypt)" none
}

reload()
{
	dmsetup reload "$1" --table "$2"
	dmsetup resume "$1"
}

# A new table gets new limits, in both directions; what was allowed stays.
after_reload()
{
	local dm=/dev/mapper/lin crypt

	crypt="0 8192 crypt aes-xts-plain64 $(printf %064d 7) 0 $D0 0"
	make_null d0 size=16
	make_null d1 size=16 max_copy_bytes=$((2 * M)) max_copy_segments=9
	make_dm lin "0 8192 linear $D0 0"
	is "$(limits "$dm")" "$((16 * M)) $((16 * M)) 128 $((16 * M)) 0"
	queue "$dm" copy_max_bytes 1048576
	reload lin "0 8192 linear $D1 0"
	is "$(limits "$dm")" "$((2 * M)) $M 9 $((2 * M)) 0"
	is "$(domain "$dm")" "$(domain "$D1")"
	device_did "$D1" 1 1 want "0 $M $M" rawcopy -f n "$dm" 0 1M:1M
	reload lin "$crypt"
	is "$(limits "$dm")" "0 0 0 0 0"
	want "EOPNOTSUPP 0 0" rawcopy -f n "$dm" 0 1M:1M
	reload lin "0 8192 linear $D0 0"
	is "$(limits "$dm")" "$((16 * M)) $M 128 $((16 * M)) 0"
	is "$(domain "$dm")" "$(domain "$D0")"
	device_did "$D0" 1 1 want "0 $M $M" rawcopy -f n "$dm" 0 1M:1M
	queue "$dm" copy_max_bytes 0
	reload lin "0 8192 linear $D1 0"
	is "$(limits "$dm")" "$((2 * M)) 0 9 $((2 * M)) 0"
}

prove "domains: the same through linear, mixed over two, none without" domains
prove "limits of a stack are the smaller ones, and 0 with dm-crypt" stacked
prove "limits and domain follow a new table, copy_max_bytes stays" after_reload

# --------------------------------------------------------------- copy_stat

ITEMS=(copies offloaded_bytes emulated_bytes failed stale overflow error_fallbacks
	commands ranges command_bytes command_errors)

names()
{
	local have

	make_null d0 size=16
	have=$(awk '{ print $1 }' /sys/block/d0/copy_stat | tr '\n' ' ')
	is "$have" "${ITEMS[*]} "
	is "$(awk '{ print $2 }' /sys/block/d0/copy_stat | sort -u)" 0
}

counted()
{
	make_null d0 size=64
	make_null d1 size=64
	pattern fill -l 24M "$D0" 1
	before "$D0" "${ITEMS[@]}"
	device_did "$D0" 1 1 want "0 $M $M" rawcopy "$D0" 32M 0:1M
	rose_by 1 "$M" 0 0 0 0 0 1 1 "$M" 0
	device_did "$D0" 2 2 want "0 $((20 * M)) $((20 * M))" rawcopy "$D0" 40M 1M:20M
	rose_by 2 $((21 * M)) 0 0 0 0 0 3 3 $((21 * M)) 0
	device_did "$D0" 1 3 want "0 12288 12288" rawcopy "$D0" 32M 0:4K 8K:4K 16K:4K
	rose_by 3 $((21 * M + 12288)) 0 0 0 0 0 4 6 $((21 * M + 12288)) 0
	# The source counts nothing: a copy is counted where it was sent to.
	before "$D0" "${ITEMS[@]}"
	before_d1=$(copy_stat "$D1" "${ITEMS[@]}")
	is "$before_d1" "0 0 0 0 0 0 0 0 0 0 0"
	want "0 $M 0" rawcopy -s "$D0" "$D1" 0 0:1M
	rose_by 0 0 0 0 0 0 0 0 0 0 0
	is "$(copy_stat "$D1" "${ITEMS[@]}")" "1 0 $M 0 0 0 0 0 0 0 0"
	want "EOPNOTSUPP 0 0" rawcopy -f n -s "$D0" "$D1" 0 0:1M
	is "$(copy_stat "$D1" "${ITEMS[@]}")" "2 0 $M 1 0 0 0 0 0 0 0"
	# A dry run is no copy.
	device_did "$D0" 0 0 want "0 0 $M" rawcopy -f d "$D0" 32M 0:1M
	rose_by 0 0 0 0 0 0 0 0 0 0 0
	# Neither is what was refused.
	want "EINVAL 0 0" rawcopy "$D0" 0 0:1M
	rose_by 0 0 0 0 0 0 0 0 0 0 0
	queue "$D0" copy_max_bytes 0
	want "0 $M 0" rawcopy "$D0" 32M 0:1M
	rose_by 1 0 "$M" 0 0 0 0 0 0 0 0
}

# Copies on the disk that was named, commands on the disk that executed them
counted_in_stack()
{
	make_null d0 size=32
	make_null d1 size=32
	make_dm two "0 16384 linear $D0 0
16384 16384 linear $D1 0"
	device_did "$D0" 2 2 want "0 $((3 * M)) $((2 * M))" rawcopy /dev/mapper/two 4M 0:1M 8M:1M 1M:1M
	is "$(copy_stat /dev/mapper/two "${ITEMS[@]}")" "1 $((2 * M)) $M 0 0 0 0 0 0 0 0"
	is "$(copy_stat "$D0" "${ITEMS[@]}")" "0 0 0 0 0 0 0 2 2 $((2 * M)) 0"
	is "$(copy_stat "$D1" "${ITEMS[@]}")" "0 0 0 0 0 0 0 0 0 0 0"
	# A partition is counted on its disk.
	add_partition "$D0" 1 16M 8M
	device_did "$D0" 1 1 want "0 $M $M" rawcopy -f n /dev/d0p1 0 4M:1M
	is "$(copy_stat "$D0" "${ITEMS[@]}")" "1 $M 0 0 0 0 0 3 3 $((3 * M)) 0"
}

counted_nvme()
{
	local dev=/dev/vm/big

	before "$dev" copies offloaded_bytes emulated_bytes commands ranges command_bytes leaf:commands leaf:ranges leaf:command_bytes
	counting "$dev" want "0 $M $M" rawcopy "$dev" 8M 0:512K 1M:512K
	did 1 2
	# The multipath node and its path
	[ "$(disk_of "$dev")" != "$(leaf_of "$dev")" ]
	rose_by 1 "$M" 0 1 2 "$M" 1 2 "$M"
}

prove "copy_stat has all its counters, and they begin at 0" names
prove "copy_stat is exact" counted
prove "copy_stat of a stack and of what lies below it" counted_in_stack
prove "copy_stat of NVMe is what the device counts" counted_nvme

# ----------------------------------------------------------------- dry run

dry_run()
{
	make_null d0 size=64
	make_null d1 size=64
	make_dm two "0 65536 linear $D0 0
65536 65536 linear $D1 0"
	pattern fill "$D0" 1
	pattern fill "$D1" 2
	# All of it, none of it, and some of it: in the middle, at the start
	add_case "0 0 $M" -f d "$D0" 32M 0:1M
	add_case "0 0 $M" -f nd "$D0" 32M 0:1M
	add_case "0 0 $((20 * M))" -f d "$D0" 32M 0:20M
	add_case "0 0 4194304" -f d "$D0" 32M 0:4K*1024+8K
	add_case "0 0 0" -f d -s "$D0" "$D1" 0 0:1M
	add_case "0 0 0" -f nd -s "$D0" "$D1" 0 0:1M
	add_case "0 0 $((2 * M))" -f d /dev/mapper/two 8M 0:1M 40M:1M 2M:1M
	add_case "0 0 $M" -f d /dev/mapper/two 31M 16M:2M
	add_case "0 0 $M" -f d -s "$D0" /dev/mapper/two 31M 16M:2M
	add_case "0 0 0" -f d /dev/mapper/two 0 40M:1M
	add_case "0 0 0" -f d /dev/vm/sda 8M 0:1M
	add_case "0 0 0" -f d -s /dev/vm/big /dev/vm/sda 8M 0:1M
	add_case "0 0 $M" -f d /dev/vm/big 8M 0:1M
	add_case "0 0 $M" -f d /dev/vm/tiny 8M 0:1M
	run_cases
	queue "$D0" copy_max_bytes 0
	want "0 0 0" rawcopy -f d "$D0" 32M 0:1M
	pattern check "$D0" 1
	pattern check "$D1" 2
	is "$(device_copies "$D0") $(device_copies "$D1")" "0 0 0 0" "commands of the devices"
}

# More than 4 GiB, and more than read() takes at once
dry_run_large()
{
	make_null d0 size=16384
	want "0 0 $((7 * 1024 * M + 512))" rawcopy -f d "$D0" 8G "512M:$((7 * 1024 * M + 512))"
	want "0 0 $((8 * 1024 * M - 8 * M))" rawcopy -f d "$D0" 8G "0:$((8 * M - 8192))*1024+$((8 * M))"
	is "$(device_copies "$D0")" "0 0" "commands of the device"
}

# Dirty pages may stay where they are, for nothing is read.
dry_run_cache()
{
	make_null d0 size=16
	exec 9<>"$D0"
	pattern fill -b -o 0 -l 64K "$D0" 1
	device_did "$D0" 0 0 want "0 0 65536" rawcopy -f d "$D0" 8M 0:64K
	is "$(awk '{ print $5 }' /sys/block/d0/stat)" 0 "writes"
}

prove "a dry run says exactly how much would be offloaded, writes nothing" dry_run
prove "a dry run of more than 4 GiB" dry_run_large
prove "a dry run leaves the page cache alone" dry_run_cache

# -------------------------------------------------------- disk statistics

# io DEVICE...: reads, sectors read, writes, sectors written of each
io()
{
	local dev

	for dev in "$@"; do
		awk '{ printf "%d %d %d %d ", $1, $3, $5, $7 }' "/sys/dev/block/$(stat -Lc %Hr:%Lr "$dev")/stat"
	done
	echo
}

# io_rose WANTED COMMAND...: of the devices in IO_OF
io_rose()
{
	local wanted=$1 old new i have=

	shift
	read -ra old <<<"$(io "${IO_OF[@]}")"
	"$@"
	read -ra new <<<"$(io "${IO_OF[@]}")"
	for i in "${!old[@]}"; do
		have+="$((new[i] - old[i])) "
	done
	is "${have% }" "$wanted" "reads, sectors, writes, sectors of ${IO_OF[*]}"
}

# COPY_OUT is written sectors of its leaf, COPY_IN is nothing.
diskstats()
{
	make_null d0 size=64
	make_null d1 size=64
	pattern fill -l 8M "$D0" 1
	pattern fill -l 8M "$D1" 2
	exec 8<>"$D0" 9<>"$D1"
	IO_OF=("$D0")
	io_rose "0 0 1 2048" device_did "$D0" 1 1 want "0 $M $M" rawcopy "$D0" 8M 0:1M
	io_rose "0 0 1 24" device_did "$D0" 1 3 want "0 12288 12288" rawcopy "$D0" 8M 0:4K 8K:4K 16K:4K
	io_rose "0 0 2 $((20 * 2048))" device_did "$D0" 2 2 \
		want "0 $((20 * M)) $((20 * M))" rawcopy "$D0" 32M 0:20M
	# Emulated, it is what it is.
	queue "$D0" copy_max_bytes 0
	io_rose "1 8 1 8" want "0 4096 0" rawcopy "$D0" 8M 0:4K
}

diskstats_stack()
{
	make_null d0 size=64
	make_dm lin "0 65536 linear $D0 2048"
	exec 8<>/dev/mapper/lin
	IO_OF=("$D0" /dev/mapper/lin)
	io_rose "0 0 1 2048 0 0 1 2048" device_did "$D0" 1 1 \
		want "0 $M $M" rawcopy /dev/mapper/lin 8M 0:1M
	add_partition "$D0" 1 48M 8M
	IO_OF=("$D0" /dev/d0p1)
	exec 9<>/dev/d0p1
	io_rose "0 0 1 2048 0 0 1 2048" device_did "$D0" 1 1 \
		want "0 $M $M" rawcopy /dev/d0p1 4M 0:1M
}

diskstats_nvme()
{
	exec 8<>/dev/vm/big
	IO_OF=(/dev/vm/big)
	io_rose "0 0 1 2048" device_did /dev/vm/big 1 1 want "0 $M $M" rawcopy -f n /dev/vm/big 8M 0:1M
	is "$(sed 's/^ *//' "/sys/block/$(leaf_of /dev/vm/big)/inflight" | tr -s ' ')" "0 0" inflight
}

diskstats_dry_run()
{
	make_null d0 size=64
	exec 8<>"$D0"
	IO_OF=("$D0")
	io_rose "0 0 0 0" device_did "$D0" 0 0 want "0 0 $M" rawcopy -f nd "$D0" 8M 0:1M
}

diskstats_refused()
{
	make_null d0 size=64
	make_null d1 size=64
	exec 8<>"$D0" 9<>"$D1"
	IO_OF=("$D0" "$D1")
	io_rose "0 0 0 0 0 0 0 0" want "EOPNOTSUPP 0 0" rawcopy -f n -s "$D0" "$D1" 8M 0:512K
}

prove "diskstats: a dry run is nothing" diskstats_dry_run
prove "diskstats: what the device refuses is nothing" diskstats_refused
prove "diskstats: a copy is sectors written, and nothing read" diskstats
prove "diskstats of a stack and of a partition" diskstats_stack
prove "diskstats of NVMe" diskstats_nvme

# ------------------------------------------------------------------ traces

# lines PATTERN: how many there are in the trace that was kept
lines()
{
	grep -cE -- "$1" "$TMP/trace" || :
}

trace_events()
{
	local mm

	make_null d0 size=64
	make_null d1 size=64
	start_trace blk_copy
	mm=$(stat -c %Hr,%Lr "$D0")
	device_did "$D0" 1 3 want "0 12288 12288" rawcopy -f n "$D0" 8M 0:4K 8K:4K 16K:4K
	trace | cut -d: -f2- >"$TMP/trace"
	cat "$TMP/trace"
	is "$(grep -c . "$TMP/trace")" 3 events
	grep -q "blk_copy_start: $mm -> $mm sector 16384 len 12288 segments 3 flags" "$TMP/trace"
	grep -q "blk_copy_token: $mm off 0 len 12288 entries 3 pins 0" "$TMP/trace"
	grep -q "blk_copy_done: $mm done 12288 offloaded 12288 emulated 0 error 0" "$TMP/trace"
	echo >"$TRACING/trace"
	want "0 $M 0" rawcopy -s "$D0" "$D1" 8M 0:1M
	trace
	is "$(trace 'blk_copy_fallback: .* off 0 len 1048576 .* reason limit' | wc -l)" 1
	is "$(trace 'blk_copy_done: .* done 1048576 offloaded 0 emulated 1048576 error 0' | wc -l)" 1
	echo >"$TRACING/trace"
	queue "$D0" copy_max_bytes 0
	want "EOPNOTSUPP 0 0" rawcopy -f n "$D0" 8M 0:1M
	is "$(trace 'blk_copy_fallback: .* reason limit' | wc -l)" 1
	is "$(trace 'blk_copy_done: .* done 0 offloaded 0 emulated 0 error -95' | wc -l)" 1
}

# Names of operations and letters of blktrace: nobody has to guess.
trace_letters()
{
	make_null d0 size=64
	make_dm lin "0 65536 linear $D0 2048"
	start_trace block:block_bio_queue block:block_rq_issue block:block_rq_complete \
		block:block_bio_remap
	device_did "$D0" 1 3 want "0 12288 12288" rawcopy -f n /dev/mapper/lin 8M 0:4K 8K:4K 16K:4K
	trace | cut -d: -f2- >"$TMP/trace"
	cat "$TMP/trace"
	is "$(lines 'block_bio_queue: .* CI ')" 6 "COPY_INs queued, to both"
	is "$(lines 'block_bio_remap: .* CI ')" 3 "COPY_INs remapped"
	is "$(lines 'block_bio_queue: .* CO .*8[34].* \+ 24')" 2 "COPY_OUTs queued, to both"
	is "$(lines 'block_bio_remap: .* CO 18432 \+ 24')" 1 "COPY_OUTs remapped"
	is "$(lines 'block_rq_issue: .* CO .*18432 \+ 24')" 1 "COPY_OUTs issued"
	is "$(lines 'block_rq_complete: .* CO .*18432 \+ 24')" 1 "COPY_OUTs complete"
	is "$(lines 'block_rq_issue: .* CI ')" 0 "COPY_INs issued"
}

# What is done to d0 from now on goes to the tracer behind blktrace.
start_blk_tracer()
{
	echo blk >"$TRACING/current_tracer"
	defer eval "echo nop >$TRACING/current_tracer"
	echo 1 >/sys/block/d0/trace/enable
	defer eval "echo 0 >/sys/block/d0/trace/enable"
	start_trace
}

# The tracer behind blktrace, without its program.  Only the version 2 of its traces
# knows copies; before they are reads and writes.
blk_tracer()
{
	local in=R out=W

	! since 7.3 || in=CI out=CO
	make_null d0 size=64
	start_blk_tracer
	device_did "$D0" 1 1 want "0 $M $M" rawcopy -f n "$D0" 8M 0:1M
	trace | tee "$TMP/trace"
	is "$(lines " Q +$in 0 \\+ 2048 ")" 1 "COPY_INs queued"
	is "$(lines " Q +$out 16384 \\+ 2048 ")" 1 "COPY_OUTs queued"
	is "$(lines " D +$out 16384 \\+ 2048 ")" 1 "COPY_OUTs issued"
	is "$(lines " C +$out 16384 \\+ 2048 ")" 1 "COPY_OUTs complete"
}

# The category of version 2 chooses copies, and them alone.
blk_tracer_mask()
{
	local mask=/sys/block/d0/trace/act_mask

	make_null d0 size=64
	start_blk_tracer
	echo copy >"$mask"
	is "$(cat "$mask")" copy
	dd if="$D0" of=/dev/null bs=1M count=1 iflag=direct status=none
	device_did "$D0" 1 1 want "0 $M $M" rawcopy -f n "$D0" 8M 0:1M
	trace | tee "$TMP/trace"
	is "$(lines ' [QGDC] +R ')" 0 "reads traced"
	is "$(lines ' Q +CI 0 \+ 2048 ')" 1 "COPY_INs queued"
	is "$(lines ' D +CO 16384 \+ 2048 ')" 1 "COPY_OUTs issued"
}

# traced DELAY: what blktrace sees of a read and of a copy, DELAY s after its start
traced()
{
	local pid

	rm -f "$TMP"/blk.* "$TMP/trace"
	( cd "$TMP" && exec blktrace -d "$D0" -o blk >blktrace.log 2>&1 ) &
	pid=$!
	wait_for test -e /sys/kernel/debug/block/d0/trace0
	sleep "$1"
	dd if="$D0" of=/dev/null bs=4K count=1 skip=9 iflag=direct status=none
	device_did "$D0" 1 1 want "0 $M $M" rawcopy -f n "$D0" 8M 0:1M
	kill "$pid"
	wait "$pid" || :
	( cd "$TMP" && blkparse -q -i blk -o trace -f '%a %d %S %n\n' )
	cat "$TMP/trace"
}

# The program, which asks for version 1: there copies are reads and writes, and are
# there.  When it has begun only its trace tells: the read before the copy is in it.
blktrace_program()
{
	local delay

	make_null d0 size=64
	for delay in 0.5 2 10; do
		traced "$delay"
		[ "$(lines '^Q RS 72 8$')" -eq 0 ] || break
	done
	is "$(lines '^Q R 0 2048$')" 1 "COPY_INs queued"
	is "$(lines '^Q W 16384 2048$')" 1 "COPY_OUTs queued"
	is "$(lines '^D W 16384 2048$')" 1 "COPY_OUTs issued"
	is "$(lines '^C W 16384 2048$')" 1 "COPY_OUTs complete"
}

prove "trace events of blk_copy say what happened" trace_events
prove "block events show CI and CO" trace_letters
prove "the tracer of blktrace records copies" blk_tracer
prove "the program blktrace sees copies as reads and writes" blktrace_program
! since 7.3 || prove "blktrace can choose copies" blk_tracer_mask

finish
