#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The io_uring command: many copies of one thread in flight, each completion once,
# rings that go away meanwhile, and every kind of ring.  What its argument may be
# and what it must not, and the page cache, are tested by uapi.sh and cache.sh with
# DOOR=uring.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

# results PATTERN: what uring has printed
results()
{
	# shellcheck disable=SC2053 # a pattern
	[[ $(cat "$TMP/out") == $1 ]] || {
		echo "uring printed '$(cat "$TMP/out")', should be '$1'"
		return 1
	}
}

# copy_many ARGS...: uring, its output for results
copy_many()
{
	uring "$@" >"$TMP/out" 2>&1
}

# begin_many ARGS...: in the background; returns when all are submitted.  go_on lets
# it reap, and waits for it.
begin_many()
{
	rm -f "$TMP/go"
	mkfifo "$TMP/go"
	uring -w "$@" <"$TMP/go" >"$TMP/out" 2>&1 &
	PID=$!
	exec 8>"$TMP/go"
	wait_for grep -q ^submitted "$TMP/out"
}

go_on()
{
	echo >&8
	exec 8>&-
	wait "$PID"
	sed -i /^submitted/d "$TMP/out"
}

# release_all: what is held goes on, and uring reaps it.
release_all()
{
	let_go
	go_on
}

# all_held N: so many copies wait in their pause.
all_held()
{
	[ "$(debug_counter pauses)" -eq "$1" ]
}

# hold_many N ARGS...: so many copies inside /dev/d0, each stopped in its pause
hold_many()
{
	make_null d0 size=64
	pattern fill /dev/d0 1
	hold_copies
	begin_many "${@:2}"
	wait_for all_held "$1"
}

# Held between COPY_IN and COPY_OUT: all are submitted, none can be over.
many_in_flight()
{
	hold_many 64 /dev/d0 32M 0 512K 64
	is "$(debug_counter outs_inflight)" 0 "COPY_OUTs in flight"
	counting /dev/d0 release_all
	did 64 64
	results "64\*0 copied 33554432 offloaded 33554432 most 64 *"
	pattern check /dev/d0 1 @32M:1 0:32M
	idle
}

# The same where the device takes its time
commands_in_flight()
{
	pattern fill -l 64M /dev/vm/big 1
	echo 1 >"$DEBUG/counters"
	slow_disk big 67108864
	device_did /dev/vm/big 32 32 copy_many -f n /dev/vm/big 100M 0 1M 32
	slow_disk big 0
	results "32\*0 copied 33554432 offloaded 33554432 most 32 *"
	at_least "$(debug_counter outs_inflight_max)" 16 "COPY_OUTs in flight"
	pattern check -o 100M -l 32M /dev/vm/big 0 @100M:1 0:32M
	idle
}

emulated_in_flight()
{
	make_null d0 size=64 max_copy_bytes=0
	pattern fill /dev/d0 1
	device_did /dev/d0 0 0 copy_many /dev/d0 32M 0 512K 64
	results "64\*0 copied 33554432 offloaded 0 most 64 *"
	pattern check /dev/d0 1 @32M:1 0:32M
	idle
}

# Longer than a window, of which each is a copy of its own
many_windows()
{
	make_null d0 size=512
	make_null d1 size=512
	pattern fill -l 300M /dev/d0 1
	device_did /dev/d1 0 0 copy_many -s /dev/d0 /dev/d1 1M 0 300M 1
	results "1\*0 copied 314572800 offloaded 0 most 1 *"
	pattern check -l 302M /dev/d1 0 @1M:1 0:300M
	device_copied /dev/d0 copy_many -f n /dev/d0 302M 1M 200M 1
	results "1\*0 copied 209715200 offloaded 209715200 most 1 *"
	pattern check -o 302M -l 200M /dev/d0 0 @302M:1 1M:200M
	idle
}

for_each_ring()
{
	local kind how

	make_null d0 size=64
	for kind in "" "-r sqpoll" "-r defer"; do
		for how in "" fixed async; do
			pattern fill /dev/d0 1
			# shellcheck disable=SC2086
			device_did /dev/d0 32 32 copy_many $kind -o "$how" /dev/d0 32M 0 512K 32
			results "32\*0 copied 16777216 offloaded 16777216 most 32 *"
			pattern check /dev/d0 1 @32M:1 0:16M
		done
	done
	idle
}

# one_by_one HOW: the nth copies what the one before it has written.
one_by_one()
{
	make_null d0 size=64
	pattern fill /dev/d0 1
	device_did /dev/d0 31 31 copy_many -o "$1" /dev/d0 1M 0 1M 31
	results "31\*0 copied 32505856 *"
	for ((i = 1; i < 32; i++)); do
		pattern check -o "${i}M" -l 1M /dev/d0 1 "@${i}M:1" 0:1M
	done
	idle
}

links()
{
	one_by_one links
	# Behind one that fails nothing is done.
	pattern fill /dev/d0 1
	device_did /dev/d0 10 10 copy_many -o links -b 10 /dev/d0 1M 0 1M 31
	results "10\*0 1\*EINVAL 20\*ECANCELED copied 10485760 *"
	pattern check -o 11M -l 53M /dev/d0 1
	idle
}

refused_fields()
{
	local field

	make_null d0 size=64
	pattern fill /dev/d0 1
	for field in ioprio len flags index buffer addr3 pad2; do
		counting /dev/d0 copy_many -b 3 -z "$field" /dev/d0 32M 0 512 8
		did 7 7
		results "7\*0 1\*EINVAL copied 3584 *"
	done
	pattern check /dev/d0 1 @32M:1 0:1536 @33556480:1 2048:2048
}

# What was copied cannot be said.
unmapped_argument()
{
	hold_many 32 -u /dev/d0 32M 0 512K 32
	counting /dev/d0 release_all
	did 32 32
	results "32\*EFAULT *"
	pattern check /dev/d0 1 @32M:1 0:16M
	idle
}

# Nothing that is in flight is lost, and nobody's file stays open.
ring_ends()
{
	hold_many 32 -x /dev/d0 32M 0 1M 32
	echo >&8
	exec 8>&-
	let_go
	wait "$PID"
	wait_for idle
	# Each block is old or new; by then nobody writes any more.
	for ((i = 0; i < 32; i++)); do
		pattern check -o "$((32 + i))M" -l 1M /dev/d0 1 ||
			pattern check -o "$((32 + i))M" -l 1M /dev/d0 1 "@$((32 + i))M:1" "${i}M:1M"
	done
	pattern check -l 32M /dev/d0 1
	drop_null d0
}

ring_killed()
{
	hold_many 32 /dev/d0 32M 0 1M 32
	kill -KILL "$PID"
	let_go
	wait "$PID" || :
	exec 8>&-
	wait_for idle
	pattern check -l 32M /dev/d0 1
	drop_null d0
}

# What was submitted is nobody's any more, and may be something else by now.
ring_closed()
{
	hold_many 32 -e /dev/d0 32M 0 1M 32
	echo >&8
	wait_for grep -q ^closed "$TMP/out"
	let_go
	wait_for nothing_is_copied
	go_on
	results "closed*untouched 32"
	pattern check -l 32M /dev/d0 1
	drop_null d0
}

# The copies of a thread that ends go on, and its results come without their bytes.
thread_ends()
{
	hold_many 32 -p /dev/d0 32M 0 1M 32
	counting /dev/d0 release_all
	did 32 32
	results "32\*ECANCELED copied 0 offloaded 0 *"
	pattern check /dev/d0 1 @32M:1 0:32M
	idle
}

# Nobody polls for them.
polled_ring()
{
	make_null d0 size=64
	pattern fill /dev/d0 1
	if since 7.3; then
		device_did /dev/d0 32 32 copy_many -r iopoll /dev/d0 32M 0 512K 32
		results "32\*0 copied 16777216 offloaded 16777216 *"
		pattern check /dev/d0 1 @32M:1 0:16M
	else
		device_did /dev/d0 0 0 copy_many -r iopoll /dev/d0 32M 0 512K 32
		results "32\*EOPNOTSUPP copied 0 *"
	fi
	idle
}

# Nor is anything for longer than windows of all copies take: between two commands nothing
# is in flight either, and bytes count when a window ends.
nothing_is_copied()
{
	local before

	before=$(copy_stat /dev/d0 offloaded_bytes)
	idle || return
	sleep 3
	idle && [ "$(copy_stat /dev/d0 offloaded_bytes)" = "$before" ]
}

# Long calls are cut short: of 32 GiB hardly anything is copied.
ring_cancels()
{
	make_null d0 size=131072 max_copy_bytes=1048576
	hold_copies
	begin_many -x /dev/d0 64G 0 2G 32
	wait_for paused
	kill -KILL "$PID"
	let_go
	wait "$PID" || :
	exec 8>&-
	wait_for nothing_is_copied
	[ "$(copy_stat /dev/d0 offloaded_bytes)" -lt $((32 << 30)) ] ||
		fail "$(copy_stat /dev/d0 offloaded_bytes) bytes were copied after the end"
	drop_null d0
}

cancel_register()
{
	make_null d0 size=64
	pattern fill /dev/d0 1
	copy_many -c /dev/d0 32M 0 512K 64
	results "64\*0 copied 33554432 *"
	pattern check /dev/d0 1 @32M:1 0:32M
	idle
}

# Each that ends makes room for the next, for a while.
stress()
{
	make_null d0 size=64 irqmode=1
	pattern fill /dev/d0 1
	copy_many -t 5 -q 64 /dev/d0 32M 0 64K 64
	cp "$TMP/out" "$TMP/stress"
	results "*[0-9]\*0 copied * most 64 *"
	[[ $(cat "$TMP/out") != *E* ]]
	for ((i = 0; i < 64; i++)); do
		pattern check -o "$((32768 + i * 64))K" -l 64K /dev/d0 1 "@$((32768 + i * 64))K:1" 0:64K
	done
	idle
}

# Dirty pages of both ends: a worker waits for them, not the thread.
dirty_pages()
{
	no_flusher
	make_null d0 size=64
	pattern fill /dev/d0 1
	exec 9<>/dev/d0
	pattern fill -b -l 16M /dev/d0 5
	pattern fill -b -o 32M -l 16M /dev/d0 6
	device_did /dev/d0 32 32 copy_many -f n /dev/d0 32M 0 512K 32
	results "32\*0 copied 16777216 offloaded 16777216 *"
	pattern check -b /dev/d0 1 @0:5 0:16M @32M:5 0:16M
	pattern check /dev/d0 1 @0:5 0:16M @32M:5 0:16M
	idle
}

prove "64 copies of one thread are in flight" many_in_flight
prove "32 copies of one thread are in flight on NVMe" commands_in_flight
prove "64 emulated copies of one thread" emulated_in_flight
prove "copies of more than a window" many_windows
prove "every kind of ring, registered files, IOSQE_ASYNC" for_each_ring
prove "linked copies are made one after the other" links
prove "fields of the SQE that must be 0" refused_fields
prove "results that cannot be written back give EFAULT" unmapped_argument
prove "a ring that ends while copies are in flight" ring_ends
prove "a task that is killed while copies are in flight" ring_killed
prove "a ring that ends cuts long copies short" ring_cancels
prove "a ring that ends writes nothing to a program that goes on" ring_closed
prove "copies of a thread that ends" thread_ends
prove "a ring for polling" polled_ring
prove "drained copies wait for those before them" one_by_one drains
prove "cancelling requests one by one loses no completion" cancel_register
prove "a stream of copies, 64 in flight" stress
sed 's/^/#   /' "$TMP/stress"
prove "dirty pages of source and destination" dirty_pages
finish
