#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Errors half way: each errno, by offload, by emulation and with emulation
# forbidden.  bytes_copied is the exact prefix that is proven, and what lies
# outside the range of the copy is never touched.
#
# The granule of a failure is the command for offload and the buffer of 512 KiB
# for emulation.  Pieces behind a failed one may be written: they are in flight
# at the same time.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

M=$((1 << 20))
HALF=$((M / 2))
PART=$((2 * M + HALF))

# ------------------------------------------------------ one bad sector: EIO

bad_sector()
{
	echo "$1$2-$2" >/sys/kernel/config/nullb/d0/badblocks
}

# d0: 4 MiB from 8 MiB to 0, in commands of 1 MiB; the sector is in the second
# half of the third MiB of them.
with_bad_sector()
{
	local sector=$1

	make_null d0 size=16 max_copy_bytes="$M"
	pattern fill /dev/d0 2
	shift
	bad_sector + "$sector"
	"$@"
}

destination_offload()
{
	local stat=(failed error_fallbacks offloaded_bytes emulated_bytes commands command_errors)

	before /dev/d0 "${stat[@]}"
	device_did /dev/d0 3 3 want "EIO $PART $((2 * M))" rawcopy /dev/d0 0 8M:4M
	bad_sector - 5125
	pattern check /dev/d0 2 "@0:2:~$PART" 8M:4M
	# One of four commands failed; half of its bytes were emulated then.
	rose_by 1 1 $((3 * M)) "$HALF" 3 1
}

destination_forbidden()
{
	before /dev/d0 failed error_fallbacks emulated_bytes
	device_did /dev/d0 3 3 want "EIO $((2 * M)) $((2 * M))" rawcopy -f n /dev/d0 0 8M:4M
	bad_sector - 5125
	# The failed command did nothing, the one behind it was on its way.
	pattern check /dev/d0 2 @0:2 8M:2M @3M:2 11M:1M
	rose_by 1 1 0
}

destination_emulated()
{
	queue /dev/d0 copy_max_bytes 0
	before /dev/d0 failed error_fallbacks offloaded_bytes
	device_did /dev/d0 0 0 want "EIO $PART 0" rawcopy /dev/d0 0 8M:4M
	want "EOPNOTSUPP 0 0" rawcopy -f n /dev/d0 0 8M:4M
	bad_sector - 5125
	pattern check /dev/d0 2 "@0:2:~$PART" 8M:4M
	rose_by 2 0 0
}

source_offload()
{
	before /dev/d0 failed error_fallbacks
	device_did /dev/d0 3 3 want "EIO $PART $((2 * M))" rawcopy /dev/d0 0 8M:4M
	bad_sector - 21509
	pattern check /dev/d0 2 @0:2 "8M:$PART" @3M:2 11M:1M
	rose_by 1 1
}

source_forbidden()
{
	device_did /dev/d0 3 3 want "EIO $((2 * M)) $((2 * M))" rawcopy -f n /dev/d0 0 8M:4M
	bad_sector - 21509
	pattern check /dev/d0 2 @0:2 8M:2M @3M:2 11M:1M
}

source_emulated()
{
	queue /dev/d0 copy_max_bytes 0
	device_did /dev/d0 0 0 want "EIO $PART 0" rawcopy /dev/d0 0 8M:4M
	bad_sector - 21509
	pattern check /dev/d0 2 "@0:2:~$PART" 8M:4M
}

# A gather of 1 MiB pieces in reverse; the third of them has the bad sector.
source_gather()
{
	device_did /dev/d0 3 3 want "EIO $PART $((2 * M))" rawcopy /dev/d0 0 12M:1M 11M:1M 10M:1M 9M:1M
	bad_sector - 21509
	pattern check /dev/d0 2 "@0:2:~$PART" 12M:1M 11M:1M 10M:1M 9M:1M
}

first_byte()
{
	device_did /dev/d0 0 0 want "EIO 0 0" rawcopy -f n /dev/d0 0 8M:1M
	device_did /dev/d0 0 0 want "EIO 0 0" rawcopy /dev/d0 0 8M:1M
	bad_sector - 0
	pattern check /dev/d0 2 @0:2:~0 8M:1M
}

prove "EIO, bad destination: offload, then emulation up to it" with_bad_sector 5125 destination_offload
prove "EIO, bad destination: offload only" with_bad_sector 5125 destination_forbidden
prove "EIO, bad destination: emulation only" with_bad_sector 5125 destination_emulated
prove "EIO, bad source: offload, then emulation up to it" with_bad_sector 21509 source_offload
prove "EIO, bad source: offload only" with_bad_sector 21509 source_forbidden
prove "EIO, bad source: emulation only" with_bad_sector 21509 source_emulated
prove "EIO, bad source of a gather" with_bad_sector 21509 source_gather
prove "EIO in the first sector: nothing is copied" with_bad_sector 0 first_byte

# ------------------------------------------- a hole in a stack of devices

# e0: the first bytes of d0, then errors.  d0 is filled.
with_error_behind()
{
	local good=$(($1 / 512)) size=$((48 * 2048))

	make_null d0 size=64
	pattern fill /dev/d0 2
	make_dm e0 "0 $good linear /dev/d0 0
$good $((size - good)) error"
	shift
	"$@"
}

error_source()
{
	# The whole chunk goes: a token with a hole is of no use.
	want "EIO $PART 0" rawcopy -s /dev/mapper/e0 /dev/d0 16M 0:4M
	pattern check /dev/d0 2 @16M:2 "0:$PART"
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/mapper/e0 /dev/d0 20M 0:4M
	pattern check /dev/d0 2 @16M:2 "0:$PART"
}

error_source_odd()
{
	# Not at a border of buffers: the one with the border is not written.
	want "EIO $PART 0" rawcopy -s /dev/mapper/e0 /dev/d0 16M 0:4M
	pattern check /dev/d0 2 @16M:2 "0:$PART"
}

error_source_second_chunk()
{
	device_did /dev/d0 1 1 want "EIO $((18 * M)) $((16 * M))" rawcopy -s /dev/mapper/e0 /dev/d0 40M 0:24M
	pattern check /dev/d0 2 @40M:2 0:18M
	device_did /dev/d0 1 1 want "EOPNOTSUPP $((16 * M)) $((16 * M))" \
		rawcopy -f n -s /dev/mapper/e0 /dev/d0 20M 0:20M
	pattern check /dev/d0 2 @40M:2 0:18M @20M:2 0:16M
}

# Offload ends exactly at the border, emulation at a buffer.
error_destination()
{
	local good=$((2 * M + 3 * 512))

	device_did /dev/d0 1 1 want "EIO $good $good" rawcopy -s /dev/d0 /dev/mapper/e0 0 16M:4M
	pattern check /dev/d0 2 @0:2 "16M:$good"
	device_did /dev/d0 1 1 want "EOPNOTSUPP $good $good" rawcopy -f n -s /dev/d0 /dev/mapper/e0 0 24M:4M
	pattern check /dev/d0 2 @0:2 "24M:$good"
	queue /dev/mapper/e0 copy_max_bytes 0
	want "EIO $((2 * M)) 0" rawcopy -s /dev/d0 /dev/mapper/e0 0 16M:4M
	pattern check /dev/d0 2 @0:2 "24M:$good" "@0:2:~$((2 * M))" "16M:$good"
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/d0 /dev/mapper/e0 0 20M:4M
}

prove "EIO from an error target in the source" with_error_behind $PART error_source
prove "EIO within a buffer: none of it is written" with_error_behind $((PART + 512)) error_source_odd
prove "EIO in the second chunk" with_error_behind $((18 * M)) error_source_second_chunk
prove "EIO from an error target in the destination" with_error_behind $((2 * M + 3 * 512)) error_destination

dust()
{
	make_null d0 size=16
	make_null d1 size=16
	pattern fill /dev/d0 1
	pattern fill /dev/d1 2
	make_dm dust "0 32768 dust /dev/d0 0 512"
	dmsetup message dust 0 addbadblock $((PART / 512 + 7))
	dmsetup message dust 0 enable
	want "EIO $PART 0" rawcopy -s /dev/mapper/dust /dev/d1 0 0:4M
	pattern check /dev/d1 2 "@0:1:~$PART" 0:4M
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/mapper/dust /dev/d1 8M 0:4M
	# Writing repairs such a block, also when a copy does it.
	want "0 $((4 * M)) 0" rawcopy -s /dev/d1 /dev/mapper/dust 0 8M:4M
	pattern check /dev/mapper/dust 1 @0:2 8M:4M
	want "0 $((4 * M)) 0" rawcopy -s /dev/mapper/dust /dev/d1 0 0:4M
	pattern check /dev/d1 2 @0:2 8M:4M
}

flakey()
{
	make_null d0 size=16
	make_null d1 size=16
	pattern fill /dev/d0 1
	pattern fill /dev/d1 2
	make_dm flakey "0 32768 flakey /dev/d1 0 0 100000 1 error_writes"
	want "EIO 0 0" rawcopy -s /dev/d0 /dev/mapper/flakey 0 0:4M
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/d0 /dev/mapper/flakey 0 0:4M
	pattern check /dev/d1 2
	want "0 $M 0" rawcopy -s /dev/mapper/flakey /dev/d0 0 0:1M
	pattern check /dev/d0 1 @0:2 0:1M
}

prove "EIO from dm-dust, and a copy repairs it" dust
prove "EIO from dm-flakey, whose writes fail" flakey

# A full thin pool: what was allocated is overwritten, the rest finds no room.
no_space()
{
	make_null d0 size=16
	make_null d1 size=32
	pattern fill /dev/d0 1
	make_dm meta "0 8192 linear /dev/d1 0"
	make_dm data "0 $((PART / 512)) linear /dev/d1 8192"
	make_dm pool "0 $((PART / 512)) thin-pool /dev/mapper/meta /dev/mapper/data 128 0 1 error_if_no_space"
	dmsetup message pool 0 "create_thin 0"
	make_dm thin "0 16384 thin /dev/mapper/pool 0"
	pattern fill -l "$PART" /dev/mapper/thin 2
	want "ENOSPC $PART 0" rawcopy -s /dev/d0 /dev/mapper/thin 0 8M:4M
	pattern check -l "$PART" /dev/mapper/thin 2 @0:1 8M:"$PART"
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/d0 /dev/mapper/thin 0 4M:4M
	pattern check -l "$PART" /dev/mapper/thin 2 @0:1 8M:"$PART"
}

prove "ENOSPC from a full thin pool" no_space

medium_error()
{
	local disk

	make_null d0 size=16
	pattern fill /dev/d0 2
	modprobe scsi_debug dev_size_mb=16 opts=2 delay=0 medium_error_start=$((PART / 512 + 5)) \
		medium_error_count=1
	defer modprobe -r scsi_debug
	wait_for compgen -G '/sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block/sd*'
	disk=$(compgen -G '/sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block/sd*')
	disk=/dev/${disk##*/}
	wait_for test -b "$disk"
	pattern fill "$disk" 1
	want "ENODATA $PART 0" rawcopy -s "$disk" /dev/d0 0 0:4M
	pattern check /dev/d0 2 "@0:1:~$PART" 0:4M
	want "EOPNOTSUPP 0 0" rawcopy -f n -s "$disk" /dev/d0 8M 0:4M
	pattern check /dev/d0 2 "@0:1:~$PART" 0:4M
}

prove "ENODATA from a SCSI medium error" medium_error

# -------------------------------------------------- what NVMe may answer

# inject STATUS SKIP [RETRY]: the next command but SKIP of big fails.  The device
# has executed it nevertheless.  Unless RETRY is given, it says that to repeat it
# is of no use: without, a read or write is repeated and succeeds; but no copy.
inject()
{
	local dir

	dir=/sys/kernel/debug/$(leaf_of /dev/vm/big)/fault_inject
	echo 0 >"$dir/verbose"
	echo "$1" >"$dir/status"
	echo $((!${3:-0})) >"$dir/dont_retry"
	echo $(($2 + 1)) >"$dir/space"
	echo 1 >"$dir/times"
	echo 100 >"$dir/probability"
}

nvme_status()
{
	local status=$1 error=$2 dev=/dev/vm/big

	pattern fill "$dev" 2
	set_queue "$dev" copy_max_bytes 16777216
	before "$dev" copies failed error_fallbacks command_errors leaf:command_errors leaf:commands

	# Forbidden: the error of the command, which is not sent again.
	inject "$status" 0 1
	device_did "$dev" 1 1 want "$error 0 0" rawcopy -f n "$dev" 0 8M:256K
	pattern check "$dev" 2 @0:2:~0 8M:256K

	# Offload fails, emulation does not.
	inject "$status" 0 1
	device_did "$dev" 1 1 want "0 262144 0" rawcopy "$dev" 1M 9M:256K
	pattern check "$dev" 2 @0:2:~0 8M:256K @1M:2 9M:256K
	rose_by 2 1 2 2 2 0

	# Emulation: the read fails, or the write.  EOPNOTSUPP of a read or write
	# is no reason to say that there is no offload.
	queue "$dev" copy_max_bytes 0
	counting "$dev" emulation_fails "$status" "$error" "$dev"
	did 0 0
}

emulation_fails()
{
	local status=$1 error=$2 dev=$3

	inject "$status" 0
	want "$error 0 0" rawcopy "$dev" 2M 10M:256K
	pattern check "$dev" 2 @0:2:~0 8M:256K @1M:2 9M:256K
	inject "$status" 1
	want "$error 0 0" rawcopy "$dev" 2M 10M:256K
	pattern check "$dev" 2 @0:2:~0 8M:256K @1M:2 9M:256K @2M:2:~0 10M:256K
	want "EOPNOTSUPP 0 0" rawcopy -f n "$dev" 3M 11M:256K
}

# What only a Copy command can answer: the device refuses, nothing is wrong.
nvme_refusal()
{
	local status=$1 dev=/dev/vm/big

	pattern fill "$dev" 2
	before "$dev" copies failed error_fallbacks command_errors leaf:command_errors
	inject "$status" 0 1
	device_did "$dev" 1 1 want "EOPNOTSUPP 0 0" rawcopy -f n "$dev" 0 8M:256K
	inject "$status" 0 1
	device_did "$dev" 1 1 want "0 262144 0" rawcopy "$dev" 1M 9M:256K
	pattern check "$dev" 2 @0:2:~0 8M:256K @1M:2 9M:256K
	rose_by 2 1 0 0 0
}

prove "EIO from NVMe (Internal Error)" nvme_status 0x6 EIO
prove "ENOSPC from NVMe (Capacity Exceeded)" nvme_status 0x81 ENOSPC
prove "EREMOTEIO from NVMe (LBA Out of Range)" nvme_status 0x80 EREMOTEIO
prove "EBADE from NVMe (Reservation Conflict)" nvme_status 0x83 EBADE
prove "ENODATA from NVMe (Unrecovered Read Error)" nvme_status 0x281 ENODATA
prove "EILSEQ from NVMe (End-to-end Guard Check Error)" nvme_status 0x282 EILSEQ
prove "EOPNOTSUPP from NVMe (Invalid Command Opcode)" nvme_status 0x1 EOPNOTSUPP
prove "EOPNOTSUPP for NVMe's Command Size Limit Exceeded" nvme_refusal 0x183
prove "EOPNOTSUPP for NVMe's Invalid Format" nvme_refusal 0x10a
prove "EOPNOTSUPP for NVMe's Incompatible Namespace" nvme_refusal 0x185
prove "EOPNOTSUPP for NVMe's Fast Copy Not Possible" nvme_refusal 0x186
prove "EOPNOTSUPP for NVMe's Overlapping I/O Range" nvme_refusal 0x187
prove "EOPNOTSUPP for NVMe's Namespace Not Reachable" nvme_refusal 0x188
prove "EOPNOTSUPP for NVMe's Insufficient Resources" nvme_refusal 0x189

next_times_out()
{
	echo 1 >"$NULLB/d0/timeout_inject/times"
}

timed_out()
{
	make_null d0 size=16 max_copy_bytes="$M"
	pattern fill /dev/d0 2
	queue /dev/d0 io_timeout 500
	echo 0 >"$NULLB/d0/timeout_inject/verbose"
	echo 100 >"$NULLB/d0/timeout_inject/probability"
	next_times_out
	before /dev/d0 failed error_fallbacks command_errors
	want "ETIMEDOUT 0 0" rawcopy -f n /dev/d0 0 8M:1M
	next_times_out
	want "0 $M 0" rawcopy /dev/d0 1M 9M:1M
	rose_by 1 2 2
	queue /dev/d0 copy_max_bytes 0
	next_times_out
	want "ETIMEDOUT 0 0" rawcopy /dev/d0 2M 10M:512K
	pattern check /dev/d0 2 @0:2:~0 8M:1M @1M:2 9M:1M
}

prove "ETIMEDOUT from a command that never ends" timed_out

# A sequential zone that is not written at its write pointer.
wrong_place()
{
	local dev=/dev/vm/zoned

	make_null d0 size=16
	pattern fill /dev/d0 1
	blkzone reset "$dev"
	want "EIO 0 0" rawcopy -s /dev/d0 "$dev" 1M 0:4M
	want "EOPNOTSUPP 0 0" rawcopy -f n -s /dev/d0 "$dev" 0 0:4M
	pattern check "$dev" 0
	# The block layer lost the write pointer, as by any write that fails.
	blkzone reset "$dev"
	want "0 $M 0" rawcopy -s /dev/d0 "$dev" 0 0:1M
	want "EIO 0 0" rawcopy -s /dev/d0 "$dev" 0 0:4M
	pattern check "$dev" 0 @0:1 0:1M
	blkzone reset "$dev"
	want "0 $((2 * M)) 0" rawcopy -s /dev/d0 "$dev" 0 0:2M
	pattern check "$dev" 0 @0:1 0:2M
}

prove "EIO from a zone that is not at its write pointer" wrong_place

# ----------------------------------------------- devices that go away

# paused_copy MILLISECONDS ARGS...: in the background, until it is between COPY_IN and OUT.
paused_copy()
{
	local pauses

	pauses=$(debug_counter pauses)
	echo "$1" >"$DEBUG/pause_ms"
	shift
	defer eval "echo 0 >$DEBUG/pause_ms"
	rawcopy "$@" >"$TMP/result" &
	wait_for more_pauses "$pauses"
	echo 0 >"$DEBUG/pause_ms"
}

more_pauses()
{
	[ "$(debug_counter pauses)" -gt "$1" ]
}

null_gone_paused()
{
	make_null d0 size=16
	paused_copy 3000 "$@" /dev/d0 0 8M:4M
	drop_null d0
	wait $! || :
	is "$(cat "$TMP/result")" "EIO 0 0"
}

nvme_gone_paused()
{
	local dev ctrl

	dev=$(realpath /dev/vm/big2)
	ctrl=${dev%n*}
	paused_copy 6000 "$@" /dev/vm/big2 0 8M:4M
	nvme detach-ns "$ctrl" --namespace-id=6 --controllers="$(cat "/sys/class/nvme/${ctrl##*/}/cntlid")"
	wait_for test ! -e "$dev"
	wait $! || :
	is "$(cat "$TMP/result")" "EIO 0 0"
}

some_commands()
{
	[ "$(cat /sys/block/d0/null_blk/copy_commands)" -ge 3 ]
}

null_gone_offload()
{
	local error copied offloaded

	make_null d0 size=16 irqmode=2 completion_nsec=200000000 max_copy_bytes="$M" hw_queue_depth=1 \
		submit_queues=1
	rawcopy "$@" /dev/d0 0 8M:8M >"$TMP/result" &
	wait_for some_commands
	drop_null d0
	wait $! || :
	read -r error copied offloaded <"$TMP/result"
	is "$error" EIO
	is "$offloaded" "$copied" "bytes offloaded"
	[ "$copied" -ge $((3 * M)) ]
	[ "$copied" -lt $((8 * M)) ]
	is $((copied % M)) 0
}

some_reads()
{
	[ "$(awk '{ print $1 }' "/sys/block/$1/stat")" -ge "$2" ]
}

# The source goes; the destination stays and shows what has come.
null_source_gone()
{
	local error copied offloaded

	make_null d0 size=32 irqmode=2 completion_nsec=50000000 hw_queue_depth=1 submit_queues=1
	make_null d1 size=32
	pattern fill /dev/d1 2
	pattern fill /dev/d0 1
	before /dev/d1 failed
	rawcopy -s /dev/d0 /dev/d1 0 0:32M >"$TMP/result" &
	wait_for some_reads d0 3
	drop_null d0
	wait $! || :
	read -r error copied offloaded <"$TMP/result"
	is "$error $offloaded" "EIO 0"
	[ "$copied" -lt $((32 * M)) ]
	is $((copied % HALF)) 0
	pattern check /dev/d1 2 "@0:1:~$copied" 0:32M
	rose_by 1
}

scsi_gone()
{
	local error copied offloaded

	make_null d0 size=16
	pattern fill /dev/d0 2
	rawcopy -s /dev/vm/sda /dev/d0 0 0:16M >"$TMP/result" &
	wait_for some_reads "$(disk_of /dev/vm/sda)" $((SDA_READS + 3))
	echo 1 >"/sys/block/$(disk_of /dev/vm/sda)/device/delete"
	wait $! || :
	read -r error copied offloaded <"$TMP/result"
	cat "$TMP/result"
	[[ $error =~ ^(EIO|ENODEV)$ ]]
	is "$offloaded" 0
	[ "$copied" -lt $((16 * M)) ]
	is $((copied % HALF)) 0
	pattern check /dev/d0 2 "@0:1:~$copied" 0:16M
}

prove "null_blk goes away before its command" null_gone_paused
prove "null_blk goes away before its command, emulation forbidden" null_gone_paused -f n
prove "null_blk goes away between two commands" null_gone_offload
prove "null_blk goes away between two commands, emulation forbidden" null_gone_offload -f n
prove "the source goes away while it is emulated" null_source_gone
prove "an NVMe namespace goes away before its command" nvme_gone_paused
pattern fill /dev/vm/sda 1
SDA_READS=$(awk '{ print $1 }' "/sys/block/$(disk_of /dev/vm/sda)/stat")
qmp block_set_io_throttle device=sda bps=4194304 bps_rd=0 bps_wr=0 iops=0 iops_rd=0 iops_wr=0 >/dev/null
prove "a SCSI disk goes away while it is emulated" scsi_gone

finish
