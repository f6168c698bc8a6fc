#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Device mapper: linear and striped pass copies on, cut to what lies below; every
# other target refuses them and is read and written from the top.  And copies
# that are too fragmented for one token.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

M=$((1 << 20))
D0=/dev/d0
D1=/dev/d1

# both_devices: commands, ranges that the two disks have counted
both_devices()
{
	local a b

	a=$(device_copies "$D0")
	b=$(device_copies "$D1")
	echo "$((${a% *} + ${b% *})) $((${a#* } + ${b#* }))"
}

# ------------------------------------------------------------------ linear

# /dev/mapper/lin: two pieces of 10 MiB of one disk, with a gap in between
linear_on()
{
	make_dm lin "0 20480 linear $1 2049
20480 20480 linear $1 28673"
}

# A border of the table cuts what crosses it, on either side.
linear()
{
	local dev=$1 dm=/dev/mapper/lin edge=$((10 * M)) size

	size=$(blockdev --getsize64 "$dev")
	pattern fill "$dev" 3
	linear_on "$dev"
	pattern fill "$dm" 1
	counting "$dev" want "0 $M $M" rawcopy -f n "$dm" 0 15M:1M
	did 1 1
	# The source crosses: two ranges of one command.
	counting "$dev" want "0 $M $M" rawcopy -f n "$dm" 2M "$((edge - 3 * 512)):1M"
	did 1 2
	counting "$dev" want "0 4194304 4194304" rawcopy -f n "$dm" 12M 9M:2M 17M:1M 5M:1M
	did 1 4
	# The destination crosses: two commands.
	counting "$dev" want "0 $M $M" rawcopy -f n "$dm" $((edge - 5 * 512)) 4M:1M
	did 2 2
	counting "$dev" want "0 102400 102400" rawcopy -f n "$dm" $((edge - 512 * 120)) 6M:1s*200+3s
	did 2 200
	pattern check "$dm" 1 @0:1 15M:1M @2M:1 "$((edge - 3 * 512)):1M" \
		@12M:1 9M:2M 17M:1M 5M:1M "@$((edge - 5 * 512)):1" 4M:1M \
		"@$((edge - 512 * 120)):1" 6M:1s*200+3s
	# What lies around the pieces
	pattern check -o 0 -l 2049s "$dev" 3
	pattern check -o 22529s -l 6144s "$dev" 3
	pattern check -o 49153s -l "$((size - 49153 * 512))" "$dev" 3
	# From the stack to what it lies on, and back
	counting "$dev" want "0 $M $M" rawcopy -f n -s "$dm" "$dev" 25M 7M:1M
	did 1 1
	pattern check -o 25M -l 1M "$dev" 3 @25M:1 7M:1M
	counting "$dev" want "0 $M $M" rawcopy -f n -s "$dev" "$dm" 7M 27M:1M
	did 1 1
	pattern check -o 7M -l 1M "$dm" 1 @7M:3 27M:1M
}

linear_null()
{
	make_null d0 size=32 max_copy_segments=256
	linear "$D0"
}

# Pieces of 20 and 12 KiB, whose borders are no multiples of what a command takes
linear_tiny()
{
	local dev=/dev/vm/tiny dm=/dev/mapper/small

	pattern fill "$dev" 3
	make_dm small "0 40 linear $dev 100
40 24 linear $dev 5000
64 40 linear $dev 3000
104 24 linear $dev 1000"
	pattern fill "$dm" 1
	counting "$dev" want "0 32256 32256" rawcopy -f n "$dm" 1s 64s:63s
	# Both are cut at 20 KiB; a range takes 8 KiB, a command 32 KiB.
	did 2 6
	pattern check "$dm" 1 @1s:1 64s:63s
}

# Linear on linear on striped
deep()
{
	make_null d0 size=32
	make_null d1 size=32
	make_dm s0 "0 65536 striped 2 128 $D0 0 $D1 0"
	make_dm l1 "0 65000 linear /dev/mapper/s0 128"
	make_dm l2 "0 64000 linear /dev/mapper/l1 256"
	pattern fill /dev/mapper/l2 1
	want "0 4194304 4194304" rawcopy -f n /dev/mapper/l2 16M 0:4M
	is "$(both_devices)" "64 64" "commands, ranges of both devices"
	want "0 $((M + 512)) 524800" rawcopy /dev/mapper/l2 8M "32K:$((M + 512))"
	is "$(both_devices)" "81 81" "commands, ranges of both devices"
	pattern check /dev/mapper/l2 1 @16M:1 0:4M @8M:1 "32K:$((M + 512))"
}

prove "dm-linear on null_blk, borders on either side" linear_null
prove "dm-linear on NVMe, borders on either side" linear /dev/vm/big
prove "dm-linear on NVMe, small pieces and tiny limits" linear_tiny
prove "dm-linear on dm-linear on dm-striped" deep

# ----------------------------------------------------------------- striped

# stripes CHUNK_SECTORS: /dev/mapper/str over d0 and d1, filled with seed 1
stripes()
{
	make_null d0 size=40
	make_null d1 size=40
	make_dm str "0 $((72 * 2048)) striped 2 $1 $D0 0 $D1 0"
	pattern fill /dev/mapper/str 1
}

striped_aligned()
{
	local dm=/dev/mapper/str

	stripes 128
	want "0 $((20 * M)) $((20 * M))" rawcopy -f n "$dm" 40M 0:20M
	is "$(both_devices)" "320 320" "commands, ranges of both devices"
	is "$(copy_stat "$dm" overflow)" 0 overflow
	# Gathered pieces that lie on the stripes of their destination
	want "0 131072 131072" rawcopy -f n "$dm" 64M 128K:64K 1088K:64K
	is "$(both_devices)" "322 322" "commands, ranges of both devices"
	pattern check "$dm" 1 @40M:1 0:20M @64M:1 128K:64K 1088K:64K
}

# Half of each stripe comes from the other device: pieces of 32 KiB take turns.
striped_half()
{
	local dm=/dev/mapper/str

	stripes 128
	want "0 $((2 * M)) $M" rawcopy "$dm" 40M 32K:2M
	is "$(both_devices)" "32 32" "commands, ranges of both devices"
	pattern check "$dm" 1 @40M:1 32K:2M
	want "EOPNOTSUPP 32768 32768" rawcopy -f n "$dm" 50M 0:32K 64K:32K
	want "EOPNOTSUPP 0 0" rawcopy -f n "$dm" 55M 64K:64K
	is "$(both_devices)" "33 33" "commands, ranges of both devices"
	pattern check "$dm" 1 @40M:1 32K:2M @50M:1 0:32K
}

# All of it would have to go from device to device.
striped_crossed()
{
	local dm=/dev/mapper/str

	stripes 128
	want "0 $((20 * M)) 0" rawcopy "$dm" 40M 64K:20M
	is "$(both_devices)" "0 0" "commands, ranges of both devices"
	pattern check "$dm" 1 @40M:1 64K:20M
}

# More finished slices, none beside another, than the core can remember: what it
# forgets it does again.
striped_many_slices()
{
	local dm=/dev/mapper/str error copied offloaded

	stripes 128
	read -r error copied offloaded < <(rawcopy "$dm" 40M 32K:16M)
	is "$error $copied" "0 $((16 * M))"
	[ "$offloaded" -gt 0 ]
	[ "$offloaded" -le $((8 * M)) ]
	# The devices have done all that they can.
	is "$(both_devices)" "256 256" "commands, ranges of both devices"
	pattern check "$dm" 1 @40M:1 32K:16M
}

# 16 MiB of 4 KiB stripes are 4096 entries, a token takes 256: its size is halved
# until 1 MiB fits, and the rest of the call begins with that.
striped_overflow()
{
	local dm=/dev/mapper/str

	stripes 8
	before "$dm" copies overflow offloaded_bytes emulated_bytes
	want "0 $((20 * M)) $((20 * M))" rawcopy -f n "$dm" 40M 0:20M
	rose_by 1 4 $((20 * M)) 0
	is "$(both_devices)" "5120 5120" "commands, ranges of both devices"
	pattern check "$dm" 1 @40M:1 0:20M
}

striped_nvme()
{
	local dm=/dev/mapper/str before after

	make_dm str "0 $((60 * 2048)) striped 2 128 /dev/vm/big 0 /dev/vm/tiny 0"
	pattern fill "$dm" 1
	before="$(device_copies /dev/vm/big) $(device_copies /dev/vm/tiny)"
	want "0 $((4 * M)) $((4 * M))" rawcopy -f n "$dm" 32M 0:4M
	after="$(device_copies /dev/vm/big) $(device_copies /dev/vm/tiny)"
	# Limits of the stack are the smaller ones: 32 KiB, ranges of 8 KiB; those
	# of the leaf cut, and big takes a stripe as one range.
	echo "before $before after $after"
	read -ra before <<<"$before"
	read -ra after <<<"$after"
	is "$((after[2] - before[2])) $((after[3] - before[3]))" "64 256" "on tiny"
	is "$((after[0] - before[0])) $((after[1] - before[1]))" "32 32" "on big"
	pattern check "$dm" 1 @32M:1 0:4M
}

prove "dm-striped, from stripe to stripe" striped_aligned
prove "dm-striped, half of each stripe from the other device" striped_half
prove "dm-striped, all from the other device is emulated" striped_crossed
prove "dm-striped, more finished slices than can be remembered" striped_many_slices
prove "dm-striped, 4 KiB stripes overflow a token" striped_overflow
prove "dm-striped on NVMe with different limits" striped_nvme

# ------------------------------------------------------------ fragmentation

# 1024 ranges of 4 KiB: no more than 256 are asked for together, for that many fit.
many_ranges()
{
	local dev=$1 commands=$2

	pattern fill "$dev" 1
	before "$dev" copies overflow offloaded_bytes
	counting "$dev" want "0 $((4 * M)) $((4 * M))" rawcopy -f n "$dev" 20M 0:4K*1024+12K
	did "$commands" 1024
	rose_by 1 0 $((4 * M))
	pattern check "$dev" 1 @20M:1 0:4K*1024+12K
}

many_ranges_null()
{
	make_null d0 size=32 "$@"
	many_ranges "$D0" "$COMMANDS"
}

# Commands of 128 ranges; a second token where there are more than 256.
fragments()
{
	make_null d0 size=32
	pattern fill "$D0" 1
	before "$D0" overflow
	device_did "$D0" 3 300 want "0 153600 153600" rawcopy -f n "$D0" 20M 0:1s*300+3s
	device_did "$D0" 3 257 want "0 131584 131584" rawcopy -f n "$D0" 21M 0:1s*257+3s
	device_did "$D0" 2 256 want "0 131072 131072" rawcopy -f n "$D0" 22M 0:1s*256+3s
	# Neighbours are one entry.
	device_did "$D0" 1 1 want "0 131072 131072" rawcopy -f n "$D0" 23M 0:1s*256+1s
	rose_by 0
	pattern check "$D0" 1 @20M:1 0:1s*300+3s @21M:1 0:1s*257+3s @22M:1 0:1s*256+3s @23M:1 0:128K
}

# What lies below a range is not known before: 1 more than fit, as many as fit
fragments_below()
{
	make_null d0 size=32
	make_dm src "0 16384 striped 2 8 $D0 0 $D0 8192"
	pattern fill /dev/mapper/src 1
	pattern fill -o 20M "$D0" 2
	before "$D0" overflow
	device_did "$D0" 2 256 want "0 $M $M" rawcopy -f n -s /dev/mapper/src "$D0" 20M 0:1M
	rose_by 0
	# In two halves, whose border cuts an entry
	device_did "$D0" 4 258 want "0 $((M + 4096)) $((M + 4096))" \
		rawcopy -f n -s /dev/mapper/src "$D0" 22M "1M:$((M + 4096))"
	rose_by 1
	pattern check -o 20M "$D0" 2 @20M:1 0:1M @22M:1 "1M:$((M + 4096))"
}

# A call of more than 128 MiB is made in three parts, and each begins with what the
# one before has learned.  Of this source, 8 MiB fill a token.
fragments_of_parts()
{
	make_null d0 size=300 max_copy_segments=256
	make_dm src "0 266240 striped 2 64 $D0 0 $D0 133120"
	pattern fill /dev/mapper/src 1
	before "$D0" overflow
	counting "$D0" want "0 $((130 * M)) $((130 * M))" \
		rawcopy -f n -s /dev/mapper/src "$D0" 160M 0:130M
	did 17 4160
	rose_by 1
	pattern check -o 160M -l 130M "$D0" 0 @160M:1 0:130M
}

# fallbacks [REASON]: how many there were
fallbacks()
{
	trace "blk_copy_fallback: .* reason ${1:-}" | wc -l
}

# Nothing but a try shows that these two disks are not below the third.
refused_parts()
{
	local tries

	make_null d0 size=80
	make_null d1 size=80
	make_null d2 size=140
	make_dm two "0 143360 linear $D0 0
143360 143360 linear $D1 0"
	pattern fill -l 130M /dev/d2 1
	start_trace blk_copy:blk_copy_fallback
	want "0 $((130 * M)) 0" rawcopy -s /dev/d2 /dev/mapper/two 0 0:130M
	trace
	tries=$(fallbacks 'copy_(in|out)')
	# As many as are in flight before the first one is answered
	[ "$tries" -ge 1 ]
	[ "$tries" -le 4 ]
	is "$(fallbacks limit)" $((9 - tries)) "chunks of which none was tried"
	is "$(device_copies "$D0") $(device_copies "$D1")" "0 0 0 0" "commands of the devices"
	pattern check -l 130M /dev/mapper/two 0 @0:1 0:130M
}

COMMANDS=8
prove "1024 ranges in one call, null_blk" many_ranges_null
COMMANDS=4
prove "1024 ranges in one call, null_blk with 256 in a command" many_ranges_null max_copy_segments=256
prove "1024 ranges in one call, NVMe" many_ranges /dev/vm/big 8
prove "1024 ranges in one call, NVMe with tiny limits" many_ranges /dev/vm/tiny 128
prove "no more ranges are asked for than fit into a token" fragments
prove "257 fragments below a range overflow a token, 256 do not" fragments_below
prove "a source that overflows does so once in a long call" fragments_of_parts
prove "disks that refuse are tried once in a long call" refused_parts

# ------------------------------------------------- targets that do not copy

# 7.3's dm-inlinecrypt sends data with a key; what has none, as a copy, it would pass
# on as it is: in cipher text, which is good for its old place alone.
KEY=$(printf %0128d 7)

crypt()
{
	local target=$1 dm=/dev/mapper/crypt

	make_null d0 size=32
	make_dm crypt "0 65024 $target aes-xts-plain64 $KEY 0 $D0 512"
	is "$(queue "$dm" copy_max_hw_bytes)" 0
	pattern fill "$dm" 1
	want "EOPNOTSUPP 0 0" rawcopy -f n "$dm" 16M 0:1M
	want "EOPNOTSUPP 0 0" rawcopy -f n -s "$D0" "$dm" 16M 0:1M
	want "0 $M 0" rawcopy "$dm" 16M 3s:1M
	want "0 4096 0" rawcopy "$dm" 20M 1M:1s*8+5s
	pattern check "$dm" 1 @16M:1 3s:1M @20M:1 1M:1s*8+5s
	is "$(device_copies "$D0")" "0 0" "commands of the device"
	# Each block is encrypted for its place: a copy below would read as rubbish.
	device_did "$D0" 1 1 want "0 $M $M" rawcopy -f n "$D0" "$((20 * M + 262144))" \
		"$((M + 262144)):1M"
	fails pattern check "$dm" 1 @16M:1 3s:1M @20M:1 1M:1M
}

# Offload where the table is linear, not where it is not.
crypt_half()
{
	local target=$1 dm=/dev/mapper/half half=$((8 * M))

	make_null d0 size=32
	make_dm half "0 16384 linear $D0 0
16384 16384 $target aes-xts-plain64 $KEY 0 $D0 16384"
	is "$(queue "$dm" copy_max_hw_bytes)" "$(queue "$D0" copy_max_hw_bytes)"
	pattern fill "$dm" 1
	counting "$D0" want "0 $M $M" rawcopy -f n "$dm" 0 4M:1M
	did 1 1
	counting "$D0" want "0 $M 524288" rawcopy "$dm" $((half - M / 2)) 1M:1M
	did 1 1
	counting "$D0" want "0 $M 0" rawcopy "$dm" 2M "$((half + M)):1M"
	did 0 0
	device_did "$D0" 0 0 want "EOPNOTSUPP 0 0" rawcopy -f n "$dm" 2M "$((half + M)):1M"
	device_did "$D0" 0 0 want "EOPNOTSUPP 0 0" rawcopy -f n "$dm" "$((half + 4 * M))" 2M:1M
	pattern check "$dm" 1 @0:1 4M:1M "@$((half - M / 2)):1" 1M:1M @2M:1 "$((half + M)):1M"
}

# The snapshot must keep what the copy writes over.
snapshot_origin()
{
	make_null d0 size=32
	make_null d1 size=32
	pattern fill "$D0" 1
	make_dm snap "0 65536 snapshot $D0 $D1 N 16"
	make_dm org "0 65536 snapshot-origin $D0"
	is "$(queue /dev/mapper/org copy_max_hw_bytes)" 0
	want "EOPNOTSUPP 0 0" rawcopy -f n /dev/mapper/org 16M 0:1M
	want "0 $M 0" rawcopy /dev/mapper/org 16M 5s:1M
	want "0 $M 0" rawcopy /dev/mapper/snap 8M 16M:1M
	pattern check /dev/mapper/org 1 @16M:1 5s:1M
	pattern check /dev/mapper/snap 1 @8M:1 16M:1M
	is "$(device_copies "$D0") $(device_copies "$D1")" "0 0 0 0" "commands of the devices"
}

zero()
{
	make_null d0 size=16
	pattern fill "$D0" 1
	make_dm zero "0 32768 zero"
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/mapper/zero "$D0" 1M 0:1M
	want "0 $M 0" rawcopy -s /dev/mapper/zero "$D0" 1M 3s:1M
	want "0 $M 0" rawcopy -s "$D0" /dev/mapper/zero 0 0:1M
	is "$(device_copies "$D0")" "0 0" "commands of the device"
	pattern check "$D0" 1 @1M:0 3s:1M
	pattern check /dev/mapper/zero 0
}

# More than 4 GiB: no number may be cut on its way.
zero_large()
{
	local len=$((4 * 1024 * M + 24 * M + 512))

	make_dm zero "0 20971520 zero"
	before /dev/mapper/zero emulated_bytes failed
	want "0 $len 0" rawcopy /dev/mapper/zero 5G "1M:$len"
	rose_by "$len" 0
}

delay()
{
	make_null d0 size=16
	make_dm delay "0 32768 delay $D0 0 2"
	pattern fill "$D0" 1
	want "EOPNOTSUPP 0 0" rawcopy -f n /dev/mapper/delay 8M 0:1M
	want "0 $M 0" rawcopy /dev/mapper/delay 8M 0:1M
	pattern check "$D0" 1 @8M:1 0:1M
	is "$(device_copies "$D0")" "0 0" "commands of the device"
}

thin()
{
	make_null d0 size=32
	make_dm meta "0 8192 linear $D0 0"
	make_dm data "0 49152 linear $D0 8192"
	make_dm pool "0 49152 thin-pool /dev/mapper/meta /dev/mapper/data 128 0 1 skip_block_zeroing"
	dmsetup message pool 0 "create_thin 0"
	make_dm t0 "0 32768 thin /dev/mapper/pool 0"
	pattern fill -l 8M /dev/mapper/t0 1
	dmsetup suspend t0
	dmsetup message pool 0 "create_snap 1 0"
	dmsetup resume t0
	make_dm t1 "0 32768 thin /dev/mapper/pool 1"
	want "EOPNOTSUPP 0 0" rawcopy -f n /dev/mapper/t0 4M 0:1M
	want "0 $M 0" rawcopy /dev/mapper/t0 4M 3s:1M
	want "0 $M 0" rawcopy -s /dev/mapper/t0 /dev/mapper/t1 2M 4M:1M
	pattern check -l 8M /dev/mapper/t0 1 @4M:1 3s:1M
	pattern check -l 8M /dev/mapper/t1 1 @2M:1 3s:1M
	is "$(device_copies "$D0")" "0 0" "commands of the device"
}

# Drivers that have never heard of copies
loop()
{
	local dev

	make_null d0 size=32
	pattern fill "$D0" 1
	dev=$(losetup -f --show --direct-io=on "$D0")
	defer losetup -d "$dev"
	is "$(queue "$dev" copy_max_hw_bytes)" 0
	want "EOPNOTSUPP 0 0" rawcopy -f n "$dev" 16M 0:1M
	want "0 $M 0" rawcopy "$dev" 16M 3s:1M
	pattern check "$dev" 1 @16M:1 3s:1M
	is "$(device_copies "$D0")" "0 0" "commands of the device"
}

ram_disk()
{
	modprobe brd rd_nr=1 rd_size=32768
	defer modprobe -r brd
	wait_for test -b /dev/ram0
	pattern fill /dev/ram0 1
	want "EOPNOTSUPP 0 0" rawcopy -f n /dev/ram0 16M 0:1M
	want "0 $((3 * M)) 0" rawcopy /dev/ram0 16M 3s:3M
	pattern check /dev/ram0 1 @16M:1 3s:3M
}

# Both legs of a mirror must get the same.
mirror()
{
	make_null d0 size=32
	make_null d1 size=32
	mdadm --create /dev/md9 --run --level=1 --raid-devices=2 --metadata=1.0 --assume-clean \
		--bitmap=none "$D0" "$D1"
	defer mdadm --stop /dev/md9
	wait_for test -b /dev/md9
	is "$(queue /dev/md9 copy_max_hw_bytes)" 0
	pattern fill -l 30M /dev/md9 1
	want "EOPNOTSUPP 0 0" rawcopy -f n /dev/md9 16M 0:1M
	want "0 $((3 * M)) 0" rawcopy /dev/md9 16M 3s:3M
	pattern check -l 30M /dev/md9 1 @16M:1 3s:3M
	pattern check -l 30M "$D0" 1 @16M:1 3s:3M
	pattern check -l 30M "$D1" 1 @16M:1 3s:3M
	is "$(device_copies "$D0") $(device_copies "$D1")" "0 0 0 0" "commands of the devices"
}

prove "loop is emulated from the top" loop
prove "brd is emulated" ram_disk
prove "md raid1 is emulated from the top" mirror
prove "dm-crypt is emulated from the top" crypt crypt
prove "dm-crypt in half of a table: the linear half is offloaded" crypt_half crypt
if since 7.3; then
	prove "dm-inlinecrypt is emulated from the top" crypt inlinecrypt
	prove "dm-inlinecrypt in half of a table" crypt_half inlinecrypt
fi
prove "snapshot and its origin are emulated from the top" snapshot_origin
prove "dm-zero is emulated from the top" zero
prove "more than 4 GiB in one call" zero_large
prove "dm-delay is emulated from the top" delay
prove "thin volumes and their snapshots are emulated from the top" thin

finish
