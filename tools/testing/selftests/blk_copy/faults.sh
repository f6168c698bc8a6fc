#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Requests that fail at the leaf: whatever a device refuses is read and written,
# counted, and said once; what cannot be read or written either has the error of
# that.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

FAIL=/sys/kernel/debug/fail_make_request

fail_off()
{
	echo 0 >"$FAIL/probability"
}

# fail_requests TIMES ATTRIBUTE...: of the devices whose make-it-fail these are
fail_requests()
{
	local file

	echo N >"$FAIL/task-filter"
	echo 1 >"$FAIL/interval"
	echo 0 >"$FAIL/space"
	echo 0 >"$FAIL/verbose"
	echo "$1" >"$FAIL/times"
	shift
	for file in "$@"; do
		echo 1 >"$file"
	done
	defer fail_off
	echo 100 >"$FAIL/probability"
}

# Two partitions, so that only the source or only the destination fails
make_halves()
{
	make_null f0 size=64 "$@"
	partition add /dev/f0 1 0 32M
	partition add /dev/f0 2 32M 32M
	pattern fill /dev/f0 1
	wait_for test -b /dev/f0p2
	dmesg -C
}

half()
{
	echo "/sys/block/f0/f0p$1/make-it-fail"
}

# By what failed: requests of the first half end COPY_INs, of the second COPY_OUTs.
MESSAGE=(- 'copy source failed' 'copy command failed')

# A command that fails once: the copy succeeds, and says so, once.
one_failed_command()
{
	make_halves
	fail_requests 1 "$(half "$1")"
	device_did /dev/f0 0 0 want "0 4194304 0" rawcopy -s /dev/f0p1 /dev/f0p2 8M 0:4M
	fail_off
	pattern check /dev/f0 1 @40M:1 0:4M
	is "$(copy_stat /dev/f0 copies failed error_fallbacks)" "1 0 1" \
		"copies, failed, error_fallbacks"
	is "$(messages "${MESSAGE[$1]}")" 1 messages
	messages "f0p2: ${MESSAGE[$1]} \(I/O error\): reading and writing 4194304 bytes" |
		grep -qx 1
}

# The same with emulation forbidden: the device's own error
one_failed_command_forbidden()
{
	make_halves
	fail_requests 1 "$(half "$1")"
	device_did /dev/f0 0 0 want "EIO 0 0" rawcopy -f n -s /dev/f0p1 /dev/f0p2 8M 0:4M
	fail_off
	pattern check /dev/f0 1
	is "$(copy_stat /dev/f0 copies failed error_fallbacks)" "1 1 1" \
		"copies, failed, error_fallbacks"
	is "$(messages "${MESSAGE[$1]}.*giving up")" 1 messages
}

# All requests fail, the reads and writes of the emulation too.
all_requests_fail()
{
	make_halves
	fail_requests -1 "$(half "$1")"
	device_did /dev/f0 0 0 want "EIO 0 0" rawcopy -s /dev/f0p1 /dev/f0p2 8M 0:4M
	fail_off
	pattern check /dev/f0 1
	is "$(copy_stat /dev/f0 copies failed error_fallbacks)" "1 1 1" \
		"copies, failed, error_fallbacks"
}

# A fifth of all requests fails, at random: never is an error success.
some_requests_fail()
{
	make_null f0 size=64
	fail_requests -1 /sys/block/f0/make-it-fail
	echo 20 >"$FAIL/probability"
	# The program's own reads and writes must not fail: only its ioctl does.
	echo Y >"$FAIL/task-filter"
	device_copied /dev/f0 fault -f -n 300 -l 1048576 /dev/f0 /dev/f0 >"$TMP/out"
	cat "$TMP/out"
	fail_off
	grep -qx 'wrong 0' "$TMP/out"
	grep -qE '^errors 0 [1-9]' "$TMP/out"
	grep -qE '^errors EIO [1-9]' "$TMP/out"
	is "$(grep -c '^errors' "$TMP/out")" 2 "kinds of results"
	[ "$(copy_stat /dev/f0 error_fallbacks)" -gt 0 ]
	[ "$(copy_stat /dev/f0 emulated_bytes)" -gt 0 ]
}

# A thousand failures are counted, but not a thousand messages written.
messages_are_limited()
{
	local fallbacks have

	# The tests before may have used up the burst of the last five seconds.
	sleep 6
	make_halves
	fail_requests -1 "$(half 2)"
	echo Y >"$FAIL/task-filter"
	fault -f -n 1000 -l 4096 /dev/f0p1 /dev/f0p2 >"$TMP/out"
	fail_off
	want "errors EIO 1000
copied 0
offloaded 0
wrong 0" cat "$TMP/out"
	fallbacks=$(copy_stat /dev/f0 error_fallbacks)
	is "$fallbacks" 1000 error_fallbacks
	have=$(messages "${MESSAGE[2]}")
	[ "$have" -ge 1 ]
	[ "$have" -lt 500 ]
}

nvme_command_fails()
{
	local disk

	disk=$(disk_of /dev/vm/big)
	partition add /dev/vm/big 1 0 32M
	defer partition del /dev/vm/big 1
	partition add /dev/vm/big 2 32M 32M
	defer partition del /dev/vm/big 2
	pattern fill -l 64M /dev/vm/big 1
	wait_for test -b "/dev/${disk}p2"
	fail_requests 1 "/sys/block/$disk/${disk}p2/make-it-fail"
	device_did /dev/vm/big 0 0 want "0 4194304 0" rawcopy -s "/dev/${disk}p1" "/dev/${disk}p2" 8M 0:4M
	fail_off
	pattern check -l 64M /dev/vm/big 1 @40M:1 0:4M
	is "$(copy_stat /dev/vm/big error_fallbacks)" 1 error_fallbacks
}

# /dev/mapper/fs: stripes on the second halves of f0 and f1, which are filled
make_legs()
{
	make_null f0 size=64
	make_null f1 size=64
	pattern fill /dev/f0 1
	pattern fill /dev/f1 2
	make_dm fs "0 65536 striped 2 128 /dev/f0 65536 /dev/f1 65536"
}

# Below a stripe: what one leg has copied is kept, though the other one fails.
one_leg_fails()
{
	make_legs
	fail_requests -1 /sys/block/f1/make-it-fail
	device_did /dev/f0 8 8 want "EIO 65536 65536" rawcopy -s /dev/f0 /dev/mapper/fs 0 0:1M
	fail_off
	# The pieces of the good leg may be there, behind the first failure too.
	pattern check /dev/f1 2
	pattern check -l 32M /dev/f0 1
	pattern check -o 32M -l 64K /dev/f0 1 @32M:1 0:64K
	[ "$(copy_stat /dev/mapper/fs error_fallbacks)" -eq 1 ]
	device_did /dev/f0 8 8 want "0 1048576 524288" rawcopy -s /dev/f0 /dev/mapper/fs 0 0:1M
	pattern check /dev/f0 1 @32M:1 0:64K*8+128K
	pattern check /dev/f1 2 @32M:1 64K:64K*8+128K
}

# A command that never answers has the error of a timeout.
command_times_out()
{
	make_null f0 size=64
	pattern fill /dev/f0 1
	set_queue /dev/f0 io_timeout 500
	defer eval "echo 0 >$NULLB/f0/timeout_inject/probability"
	echo 0 >"$NULLB/f0/timeout_inject/verbose"
	echo -1 >"$NULLB/f0/timeout_inject/times"
	echo 100 >"$NULLB/f0/timeout_inject/probability"
	device_did /dev/f0 0 0 want "ETIMEDOUT 0 0" rawcopy -f n /dev/f0 8M 0:1M
	device_did /dev/f0 0 0 want "ETIMEDOUT 0 0" rawcopy /dev/f0 8M 0:1M
	echo 0 >"$NULLB/f0/timeout_inject/probability"
	pattern check /dev/f0 1
	device_did /dev/f0 1 1 want "0 1048576 1048576" rawcopy -f n /dev/f0 8M 0:1M
	pattern check /dev/f0 1 @8M:1 0:1M
}

prove "a failed COPY_OUT is emulated, counted, and said once" one_failed_command 2
prove "a failed COPY_IN is emulated, counted, and said once" one_failed_command 1
prove "a failed COPY_OUT with emulation forbidden is its own error" \
	one_failed_command_forbidden 2
prove "a failed COPY_IN with emulation forbidden is its own error" \
	one_failed_command_forbidden 1
prove "if nothing can be read, the copy says so" all_requests_fail 1
prove "if nothing can be written, the copy says so" all_requests_fail 2
prove "random failures are never success with wrong data" some_requests_fail
prove "messages are limited, counts are not" messages_are_limited
prove "a failed command of NVMe is emulated and counted" nvme_command_fails
prove "a failing leg of a stripe" one_leg_fails
prove "a command that times out" command_times_out

# --------------------------------------- errors by the name of an operation

# inject DEVICE OPERATION STATUS [,OPTION...]: from now on bios end so
inject()
{
	local file REPLY

	find_disk "$1"
	file=/sys/kernel/debug/block/$REPLY/error_injection
	defer eval "echo removeall >$file"
	echo "add,op=$2,status=$3${4:-}" >"$file"
	grep -qw "$2" "$file"
}

inject_off()
{
	local REPLY

	find_disk "$1"
	echo removeall >"/sys/kernel/debug/block/$REPLY/error_injection"
}

# Every status that a caller can tell from others, of either half of a copy
injected_status()
{
	local op=$1 status errno fallbacks

	make_null f0 size=64
	pattern fill /dev/f0 1
	while read -r status errno fallbacks; do
		before /dev/f0 failed error_fallbacks emulated_bytes
		inject /dev/f0 "$op" "$status"
		device_did /dev/f0 0 0 want "$errno 0 0" rawcopy -f n /dev/f0 8M 0:1M
		device_did /dev/f0 0 0 want "0 1048576 0" rawcopy /dev/f0 16M 4M:1M
		inject_off /dev/f0
		rose_by 1 "$fallbacks" 1048576
	done <<-EOF
		NOTSUPP EOPNOTSUPP 0
		TIMEOUT ETIMEDOUT 2
		NOSPC ENOSPC 2
		TRANSPORT ENOLINK 2
		TARGET EREMOTEIO 2
		RESV_CONFLICT EBADE 2
		MEDIUM ENODATA 2
		PROTECTION EILSEQ 2
		OFFLINE ENODEV 2
		IOERR EIO 2
	EOF
	pattern check /dev/f0 1 @16M:1 4M:1M
	device_did /dev/f0 1 1 want "0 1048576 1048576" rawcopy -f n /dev/f0 8M 0:1M
}

# Copies are no reads and writes: these fail in the emulation only.
injected_reads_and_writes()
{
	make_null f0 size=64
	pattern fill /dev/f0 1
	inject /dev/f0 READ MEDIUM
	device_did /dev/f0 1 1 want "0 1048576 1048576" rawcopy /dev/f0 8M 0:1M
	queue /dev/f0 copy_max_bytes 0
	device_did /dev/f0 0 0 want "ENODATA 0 0" rawcopy /dev/f0 16M 0:1M
	inject_off /dev/f0
	inject /dev/f0 WRITE NOSPC
	device_did /dev/f0 0 0 want "ENOSPC 0 0" rawcopy /dev/f0 16M 0:1M
	queue /dev/f0 copy_max_bytes 16777216
	device_did /dev/f0 1 1 want "0 1048576 1048576" rawcopy /dev/f0 24M 0:1M
	inject_off /dev/f0
	pattern check /dev/f0 1 @8M:1 0:1M @24M:1 0:1M
}

# A leg of a stripe that can read and write, but not copy, within some sectors
injected_below()
{
	make_legs
	inject /dev/f1 COPY_OUT IOERR ,start=65664,nr_sectors=1
	pattern fill /dev/mapper/fs 1
	# The source is no destination.
	counting /dev/f0 want "0 4194304 4194304" rawcopy /dev/mapper/fs 8M 0:4M
	did 32 32
	inject_off /dev/f1
	inject /dev/f1 COPY_OUT IOERR ,start=73856,nr_sectors=1
	counting /dev/f0 want "0 4194304 4128768" rawcopy /dev/mapper/fs 8M 16M:4M
	did 32 32
	pattern check /dev/mapper/fs 1 @8M:1 16M:4M
}

# One of two fails, at random: all succeed, and both ways are taken.
injected_at_random()
{
	make_null f0 size=64
	inject /dev/f0 "$1" IOERR ,chance=2
	fault -f -n 300 -l 65536 /dev/f0 /dev/f0 >"$TMP/out"
	cat "$TMP/out"
	grep -qx 'wrong 0' "$TMP/out"
	grep -qx 'errors 0 300' "$TMP/out"
	is "$(grep -c '^errors' "$TMP/out")" 1 "kinds of results"
	[ "$(copy_stat /dev/f0 error_fallbacks)" -gt 50 ]
	[ "$(copy_stat /dev/f0 offloaded_bytes)" -gt $((50 * 65536)) ]
}

injected_nvme()
{
	pattern fill /dev/vm/big 1
	inject /dev/vm/big "$1" TRANSPORT
	device_did /dev/vm/big 0 0 want "ENOLINK 0 0" rawcopy -f n /dev/vm/big 32M 0:1M
	device_did /dev/vm/big 0 0 want "0 1048576 0" rawcopy /dev/vm/big 16M 4M:1M
	inject_off /dev/vm/big
	device_did /dev/vm/big 1 1 want "0 1048576 1048576" rawcopy -f n /dev/vm/big 8M 0:1M
	pattern check /dev/vm/big 1 @16M:1 4M:1M @8M:1 0:1M
}

# Bad blocks in the middle: the device has done what comes before them, no more.
partial_command()
{
	make_null f0 size=64 badblocks_partial_io=1
	pattern fill /dev/f0 1
	echo +16391-16391 >"$NULLB/f0/badblocks"
	device_did /dev/f0 0 0 want "EIO 0 0" rawcopy -f n /dev/f0 8M 0:3s*4+4s 32M:1M
	echo -16391-16391 >"$NULLB/f0/badblocks"
	pattern check /dev/f0 1 @8M:1 0:3s 4s:3s 8s:1s
}

if since 7.3; then
	prove "each status of a COPY_IN" injected_status COPY_IN
	prove "each status of a COPY_OUT" injected_status COPY_OUT
	prove "errors of reads and writes are the emulation's" injected_reads_and_writes
	prove "a COPY_OUT that fails on one leg, in one sector" injected_below
	prove "COPY_INs that fail at random" injected_at_random COPY_IN
	prove "COPY_OUTs that fail at random" injected_at_random COPY_OUT
	prove "a COPY_IN that fails at NVMe" injected_nvme COPY_IN
	prove "a COPY_OUT that fails at NVMe" injected_nvme COPY_OUT
	prove "a command that ends at a bad block" partial_command
fi
finish
