#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What only NVMe has: the payload of a Copy command and its timeout, aborts, paths,
# formats, fabrics.  Subsystem A has two controllers; the second one, "second", is
# behind a port from which it can be pulled.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

M=$((1 << 20))
BIG=/dev/vm/big
OTHER=/dev/vm/other

# ------------------------------------------------------------------- paths

# paths DEVICE: the hidden disks of its paths
paths()
{
	local disk path

	disk=$(disk_of "$1")
	for path in "/sys/block/${disk%n*}c"*"n${disk##*n}"; do
		[ ! -d "$path" ] || echo "${path##*/}"
	done
}

# controller_of PATH: "nvme1"
controller_of()
{
	basename "$(dirname "$(readlink -f "/sys/block/$1")")"
}

# stat_of DISK ITEM: copy_stat of a disk that has no node
stat_of()
{
	awk -v item="$2" '$1 == item { print $2 }' "/sys/block/$1/copy_stat"
}

# second_path DEVICE [NOT]: the path that is, or is not, behind the port
second_path()
{
	local path behind

	for path in $(paths "$1"); do
		behind=1
		[[ $(cat "/sys/class/nvme/$(controller_of "$path")/address") != 0000:00:* ]] || behind=
		[ "${behind:+yes}" != "${2-yes}" ] || echo "$path"
	done
}

set_policy()
{
	local file

	file=$(dirname "$(readlink -f "/sys/block/$(disk_of "$1")")")/iopolicy
	defer eval "echo $(cat "$file") >$file"
	echo "$2" >"$file"
}

# set_timeout DEVICE MS: of all its paths
set_timeout()
{
	local path file

	for path in $(paths "$1"); do
		file=/sys/block/$path/queue/io_timeout
		defer eval "echo $(cat "$file") >$file"
		echo "$2" >"$file"
	done
}

# ----------------------------------------------------------------- payload

# Number of ranges (0's based) of the Copy commands that were set up
set_up_ranges()
{
	local byte

	for byte in $(trace 'nvme_cmd_copy' |
		sed -n 's/.*cdw10=\(.. \)\{8\}\(..\).*/\2/p'); do
		echo $((0x$byte + 1))
	done
}

# mapped EVENT: lengths that were mapped to be read by an NVMe controller
mapped()
{
	trace "$1: .*dir=TO_DEVICE" | sed -n 's/.* size=\([0-9]*\).*/\1/p'
}

# As many bytes as the device reads are mapped for it: 32 for each of its ranges.
payload()
{
	local n what=page

	! since 7.3 || what=phys
	pattern fill -l 2M "$BIG" 1
	start_trace "dma:dma_map_$what" "dma:dma_unmap_$what" nvme:nvme_setup_cmd
	for n in 1 2 3 7 127 128; do
		echo >"$TRACING/trace"
		device_did "$BIG" 1 "$n" want "0 $((n * 512)) $((n * 512))" \
			rawcopy -f n "$BIG" 1M "0:1s*$n+3s"
		is "$(set_up_ranges)" "$n" "ranges of the command"
		is "$(mapped "dma_map_$what")" $((n * 32)) "bytes mapped for $n ranges"
		is "$(mapped "dma_unmap_$what")" $((n * 32)) "bytes unmapped for $n ranges"
		pattern check -l 2M "$BIG" 1 @1M:1 "0:1s*$n+3s"
		pattern fill -o 1M -l 1M "$BIG" 1
	done
}

# ---------------------------------------------------------------- timeouts

# A command has a second more for each 8 MiB: one that takes longer than what the
# queue gives to reads and writes is not given up.
long_command()
{
	local begun

	pattern fill -l 64M "$BIG" 1
	set_queue "$BIG" copy_max_bytes $((64 * M))
	set_timeout "$BIG" 1000
	dmesg -C
	slow_disk big 32000000
	begun=$SECONDS
	device_did "$BIG" 1 3 want "0 $((64 * M)) $((64 * M))" rawcopy -f n "$BIG" 64M 0:64M
	# Unless it was that slow, this has shown nothing.
	[ $((SECONDS - begun)) -ge 3 ] || fail "it took only $((SECONDS - begun)) s"
	slow_disk big 0
	is "$(messages 'timeout|reset controller|Abort')" 0 "messages about timeouts"
	pattern check -l 128M "$BIG" 1 @64M:1 0:64M
}

aborted()
{
	[ "$(messages 'opcode 0x19 .* timeout, aborting')" -gt 0 ]
}

# abort RESULT ARGS...: a copy whose command is so slow that the driver has the
# controller abort it; then QEMU may go on.
abort()
{
	local expected=$1 pid

	shift
	slow_disk big 20000
	dmesg -C
	rawcopy "$@" >"$TMP/out" &
	pid=$!
	wait_for aborted
	slow_disk big 0
	wait "$pid" || :
	is "$(cat "$TMP/out")" "$expected"
	dmesg | grep timeout
}

aborted_command()
{
	pattern fill -l 16M "$BIG" 1
	# Until it times out again, which is for the next test, the disk must be fast.
	set_timeout "$BIG" $((2000 * ${SLOWER:-1}))
	before "$BIG" failed error_fallbacks command_errors
	start_trace nvme:nvme_complete_rq
	device_did "$BIG" 1 1 abort "ETIMEDOUT 0 0" -f n "$BIG" 8M 0:1M
	# Abort Requested; or aborted by the host, if that came too late
	trace 'status=0x(7|371)$'
	[ -n "$(trace 'status=0x(7|371)$')" ]
	rose_by 1 1 1
	device_did "$BIG" 1 1 abort "0 $M 0" "$BIG" 10M 0:1M
	rose_by 1 2 2
	pattern check -l 8M "$BIG" 1
	pattern check -o 9M -l 7M "$BIG" 1 @10M:1 0:1M
	device_did "$BIG" 1 1 want "0 $M $M" rawcopy -f n "$BIG" 8M 0:1M
	pattern check -l 16M "$BIG" 1 @8M:1 0:1M @10M:1 0:1M
}

# The same, but the controller cannot abort it in time and is reset: the driver takes
# the command back by deleting its queue, which the controller reports.
reset_for_command()
{
	pattern fill -l 16M "$BIG" 1
	set_timeout "$BIG" 1000
	before "$BIG" failed command_errors
	start_trace nvme:nvme_complete_rq
	slow_disk big 100000
	dmesg -C
	device_did "$BIG" 1 1 want "ETIMEDOUT 0 0" rawcopy -f n "$BIG" 8M 0:1M
	slow_disk big 0
	trace 'status=0x(8|371)$'
	[ -n "$(trace 'status=0x(8|371)$')" ]
	[ "$(messages 'opcode 0x19 .* timeout, reset controller')" -gt 0 ]
	rose_by 1 1
	pattern check -l 8M "$BIG" 1
	pattern check -o 9M -l 7M "$BIG" 1
	device_did "$BIG" 1 1 want "0 $M $M" rawcopy -f n "$BIG" 8M 0:1M
	pattern check -l 16M "$BIG" 1 @8M:1 0:1M
}

# fault STATUS: the next command of any path that is not executed yet fails so.
fault()
{
	local path dir

	for path in $(paths "$BIG"); do
		dir=/sys/kernel/debug/$path/fault_inject
		echo 0 >"$dir/verbose"
		echo "$1" >"$dir/status"
		echo 0 >"$dir/dont_retry"
		echo 0 >"$dir/space"
		echo 1 >"$dir/times"
		defer eval "echo 0 >$dir/probability"
		echo 100 >"$dir/probability"
	done
}

# status STATUS ERROR: the error of a copy whose command ended so, without being
# repeated on this path or the other one
status()
{
	pattern fill -l 16M "$BIG" 1
	fault "$1"
	device_did "$BIG" 1 1 want "$2 0 0" rawcopy -f n "$BIG" 8M 0:64K
}

# A destination that really cannot be written: in the device, not in the host
failing_device()
{
	local disk='' dir

	for dir in /sys/block/nvme*n*; do
		[ "$(cat "$dir/nsid" 2>/dev/null)" != 9 ] || [ ! -b "/dev/${dir##*/}" ] ||
			disk=/dev/${dir##*/}
	done
	[ -n "$disk" ]
	device_did "$disk" 1 1 want "0 $M $M" rawcopy -f n "$disk" 8M 0:1M
	before "$disk" command_errors
	device_did "$disk" 1 1 want "ENODATA 0 0" rawcopy -f n "$disk" 4M 0:2M
	device_did "$disk" 1 2 want "ENODATA 0 0" rawcopy -f n "$disk" 4M 0:1M 2M:1M
	rose_by 2
	# Reads and writes fail at the same place, and what is before it is there.
	device_did "$disk" 1 1 want "ENODATA $M 0" rawcopy "$disk" 4M 0:2M
}

# ------------------------------------------------------------------- paths

# Each copy has a COPY_IN or two and a COPY_OUT, in turn by one and the other path.
two_paths()
{
	local first second before i node

	read -r first second <<<"$(paths "$BIG" | paste -sd' ')"
	set_policy "$BIG" round-robin
	pattern fill -l 64M "$BIG" 1
	before="$(stat_of "$first" commands) $(stat_of "$second" commands)"
	node=$(copy_stat "$BIG" commands)
	counting "$BIG" copy_by_turns
	did 8 12
	read -r -a before <<<"$before"
	i=$(($(stat_of "$first" commands) - before[0]))
	echo "by $first: $i"
	[ "$i" -gt 0 ]
	[ "$i" -lt 8 ]
	is $(($(stat_of "$second" commands) - before[1])) $((8 - i)) "commands by $second"
	is $(($(copy_stat "$BIG" commands) - node)) 8 "commands of the node"
	pattern check -l 64M "$BIG" 1 "${TURNS[@]}"
}

copy_by_turns()
{
	local i ranges

	TURNS=()
	for i in 0 1 2 3 4 5 6 7; do
		ranges=("${i}M:512K")
		[ $((i % 2)) -eq 0 ] || ranges=("$((i + 8))M:256K" "${i}M:256K")
		want "0 $((M / 2)) $((M / 2))" rawcopy -f n "$BIG" "$((i + 32))M" "${ranges[@]}"
		TURNS+=("@$((i + 32))M:1" "${ranges[@]}")
	done
}

# race_during COMMAND: run it while there are copies, of which none may fail.
race_during()
{
	race during -n 1 -t 4 -l 8388608 "$BIG" "$BIG" "$1" >"$TMP/race" || {
		cat "$TMP/race"
		return 1
	}
	cat "$TMP/race"
	grep -qx 'hits 1' "$TMP/race"
}

# The controller goes that half of the commands were sent to.
lost_path()
{
	local path ctrl

	set_policy "$BIG" round-robin
	path=$(second_path "$BIG")
	ctrl=$(controller_of "$path")
	slow_disk big 80000000
	device_copied "$BIG" race_during \
		"!qmp device_del id=second >/dev/null; while [ -e /sys/class/nvme/$ctrl ]; do sleep 0.1; done"
	slow_disk big 0
	is "$(paths "$BIG" | wc -l)" 1 paths
	device_did "$BIG" 1 1 want "0 $M $M" rawcopy -f n "$BIG" 128M 0:1M
	qmp device_add driver=nvme id=second bus=plug serial=vm-A subsys=subsys0 >/dev/null
	wait_for both_paths
	device_did "$BIG" 2 2 twice
}

both_paths()
{
	[ "$(paths "$BIG" | wc -l)" -eq 2 ]
}

twice()
{
	want "0 $M $M" rawcopy -f n "$BIG" 130M 0:1M
	want "0 $M $M" rawcopy -f n "$BIG" 132M 0:1M
}

# ------------------------------------------------------------------ format

# format_ns CONTROLLER NSID SIZE: through this controller, until it knows
format_ns()
{
	local index

	index=$(nvme id-ns "/dev/$1" -n "$2" -o json |
		jq --argjson size "$3" '[.lbafs[] | pow(2; .ds) == $size and .ms == 0] | index(true)')
	nvme format "/dev/$1" -n "$2" -l "$index" -f
}

# block_size_is DISK SIZE
block_size_is()
{
	[ "$(cat "/sys/block/$1/queue/logical_block_size")" = "$2" ]
}

# format_in_pause RESULT ARGS...: between COPY_IN and COPY_OUT all is formatted, and
# filled with seed 3.
format_in_pause()
{
	local expected=$1 ctrl path pid

	shift
	path=$(paths "$OTHER")
	ctrl=$(controller_of "$path")
	defer format_ns "$ctrl" 7 512
	pattern fill "$OTHER" 1
	hold_copies
	rawcopy "$@" >"$TMP/out" &
	pid=$!
	wait_for paused
	format_ns "$ctrl" 7 4096
	wait_for block_size_is "$path" 4096
	wait_for block_size_is "$(disk_of "$OTHER")" 4096
	pattern fill "$OTHER" 3
	is "$(debug_counter outs_inflight_max)" 0 "COPY_OUTs before the format"
	let_go
	wait "$pid" || :
	is "$(cat "$TMP/out")" "$expected"
}

# What is still a copy of whole blocks copies what is there now.
formatted_aligned()
{
	format_in_pause "0 $M $M" -f n "$OTHER" 32M 0:1M
	pattern check "$OTHER" 3 @32M:3 0:1M
}

# What is not aligned any more cannot be copied, nor read and written.
formatted_misaligned()
{
	counting "$OTHER" format_in_pause "$@"
	did 0 0
	pattern check "$OTHER" 3
}

# The remaining path does not know of which size the blocks are now.  With its old
# limits a range would be longer than a command can express.
formatted_by_other_path()
{
	local stale fresh ctrl

	stale=$(second_path "$BIG" '')
	fresh=$(second_path "$BIG")
	ctrl=$(controller_of "$fresh")
	format_ns "$ctrl" 1 4096
	nvme ns-rescan "/dev/$(controller_of "$stale")"
	wait_for block_size_is "$stale" 4096
	wait_for block_size_is "$fresh" 4096
	format_ns "$ctrl" 1 512
	wait_for block_size_is "$fresh" 512
	defer wait_for both_paths
	defer eval "echo 1 >/sys/bus/pci/rescan"
	echo 1 >"/sys/class/nvme/$ctrl/device/remove"
	is "$(paths "$BIG")" "$stale"
	is "$(cat "/sys/block/$stale/queue/logical_block_size")" 4096 "stale block size"

	set_queue "$BIG" copy_max_bytes $((64 * M))
	pattern fill -l 64M "$BIG" 1
	device_did "$BIG" 0 0 want "0 $((64 * M)) 0" rawcopy "$BIG" 64M 0:64M
	pattern check -l 132M "$BIG" 0 @0:1 0:64M @64M:1 0:64M
	nvme ns-rescan "/dev/$(controller_of "$stale")"
	wait_for block_size_is "$stale" 512
	device_did "$BIG" 1 3 want "0 $((64 * M)) $((64 * M))" rawcopy "$BIG" 128M 0:64M
	pattern check -l 196M "$BIG" 0 @0:1 0:64M @64M:1 0:64M @128M:1 0:64M
}

# ----------------------------------------------------------------- fabrics

NVMET=/sys/kernel/config/nvmet
NQN=nqn.test:passthru

drop_target()
{
	nvme disconnect -n "$NQN"
	rm -f "$NVMET/ports/1/subsystems/$NQN"
	echo 0 >"$NVMET/subsystems/$NQN/passthru/enable"
	rmdir "$NVMET/ports/1" "$NVMET/subsystems/$NQN"
}

# The controller of other, that can copy, once more by nvme-loop
make_target()
{
	modprobe nvme_loop
	mkdir "$NVMET/subsystems/$NQN" "$NVMET/ports/1"
	defer drop_target
	echo 1 >"$NVMET/subsystems/$NQN/attr_allow_any_host"
	echo "/dev/$1" >"$NVMET/subsystems/$NQN/passthru/device_path"
	echo 1 >"$NVMET/subsystems/$NQN/passthru/enable"
	echo loop >"$NVMET/ports/1/addr_trtype"
	ln -s "$NVMET/subsystems/$NQN" "$NVMET/ports/1/subsystems/$NQN"
	nvme connect -t loop -n "$NQN"
	wait_for fabrics_disk
}

# Sets FABRICS to the disk that came with it.
fabrics_disk()
{
	local dir

	FABRICS=
	for dir in /sys/class/nvme-subsystem/*; do
		[ "$(cat "$dir/subsysnqn")" = "$NQN" ] || continue
		dir=$(echo "$dir"/nvme*n1)
		[ ! -b "/dev/${dir##*/}" ] || FABRICS=/dev/${dir##*/}
	done
	[ -n "$FABRICS" ]
}

# oncs CONTROLLER: Optional NVM Command Support, of which bit 8 is Copy
oncs()
{
	nvme id-ctrl "/dev/$1" -o json | jq .oncs
}

# The target has Copy, and hands on what it is sent: only the host does not use it.
fabrics()
{
	local ctrl before

	ctrl=$(controller_of "$(paths "$OTHER")")
	make_target "$ctrl"
	pattern fill "$OTHER" 1
	[ $(($(oncs "$(controller_of "$(paths "$FABRICS")")") & 0x100)) -ne 0 ]
	is "$(queue "$FABRICS" copy_max_hw_bytes)" 0
	is "$(cat "/sys/block/$(paths "$FABRICS")/queue/copy_max_hw_bytes")" 0
	before=$(copy_stat "$FABRICS" emulated_bytes)
	device_did "$OTHER" 0 0 want "EOPNOTSUPP 0 0" rawcopy -f n "$FABRICS" 32M 0:1M
	device_did "$OTHER" 0 0 want "0 $M 0" rawcopy "$FABRICS" 32M 3M:512K 0:512K
	is "$(copy_stat "$FABRICS" emulated_bytes)" $((before + M))
	pattern check "$OTHER" 1 @32M:1 3M:512K 0:512K
	# By PCIe the same blocks are offloaded meanwhile.
	device_did "$OTHER" 1 1 want "0 $M $M" rawcopy -f n "$OTHER" 36M 0:1M
	pattern check "$OTHER" 1 @32M:1 3M:512K 0:512K @36M:1 0:1M
}

# cdfe CONTROLLER: the descriptor formats that the host has enabled, 2 and 3 being bits
cdfe()
{
	nvme get-feature "/dev/$1" -f 0x16 -l 512 -b | od -An -tu2 -j 4 -N 2 | tr -d ' '
}

# Host Behavior Support, by which user space could enable formats: drivers since 7.3, and
# those of some 6.12, keep it to themselves.  Either way our commands have format 0.
host_behavior()
{
	local ctrl refused=

	ctrl=$(controller_of "$(paths "$OTHER")")
	pattern fill "$OTHER" 1
	is "$(cdfe "$ctrl")" 0 "formats enabled by the driver"
	head -c 512 /dev/zero >"$TMP/feature"
	printf '\014' | dd of="$TMP/feature" bs=1 seek=4 conv=notrunc status=none
	nvme set-feature "/dev/$ctrl" -f 0x16 -l 512 -d "$TMP/feature" 2>"$TMP/why" || refused=y
	cat "$TMP/why"
	if [ -n "$refused" ] || since 7.3; then
		grep -q "Permission denied" "$TMP/why"
		is "$(cdfe "$ctrl")" 0 "formats that user space could enable"
	else
		is "$(cdfe "$ctrl")" 12 "formats enabled by user space"
	fi
	device_did "$OTHER" 1 2 want "0 $M $M" rawcopy -f n "$OTHER" 32M 3M:512K 0:512K
	printf '\0' | dd of="$TMP/feature" bs=1 seek=4 conv=notrunc status=none
	[ -n "$refused" ] || nvme set-feature "/dev/$ctrl" -f 0x16 -l 512 -d "$TMP/feature"
	pattern check "$OTHER" 1 @32M:1 3M:512K 0:512K
}

prove "the payload of a command is 32 bytes for each range" payload
prove "the formats that user space enables or not do not matter" host_behavior
prove "a long command has more time than the queue's timeout" long_command
prove "a command that the driver aborts has timed out" aborted_command
prove "a command for which the driver resets the controller has timed out" reset_for_command
prove "ETIMEDOUT for Abort Requested, without a second command" status 0x7 ETIMEDOUT
prove "ENOLINK for Aborted by Host without a timeout, without a second command" \
	status 0x371 ENOLINK
prove "ENOLINK for Submission Queue Deletion without a timeout, without a second command" \
	status 0x8 ENOLINK
prove "a command that fails in the device is sent once" failing_device
prove "two paths: counted by the path and by the node" two_paths
prove "formatted between COPY_IN and COPY_OUT, whole blocks" formatted_aligned
prove "formatted between COPY_IN and COPY_OUT, part of a block" formatted_misaligned \
	"EINVAL 0 0" "$OTHER" 32M 3s:1s
prove "formatted between COPY_IN and COPY_OUT, parts of blocks of the source" \
	formatted_misaligned "EOPNOTSUPP 0 0" -f n "$OTHER" 32M 3s:8s
prove "formatted by way of the other path" formatted_by_other_path
prove "NVMe over fabrics is emulated, though the target has Copy" fabrics
# Last: the debug kernel finds fault with how pciehp takes its locks then, and checks
# no locks from there on.
prove "a path is lost under copies" lost_path
finish
