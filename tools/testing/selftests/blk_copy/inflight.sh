#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# One thread keeps a device with some latency busy: several COPY_OUTs, or several
# reads and writes of the emulation, in flight at once; and it does not take much
# memory for that.
#
# null_blk moves the data when it takes a command, and on an emulated CPU that may
# share its core 16 MiB take long: with the latency of a real device, the first
# command would be over before the second one is sent, whoever sends it.  So it
# has 100 ms or more, SLOWER times that on a slow kernel; or the commands are so
# small that 1 ms is enough.  It is filled and read back before and after it is so
# slow, and its requests may take longer than the 5 s after which those of
# null_blk time out.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

# ms MILLISECONDS: as nanoseconds, for the latency of a device
ms()
{
	echo $(($1 * 1000000 * ${SLOWER:-1}))
}

# most_at_once DISK COMMAND...: run it; $TMP/max is the most requests of the disk
# that were in flight meanwhile, as it began and ended them.  A path of NVMe has no
# number: there it is the copies of all devices.
most_at_once()
{
	local dev='[0-9]+,[0-9]+ CO'

	[ ! -e "/sys/block/$1/dev" ] || dev=$(tr : , <"/sys/block/$1/dev")
	start_trace block:block_rq_issue block:block_rq_complete block:block_rq_requeue
	# One clock for all CPUs
	echo mono >"$TRACING/trace_clock"
	"${@:2}"
	stop_trace
	trace "block_rq_(issue|complete|requeue): $dev " | awk '
		/block_rq_issue: / { if (++n > max) max = n; next }
		{ n-- }
		END { print max + 0 }' >"$TMP/max"
	echo local >"$TRACING/trace_clock"
}

at_most()
{
	[ "$1" -le "$2" ] || { echo "$3: $1, should be at most $2"; return 1; }
}

# remake_null NAME ATTRIBUTE=VALUE...: the same disk with the same data
remake_null()
{
	local word

	echo 0 >"$NULLB/$1/power"
	for word in "${@:2}"; do
		echo "${word#*=}" >"$NULLB/$1/${word%%=*}"
	done
	echo 1 >"$NULLB/$1/power"
	wait_for test -b "/dev/$1"
}

# The first 64 MiB hold seed 1, the rest zeroes, of which it has all pages.
slow_null()
{
	make_null "$1" size=160 irqmode=0 max_sectors=2560 hw_queue_depth=256 "${@:2}"
	pattern fill -l 64M "/dev/$1" 1
	dd if=/dev/zero of="/dev/$1" bs=1M seek=64 count=96 oflag=direct status=none
	remake_null "$1" irqmode=2
	queue "/dev/$1" io_timeout 600000
	echo 1 >"$DEBUG/counters"
}

# check_slow DEVICE RANGE...: at 80 MiB it has these ranges of seed 1, then zeroes.
# It is not slow afterwards.
check_slow()
{
	remake_null "$1" irqmode=0
	pattern check "/dev/$1" 0 @0:1 0:64M @80M:1 "${@:2}"
}

outs_in_flight()
{
	slow_null n0 blocksize=4096 completion_nsec="$(ms 2000)"
	counting /dev/n0 most_at_once n0 rawcopy -f n /dev/n0 80M 0:64M >"$TMP/out"
	did 4 4
	is "$(cat "$TMP/out")" "0 67108864 67108864"
	check_slow n0 0:64M
	debug_counter outs_inflight_max >"$TMP/outs"
	at_least "$(cat "$TMP/outs")" 4 "COPY_OUTs in flight"
	at_least "$(cat "$TMP/max")" 4 "commands in flight"
	is "$(debug_counter emulation_bytes_max)" 0 "memory of an offloaded copy"
	idle
}

# A real device: it has not moved anything when the command is taken.  It takes
# its time, because the host may run it before the thread that sends.
nvme_outs_in_flight()
{
	pattern fill -l 160M /dev/vm/big 1
	echo 1 >"$DEBUG/counters"
	slow_disk big 67108864
	device_did /dev/vm/big 4 4 most_at_once "$(leaf_of /dev/vm/big)" \
		want "0 67108864 67108864" rawcopy -f n /dev/vm/big 80M 0:64M
	slow_disk big 0
	pattern check -l 160M /dev/vm/big 1 @80M:1 0:64M
	at_least "$(debug_counter outs_inflight_max)" 4 "COPY_OUTs in flight"
	at_least "$(cat "$TMP/max")" 4 "commands in flight"
	idle
}

emulation_in_flight()
{
	slow_null n0 max_copy_bytes=0 completion_nsec="$(ms 100)"
	most_at_once n0 rawcopy /dev/n0 80M 0:64M >"$TMP/out"
	is "$(cat "$TMP/out")" "0 67108864 0"
	check_slow n0 0:64M
	debug_counter emulation_bios_inflight_max >"$TMP/bios"
	debug_counter emulation_bytes_max >"$TMP/bytes"
	at_least "$(cat "$TMP/bios")" 8 "bios of the emulation in flight"
	at_least "$(cat "$TMP/max")" 8 "requests in flight"
	idle
}

memory_of_emulation()
{
	at_most "$(cat "$TMP/bytes")" 8388608 "bytes of buffers of one copy"
	# More than one buffer, or the pipeline is none.
	at_least "$(cat "$TMP/bytes")" 1048576 "bytes of buffers of one copy"
}

# Buffers that were kept from small copies grow, but not beyond what one is.
memory_after_small_copies()
{
	local i pids=()

	slow_null n0 max_copy_bytes=0 completion_nsec="$(ms 100)"
	make_null n1 size=64 max_copy_bytes=0 irqmode=2 completion_nsec="$(ms 1000)"
	queue /dev/n1 io_timeout 600000
	for ((i = 0; i < 14; i++)); do
		add_partition /dev/n1 $((i + 1)) "$((i * 4))M" 4M
	done
	# Reclaim takes what the tests before have left.
	echo 2 >/proc/sys/vm/drop_caches
	echo 1 >"$DEBUG/counters"
	for ((i = 0; i < 14; i++)); do
		rawcopy "/dev/n1p$((i + 1))" 1M 0:128K >"$TMP/small$i" &
		pids+=($!)
	done
	wait "${pids[@]}"
	is "$(sort -u "$TMP"/small*)" "0 131072 0"
	at_least "$(debug_counter emulation_bytes_max)" $((4 * 131072)) "bytes of small buffers"
	at_most "$(debug_counter emulation_bytes_max)" $((14 * 131072)) "bytes of small buffers"
	echo 1 >"$DEBUG/counters"
	want "0 67108864 0" rawcopy /dev/n0 80M 0:64M
	check_slow n0 0:64M
	at_most "$(debug_counter emulation_bytes_max)" $((14 * 524288)) "bytes of buffers of one copy"
	idle
}

# Many small sources: a bio each, and no more memory than for large ones.
gather_in_flight()
{
	slow_null n0 max_copy_bytes=0 completion_nsec="$(ms 20)"
	rawcopy /dev/n0 80M "0:4K*1024+8K" >"$TMP/out"
	is "$(cat "$TMP/out")" "0 4194304 0"
	check_slow n0 "0:4K*1024+8K"
	at_least "$(debug_counter emulation_bios_inflight_max)" 8 \
		"bios of the emulation in flight"
	at_most "$(debug_counter emulation_bytes_max)" 8388608 "bytes of buffers"
	idle
}

# at_1_ms COMMANDS WANTED ATTRIBUTE=VALUE...: copies, each in so many commands of
# 64 KiB, until so many were seen at once, for 60 s at most.
at_1_ms()
{
	local end=$((SECONDS + 60)) commands=$1 wanted=$2 tries=0 most=0 max

	shift 2
	slow_null n0 completion_nsec="$(ms 1)" "$@"
	until [ "$most" -ge "$wanted" ]; do
		[ "$SECONDS" -lt "$end" ] || fail "$tries copies had at most $most in flight"
		counting /dev/n0 most_at_once n0 rawcopy /dev/n0 80M 0:8M >"$TMP/out"
		did "$commands" "$commands"
		is "$(cat "$TMP/out")" "0 8388608 $((commands * 65536))"
		tries=$((tries + 1))
		max=$(cat "$TMP/max")
		[ "$max" -le "$most" ] || most=$max
	done
	echo "$most in $tries" >"$TMP/at_1_ms"
	check_slow n0 0:8M
	idle
}

prove "at least 4 COPY_OUTs of one thread are in flight" outs_in_flight
prove "at least 4 COPY_OUTs of one thread are in flight on NVMe" nvme_outs_in_flight
prove "at least 8 bios of the emulation of one thread are in flight" emulation_in_flight
prove "at least 4 copy commands of one thread are in flight on a disk of ${SLOWER:-1} ms" \
	at_1_ms 128 4 max_copy_bytes=65536
sed 's/^/#   /; s/$/ copies/' "$TMP/at_1_ms"
prove "at least 8 requests of the emulation are in flight on a disk of ${SLOWER:-1} ms" \
	at_1_ms 0 8 max_copy_bytes=0
sed 's/^/#   /; s/$/ copies/' "$TMP/at_1_ms"
prove "an emulated copy takes at most 8 MiB of buffers" memory_of_emulation
echo "#   COPY_OUTs $(cat "$TMP/outs"), bios $(cat "$TMP/bios"), buffers $(cat "$TMP/bytes") bytes"
prove "buffers of small copies do not grow beyond a unit" memory_after_small_copies
prove "an emulated gather of 1024 ranges is as parallel" gather_in_flight
finish
