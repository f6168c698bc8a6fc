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
BIG2=/dev/vm/big2
OTHER=/dev/vm/other
OTHER2=/dev/vm/other2

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

no_fault()
{
	local path

	for path in $(paths "$BIG"); do
		echo 0 >"/sys/kernel/debug/$path/fault_inject/probability"
	done
}

# statuses REFUSED ERROR CODE...: what each of them comes to, where emulation is
# forbidden and where it is not.  REFUSED is 1 if the device only cannot copy: then
# nothing is wrong, and nothing is counted as an error.
statuses()
{
	local refused=$1 error=$2 code seed=1 from=()

	shift 2
	pattern fill -l 16M "$BIG" 1
	if [ "$1" = -s ]; then
		from=(-s "$2")
		seed=2
		pattern fill -l 16M "$2" "$seed"
		shift 2
	fi
	for code; do
		echo "status $code"
		before "$BIG" failed error_fallbacks command_errors
		fault "$code"
		device_did "$BIG" 1 1 want "$error 0 0" rawcopy -f n "${from[@]}" "$BIG" 8M 0:64K
		no_fault
		rose_by 1 $((1 - refused)) $((1 - refused))
		# The device has copied and then the status was changed: undo it.
		pattern fill -o 8M -l 64K "$BIG" 3
		before "$BIG" failed error_fallbacks command_errors
		fault "$code"
		device_did "$BIG" 1 1 want "0 65536 0" rawcopy "${from[@]}" "$BIG" 8M 0:64K
		no_fault
		rose_by 0 $((1 - refused)) $((1 - refused))
		pattern check -l 16M "$BIG" 1 "@8M:$seed" 0:64K
	done
}

# The driver took it back from a controller that goes on: nobody knows whether it is
# executed later, and so nobody may read and write instead.
taken_back()
{
	pattern fill -l 16M "$BIG" 1
	before "$BIG" failed emulated_bytes error_fallbacks command_errors
	fault 0x371
	device_did "$BIG" 1 1 want "ENOLINK 0 0" rawcopy "$BIG" 8M 0:64K
	no_fault
	rose_by 1 0 1 1
}

# No access at present by this path: sent once more, by whichever has it then.
no_access()
{
	local code

	pattern fill -l 16M "$BIG" 1
	for code; do
		echo "status $code"
		before "$BIG" failed error_fallbacks command_errors commands
		fault "$code"
		device_did "$BIG" 2 2 want "0 65536 65536" rawcopy -f n "$BIG" 8M 0:64K
		no_fault
		rose_by 0 0 0 1
		pattern check -l 16M "$BIG" 1 @8M:1 0:64K
	done
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
	# Not before QEMU has finished with the one that was pulled
	wait_for qmp device_add driver=nvme id=second bus=plug serial=vm-A subsys=subsys0
	wait_for both_paths
	device_did "$BIG" 2 2 twice
}

limits_of_node()
{
	queue "$BIG" copy_max_hw_bytes
	queue "$BIG" copy_max_segments
	queue "$BIG" copy_max_segment_bytes
	queue "$BIG" copy_domain
}

# The path goes by which the COPY_IN came: the COPY_OUT takes the other one.
lost_path_in_pause()
{
	local path ctrl pid limits

	limits=$(limits_of_node)
	pattern fill -l 64M "$BIG" 1
	set_policy "$BIG" numa
	device_did "$BIG" 1 1 want "0 $M $M" rawcopy -f n "$BIG" 48M 0:1M
	for path in $(paths "$BIG"); do
		[ "$(stat_of "$path" commands)" -eq 0 ] || break
	done
	hold_copies
	rawcopy -f n "$BIG" 32M 0:1M 4M:1M >"$TMP/out" &
	pid=$!
	wait_for paused
	ctrl=$(controller_of "$path")
	defer wait_for both_paths
	defer eval "echo 1 >/sys/bus/pci/rescan"
	echo 1 >"/sys/class/nvme/$ctrl/device/remove"
	is "$(paths "$BIG" | wc -l)" 1 paths
	is "$(limits_of_node)" "$limits" "limits with one path"
	counting "$BIG" release "$pid"
	did 1 2
	is "$(cat "$TMP/out")" "0 $((2 * M)) $((2 * M))"
	pattern check -l 64M "$BIG" 1 @48M:1 0:1M @32M:1 0:1M 4M:1M
	echo 1 >/sys/bus/pci/rescan
	wait_for both_paths
	is "$(limits_of_node)" "$limits" "limits with two paths again"
}

release()
{
	let_go
	wait "$1"
}

# Copies from a namespace that one of the two controllers does not have: those by the
# other one are offloaded, those by this one read and written; none is lost.
source_on_one_path()
{
	local ctrl

	set_policy "$BIG" round-robin
	pattern fill "$BIG2" 2
	pattern fill -l 64M "$BIG" 1
	ctrl=$(controller_of "$(second_path "$BIG2")")
	defer wait_for has_paths "$BIG2" 2
	defer nvme attach-ns "/dev/$ctrl" -n 6 -c "$(cat "/sys/class/nvme/$ctrl/cntlid")"
	nvme detach-ns "/dev/$ctrl" -n 6 -c "$(cat "/sys/class/nvme/$ctrl/cntlid")"
	wait_for has_paths "$BIG2" 1
	device_copied "$BIG" copy_sixteen -f n >"$TMP/by_turns"
	sort "$TMP/by_turns" | uniq -c
	grep -qx "0 262144 262144" "$TMP/by_turns"
	grep -qx "EOPNOTSUPP 0 0" "$TMP/by_turns"
	copy_sixteen >"$TMP/by_turns"
	is "$(grep -cE '^0 262144 (0|262144)$' "$TMP/by_turns")" 16 "copies where emulation may be"
	pattern check -l 64M "$BIG" 1 @32M:2 1M:4M
}

has_paths()
{
	[ "$(paths "$1" | wc -l)" -eq "$2" ]
}

copy_sixteen()
{
	local i

	for ((i = 0; i < 16; i++)); do
		rawcopy "$@" -s "$BIG2" "$BIG" "$((32768 + i * 256))K" "$((1024 + i * 256))K:256K" || :
	done
}

# What may have changed since COPY_IN is asked again.
switched_in_pause()
{
	local file pid

	file=/sys/block/$(disk_of "$1")/copy_across_namespaces
	defer eval "echo 1 >$file"
	pattern fill "$BIG2" 2
	pattern fill -l 64M "$BIG" 1
	hold_copies
	rawcopy -f n -s "$BIG2" "$BIG" 32M 0:1M >"$TMP/out" &
	pid=$!
	wait_for paused
	echo 0 >"$file"
	counting "$BIG" release "$pid" || :
	did 0 0
	is "$(cat "$TMP/out")" "EOPNOTSUPP 0 0"
	pattern check -l 64M "$BIG" 1
	echo 1 >"$file"
	device_did "$BIG" 1 1 want "0 $M $M" rawcopy -f n -s "$BIG2" "$BIG" 32M 0:1M
	pattern check -l 64M "$BIG" 1 @32M:2 0:1M
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
	local stale fresh ctrl limits

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
	# They are those of the one path that is left, where a range is longer.
	is "$(queue "$BIG" copy_max_segment_bytes)" $((65535 * 4096)) "the node's limit of a range"
	limits=$(cd "/sys/block/$stale/queue" && cat copy_max_hw_bytes copy_max_segments \
		copy_max_segment_bytes copy_domain)
	# But for the size of a block, by which the domain ends
	is "$(limits_of_node | sed 's/-.*//')" "${limits%%-*}" "limits of the node"

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

# make_target TRANSPORT CONTROLLER: the controller of other once more, which has Copy and
# executes what it is sent
make_target()
{
	local port=$NVMET/ports/1

	modprobe "nvme_$1"
	modprobe "nvmet_$1" 2>/dev/null || :
	mkdir "$NVMET/subsystems/$NQN" "$port"
	defer drop_target
	echo 1 >"$NVMET/subsystems/$NQN/attr_allow_any_host"
	echo "/dev/$2" >"$NVMET/subsystems/$NQN/passthru/device_path"
	echo 1 >"$NVMET/subsystems/$NQN/passthru/enable"
	echo "$1" >"$port/addr_trtype"
	if [ "$1" = tcp ]; then
		ip link set lo up
		echo ipv4 >"$port/addr_adrfam"
		echo 127.0.0.1 >"$port/addr_traddr"
		echo 4420 >"$port/addr_trsvcid"
	fi
	ln -s "$NVMET/subsystems/$NQN" "$port/subsystems/$NQN"
	if [ "$1" = tcp ]; then
		nvme connect -t tcp -n "$NQN" -a 127.0.0.1 -s 4420
	else
		nvme connect -t "$1" -n "$NQN"
	fi
	wait_for fabrics_disk
}

# Sets FABRICS and FABRICS2 to the disks that came with it: other and other2.
fabrics_disk()
{
	local dir

	FABRICS=
	FABRICS2=
	for dir in /sys/class/nvme-subsystem/*/nvme*n*; do
		[ -b "/dev/${dir##*/}" ] || continue
		[ "$(cat "${dir%/*}/subsysnqn")" = "$NQN" ] || continue
		case $(cat "$dir/nsid") in
		7) FABRICS=/dev/${dir##*/} ;;
		10) FABRICS2=/dev/${dir##*/} ;;
		esac
	done
	[ -n "$FABRICS" ] && [ -n "$FABRICS2" ]
}

# fabrics TRANSPORT: a command goes all the way to the device that is behind the target.
fabrics()
{
	make_target "$1" "$(controller_of "$(paths "$OTHER")")"
	pattern fill "$OTHER" 1
	is "$(queue "$FABRICS" copy_max_hw_bytes)" "$(queue "$OTHER" copy_max_hw_bytes)"
	before "$FABRICS" offloaded_bytes emulated_bytes commands
	device_did "$OTHER" 1 2 want "0 $M $M" rawcopy -f n "$FABRICS" 32M 3M:512K 0:512K
	# As many ranges as there can be: more than fits into the capsule.
	device_did "$OTHER" 1 128 want "0 65536 65536" rawcopy -f n "$FABRICS" 36M "1M:512*128+1K"
	rose_by $((M + 65536)) 0 2
	# From another namespace, which the target has asked its controller to accept
	pattern fill "$OTHER2" 2
	is "$(cdfe "$(controller_of "$(paths "$FABRICS")")")" 4 "formats enabled"
	is "$(queue "$FABRICS" copy_domain)" "$(queue "$FABRICS2" copy_domain)"
	device_did "$OTHER" 1 1 want "0 $M $M" rawcopy -f n -s "$FABRICS2" "$FABRICS" 38M 1M:1M
	pattern check "$OTHER" 1 @32M:1 3M:512K 0:512K @36M:1 "1M:512*128+1K" @38M:2 1M:1M
}

# The host gives a command up, and the target executes it all the same, later: so nobody
# may have read and written instead.  Not with nvme-loop, which does not survive a command
# that its target ends behind a reset, whichever command that is.
fabrics_lost()
{
	local ctrl pid

	make_target tcp "$(controller_of "$(paths "$OTHER")")"
	ctrl=$(controller_of "$(paths "$FABRICS")")
	pattern fill "$OTHER" 1
	before "$FABRICS" failed emulated_bytes error_fallbacks command_errors
	echo 1 >"$DEBUG/counters"
	slow_disk other 20000
	rawcopy "$FABRICS" 32M 0:1M >"$TMP/out" &
	pid=$!
	wait_for running
	# Has come to the device, which would take 50 s or more.
	sleep 0.5
	(echo 1 >"/sys/class/nvme/$ctrl/reset_controller") 2>/dev/null &
	wait "$pid" || :
	is "$(cat "$TMP/out")" "ENOLINK 0 0"
	rose_by 1 0 1 1
	slow_disk other 0
	wait_for pattern check "$OTHER" 1 @32M:1 0:1M
	echo "it was executed behind the error"
	wait_for offloads_again
}

# The bytes before the first whole block are copied by then, which must not hide it.
fabrics_lost_file()
{
	local pid

	make_target tcp "$(controller_of "$(paths "$OTHER")")"
	pattern fill "$OTHER" 1
	echo 1 >"$DEBUG/counters"
	slow_disk other 20000
	crange "$FABRICS" 1 "$FABRICS" $((32 * M + 1)) "$M" >"$TMP/out" &
	pid=$!
	wait_for running
	(echo 1 >"/sys/class/nvme/$(controller_of "$(paths "$FABRICS")")/reset_controller") \
		2>/dev/null &
	wait "$pid" || :
	is "$(cat "$TMP/out")" ENOLINK
	slow_disk other 0
	wait_for offloads_again
}

offloads_again()
{
	device_did "$OTHER" 1 1 want "0 $M $M" rawcopy -f n "$FABRICS" 36M 4M:1M
}

# cdfe CONTROLLER: the descriptor formats that the host has enabled, 2 and 3 being bits
cdfe()
{
	nvme get-feature "/dev/$1" -f 0x16 -l 512 -b | od -An -tu2 -j 4 -N 2 | tr -d ' '
}

# Host Behavior Support enables formats: format 2 is ours.  Drivers since 7.3, and those
# of some 6.12, keep it to themselves; where user space can take it back, copies inside a
# namespace have format 0 and go on, and those between two are refused, and emulated.
host_behavior()
{
	local ctrl refused=

	ctrl=$(controller_of "$(paths "$BIG" | head -n 1)")
	pattern fill "$BIG" 1
	pattern fill "$BIG2" 2
	for ctrl in $(paths "$BIG"); do
		is "$(cdfe "$(controller_of "$ctrl")")" 4 "formats enabled by the driver"
	done
	device_did "$BIG" 1 1 want "0 $M $M" rawcopy -f n -s "$BIG2" "$BIG" 36M 4M:1M
	head -c 512 /dev/zero >"$TMP/feature"
	for ctrl in $(paths "$BIG"); do
		nvme set-feature "/dev/$(controller_of "$ctrl")" -f 0x16 -l 512 \
			-d "$TMP/feature" 2>"$TMP/why" || refused=y
		cat "$TMP/why"
	done
	if [ -n "$refused" ] || since 7.3; then
		grep -q "Permission denied" "$TMP/why"
		is "$(cdfe "$(controller_of "$ctrl")")" 4 "formats that the driver keeps"
		device_did "$BIG" 1 1 want "0 $M $M" rawcopy -f n -s "$BIG2" "$BIG" 40M 4M:1M
	else
		is "$(cdfe "$(controller_of "$ctrl")")" 0 "formats enabled by user space"
		before "$BIG" error_fallbacks
		want "0 $M 0" rawcopy -s "$BIG2" "$BIG" 40M 4M:1M
		rose_by 0
	fi
	device_did "$BIG" 1 2 want "0 $M $M" rawcopy -f n "$BIG" 32M 3M:512K 0:512K
	# A reset enables it again.
	for ctrl in $(paths "$BIG"); do
		echo 1 >"/sys/class/nvme/$(controller_of "$ctrl")/reset_controller"
		is "$(cdfe "$(controller_of "$ctrl")")" 4 "formats after a reset"
	done
	device_did "$BIG" 1 1 want "0 $M $M" rawcopy -f n -s "$BIG2" "$BIG" 44M 4M:1M
	pattern check "$BIG" 1 @32M:1 3M:512K 0:512K @36M:2 4M:1M @40M:2 4M:1M @44M:2 4M:1M
}

# send_copy USER FORMAT SOURCE: a Copy command of one block, to block 4096, by the
# character device of big
send_copy()
{
	python3 - "/dev/ng$(disk_of "$BIG" | sed s/nvme//)" "$@" <<-'END'
	import ctypes, errno, fcntl, os, struct, sys
	path, user, form, source = sys.argv[1], *map(int, sys.argv[2:])
	os.setgroups([])
	os.setuid(user)
	ranges = ctypes.create_string_buffer(
		struct.pack('<IIQHHHHIHH', source, 0, 8, 0, 0, 0, 0, 0, 0, 0), 32)
	# struct nvme_passthru_cmd
	command = struct.pack('<BBHIIIQQII6III', 0x19, 0, 0, 1, 0, 0, 0, ctypes.addressof(ranges),
		0, 32, 4096, 0, form << 8, 0, 0, 0, 0, 0)
	try:
	    print(fcntl.ioctl(os.open(path, os.O_RDWR), 0xc0484e43, bytearray(command)))
	except OSError as error:
	    print(errno.errorcode[error.errno])
	END
}

# Access to one namespace is not access to what a command can name.
passthrough()
{
	local node

	node=/dev/ng$(disk_of "$BIG" | sed s/nvme//)
	defer chmod "$(stat -c %a "$node")" "$node"
	chmod 666 "$node"
	pattern fill -l 4M "$BIG" 1
	pattern fill -l 1M "$BIG2" 2
	device_did "$BIG" 0 0 want EACCES send_copy 65534 2 6
	pattern check -l 4M "$BIG" 1
	device_did "$BIG" 1 1 want 0 send_copy 65534 0 0
	pattern check -l 4M "$BIG" 1 @2M:1 8s:1s
	device_did "$BIG" 1 1 want 0 send_copy 0 2 6
	pattern check -l 4M "$BIG" 1 @2M:2 8s:1s
}

prove "the payload of a command is 32 bytes for each range" payload
prove "the driver enables copies between namespaces" host_behavior
prove "who may not open a namespace cannot copy from it by passthrough" passthrough
prove "a long command has more time than the queue's timeout" long_command
prove "a command that the driver aborts has timed out" aborted_command
prove "ETIMEDOUT for Abort Requested, without a second command" status 0x7 ETIMEDOUT
prove "ENOLINK for Aborted by Host without a timeout, without a second command" \
	status 0x371 ENOLINK
prove "ENOLINK for Submission Queue Deletion without a timeout, without a second command" \
	status 0x8 ENOLINK
prove "statuses by which a device says that it does not copy this" \
	statuses 1 EOPNOTSUPP 0x1 0x2 0xb 0x10a 0x180 0x183 0x185 0x186 0x187 0x188 0x189
prove "statuses of media errors" statuses 0 ENODATA 0x280 0x281 0x286 0x287
prove "statuses of protection information" statuses 0 EILSEQ 0x282 0x283 0x284 0x181
prove "statuses of what is not there, or not now" statuses 0 EREMOTEIO 0x21 0x80 0x82
prove "the status of too little space" statuses 0 ENOSPC 0x81
prove "the status of a reservation" statuses 0 EBADE 0x83
prove "other statuses" statuses 0 EIO 0x4 0x6 0x9 0x1d 0x288
prove "a command that the driver took back is not emulated" taken_back
prove "ANA statuses: the command is sent once more" no_access 0x301 0x302 0x303
prove "ANA statuses of copies between namespaces: emulated" \
	statuses 1 EOPNOTSUPP -s "$BIG2" 0x301 0x302 0x303
prove "a command that fails in the device is sent once" failing_device
prove "two paths: counted by the path and by the node" two_paths
prove "formatted between COPY_IN and COPY_OUT, whole blocks" formatted_aligned
prove "formatted between COPY_IN and COPY_OUT, part of a block" formatted_misaligned \
	"EINVAL 0 0" "$OTHER" 32M 3s:1s
prove "formatted between COPY_IN and COPY_OUT, parts of blocks of the source" \
	formatted_misaligned "EOPNOTSUPP 0 0" -f n "$OTHER" 32M 3s:8s
prove "formatted by way of the other path" formatted_by_other_path
prove "NVMe over fabrics: nvme-loop" fabrics loop
prove "NVMe over fabrics: nvme-tcp" fabrics tcp
prove "a command that nvme-tcp gives up is not emulated" fabrics_lost
prove "copy_file_range() and a command that nvme-tcp gives up" fabrics_lost_file
prove "a path is lost between COPY_IN and COPY_OUT" lost_path_in_pause
prove "a source that one of two controllers has" source_on_one_path
prove "copies between namespaces switched off for the source, meanwhile" switched_in_pause "$BIG2"
prove "copies between namespaces switched off for the destination, meanwhile" \
	switched_in_pause "$BIG"
# Last: the debug kernel finds fault with how these two take their locks, and may check
# no locks from there on.
prove "a command for which the driver resets the controller has timed out" reset_for_command
prove "a path is lost under copies" lost_path
finish
