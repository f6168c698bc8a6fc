#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Errors half way: each errno, by offload, by emulation and with emulation
# forbidden.  bytes_copied is the exact prefix that is proven, and what lies
# outside the range of the copy is never touched.
#
# The granule of a failure is the command for offload and the buffer of 512 KiB
# for emulation, or the request into which a scheduler merges several.  Pieces behind
# a failed one may be written: they are in flight at the same time.
#
# Where bytes_copied and what lies behind it are compared, for each error.  In
# other files of this directory: those in brackets.  -: no such way.
#
#              offload, then emulation  offload only             emulation only
#   EIO        bad_sector, half_way     bad_sector, half_way     bad_sector, dust, ...
#   ETIMEDOUT  timed_out                timed_out                timed_out
#   ENOLINK    half_way                 half_way                 half_way
#   ENOSPC     half_way                 half_way                 half_way, no_space
#   EREMOTEIO  half_way                 half_way                 half_way
#   EBADE      half_way                 half_way                 half_way
#   ENODATA    half_way                 half_way                 half_way, medium_error
#   EILSEQ     half_way                 half_way                 half_way
#   EOPNOTSUPP half_way                 half_way, error_*        half_way
#   EINTR      killed                   killed                   killed
#   EBUSY      -                        held_pages               -
#   EAGAIN     -                        [race.sh]                -
#   ENOMEM     [reserve.sh]             [reserve.sh]             [reserve.sh]
#   EINVAL, EPERM, EBADF, ENOTBLK, EFAULT, ENOTTY: nothing is sent [uapi.sh]

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
	# Newer kernels merge reads to requests of up to 4 MiB, which fail as a whole.
	queue "$disk" max_sectors_kb 512
	pattern fill "$disk" 1
	want "ENODATA $PART 0" rawcopy -s "$disk" /dev/d0 0 0:4M
	pattern check /dev/d0 2 "@0:1:~$PART" 0:4M
	want "EOPNOTSUPP 0 0" rawcopy -f n -s "$disk" /dev/d0 8M 0:4M
	pattern check /dev/d0 2 "@0:1:~$PART" 0:4M
}

prove "ENODATA from a SCSI medium error" medium_error

# -------------------------------------------------- what NVMe may answer

# inject STATUS SKIP [RETRY [TIMES]]: the next command but SKIP of big fails, or so
# many from there on.  The device has executed it nevertheless.  Unless RETRY is 1, it
# says that to repeat it is of no use: without, a read or write is repeated and
# succeeds; but no copy.
inject()
{
	local dir

	dir=/sys/kernel/debug/$(leaf_of /dev/vm/big)/fault_inject
	echo 0 >"$dir/verbose"
	echo "$1" >"$dir/status"
	echo $((!${3:-0})) >"$dir/dont_retry"
	echo $(($2 + 1)) >"$dir/space"
	echo "${4:-1}" >"$dir/times"
	echo 100 >"$dir/probability"
}

# Each copy has a place of its own, so that one look at the end is enough.
nvme_status()
{
	local status=$1 error=$2 dev=/dev/vm/big

	pattern fill "$dev" 2
	before "$dev" copies failed error_fallbacks command_errors leaf:command_errors leaf:commands

	# Forbidden: the error of the command, which is not sent again.
	inject "$status" 0 1
	device_did "$dev" 1 1 want "$error 0 0" rawcopy -f n "$dev" 0 8M:256K

	# Offload fails, emulation does not.
	inject "$status" 0 1
	device_did "$dev" 1 1 want "0 262144 0" rawcopy "$dev" 1M 9M:256K
	rose_by 2 1 2 2 2 0

	device_did "$dev" 0 0 emulation_fails "$status" "$error" "$dev"
	pattern check "$dev" 2 @0:2:~0 8M:256K @1M:2 9M:256K @3M:2:~0 11M:256K
}

# The read fails, or the write.
emulation_fails()
{
	local status=$1 error=$2 dev=$3

	set_queue "$dev" copy_max_bytes 0
	inject "$status" 0
	want "$error 0 0" rawcopy "$dev" 2M 10M:256K
	inject "$status" 1
	want "$error 0 0" rawcopy "$dev" 3M 11M:256K
	want "EOPNOTSUPP 0 0" rawcopy -f n "$dev" 4M 12M:256K
}

# nvme_refusal STATUS [ERROR]: the device refuses, nothing is wrong.  ERROR is what
# the same status is for a read or write: no reason to say that there is no offload.
nvme_refusal()
{
	local status=$1 error=${2:-} dev=/dev/vm/big

	pattern fill "$dev" 2
	before "$dev" copies failed error_fallbacks command_errors leaf:command_errors
	inject "$status" 0 1
	device_did "$dev" 1 1 want "EOPNOTSUPP 0 0" rawcopy -f n "$dev" 0 8M:256K
	inject "$status" 0 1
	device_did "$dev" 1 1 want "0 262144 0" rawcopy "$dev" 1M 9M:256K
	pattern check "$dev" 2 @0:2:~0 8M:256K @1M:2 9M:256K
	rose_by 2 1 0 0 0
	if [ -n "$error" ]; then
		device_did "$dev" 0 0 emulation_fails "$status" "$error" "$dev"
		pattern check "$dev" 2 @0:2:~0 8M:256K @1M:2 9M:256K @3M:2:~0 11M:256K
	fi
}

prove "EIO from NVMe (Internal Error)" nvme_status 0x6 EIO
prove "ENOSPC from NVMe (Capacity Exceeded)" nvme_status 0x81 ENOSPC
prove "EREMOTEIO from NVMe (LBA Out of Range)" nvme_status 0x80 EREMOTEIO
prove "EBADE from NVMe (Reservation Conflict)" nvme_status 0x83 EBADE
prove "ENODATA from NVMe (Unrecovered Read Error)" nvme_status 0x281 ENODATA
prove "ENOLINK from NVMe (Host Path Error)" nvme_status 0x370 ENOLINK
prove "EILSEQ from NVMe (End-to-end Guard Check Error)" nvme_status 0x282 EILSEQ

# Through a stack that copies step by step, so that nothing is on its way when the
# third command fails; the device has executed it nevertheless.
nvme_status_half_way()
{
	local status=$1 error=$2 sent=$3 dev=/dev/vm/big dm=/dev/mapper/steps errors=3

	[ "$error" != EOPNOTSUPP ] || errors=0
	pattern fill "$dev" 2
	make_dm steps "0 $(sectors "$dev") linear $dev 0"
	queue "$dm" copy_max_bytes 65536
	before "$dm" copies failed error_fallbacks emulated_bytes
	inject "$status" 2 1
	device_did "$dev" 3 3 want "$error 131072 131072" rawcopy -f n "$dm" 4M 12M:256K
	# What cannot be read either
	inject "$status" 2 0 2
	device_did "$dev" 3 3 want "$error 131072 131072" rawcopy "$dm" 5M 12M:256K
	inject "$status" 2 1
	device_did "$dev" "$sent" "$sent" want "0 262144 $(((sent - 1) * 65536))" \
		rawcopy "$dm" 6M 12M:256K
	pattern check "$dev" 2 @4M:2:~131072 12M:192K @5M:2:~131072 12M:192K @6M:2 12M:256K
	rose_by 3 2 "$errors" $(((5 - sent) * 65536))
}

# The buffer whose read or write failed, of a copy from 8 MiB to 0
failed_buffer()
{
	local sector

	sector=$(trace block_rq_error | sed 's/.*) \([0-9]*\) + .*/\1/')
	echo $((sector % 16384 * 512 / HALF))
}

# Of about 8 reads and 8 writes, of all buffers at once, the 13th that ends fails: in
# which buffer is up to the device, and tried again if it is the first one.
emulation_half_way()
{
	local status=$1 error=$2 dev=/dev/vm/big tries=0 buffer=0

	set_queue "$dev" copy_max_bytes 0
	start_trace block:block_rq_error
	before "$dev" failed offloaded_bytes
	until [ "$buffer" -gt 0 ]; do
		tries=$((tries + 1))
		[ "$tries" -le 5 ] || fail "it was always the first buffer"
		pattern fill "$dev" 2
		echo >"$TRACING/trace"
		inject "$status" 12
		counting "$dev" fails rawcopy "$dev" 0 8M:4M >"$TMP/result"
		did 0 0
		trace
		is "$(trace block_rq_error | wc -l)" 1 "reads and writes that failed"
		buffer=$(failed_buffer)
	done
	is "$(cat "$TMP/result")" "$error $((buffer * HALF)) 0"
	pattern check "$dev" 2 "@0:2:~$((buffer * HALF))" 8M:4M
	rose_by "$tries" 0
}

prove "EIO from NVMe, half way" nvme_status_half_way 0x6 EIO 4
prove "ENOSPC from NVMe, half way" nvme_status_half_way 0x81 ENOSPC 4
prove "EREMOTEIO from NVMe, half way" nvme_status_half_way 0x80 EREMOTEIO 4
prove "EBADE from NVMe, half way" nvme_status_half_way 0x83 EBADE 4
prove "ENODATA from NVMe, half way" nvme_status_half_way 0x281 ENODATA 4
prove "EILSEQ from NVMe, half way" nvme_status_half_way 0x282 EILSEQ 4
prove "EOPNOTSUPP from NVMe, half way" nvme_status_half_way 0x1 EOPNOTSUPP 4
# Where there is no way to the device, no more is sent that way.
prove "ENOLINK from NVMe, half way" nvme_status_half_way 0x370 ENOLINK 3
prove "EIO from NVMe, emulated half way" emulation_half_way 0x6 EIO
prove "ENOSPC from NVMe, emulated half way" emulation_half_way 0x81 ENOSPC
prove "EREMOTEIO from NVMe, emulated half way" emulation_half_way 0x80 EREMOTEIO
prove "EBADE from NVMe, emulated half way" emulation_half_way 0x83 EBADE
prove "ENODATA from NVMe, emulated half way" emulation_half_way 0x281 ENODATA
prove "ENOLINK from NVMe, emulated half way" emulation_half_way 0x370 ENOLINK
prove "EILSEQ from NVMe, emulated half way" emulation_half_way 0x282 EILSEQ
prove "EOPNOTSUPP from NVMe, emulated half way" emulation_half_way 0x1 EOPNOTSUPP
prove "EOPNOTSUPP for NVMe's Invalid Command Opcode" nvme_refusal 0x1 EOPNOTSUPP
prove "EOPNOTSUPP for NVMe's Invalid Field in Command" nvme_refusal 0x2
prove "EOPNOTSUPP for NVMe's Invalid Namespace" nvme_refusal 0xb
prove "EOPNOTSUPP for NVMe's Conflicting Attributes" nvme_refusal 0x180
prove "EOPNOTSUPP for NVMe's Command Size Limit Exceeded" nvme_refusal 0x183
prove "EOPNOTSUPP for NVMe's Invalid Format" nvme_refusal 0x10a
prove "EOPNOTSUPP for NVMe's Incompatible Namespace" nvme_refusal 0x185
prove "EOPNOTSUPP for NVMe's Fast Copy Not Possible" nvme_refusal 0x186
prove "EOPNOTSUPP for NVMe's Overlapping I/O Range" nvme_refusal 0x187
prove "EOPNOTSUPP for NVMe's Namespace Not Reachable" nvme_refusal 0x188
prove "EOPNOTSUPP for NVMe's Insufficient Resources" nvme_refusal 0x189

# next_times_out SKIP: that, and none behind it
next_times_out()
{
	echo $(($1 + 1)) >"$NULLB/d0/timeout_inject/space"
	echo 1 >"$NULLB/d0/timeout_inject/times"
}

# may_time_out: d0, when that is said
may_time_out()
{
	queue /dev/d0 io_timeout 500
	echo 0 >"$NULLB/d0/timeout_inject/verbose"
	echo 100 >"$NULLB/d0/timeout_inject/probability"
}

make_timing_out()
{
	make_null d0 size=16 "$@"
	pattern fill /dev/d0 2
	may_time_out
}

# In commands of 1 MiB, of which the third never ends; it has done nothing.
timed_out()
{
	make_timing_out max_copy_bytes="$M"
	before /dev/d0 failed error_fallbacks command_errors
	next_times_out 2
	device_did /dev/d0 3 3 want "ETIMEDOUT $((2 * M)) $((2 * M))" rawcopy -f n /dev/d0 0 8M:4M
	pattern check /dev/d0 2 @0:2 8M:2M @3M:2 11M:1M
	next_times_out 2
	device_did /dev/d0 3 3 want "0 $((4 * M)) $((3 * M))" rawcopy /dev/d0 4M 12M:4M
	pattern check /dev/d0 2 @0:2 8M:2M @3M:2 11M:1M @4M:2 12M:4M
	rose_by 1 2 2
}

# A read; and the write of the only buffer
timed_out_emulated()
{
	# A buffer is one request.
	make_timing_out max_copy_bytes=0 max_sectors=2560
	before /dev/d0 failed error_fallbacks
	next_times_out 2
	want "ETIMEDOUT $M 0" rawcopy /dev/d0 0 8M:4M
	pattern check /dev/d0 2 "@0:2:~$M" 8M:4M
	next_times_out 1
	want "ETIMEDOUT 0 0" rawcopy /dev/d0 4M 12M:512K
	pattern check /dev/d0 2 "@0:2:~$M" 8M:4M
	rose_by 2 0
}

prove "ETIMEDOUT from a command that never ends" timed_out
prove "ETIMEDOUT from a read or write that never ends" timed_out_emulated

# -------------------------------------- devices that fail all the time

# Steps of 64 KiB, one after the other.  All of them would fail if they were sent.
three_errors()
{
	local dev=/dev/vm/big dm=/dev/mapper/steps dir error copied offloaded

	dir=/sys/kernel/debug/$(leaf_of "$dev")/fault_inject
	pattern fill "$dev" 2
	make_dm steps "0 $(sectors "$dev") linear $dev 0"
	queue "$dm" copy_max_bytes 65536
	before "$dm" failed error_fallbacks emulated_bytes
	# Every second command: the copy, not the read, the write, not the same
	# write again.  The first one may be spared.
	inject 0x6 0 1
	echo 2 >"$dir/interval"
	echo 6 >"$dir/times"
	defer eval "echo 1 >$dir/interval; echo 0 >$dir/times"
	counting "$dev" rawcopy "$dm" 0 8M:1M >"$TMP/result"
	cat "$TMP/result"
	read -r error copied offloaded <"$TMP/result"
	is "$error $copied" "0 $M"
	[ "$offloaded" -le 65536 ]
	did $((3 + offloaded / 65536)) $((3 + offloaded / 65536))
	rose_by 0 3 $((M - offloaded))
	is "$(cat "$dir/times")" 0 "faults left"
	pattern check "$dev" 2 @0:2 8M:1M
	# The next call tries again.
	device_did "$dev" 16 16 want "0 $M $M" rawcopy -f n "$dm" 2M 8M:1M
	pattern check "$dev" 2 @0:2 8M:1M @2M:2 8M:1M
}

one_time_out()
{
	make_timing_out
	make_dm steps "0 32768 linear /dev/d0 0"
	queue /dev/mapper/steps copy_max_bytes 65536
	next_times_out 2
	device_did /dev/d0 2 2 want "0 $M 131072" rawcopy /dev/mapper/steps 0 8M:1M
	device_did /dev/d0 16 16 want "0 $M $M" rawcopy /dev/mapper/steps 2M 8M:1M
	pattern check /dev/d0 2 @0:2 8M:1M @2M:2 8M:1M
}

prove "after three errors of the device, the rest of a call is emulated" three_errors
prove "after one time-out, the rest of a call is emulated" one_time_out

# ------------------------------------------- pages that cannot be dropped

# The file system keeps the copy of its superblock at 72 MiB, and with that the page
# of the cache: neither offload nor direct I/O may pass it.  The first 64 MiB are
# another matter.
held_pages()
{
	local before

	make_null d0 size=176
	mkfs.ext4 -q -F -b 1024 -O ^has_journal,sparse_super /dev/d0 98304
	pattern fill -o 96M -l 80M /dev/d0 1
	mkdir "$TMP/mnt"
	defer rmdir "$TMP/mnt"
	mount -t ext4 -o ro,sb=73729 /dev/d0 "$TMP/mnt"
	defer umount "$TMP/mnt"
	# Each CPU holds the buffers that it has looked up last: let go of these.
	echo 1 >/proc/sys/vm/drop_caches
	before=$(beyond)
	before /dev/d0 emulated_bytes
	device_did /dev/d0 0 0 want "EBUSY 0 0" rawcopy -f n /dev/d0 70M 96M:4M
	device_did /dev/d0 4 4 want "EBUSY $((64 * M)) $((64 * M))" rawcopy -f n /dev/d0 0 96M:80M
	is "$(beyond)" "$before" "what was not reached"
	pattern check -l 64M /dev/d0 0 @0:1 96M:64M
	rose_by 0
	# With the page cache it goes.
	device_did /dev/d0 4 4 want "0 $((80 * M)) $((64 * M))" rawcopy /dev/d0 0 96M:80M
	rose_by $((16 * M))
	sync
	pattern check -l 80M /dev/d0 0 @0:1 96M:80M
	pattern check -o 96M /dev/d0 1
}

beyond()
{
	dd if=/dev/d0 bs=1M skip=64 count=32 iflag=direct status=none | sha1sum
}

prove "EBUSY for a page that a mounted file system holds" held_pages

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

# ------------------------------------------------------------- killed

some_commands()
{
	[ "$(cat /sys/block/d0/null_blk/copy_commands)" -ge 3 ]
}

# killed READY ARGS...: when READY is true the copy is killed; its results are in
# COPIED and OFFLOADED, for they are written back even then.
killed()
{
	local ready=$1

	shift
	truncate -s 4096 "$TMP/arg"
	rawcopy -a "$TMP/arg" "$@" >"$TMP/result" &
	wait_for "$ready"
	kill -KILL $!
	wait $! || :
	is "$(cat "$TMP/result")" "" "what it printed"
	read -r COPIED OFFLOADED < <(od -An -tu8 -j32 -N16 "$TMP/arg")
	echo "$COPIED copied, $OFFLOADED offloaded"
	is "$(trace 'blk_copy_done: .* error -4$' | wc -l)" 1 "copies that were interrupted"
	trace "blk_copy_done: .* done $COPIED offloaded $OFFLOADED " | grep -q .
}

# Two chunks of 16 MiB, each step by step; every step takes 50 ms.
killed_offload()
{
	make_null d0 size=80 irqmode=2 completion_nsec=50000000
	pattern fill -o 40M -l 32M /dev/d0 2
	make_dm steps "0 163840 linear /dev/d0 0"
	queue /dev/mapper/steps copy_max_bytes "$M"
	start_trace blk_copy:blk_copy_done
	before /dev/mapper/steps copies failed
	counting /dev/d0 killed some_commands "$@" /dev/mapper/steps 2M 40M:32M
	rose_by 1 1
	is "$OFFLOADED" "$COPIED"
	is $((COPIED % M)) 0
	[ "$COPIED" -ge "$M" ]
	# What the first chunk did counts, what the second one did is done too; of
	# either, nothing was sent after the step that the signal met.
	[ "$DID_COMMANDS" -ge $((COPIED / M)) ]
	[ "$DID_COMMANDS" -le $((2 * COPIED / M + 2)) ]
	[ "$DID_COMMANDS" -lt 32 ]
	pattern check -l 40M /dev/d0 0 "@2M:2:~$COPIED" 40M:32M
	pattern check -o 40M -l 32M /dev/d0 2
}

some_written()
{
	[ "$(sectors_written /dev/d0)" -gt "$WRITTEN" ]
}

killed_emulation()
{
	make_null d0 size=80 max_copy_bytes=0 irqmode=2 completion_nsec=50000000
	pattern fill -o 40M -l 32M /dev/d0 2
	start_trace blk_copy:blk_copy_done
	WRITTEN=$(sectors_written /dev/d0)
	killed some_written /dev/d0 2M 40M:32M
	is "$OFFLOADED" 0
	is $((COPIED % HALF)) 0
	[ "$COPIED" -lt $((32 * M)) ]
	pattern check -l 40M /dev/d0 0 "@2M:2:~$COPIED" 40M:32M
	pattern check -o 40M -l 32M /dev/d0 2
}

prove "EINTR: killed between two commands" killed_offload
prove "EINTR: killed between two commands, emulation forbidden" killed_offload -f n
prove "EINTR: killed while it is emulated" killed_emulation

# ------------------------------------- nothing is held after a failure

# paused_copy ARGS...: in the background, between COPY_IN and OUT until let_go.
paused_copy()
{
	hold_copies
	rawcopy "$@" >"$TMP/result" &
	COPY=$!
	wait_for paused
}

# A suspend waits for the commands that rely on the table: it must end.
suspends()
{
	local dm

	for dm; do
		rm -f "$TMP/suspended"
		(dmsetup suspend "$dm" && touch "$TMP/suspended") &
		wait_for test -e "$TMP/suspended"
		dmsetup resume "$dm"
	done
}

# fail_copy FORBIDDEN ALLOWED COMMAND...: a copy from src to dst prints FORBIDDEN
# or ALLOWED, whichever way it is asked for by FLAG.
fail_copy()
{
	if [ "$FLAG" = n ]; then
		is "$("${@:3}" || :)" "$1"
	else
		is "$("${@:3}" || :)" "$2"
	fi
}

copy_src_dst()
{
	rawcopy -f "$FLAG" -s /dev/mapper/src /dev/mapper/dst 0 0:1M
}

# pins LEAF KIND...: copies fail in this way; then no table is held by anybody.
pins()
{
	local leaf=$1

	shift
	if [ "$leaf" = /dev/d0 ]; then
		make_null d0 size=16
	fi
	pattern fill "$leaf" 2
	make_dm src "0 16384 linear $leaf 0"
	make_dm dst "0 16384 linear $leaf 16384"
	for FLAG in n 0; do
		"$@"
		suspends src dst
		device_did "$leaf" 1 1 want "0 $M $M" rawcopy -f n -s /dev/mapper/src /dev/mapper/dst 4M 4M:1M
	done
	pattern check "$leaf" 2 @8M:2:~0 0:1M @12M:2 4M:1M
}

by_bad_sector()
{
	bad_sector + "$1"
	fail_copy "EIO 0 0" "EIO 0 0" copy_src_dst
	bad_sector - "$1"
}

by_time_out()
{
	may_time_out
	next_times_out 0
	fail_copy "ETIMEDOUT 0 0" "0 $M 0" copy_src_dst
}

# Put back, by the driver and by the block layer, before it begins
by_requeue()
{
	local dir=$NULLB/d0/requeue_inject

	echo 0 >"$dir/verbose"
	echo 100 >"$dir/probability"
	echo 5 >"$dir/times"
	device_did /dev/d0 1 1 fail_copy "0 $M $M" "0 $M $M" copy_src_dst
	is "$(cat "$dir/times")" 0 "requeues left"
}

# by_lost_bio SPACE: the first bio to the leaf is lost that is not smaller; the
# COPY_IN, or with as much room as that takes, the COPY_OUT
by_lost_bio()
{
	local dir=/sys/kernel/debug/fail_make_request

	echo N >"$dir/task-filter"
	echo 1 >"$dir/interval"
	echo 0 >"$dir/verbose"
	echo "$1" >"$dir/space"
	echo 1 >"$dir/times"
	defer eval "echo 0 >$dir/probability"
	echo 100 >"$dir/probability"
	echo 1 >/sys/block/d0/make-it-fail
	fail_copy "EIO 0 0" "0 $M 0" copy_src_dst
	echo 0 >/sys/block/d0/make-it-fail
	is "$(cat "$dir/times")" 0 "faults left"
}

# The leaf takes no more copies when the COPY_OUT comes.
by_closed_gate()
{
	paused_copy -f "$FLAG" -s /dev/mapper/src /dev/mapper/dst 0 0:1M
	queue /dev/d0 copy_max_bytes 0
	let_go
	wait "$COPY" || :
	fail_copy "EOPNOTSUPP 0 0" "0 $M 0" cat "$TMP/result"
	queue /dev/d0 copy_max_bytes $((16 * M))
}

# copy_over_suspend NAME: while it is paused
copy_over_suspend()
{
	paused_copy -f "$FLAG" -s /dev/mapper/src /dev/mapper/dst 0 0:1M
	suspends "$1"
	let_go
	wait "$COPY"
	fail_copy "0 $M $M" "0 $M $M" cat "$TMP/result"
}

by_stale_token()
{
	local stale

	stale=$(copy_stat /dev/mapper/dst stale)
	device_did /dev/d0 1 1 copy_over_suspend "$1"
	is $(($(copy_stat /dev/mapper/dst stale) - stale)) 1 "stale tokens"
}

# A COPY_OUT does not rely on the destination's table once it is mapped; one that
# waits in front of it does not either.
by_suspended_destination()
{
	device_did /dev/d0 1 1 copy_over_suspend dst
}

by_nvme_status()
{
	inject "$1" 0 1
	fail_copy "$2 0 0" "0 $M 0" copy_src_dst
}

prove "no pin is left by a bad sector of the destination" pins /dev/d0 by_bad_sector 16389
prove "no pin is left by a bad sector of the source" pins /dev/d0 by_bad_sector 5
prove "no pin is left by a time-out" pins /dev/d0 by_time_out
prove "no pin is left by a command that is put back" pins /dev/d0 by_requeue
prove "no pin is left by a lost COPY_IN" pins /dev/d0 by_lost_bio 0
prove "no pin is left by a lost COPY_OUT" pins /dev/d0 by_lost_bio $((M + 1))
prove "no pin is left by a leaf that refuses" pins /dev/d0 by_closed_gate
prove "no pin is left by a stale token, source" pins /dev/d0 by_stale_token src
prove "no pin is left by a suspend of the destination" pins /dev/d0 by_suspended_destination
prove "no pin is left by an error of NVMe" pins /dev/vm/big by_nvme_status 0x6 EIO
prove "no pin is left by a path error of NVMe" pins /dev/vm/big by_nvme_status 0x370 ENOLINK
prove "no pin is left by a refusal of NVMe" pins /dev/vm/big by_nvme_status 0x183 EOPNOTSUPP

# The disk goes below its tables.
pins_of_removed()
{
	make_null d0 size=16
	make_dm src "0 16384 linear /dev/d0 0"
	make_dm dst "0 16384 linear /dev/d0 16384"
	paused_copy "$@" -s /dev/mapper/src /dev/mapper/dst 0 0:1M
	drop_null d0
	let_go
	wait "$COPY" || :
	is "$(cat "$TMP/result")" "EIO 0 0"
	suspends src dst
}

prove "no pin is left by a disk that went away" pins_of_removed
prove "no pin is left by a disk that went away, emulation forbidden" pins_of_removed -f n

# ----------------------------------------------- devices that go away

null_gone_paused()
{
	make_null d0 size=16
	paused_copy "$@" /dev/d0 0 8M:4M
	drop_null d0
	let_go
	wait "$COPY" || :
	is "$(cat "$TMP/result")" "EIO 0 0"
}

# attach_big2 CONTROLLER: unless it is there; its node must have the old name.
attach_big2()
{
	[ -b /dev/vm/big2 ] || nvme attach-ns "$1" -n 6 -c "$(cntlid "$1")"
	wait_for test -b /dev/vm/big2
}

cntlid()
{
	cat "/sys/class/nvme/${1##*/}/cntlid"
}

nvme_gone_paused()
{
	local dev ctrl

	dev=$(realpath /dev/vm/big2)
	ctrl=${dev%n*}
	pattern fill "$dev" 2
	paused_copy "$@" "$dev" 0 8M:4M
	defer attach_big2 "$ctrl"
	nvme detach-ns "$ctrl" -n 6 -c "$(cntlid "$ctrl")"
	wait_for test ! -e "$dev"
	let_go
	wait "$COPY" || :
	is "$(cat "$TMP/result")" "EIO 0 0"
	attach_big2 "$ctrl"
	pattern check "$dev" 2
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
prove "an NVMe namespace goes away before its command, emulation forbidden" nvme_gone_paused -f n
pattern fill /dev/vm/sda 1
SDA_READS=$(awk '{ print $1 }' "/sys/block/$(disk_of /dev/vm/sda)/stat")
slow_disk sda 4194304
prove "a SCSI disk goes away while it is emulated" scsi_gone

finish
