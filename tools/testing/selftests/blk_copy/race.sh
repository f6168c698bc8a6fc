#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Copies while what is below them changes or goes away; see race.c.  Every test
# says how often the change met a copy that was in flight, and 0 is a failure.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

SLOW="irqmode=2 completion_nsec=2000000"

# value NAME: of the lines that race prints
value()
{
	awk -v name="$1" '$1 == name { print $2 }' "$TMP/race"
}

# race_hits COMMAND...: run it; what it printed stays for value.
race_hits()
{
	local rc=0

	race "$@" >"$TMP/race" 2>&1 || rc=$?
	cat "$TMP/race"
	[ "$rc" -eq 0 ] && [ "$(value hits)" -gt 0 ]
}

# say NAME...: show some values, also of a test that passes
say()
{
	local name

	[ -e "$TMP/race" ] || return 0
	for name in "$@"; do
		echo "#   $name: $(value "$name")"
	done
	rm "$TMP/race"
}

swap_in_pause()
{
	make_null r0 size=64
	device_copied /dev/r0 race_hits reload -n "$2" -k "$1" /dev/r0
}

nvme_swap_in_pause()
{
	device_copied /dev/vm/big race_hits reload -n "$2" -k "$1" /dev/vm/big
}

# A slow disk, so that the command runs when the table changes.
swap_under_command()
{
	slow_disk big 25000000
	device_copied /dev/vm/big race_hits reload -n "$2" -k "$1" -o /dev/vm/big
}

target_in_pause()
{
	make_null r0 size=64
	device_copied /dev/r0 race_hits target -n "$1" /dev/r0
}

nvme_target_in_pause()
{
	device_copied /dev/vm/big race_hits target -n "$1" /dev/vm/big
}

target_under_command()
{
	slow_disk big 25000000
	device_copied /dev/vm/big race_hits target -n "$1" -o /dev/vm/big
}

again()
{
	make_null r0 size=64
	race_hits again -n "$2" -k "$1" /dev/r0
}

# interrupted_suspend STACK RANGES: QEMU takes long for the one command, so that
# the suspend is over before it.
interrupted_suspend()
{
	slow_disk big 3000000
	device_did /dev/vm/big 1 "$2" race_hits interrupt -n 1 -k "$1" /dev/vm/big
}

suspend_under()
{
	make_null r0 size=64
	device_copied /dev/r0 race_hits suspend -n "$3" -k "$1" -f "$2" /dev/r0
	[ "$(value stale)" -gt 0 ]
}

nvme_suspend_under()
{
	device_copied /dev/vm/big race_hits suspend -n "$3" -k "$1" -f "$2" /dev/vm/big
	[ "$(value stale)" -gt 0 ]
}

# kill_in SRC DST ROUNDS: each copy that a signal met has ended with EINTR.
kill_in()
{
	local interrupted

	start_trace blk_copy:blk_copy_done
	race_hits kill -n "$3" "$1" "$2"
	interrupted=$(trace 'blk_copy_done: .* error -4$' | wc -l)
	is "$(trace 'blk_copy_done: .* error -[0-9]+$' | wc -l)" "$interrupted" \
		"copies with an error, and copies that were interrupted"
	[ "$interrupted" -ge "$(value hits)" ]
}

# Where there is a limit on throughput, however high, the core copies in small
# chunks, and a copy can be stopped between them.
small_chunks()
{
	echo +io >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p /sys/fs/cgroup/race
	defer rmdir /sys/fs/cgroup/race
	echo "$(cat "/sys/block/$(disk_of "$1")/dev") wbps=100000000000" \
		>/sys/fs/cgroup/race/io.max
}

# The copier sleeps until something ends.
kill_offload()
{
	small_chunks /dev/vm/big
	slow_disk big 400000000
	device_copied /dev/vm/big kill_in /dev/vm/big /dev/vm/big 6
	grep -qE 'copied, [1-9][0-9]* offloaded' "$TMP/race"
}

kill_emulation()
{
	slow_disk other 150000000
	counting /dev/vm/other kill_in /dev/vm/big /dev/vm/other 6
	did 0 0
	grep -q ' 0 offloaded' "$TMP/race"
}

# The copier never sleeps: null_blk works in the thread that submits.
kill_busy_offload()
{
	make_null r0 size=192
	small_chunks /dev/r0
	device_copied /dev/r0 kill_in /dev/r0 /dev/r0 5
}

kill_busy_emulation()
{
	make_null r0 size=192 max_copy_bytes=0
	kill_in /dev/r0 /dev/r0 5
}

reset_controller()
{
	local ctrl

	slow_disk big 60000000
	ctrl=$(basename "$(realpath /dev/vm/big)")
	ctrl=/sys/class/nvme/${ctrl%n*}
	race_hits during -n 4 -l 8388608 "/dev/vm/$1" "/dev/vm/$2" \
		"$ctrl/reset_controller=1"
	is "$(cat "$ctrl/state")" live state
}

# reset_under_offload TO: some commands were aborted, and these copies emulated; then all is as before.
reset_under_offload()
{
	local before

	before=$(copy_stat "/dev/vm/$1" error_fallbacks)
	device_copied "/dev/vm/$1" reset_controller big "$1"
	[ "$(copy_stat "/dev/vm/$1" error_fallbacks)" -gt "$before" ]
	device_did "/dev/vm/$1" 1 1 \
		want "0 1048576 1048576" rawcopy -f n -s /dev/vm/big "/dev/vm/$1" 100M 0:1M
}

# remove_null LIMIT: by their COPY_OUTs the devices were at work, or not at all.
remove_null()
{
	local i sum=0 outs=0

	for i in 1 2 3 4; do
		# shellcheck disable=SC2086
		make_null "g$i" size=48 "max_copy_bytes=$1" $SLOW
		race_hits during -n 1 -e EIO,EINVAL -l 8388608 "/dev/g$i" "/dev/g$i" \
			"$NULLB/g$i/power=0"
		sum=$((sum + $(value hits)))
		outs=$((outs + $(value outs)))
		fails test -e "/sys/block/g$i"
	done
	[ "$sum" -ge 4 ]
	is "$outs" "$(($1 > 0 ? sum : 0))" "hits while a COPY_OUT was at a device"
}

# A disk goes in the pause between COPY_IN and COPY_OUT.
remove_null_in_pause()
{
	make_null g5 size=48
	pause_ms 4000
	echo 1 >"$DEBUG/counters"
	rawcopy /dev/g5 16M 0:8M >"$TMP/out" &
	wait_for paused
	echo 0 >"$NULLB/g5/power"
	is "$(debug_counter outs_inflight_max)" 0 "COPY_OUTs before the removal"
	fails wait $!
	is "$(cat "$TMP/out")" "EIO 0 0"
	is "$(debug_counter outs_inflight)" 0
}

remove_scsi()
{
	race_hits during -n 1 -e EIO,ENODEV,EINVAL -l 8388608 /dev/vm/sdb /dev/vm/sdb \
		"/sys/block/$(basename "$(realpath /dev/vm/sdb)")/device/delete=1"
}

# The namespace is detached by a command to the controller, which tells the host.
# Until then reads and writes get Invalid Namespace, which is EOPNOTSUPP.
remove_namespace()
{
	local ctrl disk commands

	disk=$(basename "$(realpath /dev/vm/other)")
	ctrl=/dev/${disk%n*}
	commands=$(grep -c "pci_nvme_copy .* nsid 7 " /run/vm/trace || true)
	race_hits during -n 1 -e EIO,EOPNOTSUPP,EINVAL -l 8388608 /dev/vm/other /dev/vm/other \
		"!nvme detach-ns $ctrl -n 7 -c 0 >/dev/null"
	wait_for test ! -e "/sys/block/$disk"
	# While it ran; the disk is not there any more to be asked.
	[ "$(value outs)" -gt 0 ]
	[ "$(grep -c "pci_nvme_copy .* nsid 7 " /run/vm/trace)" -gt "$commands" ]
}

# limit_to_zero_and_back DEVICE LENGTH LIMIT: again until copies went both ways
limit_to_zero_and_back()
{
	local end=$((SECONDS + 60)) hits=0 offloaded=0 emulated=0 commands=0

	until [ "$offloaded" -gt 0 ] && [ "$emulated" -gt 0 ]; do
		[ "$SECONDS" -lt "$end" ] || fail "all copies went the same way, in $hits hits"
		counting "$1" race_hits during -n 60 -g 3 -l "$2" "$1" "$1" \
			"/sys/block/$(disk_of "$1")/queue/copy_max_bytes=0,$3"
		hits=$((hits + $(value hits)))
		offloaded=$((offloaded + $(value offloaded)))
		emulated=$((emulated + $(value emulated)))
		commands=$((commands + DID_COMMANDS))
	done
	[ "$commands" -gt 0 ]
	printf '%s %d\n' hits "$hits" offloaded "$offloaded" emulated "$emulated" \
		commands "$commands" >"$TMP/race"
}

null_limit_to_zero()
{
	# shellcheck disable=SC2086
	make_null r0 size=128 $SLOW
	limit_to_zero_and_back /dev/r0 4194304 16777216
}

for kind in linear nested inner; do
	prove "null_blk, $kind stack: no data of an area that was unmapped in the pause" \
		swap_in_pause "$kind" 15
	say hits
done
prove "NVMe, nested stack: no data of an area that was unmapped in the pause" \
	nvme_swap_in_pause nested 8
say hits
for kind in linear inner; do
	prove "NVMe, $kind stack: a table waits for the command that relies on it" \
		swap_under_command "$kind" 8
	say hits
done
prove "null_blk: a copy goes where the new table of its destination points" \
	target_in_pause 8
say hits
prove "NVMe: a copy goes where the new table of its destination points" \
	nvme_target_in_pause 6
say hits
prove "NVMe: commands to the old destination end before the table is swapped" \
	target_under_command 8
say hits
for kind in linear inner; do
	prove "null_blk, $kind stack: EAGAIN, and nothing written, if tables change for ever" \
		again "$kind" 4
	say hits
done
prove "NVMe: a signal ends a suspend that waits for a command" interrupted_suspend linear 16
say hits
prove "NVMe, inner stack: a signal ends a suspend that waits for a command" \
	interrupted_suspend inner 64
say hits
for flag in none nolockfs noflush; do
	prove "null_blk: suspend ($flag) under copies" suspend_under linear "$flag" 60
	say hits stale copies
done
prove "null_blk, nested: suspend of each level under copies" \
	suspend_under nested none 60
say hits stale copies
prove "NVMe, nested: suspend without flush of each level under copies" \
	nvme_suspend_under inner noflush 40
say hits stale copies
prove "SIGKILL in the middle of an offloaded copy" kill_offload
say hits
prove "SIGKILL in the middle of an emulated copy" kill_emulation
say hits
prove "SIGKILL in the middle of an offloaded copy that never sleeps" kill_busy_offload
say hits
prove "SIGKILL in the middle of an emulated copy that never sleeps" kill_busy_emulation
say hits
prove "limit set to 0 and back under copies inside null_blk" null_limit_to_zero
say hits offloaded emulated commands
prove "limit set to 0 and back under copies inside NVMe" \
	limit_to_zero_and_back /dev/vm/big2 4194304 16777216
say hits offloaded emulated commands
prove "controller reset under copies inside a namespace" reset_under_offload big
say hits copies offloaded emulated
# Not between two: QEMU 10 aborts when it takes such a command back that is being
# executed ("cookie->type < BLOCK_MAX_IOTYPE").
prove "controller reset under emulated copies" reset_controller big other
say hits copies offloaded emulated
prove "null_blk removed under its copies" remove_null 16777216
prove "null_blk removed under its emulated copies" remove_null 0
prove "null_blk removed between COPY_IN and COPY_OUT" remove_null_in_pause
prove "SCSI disk deleted under copies" remove_scsi
prove "namespace detached under copies" remove_namespace
finish
