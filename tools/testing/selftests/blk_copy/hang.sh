#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Copies that could wait for themselves or for each other end, and one whose device
# does not answer ends when it is killed, as soon as it can.
#
# A test that hangs fails after 20 s, and leaves behind what cannot be removed: so
# each has devices of its own.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

K=1024
M=$((1 << 20))
NR=0

# ended PID
ended()
{
	local state

	state=$(sed -n 's/^State:\s*//p' "/proc/$1/status" 2>/dev/null) || :
	[[ -z $state || $state == Z* ]]
}

# must_end PID WHAT: it does, soon.  If not, what it uses is never free again, and
# whoever tries to clean up would hang as well.
must_end()
{
	local task

	! wait_for ended "$1" || return 0
	for task in /proc/[0-9]*; do
		grep -qs '^State:.D' "$task/status" || continue
		echo "waits: $(cat "$task/comm")"
		cat "$task/stack" 2>/dev/null || :
	done
	forget_deferred
	fail "hangs: $2"
}

# ends OUTPUT COMMAND...: it ends by itself, and prints that
ends()
{
	local pid

	"${@:2}" >"$TMP/out" 2>&1 &
	pid=$!
	must_end "$pid" "${*:2}"
	wait "$pid" || :
	is "$(cat "$TMP/out")" "$1" "${*:2}"
}

# new_disk [ATTRIBUTE=VALUE...]: DISK, of 32 MiB, with seed 1.
new_disk()
{
	DISK=/dev/h$NR
	make_null "h$NR" size=32 "$@"
	pattern fill "$DISK" 1
}

# The loop devices of a test that hangs stay.
drop_loop()
{
	losetup -d "$1"
	wait_for test ! -s "/sys/block/${1##*/}/loop/backing_file"
}

# make_loop FILE [OPTION...]: LOOP over it
make_loop()
{
	LOOP=$(losetup --show -f "${@:2}" "$1")
	defer drop_loop "$LOOP"
}

hang()
{
	NR=$((NR + 1))
	prove "$@"
}

# ------------------------------------------------------- loops over the other end

# The worker of the loop device reads the page cache of the destination.
loop_is_source()
{
	new_disk
	make_loop "$DISK" "$@"
	pattern fill -b -o 1M -l 1M "$LOOP" 5
	ends "0 $((4 * M)) 0" rawcopy -s "$LOOP" "$DISK" "$((8 * M + 512))" 1M:4M
	# The loop device may have pages of its own, of what nobody has copied there.
	pattern check "$DISK" 1 @1M:5 1M:1M "@$((8 * M + 512)):1" 1M:4M "@$((8 * M + 512)):5" 1M:1M
}

nvme_loop_is_source()
{
	pattern fill -l 32M /dev/vm/big 1
	make_loop /dev/vm/big
	ends "0 $((4 * M)) 0" rawcopy -s "$LOOP" /dev/vm/big "$((8 * M + 512))" 1M:4M
	pattern check -l 32M /dev/vm/big 1 "@$((8 * M + 512)):1" 1M:4M
}

# The worker writes to the page cache of the source.
loop_is_destination()
{
	new_disk
	make_loop "$DISK" "$@"
	exec 9<>"$LOOP"
	pattern fill -b -o 1M -l 1M "$DISK" 5
	pattern fill -b -o 8M -l 4K "$LOOP" 6
	ends "0 $((4 * M)) 0" rawcopy -s "$DISK" "$LOOP" "$((8 * M + 512))" 1M:4M
	set -- @1M:5 1M:1M @8M:6 8M:4K "@$((8 * M + 512)):1" 1M:4M "@$((8 * M + 512)):5" 1M:1M
	pattern check -b "$LOOP" 1 "$@"
	exec 9>&-
	blockdev --flushbufs "$LOOP"
	pattern check "$DISK" 1 "$@"
}

dm_over_loop()
{
	local dm=/dev/mapper/hang$NR

	new_disk
	make_loop "$DISK"
	make_dm "hang$NR" "0 $(sectors "$LOOP") linear $LOOP 0"
	ends "0 $((4 * M)) 0" rawcopy -s "$dm" "$DISK" 8M 1M:4M
	pattern check "$DISK" 1 @8M:1 1M:4M
	ends "0 $((2 * M)) 0" rawcopy -s "$DISK" "$dm" 16M 2M:2M
	pattern check "$DISK" 1 @8M:1 1M:4M @16M:1 2M:2M
}

loop_over_loop()
{
	local lower

	new_disk
	make_loop "$DISK"
	lower=$LOOP
	make_loop "$lower"
	ends "0 $((4 * M)) 0" rawcopy -s "$LOOP" "$DISK" 8M 1M:4M
	ends "0 $((2 * M)) 0" rawcopy -s "$LOOP" "$lower" 16M 2M:2M
	pattern check "$LOOP" 1 @8M:1 1M:4M @16M:1 2M:2M
	pattern check "$DISK" 1 @8M:1 1M:4M @16M:1 2M:2M
}

# The source is a file of the file system on the destination, which uses its page
# cache and is 16 MiB; the copy goes behind it.
loop_over_file()
{
	new_disk
	mke2fs -q -F -t ext4 -b 4096 -O ^has_journal "$DISK" 16M
	mkdir -p "$TMP/mnt"
	mount -t ext4 "$DISK" "$TMP/mnt"
	defer umount "$TMP/mnt"
	truncate -s 4M "$TMP/mnt/file"
	pattern fill -b "$TMP/mnt/file" 5
	make_loop "$TMP/mnt/file" "$@"
	ends "0 $((4 * M)) 0" rawcopy -s "$LOOP" "$DISK" 20M 0:4M
	pattern check -o 16M -l 16M "$DISK" 1 @20M:5 0:4M
	ends "0 $((2 * M)) 0" rawcopy -s "$DISK" "$LOOP" 0 26M:2M
	pattern check -b "$TMP/mnt/file" 5 @0:1 26M:2M
}

# copies SRC DST OFFSET: from the first 4 MiB to there, for as long as the others
copies()
{
	local i

	for ((i = 0; i < 20; i++)); do
		rawcopy -s "$1" "$2" "$3" 0:4M
	done
}

# Each locks what it copies inside, and reads what another one has locked.
crossing()
{
	copies "$DISK" "$DISK" 4M &
	copies "$LOOP" "$LOOP" 8M &
	copies "$LOOP" "$DISK" 12M &
	copies "$DISK" "$LOOP" 16M &
	wait
}

crossing_copies()
{
	new_disk
	make_loop "$DISK"
	crossing >"$TMP/copies" &
	must_end $! "copies inside and between a disk and a loop device over it"
	# Of those inside the disk all bytes are offloaded, of the others none.
	is "$(sort "$TMP/copies" | uniq -c | tr -s ' ' | tr '\n' ,)" \
		" 60 0 4194304 0, 20 0 4194304 4194304," results
	is "$(device_copies "$DISK")" "20 20" "commands, ranges of the device"
	pattern check -l 20M "$LOOP" 1 @4M:1 0:4M @8M:1 0:4M @12M:1 0:4M @16M:1 0:4M
}

hang "a loop device over the destination is the source" loop_is_source
hang "a loop device with direct I/O over the destination is the source" \
	loop_is_source --direct-io=on
hang "a loop device over the destination is the source, NVMe" nvme_loop_is_source
hang "a loop device over the source is the destination" loop_is_destination
hang "a loop device with direct I/O over the source is the destination" \
	loop_is_destination --direct-io=on
hang "a dm device over a loop device over the other end" dm_over_loop
hang "a loop device over a loop device over the other end" loop_over_loop
hang "a loop device over a file on the other end" loop_over_file
hang "a loop device with direct I/O over a file on the other end" loop_over_file --direct-io=on
hang "copies inside and between a disk and a loop device over it, all at once" crossing_copies

# ------------------------------------------------------ the caller's own memory

# The argument lies on a page of the destination, which the copy drops, and is
# written when the copy is over.
argument_on_destination()
{
	new_disk
	if [ "$1" = two ]; then
		make_dm "hang$NR" "0 $(sectors "$DISK") linear $DISK 0"
		device_did "$DISK" 1 1 ends "0 $M $M" rawcopy -a "/dev/mapper/hang$NR" -s "$DISK" \
			"/dev/mapper/hang$NR" 512 8M:1M
	else
		device_did "$DISK" 1 1 ends "0 $M $M" rawcopy -a "$DISK" "$DISK" 512 8M:1M
	fi
	pattern check -o 512 "$DISK" 1 @512:1 8M:1M
}

hang "the argument is on a page of the destination, one disk" argument_on_destination one
hang "the argument is on a page of the destination, two disks" argument_on_destination two

# ---------------------------------------------------- a device that does not answer

# make_ends [ATTRIBUTE=VALUE...]: SRC and DST over one disk of 160 MiB; it has seed 1
# from 80 MiB on, zeroes before.
make_ends()
{
	SRC=/dev/mapper/src$NR
	DST=/dev/mapper/dst$NR
	DISK=/dev/h$NR
	make_null "h$NR" size=160 "$@"
	pattern fill -o 80M -l 80M "$DISK" 1
	make_dm "src$NR" "0 $(sectors "$DISK") linear $DISK 0"
	make_dm "dst$NR" "0 $(sectors "$DISK") linear $DISK 0"
	truncate -s 4K "$TMP/arg"
	echo 1 >"$DEBUG/counters"
}

# suspend NAME: until resume, or the end of the test
suspend()
{
	defer dmsetup resume "$1"
	dmsetup suspend --nolockfs "$1"
}

is_counter()
{
	[ "$(debug_counter "$1")" -eq "$2" ]
}

# killed_before_resume PID NAME: a kill that must wait for the device
killed_before_resume()
{
	kill -KILL "$1"
	fails ended "$1"
	dmsetup resume "$2"
	must_end "$1" "killed, and its device answers again"
	is_counter outs_inflight 0
	is_counter emulation_bios_inflight 0
}

# All commands of the first window are on their way, none of the second one is sent.
killed_offload()
{
	make_ends
	suspend "dst$NR"
	rawcopy -f n -a "$TMP/arg" -s "$SRC" "$DST" 0 80M:65M >"$TMP/out" &
	wait_for is_counter outs_inflight 4
	start_trace blk_copy:blk_copy_start
	device_did "$DISK" 4 4 killed_before_resume $! "dst$NR"
	is "$(file_copied "$TMP/arg")" $((64 * M)) "bytes copied"
	is "$(trace blk_copy_start | wc -l)" 0 "copies that began after the kill"
	pattern check -l 80M "$DISK" 0 @0:1 80M:64M
}

# What was read is perhaps written, but no more is read.
killed_emulation()
{
	local copied

	make_ends max_copy_bytes=0
	suspend "$1$NR"
	rawcopy -a "$TMP/arg" -s "$SRC" "$DST" 0 80M:65M >"$TMP/out" &
	wait_for is_counter emulation_bios_inflight 14
	start_trace blk_copy:blk_copy_start
	device_did "$DISK" 0 0 killed_before_resume $! "$1$NR"
	copied=$(file_copied "$TMP/arg")
	[ "$copied" -le $((14 * 512 * K)) ] || fail "$copied bytes were copied after the kill"
	is "$(trace blk_copy_start | wc -l)" 0 "copies that began after the kill"
	pattern check -l 80M "$DISK" 0 "@0:1:~$copied" 80M:7M
}

# A copy inside the disk holds the locks; the second one waits for them.
killed_waiter()
{
	local first second

	make_ends
	suspend "dst$NR"
	start_trace blk_copy:blk_copy_start
	rawcopy "$DST" 0 80M:1M >"$TMP/out" &
	first=$!
	wait_for grep -q blk_copy_start "$TRACING/trace"
	rawcopy -a "$TMP/arg" "$DST" 8M 80M:1M >"$TMP/out2" &
	second=$!
	# Where our own code sleeps, it is for a lock.
	wait_for grep -q '^blk_copy' "/proc/$second/wchan"
	kill -KILL "$second"
	must_end "$second" "killed while another copy holds the locks"
	is "$(file_copied "$TMP/arg")" 0 "bytes copied"
	fails ended "$first"
	dmsetup resume "dst$NR"
	must_end "$first" "the copy that held the locks"
	is "$(cat "$TMP/out")" "0 $M $M"
	is "$(device_copies "$DISK")" "1 1" "commands, ranges of the device"
	pattern check -l 80M "$DISK" 0 @0:1 80M:1M
}

# Between two disks nobody waits for the copy, or for its source.
reader_does_not_wait()
{
	local copier

	make_ends
	pattern fill -l 1M "$DISK" 3
	# What the reader has in the page cache stays there.
	exec 9<"$DST"
	suspend "src$NR"
	start_trace blk_copy:blk_copy_start
	rawcopy -s "$SRC" "$DST" 0 80M:1M >"$TMP/out" &
	copier=$!
	wait_for grep -q blk_copy_start "$TRACING/trace"
	pattern check -b -l 1M "$DST" 3 &
	must_end $! "a reader of the destination"
	wait $!
	device_did "$DISK" 1 1 ends "0 $M $M" rawcopy "$DST" 8M 90M:1M
	fails ended "$copier"
	dmsetup resume "src$NR"
	must_end "$copier" "the copy whose source was suspended"
	is "$(cat "$TMP/out")" "0 $M $M"
	is "$(device_copies "$DISK")" "2 2" "commands, ranges of the device"
	# But not what the copy has made old.
	pattern check -b -l 1M "$DST" 1 @0:1 80M:1M
	pattern check -l 80M "$DISK" 0 @0:1 80M:1M @8M:1 90M:1M
}

hang "SIGKILL of a copy whose destination does not answer" killed_offload
hang "SIGKILL of an emulated copy whose destination does not answer" killed_emulation dst
hang "SIGKILL of an emulated copy whose source does not answer" killed_emulation src
hang "SIGKILL of a copy that waits for the locks of another one" killed_waiter
hang "a source that does not answer stops no reader of the destination" reader_does_not_wait
finish
